package web_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// heard keeps whether a log speaks of a panic.
type heard struct {
	mu     sync.Mutex
	panics []byte
}

func (h *heard) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("panic")) {
		h.mu.Lock()
		h.panics = append(h.panics, line...)
		h.mu.Unlock()
	}
	return len(line), nil
}

func (h *heard) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.panics)
}

// FuzzHandlers sends requests that are any bytes, and wants one answer of HTTP
// without a panic, a script or a control character.
func FuzzHandlers(f *testing.F) {
	log := &heard{}
	d := deps(airport())
	d.Log = zerolog.New(log)
	cfg := here()
	cfg.Token, cfg.Operator = secret, operatorSecret
	addr := strings.TrimPrefix(start(f, cfg, d), "http://")
	for _, line := range []string{
		"GET / HTTP/1.1", "GET /incidents?state=all&zone=Europe/Rome&model=%00%1b HTTP/1.1", "GET /incidents/" + swapID + " HTTP/1.1",
		"GET /api/v1/windows?model=flight-delay&role=feature&slice=*&from=2026-11-20T00:00:00Z&limit=7 HTTP/1.1",
		"GET /api/v1/incidents?limit=-1&state=%3Cscript%3Ealert(1) HTTP/1.1", "GET /api/v1/incidents/..%2f..%2f HTTP/1.1",
		"POST /api/v1/incidents/" + swapID + "/mark HTTP/1.1", "GET /api/v1/budget?model=x HTTP/1.1", "HEAD /metrics HTTP/1.0", "GET /%ff%fe/../.. HTTP/1.1",
	} {
		f.Add(line, "Accept", "*/*", []byte(`{"verdict":"true","by":"ann","note":"x"}`))
	}
	f.Fuzz(func(t *testing.T, line, header, value string, body []byte) {
		conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err != nil {
			t.Skip("no connection is free") // the test and not the server is short of ports
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		var request bytes.Buffer
		request.WriteString(line + "\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer " + operatorSecret + "\r\n" + header + ": " + value + "\r\n")
		request.WriteString("Content-Length: ")
		request.WriteString(strconv.Itoa(len(body)) + "\r\n\r\n")
		request.Write(body)
		_, _ = conn.Write(request.Bytes()) // the server may have said no before the end
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if said := log.said(); said != "" {
			t.Fatalf("%q: %s", request.String(), said)
		}
		if err != nil {
			return // HTTP/0.9 and other forms that have no answer
		}
		defer answer.Body.Close()
		got, _ := io.ReadAll(io.LimitReader(answer.Body, 16<<20))
		if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") && bytes.Contains(got, []byte("<script>alert")) {
			t.Fatalf("%q: a script", request.String())
		}
		if i := bytes.IndexAny(got, "\x1b\x00\x9b"); i >= 0 && answer.StatusCode != http.StatusBadRequest {
			t.Fatalf("%q: a control character at %d of %q", request.String(), i, got)
		}
		if bytes.Contains(got, []byte(secret)) || bytes.Contains(got, []byte(operatorSecret)) {
			t.Fatalf("%q: the token is shown", request.String())
		}
	})
}
