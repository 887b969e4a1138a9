package acceptance

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// largestMemory is what a replica that reads a few small partitions may ever
// use, whatever comes.
const largestMemory = 400 << 20

// toll is a monitor of two features.
func toll(model string, topics ...string) string {
	return fmt.Sprintf(`
model: %s
topics: [%s]
window: 1m
lateness: 5s
late_horizon: 1h
features:
  price: {type: number, min: 0, max: 1000000000000000}
  gate: {type: category, set: [north, south]}
`, model, strings.Join(topics, ", "))
}

// passages are n events that are as they should be, a tenth of a second apart.
func passages(model, topic string, pin int32, from time.Time, n int) []testkit.Record {
	out := make([]testkit.Record, n)
	for i := range out {
		out[i] = testkit.Record{
			Topic: topic, Pin: pin, Time: from.Add(time.Duration(i) * 100 * time.Millisecond),
			Value: fmt.Appendf(nil, `{"id":"%s-%s-%d","model":%q,"version":"1","features":{"price":%d,"gate":"north"}}`, topic, from.Format("150405.000"), i, model, i%50),
		}
	}
	return out
}

// badInput lists what came, why it is not used ("" for what is), and a figure
// of the view windows that shows it.
var badInput = []struct{ name, value, reason, figure, where string }{
	{"empty", "", "empty", "rows", "feature = 'unparsable'"},
	{"white space", " \n", "empty", "rows", "feature = 'unparsable'"},
	{"tombstone", "\x00tombstone", "tombstone", "", ""},
	{"invalid UTF-8", `{"model":"toll","features":{"gate":"` + "\xc3\x28" + `"}}`, "invalid_utf8", "rows", "feature = 'unparsable'"},
	{"truncated", `{"model":"toll","features":{"price":1`, "unparsable", "rows", "feature = 'unparsable'"},
	{"10 000 levels", `{"model":"toll","features":{"price":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}}`, "too_deep", "rows", "feature = 'unparsable'"},
	{"10 000 open levels", `{"model":"toll","features":{"price":` + strings.Repeat(`{"a":`, 10_000), "too_deep", "rows", "feature = 'unparsable'"},
	{"2 MiB", `{"model":"toll","features":{"gate":"` + strings.Repeat("x", 2<<20) + `"}}`, "too_large", "rows", "feature = 'unparsable'"},
	{"keys given twice", `{"model":"boat","model":"toll","features":{"price":-1,"price":2}}`, "", "present", "feature = 'price'"},
	{"1e999", `{"model":"toll","features":{"price":1e999}}`, "", "infs", "feature = 'price'"},
	{"NaN", `{"model":"toll","features":{"price":NaN}}`, "", "nans", "feature = 'price'"},
	{"-Infinity", `{"model":"toll","features":{"price":-Infinity}}`, "", "infs", "feature = 'price'"},
	{"above 2^53", `{"id":9007199254740993,"model":"toll","features":{"price":9007199254740993}}`, "", "outside", "feature = 'price'"},
	{"another id above 2^53", `{"id":9007199254740992,"model":"toll","features":{"price":9007199254740992}}`, "", "outside", "feature = 'price'"},
	{"another type", `{"model":"toll","features":{"price":"12"}}`, "", "bad", "feature = 'price'"},
	{"a list", `{"model":"toll","features":{"price":[1]}}`, "", "bad", "feature = 'price'"},
	{"unknown feature", `{"model":"toll","features":{"price":1,"colour":"red"}}`, "", "rows", "feature = 'extra_column'"},
	{"unknown model", `{"model":"ferry","features":{"price":1}}`, "unknown_model", "", ""},
	{"no model", `{"features":{"price":1}}`, "no_model", "", ""},
	{"unknown version", `{"model":"toll","version":"never seen","features":{"price":1}}`, "", "rows", "version = 'never seen' AND feature = 'features'"},
	{"the year 1", `{"model":"toll","ts":"0001-01-01T00:00:00Z","features":{"price":1}}`, "late_data", "rows", "feature = 'late_data'"},
	{"the year 9999", `{"model":"toll","ts":"9999-12-31T23:59:59Z","features":{"price":1}}`, "future_events", "rows", "feature = 'future_events'"},
	{"microseconds", `{"model":"toll","ts":1767614400000000,"features":{"price":1}}`, "bad_time", "rows", "feature = 'unparsable'"},
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Kafka(t), testkit.ClickHouse(t))
	bad := w.kafka.CreateTopic(t, testkit.Name(t, "bad"), 3, map[string]string{"max.message.bytes": "150000000"})
	good := w.kafka.CreateTopic(t, testkit.Name(t, "good"), 1, nil)
	later := testkit.Name(t, "later")
	w.monitor(t, toll("toll", bad), nil)
	w.monitor(t, toll("boat", bad, good, later), nil)
	s := w.start(t).ready(t, 60*time.Second)
	alerts := subscribe(t, w.nats.URL, schemas.StreamAlerts)

	// The year 1 comes first on a partition of its own too, where nothing is
	// known that it could be late against.
	records := []testkit.Record{{Topic: bad, Pin: 3, Time: noon, Value: []byte(`{"model":"toll","ts":"0001-01-01T00:00:00Z","features":{"price":1}}`)}}
	records = append(records, passages("toll", bad, 3, noon, 100)...)
	records = append(records, passages("toll", bad, 1, noon, 100)...)
	reasons := map[string]int{}
	for i := range badInput {
		b := &badInput[i]
		value := []byte(b.value)
		if b.value == "\x00tombstone" {
			value = nil
		}
		records = append(records, testkit.Record{Topic: bad, Pin: 1, Time: noon.Add(15 * time.Second), Value: value})
		// Good events between, so that no few of them in a row are all that is judged.
		records = append(records, passages("toll", bad, 1, noon.Add(15*time.Second+time.Duration(i)*time.Millisecond), 5)...)
		if b.reason != "" {
			reasons[b.reason]++
		}
	}
	testkit.Produce(t, w.kafka.Addr, records)
	huge := testkit.Record{Topic: bad, Pin: 1, Time: noon.Add(20 * time.Second), Value: bytes.Repeat([]byte("x"), 100<<20)}
	testkit.Produce(t, w.kafka.Addr, []testkit.Record{huge})
	testkit.Produce(t, w.kafka.Addr, slices.Concat(passages("toll", bad, 1, noon.Add(21*time.Second), 100),
		passages("toll", bad, 2, noon.Add(21*time.Second), 100), passages("boat", good, 1, noon, 100)))

	// The topic that was missing all the time is read when it is there.
	w.kafka.CreateTopic(t, later, 1, nil)
	made := time.Now()
	testkit.Produce(t, w.kafka.Addr, passages("boat", later, 1, noon, 50))
	w.recount(t, 60*time.Second)
	t.Logf("a topic made later was read within %s", time.Since(made).Round(time.Millisecond))
	s.running(t)

	for reason, n := range reasons {
		if got := s.metric(t, fmt.Sprintf("modelwatch_rejected_total{reason=%q}", reason)); int(got) < n {
			t.Errorf("%v events are counted as %s in the metrics, want %d", got, reason, n)
		}
	}
	if got := s.metric(t, "modelwatch_gaps_total"); got < 1 {
		t.Error("the message that was too large for any reading is no gap in the metrics")
	}
	for _, b := range badInput {
		if b.figure == "" {
			continue
		}
		if got := w.clickHouse.Query(t, fmt.Sprintf("SELECT sum(%s) FROM %s.windows WHERE model = 'toll' AND slice = '' AND %s", b.figure, w.database, b.where)); got == "0" || got == "" {
			t.Errorf("%s: no %s where %s", b.name, b.figure, b.where)
		}
	}
	if got := w.clickHouse.Query(t, "SELECT count() FROM "+w.database+".violations WHERE model = 'toll' AND fault = 'unparsable'"); got == "0" {
		t.Error("no sample of what could not be read is kept")
	}
	reasons["batch_too_large"]++
	wantLetters(t, w.kafka.Addr, bad, reasons)
	wantGap(t, alerts)
	for _, m := range alerts.all() {
		if f := m.alert.Fault; f != schemas.FaultUnparsable && f != schemas.FaultRetentionGap {
			t.Errorf("an alert that nothing is behind: %s\n%s", f, alerts.titles())
		}
	}
	if got := s.memory(t); got > largestMemory {
		t.Errorf("the service used %d MiB, at most %d are meant", got>>20, largestMemory>>20)
	} else {
		t.Logf("the service used %d MiB at most", got>>20)
	}
	s.stop(t)
}

