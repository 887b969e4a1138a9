package campaign

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// replica is one process of the program.
type replica struct {
	g     *ground
	cmd   *exec.Cmd
	ended chan struct{}

	mu    sync.Mutex
	url   string
	lines []string
	peak  int64 // resident memory, in bytes
}

// launch starts a replica with more in its environment.
func (w *world) launch(dir string, env ...string) *replica {
	r := &replica{g: w.ground, ended: make(chan struct{})}
	r.cmd = exec.Command(cmp.Or(w.program, w.c.program), "run", "--config", filepath.Join(dir, "modelwatch.yaml"))
	r.cmd.Dir = dir
	r.cmd.Env = append(os.Environ(), "MODELWATCH_HASTE=4", "GORACE=halt_on_error=0")
	if w.broken != "" {
		r.cmd.Env = append(r.cmd.Env, "MODELWATCH_BROKEN="+string(w.broken))
	}
	r.cmd.Env = append(r.cmd.Env, env...)
	out, in := io.Pipe()
	r.cmd.Stdout, r.cmd.Stderr = in, in
	if err := r.cmd.Start(); err != nil {
		w.Fatal(err)
	}
	var read, watched sync.WaitGroup
	read.Go(func() { r.read(out) })
	watched.Go(r.weigh)
	go func() {
		_ = r.cmd.Wait() // how it ended is in ProcessState
		_ = in.Close()
		read.Wait()
		close(r.ended)
		watched.Wait()
	}()
	w.Cleanup(func() {
		r.signal(syscall.SIGKILL)
		<-r.ended
	})
	w.mu.Lock()
	w.replicas = append(w.replicas, r)
	w.mu.Unlock()
	return r
}

// read keeps the log and finds the address in it.
func (r *replica) read(from io.Reader) {
	in := bufio.NewScanner(from)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := in.Text()
		r.mu.Lock()
		if _, address, ok := strings.Cut(line, "pages at "); ok && r.url == "" {
			r.url = strings.TrimSuffix(address, "/")
		}
		r.lines = append(r.lines, line)
		r.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, from) // a line over the bound must not stop the process
}

// weigh follows the memory of the process.
func (r *replica) weigh() {
	for {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid)); err == nil {
			for line := range strings.Lines(string(text)) {
				if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
					if kb, err := strconv.ParseInt(f[1], 10, 64); err == nil {
						r.mu.Lock()
						r.peak = max(r.peak, kb<<10)
						r.mu.Unlock()
					}
				}
			}
		}
		select {
		case <-r.ended:
			return
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func (r *replica) running() bool {
	select {
	case <-r.ended:
		return false
	default:
		return true
	}
}

// said says whether the log has a line with all these words.
func (r *replica) said(words ...string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.lines, func(line string) bool {
		return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) })
	})
}

// tail is the end of the log.
func (r *replica) tail(n int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines[max(0, len(r.lines)-n):], "\n")
}

func (r *replica) signal(s syscall.Signal) {
	if err := r.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.g.Errorf("sending %s to process %d: %v", s, r.cmd.Process.Pid, err)
	}
}

// killed says whether the process was ended by SIGKILL.
func (r *replica) killed() bool {
	if r.running() {
		return false
	}
	status, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// stopped says whether SIGSTOP holds the process.
func (r *replica) stopped() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.cmd.Process.Pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return strings.HasPrefix(after, "T")
}

// kill ends the process at a moment that nobody has chosen.
func (r *replica) kill() {
	r.signal(syscall.SIGKILL)
	<-r.ended
}

// stop ends the process in order and wants it to.
func (r *replica) stop() {
	r.signal(syscall.SIGTERM)
	select {
	case <-r.ended:
	case <-time.After(40 * time.Second):
		r.g.Fatalf("a replica does not stop\n%s", r.tail(30))
	}
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		r.g.Errorf("a replica that was told to stop ended with %d\n%s", code, r.tail(30))
	}
}

// ready waits until the replica says that it is.
func (r *replica) ready() *replica {
	r.g.await(90*time.Second, func() string {
		if !r.running() {
			r.g.Fatalf("a replica has ended: %s\n%s", r.cmd.ProcessState, r.tail(30))
		}
		code, body := r.get("/readyz")
		if code != http.StatusOK {
			return "a replica is not ready: " + body
		}
		return ""
	})
	return r
}

// get asks the replica and returns the answer, 0 where there is none.
func (r *replica) get(path string) (code int, body string) {
	r.mu.Lock()
	url := r.url
	r.mu.Unlock()
	if url == "" {
		return 0, "it does not serve yet"
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(url + path)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(text)
}

// metric sums the figures of a name in /metrics.
func (r *replica) metric(name string) float64 {
	_, body := r.get("/metrics")
	sum := 0.
	for line := range strings.Lines(body) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		f := strings.Fields(line)
		if v, err := strconv.ParseFloat(f[len(f)-1], 64); err == nil {
			sum += v
		}
	}
	return sum
}
