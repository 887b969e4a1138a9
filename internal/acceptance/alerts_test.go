package acceptance

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// noon is when the traffic of the tests begins, in event time.
var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

func minute(n float64) time.Time { return noon.Add(time.Duration(n * float64(time.Minute))) }

// shop makes topics and traffic of models, and their monitors.
func shop(t *testing.T, w *world, partitions int32, models ...string) *testkit.Traffic {
	t.Helper()
	tr := &testkit.Traffic{Seed: 20260105, Start: noon, Every: 100 * time.Millisecond}
	topic := func(name string) string {
		return w.kafka.CreateTopic(t, testkit.Name(t, name), partitions, nil)
	}
	features, predictions, labels := topic("features"), topic("predictions"), topic("labels")
	for _, name := range models {
		tr.Models = append(tr.Models, testkit.TrafficModel{
			Name: name, Version: "7", Features: features, Predictions: predictions, Labels: labels, LabelDelay: 30 * time.Second,
		})
		w.monitor(t, fmt.Sprintf(`
model: %s
task: binary
positive: "yes"
topics: [%s, %s, %s]
window: 1m
lateness: 20s
late_horizon: 20m
slices: [country]
baseline: %s.json
retrain:
  when: {drift: true}
  cooldown: 24h
`, name, features, predictions, labels, name), tr.Baseline(t, name, 12_000, time.Minute))
	}
	return tr
}

// faults are wrong for some minutes each, with repairs between.
func faults(model string) []testkit.TrafficFault {
	return []testkit.TrafficFault{
		{Model: model, Fault: schemas.FaultWrongType, Column: "age", From: minute(16), To: minute(19), Share: 1},
		{Model: model, Fault: schemas.FaultNulls, Column: "ratio", From: minute(24), To: minute(28), Share: .2},
		{Model: model, Fault: schemas.FaultDrift, Column: "amount", From: minute(33), To: minute(38), Size: 20},
		{Model: model, Fault: schemas.FaultUnparsable, From: minute(43), To: minute(45), Share: .5},
	}
}

// told is what must be told of faults that were repaired.
func told(model string) []string {
	return []string{
		model + " wrong_type [age]: firing resolved",
		model + " nulls [ratio]: firing resolved",
		model + " drift [amount]: firing resolved",
		model + " unparsable [features]: firing resolved",
	}
}

func TestAlertsOnRealServers(t *testing.T) {
	w := newWorld(t, testkit.Kafka(t), testkit.ClickHouse(t))
	tr := shop(t, w, 3, "orders", "refunds")
	tr.Faults = faults("orders")
	tr.Noise = testkit.Noise{Late: .002, TooLate: .0005, Future: .0003, Duplicate: .001, Malformed: .0005}
	probes := w.kafka.CreateTopic(t, testkit.Name(t, "probes"), 1, nil)
	const probed = 8
	for i := range probed {
		w.monitor(t, fmt.Sprintf("model: probe%d\ntopics: [%s]\nwindow: 1m\nfeatures: {x: {type: number}}\n", i, probes), nil)
	}
	s := w.start(t).ready(t, 60*time.Second)
	alerts, requests := subscribe(t, w.nats.URL, schemas.StreamAlerts), subscribe(t, w.nats.URL, schemas.StreamRetrain)

	// A quarter of an hour of clean events, and time to say something of them.
	began := time.Now()
	produce := func(from, to float64) {
		t.Helper()
		testkit.Produce(t, w.kafka.Addr, tr.Records(minute(from), minute(to)))
	}
	produce(0, 15)
	eventually(t, 60*time.Second, func() string {
		if n := w.clickHouse.Query(t, "SELECT uniqExact(window_start) FROM "+w.database+".windows WHERE model = 'refunds' AND role = 'feature' AND closed"); n != "15" && n != "14" {
			return n + " windows of clean events are closed, want 14"
		}
		return ""
	})
	time.Sleep(2 * time.Second)
	if got := alerts.titles(); got != "" {
		t.Fatalf("alerts on clean events:\n%s", got)
	}
	t.Logf("clean events were judged within %s", time.Since(began).Round(time.Millisecond))

	hardLatency(t, w, alerts, probes, probed)

	// One fault after the other; each must be told while the stream goes on.
	began = time.Now()
	steps := []struct {
		from, to float64
		fault    schemas.Fault
		columns  []string
	}{
		{15, 17, schemas.FaultWrongType, []string{"age"}},
		{17, 27, schemas.FaultNulls, []string{"ratio"}},
		{27, 36, schemas.FaultDrift, []string{"amount"}},
		{36, 44, schemas.FaultUnparsable, []string{"features"}},
	}
	// A partition that was idle is believed to be so for ten seconds: a burst of
	// more event time than lateness could close a window before all of it is read.
	flow := func(from, to float64) {
		for at := from; at < to; at += .25 {
			produce(at, min(at+.25, to))
			time.Sleep(250 * time.Millisecond)
		}
	}
	for _, step := range steps {
		flow(step.from, step.to)
		eventually(t, 60*time.Second, func() string {
			if alerts.firing("orders", step.fault, step.columns...) == nil {
				return fmt.Sprintf("no firing message for %s of %v\n%s", step.fault, step.columns, alerts.titles())
			}
			return ""
		})
	}
	flow(44, 51)
	want := told("orders")
	for i := range probed {
		want = append(want, fmt.Sprintf("probe%d wrong_type [x]: firing", i))
	}
	alerts.wantStory(t, 90*time.Second, want...)
	t.Logf("all faults were told and resolved within %s", time.Since(began).Round(time.Millisecond))
	time.Sleep(2 * time.Second) // for a message too many
	alerts.wantStory(t, 0, want...)
	alerts.wantOrder(t, w.nats.URL)
	wantRequest(t, requests)
	w.recount(t, 60*time.Second)
	s.stop(t)
}

