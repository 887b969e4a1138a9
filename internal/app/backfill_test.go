package app_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/app"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// backfill asks for the past of a model and waits until its windows are read.
func (s *site) backfill(t *testing.T, model string, from time.Time) *app.Backfilling {
	t.Helper()
	monitors, err := config.Monitors(s.settings.Monitors)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := app.Backfill(t.Context(), s.settings, monitors, model, from, false, zerolog.Nop())
	if err != nil || plan.Spec != 0 {
		t.Fatalf("planning: %+v, %v", plan, err)
	}
	done, err := app.Backfill(t.Context(), s.settings, monitors, model, from, true, zerolog.Nop())
	if err != nil || done.Spec == 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	t.Logf("backfill: %+v", done)
	eventually(t, 90*time.Second, func() string {
		state, err := app.Backfilled(t.Context(), s.settings, monitors, done, zerolog.Nop())
		if err != nil {
			return err.Error()
		}
		if state.Read < state.Partitions || state.Partitions == 0 {
			return fmt.Sprintf("%+v", state)
		}
		return ""
	})
	again, err := app.Backfill(t.Context(), s.settings, monitors, model, from, true, zerolog.Nop())
	if err != nil || again.Spec != done.Spec {
		t.Errorf("asked for a second time: %+v, %v", again, err)
	}
	return done
}

// TestBackfillOfANewModel adds a model to a topic that is read already: its
// past, faults and all, is counted exactly and nobody is told of it; of what
// comes later people are told as ever.
func TestBackfillOfANewModel(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.counters(t, 2, "north")
	tr.Noise.Malformed = 0 // an event that names no model counts against the only one of its topic, which changes here
	topic := tr.Models[0].Features
	minute := func(m int) time.Time { return noon.Add(time.Duration(m) * time.Minute) }
	tr.Models = append(tr.Models, testkit.TrafficModel{Name: "new", Version: "1", Features: topic, Predictions: topic})
	tr.Faults = []testkit.TrafficFault{
		{Model: "new", Fault: schemas.FaultWrongType, Column: "amount", From: minute(2), To: minute(4), Share: 1},
		{Model: "new", Fault: schemas.FaultMissingColumn, Column: "channel", From: minute(24), To: minute(27), Share: 1},
	}
	one, two := s.start(t), s.start(t)
	n := 0
	produce := func(from, to int) {
		t.Helper()
		for m := from; m < to; m++ {
			records := tr.Records(minute(m), minute(m+1))
			testkit.Produce(t, s.kafka.Addr, records)
			n += len(records)
		}
	}
	produce(0, 12)
	s.wants(t, 90*time.Second, fmt.Sprint(n), "SELECT sum(offset) FROM .progress")
	s.counter(t, tr, "new", topic, "")
	eventually(t, 30*time.Second, func() string {
		if one.log.count(`"new"`) == 0 || two.log.count(`"new"`) == 0 {
			return "the model is not in force"
		}
		return ""
	})
	b := s.backfill(t, "new", time.Time{})
	if len(b.Partitions) != 2 || b.Partitions[0].From != 0 || !b.From.IsZero() || !b.Until.After(minute(12)) {
		t.Errorf("%+v", b)
	}
	produce(12, 20) // what is past ends in there
	s.wants(t, 60*time.Second, fmt.Sprint(n), "SELECT sum(offset) FROM .progress")
	s.wants(t, 60*time.Second, "18", "SELECT uniqExact(window_start) FROM .windows WHERE model = 'new' AND role = 'feature' AND closed AND window_start < %d", minute(18).Unix())
	wantEqual(t, s.verify(t, "new", nil), 20)
	wantEqual(t, s.verify(t, "north", nil), 20)
	if got := s.query(t, "SELECT count() FROM .verdicts WHERE model = 'new' AND channel = 'wrong_type' AND feature = 'amount' AND state = 'warn' AND window_start < %d", minute(5).Unix()); got != "2" {
		t.Errorf("the fault of the past has %s verdicts", got)
	}
	// Its open chunk was read, and judged, before the past was asked for: that is no past.
	if got := s.query(t, "SELECT fault, title, onset FROM .incidents WHERE model = 'new' AND onset < %d", minute(5).Unix()); got != "" {
		t.Errorf("the past has made incidents:\n%s", got)
	}
	produce(20, 30)
	eventually(t, 60*time.Second, func() string {
		told := join(s.alerts(t))
		switch {
		case strings.Contains(told, "new wrong_type"):
			t.Fatalf("the past was told:%s", told)
		case !strings.Contains(told, "new missing_column [channel] firing"):
			return "told:" + told
		}
		return ""
	})
	one.stop(t)
	two.stop(t)
	third := s.start(t)
	time.Sleep(4 * time.Second)
	if got := third.log.count("reading again"); got != 0 {
		t.Errorf("a new start reads %d chunks again", got)
	}
	wantEqual(t, s.verify(t, "new", nil), 30)
	third.stop(t)
}

