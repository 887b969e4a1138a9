package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/internal/bench"
)

func (p *program) bench() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the program on this machine",
		Long:  "bench measures what the program promises, beside others, on rows made from a seed.",
		Example: `  modelwatch bench ingest --kafka localhost:9092 --clickhouse localhost:9000
  make bench`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.Args = unknownCommand
	cmd.AddCommand(p.benchIngest())
	return cmd
}

// ingestFlags are the flags of `bench ingest` as they are given.
type ingestFlags struct {
	kafka, clickhouse, kind, cpuprofile  string
	seed                                 uint64
	runs, rows                           int
	features, slices, models, partitions []int
	codecs                               []string
	json                                 bool
}

func (p *program) benchIngest() *cobra.Command {
	f := ingestFlags{}
	cmd := &cobra.Command{
		Use:   "ingest",
		Short: "Rows per second of one core, from Kafka to stored windows",
		Long: `ingest fills topics of a real broker with rows made from a seed, reads them
with the service's own parts into a database of their own, and counts what was
stored. Beside it, in turns: the bare fetch and the bare decoding of the same
bytes, franz-go polling and dropping, and what one would write first
(kafka.Reader, encoding/json, maps). Figures are medians over the runs, of the
processor's time of this process, user and system.

Every combination of the lists is measured; topics and databases are removed
at the end.`,
		Example: `  modelwatch bench ingest --kafka localhost:9092 --clickhouse localhost:9000
  modelwatch bench ingest --features 20,100 --slices 0,1,3 --codecs lz4,zstd,none
  modelwatch bench ingest --runs 1 --cpuprofile cpu.pprof`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.runBenchIngest(cmd, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kafka, "kafka", "127.0.0.1:9092", "a broker's `ADDRESS`")
	flags.StringVar(&f.clickhouse, "clickhouse", "127.0.0.1:9000", "ClickHouse's `ADDRESS`, native protocol")
	flags.StringVar(&f.kind, "kind", "features", "events: features or predictions")
	flags.Uint64Var(&f.seed, "seed", 1, "of the rows")
	flags.IntVar(&f.runs, "runs", 5, "of each measurement; the median counts")
	flags.IntVar(&f.rows, "rows", 500_000, "of 20 features; wider rows are fewer")
	flags.IntSliceVar(&f.features, "features", []int{20, 100}, "a row's features")
	flags.IntSliceVar(&f.slices, "slices", []int{0}, "slice columns, of 20 values and all others")
	flags.IntSliceVar(&f.models, "models", []int{1}, "models on the topic")
	flags.IntSliceVar(&f.partitions, "partitions", []int{1}, "partitions of the topic")
	flags.StringSliceVar(&f.codecs, "codecs", []string{"lz4"}, "compression: none, lz4, zstd")
	flags.StringVar(&f.cpuprofile, "cpuprofile", "", "write a CPU profile of all runs to `FILE`")
	flags.BoolVar(&f.json, "json", false, "print one JSON object")
	offer(cmd, "kind", string(bench.Features), string(bench.Predictions))
	offer(cmd, "codecs", "none", "lz4", "zstd")
	return cmd
}

func (p *program) runBenchIngest(cmd *cobra.Command, f ingestFlags) (err error) {
	if err := oneOf(cmd, "kind", f.kind, string(bench.Features), string(bench.Predictions)); err != nil {
		return err
	}
	for _, c := range f.codecs {
		if err := oneOf(cmd, "codecs", c, "none", "lz4", "zstd"); err != nil {
			return err
		}
	}
	for _, n := range append(append(append([]int(nil), f.features...), f.models...), f.partitions...) {
		if n < 1 {
			return usage(cmd, "--features, --models and --partitions are at least 1")
		}
	}
	b, err := bench.NewBench(bench.Config{
		Kafka: f.kafka, ClickHouse: f.clickhouse, Seed: f.seed, Runs: f.runs, Rows: f.rows, Cases: f.cases(),
		Progress: func(s string) { fmt.Fprintln(p.err, s) },
	})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	results, err := withProfile(ctx, f.cpuprofile, b.Run)
	if err != nil {
		return err
	}
	if f.json {
		return json.NewEncoder(p.out).Encode(map[string]any{"runs": results})
	}
	return p.printIngest(results)
}

// cases are all combinations of the lists.
func (f ingestFlags) cases() (out []bench.Case) {
	for _, features := range f.features {
		for _, slices := range f.slices {
			for _, models := range f.models {
				for _, codec := range f.codecs {
					for _, partitions := range f.partitions {
						shape := bench.Shape{Kind: bench.Kind(f.kind), Features: features, Slices: slices, Models: models}
						out = append(out, bench.Case{Shape: shape, Codec: codec, Partitions: partitions})
					}
				}
			}
		}
	}
	return out
}

// withProfile runs with a CPU profile, if one is asked for.
func withProfile(ctx context.Context, file string, run func(context.Context) ([]bench.Result, error)) (out []bench.Result, err error) {
	if file == "" {
		return run(ctx)
	}
	to, err := os.Create(file)
	if err != nil {
		return nil, fmt.Errorf("writing the profile: %w", err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	if err := pprof.StartCPUProfile(to); err != nil {
		return nil, fmt.Errorf("writing the profile: %w", err)
	}
	defer pprof.StopCPUProfile()
	return run(ctx)
}

func (p *program) printIngest(results []bench.Result) error {
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, strings.Join([]string{
		"kind", "features", "slices", "models", "codec", "partitions", "bytes", "rows/CPU-s", "allocs", "alloc B",
		"× limit", "× naive", "× franz", "ns total", "fetch", "decode", "rest", "",
	}, "\t"))
	for _, r := range results {
		n := r.Nanos
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%d\t%.0f\t%.0f\t%.3f\t%.1f\t%.2f\t%.1f\t%.2f\t%.0f\t%.0f\t%.0f\t%.0f\t\n",
			r.Kind, r.Features, r.Slices, r.Models, r.Codec, r.Partitions, r.RowBytes, r.RowsPerCPUSecond, r.AllocsPerEvent, r.BytesPerEvent,
			r.RatioLimit, r.RatioNaive, r.RatioFranz, n.Total, n.Fetch, n.Decode, n.Rest)
	}
	return w.Flush()
}
