package store_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

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

// BenchmarkSeries reads what one chart shows, a week of one feature, out of a
// hundred days of hourly windows of 200 features and as many open windows.
func BenchmarkSeries(b *testing.B) {
	s, database := open(b)
	register(b, s, testSpec("bench"), math.MinInt64)
	server := testkit.ClickHouse(b)
	const days = 100
	server.Query(b, fmt.Sprintf(`INSERT INTO %s.summaries (model, spec_seq, part, window_start, version, role, feature, slice, revision, rows, present, bins, sum, min, max)
		SELECT 'bench', 1, 1, intDiv(number, 200) * 3600000, '1', 2, if(number %% 200 = 0, 'origin', 'f' || toString(number %% 200)), '', 1, 100, 100, [1, 2, 3], number, 0, 1
		FROM numbers(200 * 24 * %d)`, database, days))
	server.Query(b, fmt.Sprintf(`INSERT INTO %s.closed_windows (model, spec_seq, part, window_start, revision) SELECT 'bench', 1, 1, number * 3600000, 1 FROM numbers(24 * %d)`, database, days))
	server.Query(b, fmt.Sprintf(`INSERT INTO %s.partials (model, spec_seq, part, window_start, version, role, feature, slice, topic, partition, chunk_start, end_offset, rows, bins)
		SELECT 'bench', 1, 1, (24 * %d + intDiv(number, 200) %% 5) * 3600000, '1', 2, 'f' || toString(number %% 200), '', 't', intDiv(number, 1000) %% 10, intDiv(number, 10000), 7, 1, [1, 2]
		FROM numbers(200 * 5 * 10 * 12)`, database, days))
	end := time.UnixMilli(days * 24 * hour)
	f := schemas.WindowFilter{Model: "bench", Role: schemas.RoleFeature, Features: []string{"f7"}, From: end.AddDate(0, 0, -7), Histograms: true, Limit: 1000}
	for b.Loop() {
		rows, err := s.Views().Windows(b.Context(), f)
		if err != nil || len(rows) != 7*24+5 {
			b.Fatal(len(rows), err)
		}
	}
}
