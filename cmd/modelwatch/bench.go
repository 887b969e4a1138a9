package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/internal/bench"
)

func (p *program) bench() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the program on this machine",
		Long: `bench measures what the program promises, beside others, on rows made from a
seed. Servers whose address is not given are started for the time of the
measurement.`,
		Example: `  modelwatch bench ingest --quick
  modelwatch bench evaluate
  modelwatch bench latency
  make bench`,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.Args = unknownCommand
	cmd.AddCommand(p.benchIngest(), p.benchDetection(), p.benchEvaluate(), p.benchLatency(), p.benchRows(), p.benchBroker())
	return cmd
}

// benchBroker is what `bench ingest` runs where there is no broker.
func (p *program) benchBroker() *cobra.Command {
	return &cobra.Command{
		Use:    "broker FOLDER",
		Short:  "Run an embedded broker until standard input ends",
		Hidden: true,
		Args:   arguments(1, 1, "the folder of its log"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return bench.Broker(cmd.Context(), args[0], os.Stdin, p.out)
		},
	}
}

// ingestFlags are the flags of `bench ingest` as they are given.
type ingestFlags struct {
	kafka, clickhouse, kind, cpuprofile, decoders string
	seed                                          uint64
	sample                                        float64
	runs, rows                                    int
	features, slices, models, partitions          []int
	codecs, beside                                []string
	live                                          time.Duration
	json, quick, full, scale, flush               bool
}

