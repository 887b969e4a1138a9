package bench_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/consumers/decode/native"
	"github.com/modelwatch/modelwatch/detectors/hard"
	"github.com/modelwatch/modelwatch/internal/bench"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// shapes are the workloads of the benchmarks.
var shapes = []bench.Shape{
	{Kind: bench.Features, Features: 20, Models: 1},
	{Kind: bench.Features, Features: 20, Slices: 1, Models: 1},
	{Kind: bench.Features, Features: 20, Slices: 3, Models: 1},
	{Kind: bench.Features, Features: 20, Models: 8},
	{Kind: bench.Features, Features: 100, Models: 1},
	{Kind: bench.Predictions, Features: 20, Models: 1},
}

func name(s bench.Shape) string {
	return fmt.Sprintf("%s=%d/slices=%d/models=%d", s.Kind, s.Features, s.Slices, s.Models)
}

// rows is how many rows a benchmark goes over again and again; times stand
// still then, so that the same window stays open.
const rows = 1 << 14

// perRow reports what n rows took of the processor since before: on a machine
// that others use too, elapsed time says nothing.
func perRow(b *testing.B, before time.Duration, n int) {
	b.Helper()
	b.ReportAllocs()
	b.ReportMetric(float64((bench.CPU()-before).Nanoseconds())/float64(n), "cpu-ns/row")
}

func BenchmarkDecode(b *testing.B) {
	for _, s := range shapes {
		b.Run(name(s), func(b *testing.B) {
			w := bench.New(s, 1)
			lines := w.Rows(rows)
			target := newBlocks(compiled(b, w))
			d := native.New(decode.DefaultConfig())
			r := decode.Record{}
			i := 0
			before := bench.CPU()
			for b.Loop() {
				r.Value = lines[i%rows]
				if got := d.Decode(&r, target); !got.OK() {
					b.Fatal(got)
				}
				if target.last.Full() {
					target.last.Reset()
				}
				i++
			}
			perRow(b, before, i)
		})
	}
}

// BenchmarkDecodeStandard reads the same lines with encoding/json into a map.
func BenchmarkDecodeStandard(b *testing.B) {
	for _, s := range []bench.Shape{shapes[0], shapes[4]} {
		b.Run(name(s), func(b *testing.B) {
			lines := bench.New(s, 1).Rows(rows)
			i := 0
			before := bench.CPU()
			for b.Loop() {
				var event map[string]any
				if err := json.Unmarshal(lines[i%rows], &event); err != nil {
					b.Fatal(err)
				}
				i++
			}
			perRow(b, before, i)
		})
	}
}

// way is everything between the fetched record and the store.
type way struct {
	target  *blocks
	decoder decode.Decoder
	asm     *window.Assembler
	check   map[*schemas.SpecRecord]*hard.Checker
}

func newWay(tb testing.TB, w *bench.Workload) *way {
	models := compiled(tb, w)
	return &way{
		target: newBlocks(models), decoder: native.New(decode.DefaultConfig()), check: map[*schemas.SpecRecord]*hard.Checker{},
		asm: window.New(models, window.Start{Chunk: schemas.Chunk{Topic: "t"}, Previous: -1, Clock: window.NoTime}),
	}
}

func (y *way) visit(r *window.Run) {
	c := y.check[r.Spec]
	if c == nil {
		c = hard.NewChecker(schemas.Chunk{Topic: "t"}, r.Spec)
		y.check[r.Spec] = c
	}
	v := hard.View{
		Rows: r.To - r.From, Offset: r.Block.Offset[r.From:r.To], Time: r.Block.Time[r.From:r.To], Start: r.Window[r.From:r.To],
		Parts: r.Block.Parts[r.From:r.To], Version: r.Version[r.From:r.To], Versions: r.Versions, Columns: r.Columns,
	}
	c.Check(&v)
}

// BenchmarkAssemble adds full blocks that are decoded already.
func BenchmarkAssemble(b *testing.B) {
	for _, s := range shapes {
		if s.Models > 1 {
			continue
		}
		b.Run(name(s), func(b *testing.B) {
			w := bench.New(s, 1)
			y := newWay(b, w)
			lines := w.Rows(schemas.BlockRows)
			for i, l := range lines {
				y.decoder.Decode(&decode.Record{Offset: int64(i), Value: l, Timestamp: 1767607200000}, y.target)
			}
			block := y.target.last
			block.N = 0
			for range lines {
				block.N++
				if fault := y.asm.Admit(block); fault != "" {
					b.Fatal(fault)
				}
			}
			n := 0
			before := bench.CPU()
			for b.Loop() {
				y.asm.Add(block, y.visit)
				y.asm.Clear()
				n += block.N
			}
			perRow(b, before, n)
		})
	}
}

// BenchmarkWay takes rows from bytes to summaries.
func BenchmarkWay(b *testing.B) {
	for _, s := range shapes {
		b.Run(name(s), func(b *testing.B) {
			w := bench.New(s, 1)
			lines := w.Rows(rows)
			y := newWay(b, w)
			r := decode.Record{Timestamp: 1767607200000}
			i := 0
			before := bench.CPU()
			for b.Loop() {
				r.Value = lines[i%rows]
				r.Offset = int64(i)
				y.asm.Observe(r.Offset, r.Timestamp)
				if got := y.decoder.Decode(&r, y.target); !got.OK() {
					b.Fatal(got)
				}
				block := y.target.last
				if fault := y.asm.Admit(block); fault != "" {
					b.Fatal(fault)
				}
				if block.Full() {
					y.asm.Add(block, y.visit)
					y.asm.Clear()
					block.Reset()
				}
				i++
			}
			perRow(b, before, i)
		})
	}
}
