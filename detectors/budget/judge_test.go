package budget_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/schemas"
)

const month = 30 * 24 * time.Hour

// alarms gives, by column, the windows at which findings began.
type alarms map[string][]int

func (a alarms) see(now int, all []detectors.Finding) {
	for _, f := range all {
		if f.State == schemas.StateError && f.Detected == f.End {
			a[f.Columns[0]] = append(a[f.Columns[0]], now)
		}
	}
}

func TestDelays(t *testing.T) {
	p := budget.DefaultParameters()
	at := reference + 48
	for size, want := range map[float64]int{.5: 6, 1: 3} {
		w := &simWorld{seed: 7, features: 40, shift: func(_, now int) float64 {
			if now >= at {
				return size
			}
			return 0
		}}
		seen := alarms{}
		w.run(t, w.learn(t, p, reference), budget.Budget{Pages: 1, Tickets: 2, Per: month}, p, reference, at+24, seen.see)
		var delays []int
		for c, when := range seen {
			if when[0] < at {
				t.Errorf("%s alarms in window %d, before there is anything", c, when[0])
			}
			delays = append(delays, when[0]-at+1)
		}
		slices.Sort(delays)
		if len(delays) < 38 || delays[len(delays)/2] > want {
			t.Errorf("a shift of %v sd: delays %v, want a median of at most %d", size, delays, want)
		}
	}
}

