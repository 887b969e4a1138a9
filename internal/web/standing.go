package web

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// behindWindows is how many windows may have passed since the last judged one
// before a model counts as not judged.
const behindWindows = 6

// standing is how a model stands, with the one thing to know of it.
type standing struct {
	Model    string
	Owner    string
	State    schemas.State
	Incident *schemas.Incident // what the state comes from; nil when it is a verdict or nothing
	Why      string            // the one thing to know, apart from the incident's title
	Partly   bool              // healthy, but some of it was not judged
	seen     *schemas.ModelOverview
}

// standings judges every model, those in force and those stored, worst first.
func standings(models []schemas.ModelOverview, open []schemas.Incident, monitors []*schemas.Monitor) []standing {
	byModel := map[string]*schemas.Incident{}
	for i := range open {
		in := &open[i]
		if in.State != schemas.IncidentFiring {
			continue
		}
		if old := byModel[in.Model]; old == nil || in.Severity.Rank() > old.Severity.Rank() ||
			in.Severity.Rank() == old.Severity.Rank() && in.Onset.After(old.Onset) {
			byModel[in.Model] = in
		}
	}
	rules := map[string]*schemas.Monitor{}
	for _, m := range monitors {
		rules[m.Model] = m
	}
	out := make([]standing, 0, len(models)+len(monitors))
	stored := map[string]bool{}
	for i := range models {
		m := &models[i]
		stored[m.Model] = true
		out = append(out, stand(m, byModel[m.Model], rules[m.Model]))
	}
	for _, m := range monitors {
		if !stored[m.Model] {
			out = append(out, standing{
				Model: m.Model, Owner: m.Owner, State: schemas.StateUnknown,
				Why: "No event has been seen yet on " + strings.Join(m.Topics, ", ") + ".",
			})
		}
	}
	slices.SortStableFunc(out, func(a, b standing) int {
		return cmp.Or(cmp.Compare(rank(a.State), rank(b.State)), cmp.Compare(severity(b), severity(a)), cmp.Compare(a.Model, b.Model))
	})
	return out
}

func severity(s standing) int {
	if s.Incident == nil {
		return 0
	}
	return s.Incident.Severity.Rank()
}

// stand judges one model. An open page is an error, an open ticket a warning,
// or unknown where it says that data are missing; a model without either is
// healthy only as far as its last window was judged.
func stand(m *schemas.ModelOverview, worst *schemas.Incident, rules *schemas.Monitor) standing {
	s := standing{Model: m.Model, State: schemas.StateUnknown, seen: m}
	lateness := time.Duration(0)
	if rules != nil {
		s.Owner, lateness = rules.Owner, time.Duration(rules.Lateness)
	}
	if worst != nil && worst.Severity != schemas.SeverityInfo {
		s.Incident = worst
		switch {
		case worst.Severity == schemas.SeverityCritical:
			s.State = schemas.StateError
		case !blind(worst.Fault):
			s.State = schemas.StateWarn
		}
		return s
	}
	window := m.Judged.End.Sub(m.Judged.Start)
	judged := m.States.Total() - m.States.Unknown
	switch {
	case m.Judged.End.IsZero():
		s.Why = "Not judged yet: no window has closed."
		if r := reasons(m.Unknown); r != "" {
			s.Why = "Not judged yet: " + r + "."
		}
		return s
	case m.LastEvent.Sub(m.Judged.End) > behindWindows*window+lateness:
		s.Why = "Events go on, but nothing was judged for " + length(m.LastEvent.Sub(m.Judged.End)) + " of event time."
		return s
	case judged == 0:
		s.Why = "Could not be judged"
		if r := reasons(m.Unknown); r != "" {
			s.Why += ": " + r
		}
		s.Why += "."
		return s
	case m.States.Error > 0:
		s.State = schemas.StateWarn
		s.Why = outside(m) + ", on this page only."
		s.Incident = worst
		s.Partly = m.States.Unknown > 0
		return s
	}
	s.State, s.Partly = schemas.StateOK, m.States.Unknown > 0
	s.Why = "All " + count(judged) + " checks of the last window passed."
	if m.States.Warn > 0 {
		s.Why = count(m.States.OK) + " of " + count(judged) + " checks of the last window passed; " + outside(m) + " once, which is not yet a finding."
	}
	if judged == 1 && m.States.Warn == 0 {
		s.Why = "The one check of the last window passed."
	}
	if s.Partly {
		s.Why += " " + count(m.States.Unknown) + " could not be judged"
		if r := reasons(m.Unknown); r != "" {
			s.Why += ": " + r
		}
		s.Why += "."
	}
	if worst != nil { // of severity info
		s.Incident = worst
	}
	return s
}

