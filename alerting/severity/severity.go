package severity

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/schemas"
)

// Policy is what the owner of a model says of its findings. The zero value
// changes nothing.
type Policy struct {
	Unimportant []string                `json:"unimportant,omitempty"` // features of importance 0, sorted
	Changes     []schemas.PlannedChange `json:"changes,omitempty"`
	Rules       []schemas.Rule          `json:"rules,omitempty"`
}

// Of reads the policy of a monitor.
func Of(m *schemas.Monitor) Policy {
	p := Policy{Rules: m.Rules}
	for name, f := range m.Features {
		if f.Importance != nil && *f.Importance == 0 {
			p.Unimportant = append(p.Unimportant, name)
		}
	}
	slices.Sort(p.Unimportant)
	if m.Calendar != nil {
		p.Changes = m.Calendar.Changes
	}
	return p
}

// Apply returns the findings with the severities that they are told with.
// Only findings of state error are changed:
//
//   - a fault on columns of no importance is at most a warning;
//   - what moves in the time of a planned change is muted: drift, rates and
//     volume, not what hard rules find;
//   - of the rules that match, the last sets the severity, or mutes.
//
// findings stays as it is.
func (p *Policy) Apply(findings []detectors.Finding) []detectors.Finding {
	out := slices.Clone(findings)
	for i := range out {
		if f := &out[i]; f.State == schemas.StateError {
			p.apply(f)
		}
	}
	return out
}

func (p *Policy) apply(f *detectors.Finding) {
	if f.Severity == schemas.SeverityCritical && len(f.Columns) > 0 && p.unimportant(f.Columns) {
		f.Severity = schemas.SeverityWarning
		f.Reason = also(f.Reason, "a column of no importance")
	}
	rule := p.last(f)
	change := p.change(f)
	switch {
	case rule != nil && rule.Severity == schemas.RuleMute:
		mute(f, fmt.Sprintf("muted until %s: %s", rule.Until.Format(time.DateOnly), rule.Reason))
	case rule != nil:
		f.Severity = schemas.Severity(rule.Severity)
		f.Reason = also(f.Reason, "severity by rule: "+rule.Reason)
	case change != nil:
		mute(f, "planned change: "+change.Reason)
	}
}

// mute holds whatever state the fault had: nothing was measured to be right.
func mute(f *detectors.Finding, why string) {
	f.State = schemas.StateUnknown
	f.Reason = also(f.Reason, why)
}

func also(reason, more string) string {
	if reason == "" {
		return more
	}
	return reason + "; " + more
}

func (p *Policy) unimportant(columns []string) bool {
	return !slices.ContainsFunc(columns, func(c string) bool {
		_, found := slices.BinarySearch(p.Unimportant, c)
		return !found
	})
}

// planned lists what a planned change explains.
var planned = []schemas.Fault{
	schemas.FaultDrift, schemas.FaultPredictionDrift, schemas.FaultScoreDrift, schemas.FaultMultivariateDrift,
	schemas.FaultNulls, schemas.FaultUnseenValues, schemas.FaultVolume, schemas.FaultCaptureGap, schemas.FaultLatency, schemas.FaultLabelGap,
}

func (p *Policy) change(f *detectors.Finding) *schemas.PlannedChange {
	if !slices.Contains(planned, f.Fault) {
		return nil
	}
	for i := range p.Changes {
		c := &p.Changes[i]
		named := len(c.Features) == 0 || slices.ContainsFunc(f.Columns, func(col string) bool { return slices.Contains(c.Features, col) })
		if named && f.Start < c.To.UnixMilli() && c.From.UnixMilli() < f.End {
			return c
		}
	}
	return nil
}

func (p *Policy) last(f *detectors.Finding) *schemas.Rule {
	for i := len(p.Rules) - 1; i >= 0; i-- {
		if matches(&p.Rules[i], f) {
			return &p.Rules[i]
		}
	}
	return nil
}

func matches(r *schemas.Rule, f *detectors.Finding) bool {
	oneOf := func(want, got []string) bool {
		return len(want) == 0 || slices.ContainsFunc(got, func(s string) bool { return slices.Contains(want, s) })
	}
	size := effect(f.Effect)
	switch {
	case !r.Until.IsZero() && f.Detected >= r.Until.UnixMilli(),
		!oneOf(r.Features, f.Columns), !oneOf(r.Slices, f.Slices),
		len(r.Faults) > 0 && !slices.Contains(r.Faults, f.Fault),
		r.Below != nil && !(size < *r.Below), r.Above != nil && !(size >= *r.Above):
		return false
	}
	return within(r, f.Detected)
}

// effect is the size of a fault by which rules tell it: in reference standard
// deviations where it has that, else as a share; NaN where it has none.
func effect(e schemas.Effect) float64 {
	switch {
	case e.SD != nil:
		return math.Abs(*e.SD)
	case e.Share != nil:
		return math.Abs(*e.Share)
	}
	return math.NaN()
}

// within says whether a moment is in the rule's time of day.
func within(r *schemas.Rule, at int64) bool {
	from, to, err := r.HoursOfDay()
	if err != nil {
		return false // a monitor with such a rule is not read
	}
	t := time.UnixMilli(at).UTC()
	minute := t.Hour()*60 + t.Minute()
	if from < to {
		return from <= minute && minute < to
	}
	return minute >= from || minute < to
}