// wantLetters reads the dead letters of a topic.
func wantLetters(t *testing.T, broker, topic string, want map[string]int) {
	t.Helper()
	got := map[string]int{}
	eventually(t, 60*time.Second, func() string {
		clear(got)
		for _, r := range readAll(t, broker, "modelwatch.dead_letters") {
			h := map[string]string{}
			for _, header := range r.Headers {
				h[header.Key] = string(header.Value)
			}
			if h["topic"] != topic {
				continue
			}
			got[h["reason"]]++
			if h["partition"] != "0" || h["offset"] == "" || h["size"] == "" {
				t.Errorf("a dead letter has the headers %v", h)
			}
			if len(r.Value) > 64<<10 {
				t.Errorf("a dead letter of %d bytes", len(r.Value))
			}
		}
		if !maps.Equal(got, want) {
			return fmt.Sprintf("dead letters are %v, want %v", got, want)
		}
		return ""
	})
}

// readAll reads a topic from beginning to end.
func readAll(t *testing.T, broker, topic string) (out []*kgo.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	want := int64(0)
	ends.Each(func(o kadm.ListedOffset) { want += max(o.Offset, 0) })
	for int64(len(out)) < want {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("reading %s: %v", topic, err)
		}
		out = append(out, fetches.Records()...)
	}
	return out
}

