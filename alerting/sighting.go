package alerting

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/schemas"
)

// sighting is what bad windows have shown of a fault.
type sighting struct {
	Severity schemas.Severity   `json:"severity"`
	Versions []string           `json:"versions"` // sorted
	Whole    bool               `json:"whole,omitempty"`
	Slices   []string           `json:"slices,omitempty"` // sorted
	Onset    int64              `json:"onset"`            // Unix milliseconds, as all times here
	Detected int64              `json:"detected"`
	Start    int64              `json:"start"` // of the latest bad window
	End      int64              `json:"end"`
	Effect   schemas.Effect     `json:"effect"` // the largest
	Evidence []schemas.Evidence `json:"evidence,omitempty"`
	Reason   string             `json:"reason,omitempty"`
}

// sight makes a sighting in the window [start, end) of one finding.
func sight(f *detectors.Finding, start, end int64) sighting {
	s := sighting{
		Severity: f.Severity, Versions: []string{clean(f.Version)}, Start: start, End: end,
		Onset: f.Onset, Detected: f.Detected, Reason: clean(f.Reason),
		Effect: schemas.Effect{SD: finite(f.Effect.SD), Share: finite(f.Effect.Share)},
	}
	if s.Severity.Rank() == 0 {
		s.Severity = schemas.SeverityWarning
	}
	if s.Detected == 0 {
		s.Detected = start
	}
	if s.Onset == 0 || s.Onset > s.Detected {
		s.Onset = min(start, s.Detected)
	}
	s.Slices = sortedNames(f.Slices)
	s.Whole = len(s.Slices) == 0
	for _, e := range f.Evidence[:min(len(f.Evidence), maxEvidence)] {
		s.Evidence = append(s.Evidence, cleanEvidence(e))
	}
	return s
}

// add joins what another window has shown. The order of calls matters for the
// evidence of equal windows only.
func (s *sighting) add(o sighting) {
	if o.Severity.Rank() > s.Severity.Rank() {
		s.Severity = o.Severity
	}
	s.Versions = union(s.Versions, o.Versions)
	s.Whole = s.Whole || o.Whole
	s.Slices = union(s.Slices, o.Slices)
	if len(s.Slices) > maxSlices {
		s.Whole, s.Slices = true, nil
	}
	s.Onset, s.Detected = min(s.Onset, o.Onset), min(s.Detected, o.Detected)
	s.Effect = schemas.Effect{SD: larger(s.Effect.SD, o.Effect.SD), Share: larger(s.Effect.Share, o.Effect.Share)}
	switch {
	case o.Start > s.Start:
		s.Start, s.End, s.Evidence, s.Reason = o.Start, o.End, o.Evidence, o.Reason
	case o.Start == s.Start:
		s.End = max(s.End, o.End)
		s.Evidence = append(slices.Clone(s.Evidence), o.Evidence[:min(len(o.Evidence), maxEvidence-len(s.Evidence))]...)
	}
}

// version is the one to name where there is room for one: the last in order.
func (s *sighting) version() string {
	if len(s.Versions) == 0 {
		return ""
	}
	return s.Versions[len(s.Versions)-1]
}

func larger(a, b *float64) *float64 {
	if a == nil || b != nil && math.Abs(*b) > math.Abs(*a) {
		return b
	}
	return a
}

// finite drops what JSON cannot carry: a NaN is no size of a fault.
func finite(v *float64) *float64 {
	if v == nil || math.IsNaN(*v) || math.IsInf(*v, 0) {
		return nil
	}
	return v
}

func cleanEvidence(e schemas.Evidence) schemas.Evidence {
	e.Column, e.Slice, e.Statistic, e.Detail = clean(e.Column), clean(e.Slice), clean(e.Statistic), clean(e.Detail)
	e.Expected, e.P = finite(e.Expected), finite(e.P)
	if finite(&e.Value) == nil {
		e.Value, e.Detail = 0, strings.TrimSpace("the value is not finite. "+e.Detail)
	}
	e.Window = schemas.Interval{Start: moment(e.Window.Start.UnixMilli()), End: moment(e.Window.End.UnixMilli())}
	return e
}

// clean makes text that survives JSON unchanged and is not endless.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}

// sortedNames returns the names in order, without repeats, as JSON would give them back.
func sortedNames(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		out = append(out, strings.ToValidUTF8(n, "\uFFFD"))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// union of two sorted lists.
func union(a, b []string) []string {
	if len(b) == 0 {
		return a
	}
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}

// The years 1 and 9999 in Unix milliseconds: what JSON's form of a time can hold.
const (
	earliest = -62135596800000
	latest   = 253402300799000
)

// moment turns Unix milliseconds into a time that can be written.
func moment(ms int64) time.Time { return time.UnixMilli(min(max(ms, earliest), latest)).UTC() }
