package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/modelwatch/modelwatch/schemas"
)

// LatencyConfig says how the way from an event to an alert is measured.
type LatencyConfig struct {
	Servers    *Servers
	Seed       uint64
	Rate       int           // rows a second over all models
	Models     int           // each has one fault
	Partitions int           // of the topic
	For        time.Duration // the stretch over which the faults are spread
	Program    string        // of the service; "" for this one
	Progress   func(string)
}

// Latency is what was measured: milliseconds from handing the first bad event
// of a fault to the producer until its firing message was read from JetStream.
type Latency struct {
	Machine Machine  `json:"machine"`
	Rate    int      `json:"rows_per_second"`
	Models  int      `json:"models"`
	Faults  int      `json:"faults"` // of which a message came
	P50     float64  `json:"p50_ms"`
	P90     float64  `json:"p90_ms"`
	P99     float64  `json:"p99_ms"`
	Worst   float64  `json:"worst_ms"`
	Targets []Target `json:"targets"`
}

const (
	badRows     = 10               // of a fault; five in a row trip a rule
	settle      = 8 * time.Second  // rows flow before the first fault
	latest      = 60 * time.Second // a message is waited for after the last fault
	readyWithin = 2 * time.Minute
)

// AlertLatency runs the service as a process of its own, lets rows flow and
// makes a column of one model after the other wrong for some rows.
func AlertLatency(ctx context.Context, cfg LatencyConfig) (out *Latency, err error) {
	if cfg.Rate < 100 || cfg.Models < 1 || cfg.Partitions < 1 || cfg.For <= 0 {
		return nil, errors.New("at least 100 rows a second of one model are needed")
	}
	b := &Bench{cfg: Config{Servers: cfg.Servers, Progress: cfg.Progress}}
	if b.conn, err = connect(cfg.Servers.ClickHouse); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	client, t, err := b.pacedTopic(ctx, Case{Codec: "lz4", Partitions: cfg.Partitions})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	defer func() { err = errors.Join(err, remove(context.WithoutCancel(ctx), cfg.Servers.Kafka, t.name)) }()
	w := New(Shape{Kind: Features, Features: 20, Models: cfg.Models}, cfg.Seed)
	b.say("starting the service with %d models", cfg.Models)
	s, err := b.service(ctx, cfg.Program, t, w)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop(), b.dropName(s.database)) }()
	alerts, err := hear(ctx, cfg.Servers.NATS, w)
	if err != nil {
		return nil, err
	}
	defer alerts.close()
	b.say("%d rows a second for %s, a fault of one model after the other", cfg.Rate, settle+cfg.For)
	faulty := &faulty{w: w, rate: cfg.Rate, over: cfg.For, at: map[int]time.Time{}}
	if err := faulty.produce(ctx, client, t, func() error { return s.running() }); err != nil {
		return nil, fmt.Errorf("producing events: %w", err)
	}
	b.say("waiting for the last messages")
	if err := faulty.await(ctx, alerts, s); err != nil {
		return nil, err
	}
	took := alerts.since(faulty.at)
	if len(took) == 0 {
		return nil, fmt.Errorf("no alert came\n%s", s.tail())
	}
	out = &Latency{
		Machine: machine(), Rate: cfg.Rate, Models: cfg.Models, Faults: len(took),
		P50: quantile(took, .5), P90: quantile(took, .9), P99: quantile(took, .99), Worst: quantile(took, 1),
	}
	out.Machine.Runs = cfg.Models
	out.Targets = []Target{
		{"hard error, produced to firing message read, p99 ms", "≤ 2000", out.P99, out.P99 <= 2000},
		{"faults of which a message came", fmt.Sprintf("≥ %d", cfg.Models), float64(len(took)), len(took) == cfg.Models},
	}
	return out, nil
}

// service is the program as a user runs it.
type service struct {
	database string
	dir      string
	cmd      *exec.Cmd
	ended    chan struct{}
	url      string
	exited   error

	mu    sync.Mutex
	lines []string
}

