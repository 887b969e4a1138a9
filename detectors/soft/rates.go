package soft

import (
	"fmt"
	"math"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/stat"
	"github.com/modelwatch/modelwatch/detectors/streak"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// The channels of a stream. schemas.BaselineStream.Healthy holds under each
// the rates of healthy windows themselves, and under Volume the natural
// logarithms of their numbers of rows.
const (
	NullRate   = "null_rate"
	NaNRate    = "nan_rate" // NaN and the infinities
	AbsentRate = "absent_rate"
	UnseenRate = "unseen_rate"
	Volume     = "volume"
)

// Rate is one rate of one stream of a window.
type Rate struct {
	schemas.Stream
	Channel  string
	K, N     uint64  // in the window: K of N rows, of N values for UnseenRate
	RefK     uint64  // in the reference
	RefN     uint64  // in the reference
	P        float64 // of "no larger than in the reference", stat.FisherTail
	Testable bool    // some K would have had a P of at most alpha, given K+RefK
	Healthy  *schemas.Healthy
	Unknown  string // why there is no P; "" when there is one
}

// Counts is what a rate is made of: K of N.
type Counts struct{ K, N uint64 }

// Of returns the counts of a summary by channel. categories says that unseen
// values can occur.
func Of(s *summary.Summary, categories bool) map[string]Counts {
	out := map[string]Counts{
		NullRate:   {s.Null, s.Rows},
		NaNRate:    {s.NaN + s.PosInf + s.NegInf, s.Rows},
		AbsentRate: {s.Absent, s.Rows},
	}
	if categories {
		out[UnseenRate] = Counts{s.Unseen(), s.Present}
	}
	return out
}

// ofReference returns the counts of a baseline's stream by channel.
func ofReference(s *schemas.BaselineStream, categories bool) map[string]Counts {
	out := map[string]Counts{
		NullRate:   {s.Nulls, s.Rows},
		NaNRate:    {s.NaNs + s.Infs, s.Rows},
		AbsentRate: {s.Absent, s.Rows},
	}
	if categories && len(s.Bins) > 0 {
		out[UnseenRate] = Counts{s.Bins[len(s.Bins)-1], s.Present}
	}
	return out
}

// channels is the order in which the rates of a stream are told.
var channels = [...]string{NullRate, NaNRate, AbsentRate, UnseenRate}

type streamKey struct {
	role           schemas.Role
	feature, slice string
}

// Measure returns the rates of every stream of features, predictions and
// scores in the window, in its order. What is not finite in a prediction or
// score is a hard fault and not among them. A rate that cannot be judged says
// why; NaN is an error.
func Measure(w *detectors.Window, p Parameters) ([]Rate, error) {
	reason := ""
	refs := map[streamKey]*schemas.BaselineStream{}
	categories := map[streamKey]bool{}
	switch {
	case w.Baseline == nil:
		reason = "no baseline"
	case w.Coverage < p.MinCoverage:
		reason = fmt.Sprintf("only %.0f %% of the partitions delivered", 100*w.Coverage)
	}
	if w.Baseline != nil {
		for i := range w.Baseline.Columns {
			c := &w.Baseline.Columns[i]
			categories[streamKey{c.Role, c.Name, ""}] = c.Type == schemas.TypeCategory
			for j := range c.Streams {
				refs[streamKey{c.Role, c.Name, c.Streams[j].Slice}] = &c.Streams[j]
			}
		}
	}
	var out []Rate
	for i := range w.Entries {
		e := &w.Entries[i]
		if e.Role != schemas.RoleFeature && e.Role != schemas.RolePrediction && e.Role != schemas.RoleScore || e.Role.Part() != w.Part {
			continue
		}
		ref := refs[streamKey{e.Role, e.Feature, e.Slice}]
		isCategory := categories[streamKey{e.Role, e.Feature, ""}]
		seen := Of(e.Summary, isCategory)
		for _, channel := range channels {
			k, ok := seen[channel]
			if !ok || channel == NaNRate && e.Role != schemas.RoleFeature {
				continue
			}
			r := Rate{Stream: e.Stream, Channel: channel, K: k.K, N: k.N, P: 1, Unknown: reason}
			if reason == "" {
				if err := r.against(ref, isCategory, w, p); err != nil {
					return nil, err
				}
			}
			out = append(out, r)
		}
	}
	return out, nil
}

// against measures the rate by its reference.
func (r *Rate) against(ref *schemas.BaselineStream, categories bool, w *detectors.Window, p Parameters) error {
	if ref == nil {
		r.Unknown = "the baseline does not have it"
		return nil
	}
	was := ofReference(ref, categories)[r.Channel]
	r.RefK, r.RefN = was.K, was.N
	switch {
	case r.N < p.MinRows:
		r.Unknown = fmt.Sprintf("too few rows: %d of %d", r.N, p.MinRows)
		return nil
	case r.RefN < p.MinRows:
		r.Unknown = fmt.Sprintf("too few rows in the baseline: %d of %d", r.RefN, p.MinRows)
		return nil
	}
	r.P = stat.FisherTail(r.K, r.N, r.RefK, r.RefN)
	most := min(r.K+r.RefK, r.N)
	least := stat.FisherTail(most, r.N, r.K+r.RefK-most, r.RefN)
	if math.IsNaN(r.P) || math.IsNaN(least) {
		return fmt.Errorf("measuring %s of %s %s %q of %s in the window of %d: %d of %d against %d of %d has no p-value", r.Channel, r.Role, r.Feature, r.Slice, w.Model, w.Start, r.K, r.N, r.RefK, r.RefN)
	}
	r.Testable = least <= p.Alpha
	if h, ok := ref.Healthy[r.Channel]; ok && h.Windows >= p.MinHealthy && sameLength(w) {
		if math.IsNaN(h.Max) || math.IsNaN(h.Mean) {
			return fmt.Errorf("measuring %s of %s %s %q of %s: the baseline's healthy spread is not a number", r.Channel, r.Role, r.Feature, r.Slice, w.Model)
		}
		r.Healthy = &h
	}
	return nil
}

func sameLength(w *detectors.Window) bool {
	return time.Duration(w.Baseline.Window).Milliseconds() == w.End-w.Start
}

// decide turns rates into observations: outside is a rate whose p-value is at
// most alpha after Holm's correction, and which exceeds both the reference's
// by min_excess and healthy_factor times the largest of a healthy window. A
// rate that could not have been outside, whatever happened, such as nulls
// where neither side has any, is not in the family of the correction (Tarone
// 1990); so what is clean costs the rest no power.
func decide(w *detectors.Window, rates []Rate, p Parameters) []streak.Observation {
	var family []float64
	for i := range rates {
		if rates[i].Testable {
			family = append(family, rates[i].P)
		}
	}
	adjusted := stat.Holm(family)
	out := make([]streak.Observation, 0, len(rates))
	for i := range rates {
		q := 1.0
		if rates[i].Testable {
			q, adjusted = adjusted[0], adjusted[1:]
		}
		out = append(out, rates[i].decide(q, w, p))
	}
	return out
}

func (r *Rate) decide(adjusted float64, w *detectors.Window, p Parameters) streak.Observation {
	o := streak.Observation{
		Verdict: schemas.Verdict{
			Stream: r.Stream, Start: w.Start, Channel: r.Channel, State: schemas.StateUnknown, P: 1, N: r.N, Revision: w.Revision, Reason: r.Unknown,
		},
		Fault: schemas.FaultNulls, Severity: schemas.SeverityWarning,
	}
	if r.Channel == UnseenRate {
		o.Fault = schemas.FaultUnseenValues
	}
	if r.Unknown != "" {
		return o
	}
	rate, expected := float64(r.K)/float64(r.N), float64(r.RefK)/float64(r.RefN)
	limit := expected + p.MinExcess
	if r.Healthy != nil {
		limit = max(limit, p.HealthyFactor*r.Healthy.Max)
	}
	low, high := stat.ClopperPearson(r.K, r.N, .95)
	o.State = schemas.StateOK
	if adjusted <= p.Alpha && rate > limit {
		o.State = schemas.StateWarn
		o.AtOnce = low-expected >= p.AtOnceExcess // not by the luck of a small slice
		o.Reason = fmt.Sprintf("%.3g %% is over %.3g %%, p %.2g after Holm", 100*rate, 100*limit, adjusted)
	}
	if r.Slice == "" && rate > p.CriticalShare {
		o.Severity = schemas.SeverityCritical
	}
	o.Verdict.Effect, o.Expected, o.High, o.P = rate, expected, limit, r.P
	o.Effect = schemas.Effect{Share: &rate}
	o.Evidence = schemas.Evidence{
		Column: r.Feature, Slice: r.Slice, Statistic: r.Channel, Value: rate, Expected: &expected, P: &r.P, Rows: r.N, Window: interval(w),
		Detail: fmt.Sprintf("%d of %d, 95 %% interval %.3g to %.3g, limit %.3g", r.K, r.N, low, high, limit),
	}
	return o
}

func interval(w *detectors.Window) schemas.Interval {
	return schemas.Interval{Start: time.UnixMilli(w.Start).UTC(), End: time.UnixMilli(w.End).UTC()}
}