// What is remembered goes through the journal and comes back to the bit.
func TestMemoryRoundTrip(t *testing.T) {
	p := budget.DefaultParameters()
	w := &simWorld{seed: 3, features: 3, slices: []float64{.5, .5}}
	m := w.run(t, w.learn(t, p, reference), budget.Budget{Pages: 1, Tickets: 2, Per: month}, p, reference, reference+20, func(int, []detectors.Finding) {})
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var back budget.Memory
	if err := json.Unmarshal(body, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(body) {
		t.Error("a memory changes when it is written and read")
	}
	if m.Streams() < 30 || len(body) > 1000*m.Streams() {
		t.Errorf("%d bytes for %d streams", len(body), m.Streams())
	}
}

func said(all []detectors.Finding) string {
	var out []string
	for _, f := range all {
		out = append(out, fmt.Sprint(f.Fault, " ", f.State, " ", f.Severity, " ", f.Columns, " ", f.Slices))
	}
	return strings.Join(out, "; ")
}

func allDay(at int, size float64) func(f, t int) float64 {
	return func(f, t int) float64 {
		if f == 0 && t >= at {
			return size
		}
		return 0
	}
}

// A finding begins once, stays while the level is out, and ends with a level
// that is measured back.
func TestLifeOfAFinding(t *testing.T) {
	p := budget.DefaultParameters()
	from, to := reference+24, reference+72
	w := &simWorld{seed: 11, features: 3, shift: func(f, now int) float64 {
		if f == 1 && now >= from && now < to {
			return 1
		}
		return 0
	}}
	var states []schemas.State
	var first *detectors.Finding
	m := w.run(t, w.learn(t, p, reference), budget.Budget{Pages: 1, Tickets: 4, Per: month}, p, reference, to+60, func(now int, all []detectors.Finding) {
		for _, f := range all {
			if f.Columns[0] != "f0001" || f.Fault != schemas.FaultDrift {
				t.Errorf("window %d: %s", now, said(all))
			}
			if first == nil {
				first = &f
			}
			if now >= from+3 && now < to && f.State != schemas.StateError {
				t.Errorf("window %d of the shift: %s", now-from, said(all))
			}
			states = append(states, f.State)
		}
	})
	if first == nil || first.Severity != schemas.SeverityWarning || first.Detected > monday+int64(from+2)*hourMS ||
		first.Onset < monday+int64(from-2)*hourMS || first.Onset > monday+int64(from+1)*hourMS {
		t.Fatalf("the finding is %+v", first)
	}
	if first.Effect.SD == nil || math.Abs(*first.Effect.SD-1) > .3 || len(first.Evidence) == 0 || first.Reason == "" {
		t.Errorf("it shows %+v", first)
	}
	states = slices.Compact(states)
	if fmt.Sprint(states) != "[error ok]" {
		t.Errorf("its states are %v", states)
	}
	if body, _ := json.Marshal(m); len(body) > 800*m.Streams() {
		t.Errorf("%d bytes for %d streams", len(body), m.Streams())
	}
}

// One slice's fault is that slice's alone, a fault of all is the whole's.
func TestSlicesStepDown(t *testing.T) {
	p := budget.DefaultParameters()
	at := reference + 12
	f := func(name string, shift func(s int) float64, want []string, whole bool) {
		t.Helper()
		w := &simWorld{seed: 13, features: 2, slices: []float64{.35, .25, .2, .1, .1}, inSlice: func(f, s, now int) float64 {
			if f == 0 && now >= at {
				return shift(s)
			}
			return 0
		}}
		named := map[string]bool{}
		sawWhole := false
		var last []string
		w.run(t, w.learn(t, p, reference), budget.Budget{Pages: 1, Tickets: 4, Per: month}, p, reference, at+48, func(now int, all []detectors.Finding) {
			for _, x := range all {
				if x.State != schemas.StateError {
					continue
				}
				if now < at || x.Columns[0] != "f0000" {
					t.Errorf("%s, window %d: %s", name, now-at, said(all))
				}
				last = x.Slices
				for _, e := range x.Evidence {
					if e.Slice == "" {
						sawWhole = true
					} else {
						named[e.Slice] = true
					}
				}
			}
		})
		if got := slices.Sorted(maps.Keys(named)); !slices.Equal(got, want) || whole && !sawWhole {
			t.Errorf("%s: named %v, want %v; whole %v", name, got, want, sawWhole)
		}
		if !slices.Equal(last, want) {
			t.Errorf("%s: the finding is of %v, want %v", name, last, want)
		}
	}
	f("the largest", func(s int) float64 {
		if s == 0 {
			return 1
		}
		return 0
	}, []string{"s=00"}, false)
	f("two of five", func(s int) float64 {
		if s == 1 || s == 4 {
			return 1
		}
		return 0
	}, []string{"s=01", "s=04"}, false)
	f("all", func(int) float64 { return .5 }, nil, true)
}

// An incident within the reference does not blind the detector.
func TestContaminatedReference(t *testing.T) {
	p := budget.DefaultParameters()
	at := reference + 24
	for _, size := range []float64{.5, 1} {
		delay := map[bool]float64{}
		for _, dirty := range []bool{false, true} {
			w := &simWorld{seed: 17, features: 30, shift: func(_, now int) float64 {
				if dirty && now >= 300 && now < 324 {
					return 1
				}
				if now >= at {
					return size
				}
				return 0
			}}
			f := w.learn(t, p, reference)
			if dirty {
				cut := map[string]bool{}
				for _, c := range f.Cuts {
					if c.Channel == budget.Location && !c.Kept && c.From.UnixMilli() <= monday+303*hourMS && c.To.UnixMilli() >= monday+320*hourMS {
						cut[c.Feature] = true
					}
				}
				if len(cut) < 27 {
					t.Errorf("the incident was cut out of %d streams of 30", len(cut))
				}
			} else if len(f.Cuts) > 3 {
				t.Errorf("%d cuts in a healthy reference", len(f.Cuts))
			}
			seen := alarms{}
			w.run(t, f, budget.Budget{Pages: 1, Tickets: 2, Per: month}, p, reference, at+100, seen.see)
			var ds []int
			for _, when := range seen {
				ds = append(ds, when[0]-at+1)
			}
			slices.Sort(ds)
			if len(ds) < 29 || ds[0] < 1 {
				t.Fatalf("size %v, contaminated %v: delays %v", size, dirty, ds)
			}
			delay[dirty] = float64(ds[len(ds)/2])
		}
		if delay[true] > 1.5*delay[false]+.5 {
			t.Errorf("size %v: median delay %v, %v with a clean reference", size, delay[true], delay[false])
		}
	}
}

// A level that changed for good within the reference is asked about.
func TestLevelStepIsAskedAbout(t *testing.T) {
	p := budget.DefaultParameters()
	w := &simWorld{seed: 19, features: 5, shift: func(f, now int) float64 {
		if f == 2 && now >= 500 {
			return .4
		}
		return 0
	}}
	f := w.learn(t, p, reference)
	if f.Level == nil || f.Level.Feature != "f0002" || f.Level.Channel != budget.Location || math.Abs(f.Level.After-f.Level.Before-.4) > .12 ||
		f.Level.At.Before(time.UnixMilli(monday+450*hourMS)) || f.Level.At.After(time.UnixMilli(monday+530*hourMS)) {
		t.Fatalf("the step is %v at %v from %v to %v in %d streams", f.Level.Key, f.Level.At, f.Level.Before, f.Level.After, f.Level.Streams)
	}
	for _, s := range f.Streams {
		if s.Feature == "f0002" && s.Channel == budget.Location && (math.Abs(s.Level) > .1 || s.Dead > .1) {
			t.Errorf("level %v, dead zone %v: the two levels were averaged", s.Level, s.Dead)
		}
	}
	clean := &simWorld{seed: 20, features: 40}
	if f := clean.learn(t, p, reference); f.Level != nil {
		t.Errorf("a healthy reference has the step %v at %v from %v to %v", f.Level.Key, f.Level.At, f.Level.Before, f.Level.After)
	}
}

// What is missing is predicted over, and what comes is judged as if nothing
// had happened; a restart between windows changes no byte.
func TestMissingWindowsAndRestarts(t *testing.T) {
	p := budget.DefaultParameters()
	w := &simWorld{seed: 23, features: 4, slices: []float64{.6, .4}}
	f := w.learn(t, p, reference)
	ref := f.Reference()
	plan := budget.NewPlan(budget.Budget{Pages: 1, Tickets: 4, Per: month}, time.Hour, nil, ref, nil, p)
	var straight, restarted budget.Memory
	for i := range 30 {
		win := w.window(reference + i)
		switch i % 7 {
		case 3:
			win.Entries = nil
		case 4:
			win.Coverage = .5
		}
		v1, f1, m1, err := budget.Judge(win, ref, plan, budget.Calendar{}, p, straight)
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(restarted)
		if err != nil {
			t.Fatal(err)
		}
		var back budget.Memory
		if err := json.Unmarshal(body, &back); err != nil {
			t.Fatal(err)
		}
		v2, f2, m2, err := budget.Judge(win, ref, plan, budget.Calendar{}, p, back)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal([]any{v1, f1, m1})
		b, _ := json.Marshal([]any{v2, f2, m2})
		if string(a) != string(b) {
			t.Fatalf("window %d: a restart changes what is decided", i)
		}
		if len(f1) > 0 {
			t.Errorf("window %d: %s", i, said(f1))
		}
		if i%7 == 4 && (len(v1) == 0 || v1[0].State != schemas.StateUnknown) {
			t.Errorf("window %d is judged: %+v", i, v1)
		}
		straight, restarted = m1, m2
	}
}

// Counts by edges that moved with the values are the same statistics, to the bit.
func TestScaleAndShiftDoNotMatter(t *testing.T) {
	w := &simWorld{seed: 29, features: 2}
	win := w.window(0)
	a, err := budget.Measure(win, budget.DefaultParameters())
	if err != nil {
		t.Fatal(err)
	}
	for i := range w.baseline.Columns {
		for k := range w.baseline.Columns[i].Edges {
			w.baseline.Columns[i].Edges[k] = 7 + 1000*w.baseline.Columns[i].Edges[k]
		}
	}
	b, err := budget.Measure(win, budget.DefaultParameters())
	if err != nil {
		t.Fatal(err)
	}
	if len(a) < 10 || !slices.Equal(a, b) {
		t.Errorf("%v\n%v", a, b)
	}
}

func TestNaNSurfaces(t *testing.T) {
	p := budget.DefaultParameters()
	w := &simWorld{seed: 31, features: 2}
	f := w.learn(t, p, reference)
	win := w.window(reference)
	nan := func(change func(h *schemas.Healthy)) {
		t.Helper()
		g := *f
		g.Streams = slices.Clone(f.Streams)
		for i := range g.Streams {
			if g.Streams[i].Channel == budget.Location {
				change(&g.Streams[i].Healthy)
			}
		}
		ref := g.Reference()
		plan := budget.NewPlan(budget.Budget{Pages: 1, Tickets: 4, Per: month}, time.Hour, nil, ref, nil, p)
		v, _, _, err := budget.Judge(win, ref, plan, budget.Calendar{}, p, budget.Memory{})
		if err == nil || v != nil || !strings.Contains(err.Error(), "location") {
			t.Errorf("%d verdicts, error %v", len(v), err)
		}
	}
	nan(func(h *schemas.Healthy) { h.Level = math.NaN() })
	nan(func(h *schemas.Healthy) { h.Noise = math.Inf(1) })
	nan(func(h *schemas.Healthy) { h.Dead = math.NaN() })
	nan(func(h *schemas.Healthy) { h.Season = append([]float64{math.NaN()}, h.Season[1:]...) })
	nan(func(h *schemas.Healthy) { h.Scale = 0 })
}

func TestLearningIsUnknown(t *testing.T) {
	p := budget.DefaultParameters()
	f := func(hours int, state schemas.State, reason string, pages bool) {
		t.Helper()
		w := &simWorld{seed: 37, features: 2, shift: allDay(hours, 3)}
		fit := w.learn(t, p, hours)
		ref := fit.Reference()
		plan := budget.NewPlan(budget.Budget{Pages: 1000, Tickets: 1000, Per: month}, time.Hour, nil, ref, nil, paging(p))
		var m budget.Memory
		var v []schemas.Verdict
		critical := false
		for i := range 6 {
			var all []detectors.Finding
			var err error
			v, all, m, err = budget.Judge(w.window(hours+i), ref, plan, budget.Calendar{}, paging(p), m)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range all {
				critical = critical || x.Severity == schemas.SeverityCritical
			}
		}
		i := slices.IndexFunc(v, func(v schemas.Verdict) bool { return v.Channel == budget.Location && v.Feature == "f0000" })
		if v[i].State != state || !strings.Contains(v[i].Reason, reason) || critical != pages {
			t.Errorf("%d hours: %+v, critical %v", hours, v[i], critical)
		}
	}
	f(5*24, schemas.StateUnknown, "learning", false)
	f(14*24, schemas.StateError, "location", false)
	f(28*24, schemas.StateError, "location", true)
}

// paging gives the shifts of features page spend.
func paging(p budget.Parameters) budget.Parameters {
	p.Spend.PageFeatures = .5
	return p
}

// Holidays go like Sundays, with four times the variance until two were seen;
// what was announced is not judged.
func TestCalendar(t *testing.T) {
	p := budget.DefaultParameters()
	w := &simWorld{seed: 41, features: 1}
	ref := w.learn(t, p, reference).Reference()
	plan := budget.NewPlan(budget.Budget{Pages: 1, Tickets: 4, Per: month}, time.Hour, nil, ref, nil, p)
	win := w.window(reference)
	day := time.UnixMilli(win.Start).UTC()
	judge := func(c budget.Calendar) schemas.Verdict {
		v, _, _, err := budget.Judge(win, ref, plan, c, p, budget.Memory{})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(v, func(v schemas.Verdict) bool { return v.Channel == budget.Location })
		return v[i]
	}
	plain := judge(budget.Calendar{})
	holiday := judge(budget.Calendar{Days: []budget.Holiday{{Date: day.Format(time.DateOnly), Name: "New Year"}}})
	if holiday.Expected == plain.Expected || holiday.High-holiday.Low < 1.5*(plain.High-plain.Low) {
		t.Errorf("a holiday is judged by %+v, another day by %+v", holiday, plain)
	}
	announced := judge(budget.Calendar{Announced: []schemas.Interval{{Start: day.Add(30 * time.Minute), End: day.Add(time.Hour)}}})
	if announced.State != schemas.StateUnknown || !strings.Contains(announced.Reason, "announced") {
		t.Errorf("%+v", announced)
	}
}

// A baseline that was written and read again judges as the fit itself does.
func TestIntoBaseline(t *testing.T) {
	p := budget.DefaultParameters()
	w := &simWorld{seed: 43, features: 3, slices: []float64{.7, .3}}
	f := w.learn(t, p, reference)
	f.Into(w.baseline)
	if err := w.baseline.Validate(); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(w.baseline)
	if err != nil {
		t.Fatal(err)
	}
	var back schemas.Baseline
	if err := json.Unmarshal(body, &back); err != nil {
		t.Fatal(err)
	}
	win := w.window(reference)
	var got []string
	for _, ref := range []*budget.Reference{f.Reference(), budget.NewReference(&back)} {
		plan := budget.NewPlan(budget.Budget{Pages: 1, Tickets: 4, Per: month}, time.Hour, nil, ref, nil, p)
		v, _, _, err := budget.Judge(win, ref, plan, budget.Calendar{}, p, budget.Memory{})
		if err != nil {
			t.Fatal(err)
		}
		line, _ := json.Marshal(v)
		got = append(got, string(line))
	}
	if got[0] != got[1] || !strings.Contains(got[0], `"volume"`) {
		t.Error("the baseline judges otherwise than the fit")
	}
}

func TestRefitKeepsTheLevel(t *testing.T) {
	p := budget.DefaultParameters()
	w := &simWorld{seed: 47, features: 3}
	first := w.learn(t, p, reference)
	loud := &simWorld{seed: 47, features: 3, heavy: true, shift: func(int, int) float64 { return .3 }}
	loud.init()
	h := budget.NewHistory(loud.baseline, time.Hour, p)
	for i := range reference {
		if err := h.Add(loud.window(i)); err != nil {
			t.Fatal(err)
		}
	}
	again, err := h.Refit(first.Reference())
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Streams) != len(first.Streams) {
		t.Fatalf("%d streams of %d", len(again.Streams), len(first.Streams))
	}
	for i, s := range again.Streams {
		was := first.Streams[i]
		if s.Key != was.Key || s.Channel == budget.Location && s.Level != was.Level {
			t.Errorf("%v: level %v was %v", s.Key, s.Level, was.Level)
		}
		if s.Noise > 1.1001*was.Noise || s.Scale > 1.1001*was.Scale || s.Dead > math.Max(p.DeadZone, 1.1001*was.Dead) && s.Channel != budget.Distinct {
			t.Errorf("%v: noise %v of %v, scale %v of %v, dead zone %v of %v", s.Key, s.Noise, was.Noise, s.Scale, was.Scale, s.Dead, was.Dead)
		}
	}
}

