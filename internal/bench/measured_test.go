package bench_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/bench"
	"github.com/modelwatch/modelwatch/internal/testkit"
)

// Everything beside is measured on the same rows, and what could not be says why.
func TestIngestIsMeasuredBesideOthers(t *testing.T) {
	own := testkit.NewClickHouse(t)
	var profile bytes.Buffer
	b, err := bench.NewBench(bench.Config{
		Servers: &bench.Servers{Kafka: testkit.Kafka(t).Addr, ClickHouse: own.Addr, Engine: own.Addr, EnginePID: own.PID()},
		Seed:    1, Runs: 1, Rows: 20_000, Beside: bench.Rivals(), Live: time.Second, Profile: &profile,
		Cases: []bench.Case{
			{Shape: bench.Shape{Kind: bench.Features, Features: 20, Models: 1}, Codec: "lz4", Partitions: 1},
			{Shape: bench.Shape{Kind: bench.Features, Features: 20, Slices: 1, Models: 2}, Codec: "none", Partitions: 2},
			{Shape: bench.Shape{Kind: bench.Predictions, Features: 20, Models: 1}, Codec: "zstd", Partitions: 1},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Runs) != 3 || len(r.Targets) == 0 || profile.Len() == 0 {
		t.Fatalf("%d runs, %d targets, %d bytes of profile", len(r.Runs), len(r.Targets), profile.Len())
	}
	for _, c := range r.Runs {
		for name, v := range map[string]*float64{
			"naive": c.RatioNaive, "franz": c.RatioFranz, "file": c.RatioFile, "equal bins": c.RatioFileEqual, "kafka": c.RatioKafka,
			"p50": c.P50, "p99": c.P99, "limit": &c.RatioLimit, "rows": &c.RowsPerCPUSecond, "bytes": &c.BytesPerPartial, "inserts": &c.RowsPerInsert,
		} {
			if v == nil || *v <= 0 {
				t.Errorf("%s of %s, %d slices was not measured", name, c.Kind, c.Slices)
			}
		}
		if *c.P50 > *c.P99 {
			t.Errorf("half the rows take more than %v ms, and 99 of 100 at most %v", *c.P50, *c.P99)
		}
	}
	if r.Runs[0].NotRun["decoders"] == "" {
		t.Error("nothing says why the other decoders were not run")
	}
}

// Windows that went to the store and back are judged by what was learnt.
func TestWindowsAreJudged(t *testing.T) {
	r, err := bench.Evaluate(t.Context(), bench.EvaluateConfig{
		Servers: &bench.Servers{ClickHouse: testkit.ClickHouse(t).Addr}, Seed: 1, Partitions: 2, Windows: 2,
		Cases: []bench.EvaluateCase{{Features: 20, Rows: 2400}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := r.Runs[0]
	if e.Streams < 20*(bench.SliceValues+1) || e.Verdicts-e.Unknown < e.Streams/2 {
		t.Errorf("%d streams, %d verdicts, %d unknown", e.Streams, e.Verdicts, e.Unknown)
	}
	for name, v := range map[string]float64{
		"judging": e.Detect, "reading": e.Read, "closed": e.ClosedBytes, "slices": e.SliceBytes, "whole": e.WholeBytes,
	} {
		if v <= 0 {
			t.Errorf("%s was not measured", name)
		}
	}
	if e.WholeBytes <= e.SliceBytes {
		t.Errorf("a whole with registers takes %v bytes, a slice without %v", e.WholeBytes, e.SliceBytes)
	}
}
