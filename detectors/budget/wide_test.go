package budget_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// wideWorld is a healthy model with many columns in slices, four in five of
// them numbers, with one or two nulls in a hundred rows. What there is to know
// of it is put into the baseline instead of being learnt: the time that a
// window takes does not depend on who learnt.
type wideWorld struct {
	features, slices, rows int
	rng                    *rand.Rand
	baseline               *schemas.Baseline
}

const wideCategories = 64

func newWide(features, slices, rows int) *wideWorld {
	w := &wideWorld{features: features, slices: slices, rows: rows, rng: rand.New(rand.NewPCG(7, uint64(features)))}
	w.baseline = &schemas.Baseline{Format: schemas.BaselineFormat, Model: "wide", Hash: "h", Window: schemas.Duration(time.Hour)}
	for i := range features {
		c := schemas.BaselineColumn{Name: fmt.Sprintf("f%04d", i), Role: schemas.RoleFeature, Type: schemas.TypeNumber, Unit: 1}
		if w.category(i) {
			c.Type = schemas.TypeCategory
		}
		const healthy = 672
		whole := w.stream(i, rows*healthy)
		add := func(slice string, s *summary.Summary) {
			c.Streams = append(c.Streams, schemas.BaselineStream{Slice: slice, Rows: s.Rows, Present: s.Present, Nulls: s.Null, Bins: s.Bins})
		}
		add("", whole)
		for k := range slices {
			add(sliceOf(k), w.stream(i, rows*healthy/slices))
		}
		w.baseline.Columns = append(w.baseline.Columns, c)
	}
	w.learn()
	return w
}

func (w *wideWorld) category(i int) bool { return i%5 == 4 }

// stream counts n rows of a column.
func (w *wideWorld) stream(i, n int) *summary.Summary {
	bins := simBins
	if w.category(i) {
		bins = wideCategories + 1
	}
	s := summary.New(bins)
	s.Rows = uint64(n)
	s.Null = uint64(binomial(w.rng, n, .015))
	s.Present = s.Rows - s.Null
	left, share := int(s.Present), 1.0
	for b := range bins - 1 {
		p := 1 / float64(simBins)
		if w.category(i) {
			p = 1 / (float64(b+3) * 3.2)
		}
		k := binomial(w.rng, left, math.Min(1, p/share))
		s.Bins[b] = uint64(k)
		left, share = left-k, math.Max(share-p, 1e-9)
	}
	s.Bins[bins-1] = uint64(left)
	if w.category(i) {
		for k := range wideCategories {
			s.Distinct.Add(uint64(k) * 0x9e3779b97f4a7c15)
		}
	}
	return s
}

// window makes a window; its whole is not what its slices add up to, which
// nothing here depends on.
func (w *wideWorld) window(t int) *detectors.Window {
	start := monday + int64(t)*hourMS
	out := &detectors.Window{
		Model: "wide", Part: schemas.PartFeatures, Baseline: w.baseline, Start: start, End: start + hourMS, Coverage: 1, Revision: 1,
		Spec: &schemas.SpecRecord{Spec: schemas.Spec{Baseline: "h"}},
	}
	rows := summary.New(0)
	rows.Rows = uint64(w.rows)
	out.Entries = append(out.Entries, detectors.Entry{Stream: schemas.Stream{Version: "1", Role: schemas.RoleRows, Feature: "features"}, Summary: rows})
	for i := range w.features {
		e := detectors.Entry{Stream: schemas.Stream{Version: "1", Role: schemas.RoleFeature, Feature: w.baseline.Columns[i].Name}}
		e.Summary = w.stream(i, w.rows)
		if w.slices == 0 {
			out.Entries = append(out.Entries, e)
			continue
		}
		whole := summary.New(len(e.Bins))
		e.Summary = whole
		out.Entries = append(out.Entries, e)
		for k := range w.slices {
			e.Slice = sliceOf(k)
			e.Summary = w.stream(i, w.rows/w.slices)
			whole.Merge(e.Summary)
			out.Entries = append(out.Entries, e)
		}
	}
	return out
}

// learn writes down healthy behaviour around the levels of some windows.
func (w *wideWorld) learn() {
	p := budget.DefaultParameters()
	const windows = 8
	sums := map[budget.Key]float64{}
	var all []budget.Observation
	for i := range windows {
		var err error
		if all, err = budget.Measure(w.window(i), p); err != nil {
			panic(err)
		}
		for _, o := range all {
			sums[o.Key] += o.Y / windows
		}
	}
	f := budget.Fitted{}
	for _, o := range all {
		o.Y = sums[o.Key]
		h := schemas.Healthy{
			Fitted: 672, Days: 28, Until: monday, Rows: float64(w.rows), Sampling: o.R, Level: o.Y, Season: make([]float64, 55),
			Phi: .5 * w.rng.Float64(), Noise: .05, Tail: float64(4 + w.rng.IntN(17)), Scale: 1.05, Dead: .1 + math.Sqrt(o.R),
		}
		for k := range h.Season {
			h.Season[k] = .02 * w.rng.NormFloat64()
		}
		if o.Channel == budget.NullRate || o.Channel == budget.Volume {
			h.Phi, h.Noise = 0, .02
		}
		f.Streams = append(f.Streams, budget.FittedStream{Key: o.Key, Healthy: h})
	}
	f.Into(w.baseline)
}

// cpu is the processor time of this process.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWide judges windows of many streams: those of 1000 features in 20
// slices, a quarter and a sixteenth of them.
func BenchmarkWide(b *testing.B) {
	for _, features := range []int{62, 250, 1000} {
		b.Run(fmt.Sprintf("features=%d", features), func(b *testing.B) {
			p := budget.DefaultParameters()
			w := newWide(features, 20, 3000)
			ref := budget.NewReference(w.baseline)
			plan := budget.NewPlan(budget.Budget{Pages: 1, Tickets: 4, Per: month}, time.Hour, nil, ref, nil, p)
			windows := make([]*detectors.Window, 3)
			for i := range windows {
				windows[i] = w.window(i + 1)
			}
			var m budget.Memory
			streams, alarms := 0, 0
			least := time.Hour
			judge := func(i int) {
				before := cpu(b)
				v, f, err := m.Advance(windows[i%len(windows)], ref, plan, budget.Calendar{}, p)
				if err != nil {
					b.Fatal(err)
				}
				least = min(least, cpu(b)-before)
				streams = len(v)
				alarms += len(f)
			}
			judge(0)
			b.ReportAllocs()
			b.ResetTimer()
			before := cpu(b)
			for i := range b.N {
				judge(i)
			}
			took := cpu(b) - before
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N)/float64(streams), "cpu-ns/stream")
			b.ReportMetric(float64(least.Nanoseconds())/float64(streams), "least-cpu-ns/stream")
			b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "cpu-ms/window")
			b.ReportMetric(float64(streams), "streams")
			b.ReportMetric(float64(alarms), "alarms")
		})
	}
}
