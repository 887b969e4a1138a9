package detection

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modelwatch/modelwatch/alerting"
	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/schemas"
)

// Onsets lie in the first ten days of the test, so that twenty are left.
const (
	firstOnset = ReferenceWindows + 24
	lastOnset  = ReferenceWindows + 240
	horizon    = 480 // windows that a fault may take to be found
	watched    = 24  // windows after that, in which more messages count
)

// scenario is one line of the table of faults.
type scenario struct {
	name     string
	fault    Fault // columns and onset are set for each run
	category bool  // on columns of categories only
	harmless bool
	announce bool // the calendar knows of it
	recall   float64
}

func scenarios() []scenario {
	f := func(name string, recall float64, fault Fault) scenario {
		return scenario{name: name, recall: recall, fault: fault}
	}
	out := []scenario{
		f("step .1 sd", 0, Fault{Kind: Step, Size: .1, Slice: -1}),
		f("step .25 sd", 0, Fault{Kind: Step, Size: .25, Slice: -1}),
		f("step .5 sd", .97, Fault{Kind: Step, Size: .5, Slice: -1}),
		f("step 1 sd", .97, Fault{Kind: Step, Size: 1, Slice: -1}),
		f("scale × 1.5", 0, Fault{Kind: Scale, Size: .5, Slice: -1}),
		f("ramp to .5 sd in 5 d", .9, Fault{Kind: Ramp, Size: .5, Length: 120, Slice: -1}),
		f("ramp to 1 sd in 10 d", .9, Fault{Kind: Ramp, Size: 1, Length: 240, Slice: -1}),
		f("null 1 %", 0, Fault{Kind: Nulls, Size: .01, Slice: -1}),
		f("null 5 %", .9, Fault{Kind: Nulls, Size: .05, Slice: -1}),
		f("null 20 %", .9, Fault{Kind: Nulls, Size: .2, Slice: -1}),
		f("null 20 % in a slice of 13 %", .9, Fault{Kind: Nulls, Size: .2, Slice: 1}),
		{name: "new categories 5 %", recall: .9, category: true, fault: Fault{Kind: Unseen, Size: .05, Slice: -1}},
		f("half the rows", .9, Fault{Kind: Volume, Size: -.5, Slice: -1}),
		f("step 1 sd in a slice of 3 %", .75, Fault{Kind: Step, Size: 1, Slice: thinSlice}),
		f("null 20 % in a slice of 3 %", .75, Fault{Kind: Nulls, Size: .2, Slice: thinSlice}),
	}
	harmless := func(name string, fault Fault, announce bool) {
		out = append(out, scenario{name: name, fault: fault, harmless: true, announce: announce})
	}
	harmless("harmless: step 1 sd of a feature of no importance", Fault{Kind: Step, Size: 1, Slice: -1}, false)
	harmless("harmless: an announced season, 1 sd", Fault{Kind: Step, Size: 1, Slice: -1}, true)
	harmless("harmless: twice the traffic", Fault{Kind: Volume, Size: 1, Slice: -1}, false)
	harmless("harmless: another mix of the slices", Fault{Kind: Mix, Size: .5, Slice: -1}, false)
	return out
}

// run is one fault in one model-month, from its onset on.
type run struct {
	scenario int
	fault    Fault
	judge    judge
	memory   memory
	alerts   *alerting.State
	tally    tally

	found     int // windows from the onset to the detection; 0: not yet
	named     bool
	wrong     bool // another slice was named with the detection
	until     int  // last window that is looked at
	pages     int
	tickets   int
	incidents int
	bound     int // windows that the oracle took; 0: it was not asked, or not found
	asked     bool
	oracle    *oracle
}

// studied is what a study has shown.
type studied struct {
	runs     [][]run // by scenario
	location float64 // share of the tickets that the location of whole columns has
	dead     []float64
	tickets  int // of the healthy months, and their pages
	pages    int
}

