package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	osexec "os/exec"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/modelwatch/modelwatch/internal/embedded"
)

// programEnv makes the test binary a small program that starts one server over
// programDir, prints one line, and waits to be killed.
const (
	programEnv = "EMBEDDED_TEST_PROGRAM"
	programDir = "EMBEDDED_TEST_DIR"
)

func TestMain(m *testing.M) {
	if handled, code := embedded.ChildMain(os.Args[1:]); handled {
		os.Exit(code)
	}
	if name := os.Getenv(programEnv); name != "" {
		if err := program(name, os.Getenv(programDir)); err != nil {
			fmt.Fprintln(os.Stdout, "error:", err)
			os.Exit(1)
		}
		select {}
	}
	goleak.VerifyTestMain(m)
}

func program(name, dir string) error {
	ctx := context.Background()
	switch name {
	case "clickhouse":
		c, err := embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{Dir: dir, Logger: zerolog.Nop()})
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, c.PID())
	case "kafka":
		k, err := embedded.StartKafka(ctx, embedded.KafkaConfig{
			Dir: dir, Topics: map[string]int32{"flights": 2}, Logger: zerolog.Nop(),
		})
		if err != nil {
			return err
		}
		if err := produce(ctx, k.Addr(), "flights", "a", "b", "c"); err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, k.Addr())
	default:
		return fmt.Errorf("no program %q", name)
	}
	return nil
}

// startProgram runs the program and returns its line; it is killed at the
// test's end if the test has not done so.
func startProgram(t *testing.T, name, dir string) (cmd *osexec.Cmd, line string) {
	t.Helper()
	cmd = osexec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), programEnv+"="+name, programDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.HasPrefix(line, "error:") {
		t.Fatalf("program %s: %s (%v)", name, line, err)
	}
	return cmd, strings.TrimSpace(line)
}

func kill(cmd *osexec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// eventually fails the test unless ok becomes true within ten seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
