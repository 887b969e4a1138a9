package detection

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/schemas"
)

// Detector names what is measured. Never and Always show that the bench can
// fail: it must refuse both.
type Detector string

// The detectors.
const (
	Budget Detector = "budget"
	Never  Detector = "never"
	Always Detector = "always"
)

// spend is what a detector may spend, and how.
type spend struct {
	pages, tickets float64 // in 30 days
	parameters     budget.Parameters
	importance     func(feature string) float64
	calendar       budget.Calendar
}

// month is the period of all budgets here.
const month = 30 * 24 * time.Hour

// ruleless are the parameters with severity rules off: what shifts features
// has page spend too, and what other rules would have is spent here.
func ruleless() budget.Parameters {
	p := budget.DefaultParameters()
	p.Spend.PageRates, p.Spend.PageVolume, p.Spend.PagePrediction = .25, .0625, 0
	p.Spend.PageFeatures = 1 - p.Spend.PageRates - p.Spend.PageVolume
	return p
}

// locating are the parameters of the delays: the location streams of whole
// columns have at least a quarter of the tickets.
func locating() budget.Parameters {
	p := budget.DefaultParameters()
	p.Spend.Slices, p.Spend.Shift, p.Spend.Rates = .25, .9, .05
	return p
}

// memory is what a detector remembers; it is never changed in place.
type memory any

// judge judges one window.
type judge func(w *detectors.Window, m memory) ([]schemas.Verdict, []detectors.Finding, memory, error)

// learnt is a detector that knows a reference.
type learnt struct {
	detector Detector
	ref      *budget.Reference
	keys     []budget.Key
	cuts     int
	spec     *schemas.Spec
}

// learn fits the healthy windows of a model.
func learn(d Detector, m *Model, calendar budget.Calendar) (*learnt, error) {
	windows, err := m.Reference()
	if err != nil {
		return nil, err
	}
	l := &learnt{detector: d, spec: &m.Spec.Spec}
	if d != Budget {
		return l, nil
	}
	p := budget.DefaultParameters()
	h := budget.NewHistory(m.Baseline, time.Hour, p)
	h.Calendar = calendar
	for _, w := range windows {
		if err := h.Add(w); err != nil {
			return nil, fmt.Errorf("learning world %s: %w", m.World.Name, err)
		}
	}
	f, err := h.Fit()
	if err != nil {
		return nil, fmt.Errorf("learning world %s: %w", m.World.Name, err)
	}
	l.ref, l.cuts = f.Reference(), len(f.Cuts)
	l.keys = l.ref.Keys()
	return l, nil
}

// plan shares a budget out and returns the judge, and the plan where there is one.
func (l *learnt) plan(s spend) (judge, *budget.Plan) {
	switch l.detector {
	case Never:
		return func(w *detectors.Window, m memory) ([]schemas.Verdict, []detectors.Finding, memory, error) {
			return all(w, schemas.StateOK), nil, m, nil
		}, nil
	case Always:
		return always, nil
	}
	p := budget.NewPlan(budget.Budget{Pages: s.pages, Tickets: s.tickets, Per: month}, time.Hour, l.spec, l.ref, s.importance, s.parameters)
	return func(w *detectors.Window, m memory) ([]schemas.Verdict, []detectors.Finding, memory, error) {
		was, _ := m.(budget.Memory)
		return three(budget.Judge(w, l.ref, p, s.calendar, s.parameters, was))
	}, p
}

func three(v []schemas.Verdict, f []detectors.Finding, m budget.Memory, err error) ([]schemas.Verdict, []detectors.Finding, memory, error) {
	return v, f, m, err
}

// all gives every stream of the window one state.
func all(w *detectors.Window, s schemas.State) []schemas.Verdict {
	var out []schemas.Verdict
	for i := range w.Entries {
		out = append(out, schemas.Verdict{Stream: w.Entries[i].Stream, Start: w.Start, Channel: budget.Location, State: s})
	}
	return out
}

// always says of every other window that every column is wrong, so that each
// such window is a new alarm.
func always(w *detectors.Window, m memory) ([]schemas.Verdict, []detectors.Finding, memory, error) {
	var out []detectors.Finding
	state := schemas.StateError
	if w.Start/time.Hour.Milliseconds()%2 == 1 {
		state = schemas.StateOK
	}
	for i := range w.Entries {
		if e := &w.Entries[i]; e.Role == schemas.RoleFeature && e.Slice == "" {
			out = append(out, detectors.Finding{
				Fault: schemas.FaultDrift, Severity: schemas.SeverityCritical, State: state, Columns: []string{e.Feature},
				Onset: w.Start, Detected: w.End, Start: w.Start, End: w.End,
			})
		}
	}
	return all(w, state), out, m, nil
}

// bytesPerStream is the size of a memory as the journal keeps it.
func (l *learnt) bytesPerStream(m memory) float64 {
	b, ok := m.(budget.Memory)
	if !ok || b.Streams() == 0 {
		return 0
	}
	body, err := json.Marshal(b)
	if err != nil {
		return 0
	}
	return float64(len(body)) / float64(b.Streams())
}

// event is an alarm that somebody is told of: a finding that was not open, or
// one that has become a page.
type event struct {
	window       int
	fault        schemas.Fault
	column       string
	slice        string
	page, ticket bool
	first        bool // not an escalation
	reason       string
}

// tally follows which findings are open, and tells what is new: firing, firing
// again after it had cleared, and escalation. Each column and each slice of a
// finding counts by itself, because each had a budget of its own. A finding
// that is open and alarms again is silent.
type tally map[open]schemas.Severity

type open struct {
	fault         schemas.Fault
	column, slice string
}

// take takes in the findings of window t.
func (o tally) take(t int, findings []detectors.Finding) []event {
	var out []event
	for i := range findings {
		f := &findings[i]
		for _, k := range parts(f) {
			was := o[k]
			switch f.State {
			case schemas.StateOK:
				delete(o, k)
			case schemas.StateError:
				if f.Severity.Rank() <= was.Rank() {
					continue
				}
				o[k] = f.Severity
				first := was.Rank() < schemas.SeverityWarning.Rank()
				e := event{
					window: t, fault: f.Fault, column: k.column, slice: k.slice, first: first, reason: f.Reason,
					page: f.Severity == schemas.SeverityCritical, ticket: first && f.Severity.Rank() >= schemas.SeverityWarning.Rank(),
				}
				if e.page || e.ticket {
					out = append(out, e)
				}
			}
		}
	}
	return out
}

// parts are the columns and slices that a finding speaks of.
func parts(f *detectors.Finding) []open {
	columns, slices := f.Columns, f.Slices
	if len(columns) == 0 {
		columns = []string{""}
	}
	if len(slices) == 0 {
		slices = []string{""}
	}
	var out []open
	for _, c := range columns {
		for _, s := range slices {
			out = append(out, open{f.Fault, c, s})
		}
	}
	return out
}

// alarmed are the columns that have a finding of at least a ticket.
func alarmed(findings []detectors.Finding) map[string]bool {
	var out map[string]bool
	for i := range findings {
		f := &findings[i]
		if f.State != schemas.StateError || f.Severity.Rank() < schemas.SeverityWarning.Rank() {
			continue
		}
		for _, c := range f.Columns {
			if out == nil {
				out = map[string]bool{}
			}
			out[c] = true
		}
	}
	return out
}
