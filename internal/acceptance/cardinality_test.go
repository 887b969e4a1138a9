package acceptance

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// attackEvents is how many events the attack has; MODELWATCH_ATTACK_EVENTS says otherwise.
const attackEvents = 100_000

// TestCardinalityAttack sends events of which each has an id, a version, a
// category, a slice and a feature name of its own, and one in ten a model of
// its own: nothing may grow with them, everything is counted, and people are
// told once.
func TestCardinalityAttack(t *testing.T) {
	t.Parallel()
	events := attackEvents
	if v := os.Getenv("MODELWATCH_ATTACK_EVENTS"); v != "" {
		var err error
		if events, err = strconv.Atoi(v); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, testkit.Kafka(t), testkit.ClickHouse(t))
	topic := w.kafka.CreateTopic(t, testkit.Name(t, "attack"), 2, map[string]string{"max.message.bytes": "150000000"})
	w.monitor(t, fmt.Sprintf(`
model: shop
topics: [%s]
window: 1h
lateness: 5s
slices: [city]
features:
  price: {type: number, min: 0, max: 1000000000}
  city: {type: category, set: [ulm, bonn]}
`, topic), nil)
	s := w.start(t).ready(t, 60*time.Second)
	alerts := subscribe(t, w.nats.URL, schemas.StreamAlerts)

	began := time.Now()
	const each = 25_000
	known := 0
	for i := 0; i < events; {
		var records []testkit.Record
		for ; len(records) < each && i < events; i++ {
			model := "shop"
			if i%10 == 9 {
				model = "ghost" + strconv.Itoa(i)
			} else {
				known++
			}
			records = append(records, testkit.Record{
				// All of them lie in one window, so that the figures of a window are bounded too.
				Topic: topic, Pin: int32(1 + i/each%2), Time: noon.Add(time.Duration(float64(i) / float64(events) * float64(50*time.Minute))),
				Value: fmt.Appendf(nil, `{"id":"id%d","model":%q,"version":"v%d","features":{"price":%d,"city":"city%d","name%d":1},"prediction":%d}`, i, model, i, i, i, i, i%7),
			})
		}
		testkit.Produce(t, w.kafka.Addr, records)
		s.running(t)
	}
	within := 60*time.Second + time.Duration(events)*200*time.Microsecond
	eventually(t, within, func() string {
		if got := int(s.metric(t, "modelwatch_records_total")); got < events {
			return fmt.Sprintf("%d of %d events are read", got, events)
		}
		return ""
	})
	t.Logf("%d events were sent and read within %s", events, time.Since(began).Round(time.Second))

	// Counted: nothing is dropped in silence.
	for name, want := range map[string]int{
		"modelwatch_records_total": events, "modelwatch_rows_total": known,
		`modelwatch_rejected_total{reason="unknown_model"}`: events - known,
	} {
		if got := int(s.metric(t, name)); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	count := func(what, where string) int {
		t.Helper()
		n, err := strconv.Atoi(w.clickHouse.Query(t, fmt.Sprintf("SELECT %s FROM %s.windows WHERE %s", what, w.database, where)))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	eventually(t, 60*time.Second, func() string {
		if got := count("sum(present)", "slice = '' AND role = 'feature' AND feature = 'city'"); got != known {
			return fmt.Sprintf("%d cities are stored, want %d", got, known)
		}
		return ""
	})
	if got := count("sum(rows)", "slice = '' AND role = 'rows' AND feature = 'extra_column'"); got != known {
		t.Errorf("%d events with unknown features are stored, want %d", got, known)
	}
	if got := count("sum(present)", "slice LIKE 'city=%' AND role = 'feature' AND feature = 'price'"); got != known {
		t.Errorf("%d rows are in slices, want %d", got, known)
	}
	// Bounded: names of versions by those of a chunk, slices, features and models by the monitor.
	chunks, err := strconv.Atoi(w.clickHouse.Query(t, "SELECT uniqExact(partition, chunk_start) FROM "+w.database+".progress_chunks"))
	if err != nil {
		t.Fatal(err)
	}
	for what, most := range map[string]int{
		"uniqExact(version)": 33 * chunks, "uniqExact(slice)": 4, "uniqExact(feature)": 40, "uniqExact(model)": 1,
	} {
		if got := count(what, "1"); got > most {
			t.Errorf("%s is %d, at most %d", what, got, most)
		}
	}
	_, metrics := s.get(t, "/metrics")
	if len(metrics) > 200<<10 {
		t.Errorf("/metrics has grown to %d KiB", len(metrics)>>10)
	}
	// Told once.
	eventually(t, 60*time.Second, func() string {
		for _, fault := range []schemas.Fault{schemas.FaultUnexpectedValue, schemas.FaultExtraColumn} {
			firing := 0
			for _, m := range alerts.all() {
				if m.alert.Fault == fault && m.alert.Transition == schemas.TransitionFiring {
					firing++
				}
			}
			if firing != 1 {
				return fmt.Sprintf("%d alerts of %s, want one\n%s", firing, fault, alerts.titles())
			}
		}
		return ""
	})
	// Each of the two incidents may be updated ten times, however long it goes on.
	if got := len(alerts.all()); got > 2*(1+10) {
		t.Errorf("%d messages:\n%s", got, alerts.titles())
	}
	got := s.memory(t)
	if got > largestMemory {
		t.Errorf("the service used %d MiB, at most %d are meant", got>>20, largestMemory>>20)
	}
	t.Logf("the service used %d MiB at most; %d messages, %d KiB of metrics, %d versions of %d chunks, %d slices", got>>20, len(alerts.all()), len(metrics)>>10, count("uniqExact(version)", "1"), chunks, count("uniqExact(slice)", "1"))
	s.stop(t)
}
