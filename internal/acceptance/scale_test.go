package acceptance

import (
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// TestKillAndScale breaks and moves the work while events come: what is stored
// and what is told must be as if nothing had happened.
func TestKillAndScale(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Kafka(t), testkit.ClickHouse(t))
	tr := shop(t, w, 4, "orders", "refunds")
	tr.Faults = append(faults("orders"),
		testkit.TrafficFault{Model: "refunds", Fault: schemas.FaultMissingColumn, Column: "channel", From: minute(21), To: minute(23), Share: 1})
	tr.Noise = testkit.Noise{Late: .01, TooLate: .0005, Future: .0003, Duplicate: .002, Malformed: .0005}
	const end = 51.

	first := w.start(t).ready(t, 60*time.Second)
	alerts, requests := subscribe(t, w.nats.URL, schemas.StreamAlerts), subscribe(t, w.nats.URL, schemas.StreamRetrain)

	var at float64 // minute up to which events were produced
	reached := make(chan float64)
	produced := make(chan struct{})
	go func() {
		defer close(produced)
		for m := 0.; m < end; m++ {
			if err := testkit.Send(t.Context(), w.kafka.Addr, tr.Records(minute(m), minute(m+1))); err != nil {
				t.Error(err)
				return
			}
			select {
			case reached <- m + 1:
			case <-time.After(1200 * time.Millisecond):
			case <-t.Context().Done():
				return
			}
		}
	}()
	await := func(m float64) {
		t.Helper()
		for at < m {
			select {
			case at = <-reached:
			case <-produced:
				return
			case <-time.After(time.Minute):
				t.Fatal("events are not produced")
			}
		}
	}

	await(17) // in the middle of a fault
	first.kill(t)
	again := w.start(t).ready(t, 90*time.Second)
	t.Log("a replica has taken the place of the killed one")
	second := w.start(t).ready(t, 60*time.Second)
	t.Log("a second replica has joined")
	time.Sleep(3 * time.Second)
	for name, s := range map[string]*service{"the first": again, "the second": second} {
		if s.metric(t, "modelwatch_records_total") == 0 {
			t.Errorf("%s of two replicas has read nothing", name)
		}
	}
	again.stop(t)
	t.Log("the first has left")
	await(end)
	<-produced

	want := append(told("orders"), "refunds missing_column [channel]: firing resolved")
	alerts.wantStory(t, 90*time.Second, want...)
	w.recount(t, 60*time.Second)
	second.stop(t)
	third := w.start(t).ready(t, 60*time.Second)
	time.Sleep(4 * time.Second) // for something that a new start would tell again
	alerts.wantStory(t, 0, want...)
	alerts.wantOrder(t, w.nats.URL)
	wantRequest(t, requests)
	w.recount(t, 60*time.Second)
	third.stop(t)
}