func TestRevise(t *testing.T) {
	p := budget.DefaultParameters()
	w := &simWorld{seed: 53, features: 2, shift: func(f, now int) float64 {
		if f == 0 && now == reference {
			return 2
		}
		return 0
	}}
	ref := w.learn(t, p, reference).Reference()
	_, bad, err := budget.Revise(w.window(reference), ref, budget.Calendar{}, p)
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]schemas.State{}
	for _, f := range bad {
		states[string(f.Fault)+f.Columns[0]] = f.State
	}
	if states["driftf0000"] != schemas.StateError || states["driftf0001"] == schemas.StateError || states["nullsf0000"] != schemas.StateOK {
		t.Errorf("%v", states)
	}
}

func TestExamine(t *testing.T) {
	p := budget.DefaultParameters()
	w := &simWorld{seed: 59, features: 4, slices: []float64{.999, .001}}
	ref := w.learn(t, p, reference).Reference()
	plan := budget.NewPlan(budget.Budget{Pages: 1, Tickets: 4, Per: month}, time.Hour, nil, ref, nil, p)
	d := budget.Examine(ref, plan, p)
	tickets := 0.0
	for _, s := range d.Streams {
		tickets += s.PerMonth
		if s.Channel == budget.Location && s.Slice == "" {
			if len(s.Detect) != 4 || s.Detect[3] <= 0 || s.Detect[3] > s.Detect[1] || s.Dead < p.DeadZone || s.Season <= 0 {
				t.Errorf("%+v", s)
			}
		}
	}
	if math.Abs(tickets-4) > 1e-6 || d.Days < 27.9 || !d.Stages[3].Reached || len(d.Offers) != 3 || d.Offers[0].Detect[1] < d.Offers[2].Detect[1] {
		t.Errorf("%v tickets, %v days, %+v, %+v", tickets, d.Days, d.Stages, d.Offers)
	}
	what := fmt.Sprint(d.Blind)
	if !strings.Contains(what, "labels") || !strings.Contains(what, "slices") {
		t.Errorf("blind spots: %s", what)
	}
}

