package hard

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// rowKey names the rows a fault is counted over in a closed window.
type rowKey struct {
	fault   schemas.Fault
	feature string
}

// tally is how many rows of how many showed a fault.
type tally struct{ bad, rows uint64 }

// Judge looks for the open faults in a closed window: where less than
// clear_share of at least min_rows rows, over all versions, show a fault, it
// is gone, and forgotten after the spec's late horizon; where more do, it is
// still there; with too few rows or coverage it is unknown. A window older
// than the fault's last trip says nothing of it. Verdicts are given where any
// row shows a fault, and for open faults. Windows of one part must come in
// order, each once; parts share a memory. m stays as it is.
//
// A fault whose part is not known, as of an unparsable event, is gone once
// both features and predictions have had a clean window, or the only one of
// them that the spec knows.
func Judge(w *detectors.Window, p Parameters, m Memory) ([]schemas.Verdict, []detectors.Finding, Memory, error) {
	seen, err := tallies(w)
	if err != nil {
		return nil, nil, m, err
	}
	told := map[rowKey]bool{{}: true}
	var next Memory
	var verdicts []schemas.Verdict
	var out []detectors.Finding
	for i := range m.Faults {
		f := m.Faults[i]
		if f.Part != 0 && f.Part != w.Part || w.Start < f.Last {
			next.Faults = append(next.Faults, f)
			continue
		}
		if f.Cleared {
			if w.Start-f.Last <= horizon(w) {
				next.Faults = append(next.Faults, f)
			}
			continue
		}
		key := rowKey{f.Fault, f.Feature}
		if f.Fault == schemas.FaultExtraColumn || eventFault(f.Fault) {
			key.feature = "" // counted over all names, in the windows of its part
		}
		got := seen[key]
		told[key] = true
		if key.feature == "" {
			got.rows = max(got.rows, seen[rowKey{}].rows)
		}
		v, finding := f.step(w, got, p)
		verdicts = append(verdicts, v)
		out = append(out, finding...)
		next.Faults = append(next.Faults, f)
	}
	for key, got := range seen {
		if got.bad == 0 || told[key] {
			continue
		}
		state := schemas.StateOK
		if float64(got.bad) >= p.ClearShare*float64(got.rows) {
			state = schemas.StateWarn
		}
		verdicts = append(verdicts, verdict(w, key.fault, key.feature, got, state, p))
	}
	slices.SortFunc(verdicts, func(a, b schemas.Verdict) int {
		return cmp.Or(cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Feature, b.Feature))
	})
	return verdicts, out, next, nil
}

func horizon(w *detectors.Window) int64 {
	if w.Spec == nil {
		return 0
	}
	return (w.Spec.Spec.LateHorizon + w.Spec.Spec.Window).Milliseconds()
}

// step judges an open fault by what a closed window shows of it.
func (f *Tripped) step(w *detectors.Window, got tally, p Parameters) (schemas.Verdict, []detectors.Finding) {
	share := 0.0
	if got.rows > 0 {
		share = float64(got.bad) / float64(got.rows)
	}
	state, reason := schemas.StateError, fmt.Sprintf("%d of %d rows show it", got.bad, got.rows)
	switch {
	case got.rows == 0 || got.rows < p.MinRows && share < p.ClearShare:
		state, reason = schemas.StateUnknown, fmt.Sprintf("too few rows: %d of %d", got.rows, p.MinRows)
	case w.Coverage < p.MinCoverage && share < p.ClearShare:
		state, reason = schemas.StateUnknown, fmt.Sprintf("only %.0f %% of the partitions delivered", 100*w.Coverage)
	case share < p.ClearShare:
		f.Clean |= w.Part
		if f.Part != 0 || f.Clean&wanted(w) == wanted(w) {
			state = schemas.StateOK
			f.Cleared, f.Last = true, w.Start
		} else {
			state, reason = schemas.StateUnknown, "the events of other parts have not told yet"
		}
	default:
		f.Clean, f.Share = 0, share
	}
	v := verdict(w, f.Fault, f.Feature, got, state, p)
	v.Reason = reason
	if state == schemas.StateUnknown {
		share = f.Share
	}
	out := f.finding(state, share, p)
	out.Start, out.End, out.Reason = w.Start, w.End, reason
	if state != schemas.StateUnknown {
		out.Evidence = []schemas.Evidence{{
			Column: f.Feature, Statistic: "bad_rows", Value: float64(got.bad), Rows: got.rows, Detail: reason,
			Window: schemas.Interval{Start: time.UnixMilli(w.Start).UTC(), End: time.UnixMilli(w.End).UTC()},
		}}
	}
	return v, []detectors.Finding{out}
}

