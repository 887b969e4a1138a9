package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/app"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// noon is when the events of these tests begin.
var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// site is one installation on real servers, with the service in this process.
type site struct {
	kafka      *testkit.KafkaServer
	clickHouse *testkit.ClickHouseServer
	nats       *testkit.NATSServer
	settings   config.Settings
	database   string
	events     int // made so far
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{kafka: testkit.Kafka(t), clickHouse: testkit.ClickHouse(t), nats: testkit.NewNATS(t)}
	s.database = s.clickHouse.Database(t)
	s.settings = *config.Default()
	s.settings.Kafka = config.Kafka{Brokers: []string{s.kafka.Addr}, Group: testkit.Name(t, "watch"), Isolation: "read_committed"}
	s.settings.ClickHouse = config.ClickHouse{Addr: []string{s.clickHouse.Addr}, Database: s.database}
	s.settings.NATS = config.NATS{URL: s.nats.URL, Replicas: 1}
	s.settings.HTTP = config.HTTP{Listen: "127.0.0.1:0"}
	s.settings.Monitors = t.TempDir()
	return s
}

// monitor writes a monitor file.
func (s *site) monitor(t *testing.T, name, format string, values ...any) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.settings.Monitors, name), fmt.Appendf(nil, format, values...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// service is a running one.
type service struct {
	*app.App
	cancel context.CancelFunc
	done   chan error
	log    *journal
}

// journal keeps what the service says.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, strings.TrimSpace(string(p)))
	return len(p), nil
}

// count tells how many lines hold a text.
func (j *journal) count(text string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, l := range j.lines {
		if strings.Contains(l, text) {
			n++
		}
	}
	return n
}

func (j *journal) tail(n int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines[max(0, len(j.lines)-n):], "\n")
}

func (s *site) start(t *testing.T) *service {
	t.Helper()
	r := &service{done: make(chan error, 1), log: &journal{}}
	var err error
	if r.App, err = app.New(s.settings, "test", zerolog.New(r.log).With().Timestamp().Logger()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if r.done != nil {
			<-r.done
		}
		if t.Failed() {
			t.Logf("the log:\n%s", r.log.tail(60))
		}
	})
	eventually(t, 60*time.Second, func() string {
		for name, err := range r.Ready() {
			if err != nil {
				return name + ": " + err.Error()
			}
		}
		return ""
	})
	return r
}

func (r *service) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	select {
	case err := <-r.done:
		r.done = nil
		if err != nil {
			t.Errorf("stopping: %v", err)
		}
	case <-time.After(40 * time.Second):
		t.Fatalf("the service does not stop\n%s", r.log.tail(40))
	}
}

// query asks the database; FROM and JOIN name its tables by a leading dot.
func (s *site) query(t *testing.T, format string, values ...any) string {
	t.Helper()
	return s.clickHouse.Query(t, strings.ReplaceAll(fmt.Sprintf(format, values...), " .", " "+s.database+"."))
}

// wants waits until a query gives an answer.
func (s *site) wants(t *testing.T, within time.Duration, want, format string, values ...any) {
	t.Helper()
	eventually(t, within, func() string {
		if got := s.query(t, format, values...); got != want {
			return fmt.Sprintf("%s gives\n%s\nwant\n%s", fmt.Sprintf(format, values...), got, want)
		}
		return ""
	})
}

// produce sends n events of a model that begin at a minute after noon and are
// spread over so many minutes, all to one partition.
func (s *site) produce(t *testing.T, topic, model string, partition int32, from, minutes float64, n int) {
	t.Helper()
	records := make([]testkit.Record, n)
	for i := range records {
		s.events++
		at := noon.Add(time.Duration((from + minutes*float64(i)/float64(n)) * float64(time.Minute)))
		records[i] = testkit.Record{
			Topic: topic, Time: at, Pin: partition + 1,
			Value: fmt.Appendf(nil, `{"id":"%d","ts":%q,"model":%q,"version":"1","features":{"price":%d,"gate":%q}}`,
				s.events, at.Format(time.RFC3339Nano), model, 10+i%7, []string{"north", "south"}[i%2]),
		}
	}
	testkit.Produce(t, s.kafka.Addr, records)
}

// alerts lists what was published so far: fault, columns and transition, in order.
func (s *site) alerts(t *testing.T) (out []string) {
	t.Helper()
	conn, err := nats.Connect(s.nats.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), schemas.StreamAlerts)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq && seq > 0; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		var a schemas.Alert
		if err := json.Unmarshal(m.Data, &a); err != nil {
			t.Fatal(err)
		}
		if a.Transition != schemas.TransitionUpdated {
			out = append(out, fmt.Sprintf("%s %s %v %s", a.Model, a.Fault, a.Columns, a.Transition))
		}
	}
	return out
}

// eventually waits until check says nothing more.
func eventually(t *testing.T, within time.Duration, check func() (wrong string)) {
	t.Helper()
	for deadline := time.Now().Add(within); ; time.Sleep(100 * time.Millisecond) {
		wrong := check()
		if wrong == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %s", within, wrong)
		}
	}
}
