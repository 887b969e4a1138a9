package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/internal/bench"
)

func (p *program) benchLatency() *cobra.Command {
	var kafka, clickhouse, nats string
	var asJSON, quick bool
	c := bench.LatencyConfig{}
	cmd := &cobra.Command{
		Use:   "latency",
		Short: "From a wrong event to the message about it",
		Long: `latency runs the service as a process of its own, lets rows of many models flow
through one topic, and makes a column of one model after the other wrong for ten
rows. It takes the time from handing the first wrong event to the producer until
the firing message has been read from JetStream.

Servers without an address are started: the embedded broker in a process of its
own, ClickHouse, and NATS. With --nats, nobody else may use modelwatch there.`,
		Example: `  modelwatch bench latency
  modelwatch bench latency --quick --json
  modelwatch bench latency --kafka localhost:9092 --clickhouse localhost:9000 --nats nats://localhost:4222 --rate 10000
  make bench BENCH=latency`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if quick {
				c.Models, c.For = 20, 15*time.Second
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			c.Progress = func(s string) { fmt.Fprintln(p.err, s) }
			c.Servers, err = bench.StartServers(ctx, bench.Want{Kafka: kafka, ClickHouse: clickhouse, NATS: nats, Progress: c.Progress})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, c.Servers.Close()) }()
			l, err := bench.AlertLatency(ctx, c)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(p.out).Encode(l)
			}
			fmt.Fprintf(p.out, "%s, GOMAXPROCS=%d, %s, load %s\n\n", l.Machine.Processor, l.Machine.Processors, l.Machine.Go, l.Machine.Load)
			f := func(v float64) string { return fmt.Sprintf("%.0f", v) }
			table(p.out, []string{"rows/s", "models", "messages", "p50 ms", "p90 ms", "p99 ms", "worst ms"},
				[]string{f(float64(l.Rate)), f(float64(l.Models)), f(float64(l.Faults)), f(l.P50), f(l.P90), f(l.P99), f(l.Worst)})
			p.printTargets(l.Targets)
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&kafka, "kafka", "", "a broker's `ADDRESS`; without one the embedded broker is started")
	flags.StringVar(&clickhouse, "clickhouse", "", "ClickHouse's `ADDRESS`, native protocol; without one it is started")
	flags.StringVar(&nats, "nats", "", "the `URL` of NATS with JetStream; without one it is started")
	flags.Uint64Var(&c.Seed, "seed", 1, "of the rows")
	flags.IntVar(&c.Rate, "rate", bench.Rate, "rows a second, of 20 features")
	flags.IntVar(&c.Models, "models", 100, "on the topic, each with one fault")
	flags.IntVar(&c.Partitions, "partitions", 1, "of the topic")
	flags.DurationVar(&c.For, "for", 40*time.Second, "the stretch over which the faults are spread")
	flags.BoolVar(&quick, "quick", false, "20 faults within 15 seconds: less than a minute")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}
