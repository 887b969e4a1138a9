package bench_test

import (
	"runtime"
	"testing"

	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/internal/bench"
)

// Once every buffer has its size, an event allocates nothing on its way from
// bytes to summaries. What is left is what comes seldom: a string of a category
// that is not among the usual ones, in a row that is sampled.
func TestAnEventAllocatesNothing(t *testing.T) {
	for _, s := range []bench.Shape{
		{Kind: bench.Features, Features: 20, Slices: 3, Models: 1},
		{Kind: bench.Features, Features: 20, Models: 8},
		{Kind: bench.Predictions, Features: 20, Models: 1},
	} {
		w := bench.New(s, 3)
		y := newWay(t, w)
		var line []byte
		var r decode.Record
		pass := func(n int) {
			for range n {
				text, at := w.Append(line[:0])
				line, r.Value, r.Timestamp = text, text, at.UnixMilli()
				r.Offset++
				y.asm.Observe(r.Offset, r.Timestamp)
				if got := y.decoder.Decode(&r, y.target); !got.OK() {
					t.Fatal(got)
				}
				b := y.target.last
				if fault := y.asm.Admit(b); fault != "" {
					t.Fatal(fault)
				}
				if b.Full() {
					y.asm.Add(b, y.visit)
					y.asm.Clear()
					b.Reset()
				}
			}
		}
		pass(120_000)
		const rows = 40_000
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		pass(rows)
		runtime.ReadMemStats(&after)
		if got := float64(after.Mallocs-before.Mallocs) / rows; got > 0.05 {
			t.Errorf("%s: %.3f allocations an event", name(s), got)
		}
	}
}
