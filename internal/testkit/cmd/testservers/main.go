// Command testservers runs a test command beside real servers: it starts
// Kafka, ClickHouse and NATS once, tells the command their addresses in the
// environment, ends them after it and returns its exit code.
//
//	go run ./internal/testkit/cmd/testservers -- go test ./...
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/modelwatch/modelwatch/internal/testkit"
)

// commandGrace is how long an interrupted command may take to end.
const commandGrace = 10 * time.Second

func main() {
	if handled, code := testkit.ChildMain(os.Args[1:]); handled {
		os.Exit(code)
	}
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: testservers -- command [argument ...]")
		os.Exit(2)
	}
	code, err := run(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testservers:", err)
	}
	os.Exit(code)
}

// run returns the command's exit code, or 1 with an error of its own.
func run(args []string) (code int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	var servers testkit.Servers
	defer func() {
		if closing := servers.Close(); closing != nil {
			code, err = max(code, 1), errors.Join(err, closing)
		}
	}()
	if err := servers.StartAll(ctx); err != nil {
		return 1, err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), servers.Env()...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = commandGrace
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		return max(exit.ExitCode(), 1), nil // the command has said why
	}
	if err != nil {
		return 1, fmt.Errorf("running %s: %w", args[0], err)
	}
	return 0, nil
}