// TestBackfillUnderAChangedMonitor counts judged windows again under another
// monitor: what was told stays, nothing more is, and windows whose log is gone
// stay as they are.
func TestBackfillUnderAChangedMonitor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	topic := s.kafka.CreateTopic(t, testkit.Name(t, "gates"), 1, nil)
	s.monitor(t, "gates.yaml", gates, "gates", topic, "10m", "")
	r := s.start(t)
	for m := range 4 {
		s.produce(t, topic, "gates", 0, float64(15*m), 15, 3000)
	}
	s.stored(t, "gates", 12000)
	s.kafka.DeleteRecordsBefore(t, topic, 0, 10) // the first chunk cannot be read again
	// Prices below 14 are wrong from now on, and were in all of the past.
	s.monitor(t, "gates.yaml", strings.Replace(gates, "min: 0", "min: 14", 1), "gates", topic, "10m", "slices: [gate]\n")
	s.wants(t, 30*time.Second, "2", "SELECT count() FROM .specs")
	b := s.backfill(t, "gates", time.Time{})
	if len(b.Notes) != 1 || b.From.IsZero() || !b.From.Before(noon.Add(time.Hour)) || b.Partitions[0].From == 0 {
		t.Fatalf("%+v", b)
	}
	first := int(b.From.Sub(noon) / (10 * time.Minute))
	s.wants(t, 60*time.Second, fmt.Sprint(6-first), "SELECT uniqExact(window_start) FROM .windows WHERE slice = 'gate=north'")
	s.stored(t, "gates", 12000)
	eventually(t, 30*time.Second, func() string {
		if got := s.query(t, "SELECT min(closed), count() FROM .windows WHERE slice = 'gate=north' AND window_start < %d", noon.Add(50*time.Minute).Unix()); !strings.HasPrefix(got, "1\t") {
			return "closed: " + got
		}
		return ""
	})
	// The open window is no past: of it people are told by the new rule, and of no other.
	if got := s.query(t, "SELECT fault, onset FROM .incidents WHERE onset < %d", noon.Add(45*time.Minute).Unix()); got != "" {
		t.Errorf("the past has made incidents:\n%s", got)
	}
	if got := s.query(t, "SELECT sum(outside) > 0 FROM .windows WHERE slice = 'gate=north'"); got != "1" {
		t.Error("the windows are not counted under the new monitor")
	}
	r.stop(t)
	v := s.verify(t, "gates", nil)
	if !v.Equal || v.Windows != 6-first {
		t.Errorf("%+v", v)
	}
	// A monitor that the service has not read yet is not what is counted by.
	s.monitor(t, filepath.Base("gates.yaml"), gates, "gates", topic, "20m", "")
	monitors, err := config.Monitors(s.settings.Monitors)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.Backfill(t.Context(), s.settings, monitors, "gates", time.Time{}, true, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "not in force") {
		t.Errorf("a monitor that is not in force: %v", err)
	}
}
