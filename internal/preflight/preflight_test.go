package preflight_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/consumers/decode/native"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/preflight"
	"github.com/modelwatch/modelwatch/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

func TestReach(t *testing.T) {
	f := preflight.Reach(t.Context(), preflight.DefaultConfig(), "nats", "n:1", "start it", func(context.Context) error { return nil })
	if f != (preflight.Finding{State: preflight.OK, Subject: "nats", Message: "n:1 answers"}) {
		t.Errorf("%+v", f)
	}
	f = preflight.Reach(t.Context(), preflight.Config{Timeout: time.Millisecond}, "nats", "n:1", "start it", func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	if f.State != preflight.Error || !strings.HasPrefix(f.Message, "n:1 does not answer: ") || f.Hint != "start it" {
		t.Errorf("%+v", f)
	}
}

// monitors reads monitor files from their text.
func monitors(t *testing.T, bodies ...string) []config.Monitor {
	t.Helper()
	var paths []string
	for i, body := range bodies {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("%d.yaml", i))
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	m, err := config.ReadMonitors(paths)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// try returns what is said of the topics, one finding a line.
func try(t *testing.T, cfg preflight.Config, addr string, m []config.Monitor) ([]string, error) {
	t.Helper()
	c := consumers.DefaultConfig()
	c.Brokers = []string{addr}
	client, err := consumers.NewClient(c, &consumers.Stats{}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var said []string
	err = preflight.Topics(t.Context(), cfg, client, decode.Formats{"native": native.New}, m, func(f preflight.Finding) {
		said = append(said, fmt.Sprintf("%s %s: %s; %s", f.State, f.Subject, f.Message, f.Hint))
	})
	return said, err
}

func send(t *testing.T, addr, topic string, partition int32, values ...string) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, v := range values {
		if err := c.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: partition, Key: []byte("k"), Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTopics(t *testing.T) {
	k := testkit.Kafka(t)
	events := k.CreateTopic(t, testkit.Name(t, "events"), 2, nil)
	labels := k.CreateTopic(t, testkit.Name(t, "labels"), 1, map[string]string{"cleanup.policy": "compact"})
	empty := k.CreateTopic(t, testkit.Name(t, "empty"), 3, nil)
	absent := testkit.Name(t, "absent")
	fit := slices.Repeat([]string{`{"id":"1","model":"flight-delay","features":{"distance":1,"origin":"ORD","hour":null}}`}, 6)
	send(t, k.Addr, events, 0, fit...)
	send(t, k.Addr, events, 1,
		`{"id":"2","model":"flight-delay","features":{"distance":"far","distanc":1,"hour":1}}`,
		`{"id":"3","model":"flight-dely","features":{"distance":1}}`,
		`{"id":"4","model":"fare-quote","prediction":1}`,
		`{"id":`,
	)
	send(t, k.Addr, labels, 0, `{"id":"1","model":"flight-delay","label":"late"}`)
	m := monitors(t,
		"model: flight-delay\ntopics: ["+events+", "+labels+", "+absent+"]\nfeatures: {distance: {type: number}, origin: {type: category}, hour: {type: number}, carrier: {type: category}}",
		"model: no-show\ntopics: ["+empty+"]\nfeatures: {a: {type: number}}",
	)
	got, err := try(t, preflight.DefaultConfig(), k.Addr, m)
	if err != nil {
		t.Fatal(err)
	}
	// Topics come in order of their names, which end in random letters; so do partitions.
	for i := range got {
		got[i] = strings.NewReplacer(events, "EVENTS", labels, "LABELS", empty, "EMPTY", absent, "ABSENT").Replace(got[i])
	}
	want := []string{
		"error topic ABSENT: does not exist; make it, or correct `topics`; the service reads the others and takes it up when it appears",
		"warn topic EMPTY: 3 partitions, and no events; nothing can be said of their form yet",
		"warn topic EVENTS: 2 partitions; of the latest 10 events 7 can be used; ",
		"warn topic EVENTS: unparsable: 1 event, first at EVENTS/1@3 (",
		"warn topic EVENTS: unknown_model: 2 events, first at EVENTS/1@1",
		"warn topic LABELS: cleanup.policy is compact: ",
		"ok topic LABELS: 1 partition; the latest 1 event can be used; ",
		"warn model flight-delay: `distanc` is in 1 of 7 events and not in the monitor; did you mean `distance`?",
		"warn model flight-delay: `carrier` is in the monitor and in none of 7 events; ",
		"warn model flight-delay: `distance` is of another type than the monitor says in 1 of 7 events; ",
		"warn model no-show: none of its events is among those read; ",
	}
	if len(got) != len(want) {
		t.Fatalf("%d findings, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
	if !strings.Contains(got[4], "no monitor is checked for `flight-dely`, `fare-quote`; did you mean `flight-delay`?") {
		t.Error(got[4])
	}
}

// TestTopics_TheLatestEvents shows that only the end of a long topic is read.
func TestTopics_TheLatestEvents(t *testing.T) {
	k := testkit.Kafka(t)
	topic := k.CreateTopic(t, testkit.Name(t, "long"), 1, nil)
	send(t, k.Addr, topic, 0, slices.Repeat([]string{"not an event"}, 20)...)
	send(t, k.Addr, topic, 0, slices.Repeat([]string{`{"model":"m","features":{"a":1}}`}, 5)...)
	m := monitors(t, "model: m\ntopics: ["+topic+"]\nfeatures: {a: {type: number}}")
	f := func(sample int, want ...string) {
		t.Helper()
		got, err := try(t, preflight.Config{Sample: sample, Timeout: 10 * time.Second}, k.Addr, m)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, w) }) {
				t.Errorf("sample of %d: %s is missing in %q", sample, w, got)
			}
		}
	}
	f(5, "the latest 5 events can be used", "ok model m: 5 events read fit the monitor: 5 with features, 0 with predictions, 0 with labels")
	f(8, "of the latest 8 events 5 can be used")
	f(100, "of the latest 25 events 5 can be used")
}

// TestTopics_AServerThatIsSilent ends in time, with an error.
func TestTopics_AServerThatIsSilent(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	begin := time.Now()
	said, err := try(t, preflight.Config{Sample: 1, Timeout: 300 * time.Millisecond}, silent.Addr().String(), monitors(t, "model: m\ntopics: [t]\nfeatures: {a: {type: number}}"))
	if err == nil || !strings.Contains(err.Error(), "asking for topics") || len(said) > 0 {
		t.Errorf("%v, %q", err, said)
	}
	if spent := time.Since(begin); spent > 5*time.Second {
		t.Errorf("it took %s", spent)
	}
}
