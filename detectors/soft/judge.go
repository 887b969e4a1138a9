package soft

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/schemas"
)

// Memory is what soft remembers between windows. The zero value remembers nothing.
type Memory struct {
	Delivered schemas.Part `json:"delivered,omitempty"` // parts that have had rows
	Empty     []Empty      `json:"empty,omitempty"`     // parts without, sorted
	Gap       *Gap         `json:"gap,omitempty"`       // while predictions and features differ
}

// Empty counts the windows of one part without rows.
type Empty struct {
	Part     schemas.Part `json:"part"`
	Windows  int          `json:"windows"`
	Onset    int64        `json:"onset"`             // start of the first, Unix milliseconds
	Detected int64        `json:"detected,omitzero"` // end of the window that alarmed; 0 while none has
	OK       int          `json:"ok,omitempty"`      // windows with rows in a row since then
	Cleared  bool         `json:"cleared,omitempty"` // there was one
}

// Gap is a difference of counts that has been found.
type Gap struct {
	Onset    int64 `json:"onset"`             // start of its first window, Unix milliseconds
	Detected int64 `json:"detected"`          // end of that window
	OK       int   `json:"ok,omitempty"`      // windows without it in a row since then
	Cleared  bool  `json:"cleared,omitempty"` // there was one
}

// Judge says whether a closed window of a part that has delivered before has
// any rows at all. expected is how many rows a healthy window has at that
// time, NaN where that is not known. Windows of one part must come in order,
// each once and empty ones too; parts share a memory. m stays as it is.
func Judge(w *detectors.Window, expected float64, p Parameters, m Memory) ([]detectors.Finding, Memory) {
	next := m
	if f := next.noData(w, Rows(w), expected, p); f != nil {
		return []detectors.Finding{*f}, next
	}
	return nil, next
}

// Rows returns how many events the window has of its part, over all versions.
func Rows(w *detectors.Window) uint64 {
	var n uint64
	for i := range w.Entries {
		e := &w.Entries[i]
		if e.Role == schemas.RoleRows && e.Slice == "" && e.Feature == w.Part.String() {
			n += e.Rows
		}
	}
	return n
}

// noData follows windows without rows of a part that has delivered before. A
// window not fully covered neither lengthens nor ends it; windows with rows
// say that it is over, as many in a row as clear asks for. The part's name
// stands for the columns of the finding, as each part fails on its own.
func (m *Memory) noData(w *detectors.Window, rows uint64, expected float64, p Parameters) *detectors.Finding {
	var was Empty
	var others []Empty
	for _, e := range m.Empty {
		if e.Part == w.Part {
			was = e
		} else {
			others = append(others, e)
		}
	}
	keep := func() {
		if m.Empty = others; was.Windows == 0 && was.Detected == 0 {
			return
		}
		m.Empty = append(m.Empty, was)
		slices.SortFunc(m.Empty, func(a, b Empty) int { return cmp.Compare(a.Part, b.Part) })
	}
	m.Empty = others
	if rows > 0 {
		m.Delivered |= w.Part
		if was.Detected == 0 {
			return nil
		}
		was.Windows, was.Cleared = 0, true
		if was.OK++; was.OK < p.Clear {
			keep()
		}
		return noDataFinding(w, was, schemas.StateOK, fmt.Sprintf("%d rows", rows))
	}
	if m.Delivered&w.Part == 0 {
		return nil
	}
	was.Part, was.OK = w.Part, 0
	defer func() { keep() }()
	if quiet := expected < p.NoDataRows; w.Coverage < p.MinCoverage || quiet {
		// Nothing came from what was read; of the rest we cannot tell.
		if was.Detected == 0 {
			return nil
		}
		if quiet {
			return noDataFinding(w, was, schemas.StateUnknown, "hardly any rows are expected at this time")
		}
		return noDataFinding(w, was, schemas.StateUnknown, "not all partitions delivered")
	}
	if was.Windows == 0 {
		was.Onset = w.Start
	}
	was.Windows++
	if (was.Detected == 0 || was.Cleared) && was.Windows >= p.NoDataWindows {
		was.Detected, was.Cleared = w.End, false
	}
	if was.Detected == 0 || was.Cleared {
		return nil
	}
	return noDataFinding(w, was, schemas.StateError, fmt.Sprintf("%d windows without rows", was.Windows))
}

