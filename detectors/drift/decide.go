package drift

import (
	"fmt"
	"math"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/stat"
	"github.com/modelwatch/modelwatch/detectors/streak"
	"github.com/modelwatch/modelwatch/schemas"
)

// Memory is what drift remembers between windows.
type Memory = streak.Memory

// Judge measures the streams of a closed window and decides on them. Windows
// of one part must come in order, each once; parts share a memory. See Decide.
func Judge(w *detectors.Window, p Parameters, m Memory) ([]schemas.Verdict, []detectors.Finding, Memory, error) {
	measured, err := Measure(w, p)
	if err != nil {
		return nil, nil, m, err
	}
	return Decide(w, measured, p, m)
}

// Decide says which streams have moved: those whose p-value is at most alpha
// after Holm's correction over all measured streams of the window, and whose
// effect exceeds both the minimum effect and healthy_factor times the largest
// effect of a healthy window of that length. The first such window of a
// stream is a warning; after `windows` of them in a row it is an error, and a
// finding.
func Decide(w *detectors.Window, measured []Measured, p Parameters, m Memory) ([]schemas.Verdict, []detectors.Finding, Memory, error) {
	var family []float64
	for i := range measured {
		if measured[i].Unknown == "" {
			family = append(family, measured[i].P)
		}
	}
	adjusted := stat.Holm(family)
	seen := make([]streak.Observation, 0, len(measured))
	for i := range measured {
		o := streak.Observation{
			Verdict: schemas.Verdict{
				Stream: measured[i].Stream, Start: w.Start, Channel: Location, State: schemas.StateUnknown,
				P: 1, N: measured[i].N, Revision: w.Revision, Reason: measured[i].Unknown,
			},
			Fault: faultOf(measured[i].Role), Severity: schemas.SeverityWarning,
		}
		if measured[i].Unknown == "" {
			if math.IsNaN(adjusted[0]) {
				return nil, nil, m, fmt.Errorf("deciding on drift of %s in the window of %d: p-value of %s %s %q is %v", w.Model, w.Start, o.Role, o.Feature, o.Slice, adjusted[0])
			}
			decide(&o, &measured[i], adjusted[0], w, p)
			adjusted = adjusted[1:]
		}
		seen = append(seen, o)
	}
	verdicts, findings, next := m.Step(w, seen, streak.Rule{Windows: p.Windows, Clear: p.Clear, Forget: p.Forget})
	return verdicts, findings, next, nil
}

func faultOf(r schemas.Role) schemas.Fault {
	switch r {
	case schemas.RolePrediction:
		return schemas.FaultPredictionDrift
	case schemas.RoleScore:
		return schemas.FaultScoreDrift
	}
	return schemas.FaultDrift
}

// decide fills in the judgement of one measured stream.
func decide(o *streak.Observation, s *Measured, adjusted float64, w *detectors.Window, p Parameters) {
	limit, expected := p.MinEffect, 0.0
	if s.Healthy != nil {
		limit = max(limit, p.HealthyFactor*s.Healthy.Max)
		expected = s.Healthy.Mean
	}
	o.State = schemas.StateOK
	if adjusted <= p.Alpha && s.Effect > limit {
		o.State = schemas.StateWarn
		o.Reason = fmt.Sprintf("%.3g sd is over %.3g, p %.2g after Holm", s.Effect, limit, adjusted)
	}
	o.Verdict.Effect, o.Expected, o.High, o.P = s.Effect, expected, limit, s.P
	o.Effect = schemas.Effect{SD: &s.Effect}
	o.Evidence = schemas.Evidence{
		Column: s.Feature, Slice: s.Slice, Statistic: s.Statistic, Value: s.Effect, Expected: &expected, P: &s.P, Rows: s.N,
		Window: schemas.Interval{Start: time.UnixMilli(w.Start).UTC(), End: time.UnixMilli(w.End).UTC()},
		Detail: fmt.Sprintf("limit %.3g sd", limit),
	}
}
