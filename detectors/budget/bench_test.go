package budget_test

import (
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
)

// What a stream costs in a window, measuring included.
func BenchmarkJudge(b *testing.B) {
	f := func(name string, features int, slices []float64) {
		b.Run(name, func(b *testing.B) {
			p := budget.DefaultParameters()
			w := &simWorld{seed: 5, features: features, slices: slices}
			ref := w.learn(b, p, reference).Reference()
			plan := budget.NewPlan(budget.Budget{Pages: 1, Tickets: 4, Per: month}, time.Hour, nil, ref, nil, p)
			windows := make([]*detectors.Window, 24)
			for i := range windows {
				windows[i] = w.window(reference + i)
			}
			var m budget.Memory
			streams := 0
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				v, _, next, err := budget.Judge(windows[i%24], ref, plan, budget.Calendar{}, p, m)
				if err != nil {
					b.Fatal(err)
				}
				m, streams = next, len(v)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(streams), "ns/stream")
		})
	}
	f("whole", 500, nil)
	even := make([]float64, 20)
	for i := range even {
		even[i] = .05
	}
	f("slices", 40, even)
}

// What a healthy month costs to learn.
func BenchmarkFit(b *testing.B) {
	p := budget.DefaultParameters()
	w := &simWorld{seed: 5, features: 50}
	w.init()
	h := budget.NewHistory(w.baseline, time.Hour, p)
	for i := range reference {
		if err := h.Add(w.window(i)); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	streams := 0
	for range b.N {
		f, err := h.Fit()
		if err != nil {
			b.Fatal(err)
		}
		streams = len(f.Streams)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(streams), "us/stream")
}