func noDataFinding(w *detectors.Window, e Empty, state schemas.State, reason string) *detectors.Finding {
	share := 1.0
	return &detectors.Finding{
		Fault: schemas.FaultNoData, Severity: schemas.SeverityCritical, State: state, Columns: []string{w.Part.String()}, Onset: e.Onset, Detected: e.Detected,
		Start: w.Start, End: w.End, Effect: schemas.Effect{Share: &share}, Reason: reason,
		Evidence: []schemas.Evidence{{Statistic: "empty_windows", Value: float64(e.Windows), Window: interval(w), Detail: w.Part.String()}},
	}
}

// Capture compares the number of events with features and with predictions in
// one and the same closed window, once both parts have delivered:
//
//	|features - predictions| / max(features, predictions) > capture_gap
//
// is a finding at once, and ends with the first window that measures less;
// that it has ended is said for clear windows in a row.
// Fewer than capture_rows on both sides, or a window not fully covered, is
// unknown. m stays as it is.
func Capture(features, predictions *detectors.Window, p Parameters, m Memory) (schemas.Verdict, []detectors.Finding, Memory) {
	w := *features
	w.Offsets, w.Entries = nil, nil
	n, k := Rows(features), Rows(predictions)
	most := max(n, k)
	v := schemas.Verdict{
		Stream: schemas.Stream{Role: schemas.RoleRows, Feature: "capture"}, Start: w.Start, Channel: "capture_gap", State: schemas.StateUnknown,
		P: 1, N: most, Revision: features.Revision + predictions.Revision, High: p.CaptureGap,
	}
	both := schemas.PartFeatures | schemas.PartPrediction
	next := m
	f := detectors.Finding{Fault: schemas.FaultCaptureGap, Severity: schemas.SeverityWarning, State: schemas.StateUnknown, Start: w.Start, End: w.End}
	switch {
	case m.Delivered&both != both:
		v.Reason = "only one of features and predictions has ever come"
	case features.Coverage < p.MinCoverage || predictions.Coverage < p.MinCoverage:
		v.Reason = "not all partitions delivered"
	case most < p.CaptureRows:
		v.Reason = fmt.Sprintf("too few rows: %d of %d", most, p.CaptureRows)
	default:
		gap := float64(most-min(n, k)) / float64(most)
		v.Effect = gap
		v.State = schemas.StateOK
		if gap > p.CaptureGap {
			v.State = schemas.StateError
			v.Reason = fmt.Sprintf("%d events with features, %d with predictions", n, k)
			if m.Gap == nil || m.Gap.Cleared {
				next.Gap = &Gap{Onset: w.Start, Detected: w.End}
			}
		}
		f.Effect.Share = &gap
		f.Evidence = []schemas.Evidence{{
			Statistic: "capture_gap", Value: gap, Rows: most, Window: interval(&w), Detail: fmt.Sprintf("%d with features, %d with predictions", n, k),
		}}
	}
	if next.Gap == nil {
		return v, nil, next
	}
	gap := *next.Gap
	f.State, f.Reason, f.Onset, f.Detected = v.State, v.Reason, gap.Onset, gap.Detected
	gap.OK++
	if v.State != schemas.StateOK {
		gap.OK = 0
	}
	gap.Cleared = gap.Cleared || gap.OK > 0
	next.Gap = &gap
	if gap.OK >= p.Clear {
		next.Gap = nil
	}
	return v, []detectors.Finding{f}, next
}

func interval(w *detectors.Window) schemas.Interval {
	return schemas.Interval{Start: time.UnixMilli(w.Start).UTC(), End: time.UnixMilli(w.End).UTC()}
}
