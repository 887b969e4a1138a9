package hard

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/schemas"
)

// Parameters are those of one decision; they are recorded with it. When a
// rule trips is not among them: that is part of the rows.
type Parameters struct {
	CriticalShare float64 `json:"critical_share"` // share of bad rows above which a finding is critical
	ClearShare    float64 `json:"clear_share"`    // share of bad rows of a closed window below which the fault is gone
	MinRows       uint64  `json:"min_rows"`       // rows of a closed window that are needed to say so
	MinCoverage   float64 `json:"min_coverage"`   // share of the partitions that must have delivered
}

// DefaultParameters returns the parameters in use where none are given.
func DefaultParameters() Parameters {
	return Parameters{CriticalShare: .05, ClearShare: .01, MinRows: 30, MinCoverage: 1}
}

// Validate reports what cannot be.
func (p Parameters) Validate() error {
	switch {
	case !(p.CriticalShare >= 0 && p.CriticalShare <= 1), !(p.ClearShare > 0 && p.ClearShare <= 1), !(p.MinCoverage >= 0 && p.MinCoverage <= 1):
		return fmt.Errorf("critical_share is %v, clear_share %v and min_coverage %v: all must be shares, clear_share above 0", p.CriticalShare, p.ClearShare, p.MinCoverage)
	case p.MinRows == 0:
		return fmt.Errorf("min_rows must be at least 1")
	}
	return nil
}

// Memory is what hard remembers between steps: the faults that have tripped
// of late, sorted. The zero value remembers nothing.
type Memory struct {
	Faults []Tripped `json:"faults,omitempty"`
}

// Tripped is one fault that has tripped. Closed windows are asked about it
// until it has been gone for the spec's late horizon.
type Tripped struct {
	Fault   schemas.Fault `json:"fault"`
	Feature string        `json:"feature,omitempty"`
	Part    schemas.Part  `json:"part"` // whose windows tell of it
	Version string        `json:"version,omitempty"`
	Last    int64         `json:"last"` // start of the last window known to show it, Unix milliseconds
}

// maxFaults bounds the memory: what names that come from the events could make grow.
const maxFaults = 4096

func (t *Tripped) compare(fault schemas.Fault, feature string) int {
	return cmp.Or(cmp.Compare(t.Fault, fault), cmp.Compare(t.Feature, feature))
}

func (m *Memory) find(fault schemas.Fault, feature string) (int, bool) {
	return slices.BinarySearchFunc(m.Faults, schemas.Trip{Fault: fault, Feature: feature}, func(t Tripped, k schemas.Trip) int {
		return t.compare(k.Fault, k.Feature)
	})
}

// Decide turns trips into findings of the windows they lie in, open or
// closed: one for each trip. What a finding says of a window depends on that
// window alone, so it does not matter in which order, how often or how late
// trips are given; alerting makes incidents of them. m stays as it is.
func Decide(trips []schemas.Trip, spec *schemas.Spec, p Parameters, m Memory) ([]detectors.Finding, Memory) {
	next := Memory{Faults: slices.Clone(m.Faults)}
	trips = slices.Clone(trips)
	slices.SortStableFunc(trips, func(a, b schemas.Trip) int {
		return cmp.Or(cmp.Compare(a.WindowStart, b.WindowStart), cmp.Compare(a.Time, b.Time), cmp.Compare(a.Offset, b.Offset))
	})
	var out []detectors.Finding
	for i := range trips {
		t := &trips[i]
		at, known := next.find(t.Fault, t.Feature)
		if !known {
			if len(next.Faults) >= maxFaults {
				continue
			}
			next.Faults = slices.Insert(next.Faults, at, Tripped{
				Fault: t.Fault, Feature: t.Feature, Part: PartOf(spec, t.Fault, t.Feature), Version: t.Version, Last: t.WindowStart,
			})
		}
		next.Faults[at].Last = max(next.Faults[at].Last, t.WindowStart)
		out = append(out, tripped(t, spec, p))
	}
	return out, next
}

// PartOf says whose windows count the rows of a fault; 0 for a feature that
// the spec does not have.
func PartOf(spec *schemas.Spec, fault schemas.Fault, feature string) schemas.Part {
	switch fault {
	case schemas.FaultDuplicates, schemas.FaultFutureEvents, schemas.FaultLateData, schemas.FaultUnparsable, schemas.FaultRetentionGap:
		return schemas.PartOf(feature)
	case schemas.FaultExtraColumn:
		return schemas.PartFeatures
	case schemas.FaultNotFinite:
		return schemas.PartPrediction
	}
	part := schemas.Part(0)
	for i := range spec.Columns {
		// A feature may bear the name of a role; the feature then comes first.
		if c := &spec.Columns[i]; c.Name == feature && (part == 0 || c.Role == schemas.RoleFeature) {
			part = c.Role.Part()
		}
	}
	return part
}

func severity(share float64, p Parameters) schemas.Severity {
	if share > p.CriticalShare {
		return schemas.SeverityCritical
	}
	return schemas.SeverityWarning
}

// tripped is what a trip says of its window.
func tripped(t *schemas.Trip, spec *schemas.Spec, p Parameters) detectors.Finding {
	share := float64(t.Bad) / float64(max(1, t.Rows))
	out := found(t.Fault, t.Feature, schemas.StateError, share, p)
	out.Version, out.Onset, out.Detected = t.Version, t.Onset, t.Time
	out.Start, out.End = t.WindowStart, t.WindowStart+spec.Window.Milliseconds()
	out.Reason = t.Reason
	detail := t.Reason
	if t.Value != "" {
		detail = fmt.Sprintf("%s: %s", t.Reason, t.Value)
	}
	out.Evidence = []schemas.Evidence{{
		Column: t.Feature, Statistic: "bad_rows", Value: float64(t.Bad), Rows: t.Rows, Detail: detail,
		Window: schemas.Interval{Start: time.UnixMilli(t.Onset).UTC(), End: time.UnixMilli(t.Time).UTC()},
	}}
	return out
}

// found is what all findings of a fault have in common.
func found(fault schemas.Fault, feature string, state schemas.State, share float64, p Parameters) detectors.Finding {
	out := detectors.Finding{Fault: fault, Severity: severity(share, p), State: state, Effect: schemas.Effect{Share: &share}}
	if feature != "" {
		out.Columns = []string{feature}
	}
	return out
}
