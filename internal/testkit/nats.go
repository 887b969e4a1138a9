package testkit

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/embedded"
	"github.com/modelwatch/modelwatch/internal/embedded/child"
)

const (
	natsEnv = "MODELWATCH_TEST_NATS"
	// natsArg is the hidden first argument of the NATS child process.
	natsArg = "modelwatch-test-nats"
	// natsHello begins the line in which the child tells its address.
	natsHello  = "serving "
	natsWait   = 30 * time.Second
	serverStop = 10 * time.Second
)

// NATSServer is NATS with JetStream on a file store, in a process of its own
// so that it can be killed as a real one is.
type NATSServer struct {
	URL string

	dir     string
	process *child.Process
}

// NATS returns the shared NATS server. Names of streams are the server's, so a
// test of streams with fixed names takes its own server with [NewNATS], which
// takes a tenth of a second.
func NATS(tb testing.TB) *NATSServer {
	tb.Helper()
	if url := os.Getenv(natsEnv); url != "" {
		return &NATSServer{URL: url}
	}
	return shared(tb, func(ctx context.Context, s *Servers) (*NATSServer, error) { return s.startNATS(ctx) })
}

func (s *Servers) startNATS(ctx context.Context) (*NATSServer, error) {
	if s.nats != nil {
		return s.nats, nil
	}
	dir, err := s.room("nats")
	if err != nil {
		return nil, err
	}
	n := &NATSServer{dir: dir}
	if err := n.start(ctx); err != nil {
		return nil, err
	}
	s.nats = n
	return n, nil
}

// NewNATS starts a NATS server of this test alone, ended with the test.
func NewNATS(tb testing.TB) *NATSServer {
	tb.Helper()
	private(tb)
	n := &NATSServer{dir: tb.TempDir()}
	n.Start(tb)
	tb.Cleanup(func() { n.Stop(tb) })
	return n
}

// Start starts the stopped or killed server again, at the same address and
// over the same data.
func (n *NATSServer) Start(tb testing.TB) {
	tb.Helper()
	if err := n.start(context.Background()); err != nil {
		tb.Fatal(err)
	}
}

// Stop ends the server in order; a second call does nothing.
func (n *NATSServer) Stop(tb testing.TB) {
	tb.Helper()
	if err := n.stop(); err != nil {
		tb.Fatal(err)
	}
}

// Kill ends the server with SIGKILL.
func (n *NATSServer) Kill(tb testing.TB) {
	tb.Helper()
	ownServer(tb, n.process)
	n.process.Kill()
	n.process = nil
}

// Wipe removes all data of the stopped server, as a lost disk does.
func (n *NATSServer) Wipe(tb testing.TB) {
	tb.Helper()
	if n.process != nil {
		tb.Fatal("wiping NATS: stop it first")
	}
	if err := os.RemoveAll(n.dir); err != nil {
		tb.Fatal(err)
	}
}

// PID is the server's process id.
func (n *NATSServer) PID() int { return n.process.PID() }

func (n *NATSServer) start(ctx context.Context) error {
	if n.process != nil {
		return errors.New("starting NATS: it is running")
	}
	port, err := n.port()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("starting NATS: %w", err)
	}
	hello := make(chan string, 1)
	n.process, err = child.Start(child.Command{
		Path: self,
		Args: []string{natsArg, n.dir, strconv.Itoa(port)},
		Line: func(line string) {
			if url, ok := strings.CutPrefix(line, natsHello); ok {
				hello <- url
			}
		},
	})
	if err != nil {
		return fmt.Errorf("starting NATS: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, natsWait)
	defer cancel()
	select {
	case n.URL = <-hello:
		return nil
	case <-n.process.Done():
		err = n.process.Err()
	case <-ctx.Done():
		n.process.Stop(serverStop)
		err = ctx.Err()
	}
	n.process = nil
	return fmt.Errorf("starting NATS: %w", err)
}

// port is that of the first start, or 0 at the first.
func (n *NATSServer) port() (int, error) {
	if n.URL == "" {
		return 0, nil
	}
	at, err := url.Parse(n.URL)
	if err != nil {
		return 0, fmt.Errorf("starting NATS: %w", err)
	}
	return strconv.Atoi(at.Port())
}

func (n *NATSServer) stop() error {
	if n.process == nil {
		return nil
	}
	n.process.Stop(serverStop)
	err := n.process.Err()
	n.process = nil
	return err
}

// natsChild is the server's side: it serves until the parent lets go.
func natsChild(args []string) (handled bool, code int) {
	if len(args) != 3 || args[0] != natsArg {
		return false, 0
	}
	if err := serveNATS(args[1], args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return true, 1
	}
	return true, 0
}

func serveNATS(dir, portText string) error {
	port, err := strconv.Atoi(portText)
	if err != nil {
		return fmt.Errorf("reading the port: %w", err)
	}
	// The parent cuts the lifeline before it signals; the store is closed in order.
	signal.Ignore(syscall.SIGTERM)
	parentGone := make(chan struct{})
	if err := child.WatchParent(func() { close(parentGone) }); err != nil {
		return err
	}
	server, err := embedded.StartNATS(context.Background(), embedded.NATSConfig{
		Dir: dir, Port: port, Logger: zerolog.New(os.Stdout).Level(zerolog.WarnLevel),
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, natsHello+server.URL())
	<-parentGone
	return server.Close()
}

// ownServer fails a test that would break a server others use.
func ownServer(tb testing.TB, process *child.Process) {
	tb.Helper()
	if process == nil {
		tb.Fatal("breaking a server: it is not running, or it is the run's shared one; start a private one")
	}
}