// blind says whether a fault means that data are missing, so that nothing can
// be said of the model.
func blind(f schemas.Fault) bool {
	switch f {
	case schemas.FaultNoData, schemas.FaultLabelGap, schemas.FaultCaptureGap, schemas.FaultRetentionGap:
		return true
	}
	return false
}

func outside(m *schemas.ModelOverview) string {
	if m.Worst == nil {
		return count(m.States.Error+m.States.Warn) + " outside its healthy range"
	}
	text := "`" + strings.ReplaceAll(m.Worst.Feature, "`", "'") + "`"
	if m.Worst.Slice != "" {
		text += " for " + m.Worst.Slice
	}
	return text + " is outside its healthy range"
}

// reasons writes why verdicts are unknown: the most frequent reason, and how
// many others there are.
func reasons(list []schemas.UnknownReason) string {
	if len(list) == 0 || list[0].Reason == "" {
		return ""
	}
	if len(list) == 1 {
		return list[0].Reason
	}
	return list[0].Reason + " (and " + small(len(list)-1) + " other " + plural(len(list)-1, "reason", "reasons") + ")"
}

// tally counts models by state.
type tally struct{ Error, Warn, Unknown, OK, Partly int }

func tallied(all []standing) tally {
	var t tally
	for i := range all {
		switch all[i].State {
		case schemas.StateError:
			t.Error++
		case schemas.StateWarn:
			t.Warn++
		case schemas.StateOK:
			t.OK++
			if all[i].Partly {
				t.Partly++
			}
		default:
			t.Unknown++
		}
	}
	return t
}

// headline is the sentence that stands first. It says that all is healthy only
// where all of every model was judged and the monitor itself is sound.
func headline(t tally, sound bool) string {
	n := t.Error + t.Warn + t.Unknown + t.OK
	switch {
	case n == 0:
		return "No model is watched yet"
	case t.Error == 1:
		return "One model needs a person now"
	case t.Error > 1:
		return upper(small(t.Error)) + " models need a person now"
	case t.Warn == 1:
		return "One model warns"
	case t.Warn > 1:
		return upper(small(t.Warn)) + " models warn"
	case t.Unknown == n && n == 1:
		return "The one model cannot be judged"
	case t.Unknown == n:
		return "No model can be judged"
	case t.Unknown > 0:
		return "Nothing is known to be wrong, but " + models(t.Unknown) + " cannot be judged"
	case !sound:
		return "No model shows a fault, but the monitor itself is not sound"
	case t.Partly > 0:
		return "No model shows a fault, but not everything could be judged"
	case n == 1:
		return "The one model is healthy"
	}
	return "All " + small(n) + " models are healthy"
}

func models(n int) string {
	if n == 1 {
		return "one model"
	}
	return small(n) + " models"
}

// rest says how the other models stand, after the worst has been named.
func rest(t tally, named schemas.State) string {
	switch named {
	case schemas.StateError:
		t.Error--
	case schemas.StateWarn:
		t.Warn--
	case schemas.StateUnknown:
		t.Unknown--
	}
	var parts []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			parts = append(parts, "one "+one)
		case n > 1:
			parts = append(parts, small(n)+" "+many)
		}
	}
	add(t.Error, "more needs a person", "more need a person")
	more := func(n schemas.State) string {
		if n == named {
			return "more "
		}
		return ""
	}
	add(t.Warn, more(schemas.StateWarn)+"warns", more(schemas.StateWarn)+"warn")
	add(t.Unknown, more(schemas.StateUnknown)+"cannot be judged", more(schemas.StateUnknown)+"cannot be judged")
	add(t.OK-t.Partly, "is healthy", "are healthy")
	add(t.Partly, "is healthy as far as it was judged", "are healthy as far as they were judged")
	if len(parts) == 0 {
		return ""
	}
	return upper(strings.Join(parts, ", ")) + "."
}
