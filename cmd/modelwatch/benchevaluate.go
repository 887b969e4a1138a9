package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/internal/bench"
)

func (p *program) benchEvaluate() *cobra.Command {
	var clickhouse, cpuprofile string
	var asJSON, quick bool
	c := bench.EvaluateConfig{}
	var features, rows []int
	cmd := &cobra.Command{
		Use:   "evaluate",
		Short: "Reading and judging one window of many features and slices",
		Long: `evaluate counts rows of a workload into windows, on several partitions and with
one slice column of 20 values and all others, stores them, reads each again and
lets the evaluator of the service judge it from memory: detectors, incidents,
and the step as it would be written. The budget's detectors are measured alone
too. Figures are medians over the windows.

Beside the times: the memory that an open window takes, and what a closed one
takes in ClickHouse. Without --clickhouse the embedded ClickHouse is started.`,
		Example: `  modelwatch bench evaluate
  modelwatch bench evaluate --features 250,1000 --rows 6000,24000
  modelwatch bench evaluate --quick --json`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if quick {
				features, rows, c.Windows = []int{1000}, []int{3000}, 3
			}
			for _, f := range features {
				for _, r := range rows {
					if f < 5 || r < c.Partitions || c.Partitions < 1 {
						return usage(cmd, "--features is at least 5, --rows at least --partitions, and that at least 1")
					}
					if r == rows[0] || f == 1000 {
						c.Cases = append(c.Cases, bench.EvaluateCase{Features: f, Rows: r})
					}
				}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			c.Progress = func(s string) { fmt.Fprintln(p.err, s) }
			c.Servers, err = bench.StartServers(ctx, bench.Want{Kafka: bench.NoServer, NATS: bench.NoServer, ClickHouse: clickhouse, Progress: c.Progress})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.Servers.Close()) }()
			if cpuprofile != "" {
				to, err := os.Create(cpuprofile)
				if err != nil {
					return fmt.Errorf("writing the profile: %w", err)
				}
				defer func() { err = errors.Join(err, to.Close()) }()
				c.Profile = to
			}
			report, err := bench.Evaluate(ctx, c)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(p.out).Encode(report)
			}
			p.printEvaluate(report)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&clickhouse, "clickhouse", "", "ClickHouse's `ADDRESS`, native protocol; without one it is started")
	flags.Uint64Var(&c.Seed, "seed", 1, "of the rows")
	flags.IntVar(&c.Windows, "windows", 5, "judged of each case; the median counts")
	flags.IntVar(&c.Partitions, "partitions", 6, "that a window is read from")
	flags.IntSliceVar(&features, "features", []int{62, 250, 1000}, "of the model")
	flags.IntSliceVar(&rows, "rows", []int{6000, 24000}, "of a window; beyond the first, with 1000 features only")
	flags.StringVar(&cpuprofile, "cpuprofile", "", "write a CPU profile of judging to `FILE`")
	flags.BoolVar(&quick, "quick", false, "1000 features, three windows: less than a minute")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func (p *program) printEvaluate(r *bench.EvaluateReport) {
	fmt.Fprintf(p.out, "%s, GOMAXPROCS=%d, %s, load %s; medians of %d windows\n\n", r.Machine.Processor, r.Machine.Processors, r.Machine.Go, r.Machine.Load, r.Machine.Runs)
	rows := [][]string{{
		"features", "streams", "rows", "parts", "detectors ms", "CPU ms", "ns/judged", "state CPU ms", "step ms", "CPU ms", "ns/stream", "read ms", "CPU ms", "engine", "verdicts", "unknown", "state B",
		"open B/stream", "closed B/stream", "slices", "whole", "partial B",
	}}
	for _, e := range r.Runs {
		f := func(v float64) string { return fmt.Sprintf("%.1f", v) }
		engine := "–"
		if e.ReadEngine != nil {
			engine = f(*e.ReadEngine)
		}
		rows = append(rows, []string{
			strconv.Itoa(e.Features), strconv.Itoa(e.Streams), strconv.Itoa(e.Rows), strconv.Itoa(e.Partitions), f(e.Detectors), f(e.DetectorsCPU), f(e.PerJudged), f(e.WriteState), f(e.Detect), f(e.DetectCPU), f(e.PerStream),
			f(e.Read), f(e.ReadCPU), engine, strconv.Itoa(e.Verdicts), strconv.Itoa(e.Unknown), strconv.Itoa(e.StateBytes), f(e.OpenBytes), f(e.ClosedBytes), f(e.SliceBytes), f(e.WholeBytes), f(e.PartBytes),
		})
	}
	table(p.out, rows...)
	p.printTargets(r.Targets)
}