func (p *program) benchIngest() *cobra.Command {
	f := ingestFlags{}
	cmd := &cobra.Command{
		Use:   "ingest",
		Short: "Rows per second of one core, from Kafka to stored windows",
		Long: `ingest fills topics of a broker with rows made from a seed, reads them with the
service's own parts into a database of their own, and counts what was stored.
Beside it, in turns, on the same rows:

  limit             the bare fetch and the bare decoding of the same bytes
  naive             what one would write first: kafka.Reader, encoding/json, maps
  franz             franz-go, polling and dropping
  clickhouse-file   a ClickHouse of our own, one thread, rows from a file
  clickhouse-kafka  its Kafka engine and a materialized view
  decoders          other JSON decoders, if --decoders names their program
  latency           at 10 000 rows a second, until what alerts rest on is stored

Figures are medians over the runs, of processor time, user and system, of this
process or of ClickHouse's. A ratio says how many rows pass here in the time of
one there. Every combination of the lists is measured; topics and databases are
removed at the end.

Without --kafka the embedded broker is started in a process of its own, without
--clickhouse the embedded ClickHouse. Figures against Apache Kafka: make bench.`,
		Example: `  modelwatch bench ingest --quick
  modelwatch bench ingest --kafka localhost:9092 --clickhouse localhost:9000
  modelwatch bench ingest --features 20,100 --slices 0,1,3 --codecs lz4,zstd,none --beside naive,franz
  modelwatch bench ingest --kind predictions --beside franz --json
  modelwatch bench ingest --runs 1 --beside none --cpuprofile cpu.pprof
  modelwatch bench ingest --scale --flush
  make bench ARGS="--full"`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.runBenchIngest(cmd, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kafka, "kafka", "", "a broker's `ADDRESS`; without one the embedded broker is started")
	flags.StringVar(&f.clickhouse, "clickhouse", "", "ClickHouse's `ADDRESS`, native protocol; without one it is started")
	flags.StringVar(&f.decoders, "decoders", "", "the `PROGRAM` of the other decoders, built from internal/bench/decoders")
	flags.StringVar(&f.kind, "kind", "features", "events: features or predictions")
	flags.Float64Var(&f.sample, "sample", 0, "with --kind predictions: the share of ids whose narrow rows are kept, as predictions.sample of a monitor; 0 for all")
	flags.Uint64Var(&f.seed, "seed", 1, "of the rows")
	flags.IntVar(&f.runs, "runs", 5, "of each measurement; the median counts")
	flags.IntVar(&f.rows, "rows", 500_000, "of 20 features; wider rows are fewer")
	flags.IntSliceVar(&f.features, "features", []int{20, 100}, "a row's features")
	flags.IntSliceVar(&f.slices, "slices", []int{0}, "slice columns, of 20 values and all others")
	flags.IntSliceVar(&f.models, "models", []int{1}, "models on the topic")
	flags.IntSliceVar(&f.partitions, "partitions", []int{1}, "partitions of the topic")
	flags.StringSliceVar(&f.codecs, "codecs", []string{"lz4"}, "compression: none, lz4, zstd")
	flags.StringSliceVar(&f.beside, "beside", bench.Rivals(), "what is measured beside the limit; none for nothing")
	flags.DurationVar(&f.live, "live", 4*time.Second, "how long latency is taken of each case")
	flags.StringVar(&f.cpuprofile, "cpuprofile", "", "write a CPU profile of all runs to `FILE`")
	flags.BoolVar(&f.quick, "quick", false, "one case of 20 features, three runs of 200 000 rows: less than a minute")
	flags.BoolVar(&f.full, "full", false, "all cases of the table in docs/benchmarks.md, instead of the lists")
	flags.BoolVar(&f.scale, "scale", false, "cases of 1, 4 and 16 times the work, instead of the lists, with nothing beside")
	flags.BoolVar(&f.flush, "flush", false, "also what keeping 1000 features in 20 slices on 6 partitions fresh costs ClickHouse")
	flags.BoolVar(&f.json, "json", false, "print one JSON object")
	offer(cmd, "kind", string(bench.Features), string(bench.Predictions))
	offer(cmd, "codecs", "none", "lz4", "zstd")
	offer(cmd, "beside", append(bench.Rivals(), "none")...)
	return cmd
}

func (p *program) runBenchIngest(cmd *cobra.Command, f ingestFlags) (err error) {
	if err := oneOf(cmd, "kind", f.kind, string(bench.Features), string(bench.Predictions)); err != nil {
		return err
	}
	if !(f.sample >= 0 && f.sample <= 1) || f.sample > 0 && f.kind != string(bench.Predictions) {
		return usage(cmd, "--sample is a share from 0 to 1 of the ids of --kind predictions")
	}
	for _, c := range f.codecs {
		if err := oneOf(cmd, "codecs", c, "none", "lz4", "zstd"); err != nil {
			return err
		}
	}
	for _, r := range f.beside {
		if err := oneOf(cmd, "beside", r, append(bench.Rivals(), "none")...); err != nil {
			return err
		}
	}
	for _, n := range slices.Concat(f.features, f.models, f.partitions) {
		if n < 1 {
			return usage(cmd, "--features, --models and --partitions are at least 1")
		}
	}
	if f.quick && f.full || f.quick && f.scale || f.full && f.scale {
		return usage(cmd, "--quick, --full and --scale are three different things")
	}
	if f.scale {
		f.beside = []string{"none"}
	}
	if f.quick {
		f.features, f.slices, f.models, f.partitions, f.codecs = []int{20}, []int{0}, []int{1}, []int{1}, []string{"lz4"}
		f.runs, f.rows, f.live = 3, 200_000, 2*time.Second
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	progress := func(s string) { fmt.Fprintln(p.err, s) }
	servers, err := bench.StartServers(ctx, bench.Want{
		Kafka: f.kafka, ClickHouse: f.clickhouse, NATS: bench.NoServer, Progress: progress,
		Engine: f.flush || slices.ContainsFunc(f.beside, func(r string) bool { return strings.HasPrefix(r, "clickhouse") }),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Close()) }()
	config := bench.Config{
		Servers: servers, Seed: f.seed, Runs: f.runs, Rows: f.rows, Cases: f.cases(), Beside: f.beside, Decoders: f.decoders,
		Live: f.live, Flush: f.flush, Progress: progress,
	}
	if f.cpuprofile != "" {
		to, err := os.Create(f.cpuprofile)
		if err != nil {
			return fmt.Errorf("writing the profile: %w", err)
		}
		defer func() { err = errors.Join(err, to.Close()) }()
		config.Profile = to
	}
	b, err := bench.NewBench(config)
	if err != nil {
		return err
	}
	report, err := b.Run(ctx)
	if err != nil {
		return err
	}
	if f.json {
		return json.NewEncoder(p.out).Encode(report)
	}
	p.printIngest(report)
	return nil
}

// cases are all combinations of the lists.
func (f ingestFlags) cases() (out []bench.Case) {
	switch {
	case f.full:
		return bench.FullCases()
	case f.scale:
		return bench.ScaleCases()
	}
	for _, features := range f.features {
		for _, slices := range f.slices {
			for _, models := range f.models {
				for _, codec := range f.codecs {
					for _, partitions := range f.partitions {
						shape := bench.Shape{Kind: bench.Kind(f.kind), Features: features, Slices: slices, Models: models, Sample: f.sample}
						out = append(out, bench.Case{Shape: shape, Codec: codec, Partitions: partitions})
					}
				}
			}
		}
	}
	return out
}

// kindOf names the events of a case, with the share of their id rows.
func kindOf(c bench.Result) string {
	if c.Sample > 0 {
		return fmt.Sprintf("%s, %g of ids", c.Kind, c.Sample)
	}
	return string(c.Kind)
}

func (p *program) printIngest(r *bench.Report) {
	fmt.Fprintf(p.out, "%s, GOMAXPROCS=%d, %s, load %s; medians of %d runs of %d rows\n\n", r.Machine.Processor, r.Machine.Processors, r.Machine.Go, r.Machine.Load, r.Machine.Runs, r.Machine.Rows)
	rows := [][]string{{
		"kind", "features", "slices", "models", "codec", "parts", "bytes", "rows/CPU-s", "allocs", "alloc B", "p50 ms", "p99 ms",
		"× limit", "× naive", "× CH file", "(equal bins)", "× CH Kafka", "× franz",
	}}
	for _, c := range r.Runs {
		reason := func(v *float64, rival string) string {
			switch why := c.NotRun[rival]; {
			case v == nil && why == bench.NotAsked:
				return "–"
			case v == nil:
				return "not run: " + why
			}
			return fmt.Sprintf("%.2f", *v)
		}
		rows = append(rows, []string{
			kindOf(c), strconv.Itoa(c.Features), strconv.Itoa(c.Slices), strconv.Itoa(c.Models), c.Codec, strconv.Itoa(c.Partitions),
			fmt.Sprintf("%.0f", c.RowBytes), fmt.Sprintf("%.0f", c.RowsPerCPUSecond), fmt.Sprintf("%.3f", c.AllocsPerEvent), fmt.Sprintf("%.1f", c.BytesPerEvent),
			reason(c.P50, "latency"), reason(c.P99, "latency"), fmt.Sprintf("%.2f", c.RatioLimit), reason(c.RatioNaive, "naive"),
			reason(c.RatioFile, "clickhouse-file"), reason(c.RatioFileEqual, "clickhouse-file"), reason(c.RatioKafka, "clickhouse-kafka"), reason(c.RatioFranz, "franz"),
		})
	}
	table(p.out, rows...)
	fmt.Fprintln(p.out, "\nwhere it goes, nanoseconds a row: alone, by the profile, and what is stored")
	rows = [][]string{{
		"kind", "features", "slices", "models", "codec", "parts", "total", "bare fetch", "bare decode",
		"fetch", "decompress", "decode", "accumulate", "store", "rest", "samples", "partials", "B/partial", "partials/insert",
	}}
	for _, c := range r.Runs {
		row := []string{
			kindOf(c), strconv.Itoa(c.Features), strconv.Itoa(c.Slices), strconv.Itoa(c.Models), c.Codec, strconv.Itoa(c.Partitions),
			fmt.Sprintf("%.0f", c.Nanos.Total), fmt.Sprintf("%.0f", c.Nanos.Fetch), fmt.Sprintf("%.0f", c.Nanos.Decode),
		}
		if s := c.Stages; s != nil {
			for _, v := range []float64{s.Fetch, s.Decompress, s.Decode, s.Accumulate, s.Store, s.Rest} {
				row = append(row, fmt.Sprintf("%.0f", v))
			}
			row = append(row, strconv.Itoa(s.Samples))
		} else {
			row = append(row, "", "", "", "", "", "", "")
		}
		rows = append(rows, append(row, strconv.Itoa(c.Partials), fmt.Sprintf("%.1f", c.BytesPerPartial), fmt.Sprintf("%.0f", c.RowsPerInsert)))
	}
	table(p.out, rows...)
	if len(r.Decoders) > 0 {
		fmt.Fprintln(p.out, "\ndecoders, the same lines into columns")
		rows = [][]string{{"features", "decoder", "ns/row", "MB/CPU-s", "allocs", "× own time"}}
		for _, d := range r.Decoders {
			if d.NotRun != "" {
				rows = append(rows, []string{strconv.Itoa(d.Features), d.Decoder, "not run: " + d.NotRun, "", "", ""})
				continue
			}
			rows = append(rows, []string{
				strconv.Itoa(d.Features), d.Decoder, fmt.Sprintf("%.0f", *d.Nanos), fmt.Sprintf("%.0f", *d.MBps), fmt.Sprintf("%.2f", *d.Allocs), fmt.Sprintf("%.2f", *d.Ratio),
			})
		}
		table(p.out, rows...)
	}
	if f := r.Flush; f != nil {
		fmt.Fprintln(p.out, "\nkeeping a wide model fresh")
		v := func(x float64) string { return fmt.Sprintf("%.3g", x) }
		table(p.out,
			[]string{"features", "slices", "parts", "seconds", "rows", "partials", "per insert", "B/partial", "engine CPU-s/s", "idle", "own CPU-s/s", "not run"},
			[]string{
				strconv.Itoa(f.Features), strconv.Itoa(f.Slices), strconv.Itoa(f.Partitions), v(f.Seconds), strconv.Itoa(f.Rows), strconv.Itoa(f.Partials),
				fmt.Sprintf("%.0f", f.PerInsert), v(f.BytesPer), v(f.EngineCPU), v(f.EngineIdle), v(f.OwnCPU), f.NotRun,
			})
	}
	p.printTargets(r.Targets)
}

func (p *program) printTargets(targets []bench.Target) {
	if len(targets) == 0 {
		return
	}
	fmt.Fprintln(p.out, "\ntargets")
	rows := [][]string{{"figure", "to reach", "got", ""}}
	for _, t := range targets {
		verdict := "reached"
		if !t.Reached {
			verdict = "MISSED"
		}
		rows = append(rows, []string{t.Figure, t.Want, fmt.Sprintf("%.6g", t.Got), verdict})
	}
	table(p.out, rows...)
}
