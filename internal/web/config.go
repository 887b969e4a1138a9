package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/schemas"
)

// minToken is the fewest characters of a token: what is shorter can be guessed.
const minToken = 16

// Config says where the server listens and who may read.
type Config struct {
	Listen    string // host:port
	Token     string // secret; at least 16 characters
	TokenFile string // file that holds the token; instead of Token
	Operator  string // secret that whoever changes anything must show; it reads too
	TLSCert   string // PEM file of the certificate chain; with TLSKey
	TLSKey    string // PEM file
	ClientCA  string // PEM file of the authorities whose client certificates are accepted; with TLSCert
}

// DefaultConfig listens on this machine only.
func DefaultConfig() Config { return Config{Listen: "127.0.0.1:8080"} }

// Validate reports everything that is wrong with the configuration; it reads
// no file.
func (c Config) Validate() error {
	var errs []error
	host, _, err := net.SplitHostPort(c.Listen)
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("http.listen: %q is not host:port", c.Listen))
	case !loopback(host) && !c.guarded():
		errs = append(errs, fmt.Errorf("http.listen: %s can be reached from other machines; set http.token_file to a file with a secret, or http.tls with client_ca, or listen on 127.0.0.1", c.Listen))
	}
	if c.Token != "" && c.TokenFile != "" {
		errs = append(errs, errors.New("http.token and http.token_file: give one of them"))
	}
	if c.Token != "" && len(c.Token) < minToken {
		errs = append(errs, fmt.Errorf("http.token: shorter than %d characters", minToken))
	}
	if c.Operator != "" && len(c.Operator) < minToken {
		errs = append(errs, fmt.Errorf("http.operator_token: shorter than %d characters", minToken))
	}
	if c.Operator != "" && c.Operator == c.Token {
		errs = append(errs, errors.New("http.operator_token: it is that of readers; they may not change anything"))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		errs = append(errs, errors.New("http.tls: cert and key belong together"))
	}
	if c.ClientCA != "" && c.TLSCert == "" {
		errs = append(errs, errors.New("http.tls.client_ca: needs cert and key"))
	}
	return errors.Join(errs...)
}

// guarded says whether a reader has to show who he is.
func (c Config) guarded() bool {
	return c.Token != "" || c.TokenFile != "" || c.Operator != "" || c.ClientCA != ""
}

// loopback says whether a host of a listen address is this machine only. A
// name is not looked up: what it means may change.
func loopback(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// token returns the secret, "" for none.
func (c Config) token() (string, error) {
	if c.TokenFile == "" {
		return c.Token, nil
	}
	raw, err := os.ReadFile(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("reading http.token_file: %w", err)
	}
	token := string(bytes.TrimSpace(raw))
	if len(token) < minToken {
		return "", fmt.Errorf("reading http.token_file: %s holds fewer than %d characters", c.TokenFile, minToken)
	}
	return token, nil
}

// tls returns the setup of the listener, nil for plain HTTP. A client
// certificate is asked for but not demanded, because /healthz and /readyz
// answer without one; access demands it of all others.
func (c Config) tls() (*tls.Config, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("reading http.tls: %w", err)
	}
	setup := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}
	if c.ClientCA != "" {
		pem, err := os.ReadFile(c.ClientCA)
		if err != nil {
			return nil, fmt.Errorf("reading http.tls.client_ca: %w", err)
		}
		setup.ClientCAs = x509.NewCertPool()
		if !setup.ClientCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading http.tls.client_ca: no certificate in %s", c.ClientCA)
		}
		setup.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return setup, nil
}

// Deps are the rooms that are shown. Functions must be quick and safe to call
// from any goroutine; a nil one is an empty answer.
type Deps struct {
	Store    Store
	Mark     func(ctx context.Context, m schemas.IncidentMark) error // keeps what somebody says of an incident
	Monitors func() []*schemas.Monitor                               // in force; they give owner, runbook and models that no row has come of
	Ready    func() map[string]error                                 // each check by name, nil where it passes
	Lag      func() map[string]int64                                 // records that are in Kafka and not yet read, by topic/partition
	Metrics  http.Handler                                            // of /metrics
	Now      func() time.Time                                        // the wall clock; nil is time.Now
	Version  string                                                  // of the program
	Log      zerolog.Logger
}
