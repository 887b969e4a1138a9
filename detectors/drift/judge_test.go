package drift_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/drift"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

const hour = 3_600_000

// world is a model with numbers a and b and a category c, split by slice s.
type world struct {
	rng      *rand.Rand
	baseline *schemas.Baseline
	memory   drift.Memory
	next     int64
	p        drift.Parameters
}

var slicesOf = []string{"", "s=x", "s=y"}

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), p: drift.DefaultParameters()}
	b := &schemas.Baseline{Model: "m", Hash: "h", Window: schemas.Duration(hour * 1e6)}
	for _, name := range []string{"a", "b"} {
		values := w.normal(20_000, 10, 2)
		sort.Float64s(values)
		c := schemas.BaselineColumn{Name: name, Role: schemas.RoleFeature, Type: schemas.TypeNumber}
		for i := 1; i < 40; i++ {
			c.Edges = append(c.Edges, values[i*len(values)/40])
		}
		for _, slice := range slicesOf {
			sd, low, high := 2.0, values[0], values[len(values)-1]
			c.Streams = append(c.Streams, schemas.BaselineStream{Slice: slice, Bins: count(c.Edges, values), SD: &sd, Min: &low, Max: &high})
		}
		b.Columns = append(b.Columns, c)
	}
	c := schemas.BaselineColumn{Name: "c", Role: schemas.RoleFeature, Type: schemas.TypeCategory, Categories: []string{"p", "q"}}
	for _, slice := range slicesOf {
		c.Streams = append(c.Streams, schemas.BaselineStream{Slice: slice, Bins: []uint64{7000, 3000, 0}})
	}
	b.Columns = append(b.Columns, c)
	w.baseline = b
	return w
}

func (w *world) normal(n int, mean, sd float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = mean + sd*w.rng.NormFloat64()
	}
	return out
}

func count(edges, values []float64) []uint64 {
	out := make([]uint64, len(edges)+1)
	for _, x := range values {
		out[sort.SearchFloat64s(edges, x)]++
	}
	return out
}

// window makes the next window of n rows a stream; shift moves streams, in sd.
func (w *world) window(n int, shift map[string]float64) *detectors.Window {
	out := &detectors.Window{
		Model: "m", Part: schemas.PartFeatures, Baseline: w.baseline, Start: w.next, End: w.next + hour, Coverage: 1, Revision: 1,
		Spec: &schemas.SpecRecord{Spec: schemas.Spec{Baseline: "h"}},
	}
	w.next += hour
	for _, c := range w.baseline.Columns {
		for _, slice := range slicesOf {
			s := summary.New(len(c.Edges) + 1)
			move := shift[c.Name+"/"+slice]
			if c.Type == schemas.TypeNumber {
				s.Bins = count(c.Edges, w.normal(n, 10+2*move, 2))
			} else {
				s.Bins = make([]uint64, 3)
				for range n {
					if w.rng.Float64() < .3+move {
						s.Bins[1]++
					} else {
						s.Bins[0]++
					}
				}
			}
			s.Rows, s.Present = uint64(n), uint64(n)
			out.Entries = append(out.Entries, detectors.Entry{Stream: schemas.Stream{Version: "1", Role: c.Role, Feature: c.Name, Slice: slice}, Summary: s})
		}
	}
	return out
}

func (w *world) judge(t *testing.T, win *detectors.Window) ([]schemas.Verdict, []detectors.Finding) {
	t.Helper()
	v, f, m, err := drift.Judge(win, w.p, w.memory)
	if err != nil {
		t.Fatal(err)
	}
	// Memory lives in the journal between windows.
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	w.memory = drift.Memory{}
	if err := json.Unmarshal(body, &w.memory); err != nil {
		t.Fatal(err)
	}
	return v, f
}

func brief(all []detectors.Finding) string {
	var out []string
	for _, f := range all {
		out = append(out, fmt.Sprint(f.Fault, " ", f.State, " ", f.Columns, " ", f.Slices))
	}
	return strings.Join(out, "; ")
}

