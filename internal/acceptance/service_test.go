package acceptance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// program is the built command, made once for all tests.
var program struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func TestMain(m *testing.M) {
	code := testkit.Main(m)
	if program.dir != "" {
		_ = os.RemoveAll(program.dir) // a folder of this run alone
	}
	os.Exit(code)
}

// build builds the command as a user does.
func build(t *testing.T) string {
	t.Helper()
	program.once.Do(func() {
		if program.dir, program.err = os.MkdirTemp("", "modelwatch-acceptance-"); program.err != nil { //nolint:usetesting // it outlives the test that builds
			return
		}
		program.path = filepath.Join(program.dir, "modelwatch")
		cmd := exec.Command("go", "build", "-o", program.path, "../../cmd/modelwatch")
		if out, err := cmd.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("building the program: %w\n%s", err, out)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return program.path
}

// world is one installation: servers, settings, monitors.
type world struct {
	kafka      *testkit.KafkaServer
	clickHouse *testkit.ClickHouseServer
	nats       *testkit.NATSServer
	database   string
	dir        string
	watched    []testkit.Watched
}

// newWorld writes a settings file for the servers. Streams have fixed names,
// so each world has a NATS of its own.
func newWorld(t *testing.T, kafka *testkit.KafkaServer, clickHouse *testkit.ClickHouseServer) *world {
	t.Helper()
	w := &world{
		kafka: kafka, clickHouse: clickHouse, nats: testkit.NewNATS(t), database: clickHouse.Database(t), dir: t.TempDir(),
	}
	if err := os.Mkdir(filepath.Join(w.dir, "monitors"), 0o750); err != nil {
		t.Fatal(err)
	}
	w.write(t, "modelwatch.yaml", fmt.Sprintf(`
kafka: {brokers: [%q], group: %s}
clickhouse: {addr: [%q], database: %s}
nats: {url: %q}
monitors: monitors
http: {listen: "127.0.0.1:0"}
log: {level: info, format: json}
`, kafka.Addr, testkit.Name(t, "watch"), clickHouse.Addr, w.database, w.nats.URL))
	return w
}

func (w *world) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// monitor writes a monitor file, with its baseline where there is one, and
// keeps the spec that its rows must count under.
func (w *world) monitor(t *testing.T, yaml string, baseline *schemas.Baseline) {
	t.Helper()
	m, err := schemas.ParseMonitor("monitor", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	if baseline != nil {
		body, err := json.Marshal(baseline)
		if err != nil {
			t.Fatal(err)
		}
		w.write(t, filepath.Join("monitors", m.Baseline), string(body))
	}
	spec, _, err := schemas.BuildSpec(m, baseline)
	if err != nil {
		t.Fatal(err)
	}
	w.watched = append(w.watched, testkit.Watched{Spec: *spec, Topics: m.Topics})
	w.write(t, filepath.Join("monitors", m.Model+".yaml"), yaml)
}

// recount compares what is stored with the log.
func (w *world) recount(t *testing.T, within time.Duration) *testkit.Expected {
	t.Helper()
	want := testkit.Recount(t, []string{w.kafka.Addr}, w.watched...)
	n := testkit.CompareWindows(t, w.clickHouse, w.database, want, within)
	var rows, late, rejected uint64
	for _, p := range want.Partitions {
		rows, late = rows+p.Rows, late+p.Late
		for _, c := range p.Rejected {
			rejected += c
		}
	}
	t.Logf("recounted %d rows of windows over %d partitions: %d events, %d late, %d rejected", n, len(want.Partitions), rows, late, rejected)
	if n == 0 {
		t.Error("nothing was compared")
	}
	return want
}

// service is one running replica.
type service struct {
	cmd    *exec.Cmd
	ended  chan struct{}
	pages  chan string // the address, once
	url    string
	mu     sync.Mutex
	lines  []string
	exited error
}

// start starts a replica and waits until it says where its pages are.
func (w *world) start(t *testing.T) *service {
	t.Helper()
	s := &service{ended: make(chan struct{}), pages: make(chan string, 1)}
	s.cmd = exec.Command(build(t), "run", "--config", filepath.Join(w.dir, "modelwatch.yaml"))
	s.cmd.Dir = w.dir
	out, in := io.Pipe()
	s.cmd.Stdout, s.cmd.Stderr = in, in
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go s.read(out, read)
	go func() {
		s.exited = s.cmd.Wait()
		_ = in.Close()
		<-read
		close(s.ended)
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it may have ended
		<-s.ended
		if t.Failed() {
			t.Logf("the log of process %d:\n%s", s.cmd.Process.Pid, s.tail(60))
		}
	})
	select {
	case s.url = <-s.pages:
	case <-s.ended:
		t.Fatalf("the service ended at once: %v\n%s", s.exited, s.tail(40))
	case <-time.After(30 * time.Second):
		t.Fatalf("the service does not say where its pages are\n%s", s.tail(40))
	}
	return s
}

// read keeps the log and finds the address in it.
func (s *service) read(from io.Reader, done chan<- struct{}) {
	defer close(done)
	in := bufio.NewScanner(from)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := in.Text()
		if _, address, ok := strings.Cut(line, "pages at "); ok {
			select {
			case s.pages <- strings.TrimSuffix(address, "/"):
			default:
			}
		}
		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, from) // a line over the bound must not stop the process
}

// tail is the end of the log.
func (s *service) tail(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines[max(0, len(s.lines)-n):], "\n")
}

// running fails the test if the service has ended.
func (s *service) running(t *testing.T) {
	t.Helper()
	select {
	case <-s.ended:
		t.Fatalf("the service has ended: %v\n%s", s.exited, s.tail(60))
	default:
	}
}

// ready waits until the service says that it is.
func (s *service) ready(t *testing.T, within time.Duration) *service {
	t.Helper()
	said := ""
	eventually(t, within, func() string {
		s.running(t)
		code, body := s.get(t, "/readyz")
		if said = body; code != http.StatusOK {
			return "the service is not ready: " + said
		}
		return ""
	})
	return s
}

// get asks the service and returns the answer, 0 where there is none.
func (s *service) get(t *testing.T, path string) (code int, body string) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Get(s.url + path)
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

// metric returns one figure of /metrics, by name and labels as they stand there.
func (s *service) metric(t *testing.T, name string) float64 {
	t.Helper()
	_, body := s.get(t, "/metrics")
	for line := range strings.Lines(body) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatalf("reading %s: %v", line, err)
			}
			return f
		}
	}
	return 0
}

// memory is the largest resident memory the process ever had, in bytes.
func (s *service) memory(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmHWM:" {
			kb, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("the system does not tell a process's memory")
	return 0
}

// kill ends the replica with SIGKILL.
func (s *service) kill(t *testing.T) {
	t.Helper()
	s.running(t)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.ended
}

// stop ends the replica as an operator does, and wants a clean end.
func (s *service) stop(t *testing.T) {
	t.Helper()
	s.running(t)
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.ended:
	case <-time.After(40 * time.Second):
		t.Fatalf("the service does not stop\n%s", s.tail(40))
	}
	if s.exited != nil {
		t.Errorf("stopping ended with %v\n%s", s.exited, s.tail(40))
	}
	t.Logf("stopped within %s", time.Since(began).Round(time.Millisecond))
}

// eventually waits until check says nothing more.
func eventually(t *testing.T, within time.Duration, check func() (wrong string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		wrong := check()
		if wrong == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("after %s: %s", within, wrong)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