// wanted lists the parts that must have had a clean window before a fault of
// no known part is gone.
func wanted(w *detectors.Window) schemas.Part {
	var has schemas.Part
	if w.Spec != nil {
		for i := range w.Spec.Spec.Columns {
			has |= w.Spec.Spec.Columns[i].Role.Part()
		}
	}
	if both := has & (schemas.PartFeatures | schemas.PartPrediction); both != 0 {
		return both
	}
	return w.Part
}

func verdict(w *detectors.Window, fault schemas.Fault, feature string, got tally, state schemas.State, p Parameters) schemas.Verdict {
	v := schemas.Verdict{
		Stream: schemas.Stream{Role: schemas.RoleRows, Feature: feature}, Start: w.Start, Channel: string(fault), State: state,
		High: p.ClearShare, P: 1, N: got.rows, Revision: w.Revision,
	}
	for i := range w.Entries {
		e := &w.Entries[i]
		if e.Feature == feature && e.Role != schemas.RoleRows {
			v.Role = e.Role
		}
	}
	if got.rows > 0 {
		v.Effect = float64(got.bad) / float64(got.rows)
	}
	return v
}

// eventFault says whether a fault is one of whole events.
func eventFault(f schemas.Fault) bool {
	switch f {
	case schemas.FaultUnparsable, schemas.FaultDuplicates, schemas.FaultFutureEvents, schemas.FaultLateData, schemas.FaultExtraColumn:
		return true
	}
	return false
}

// tallies counts the bad rows of a closed window by fault and column, over
// all versions; the zero key holds the events of the window's part. An event
// that could not be used is no row, so its fault is counted over rows and
// rejected events together.
func tallies(w *detectors.Window) (map[rowKey]tally, error) {
	out := map[rowKey]tally{}
	add := func(f schemas.Fault, feature string, bad, rows uint64) {
		t := out[rowKey{f, feature}]
		out[rowKey{f, feature}] = tally{t.bad + bad, t.rows + rows}
	}
	for i := range w.Entries {
		e := &w.Entries[i]
		if e.Slice != "" {
			continue
		}
		if e.Role == schemas.RoleRows {
			if e.Feature == w.Part.String() {
				add("", "", 0, e.Rows)
			} else if eventFault(schemas.Fault(e.Feature)) {
				add(schemas.Fault(e.Feature), "", e.Rows, 0)
			}
			continue
		}
		if e.Role.Part() != w.Part {
			continue
		}
		if got := e.Present + e.Absent + e.Null + e.NaN + e.PosInf + e.NegInf + e.Bad; got != e.Rows {
			return nil, fmt.Errorf("judging %s %s of %s in the window of %d: %d rows, but %d values and lacks", e.Role, e.Feature, w.Model, w.Start, e.Rows, got)
		}
		addColumn(w, e, add)
	}
	events := out[rowKey{}].rows
	for key, t := range out {
		if key.feature == "" && key.fault != "" {
			t.rows = events
			if key.fault != schemas.FaultDuplicates && key.fault != schemas.FaultExtraColumn {
				t.rows += t.bad
			}
			out[key] = t
		}
	}
	return out, nil
}

func addColumn(w *detectors.Window, e *detectors.Entry, add func(f schemas.Fault, feature string, bad, rows uint64)) {
	s := e.Summary
	add(schemas.FaultWrongType, e.Feature, s.Bad, s.Rows)
	add(schemas.FaultOutOfRange, e.Feature, s.Outside, s.Rows)
	add(schemas.FaultUnexpectedValue, e.Feature, s.Unexpected, s.Rows)
	missing := s.Absent
	if !required(w, e.Role, e.Feature) {
		missing = 0 // and a fault of a rule that is no more is gone
	}
	add(schemas.FaultMissingColumn, e.Feature, missing, s.Rows)
	if e.Role == schemas.RolePrediction || e.Role == schemas.RoleScore {
		add(schemas.FaultNotFinite, e.Feature, notFinite(s), s.Rows)
	}
}

func notFinite(s *summary.Summary) uint64 { return s.NaN + s.PosInf + s.NegInf }

func required(w *detectors.Window, role schemas.Role, name string) bool {
	if w.Spec == nil {
		return false
	}
	c := w.Spec.Spec.Column(role, name)
	return c != nil && c.Required
}
