package evaluate

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/alerting/severity"
	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// numbers is a store whose windows have 1000 values of x each, in four bins of
// equal share while all is well; what is moved has all values a bin further up.
type numbers struct {
	*kept
	moved  func(start int64) bool
	marks  []schemas.IncidentMark
	learnt map[string][]byte
	fits   map[string][]schemas.StreamRow
}

func (n *numbers) ReadWindows(_ context.Context, _ string, _ uint64, part schemas.Part, starts []int64) (map[int64]Merged, error) {
	out := map[int64]Merged{}
	for _, start := range starts {
		if n.rows[start] == 0 {
			continue
		}
		rng := rand.New(rand.NewPCG(uint64(start), 7))
		rows, x := summary.New(0), summary.New(4)
		for range 1000 {
			b := rng.IntN(4)
			if n.moved != nil && n.moved(start) {
				b = min(3, b+1)
			}
			x.Bins[b]++
		}
		rows.Rows, x.Rows, x.Present = 1000, 1000, 1000
		out[start] = Merged{Revision: 1, Entries: []detectors.Entry{
			{Stream: schemas.Stream{Version: "1", Role: schemas.RoleRows, Feature: part.String()}, Summary: rows},
			{Stream: schemas.Stream{Version: "1", Role: schemas.RoleFeature, Feature: "x"}, Summary: x},
		}}
	}
	return out, nil
}

func (n *numbers) ReadJudged(ctx context.Context, model string, spec uint64, part schemas.Part, starts []int64) (map[int64]Merged, error) {
	return n.ReadWindows(ctx, model, spec, part, starts)
}

func (n *numbers) SaveReference(_ context.Context, _, hash string, body []byte) error {
	n.learnt[hash] = body
	return nil
}

func (n *numbers) Reference(_ context.Context, _, hash string) ([]byte, error) {
	return n.learnt[hash], nil
}

func (n *numbers) Fits(_ context.Context, _, fit string, rows []schemas.StreamRow) error {
	n.fits[fit] = rows
	return nil
}

// newNumbers has a model whose baseline has so many days of healthy windows, 0
// for none that were followed in time.
func newNumbers(days float64) (*numbers, *Evaluator, *Model) {
	k, e := newKept("m")
	n := &numbers{kept: k, learnt: map[string][]byte{}, fits: map[string][]schemas.StreamRow{}}
	b := &schemas.Baseline{Model: "m", Hash: "sha256:b", Window: schemas.Duration(time.Hour), Columns: []schemas.BaselineColumn{{
		Name: "x", Role: schemas.RoleFeature, Type: schemas.TypeNumber, Edges: []float64{1, 2, 3},
		Streams: []schemas.BaselineStream{{Rows: 40_000, Present: 40_000, Bins: []uint64{10_000, 10_000, 10_000, 10_000}}},
	}}}
	if days > 0 {
		b.Columns[0].Streams[0].Healthy = map[string]schemas.Healthy{budget.Location: {
			Fitted: 672, Days: days, Rows: 1000, Sampling: .001, Noise: .01, Tail: 10, Scale: 1.05, Dead: .05, LevelSE: .001, Honesty: 1,
		}}
	}
	m := e.deps.Models()[0]
	m.Specs[0].Spec.Baseline = b.Hash
	m.Specs[0].Spec.Columns[0].Edges = b.Columns[0].Edges
	m.Budget = budget.Budget{Pages: 1, Tickets: 4, Per: 30 * 24 * time.Hour}
	e.cfg.MaxEmpty = 1 << 20
	e.deps.Windows, e.deps.Learnt, e.deps.Log = n, n, zerolog.Nop()
	e.deps.Models = func() []Model { return []Model{m} }
	e.deps.Baseline = func(string) *schemas.Baseline { return b }
	e.deps.Marks = func(context.Context, string) ([]schemas.IncidentMark, error) { return n.marks, nil }
	return n, e, &m
}

