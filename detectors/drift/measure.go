package drift

import (
	"fmt"
	"math"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/stat"
	"github.com/modelwatch/modelwatch/schemas"
)

// Location is the channel on which drift is judged, for numbers and for
// categories. schemas.BaselineStream.Healthy holds under it the effects that
// Effect gave for healthy windows.
const Location = "location"

// The names of the statistics, as evidence gives them.
const (
	StatisticWasserstein = "wasserstein_sd"
	StatisticCohenW      = "cohen_w"
)

// Measured is the statistic of one stream, before any decision.
type Measured struct {
	schemas.Stream
	Statistic string
	Effect    float64          // in reference sd
	P         float64          // of "as in the reference"
	N         uint64           // values in the window
	Healthy   *schemas.Healthy // of the effect in healthy windows of the same length; nil for none
	Unknown   string           // why there is no statistic; "" when there is one
}

// Effect returns the effect on the one scale and its p-value for the counts
// of a window against one stream of a baseline: WassersteinSD with the
// p-value of KS for numbers, CohenW with that of stat.ChiSquare for
// categories. A number's sd is the stream's own, at least a hundredth of the
// whole column's; where neither varies, any unit gives the same effect.
// Counts of another length than the reference's, or none, give NaN.
func Effect(c *schemas.BaselineColumn, s *schemas.BaselineStream, win []uint64) (effect, p float64) {
	if c.Type == schemas.TypeCategory {
		if len(win) != len(s.Bins) {
			return math.NaN(), math.NaN()
		}
		_, _, p = stat.ChiSquare(s.Bins, win)
		return CohenW(s.Bins, win), p
	}
	sd := number(s.SD, 0)
	if whole := c.Stream(""); whole != nil {
		sd = max(sd, number(whole.SD, 0)/100)
	}
	if sd == 0 {
		sd = 1
	}
	var low, high float64
	if len(c.Edges) > 0 {
		low, high = number(s.Min, c.Edges[0]), number(s.Max, c.Edges[len(c.Edges)-1])
	}
	effect = WassersteinSD(c.Edges, low, high, sd, s.Bins, win)
	return effect, stat.KolmogorovSmirnov(KS(s.Bins, win), uint64(total(s.Bins)), uint64(total(win)))
}

func number(x *float64, otherwise float64) float64 {
	if x == nil {
		return otherwise
	}
	return *x
}

// streamKey names one stream of a baseline, of any version.
type streamKey struct {
	role           schemas.Role
	feature, slice string
}

type reference struct {
	column *schemas.BaselineColumn
	stream *schemas.BaselineStream
}

func references(b *schemas.Baseline) map[streamKey]reference {
	out := map[streamKey]reference{}
	for i := range b.Columns {
		c := &b.Columns[i]
		for j := range c.Streams {
			out[streamKey{c.Role, c.Name, c.Streams[j].Slice}] = reference{c, &c.Streams[j]}
		}
	}
	return out
}

// Measure returns the statistic of every stream of features, predictions and
// scores in the window, in its order. A stream that cannot be measured says
// why; NaN is an error and never passed on.
func Measure(w *detectors.Window, p Parameters) ([]Measured, error) {
	reason := ""
	var refs map[streamKey]reference
	switch {
	case w.Baseline == nil:
		reason = "no baseline"
	case w.Spec != nil && w.Spec.Spec.Baseline != w.Baseline.Hash:
		reason = "the window was counted under another baseline"
	case w.Coverage < p.MinCoverage:
		reason = fmt.Sprintf("only %.0f %% of the partitions delivered", 100*w.Coverage)
	default:
		refs = references(w.Baseline)
	}
	var out []Measured
	for i := range w.Entries {
		e := &w.Entries[i]
		if e.Role != schemas.RoleFeature && e.Role != schemas.RolePrediction && e.Role != schemas.RoleScore || e.Role.Part() != w.Part {
			continue
		}
		m := Measured{Stream: e.Stream, P: 1, N: e.Present, Unknown: reason}
		if reason == "" {
			if err := m.against(refs[streamKey{e.Role, e.Feature, e.Slice}], e.Bins, w, p); err != nil {
				return nil, err
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// against measures the counts by their reference.
func (m *Measured) against(r reference, bins []uint64, w *detectors.Window, p Parameters) error {
	switch {
	case r.stream == nil:
		m.Unknown = "the baseline does not have it"
		return nil
	case m.N < p.MinRows:
		m.Unknown = fmt.Sprintf("too few rows: %d of %d", m.N, p.MinRows)
		return nil
	case total(r.stream.Bins) < float64(p.MinRows):
		m.Unknown = fmt.Sprintf("too few rows in the baseline: %.0f of %d", total(r.stream.Bins), p.MinRows)
		return nil
	case len(bins) != len(r.stream.Bins):
		m.Unknown = "the window was counted with other bins than the baseline's"
		return nil
	}
	m.Statistic = StatisticWasserstein
	if r.column.Type == schemas.TypeCategory {
		m.Statistic = StatisticCohenW
	}
	m.Effect, m.P = Effect(r.column, r.stream, bins)
	if math.IsNaN(m.Effect) || math.IsInf(m.Effect, 0) || math.IsNaN(m.P) {
		return fmt.Errorf("measuring drift of %s %s %q of %s in the window of %d: effect %v, p %v", m.Role, m.Feature, m.Slice, w.Model, w.Start, m.Effect, m.P)
	}
	if h, ok := r.stream.Healthy[Location]; ok && h.Windows >= p.MinHealthy && sameLength(w) {
		if math.IsNaN(h.Max) || math.IsNaN(h.Mean) {
			return fmt.Errorf("measuring drift of %s %s %q of %s: the baseline's healthy spread is not a number", m.Role, m.Feature, m.Slice, w.Model)
		}
		m.Healthy = &h
	}
	return nil
}

// sameLength says whether the baseline's healthy windows were as long as w.
func sameLength(w *detectors.Window) bool {
	return time.Duration(w.Baseline.Window).Milliseconds() == w.End-w.Start
}
