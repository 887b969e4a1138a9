package campaign

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// ground is what the servers of testkit stand on: a test where there is none,
// so that the campaign runs as a command too.
type ground struct {
	testing.TB // nil; what is used of it is below

	name string
	say  func(string)
	tmp  string // where folders are made, "" for the system's place
	ctx  context.Context
	end  context.CancelFunc

	mu       sync.Mutex
	cleanups []func()
	problems []string
}

// stand calls do on ground of its own, cleans up after it, and returns what
// went wrong.
func stand(ctx context.Context, name string, say func(string), do func(*ground)) []string {
	g := &ground{name: name, say: say}
	g.ctx, g.end = context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { // Fatal ends the goroutine
		defer close(ended)
		defer g.clean()
		do(g)
	}()
	<-ended
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.problems
}

func (g *ground) clean() {
	g.end()
	for {
		g.mu.Lock()
		n := len(g.cleanups)
		if n == 0 {
			g.mu.Unlock()
			return
		}
		last := g.cleanups[n-1]
		g.cleanups = g.cleanups[:n-1]
		g.mu.Unlock()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			last()
		}()
		<-ended
	}
}

// Helper implements testing.TB.
func (g *ground) Helper() {}

// Name implements testing.TB.
func (g *ground) Name() string { return g.name }

// Context implements testing.TB.
func (g *ground) Context() context.Context { return g.ctx }

// Cleanup implements testing.TB.
func (g *ground) Cleanup(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cleanups = append(g.cleanups, f)
}

// TempDir implements testing.TB.
func (g *ground) TempDir() string {
	dir, err := os.MkdirTemp(g.tmp, "modelwatch-faults-")
	if err != nil {
		g.Fatal(err)
	}
	g.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Log implements testing.TB.
func (g *ground) Log(args ...any) {
	g.say(time.Now().UTC().Format("15:04:05") + " " + g.name + ": " + fmt.Sprint(args...))
}

// Logf implements testing.TB.
func (g *ground) Logf(format string, args ...any) { g.Log(fmt.Sprintf(format, args...)) }

// Error implements testing.TB.
func (g *ground) Error(args ...any) {
	what := fmt.Sprint(args...)
	g.mu.Lock()
	g.problems = append(g.problems, what)
	g.mu.Unlock()
	g.Log("WRONG: ", what)
}

// Errorf implements testing.TB.
func (g *ground) Errorf(format string, args ...any) { g.Error(fmt.Sprintf(format, args...)) }

// Fatal implements testing.TB.
func (g *ground) Fatal(args ...any) {
	g.Error(args...)
	runtime.Goexit()
}

// Fatalf implements testing.TB.
func (g *ground) Fatalf(format string, args ...any) { g.Fatal(fmt.Sprintf(format, args...)) }

// Failed implements testing.TB.
func (g *ground) Failed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.problems) > 0
}

// until waits for check to say nothing, and returns what it said last.
func (g *ground) until(within time.Duration, check func() (wrong string)) (wrong string) {
	for deadline := time.Now().Add(within); ; {
		if wrong = check(); wrong == "" || time.Now().After(deadline) || g.ctx.Err() != nil {
			return wrong
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// await is until for what has to come.
func (g *ground) await(within time.Duration, check func() (wrong string)) {
	if wrong := g.until(within, check); wrong != "" {
		g.Fatalf("after %s: %s", within, wrong)
	}
}