func (n *numbers) settle(t *testing.T, e *Evaluator, until int64) {
	t.Helper()
	n.reach(until*hour+5*60_000, 1000, "m")
	if err := e.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// alerts lists what was told, by transition, severity and fault.
func (n *numbers) alerts(t *testing.T) (out []string, ids []string) {
	t.Helper()
	for _, s := range n.steps["m"] {
		for _, m := range s.Outbox {
			var a schemas.Alert
			if err := json.Unmarshal(m.Body, &a); err != nil {
				t.Fatal(err)
			}
			out = append(out, strings.Join([]string{string(a.Transition), string(a.Severity), string(a.Fault)}, " "))
			ids = append(ids, a.Incident)
		}
	}
	return out, ids
}

// factor is the governor's in the last step.
func (n *numbers) factor(t *testing.T) float64 {
	t.Helper()
	var p struct{ Budget stated }
	steps := n.steps["m"]
	if err := json.Unmarshal(steps[len(steps)-1].Parameters, &p); err != nil {
		t.Fatal(err)
	}
	return p.Budget.Factor
}

func between(from, to int64) func(int64) bool {
	return func(start int64) bool { return start >= from*hour && start < to*hour }
}

func TestAShiftIsATicket_AndEndsMeasured(t *testing.T) {
	n, e, _ := newNumbers(28)
	n.moved = between(100, 110)
	n.settle(t, e, 99)
	if got, _ := n.alerts(t); len(got) != 0 {
		t.Fatalf("healthy windows: %v", got)
	}
	n.settle(t, e, 130)
	if got, _ := n.alerts(t); !slices.Equal(got, []string{"firing warning drift", "resolved warning drift"}) {
		t.Errorf("%v", got)
	}
	rows := n.fits["sha256:b/1"]
	if len(rows) != 1 || rows[0].SmallestAlarm != .05 || rows[0].State != "ok" || !(rows[0].TimeToDetect >= 1 && rows[0].TimeToDetect < 10) {
		t.Errorf("%+v", rows)
	}
}

func TestRulesOfTheOwner(t *testing.T) {
	f := func(p severity.Policy, want ...string) {
		t.Helper()
		n, e, m := newNumbers(28)
		n.moved = between(100, 110)
		m.Severity = p
		n.settle(t, e, 130)
		if got, _ := n.alerts(t); !slices.Equal(got, want) {
			t.Errorf("%+v: %v, want %v", p, got, want)
		}
	}
	until := schemas.Moment{Time: time.UnixMilli(1000 * hour)}
	f(severity.Policy{Rules: []schemas.Rule{{Severity: schemas.RuleMute, Reason: "r", Until: until}}})
	f(severity.Policy{Rules: []schemas.Rule{{Severity: schemas.RuleCritical, Reason: "r"}}}, "firing critical drift", "resolved critical drift")
	f(severity.Policy{Rules: []schemas.Rule{{Severity: schemas.RuleInfo, Reason: "r", Features: []string{"x"}}}}, "firing info drift", "resolved info drift")
}

// Ten shifts are marked false: the weights fall, and are what was stated again
// once the marks are changed.
func TestFalseMarksLowerTheWeights(t *testing.T) {
	n, e, _ := newNumbers(28)
	n.moved = func(start int64) bool { return start >= 100*hour && start/hour%40 < 4 }
	n.settle(t, e, 500)
	got, ids := n.alerts(t)
	fired := map[string]bool{}
	for i, a := range got {
		if a == "firing warning drift" {
			fired[ids[i]] = true
		}
	}
	if len(fired) < 8 {
		t.Fatalf("%d shifts were told: %v", len(fired), got)
	}
	if f := n.factor(t); f != 1 {
		t.Errorf("nobody has marked anything, and the factor is %v", f)
	}
	say := func(v schemas.MarkVerdict) {
		n.marks = nil
		for id := range fired {
			n.marks = append(n.marks, schemas.IncidentMark{Incident: id, Model: "m", Verdict: v})
		}
	}
	say(schemas.MarkFalse)
	n.settle(t, e, 502)
	lowered := n.factor(t)
	if !(lowered > 0 && lowered < .5) {
		t.Errorf("%d of 4 tickets are marked false, and the factor is %v", len(fired), lowered)
	}
	last := n.steps["m"][len(n.steps["m"])-1]
	if !strings.Contains(string(n.steps["m"][len(n.steps["m"])-1].Inputs)+string(n.steps["m"][len(n.steps["m"])-2].Inputs), `"marks"`) {
		t.Errorf("the marks are not on record: %s", last.Inputs)
	}
	say(schemas.MarkTrue)
	n.settle(t, e, 504)
	if f := n.factor(t); f != 1 {
		t.Errorf("all are marked true, and the factor is %v", f)
	}
}

// Without healthy windows in the baseline the stream itself is learnt from: no
// verdict before a week, tickets from then on, pages after four.
func TestLearning(t *testing.T) {
	n, e, _ := newNumbers(0)
	state := func() (v schemas.Verdict) {
		steps := n.steps["m"]
		for _, v := range slices.Backward(steps[len(steps)-1].Verdicts) {
			if v.Channel == budget.Location {
				return v
			}
		}
		return v
	}
	n.settle(t, e, 24)
	if v := state(); v.State != schemas.StateUnknown || !strings.Contains(v.Reason, "learning") {
		t.Errorf("after a day: %+v", v)
	}
	n.settle(t, e, 7*24+3)
	if v := state(); v.State != schemas.StateOK || len(n.learnt) != 1 {
		t.Errorf("after a week: %+v, learnt %d times", v, len(n.learnt))
	}
	week := math.Abs(state().High - state().Low)
	n.settle(t, e, 36*24)
	if v := state(); v.State != schemas.StateOK || len(n.learnt) != 5 || !(math.Abs(v.High-v.Low) < week) {
		t.Errorf("after five weeks: %+v, learnt %d times, the range was %v", v, len(n.learnt), week)
	}
	if got, _ := n.alerts(t); len(got) != 0 {
		t.Errorf("healthy windows: %v", got)
	}
	// Another replica reads what was learnt and goes on.
	other, e2, _ := newNumbers(0)
	other.kept, other.learnt = n.kept, n.learnt
	e2.deps.Signals, e2.deps.Journal = n.kept, n.kept
	other.moved = between(36*24, 40*24)
	other.settle(t, e2, 38*24)
	if got, _ := other.alerts(t); len(got) != 1 || got[0] != "firing warning drift" {
		t.Errorf("%v", got)
	}
}

// A level that has moved for good is not learnt as the new normal.
func TestANewLevelIsNotLearnt(t *testing.T) {
	n, e, _ := newNumbers(28)
	n.moved = func(start int64) bool { return start >= 24*hour }
	n.settle(t, e, 36*24)
	got, _ := n.alerts(t)
	if len(got) == 0 || got[0] != "firing warning drift" || slices.Contains(got, "resolved warning drift") {
		t.Errorf("%v", got)
	}
	if len(n.learnt) == 0 {
		t.Error("nothing was learnt in five weeks")
	}
}