func TestSettle(t *testing.T) {
	at := time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	ref := budget.NewReference(&schemas.Baseline{})
	plan := budget.NewPlan(budget.Budget{Pages: 1, Tickets: 4, Per: month}, time.Hour, nil, ref, nil, budget.DefaultParameters())
	f := func(falses, trues, unmarked int, factor float64) {
		t.Helper()
		var sent []budget.Sent
		for i := range falses + trues + unmarked {
			s := budget.Sent{At: at.Add(-time.Duration(i+1) * time.Hour), Kind: budget.Page}
			switch {
			case i < falses:
				s.Mark = budget.MarkedFalse
			case i < falses+trues:
				s.Mark = budget.MarkedTrue
			}
			sent = append(sent, s)
		}
		l := budget.Settle(plan, at.Add(-300*24*time.Hour), at, sent)
		if math.Abs(l.Pages.Factor-factor) > 1e-9 || l.Factor() != l.Pages.Factor || l.Pages.False != falses || l.Pages.Sent != len(sent) || l.Tickets.Sent != 0 {
			t.Errorf("%d false, %d true, %d unmarked: %+v", falses, trues, unmarked, l.Pages)
		}
		slices.Reverse(sent)
		if again := budget.Settle(plan, at.Add(-300*24*time.Hour), at, sent); again != l {
			t.Error("the order of the ledger matters")
		}
	}
	// Over two months at one a month, Poisson's 95 % limit is 5.
	f(0, 0, 0, 1)
	f(5, 0, 0, 1)
	f(6, 0, 0, 2./6)
	f(2, 30, 0, 1)
	f(0, 0, 40, 1)
	l := budget.Settle(plan, at.Add(-300*24*time.Hour), at, []budget.Sent{{At: at, Kind: budget.Page, Mark: budget.MarkedFalse}, {At: at.Add(-61 * 24 * time.Hour), Kind: budget.Page, Mark: budget.MarkedFalse}})
	if l.Pages.Sent != 0 {
		t.Errorf("%+v", l.Pages)
	}
}

func FuzzMemory(f *testing.F) {
	p := budget.DefaultParameters()
	w := &simWorld{seed: 3, features: 1}
	m := w.run(f, w.learn(f, p, 400), budget.Budget{Pages: 1, Tickets: 2, Per: month}, p, 400, 410, func(int, []detectors.Finding) {})
	body, err := json.Marshal(m)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`""`))
	f.Add([]byte(`"AQA="`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var m budget.Memory
		if json.Unmarshal(body, &m) != nil {
			if m.Streams() != 0 {
				t.Fatal("a memory that could not be read has changed")
			}
			return
		}
		once, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var back budget.Memory
		if err := json.Unmarshal(once, &back); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if again, _ := json.Marshal(back); string(again) != string(once) {
			t.Fatal("a memory changes when it is written and read")
		}
	})
}
