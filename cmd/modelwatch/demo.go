package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/internal/demo"
	"github.com/modelwatch/modelwatch/internal/telemetry"
)

func (p *program) demo() *cobra.Command {
	o := demo.DefaultOptions()
	var faults string
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch a model on three million real flights, everything embedded",
		Long: `demo downloads what it needs (the ClickHouse engine and the flights, by npm),
trains a small model on the first 28 days, and streams the days after that
through Kafka, ClickHouse and NATS inside this process, with faults put in at
announced moments. Alerts are printed as they come out of JetStream. A second
start goes on where the first one stopped.`,
		Example: `  modelwatch demo                    # until Ctrl-C; pages on http://127.0.0.1:8080
  modelwatch demo --fresh            # from the beginning
  modelwatch demo --once --json      # the planned days, then a report
  modelwatch demo --faults none      # healthy data only`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch faults {
			case "all":
			case "none":
				o.Faults = false
			default:
				return usage(cmd, "--faults is %q; it is all or none", faults)
			}
			level := "error"
			if verbose {
				level = "info"
			}
			log, err := telemetry.NewLogger(level, "console", p.err)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			out := p.out
			if asJSON {
				out = p.err
			}
			report, err := demo.Run(ctx, o, out, log)
			if err != nil {
				return err
			}
			if asJSON {
				body, err := json.Marshal(report)
				if err != nil {
					return fmt.Errorf("writing the report: %w", err)
				}
				fmt.Fprintln(p.out, string(body))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&faults, "faults", "all", "faults to put in: all or none")
	f.BoolVar(&o.Once, "once", false, "stop after the planned days and report")
	f.BoolVar(&o.Fresh, "fresh", false, "forget earlier runs")
	f.BoolVar(&asJSON, "json", false, "print the report as one JSON object at the end; the rest goes to standard error")
	f.BoolVar(&verbose, "verbose", false, "show the log of the service")
	f.IntVar(&o.Days, "days", o.Days, "days that --once streams")
	f.IntVar(&o.Rate, "rate", o.Rate, "events per second at the most")
	f.StringVar(&o.Listen, "listen", o.Listen, "address of the pages")
	f.StringVar(&o.Dir, "dir", o.Dir, "folder of everything the demo keeps")
	return cmd
}
