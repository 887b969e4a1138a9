// Package child runs a program as a child process that ends with its parent.
//
// Two ties hold the child. It inherits the reading end of a pipe whose other
// end only the parent holds, so that a child that reads it (see [WatchParent])
// learns of the parent's end whatever that end was. And on Linux the kernel
// kills the child when its parent dies, which also covers programs that know
// nothing of the pipe. The child runs in its own process group: Ctrl-C in a
// terminal reaches the parent alone, which then stops its children in order.
package child

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// lifelineFD is where the child finds the pipe: the first file after the
	// three standard ones.
	lifelineFD = 3
	// tailLines is how many of the child's last lines an error quotes.
	tailLines = 12
	// maxLine cuts a line of output, so that a child that never writes a
	// newline cannot fill its parent's memory.
	maxLine = 4 << 10
	// outputGrace is how long the end of the child's output is waited for once
	// the child itself has ended; a grandchild may hold it open.
	outputGrace = time.Second
)

// Command says what to run.
type Command struct {
	Path string
	Args []string // without the program's name
	Env  []string // nil: this process's environment
	Dir  string
	// Inherit are files the child holds open until it ends, from descriptor 4 on.
	Inherit []*os.File
	// Line is called with each line of the child's output; nil drops it. The
	// last lines are kept for errors either way.
	Line func(line string)
}

// Process is a running or ended child.
type Process struct {
	cmd      *exec.Cmd
	lifeline *os.File
	stopping atomic.Bool
	done     chan struct{}
	err      error // written before done is closed
}

// Start starts the child. The caller must end it with Stop or Kill.
func Start(c Command) (*Process, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making the child's lifeline: %w", err)
	}
	out := &tail{line: c.Line}
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env, cmd.Dir = c.Env, c.Dir
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = append([]*os.File{reader}, c.Inherit...)
	cmd.WaitDelay = outputGrace
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent(cmd.SysProcAttr)

	p := &Process{cmd: cmd, lifeline: writer, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(out, started)
	err = <-started
	_ = reader.Close()
	if err != nil {
		_ = writer.Close()
		return nil, fmt.Errorf("starting %s: %w", c.Path, err)
	}
	return p, nil
}

// run starts and awaits the child on one operating system thread. The kernel's
// "parent" is the thread that forked: were it to end while the process lives
// on, the child would be killed for nothing.
func (p *Process) run(out *tail, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	err = p.cmd.Wait()
	if !p.stopping.Load() {
		p.err = ended(p.cmd, err, out.last())
	}
	close(p.done)
}

func ended(cmd *exec.Cmd, err error, last string) error {
	if err == nil {
		err = errors.New("exit status 0")
	}
	if last != "" {
		return fmt.Errorf("process %d ended by itself: %w; its last words:\n%s", cmd.Process.Pid, err, last)
	}
	return fmt.Errorf("process %d ended by itself: %w", cmd.Process.Pid, err)
}

// PID is the child's process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended, for whatever reason.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says why the child ended, with its last lines of output. It is nil while
// the child runs and after Stop.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Kill ends the child with SIGKILL and waits for its end, which Err then
// reports as unexpected: it is how a test breaks a server.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
	_ = p.lifeline.Close()
}

// Stop asks the child to end (SIGTERM, and the lifeline is cut), kills it
// after grace, and waits for its end. A second call does nothing.
func (p *Process) Stop(grace time.Duration) {
	p.stopping.Store(true)
	_ = p.lifeline.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// WatchParent is called in the child and calls gone once the parent has ended
// or let go. It fails in a process that was not started by [Start].
func WatchParent(gone func()) error {
	lifeline := os.NewFile(lifelineFD, "lifeline")
	stat, err := lifeline.Stat()
	if err != nil {
		return fmt.Errorf("finding the parent's lifeline: %w", err)
	}
	if stat.Mode()&os.ModeNamedPipe == 0 {
		return errors.New("finding the parent's lifeline: descriptor 3 is not a pipe")
	}
	go func() {
		_, _ = io.Copy(io.Discard, lifeline)
		gone()
	}()
	return nil
}

// tail splits output into lines and remembers the last of them.
type tail struct {
	line func(string)

	mu      sync.Mutex
	partial []byte
	lines   []string
}

// Write implements io.Writer; it never fails.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(b)
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			t.add(b)
			break
		}
		t.add(b[:end])
		t.flush()
		b = b[end+1:]
	}
	return n, nil
}

func (t *tail) add(b []byte) {
	t.partial = append(t.partial, b[:min(len(b), maxLine-len(t.partial))]...)
}

func (t *tail) flush() {
	line := strings.TrimRight(string(t.partial), "\r ")
	t.partial = t.partial[:0]
	if line == "" {
		return
	}
	if t.line != nil {
		t.line(line)
	}
	if len(t.lines) == tailLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, line)
}

func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flush()
	return strings.Join(t.lines, "\n")
}