// wantGap waits until it is told that a record was left out.
func wantGap(t *testing.T, alerts *subscriber) {
	t.Helper()
	eventually(t, 60*time.Second, func() string {
		for _, m := range alerts.all() {
			if m.alert.Model == "toll" && m.alert.Fault == schemas.FaultRetentionGap {
				return ""
			}
		}
		return "nobody is told of the record that was left out\n" + alerts.titles()
	})
}

// TestServersAway starts the service with nothing to reach and takes each
// server away once more while events come.
func TestServersAway(t *testing.T) {
	t.Parallel()
	kafka := testkit.NewKafka(t, testkit.KafkaOptions{})
	clickHouse := testkit.NewClickHouse(t)
	w := newWorld(t, kafka, clickHouse)
	topic := kafka.CreateTopic(t, "tolls", 2, nil)
	w.monitor(t, toll("toll", topic), nil)
	began := time.Now()
	stage := func(what string) {
		t.Logf("%s: %s", what, time.Since(began).Round(time.Millisecond))
		began = time.Now()
	}
	at := noon
	produce := func(value string) {
		t.Helper()
		n := 300
		records := slices.Concat(passages("toll", topic, 1, at, n), passages("toll", topic, 2, at, n))
		at = at.Add(time.Minute)
		if value != "" {
			for i := range records {
				records[i].Value = fmt.Appendf(nil, `{"id":"x%s-%d","model":"toll","version":"1","features":{"price":%s,"gate":"north"}}`, at.Format("150405"), i, value)
			}
		}
		testkit.Produce(t, kafka.Addr, records)
	}
	produce("")
	kafka.Stop(t)
	clickHouse.Stop(t)
	w.nats.Stop(t)

	s := w.start(t)
	time.Sleep(3 * time.Second)
	s.running(t)
	if code, _ := s.get(t, "/healthz"); code != http.StatusOK {
		t.Errorf("alive, it says %d", code)
	}
	if code, said := s.get(t, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(said, "clickhouse") || !strings.Contains(said, "nats") {
		t.Errorf("with nothing to reach it says %d %s", code, said)
	}
	clickHouse.Start(t)
	time.Sleep(2 * time.Second)
	w.nats.Start(t)
	kafka.Start(t)
	began = time.Now()
	s.ready(t, 90*time.Second)
	stage("ready after all servers came")
	alerts := subscribe(t, w.nats.URL, schemas.StreamAlerts)
	w.recount(t, 60*time.Second)
	stage("what waited is stored")

	// ClickHouse: what comes in the meantime is stored afterwards.
	clickHouse.Stop(t)
	produce("")
	time.Sleep(3 * time.Second)
	s.running(t)
	if code, said := s.get(t, "/readyz"); code == http.StatusOK {
		t.Errorf("without ClickHouse it says %s", said)
	}
	clickHouse.Start(t)
	began = time.Now()
	w.recount(t, 60*time.Second)
	stage("equal after ClickHouse came back")

	// NATS: what is found in the meantime is told afterwards, once.
	w.nats.Stop(t)
	began = time.Now()
	produce(`"many"`)
	produce("")
	produce("")
	produce("")
	eventually(t, 60*time.Second, func() string {
		if got := w.clickHouse.Query(t, "SELECT count() FROM "+w.database+".incidents WHERE fault = 'wrong_type'"); got != "1" {
			return got + " incidents while NATS is away, want one"
		}
		return ""
	})
	stage("found while NATS is away")
	w.nats.Start(t)
	began = time.Now()
	alerts.wantStory(t, 90*time.Second, "toll wrong_type [price]: firing resolved")
	stage("told after NATS came back")

	// Kafka: a broker that dies and comes back.
	kafka.Kill(t)
	time.Sleep(3 * time.Second)
	s.running(t)
	began = time.Now()
	kafka.Start(t)
	stage("Kafka starts again")
	produce("")
	stage("Kafka takes events again")
	began = time.Now()
	w.recount(t, 90*time.Second)
	stage("equal after Kafka came back")
	alerts.wantStory(t, 0, "toll wrong_type [price]: firing resolved")
	alerts.wantOrder(t, w.nats.URL)
	if got := s.memory(t); got > largestMemory {
		t.Errorf("the service used %d MiB, at most %d are meant", got>>20, largestMemory>>20)
	}
	s.ready(t, 30*time.Second).stop(t)
}
