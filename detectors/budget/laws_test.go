package budget_test

import (
	"encoding/json"
	"slices"
	"sort"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/internal/summary"
)

// months are a healthy stretch and the same with a fault in one slice.
func months(t *testing.T, n int) (ref *budget.Reference, healthy, faulty []*detectors.Window) {
	t.Helper()
	f := func(size float64) (out []*detectors.Window) {
		w := &simWorld{seed: 31, features: 2, slices: []float64{.6, .4}, inSlice: func(f, s, t int) float64 {
			if f == 1 && s == 1 && t >= reference {
				return size
			}
			return 0
		}}
		fit := w.learn(t, budget.DefaultParameters(), reference)
		if ref == nil {
			ref = fit.Reference()
		}
		for i := range n {
			out = append(out, w.window(reference+i))
		}
		return out
	}
	return ref, f(0), f(1)
}

// Whatever comes, gaps, half windows and faults that begin and end: an
// evaluator that restarts between any two windows, and one that gets its
// windows put together from parts in any order, say the same as one that does
// neither, byte for byte.
func TestLawRestartsAndOrderChangeNothing(t *testing.T) {
	p := budget.DefaultParameters()
	ref, healthy, faulty := months(t, 40)
	plan := budget.NewPlan(budget.Budget{Pages: 1, Tickets: 4, Per: month}, time.Hour, nil, ref, nil, p)
	alarmed := false
	rapid.Check(t, func(t *rapid.T) {
		var straight, other budget.Memory
		kind := "healthy"
		for i := range healthy {
			if rapid.IntRange(0, 5).Draw(t, "change") == 0 {
				kind = rapid.SampledFrom([]string{"healthy", "faulty", "missing", "half"}).Draw(t, "kind")
			}
			win := *healthy[i]
			switch kind {
			case "faulty":
				win = *faulty[i]
				win.Baseline = healthy[i].Baseline
			case "missing":
				win.Entries = nil
			case "half":
				win.Coverage = .5
			}
			v1, f1, m1, err := budget.Judge(&win, ref, plan, budget.Calendar{}, p, straight)
			if err != nil {
				t.Fatal(err)
			}
			if rapid.Bool().Draw(t, "restart") {
				body, err := json.Marshal(other)
				if err != nil {
					t.Fatal(err)
				}
				other = budget.Memory{}
				if err := json.Unmarshal(body, &other); err != nil {
					t.Fatal(err)
				}
			}
			again := win
			if rapid.IntRange(0, 3).Draw(t, "order") == 0 {
				again.Entries = inParts(t, win.Entries)
			}
			v2, f2, m2, err := budget.Judge(&again, ref, plan, budget.Calendar{}, p, other)
			if err != nil {
				t.Fatal(err)
			}
			a, _ := json.Marshal([]any{v1, f1, m1})
			b, _ := json.Marshal([]any{v2, f2, m2})
			if string(a) != string(b) {
				t.Fatalf("window %d, %s: a restart or another order changes what is decided:\n%s\n%s", i, kind, a, b)
			}
			alarmed = alarmed || len(f1) > 0
			straight, other = m1, m2
		}
	})
	if !alarmed {
		t.Error("nothing was ever found, so hardly anything was compared")
	}
}

// inParts counts each entry anew from parts of its rows, which come in any order.
func inParts(t *rapid.T, entries []detectors.Entry) []detectors.Entry {
	out := slices.Clone(entries)
	if len(out) == 0 {
		return out
	}
	at := rapid.IntRange(0, len(out)-1)
	for range 3 {
		e := &out[at.Draw(t, "entry")]
		parts := make([]*summary.Summary, 3)
		for k := range parts {
			parts[k] = summary.New(len(e.Bins))
		}
		left := e.Rows
		for b, n := range e.Bins {
			for k := range parts {
				x := n
				if k < len(parts)-1 {
					x = rapid.Uint64Range(0, n).Draw(t, "rows")
				}
				parts[k].Bins[b] += x
				parts[k].Rows += x
				parts[k].Present += x
				n -= x
				left -= x
			}
		}
		parts[0].Rows += left // those without a bin, as the number of events
		whole := summary.New(len(e.Bins))
		for _, k := range rapid.Permutation([]int{0, 1, 2}).Draw(t, "order") {
			whole.Merge(parts[k])
		}
		e.Summary = whole
	}
	return out
}

// Rows in other units, counted by edges in those units, are judged alike.
func TestLawUnitsDoNotMatter(t *testing.T) {
	p := budget.DefaultParameters()
	ref, healthy, _ := months(t, 1)
	plan := budget.NewPlan(budget.Budget{Pages: 1, Tickets: 4, Per: month}, time.Hour, nil, ref, nil, p)
	rapid.Check(t, func(t *rapid.T) {
		factor, shift := float64(rapid.IntRange(1, 1000).Draw(t, "factor")), float64(rapid.IntRange(-1000, 1000).Draw(t, "shift"))
		rows := rapid.SliceOfN(rapid.IntRange(-60, 60), 200, 400).Draw(t, "rows")
		// Whole numbers between edges at halves: no rounding moves a row.
		edges := make([]float64, simBins-1)
		for i := range edges {
			edges[i] = float64(3*(i-len(edges)/2)) + .5
		}
		said := func(unit func(float64) float64) string {
			moved := make([]float64, len(edges))
			for i, e := range edges {
				moved[i] = unit(e)
			}
			s := summary.New(simBins)
			for _, x := range rows {
				s.Rows++
				s.Present++
				s.Bins[sort.SearchFloat64s(moved, unit(float64(x)))]++
			}
			w := *healthy[0]
			w.Entries = slices.Clone(w.Entries)
			for i := range w.Entries {
				if w.Entries[i].Feature == "f0000" && w.Entries[i].Slice == "" {
					w.Entries[i].Summary = s
				}
			}
			v, f, m, err := budget.Judge(&w, ref, plan, budget.Calendar{}, p, budget.Memory{})
			if err != nil {
				t.Fatal(err)
			}
			body, _ := json.Marshal([]any{v, f, m})
			return string(body)
		}
		if a, b := said(func(x float64) float64 { return x }), said(func(x float64) float64 { return factor*x + shift }); a != b {
			t.Fatalf("× %v + %v: other units are judged otherwise", factor, shift)
		}
	})
}