// service writes settings and monitors, starts the program and waits until it is ready.
func (b *Bench) service(ctx context.Context, program string, t *topic, w *Workload) (s *service, err error) {
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("finding this program's file: %w", err)
		}
	}
	s = &service{database: fresh("bench"), ended: make(chan struct{})}
	if s.dir, err = os.MkdirTemp("", "modelwatch-bench-"); err != nil {
		return nil, fmt.Errorf("making a folder for the service: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if err := s.configure(b.cfg.Servers, t, w); err != nil {
		return nil, fmt.Errorf("writing the settings of the service: %w", err)
	}
	s.cmd = exec.Command(program, "run", "--config", filepath.Join(s.dir, "modelwatch.yaml")) //nolint:gosec // the program itself
	s.cmd.Dir = s.dir
	out, in := io.Pipe()
	s.cmd.Stdout, s.cmd.Stderr = in, in
	pages := make(chan string, 1)
	if err := s.cmd.Start(); err != nil {
		close(s.ended)
		return nil, fmt.Errorf("starting the service: %w", err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		s.read(out, pages)
	}()
	go func() {
		s.exited = s.cmd.Wait()
		_ = in.Close()
		<-read
		close(s.ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	select {
	case s.url = <-pages:
	case <-s.ended:
		return nil, s.running()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the service: %w\n%s", context.Cause(ctx), s.tail())
	}
	return s, s.ready(ctx)
}

// configure writes the settings, and a monitor for each model.
func (s *service) configure(servers *Servers, t *topic, w *Workload) error {
	settings := fmt.Sprintf(`
kafka: {brokers: [%q], group: %q}
clickhouse: {addr: [%q], database: %s}
nats: {url: %q}
monitors: monitors
http: {listen: "127.0.0.1:0"}
log: {level: info, format: json}
`, servers.Kafka, t.name, servers.ClickHouse, s.database, servers.NATS)
	if err := os.WriteFile(filepath.Join(s.dir, "modelwatch.yaml"), []byte(settings), 0o600); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.dir, "monitors"), 0o700); err != nil {
		return err
	}
	for i := range w.Models {
		var text bytes.Buffer
		fmt.Fprintf(&text, "model: %s\ntopics: [%s]\nwindow: 1h\nfeatures:\n", ModelName(i), t.name)
		for j := range w.columns {
			of := schemas.TypeNumber
			if w.columns[j].form == category {
				of = schemas.TypeCategory
			}
			fmt.Fprintf(&text, "  %s: {type: %s}\n", w.columns[j].name, of)
		}
		if err := os.WriteFile(filepath.Join(s.dir, "monitors", ModelName(i)+".yaml"), text.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// read keeps the log and finds the address of the pages in it.
func (s *service) read(from io.Reader, pages chan<- string) {
	in := bufio.NewScanner(from)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := in.Text()
		if _, address, ok := strings.Cut(line, "pages at "); ok {
			address, _, _ = strings.Cut(address, `"`)
			select {
			case pages <- strings.TrimSuffix(address, "/"):
			default:
			}
		}
		s.mu.Lock()
		s.lines = append(s.lines, line)
		s.lines = s.lines[max(0, len(s.lines)-40):]
		s.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, from) // a line over the bound must not stop the process
}

// tail is the end of the log.
func (s *service) tail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// running says so if the service has ended.
func (s *service) running() error {
	select {
	case <-s.ended:
		return fmt.Errorf("the service has ended: %w\n%s", s.exited, s.tail())
	default:
		return nil
	}
}

// ready waits until the service says that it is.
func (s *service) ready(ctx context.Context) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.ended:
			return s.running()
		case <-ctx.Done():
			return fmt.Errorf("waiting for the service: %w\n%s", context.Cause(ctx), s.tail())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stop ends the service and removes its files.
func (s *service) stop() error {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-s.ended:
		case <-time.After(40 * time.Second):
			_ = s.cmd.Process.Kill()
			<-s.ended
		}
	}
	return os.RemoveAll(s.dir)
}

// dropName removes the service's database.
func (b *Bench) dropName(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := b.conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" SYNC"); err != nil {
		return fmt.Errorf("dropping the database of the service: %w", err)
	}
	return nil
}

