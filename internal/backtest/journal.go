package backtest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// journal keeps of the steps of one evaluator what a report says.
type journal struct {
	step      *schemas.Step // the last one, without its verdicts
	alerts    []Alert
	worst     map[string]schemas.Severity // that was sent of an incident
	resolved  map[string]time.Time
	requests  int
	judged    map[schemas.Stream]bool
	unjudged  map[string]*reasoned
	days      map[int64]*day
	series    map[series][]point
	first     int64 // start of the first window that was judged
	last      int64 // end of the last
	windows   map[string]int
	hasWindow bool
}

// reasoned counts verdicts without a judgement.
type reasoned struct {
	verdicts int
	streams  map[schemas.Stream]bool
}

func newJournal() *journal {
	return &journal{
		worst: map[string]schemas.Severity{}, resolved: map[string]time.Time{}, judged: map[schemas.Stream]bool{},
		unjudged: map[string]*reasoned{}, days: map[int64]*day{}, series: map[series][]point{}, windows: map[string]int{},
	}
}

// LastStep implements evaluate.Journal.
func (j *journal) LastStep(context.Context, string) (*schemas.Step, error) { return j.step, nil }

// Append implements evaluate.Journal: there is one writer, so it wins.
func (j *journal) Append(_ context.Context, step schemas.Step) (bool, error) {
	for i := range step.Outbox {
		if err := j.message(&step.Outbox[i]); err != nil {
			return false, err
		}
	}
	for i := range step.Incidents {
		if c := &step.Incidents[i]; c.State == schemas.IncidentResolved {
			j.resolved[c.Incident] = c.Resolved.UTC()
		} else {
			delete(j.resolved, c.Incident)
		}
	}
	for i := range step.Verdicts {
		j.verdict(&step.Verdicts[i])
	}
	if err := j.inputs(step.Inputs); err != nil {
		return false, err
	}
	j.requests += len(step.Requests)
	step.Verdicts, step.Outbox, step.Incidents = nil, nil, nil
	j.step = &step
	return true, nil
}

// inputs notes which windows a step has judged.
func (j *journal) inputs(body []byte) error {
	var in struct {
		Windows []struct {
			Part    schemas.Part `json:"part"`
			Start   int64        `json:"start"`
			End     int64        `json:"end"`
			Revised bool         `json:"revised"`
		} `json:"windows"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return fmt.Errorf("reading the inputs of a step: %w", err)
	}
	for _, w := range in.Windows {
		if w.Revised {
			continue
		}
		if !j.hasWindow {
			j.first, j.last, j.hasWindow = w.Start, w.End, true
		}
		j.first, j.last = min(j.first, w.Start), max(j.last, w.End)
		j.windows[w.Part.String()]++
	}
	return nil
}

// message takes in what was told.
func (j *journal) message(m *schemas.Message) error {
	if m.Stream != schemas.StreamAlerts {
		return nil
	}
	var a schemas.Alert
	if err := json.Unmarshal(m.Body, &a); err != nil {
		return fmt.Errorf("reading the message %s: %w", m.ID, err)
	}
	switch a.Transition {
	case schemas.TransitionResolved, schemas.TransitionRevised:
		return nil
	case schemas.TransitionUpdated:
		if a.Severity.Rank() <= j.worst[a.Incident].Rank() {
			return nil // of what is known already
		}
	}
	j.worst[a.Incident] = a.Severity
	j.alerts = append(j.alerts, Alert{
		At: a.Detected.UTC(), Kind: kindOf(a.Severity), Escalation: a.Transition != schemas.TransitionFiring,
		Incident: a.Incident, Fault: a.Fault, Title: a.Title, Version: a.Version, Columns: list(a.Columns), Slices: list(a.Slices),
		Onset: a.Onset.UTC(), Effect: a.Effect, RunnerUp: a.RunnerUp, Evidence: list(a.Evidence), Reason: a.Reason, Offsets: list(a.Replay.Offsets),
	})
	return nil
}

func kindOf(s schemas.Severity) Kind {
	switch s {
	case schemas.SeverityCritical:
		return Page
	case schemas.SeverityWarning:
		return Ticket
	}
	return Note
}

// list makes an empty list of none, which JSON writes as [].
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

const dayMillis = 24 * 60 * 60 * 1000

// verdict counts one judgement.
func (j *journal) verdict(v *schemas.Verdict) {
	start := v.Start - (v.Start%dayMillis+dayMillis)%dayMillis
	d := j.days[start]
	if d == nil {
		d = &day{start: start}
		j.days[start] = d
	}
	switch v.State {
	case schemas.StateUnknown:
		d.unknown++
		reason := kindOfReason(v.Reason)
		r := j.unjudged[reason]
		if r == nil {
			r = &reasoned{streams: map[schemas.Stream]bool{}}
			j.unjudged[reason] = r
		}
		r.verdicts++
		r.streams[v.Stream] = true
	case schemas.StateOK:
		d.ok++
		j.judged[v.Stream] = true
	default:
		d.out++
		j.judged[v.Stream] = true
	}
	if v.Slice != "" {
		return // drawings are of the whole
	}
	k := series{v.Stream, v.Channel}
	k.Version = ""
	j.series[k] = append(j.series[k], point{v.Start, float32(v.Effect), float32(v.Low), float32(v.High), v.State})
}

// kindOfReason leaves out of a reason the numbers of a single window.
func kindOfReason(s string) string {
	before, after, ok := strings.Cut(s, ": ")
	if ok && after != "" && after[0] >= '0' && after[0] <= '9' {
		return before
	}
	return s
}

// result makes the run of what was kept.
func (j *journal) result(b Budget) Run {
	out := Run{Budget: b, Alerts: j.alerts, Retrain: j.requests, series: j.series}
	for i := range out.Alerts {
		if at, ok := j.resolved[out.Alerts[i].Incident]; ok {
			out.Alerts[i].Resolved = &at
		}
	}
	slices.SortStableFunc(out.Alerts, func(a, b Alert) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Incident, b.Incident))
	})
	out.Alerts = list(out.Alerts)
	for _, start := range slices.Sorted(maps.Keys(j.days)) {
		out.days = append(out.days, *j.days[start])
	}
	return out
}

// reasons lists why verdicts could not be given, most first.
func (j *journal) reasons() []Unjudged {
	out := []Unjudged{}
	for reason, r := range j.unjudged {
		out = append(out, Unjudged{reason, r.verdicts, len(r.streams)})
	}
	slices.SortFunc(out, func(a, b Unjudged) int {
		return cmp.Or(cmp.Compare(b.Verdicts, a.Verdicts), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}
