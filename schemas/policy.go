package schemas

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Moment is a point of event time that is written as a date (midnight UTC) or
// as RFC 3339.
type Moment struct{ time.Time }

// ParseMoment reads 2026-12-25 or 2026-12-25T08:00:00Z.
func ParseMoment(s string) (Moment, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return Moment{t.UTC()}, nil
		}
	}
	return Moment{}, fmt.Errorf("%q is not a date; write it like 2026-12-25 or 2026-12-25T08:00:00Z", s)
}

// DecodeYAML reads a date or a time.
func (m *Moment) DecodeYAML(n *YAML, p *Problems) {
	if n.Kind == YAMLNull {
		return
	}
	t, err := ParseMoment(n.Text)
	if n.Kind >= YAMLMap || err != nil {
		n.wrongType(p, "a date", "write it like 2026-12-25 or 2026-12-25T08:00:00Z")
		return
	}
	*m = t
}

// Rule is a layer of the owner's own on top of the severities that follow
// from a finding. Of several rules that match one finding the last counts.
type Rule struct {
	// What the rule does with the findings it matches: mute (nobody is told), or the severity they get.
	Severity RuleSeverity `yaml:"severity" json:"severity" jsonschema:"required"`
	// Features of which one must be among the finding's columns; without it any.
	Features []string `yaml:"features" json:"features,omitempty"`
	// Slices, such as origin=ORD, of which one must be named by the finding; without it any, and the whole.
	Slices []string `yaml:"slices" json:"slices,omitempty"`
	// Names of faults; without it any.
	Faults []Fault `yaml:"faults" json:"faults,omitempty"`
	// The effect, in reference standard deviations or as a share, must be below this.
	Below *float64 `yaml:"below" json:"below,omitempty" jsonschema:"exclusiveMinimum=0"`
	// The effect, in reference standard deviations or as a share, must be at least this.
	Above *float64 `yaml:"above" json:"above,omitempty" jsonschema:"exclusiveMinimum=0"`
	// Time of day in UTC in which it must have been detected, as 22:00-06:00; without it any.
	Hours string `yaml:"hours" json:"hours,omitempty"`
	// Why the rule is there; it stands on the record of what it changed.
	Reason string `yaml:"reason" json:"reason" jsonschema:"required,minLength=1"`
	// The rule holds for what is detected before; a rule past it is reported.
	Until Moment `yaml:"until" json:"until,omitzero"`
}

// RuleSeverity is what a rule makes of a finding.
type RuleSeverity string

// What rules make of findings.
const (
	RuleMute     RuleSeverity = "mute"
	RuleInfo     RuleSeverity = "info"
	RuleWarning  RuleSeverity = "warning"
	RuleCritical RuleSeverity = "critical"
)

// HoursOfDay reads the time of day of a rule, in minutes since midnight; to
// may be less than from, for a stretch over midnight. Empty is all day.
func (r *Rule) HoursOfDay() (from, to int, err error) {
	if r.Hours == "" {
		return 0, 24 * 60, nil
	}
	a, b, ok := strings.Cut(r.Hours, "-")
	from, errA := minuteOfDay(a)
	to, errB := minuteOfDay(b)
	if !ok || errA != nil || errB != nil || from == to {
		return 0, 0, fmt.Errorf("%q is not a time of day; write it like 22:00-06:00", r.Hours)
	}
	return from, to, nil
}

func minuteOfDay(s string) (int, error) {
	s = strings.TrimSpace(s)
	if s == "24:00" {
		return 24 * 60, nil
	}
	t, err := time.Parse("15:04", s)
	if err != nil {
		return 0, err
	}
	return t.Hour()*60 + t.Minute(), nil
}

// Past lists the rules of the monitor that are over at that moment: who wrote
// them meant to look again by then.
func (m *Monitor) Past(at time.Time) []Rule {
	var out []Rule
	for _, r := range m.Rules {
		if !r.Until.IsZero() && !at.Before(r.Until.Time) {
			out = append(out, r)
		}
	}
	return out
}

// String names a rule by what it does and why.
func (r *Rule) String() string {
	text := "to " + string(r.Severity)
	if r.Severity == RuleMute {
		text = "to mute"
	}
	return fmt.Sprintf("the rule %s %q", text, shorten(r.Reason))
}

// Calendar holds the days that differ from others.
type Calendar struct {
	// Days, in UTC, that run like a Sunday.
	Holidays []Moment `yaml:"holidays" json:"holidays,omitempty" jsonschema:"maxItems=1000"`
	// Changes that are planned: what moves in their time is nobody's alarm.
	Changes []PlannedChange `yaml:"changes" json:"changes,omitempty" jsonschema:"maxItems=1000"`
}