// alerts are the firing messages that have come, by model.
type alerts struct {
	conn    *nats.Conn
	reading jetstream.ConsumeContext
	number  map[string]int // of the models
	mu      sync.Mutex
	at      map[int]time.Time
}

// hear reads the stream of alerts from now on.
func hear(ctx context.Context, url string, w *Workload) (*alerts, error) {
	conn, err := nats.Connect(url)
	if err != nil {
		return nil, fmt.Errorf("reaching NATS: %w", err)
	}
	a := &alerts{conn: conn, number: map[string]int{}, at: map[int]time.Time{}}
	for i := range w.Models {
		a.number[ModelName(i)] = i
	}
	js, err := jetstream.New(conn)
	if err == nil {
		var consumer jetstream.Consumer
		consumer, err = js.OrderedConsumer(ctx, schemas.StreamAlerts, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy})
		if err == nil {
			a.reading, err = consumer.Consume(a.take)
		}
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("reading %s: %w", schemas.StreamAlerts, err)
	}
	return a, nil
}

func (a *alerts) take(m jetstream.Msg) {
	now := time.Now()
	var alert schemas.Alert
	if err := json.Unmarshal(m.Data(), &alert); err != nil || alert.Transition != schemas.TransitionFiring || alert.Fault != schemas.FaultWrongType {
		return
	}
	i, ours := a.number[alert.Model]
	if !ours {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, told := a.at[i]; !told {
		a.at[i] = now
	}
}

func (a *alerts) close() {
	a.reading.Stop()
	a.conn.Close()
}

// since returns how long each message took, in milliseconds.
func (a *alerts) since(began map[int]time.Time) []float64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []float64
	for i, at := range a.at {
		out = append(out, milliseconds(at.Sub(began[i])))
	}
	return out
}

// faulty produces rows at a steady rate, some of them wrong.
type faulty struct {
	w    *Workload
	rate int
	over time.Duration
	at   map[int]time.Time // when the first bad row of a model was handed to the producer
	left map[int]int       // bad rows yet to come
}

// produce passes rows on, in the event time of now.
func (f *faulty) produce(ctx context.Context, client *kgo.Client, t *topic, check func() error) error {
	began := time.Now()
	f.left = map[int]int{}
	f.w.Skip(began.Sub(start))
	var failed error
	var mu sync.Mutex
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	next, rows := 0, 0
	for end := settle + f.over; ; {
		gone := time.Since(began)
		for ; next < f.w.Models && gone >= settle+time.Duration(next)*f.over/time.Duration(f.w.Models); next++ {
			f.left[next] = badRows
		}
		for due := int(gone.Seconds() * float64(f.rate)); rows < due; rows++ {
			value := f.row(time.Since(began))
			client.Produce(ctx, &kgo.Record{Topic: t.name, Partition: int32(rows % t.partitions), Value: value, Timestamp: time.Now()}, func(_ *kgo.Record, err error) {
				if err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			})
		}
		mu.Lock()
		err := failed
		mu.Unlock()
		if err := errors.Join(err, check()); err != nil {
			return err
		}
		if gone >= end && len(f.left) == 0 {
			return client.Flush(ctx)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// row makes the next row, wrong if its model has a fault now.
func (f *faulty) row(gone time.Duration) []byte {
	f.w.keep(gone)
	value, _ := f.w.Append(nil)
	i := f.w.model
	if f.left[i] == 0 {
		return value
	}
	const from = `"feat_000":`
	at := bytes.Index(value, []byte(from)) + len(from)
	end := at + bytes.IndexByte(value[at:], ',')
	bad := append(append(append([]byte(nil), value[:at]...), `"wrong"`...), value[end:]...)
	if f.left[i] == badRows {
		f.at[i] = time.Now()
	}
	if f.left[i]--; f.left[i] == 0 {
		delete(f.left, i)
	}
	return bad
}

// await waits until a message has come of each fault.
func (f *faulty) await(ctx context.Context, a *alerts, s *service) error {
	for end := time.Now().Add(latest); time.Now().Before(end); {
		a.mu.Lock()
		n := len(a.at)
		a.mu.Unlock()
		if n == len(f.at) {
			return nil
		}
		if err := s.running(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
