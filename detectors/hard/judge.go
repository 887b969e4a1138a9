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

// Judge asks a closed window about the faults that have tripped of late. It
// shows a fault where one of its rows tripped it, which tripped tells with
// the event time of the first bad row, or
// where at least clear_share of at least min_rows rows are bad; where fewer
// are, it is measured ok; with too few rows or coverage it is unknown.
// Verdicts are given where any row shows a fault, and for those that have
// tripped. Windows of one part must come in order, each once; parts share a
// memory. m stays as it is.
func Judge(w *detectors.Window, tripped func(schemas.Fault, string) (onset int64, ok bool), p Parameters, m Memory) ([]schemas.Verdict, []detectors.Finding, Memory, error) {
	seen, err := tallies(w)
	if err != nil {
		return nil, nil, m, err
	}
	var next Memory
	var verdicts []schemas.Verdict
	var out []detectors.Finding
	told := map[rowKey]bool{}
	for _, f := range m.Faults {
		if f.Part != w.Part {
			next.Faults = append(next.Faults, f)
			continue
		}
		key := rowKey{f.Fault, f.Feature}
		if eventFault(f.Fault) {
			key.feature = "" // counted over all names, in the windows of its part
		}
		told[key] = true
		got := seen[key]
		if key.feature == "" {
			got.rows = max(got.rows, seen[rowKey{}].rows)
		}
		v, finding := f.judge(w, got, p)
		if onset, ok := tripped(f.Fault, f.Feature); ok {
			v.State, finding.State, finding.Onset = schemas.StateError, schemas.StateError, onset
		}
		verdicts = append(verdicts, v)
		out = append(out, finding)
		if finding.State == schemas.StateError {
			f.Last = max(f.Last, w.Start)
		}
		if w.Start-f.Last <= horizon(w) {
			next.Faults = append(next.Faults, f)
		}
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

// judge says what a closed window shows of a fault.
func (f *Tripped) judge(w *detectors.Window, got tally, p Parameters) (schemas.Verdict, detectors.Finding) {
	share := 0.0
	if got.rows > 0 {
		share = float64(got.bad) / float64(got.rows)
	}
	reason := fmt.Sprintf("%d of %d rows show it", got.bad, got.rows)
	state := schemas.StateError
	switch {
	case w.Coverage < p.MinCoverage:
		state, reason = schemas.StateUnknown, fmt.Sprintf("only %.0f %% of the partitions delivered", 100*w.Coverage)
	case got.rows < p.MinRows:
		state, reason = schemas.StateUnknown, fmt.Sprintf("too few rows: %d of %d", got.rows, p.MinRows)
	case share < p.ClearShare:
		state = schemas.StateOK
	}
	v := verdict(w, f.Fault, f.Feature, got, state, p)
	v.Reason = reason
	out := found(f.Fault, f.Feature, state, share, p)
	out.Version, out.Start, out.End, out.Reason = f.Version, w.Start, w.End, reason
	out.Onset, out.Detected = w.Start, w.End
	if state != schemas.StateUnknown {
		out.Evidence = []schemas.Evidence{{
			Column: f.Feature, Statistic: "bad_rows", Value: float64(got.bad), Rows: got.rows, Detail: reason,
			Window: schemas.Interval{Start: time.UnixMilli(w.Start).UTC(), End: time.UnixMilli(w.End).UTC()},
		}}
	}
	return v, out
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
	case schemas.FaultUnparsable, schemas.FaultDuplicates, schemas.FaultFutureEvents, schemas.FaultLateData, schemas.FaultExtraColumn, schemas.FaultRetentionGap:
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