func TestHealthyWindowsAreSilent(t *testing.T) {
	w := newWorld(1)
	for range 300 {
		verdicts, findings := w.judge(t, w.window(400, nil))
		if len(findings) > 0 {
			t.Fatalf("window %d: %s", w.next/hour, brief(findings))
		}
		for _, v := range verdicts {
			if v.State != schemas.StateOK {
				t.Fatalf("window %d: %+v", w.next/hour, v)
			}
		}
	}
	if len(w.memory.Entries) > 0 {
		t.Errorf("healthy streams are remembered: %v", w.memory)
	}
}

func TestLifeOfADrift(t *testing.T) {
	w := newWorld(2)
	f := func(rows int, shift map[string]float64, want string) {
		t.Helper()
		_, findings := w.judge(t, w.window(rows, shift))
		if got := brief(findings); got != want {
			t.Errorf("window %d: got %q, want %q", w.next/hour, got, want)
		}
	}
	slice := map[string]float64{"a/s=x": .8}
	both := map[string]float64{"a/s=x": .8, "a/s=y": -.8}
	whole := map[string]float64{"a/": .6, "a/s=x": .8}
	f(400, nil, "")
	f(400, slice, "")
	f(400, nil, "") // once only
	f(400, slice, "")
	f(400, slice, "drift error [a] [s=x]")
	f(400, both, "drift error [a] [s=x]")
	f(400, both, "drift error [a] [s=x s=y]")
	f(400, whole, "drift error [a] [s=x]")
	f(400, whole, "drift error [a] []") // the whole takes its slices in
	f(50, whole, "drift unknown [a] []")
	f(400, whole, "drift error [a] []")
	f(400, slice, "drift error [a] [s=x]")
	f(400, nil, "drift ok [a] []") // said more than once: whoever holds it may want that
	f(400, slice, "drift unknown [a] [s=x]")
	for range w.p.Clear {
		f(400, nil, "drift ok [a] [s=x]")
	}
	f(400, nil, "")
	if len(w.memory.Entries) > 0 {
		t.Errorf("remembered: %+v", w.memory)
	}
}

func TestFindingSaysWhatAndSinceWhen(t *testing.T) {
	w := newWorld(3)
	shift := map[string]float64{"c/": .25, "c/s=y": .25}
	w.judge(t, w.window(400, nil))
	verdicts, _ := w.judge(t, w.window(400, shift))
	i := slices.IndexFunc(verdicts, func(v schemas.Verdict) bool { return v.Feature == "c" && v.Slice == "" })
	if v := verdicts[i]; v.State != schemas.StateWarn || v.Effect < .3 || v.P > 1e-6 || v.High != .25 || v.N != 400 || v.Channel != "location" {
		t.Errorf("the first verdict is %+v", v)
	}
	verdicts, findings := w.judge(t, w.window(400, shift))
	if verdicts[i].State != schemas.StateError {
		t.Errorf("the second verdict is %+v", verdicts[i])
	}
	if len(findings) != 1 {
		t.Fatal(brief(findings))
	}
	f := findings[0]
	if f.Fault != schemas.FaultDrift || f.Severity != schemas.SeverityWarning || f.Version != "1" || f.Onset != hour || f.Detected != 3*hour || f.Start != 2*hour || f.End != 3*hour {
		t.Errorf("%+v", f)
	}
	if len(f.Evidence) != 2 || f.Evidence[0].Slice != "" || f.Evidence[1].Slice != "s=y" || f.Evidence[0].Statistic != "cohen_w" || *f.Effect.SD < .3 {
		t.Errorf("%+v", f)
	}
}

func TestRolesHaveTheirFaults(t *testing.T) {
	for role, fault := range map[schemas.Role]schemas.Fault{schemas.RolePrediction: schemas.FaultPredictionDrift, schemas.RoleScore: schemas.FaultScoreDrift} {
		w := newWorld(4)
		w.baseline.Columns[0].Role, w.baseline.Columns[0].Name = role, role.String()
		var findings []detectors.Finding
		for range 2 {
			win := w.window(400, map[string]float64{role.String() + "/": 1})
			win.Part = schemas.PartPrediction
			_, findings = w.judge(t, win)
		}
		if len(findings) != 1 || findings[0].Fault != fault || findings[0].Columns[0] != role.String() {
			t.Errorf("%s: %s", role, brief(findings))
		}
	}
}

