package web

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log" //nolint:depguard // net/http takes no other logger; it writes through zerolog
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/schemas"
)

// Bounds of one request.
const (
	readTime  = 10 * time.Second // of the store, for all of one page
	writeTime = 30 * time.Second
	endTime   = 5 * time.Second // for answers under way when the server stops
	maxHeader = 16 << 10
)

//go:embed sheet.css
var sheet string

// Server answers over HTTP. Make it with New, start it with Run.
type Server struct {
	cfg       Config
	deps      Deps
	log       zerolog.Logger
	access    access
	pages     map[string]*template.Template
	sheetPath string
	server    *http.Server

	listener net.Listener
	bound    chan struct{} // closed once listener is set
}

// New prepares a server; it reads the token and the certificates and does not
// listen yet.
func New(cfg Config, deps Deps) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("setting up http: %w", err)
	}
	if deps.Store == nil {
		return nil, errors.New("setting up http: no store to read from")
	}
	token, err := cfg.token()
	if err != nil {
		return nil, fmt.Errorf("setting up http: %w", err)
	}
	secure, err := cfg.tls()
	if err != nil {
		return nil, fmt.Errorf("setting up http: %w", err)
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	pages, err := parsePages()
	if err != nil {
		return nil, fmt.Errorf("setting up http: %w", err)
	}
	sum := sha256.Sum256([]byte(sheet))
	s := &Server{
		cfg: cfg, deps: deps, log: deps.Log.With().Str("component", "web").Logger(),
		access: newAccess(cfg, token), pages: pages,
		sheetPath: "/static/sheet." + hex.EncodeToString(sum[:8]) + ".css",
		bound:     make(chan struct{}),
	}
	s.server = &http.Server{
		Handler:           s.handler(),
		TLSConfig:         secure,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      writeTime,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(complaints{s.log}, "", 0),
	}
	return s, nil
}

// complaints takes what net/http says of broken connections.
type complaints struct{ log zerolog.Logger }

// Write implements io.Writer; it never fails.
func (c complaints) Write(line []byte) (int, error) {
	c.log.Debug().Msg(strings.TrimSpace(string(line)))
	return len(line), nil
}

// Addr returns the address the server listens on, which tells the port where
// Listen leaves it to the system. It waits for Run to listen; "" where ctx
// ends before.
func (s *Server) Addr(ctx context.Context) string {
	select {
	case <-s.bound:
		return s.listener.Addr().String()
	case <-ctx.Done():
		return ""
	}
}

// Run listens and answers until ctx ends, then lets answers under way finish
// within five seconds. It returns nil after such an end, and may be called once.
func (s *Server) Run(ctx context.Context) error {
	var setup net.ListenConfig
	listener, err := setup.Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w; choose another with http.listen", s.cfg.Listen, err)
	}
	s.listener = listener
	close(s.bound)
	host, _, _ := net.SplitHostPort(s.cfg.Listen) // New has read it
	secure := s.cfg.TLSCert != ""                 // Serve writes to server.TLSConfig
	if !secure && !loopback(host) {
		s.log.Warn().Str("listen", s.cfg.Listen).Msg("the token travels unencrypted; set http.tls, or put a proxy with TLS in front")
	}
	served := make(chan error, 1)
	go func() {
		if secure {
			served <- s.server.ServeTLS(listener, "", "")
			return
		}
		served <- s.server.Serve(listener)
	}()
	s.log.Info().Stringer("addr", listener.Addr()).Bool("tls", secure).Bool("guarded", s.cfg.guarded()).Msg("serving pages")

	select {
	case err := <-served:
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if err := s.server.Shutdown(end); err != nil {
		s.log.Warn().Err(err).Msg("cutting off answers that did not finish")
		_ = s.server.Close() // what is left of it has no reader
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving on %s: %w", listener.Addr(), err)
	}
	return nil
}

// handler is the map of addresses.
func (s *Server) handler() http.Handler {
	guarded := http.NewServeMux()
	guarded.HandleFunc("GET /{$}", s.page(s.overview))
	guarded.HandleFunc("GET /incidents", s.page(s.incidents))
	guarded.HandleFunc("GET /incidents/{incident}", s.page(s.incident))
	guarded.HandleFunc("GET /api/v1/models", s.api(s.apiModels))
	guarded.HandleFunc("GET /api/v1/windows", s.api(s.apiWindows))
	guarded.HandleFunc("GET /api/v1/incidents", s.api(s.apiIncidents))
	guarded.HandleFunc("GET /api/v1/incidents/{incident}", s.api(s.apiIncident))
	guarded.HandleFunc("POST /api/v1/incidents/{incident}/mark", s.api(s.apiMark))
	guarded.HandleFunc("GET /api/v1/budget", s.api(s.apiBudget))
	if s.deps.Metrics != nil {
		guarded.Handle("GET /metrics", s.deps.Metrics)
	}
	guarded.HandleFunc("/", s.nowhere)

	all := http.NewServeMux()
	all.HandleFunc("GET /healthz", s.healthz)
	all.HandleFunc("GET /readyz", s.readyz)
	all.HandleFunc("GET "+s.sheetPath, s.sheet) // the page that asks for the token needs it
	all.Handle("/", s.access.guard(guarded, s.refuse))
	return headers(all)
}

func (s *Server) sheet(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable") // its name is its content
	_, _ = w.Write([]byte(sheet))                                          // the reader has gone, which is his right
}

// healthz says that the process answers, and nothing else.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// readiness is the answer of /readyz.
type readiness struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"`        // "ok" or what is wrong
	Lag    map[string]int64  `json:"lag,omitempty"` // records behind, by topic/partition
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	answer := readiness{Ready: true, Checks: map[string]string{}}
	for name, err := range s.checks() {
		answer.Checks[name] = "ok"
		if err != nil {
			answer.Ready = false
			answer.Checks[name] = err.Error()
		}
	}
	if s.deps.Lag != nil {
		answer.Lag = s.deps.Lag()
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	s.json(w, status, answer)
}

func (s *Server) checks() map[string]error {
	if s.deps.Ready == nil {
		return nil
	}
	return s.deps.Ready()
}

// json writes a value as the whole answer.
func (s *Server) json(w http.ResponseWriter, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		s.log.Error().Err(err).Msg("writing an answer as JSON")
		status, body = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written as JSON","hint":"see the log"}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(append(schemas.InertJSON(body), '\n')) // as above
}

// refuse answers with an error, as JSON to programs and as a page to people.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, what, hint string) {
	if strings.HasPrefix(r.URL.Path, "/api/") || r.URL.Path == "/metrics" {
		s.json(w, status, failure{Error: what, Hint: hint})
		return
	}
	s.show(w, s.frame(r, what), status, "trouble", trouble{What: what, Hint: hint})
}

// nowhere answers for addresses that do not exist, and for methods that no
// address takes.
func (s *Server) nowhere(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		s.refuse(w, r, http.StatusMethodNotAllowed, "Nothing here can be changed.", "These addresses are only read.")
		return
	}
	s.refuse(w, r, http.StatusNotFound, "There is no page at this address.", "All models are at /, incidents at /incidents, JSON at /api/v1/models, /api/v1/windows and /api/v1/incidents.")
}
