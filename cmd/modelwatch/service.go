package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Bounds of one question to the service.
const (
	answerTime = 30 * time.Second
	maxAnswer  = 64 << 20
)

// service is a running modelwatch as its API shows it.
type service struct {
	url   string
	token string
	http  *http.Client
}

// refusal is what the service answers instead.
type refusal struct {
	What string `json:"error"`
	Hint string `json:"hint"`
}

// Error writes what is wrong and what to do.
func (r *refusal) Error() string {
	if r.Hint == "" {
		return r.What
	}
	return strings.TrimSuffix(r.What, ".") + "; " + r.Hint
}

// serviceFlags gives a command --url and --token-file. The function it returns
// makes the client.
func (p *program) serviceFlags(cmd *cobra.Command) func() (*service, error) {
	const usual = "http://127.0.0.1:8080"
	var address, tokenFile string
	cmd.Flags().StringVar(&address, "url", "", "`address` of the running service (MODELWATCH_URL, else "+usual+")")
	cmd.Flags().StringVar(&tokenFile, "token-file", "", "`file` of the token (else MODELWATCH_TOKEN)")
	return func() (*service, error) {
		if !cmd.Flags().Changed("url") {
			address = usual
			if v, ok := p.env("MODELWATCH_URL"); ok && v != "" {
				address = v
			}
		}
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, usage(cmd, "%q is not the address of a service; write it like %s", address, usual)
		}
		token, _ := p.env("MODELWATCH_TOKEN")
		if tokenFile != "" {
			body, err := os.ReadFile(tokenFile)
			if err != nil {
				return nil, fmt.Errorf("reading the token: %w", err)
			}
			token = string(bytes.TrimSpace(body))
		}
		return &service{strings.TrimSuffix(u.String(), "/"), token, &http.Client{Timeout: answerTime}}, nil
	}
}

// get reads one answer of the API into a value.
func (s *service) get(ctx context.Context, path string, query url.Values, into any) error {
	address := s.url + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	return s.ask(ctx, http.MethodGet, address, nil, into)
}

// post sends a value to the API and reads the answer into another.
func (s *service) post(ctx context.Context, path string, value, into any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("asking %s: %w", s.url, err)
	}
	return s.ask(ctx, http.MethodPost, s.url+path, body, into)
}

func (s *service) ask(ctx context.Context, method, address string, question []byte, into any) error {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(question))
	if err != nil {
		return fmt.Errorf("asking %s: %w", s.url, err)
	}
	r.Header.Set("Accept", "application/json")
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	answer, err := s.http.Do(r)
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) {
			err = at.Err
		}
		if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
			return fmt.Errorf("reaching the service at %s: %w; name the file of its authority in SSL_CERT_FILE", s.url, err)
		}
		return fmt.Errorf("reaching the service at %s: %w; start one with `modelwatch run`, or point at it with --url or MODELWATCH_URL", s.url, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("reading the answer of %s: %w", s.url, err)
	}
	if len(body) > maxAnswer {
		return fmt.Errorf("reading the answer of %s: it has more than %d MiB", s.url, maxAnswer>>20)
	}
	if answer.StatusCode == http.StatusUnauthorized {
		return fmt.Errorf("asking %s: it wants a token; give its file with --token-file, or set MODELWATCH_TOKEN", s.url)
	}
	if answer.StatusCode != http.StatusOK {
		no := new(refusal)
		if json.Unmarshal(body, no) == nil && no.What != "" {
			return no
		}
		return fmt.Errorf("asking %s: it answers %s; is it a modelwatch?", s.url, answer.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("reading the answer of %s as JSON: %w; is it a modelwatch of this version?", s.url, err)
	}
	return nil
}