func TestUnknownIsNeverHealthy(t *testing.T) {
	f := func(reason string, change func(*world, *detectors.Window)) {
		t.Helper()
		w := newWorld(5)
		win := w.window(400, map[string]float64{"a/": 2})
		change(w, win)
		verdicts, findings := w.judge(t, win)
		if len(findings) > 0 || len(verdicts) != 9 {
			t.Errorf("%s: %d verdicts, %s", reason, len(verdicts), brief(findings))
		}
		if v := verdicts[0]; v.State != schemas.StateUnknown || !strings.Contains(v.Reason, reason) || v.P != 1 || v.Effect != 0 {
			t.Errorf("%s: %+v", reason, v)
		}
	}
	f("no baseline", func(_ *world, win *detectors.Window) { win.Baseline = nil })
	f("another baseline", func(_ *world, win *detectors.Window) { win.Spec.Spec.Baseline = "other" })
	f("50 % of the partitions", func(_ *world, win *detectors.Window) { win.Coverage = .5 })
	f("too few rows", func(_ *world, win *detectors.Window) { win.Entries[0].Present = 99 })
	f("too few rows in the baseline", func(w *world, _ *detectors.Window) {
		w.baseline.Columns[0].Streams[0].Bins = make([]uint64, 40)
	})
	f("does not have it", func(w *world, _ *detectors.Window) { w.baseline.Columns[0].Streams = w.baseline.Columns[0].Streams[1:] })
	f("other bins", func(_ *world, win *detectors.Window) { win.Entries[0].Bins = []uint64{400} })
}

func TestHealthySpreadRaisesTheLimit(t *testing.T) {
	f := func(h schemas.Healthy, length int64, want schemas.State) {
		t.Helper()
		w := newWorld(6)
		w.baseline.Columns[0].Streams[0].Healthy = map[string]schemas.Healthy{drift.Location: h}
		win := w.window(2000, map[string]float64{"a/": .5})
		win.End = win.Start + length
		verdicts, _ := w.judge(t, win)
		if verdicts[0].State != want {
			t.Errorf("%+v: %+v", h, verdicts[0])
		}
	}
	f(schemas.Healthy{Windows: 100, Max: .8}, hour, schemas.StateOK)
	f(schemas.Healthy{Windows: 100, Max: .3}, hour, schemas.StateWarn)
	f(schemas.Healthy{Windows: 3, Max: .8}, hour, schemas.StateWarn)     // too few to know
	f(schemas.Healthy{Windows: 100, Max: .8}, hour/2, schemas.StateWarn) // of another length
}

func TestNaNIsAnError(t *testing.T) {
	w := newWorld(7)
	nan := math.NaN()
	w.baseline.Columns[0].Streams[0].SD = &nan
	w.baseline.Columns[0].Streams[0].Min = &nan
	_, _, _, err := drift.Judge(w.window(400, nil), w.p, w.memory)
	if err == nil || !strings.Contains(err.Error(), `feature a ""`) {
		t.Errorf("got %v", err)
	}
	_, _, _, err = drift.Decide(w.window(400, nil), []drift.Measured{{P: nan}}, w.p, w.memory)
	if err == nil {
		t.Error("a p-value of NaN was decided on")
	}
}

// A large window must not alarm on a shift nobody cares for.
func TestSmallShiftOfManyRowsIsNothing(t *testing.T) {
	w := newWorld(8)
	verdicts, _ := w.judge(t, w.window(200_000, map[string]float64{"a/": .1}))
	if v := verdicts[0]; v.State != schemas.StateOK || v.P > 1e-20 {
		t.Errorf("%+v", v)
	}
}

func TestParameters(t *testing.T) {
	if err := drift.DefaultParameters().Validate(); err != nil {
		t.Error(err)
	}
	f := func(change func(*drift.Parameters)) {
		t.Helper()
		p := drift.DefaultParameters()
		change(&p)
		if p.Validate() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	f(func(p *drift.Parameters) { p.Alpha = 0 })
	f(func(p *drift.Parameters) { p.MinEffect = math.NaN() })
	f(func(p *drift.Parameters) { p.HealthyFactor = .5 })
	f(func(p *drift.Parameters) { p.MinRows = 0 })
	f(func(p *drift.Parameters) { p.MinCoverage = 2 })
}
