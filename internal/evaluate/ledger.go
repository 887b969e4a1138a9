package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/schemas"
)

// spending is what a model has spent of its budget, and what was said of it.
type spending struct {
	Since int64  `json:"since,omitempty"` // start of the first window that was judged, Unix milliseconds
	Sent  []sent `json:"sent,omitempty"`  // in the order of the messages
}

// sent is an incident as the ledger counts it: once as a page, once as a ticket.
type sent struct {
	Incident string      `json:"incident"`
	Kind     budget.Kind `json:"kind"`
	At       int64       `json:"at"` // event time of what was told first
	Mark     budget.Mark `json:"mark,omitempty"`
}

// keptPeriods is how long an entry stays: longer than the governor looks back.
const keptPeriods = 3

// count takes the messages of a step into the ledger.
func (l *spending) count(alerts []schemas.Alert) {
	for i := range alerts {
		a := &alerts[i]
		if a.Transition != schemas.TransitionFiring && a.Transition != schemas.TransitionUpdated {
			continue
		}
		kind := budget.Kind(0)
		switch a.Severity {
		case schemas.SeverityCritical:
			kind = budget.Page
		case schemas.SeverityWarning:
			kind = budget.Ticket
		case schemas.SeverityInfo:
			continue
		}
		told := func(s sent) bool { return s.Incident == a.Incident && s.Kind == kind }
		if !slices.ContainsFunc(l.Sent, told) {
			l.Sent = append(l.Sent, sent{Incident: a.Incident, Kind: kind, At: a.Detected.UnixMilli()})
		}
	}
}

// mark takes in what people have said and returns what is new of it.
func (l *spending) mark(marks []schemas.IncidentMark) []schemas.IncidentMark {
	var news []schemas.IncidentMark
	for _, m := range marks {
		as := budget.MarkedFalse
		if m.Verdict == schemas.MarkTrue {
			as = budget.MarkedTrue
		}
		changed := false
		for i := range l.Sent {
			if s := &l.Sent[i]; s.Incident == m.Incident && s.Mark != as {
				s.Mark, changed = as, true
			}
		}
		if changed {
			news = append(news, m)
		}
	}
	return news
}

// forget drops what the governor does not look at any more.
func (l *spending) forget(at int64, per time.Duration) {
	past := at - keptPeriods*per.Milliseconds()
	l.Sent = slices.DeleteFunc(l.Sent, func(s sent) bool { return s.At < past })
}

// governed returns the factor on all weights of a window that begins at a moment.
func (l *spending) governed(plan *budget.Plan, at int64) float64 {
	if plan == nil || len(l.Sent) == 0 {
		return 1
	}
	entries := make([]budget.Sent, len(l.Sent))
	for i, s := range l.Sent {
		entries[i] = budget.Sent{At: time.UnixMilli(s.At), Kind: s.Kind, Mark: s.Mark}
	}
	settled := budget.Settle(plan, time.UnixMilli(l.Since), time.UnixMilli(at), entries)
	return settled.Factor()
}

// marks reads what people have said since the step before. They count from
// the windows of this step on.
func (d *decision) marks(ctx context.Context) error {
	if d.m.e.deps.Marks == nil || len(d.state.Ledger.Sent) == 0 {
		return nil
	}
	all, err := d.m.e.deps.Marks(ctx, d.m.Name)
	if err != nil {
		return fmt.Errorf("reading marks: %w", err)
	}
	slices.SortStableFunc(all, func(a, b schemas.IncidentMark) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Incident, b.Incident))
	})
	d.inputs.Marks = d.state.Ledger.mark(all)
	return nil
}
