package testkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/embedded"
)

const (
	clickHouseEnv     = "MODELWATCH_TEST_CLICKHOUSE"
	clickHouseHTTPEnv = "MODELWATCH_TEST_CLICKHOUSE_HTTP"
)

// ClickHouseServer is a real ClickHouse engine.
type ClickHouseServer struct {
	Addr     string // native protocol
	HTTPAddr string

	dir    string
	users  []embedded.ClickHouseUser
	engine *embedded.ClickHouse
}

// ClickHouse returns the shared ClickHouse. A test works in a database of its
// own: see Database.
func ClickHouse(tb testing.TB) *ClickHouseServer {
	tb.Helper()
	if addr := os.Getenv(clickHouseEnv); addr != "" {
		return &ClickHouseServer{Addr: addr, HTTPAddr: os.Getenv(clickHouseHTTPEnv)}
	}
	return shared(tb, func(ctx context.Context, s *Servers) (*ClickHouseServer, error) { return s.startClickHouse(ctx) })
}

func (s *Servers) startClickHouse(ctx context.Context) (*ClickHouseServer, error) {
	if s.clickHouse != nil {
		return s.clickHouse, nil
	}
	dir, err := s.room("clickhouse")
	if err != nil {
		return nil, err
	}
	c := &ClickHouseServer{dir: dir}
	if err := c.start(ctx); err != nil {
		return nil, err
	}
	s.clickHouse = c
	return c, nil
}

// NewClickHouse starts a ClickHouse of this test alone, ended with the test.
// The users given are there besides default.
func NewClickHouse(tb testing.TB, users ...embedded.ClickHouseUser) *ClickHouseServer {
	tb.Helper()
	private(tb)
	c := &ClickHouseServer{dir: tb.TempDir(), users: users}
	c.Start(tb)
	tb.Cleanup(func() { c.Stop(tb) })
	return c
}

// Database creates an empty database and returns its name; it is emptied with
// the test. It is not dropped: the engine dies of a connection that names a
// database which is not there, and a service that outlives its test by a
// moment may make one.
func (c *ClickHouseServer) Database(tb testing.TB) string {
	tb.Helper()
	name := Name(tb, "test")
	c.Query(tb, "CREATE DATABASE "+name)
	tb.Cleanup(func() {
		if c.dir != "" && c.engine == nil {
			return // a private server that the test has stopped
		}
		c.Query(tb, "TRUNCATE DATABASE "+name)
	})
	return name
}

// Query runs one statement over HTTP and returns the answer as tab-separated
// lines. It fails the test on an error.
func (c *ClickHouseServer) Query(tb testing.TB, statement string) string {
	tb.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	// Cleanups run after the test's own context has ended.
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost,
		"http://"+c.HTTPAddr+"/", strings.NewReader(statement))
	if err != nil {
		tb.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		tb.Fatalf("%s: %s %s (%v)", statement, resp.Status, body, err)
	}
	return strings.TrimSuffix(string(body), "\n")
}

// Start starts the stopped or killed engine again, at the same addresses and
// over the same data.
func (c *ClickHouseServer) Start(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := c.start(ctx); err != nil {
		tb.Fatal(err)
	}
}

// Stop ends the engine; a second call does nothing.
func (c *ClickHouseServer) Stop(tb testing.TB) {
	tb.Helper()
	if err := c.stop(); err != nil {
		tb.Fatal(err)
	}
}

// Kill ends the engine with SIGKILL.
func (c *ClickHouseServer) Kill(tb testing.TB) {
	tb.Helper()
	if c.engine == nil {
		tb.Fatal("killing ClickHouse: it is not running, or it is the run's shared one; start a private one")
	}
	c.engine.Kill()
	c.Stop(tb)
}

// PID is the engine's process id.
func (c *ClickHouseServer) PID() int { return c.engine.PID() }

func (c *ClickHouseServer) start(ctx context.Context) error {
	if c.engine != nil {
		return errors.New("starting ClickHouse: it is running")
	}
	tcp, err := portOf(c.Addr)
	if err != nil {
		return err
	}
	web, err := portOf(c.HTTPAddr)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath("clickhouse"); err != nil {
		if err := needTools(ctx, "npm"); err != nil {
			return err
		}
	}
	engine, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{
		Dir: c.dir, TCPPort: tcp, HTTPPort: web, Users: c.users, Logger: zerolog.Nop(),
		Progress: func(p embedded.Progress) { fmt.Fprintln(os.Stderr, p) },
	})
	if err != nil {
		return err
	}
	c.engine, c.Addr, c.HTTPAddr = engine, engine.Addr(), engine.HTTPAddr()
	return nil
}

func (c *ClickHouseServer) stop() error {
	if c.engine == nil {
		return nil
	}
	err := c.engine.Close()
	c.engine = nil
	return err
}

// portOf is the port of an address, 0 when there is none yet.
func portOf(addr string) (int, error) {
	if addr == "" {
		return 0, nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