// PlannedChange is a stretch of event time in which a change was announced.
type PlannedChange struct {
	// When it begins.
	From Moment `yaml:"from" json:"from" jsonschema:"required"`
	// When it is over.
	To Moment `yaml:"to" json:"to" jsonschema:"required"`
	// The features that it moves; without it all, and the volume.
	Features []string `yaml:"features" json:"features,omitempty"`
	// What it is.
	Reason string `yaml:"reason" json:"reason" jsonschema:"required,minLength=1"`
}

var ruleSeverities = []string{string(RuleMute), string(RuleInfo), string(RuleWarning), string(RuleCritical)}

func checkRules(m *Monitor, root *YAML, p *Problems) {
	all := root.Get("rules")
	if all == nil || all.Kind != YAMLList {
		return
	}
	for i := range m.Rules {
		if all.Items[i].Kind == YAMLMap {
			checkRule(m, &m.Rules[i], all.Items[i], p)
		}
	}
}

func checkRule(m *Monitor, r *Rule, at *YAML, p *Problems) {
	switch {
	case at.Get("severity") == nil:
		p.Add(at, "the rule does not say what it does", "give `severity: mute`, or the severity that findings get")
	case !slices.Contains(ruleSeverities, string(r.Severity)) && r.Severity != "":
		p.Add(at.At("severity"), fmt.Sprintf("severity `%s` is not known", shorten(string(r.Severity))), DidYouMean(string(r.Severity), ruleSeverities))
	}
	if strings.TrimSpace(r.Reason) == "" {
		p.Add(at.At("reason"), "a rule needs a reason", "who comes after you will ask why")
	}
	if r.Severity == RuleMute && at.Get("until") == nil {
		p.Add(at, "a rule that mutes needs `until`", "what is muted for ever is not watched; write the date at which somebody looks again")
	}
	checkNamed(m, r.Features, at.At("features"), p)
	for i, f := range r.Faults {
		if !slices.Contains(Faults[:], f) {
			p.Add(at.At("faults").item(i), fmt.Sprintf("fault `%s` is not known", shorten(string(f))), DidYouMean(string(f), faultNames()))
		}
	}
	for i, s := range r.Slices {
		if !strings.Contains(s, "=") {
			p.Add(at.At("slices").item(i), fmt.Sprintf("`%s` is no slice", shorten(s)), "write the column and its value, as in origin=ORD")
		}
	}
	if r.Below != nil && r.Above != nil && *r.Below <= *r.Above {
		p.Add(at.At("below"), fmt.Sprintf("no effect is at least %g and below %g", *r.Above, *r.Below), "")
	}
	for key, v := range map[string]*float64{"above": r.Above, "below": r.Below} {
		if v != nil && *v <= 0 {
			p.Add(at.At(key), "an effect is positive", "its direction does not count here")
		}
	}
	if _, _, err := r.HoursOfDay(); err != nil {
		p.Add(at.At("hours"), err.Error(), "")
	}
}

func faultNames() []string {
	names := make([]string, len(Faults))
	for i, f := range Faults {
		names[i] = string(f)
	}
	return names
}

// checkNamed reports features that the monitor cannot know. With a baseline
// or learning there are others than those listed.
func checkNamed(m *Monitor, names []string, at *YAML, p *Problems) {
	if m.Baseline != "" || m.Learn > 0 {
		return
	}
	for i, f := range names {
		if _, ok := m.Features[f]; !ok && f != "" {
			p.Add(at.item(i), fmt.Sprintf("`%s` is not among the features", shorten(f)), DidYouMean(f, sortedKeys(m.Features)))
		}
	}
}

func checkCalendar(m *Monitor, root *YAML, p *Problems) {
	if m.Calendar == nil {
		return
	}
	at := root.At("calendar")
	for i, d := range m.Calendar.Holidays {
		if !d.Equal(d.Truncate(24 * time.Hour)) {
			p.Add(at.At("holidays").item(i), "a holiday is a whole day", "write it like 2026-12-25")
		}
	}
	changes := at.At("changes")
	for i := range m.Calendar.Changes {
		c, at := &m.Calendar.Changes[i], changes.item(i)
		if at.Kind != YAMLMap {
			continue
		}
		switch {
		case at.Get("from") == nil || at.Get("to") == nil:
			p.Add(at, "a planned change has `from` and `to`", "")
		case !c.From.IsZero() && !c.To.IsZero() && !c.From.Before(c.To.Time):
			p.Add(at.At("to"), "the change is over before it begins", "")
		}
		if strings.TrimSpace(c.Reason) == "" {
			p.Add(at, "a planned change needs a reason", "it stands on the record of what was not told")
		}
		checkNamed(m, c.Features, at.At("features"), p)
	}
}

// item returns the i-th entry of a list, or the node itself where it is none.
func (n *YAML) item(i int) *YAML {
	if n.Kind == YAMLList && i < len(n.Items) {
		return n.Items[i]
	}
	return n
}