// wantRequest checks that one request was made, for the drift.
func wantRequest(t *testing.T, requests *subscriber) {
	t.Helper()
	all := requests.all()
	if len(all) != 1 {
		t.Fatalf("%d retrain requests, want one: %+v", len(all), all)
	}
	var r schemas.RetrainRequest
	if err := json.Unmarshal(all[0].body, &r); err != nil {
		t.Fatal(err)
	}
	if r.Model != "orders" || r.Version != "7" || len(r.Incidents) != 1 ||
		!slices.ContainsFunc(r.Causes, func(c schemas.Cause) bool { return c.Kind == "drift" && c.Column == "amount" }) {
		t.Errorf("the request is %s", all[0].body)
	}
	if want := "modelwatch.retrain.orders." + r.Request; all[0].subject != want {
		t.Errorf("the subject is %s, want %s", all[0].subject, want)
	}
	wantHeaders(t, &all[0], "modelwatch.retrain.requested", r.Request)
	wantSchema(t, &all[0], "retrain_request")
}

// hardLatency measures how long it takes from the fifth bad event to the
// message that a subscriber reads, while the stream flows.
func hardLatency(t *testing.T, w *world, alerts *subscriber, topic string, models int) {
	t.Helper()
	var took []time.Duration
	for i := range models {
		name := fmt.Sprintf("probe%d", i)
		events := func(n int, value string) (records []testkit.Record) {
			for range n {
				records = append(records, testkit.Record{Topic: topic, Time: minute(15), Value: fmt.Appendf(nil, `{"model":%q,"features":{"x":%s}}`, name, value)})
			}
			return records
		}
		testkit.Produce(t, w.kafka.Addr, events(100, "1"))
		began := time.Now()
		testkit.Produce(t, w.kafka.Addr, events(20, `"one"`))
		eventually(t, 60*time.Second, func() string {
			if m := alerts.firing(name, schemas.FaultWrongType, "x"); m != nil {
				took = append(took, m.at.Sub(began))
				return ""
			}
			return "no firing message for " + name
		})
	}
	slices.Sort(took)
	t.Logf("from event to firing message: median %s, worst of %d %s", took[len(took)/2].Round(time.Millisecond), len(took), took[len(took)-1].Round(time.Millisecond))
	if worst := took[len(took)-1]; worst > 10*time.Second {
		t.Errorf("a firing message took %s", worst)
	} else if worst > 2*time.Second {
		t.Logf("over the 2 s that are promised on a machine with nothing else to do")
	}
}
