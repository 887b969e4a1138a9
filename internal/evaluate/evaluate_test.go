package evaluate

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/alerting/retrain"
	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

const minute = 60_000

// stretch is one window of the features of a model, as the log has it.
type stretch struct {
	rows, bad uint64
	tripped   []int // partitions whose rows tripped wrong_type
}

// ledger is a log of windows read by two partitions, and the journal about
// it, in memory: what is tested here is the loop between the two.
type ledger struct {
	spec    schemas.SpecRecord
	windows []stretch
	read    [2]int // windows that each partition has stored
	steps   []schemas.Step
	now     time.Time
}

func newLedger(windows []stretch) *ledger {
	s := schemas.Spec{
		Model: "m", RowFunction: schemas.RowFunction, Window: time.Minute, Lateness: time.Second, LateHorizon: time.Hour,
		Columns: []schemas.SpecColumn{{Name: "x", Role: schemas.RoleFeature, Type: schemas.TypeNumber, Unit: 1}},
	}
	return &ledger{
		spec:    schemas.SpecRecord{Seq: 1, EffectiveFrom: math.MinInt64, Hash: s.Hash(), Spec: s},
		windows: windows, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

func (l *ledger) Progress(context.Context) ([]schemas.Progress, error) {
	var out []schemas.Progress
	for p, n := range l.read {
		mark := int64(math.MinInt64)
		if n > 0 {
			mark = int64(n)*minute + 2000 // a row of the window behind the last stored one
		}
		out = append(out, schemas.Progress{
			Chunk: schemas.Chunk{Topic: "t", Partition: int32(p)}, SpecSeq: 1, Clock: mark, At: l.now.UnixMilli(),
			Marks: []schemas.Mark{{Model: "m", Part: schemas.PartFeatures, Max: mark}},
		})
	}
	return out, nil
}

func (l *ledger) Trips(_ context.Context, since time.Time) ([]schemas.Trip, time.Time, error) {
	var out []schemas.Trip
	for i, w := range l.windows {
		for _, p := range w.tripped {
			if i < l.read[p] {
				at := int64(i) * minute
				out = append(out, schemas.Trip{
					Model: "m", SpecSeq: 1, Version: "1", Fault: schemas.FaultWrongType, Feature: "x", WindowStart: at,
					Onset: at + 1000*int64(1+p), Time: at + 5000, Offset: int64(i), Bad: 5, Rows: 20,
				})
			}
		}
	}
	return out, since, nil
}

func (l *ledger) Starts(_ context.Context, _ string, _ uint64, part schemas.Part, from, to int64) ([]int64, error) {
	var out []int64
	for i, w := range l.windows[:min(l.read[0], l.read[1])] {
		if at := int64(i) * minute; part == schemas.PartFeatures && w.rows > 0 && at >= from && at < to {
			out = append(out, at)
		}
	}
	return out, nil
}

func (l *ledger) ReadWindows(_ context.Context, _ string, _ uint64, _ schemas.Part, starts []int64) (map[int64]Merged, error) {
	out := map[int64]Merged{}
	for _, start := range starts {
		w := l.windows[start/minute]
		if w.rows == 0 {
			continue
		}
		events, x := summary.New(0), summary.New(1)
		events.Rows, events.Present = w.rows, w.rows
		x.Rows, x.Bad, x.Present = w.rows, w.bad, w.rows-w.bad
		out[start] = Merged{Revision: w.rows, Entries: []detectors.Entry{
			{Stream: schemas.Stream{Version: "1", Role: schemas.RoleRows, Feature: "features"}, Summary: events},
			{Stream: schemas.Stream{Version: "1", Role: schemas.RoleFeature, Feature: "x"}, Summary: x},
		}}
	}
	return out, nil
}

func (l *ledger) Judged(context.Context, string, uint64, schemas.Part, int64, int64) ([]int64, error) {
	return nil, nil
}

func (l *ledger) ReadJudged(context.Context, string, uint64, schemas.Part, []int64) (map[int64]Merged, error) {
	return nil, nil
}

func (l *ledger) WriteSummaries(context.Context, string, []Closed) error {
	return nil
}

func (l *ledger) Revised(context.Context, string, int) ([]WindowID, error) { return nil, nil }

func (l *ledger) LastStep(context.Context, string) (*schemas.Step, error) {
	if len(l.steps) == 0 {
		return nil, nil
	}
	return &l.steps[len(l.steps)-1], nil
}

func (l *ledger) Append(_ context.Context, step schemas.Step) (bool, error) {
	if step.Step != uint64(len(l.steps))+1 {
		return false, nil
	}
	l.steps = append(l.steps, step)
	return true, nil
}

func (l *ledger) evaluator(t interface{ Fatal(...any) }, writer string, maxWindows int) *Evaluator {
	c := DefaultConfig()
	c.Writer, c.MaxWindows, c.MaxEmpty = writer, maxWindows, 6
	return New(c, Deps{
		Windows: l, Signals: l, Journal: l,
		Models: func() []Model {
			return []Model{{Name: "m", Topics: []string{"t"}, Specs: []schemas.SpecRecord{l.spec}, Retrain: retrain.Policy{}}}
		},
		Baseline: func(string) *schemas.Baseline { return nil },
		Owns:     func(string) bool { return true }, Partitions: func(string) int { return 2 },
		Now: func() time.Time { return l.now }, Stats: &Stats{}, Log: zerolog.Nop(),
	})
}

// outcome is what is left of a ledger: the incidents, and the messages in order.
func (l *ledger) outcome(t *rapid.T) (incidents []string, messages []string) {
	latest := map[string]schemas.Incident{}
	seq := map[string]int{}
	for _, s := range l.steps {
		for _, i := range s.Incidents {
			latest[i.Incident] = i
		}
		for _, m := range s.Outbox {
			if seq[m.Incident]++; m.Seq != seq[m.Incident] {
				t.Fatalf("message %d of %s follows %d", m.Seq, m.Incident, seq[m.Incident]-1)
			}
			var a schemas.Alert
			if err := json.Unmarshal(m.Body, &a); err != nil {
				t.Fatal(err)
			}
			if a.Transition != schemas.TransitionUpdated {
				messages = append(messages, fmt.Sprint(a.Transition, " ", a.Fault, " ", a.Columns))
			}
		}
	}
	for _, i := range latest {
		incidents = append(incidents, fmt.Sprint(i.Fault, " ", i.Columns, " since ", i.Onset.UTC().Format(time.RFC3339), " ", i.State))
	}
	slices.Sort(incidents)
	slices.Sort(messages)
	return incidents, messages
}

// run stores the windows and sweeps in an order that pick chooses.
func (l *ledger) run(t *rapid.T, evaluators []*Evaluator, pick func(what string, n int) int) {
	sweep := func(e *Evaluator) {
		if err := e.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for l.read[0] < len(l.windows) || l.read[1] < len(l.windows) {
		p := pick("partition", 2)
		l.read[p] = min(len(l.windows), l.read[p]+1+pick("windows", 5))
		sweep(evaluators[pick("evaluator", len(evaluators))])
	}
	for range 3 * len(l.windows) {
		for _, e := range evaluators {
			sweep(e)
		}
	}
	for _, e := range evaluators {
		if n := e.deps.Stats.Errors.Load(); n > 0 {
			t.Fatalf("%d sweeps failed", n)
		}
	}
}

// However far ahead one partition is of the other, however many windows a
// step holds, and whichever of two evaluators takes it: the incidents are the
// same, and each is told once.
func TestTimingChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kinds := map[string]stretch{
			"clean": {rows: 100}, "empty": {}, "bad": {rows: 100, bad: 30, tripped: []int{0, 1}},
			"bad in one": {rows: 100, bad: 15, tripped: []int{1}}, "burst": {rows: 1000, bad: 5, tripped: []int{0}},
		}
		names := []string{"clean", "clean", "clean", "bad", "bad in one", "burst", "empty"}
		windows := []stretch{{rows: 100}}
		for _, k := range rapid.SliceOfN(rapid.SampledFrom(names), 1, 40).Draw(t, "windows") {
			windows = append(windows, kinds[k])
		}
		first := newLedger(windows)
		turn := 0
		first.run(t, []*Evaluator{first.evaluator(t, "one", 1)}, func(what string, n int) int {
			if what != "partition" {
				return 0
			}
			turn++
			return turn % n
		})
		other := newLedger(windows)
		other.run(t, []*Evaluator{
			other.evaluator(t, "a", rapid.IntRange(1, 24).Draw(t, "windows of a step")), other.evaluator(t, "b", 24),
		}, func(what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) })

		wantIncidents, wantMessages := first.outcome(t)
		incidents, messages := other.outcome(t)
		if !slices.Equal(wantIncidents, incidents) {
			t.Fatalf("incidents differ:\n%s\nand\n%s", strings.Join(wantIncidents, "\n"), strings.Join(incidents, "\n"))
		}
		if !slices.Equal(wantMessages, messages) {
			t.Fatalf("messages differ:\n%s\nand\n%s", strings.Join(wantMessages, "\n"), strings.Join(messages, "\n"))
		}
	})
}