// study runs every scenario in models of a world: of each model one healthy
// month, and from its memory at the onset one month for each fault.
type study struct {
	b         *Bench
	world     World
	shape     Shape
	scenarios []scenario
	spend     spend
	onsets    int // runs of each scenario
	label     string
	purpose   string // of the seed
	models    int
	month     bool // the healthy months are judged to their ends
}

// run takes the models to the workers and puts their runs together.
func (s *study) run(ctx context.Context) (*studied, error) {
	out := &studied{runs: make([][]run, len(s.scenarios))}
	results := make([]*studied, s.models)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(s.b.cfg.Workers)
	for k := range s.models {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			r, err := s.model(ctx, k)
			results[k] = r
			s.b.say("%s: model %d of %d", s.label, k+1, s.models)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, r := range results {
		for i := range r.runs {
			out.runs[i] = append(out.runs[i], r.runs[i]...)
		}
		out.location = r.location
		out.dead = append(out.dead, r.dead...)
		out.tickets, out.pages = out.tickets+r.tickets, out.pages+r.pages
	}
	return out, nil
}

// of lists the runs of model k: of each scenario every so many, with onsets
// drawn over ten days, so that all hours and weekdays are among them.
func (s *study) of(m *Model, k int) []run {
	var out []run
	src := newSource().at(m.Seed, 1<<40)
	numbers := 0
	for numbers < len(m.columns) && !m.columns[numbers].category {
		numbers++
	}
	for i, sc := range s.scenarios {
		n := (s.onsets + s.models - 1 - k) / s.models // of this model
		for j := range n {
			f := sc.fault
			f.Onset = firstOnset + src.IntN(lastOnset-firstOnset)
			switch {
			case f.Traffic():
			case sc.category:
				f.Columns = []int{numbers + j%(len(m.columns)-numbers)}
			default:
				f.Columns = []int{j % numbers}
			}
			out = append(out, run{scenario: i, fault: f})
		}
	}
	return out
}

func (s *study) model(ctx context.Context, k int) (*studied, error) {
	m, err := NewModel(s.world, s.shape, s.b.seed(s.purpose, k))
	if err != nil {
		return nil, err
	}
	calendar := calendarOf(&s.world)
	l, err := learn(s.b.cfg.Detector, m, calendar)
	if err != nil {
		return nil, err
	}
	sp := s.spend
	sp.calendar = calendar
	plain, plan := l.plan(sp)
	out := &studied{runs: make([][]run, len(s.scenarios)), location: locationShare(l, plan, sp), dead: l.deadZones(budget.Location)}
	runs := s.of(m, k)
	slices.SortStableFunc(runs, func(a, b run) int { return a.fault.Onset - b.fault.Onset })
	var clean memory
	cleanTally := tally{}
	next := 0
	for t := ReferenceWindows; t < allWindows; t++ {
		win := m.Window(t, nil)
		for ; next < len(runs) && runs[next].fault.Onset == t; next++ {
			s.begin(&runs[next], m, l, plan, sp, plain, clean, cleanTally)
		}
		_, findings, after, err := plain(win, clean)
		if err != nil {
			return nil, fmt.Errorf("judging world %s: %w", s.world.Name, err)
		}
		clean = after
		cleanEvents := cleanTally.take(t, findings)
		for _, e := range cleanEvents {
			if e.page {
				out.pages++
			}
			if e.ticket {
				out.tickets++
			}
		}
		healthy := alarmed(findings)
		busy := false
		for i := range runs[:next] {
			r := &runs[i]
			if t > r.until {
				continue
			}
			busy = true
			if err := s.step(r, m, t, win, healthy, cleanEvents); err != nil {
				return nil, err
			}
		}
		if !busy && next == len(runs) && !s.month {
			break
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	for _, r := range runs {
		out.runs[r.scenario] = append(out.runs[r.scenario], r)
	}
	return out, nil
}

// begin starts a run from the memory of its healthy twin.
func (s *study) begin(r *run, m *Model, l *learnt, plan *budget.Plan, sp spend, plain judge, clean memory, open tally) {
	sc := &s.scenarios[r.scenario]
	r.judge, r.memory, r.alerts, r.tally = plain, clean, &alerting.State{}, tally{}
	for k, v := range open {
		r.tally[k] = v
	}
	r.until = r.fault.Onset + horizon - 1
	if sc.harmless {
		r.until = r.fault.Onset + 10*24
		own := sp
		if sc.announce {
			own.calendar.Announced = append(slices.Clone(own.calendar.Announced), schemas.Interval{Start: Start(r.fault.Onset), End: Start(allWindows)})
			r.judge, _ = l.plan(own)
		} else if !r.fault.Traffic() {
			name := m.columns[r.fault.Columns[0]].name
			own.importance = func(f string) float64 {
				if f == name {
					return 0
				}
				return 1
			}
			r.judge, _ = l.plan(own)
		}
	}
	if s.b.cfg.Detector == Budget && plan != nil && r.fault.Kind == Step && r.fault.Slice < 0 && !sc.harmless {
		r.oracle = newOracle(m, l.ref, plan, r.fault)
		r.asked = r.oracle != nil
	}
}

// step takes a run over window t.
func (s *study) step(r *run, m *Model, t int, clean *detectors.Window, healthy map[string]bool, cleanEvents []event) error {
	win := m.With(t, clean, &r.fault)
	_, findings, after, err := r.judge(win, r.memory)
	if err != nil {
		return fmt.Errorf("judging world %s with a fault: %w", s.world.Name, err)
	}
	r.memory = after
	for _, e := range r.tally.take(t, findings) {
		if slices.ContainsFunc(cleanEvents, func(c event) bool { return c.fault == e.fault && c.column == e.column && c.slice == e.slice }) {
			continue
		}
		if e.page {
			r.pages++
		}
		if e.ticket {
			r.tickets++
		}
	}
	r.count(m, win, findings)
	if r.oracle != nil && r.bound == 0 && r.oracle.step(t, win) {
		r.bound = t - r.fault.Onset + 1
	}
	if r.found > 0 || s.scenarios[r.scenario].harmless {
		return nil
	}
	column := schemas.PartFeatures.String()
	if !r.fault.Traffic() {
		column = m.columns[r.fault.Columns[0]].name
	}
	if now := alarmed(findings); now[column] && !healthy[column] {
		r.found = t - r.fault.Onset + 1
		r.until = min(r.until, t+watched)
		r.named, r.wrong = r.slices(m, findings, column)
	}
	return nil
}

// count takes the findings into incidents, as the service does, and counts
// those that fire.
func (r *run) count(m *Model, w *detectors.Window, findings []detectors.Finding) {
	cfg := alerting.DefaultConfig(time.Hour, schemas.PartFeatures)
	res := r.alerts.Step(alerting.Input{
		Model: "bench", Part: w.Part, Findings: findings, At: w.End, Spec: m.Spec.Hash,
		Window: schemas.Interval{Start: time.UnixMilli(w.Start).UTC(), End: time.UnixMilli(w.End).UTC()},
	}, cfg)
	for i := range res.Alerts {
		if a := &res.Alerts[i]; a.Transition == schemas.TransitionFiring && a.Severity.Rank() >= schemas.SeverityWarning.Rank() {
			r.incidents++
		}
	}
}

// slices says whether the finding names the slice that the fault is in, and
// whether it names another.
func (r *run) slices(m *Model, findings []detectors.Finding, column string) (named, wrong bool) {
	for i := range findings {
		f := &findings[i]
		if f.State != schemas.StateError || !slices.Contains(f.Columns, column) {
			continue
		}
		for _, name := range f.Slices {
			if r.fault.Slice >= 0 && name == m.slices[r.fault.Slice].name {
				named = true
			} else {
				wrong = true
			}
		}
	}
	return named, wrong
}

// locationShare is the share of the tickets that the location streams of
// whole columns have.
func locationShare(l *learnt, p *budget.Plan, sp spend) float64 {
	if p == nil || sp.tickets == 0 {
		return 0
	}
	sum := 0.0
	for _, k := range l.keys {
		if k.Slice == "" && k.Channel == budget.Location {
			w := p.Weight(k)
			sum += w.Ticket + w.TicketShock
		}
	}
	return sum * float64(month/time.Hour) / sp.tickets
}

// Delay is how soon a step is found.
type Delay struct {
	Shift      float64  `json:"shift_sd"`
	Runs       int      `json:"runs"`
	Median     *float64 `json:"windows_median"` // nil: more than half were missed
	MedianLow  *float64 `json:"windows_median_low"`
	MedianHigh *float64 `json:"windows_median_high"`
	P90        *float64 `json:"windows_p90"`
	Bound      *float64 `json:"bound_median"`
	Recall     float64  `json:"recall"`
	RecallLow  float64  `json:"recall_low"`
	RecallHigh float64  `json:"recall_high"`
	// The same with a day at 1 sd in the reference that nobody told of; a
	// median is nil where more than half were missed.
	Contaminated       *float64 `json:"contaminated_median"`
	ContaminatedRecall *float64 `json:"contaminated_recall,omitempty"`
}

// FaultResult is how well one kind of fault is found.
type FaultResult struct {
	Fault      string   `json:"fault"`
	Harmless   bool     `json:"harmless,omitempty"`
	Runs       int      `json:"runs"`
	Recall     float64  `json:"recall"`
	RecallLow  float64  `json:"recall_low"`
	RecallHigh float64  `json:"recall_high"`
	Target     float64  `json:"recall_target,omitempty"`
	Median     *float64 `json:"delay_windows_median"`
	P95        *float64 `json:"delay_windows_p95"`
	Incidents  float64  `json:"pages_per_incident"` // messages `firing`, of pages and tickets, for each fault that was found; of a harmless change, for each run
	Pages      float64  `json:"pages"`              // for each run
	Tickets    float64  `json:"tickets"`
	SliceNamed *float64 `json:"slice_named,omitempty"` // of those found, where the fault is in one slice
	SliceWrong *float64 `json:"slice_wrong,omitempty"`
}

func faultOf(sc *scenario, runs []run) FaultResult {
	o := FaultResult{Fault: sc.name, Harmless: sc.harmless, Runs: len(runs), Target: sc.recall}
	var found []int
	named, wrong, incidents := 0, 0, 0
	for _, r := range runs {
		o.Pages += float64(r.pages) / float64(len(runs))
		o.Tickets += float64(r.tickets) / float64(len(runs))
		if r.found == 0 && !sc.harmless {
			continue
		}
		incidents += r.incidents
		if r.found > 0 {
			found = append(found, r.found)
		}
		if r.named {
			named++
		}
		if r.wrong {
			wrong++
		}
	}
	n := len(runs)
	o.Recall = float64(len(found)) / float64(max(n, 1))
	o.RecallLow, o.RecallHigh = interval(len(found), n)
	if sc.harmless {
		o.Incidents = float64(incidents) / float64(max(n, 1))
		return o
	}
	o.Median, o.P95 = finite(quantile(found, n, .5)), finite(quantile(found, n, .95))
	o.Incidents = float64(incidents) / float64(max(len(found), 1))
	if sc.fault.Slice >= 0 && len(found) > 0 {
		o.SliceNamed, o.SliceWrong = finite(float64(named)/float64(len(found))), finite(float64(wrong)/float64(len(found)))
	}
	return o
}

func delayOf(sc *scenario, runs []run) Delay {
	var found, bound []int
	asked := 0
	for _, r := range runs {
		if r.found > 0 {
			found = append(found, r.found)
		}
		if r.bound > 0 {
			bound = append(bound, r.bound)
		}
		if r.asked {
			asked++
		}
	}
	n := len(runs)
	low, high := medianInterval(found, n)
	d := Delay{
		Shift: sc.fault.Size, Runs: n, Median: finite(quantile(found, n, .5)), MedianLow: finite(low), MedianHigh: finite(high),
		P90: finite(quantile(found, n, .9)), Bound: finite(quantile(bound, asked, .5)), Recall: float64(len(found)) / math.Max(float64(n), 1),
	}
	d.RecallLow, d.RecallHigh = interval(len(found), n)
	return d
}
