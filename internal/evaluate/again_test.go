package evaluate

import (
	"context"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

const hour = int64(3_600_000)

// kept stands for what is stored: windows with so many rows each, progress,
// trips and steps.
type kept struct {
	rows     map[int64]uint64 // features, by window
	progress []schemas.Progress
	trips    []schemas.Trip
	revised  []WindowID
	written  map[int64]int // how often a window was kept as judged

	mu    sync.Mutex
	steps map[string][]schemas.Step
}

func (k *kept) Starts(_ context.Context, _ string, _ uint64, part schemas.Part, from, to int64) (out []int64, err error) {
	for start := range k.rows {
		if part == schemas.PartFeatures && start >= from && start < to {
			out = append(out, start)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (k *kept) ReadWindows(_ context.Context, _ string, _ uint64, part schemas.Part, starts []int64) (map[int64]Merged, error) {
	out := map[int64]Merged{}
	for _, start := range starts {
		if n := k.rows[start]; n > 0 {
			rows := summary.New(0)
			rows.Rows, rows.Present = n, n
			out[start] = Merged{Revision: n, Entries: []detectors.Entry{{Stream: schemas.Stream{Role: schemas.RoleRows, Feature: part.String()}, Summary: rows}}}
		}
	}
	return out, nil
}

// Judged lists the windows that were kept.
func (k *kept) Judged(_ context.Context, _ string, _ uint64, part schemas.Part, from, to int64) (out []int64, err error) {
	for start := range k.written {
		if part == schemas.PartFeatures && start >= from && start < to {
			out = append(out, start)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (k *kept) ReadJudged(ctx context.Context, model string, spec uint64, part schemas.Part, starts []int64) (map[int64]Merged, error) {
	return k.ReadWindows(ctx, model, spec, part, starts)
}

func (k *kept) WriteSummaries(_ context.Context, _ string, windows []Closed) error {
	for _, w := range windows {
		k.written[w.Start]++
	}
	return nil
}

func (k *kept) Revised(_ context.Context, _ string, most int) ([]WindowID, error) {
	out := k.revised[:min(most, len(k.revised))]
	k.revised = k.revised[len(out):]
	return slices.Clone(out), nil
}

func (k *kept) Progress(context.Context) ([]schemas.Progress, error) { return k.progress, nil }

// Trips repeats everything at each call, as it may.
func (k *kept) Trips(_ context.Context, since time.Time) ([]schemas.Trip, time.Time, error) {
	return k.trips, since, nil
}

func (k *kept) LastStep(_ context.Context, model string) (*schemas.Step, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n := len(k.steps[model]); n > 0 {
		return &k.steps[model][n-1], nil
	}
	return nil, nil
}

func (k *kept) Append(_ context.Context, s schemas.Step) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.Step != uint64(len(k.steps[s.Model]))+1 {
		return false, nil
	}
	k.steps[s.Model] = append(k.steps[s.Model], s)
	return true, nil
}

// newKept returns an empty store and an evaluator of the named models upon it.
func newKept(models ...string) (*kept, *Evaluator) {
	k := &kept{rows: map[int64]uint64{}, written: map[int64]int{}, steps: map[string][]schemas.Step{}}
	var all []Model
	for i, name := range models {
		all = append(all, Model{Name: name, Topics: []string{"t"}, Specs: []schemas.SpecRecord{{
			Seq: uint64(i + 1), EffectiveFrom: -1 << 63,
			Spec: schemas.Spec{
				Model: name, Window: time.Hour, Lateness: time.Minute, LateHorizon: 3 * time.Hour,
				Columns: []schemas.SpecColumn{{Name: "x", Role: schemas.RoleFeature, Type: schemas.TypeNumber}},
			},
		}}})
	}
	cfg := DefaultConfig()
	cfg.Writer, cfg.Revise = "test", 0
	return k, New(cfg, Deps{
		Windows: k, Signals: k, Journal: k, Models: func() []Model { return all }, Baseline: func(string) *schemas.Baseline { return nil },
		Owns: func(string) bool { return true }, Partitions: func(string) int { return 1 }, Now: time.Now, Stats: &Stats{}, Log: zerolog.New(os.Stderr),
	})
}

// reach moves the log on to an event time, with so many rows in each window before.
func (k *kept) reach(at int64, rows uint64, models ...string) {
	for start := int64(0); start < at; start += hour {
		k.rows[start] = rows
	}
	p := schemas.Progress{Chunk: schemas.Chunk{Topic: "t"}, SpecSeq: 9, Clock: at, At: time.Now().UnixMilli()}
	for _, m := range models {
		p.Marks = append(p.Marks, schemas.Mark{Model: m, Part: schemas.PartFeatures, Max: at})
	}
	k.progress = []schemas.Progress{p}
}

func sweep(t *testing.T, e *Evaluator, times int) {
	t.Helper()
	for range times {
		if err := e.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// told lists the messages of all steps.
func (k *kept) told(model string) (out []string) {
	for _, s := range k.steps[model] {
		for _, m := range s.Outbox {
			out = append(out, m.ID)
		}
	}
	return out
}

func trip(window, offset int64) schemas.Trip {
	return schemas.Trip{
		Model: "m", SpecSeq: 1, Fault: schemas.FaultWrongType, Feature: "x", WindowStart: window, Onset: window + 1, Time: window + 2, Offset: offset, Bad: 5, Rows: 5,
	}
}

func TestTripsAreToldOnce(t *testing.T) {
	k, e := newKept("m")
	k.trips = []schemas.Trip{trip(2*hour, 7)}
	k.reach(2*hour+5, 100, "m")
	sweep(t, e, 3)
	if got := k.told("m"); len(got) != 1 {
		t.Fatalf("told %v, want one firing message", got)
	}
	// Windows pass, the incident is over, and the trip is past the late horizon.
	k.reach(12*hour, 100, "m")
	sweep(t, e, 1)
	steps := len(k.steps["m"])
	if got := k.told("m"); len(got) != 2 {
		t.Fatalf("told %v, want it resolved", got)
	}
	// The same trip comes again: from a read that overlaps, after a start.
	sweep(t, e, 3)
	_, again := newKept("m")
	again.deps.Windows, again.deps.Signals, again.deps.Journal = k, k, k
	sweep(t, again, 3)
	if got := k.told("m"); len(got) != 2 || len(k.steps["m"]) != steps {
		t.Fatalf("told %v in %d steps, want nothing new after step %d", got, len(k.steps["m"]), steps)
	}
}

func TestStateDoesNotGrowWithPartitions(t *testing.T) {
	k, e := newKept("m")
	for window := range int64(24) {
		for offset := range int64(500) { // of many chunks and partitions
			k.trips = append(k.trips, trip(window*hour, offset))
		}
	}
	k.reach(25*hour, 100, "m")
	sweep(t, e, 10)
	steps := k.steps["m"]
	if n := k.written[23*hour]; n != 1 {
		t.Fatalf("the last window was judged %d times", n)
	}
	if state := steps[len(steps)-1].State; len(state) > 20_000 {
		t.Errorf("the state has %d bytes: %.300s", len(state), state)
	}
	n := len(steps)
	sweep(t, e, 3)
	if len(k.steps["m"]) != n {
		t.Errorf("%d steps that say nothing new", len(k.steps["m"])-n)
	}
}

func TestRevisionsInPortions(t *testing.T) {
	k, e := newKept("m")
	k.reach(100*hour, 100, "m")
	sweep(t, e, 10)
	steps := len(k.steps["m"])
	k.revised = []WindowID{
		{Part: schemas.PartFeatures, SpecSeq: 8, Start: hour},       // of a spec that is none
		{Part: schemas.PartFeatures, SpecSeq: 1, Start: 200 * hour}, // not judged yet
	}
	sweep(t, e, 3)
	if len(k.steps["m"]) != steps {
		t.Errorf("%d steps for nothing", len(k.steps["m"])-steps)
	}
	for start := range int64(60) {
		k.revised = append(k.revised, WindowID{Part: schemas.PartFeatures, SpecSeq: 1, Start: start * hour})
	}
	sweep(t, e, 3)
	for i, s := range k.steps["m"][steps:] {
		if len(s.Verdicts) > e.cfg.MaxWindows*10 {
			t.Errorf("step %d has %d verdicts", i, len(s.Verdicts))
		}
	}
	if n := len(k.steps["m"]) - steps; n != 3 || k.written[0] != 2 || k.written[59*hour] != 2 {
		t.Errorf("%d steps revised the first window %d times and the last %d times", n, k.written[0], k.written[59*hour])
	}
}

func TestBrokenStateStopsNoOtherModel(t *testing.T) {
	k, e := newKept("broken", "m")
	k.steps["broken"] = []schemas.Step{{Model: "broken", Step: 1, State: []byte(`{"next": "?"}`)}}
	e.deps.Models = func() []Model {
		_, o := newKept("broken", "m")
		all := o.deps.Models()
		all[1].Specs[0].Seq = 1
		return all
	}
	e.deps.Log = zerolog.Nop()
	k.reach(3*hour+1, 100, "broken", "m")
	sweep(t, e, 2)
	if len(k.steps["m"]) == 0 {
		t.Error("nothing was judged")
	}
	if e.deps.Stats.Errors.Load() == 0 {
		t.Error("nothing was said of the broken one")
	}
}
