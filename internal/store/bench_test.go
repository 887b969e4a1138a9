package store_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// wide returns the partials of one chunk of a model with many features, each
// for the whole and in slices.
func wide(r *rand.Rand, features, slices, rows int) []summary.Partial {
	var out []summary.Partial
	for f := range features {
		for v := range slices + 1 {
			s := summary.New(12)
			n := uint64(rows)
			name := ""
			if v > 0 {
				n = uint64(rows / slices)
				name = fmt.Sprintf("origin=A%02d", v)
			} else {
				s.Distinct.KeepRegisters()
			}
			s.Rows, s.Present = n, n
			for i := range s.Bins {
				s.Bins[i] = n/12 + uint64(r.IntN(20))
			}
			s.Sum, s.SquareHigh, s.SquareLow = r.Int64N(1<<40), uint64(r.IntN(1<<20)), r.Uint64N(1<<40)
			s.Min, s.Max = r.Float64(), 100+r.Float64()
			for range min(n, 200) {
				s.Distinct.Add(r.Uint64())
			}
			out = append(out, summary.Partial{
				Model: "bench", SpecSeq: 1, Part: schemas.PartFeatures,
				Stream: schemas.Stream{Version: "3", Role: schemas.RoleFeature, Feature: fmt.Sprintf("feature_%04d", f), Slice: name}, Summary: s,
			})
		}
	}
	return out
}

// BenchmarkReadWindow reads one window of 1000 features by 20 slices over six
// partitions, in one chunk and in twelve chunks each.
func BenchmarkReadWindow(b *testing.B) {
	for _, chunks := range []int{1, 12} {
		b.Run(fmt.Sprintf("chunks=%d", chunks), func(b *testing.B) {
			s, _ := open(b)
			partials := wide(rand.New(rand.NewPCG(1, 1)), 1000, 20, 2000)
			for p := range int32(6) {
				for c := range chunks {
					chunk := schemas.Chunk{Topic: "t", Epoch: epoch(1), Partition: p, Start: int64(c) << 20}
					if err := s.Write(b.Context(), partials, schemas.Rows{Chunk: chunk, End: chunk.Start + 1000}); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ResetTimer()
			for b.Loop() {
				w, err := s.ReadWindows(b.Context(), "bench", 1, schemas.PartFeatures, []int64{0})
				if err != nil || len(w[0].Entries) != 21_000 {
					b.Fatal(len(w[0].Entries), err)
				}
			}
			b.ReportMetric(float64(6*chunks*len(partials)), "partials/read")
		})
	}
}

// BenchmarkWrite stores the partials of one flush, small as of a model with
// ten features and large as of one with a thousand in 20 slices.
func BenchmarkWrite(b *testing.B) {
	for _, size := range []struct{ features, slices int }{{10, 5}, {1000, 20}} {
		partials := wide(rand.New(rand.NewPCG(1, 1)), size.features, size.slices, 2000)
		b.Run(fmt.Sprintf("partials=%d", len(partials)), func(b *testing.B) {
			s, database := open(b, func(c *store.Config) { c.Tick = 0 })
			server := testkit.ClickHouse(b)
			var chunk schemas.Chunk
			n := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				n++
				chunk = schemas.Chunk{Topic: "t", Epoch: epoch(1), Start: n << 20}
				rows := schemas.Rows{Chunk: chunk, End: chunk.Start + n, Progress: &schemas.Progress{Chunk: chunk, End: chunk.Start + n, At: n}}
				if err := s.Write(b.Context(), partials, rows); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(len(partials))*float64(b.N)/b.Elapsed().Seconds(), "partials/s")
			server.Query(b, "OPTIMIZE TABLE "+database+".partials FINAL")
			var perRow float64
			if _, err := fmt.Sscan(server.Query(b, "SELECT sum(data_compressed_bytes) / sum(rows) FROM system.parts WHERE active AND table = 'partials' AND database = '"+database+"'"), &perRow); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(perRow, "disk-B/partial")
		})
	}
}
