package testkit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/modelwatch/modelwatch/internal/embedded"
)

// startTimeout bounds the start of one server, with its download.
const startTimeout = 10 * time.Minute

// binary is what belongs to this test binary as a whole: Go gives tests of one
// package no other place to share a server in.
var binary struct {
	mu      sync.Mutex
	ready   bool // ChildMain has been asked
	servers Servers
}

// Main runs a package's tests. It first takes the roles of the servers that
// live in child processes of the test binary, ends the binary's shared servers
// after the tests, and then fails if a goroutine is left. The result is the
// exit code:
//
//	func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
func Main(m *testing.M, ignore ...goleak.Option) int {
	if handled, code := ChildMain(os.Args[1:]); handled {
		return code
	}
	code := m.Run()
	if err := binary.servers.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "ending the servers:", err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(ignore...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// ChildMain takes the role of a server's child process if this process was
// started for it. Main calls it; another program that starts servers must do
// so first thing in main.
func ChildMain(args []string) (handled bool, code int) {
	if handled, code := embedded.ChildMain(args); handled {
		return true, code
	}
	if handled, code := natsChild(args); handled {
		return true, code
	}
	binary.mu.Lock()
	defer binary.mu.Unlock()
	binary.ready = true
	return false, 0
}

// Name makes a name nobody else uses in this run, for topics, databases and
// groups: the given one and random letters.
func Name(_ testing.TB, name string) string {
	return name + "_" + strings.ToLower(rand.Text()[:10])
}

// shared returns the binary's server of one kind, started at the first call.
func shared[T any](tb testing.TB, start func(context.Context, *Servers) (T, error)) T {
	tb.Helper()
	binary.mu.Lock()
	defer binary.mu.Unlock()
	needMain(tb)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	server, err := start(ctx, &binary.servers)
	if err != nil {
		tb.Fatal(err)
	}
	return server
}

// needMain fails a test whose package has no TestMain with Main in it. Without
// it a child process would run the tests again.
func needMain(tb testing.TB) {
	tb.Helper()
	if !binary.ready {
		tb.Fatal("starting a server: the package needs func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }")
	}
}

// private checks the ground for a server of one test.
func private(tb testing.TB) context.Context {
	tb.Helper()
	binary.mu.Lock()
	defer binary.mu.Unlock()
	needMain(tb)
	return tb.Context()
}

// Servers are the shared servers of one run. The zero value has none; each is
// started when first asked for and ended by Close.
type Servers struct {
	dir        string
	kafka      *KafkaServer
	clickHouse *ClickHouseServer
	nats       *NATSServer
}

// StartAll starts every server that is not running yet.
func (s *Servers) StartAll(ctx context.Context) error {
	if _, err := s.startKafka(ctx); err != nil {
		return err
	}
	if _, err := s.startClickHouse(ctx); err != nil {
		return err
	}
	_, err := s.startNATS(ctx)
	return err
}

// Env are the variables that tell a test binary about the running servers.
func (s *Servers) Env() []string {
	return []string{
		kafkaEnv + "=" + s.kafka.Addr,
		clickHouseEnv + "=" + s.clickHouse.Addr,
		clickHouseHTTPEnv + "=" + s.clickHouse.HTTPAddr,
		natsEnv + "=" + s.nats.URL,
	}
}

// Close ends the servers that are running and removes their data.
func (s *Servers) Close() error {
	var errs []error
	if s.nats != nil {
		errs = append(errs, s.nats.stop())
	}
	if s.clickHouse != nil {
		errs = append(errs, s.clickHouse.stop())
	}
	if s.kafka != nil {
		// Nobody reads this broker's data again: it need not end in order.
		s.kafka.kill()
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	*s = Servers{}
	return errors.Join(errs...)
}

// room makes a folder for the data of one server.
func (s *Servers) room(name string) (string, error) {
	if s.dir == "" {
		dir, err := os.MkdirTemp("", "modelwatch-test-")
		if err != nil {
			return "", fmt.Errorf("making a folder for the servers: %w", err)
		}
		s.dir = dir
	}
	dir := filepath.Join(s.dir, name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("making a folder for the servers: %w", err)
	}
	return dir, nil
}
