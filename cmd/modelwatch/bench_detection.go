package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/internal/bench/detection"
)

// detectionFlags are the flags of `bench detection` as they are given.
type detectionFlags struct {
	seed                      uint64
	worlds, parts             []string
	budgets                   []float64
	months                    []int
	features, onsets          int
	flights, detector         string
	release, listWorlds, json bool
}

func (p *program) benchDetection() *cobra.Command {
	f := detectionFlags{}
	d := detection.DefaultConfig()
	cmd := &cobra.Command{
		Use:   "detection",
		Short: "False alarms against the budget, and how soon faults are found",
		Long: `detection makes the closed windows of models from a seed, healthy ones and ones
with a known fault, and judges them with the rules that the service judges
with, which are told neither world, nor seed, nor truth. It prints

  tracks   false pages and tickets beside the stated ones, severity rules off
  delays   windows until a step is found, beside the bound of an oracle
  faults   recall, delay and messages of faults, and of harmless changes
  rivals   other rules on the same windows, at their defaults and matched
  real     flights-3m of vega-datasets, clean and with faults put in

At most that many false pages and tickets are expected in 30 days if healthy
behaviour stays inside the range learnt from the reference. This is a
model-based bound; the figures say what was realised.

A run fails when it proves that a promised budget is broken (an e-value of at
least 1000), or when steps of 1 sd are hardly ever found. Targets that were not
reached are listed.`,
		Example: `  modelwatch bench detection --parts tracks --worlds standard,heavy --budget .25,1,4 --months 2
  modelwatch bench detection --parts delays,faults --seed 7 --json
  modelwatch bench detection --parts real --flights flights-3m.parquet
  modelwatch bench detection --release --parts tracks`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.runBenchDetection(cmd, f) },
	}
	flags := cmd.Flags()
	flags.Uint64Var(&f.seed, "seed", d.Seed, "of everything")
	flags.StringSliceVar(&f.worlds, "worlds", nil, "of the tracks; `gated` is those whose budget is promised (default all)")
	flags.Float64SliceVar(&f.budgets, "budget", d.Budgets, "pages, and tickets, in 30 days; of the tracks")
	flags.IntSliceVar(&f.months, "months", d.Months, "of each world; one number, or one for each budget")
	flags.IntVar(&f.features, "features", d.Features, "of the models of tracks and rivals")
	flags.StringSliceVar(&f.parts, "parts", nil, "what is measured (default all)")
	flags.IntVar(&f.onsets, "onsets", d.Onsets, "of each fault")
	flags.StringVar(&f.flights, "flights", "", "flights-3m.parquet of vega-datasets, in `FILE`")
	flags.BoolVar(&f.release, "release", false, "gated worlds for 80 months at .25, 20 at 1 and 10 at 4")
	flags.BoolVar(&f.listWorlds, "list-worlds", false, "say what the worlds are, and end")
	flags.BoolVar(&f.json, "json", false, "print one JSON object")
	flags.StringVar(&f.detector, "detector", string(d.Detector), "what is measured: budget, never or always; the last two must fail")
	_ = flags.MarkHidden("detector")
	var parts, worlds []string
	for _, x := range detection.AllParts() {
		parts = append(parts, string(x))
	}
	for _, w := range detection.Worlds() {
		worlds = append(worlds, w.Name)
	}
	offer(cmd, "parts", parts...)
	offer(cmd, "worlds", append(worlds, "gated")...)
	return cmd
}

// config turns the flags into what is measured.
func (f *detectionFlags) config(cmd *cobra.Command) (detection.Config, error) {
	c := detection.DefaultConfig()
	if f.release {
		c = detection.ReleaseConfig()
	}
	c.Seed, c.Features, c.Onsets, c.Flights, c.Detector = f.seed, f.features, f.onsets, f.flights, detection.Detector(f.detector)
	if cmd.Flags().Changed("budget") {
		c.Budgets = f.budgets
	}
	if cmd.Flags().Changed("months") {
		c.Months = f.months
	}
	for len(c.Months) > 0 && len(c.Months) < len(c.Budgets) {
		c.Months = append(c.Months, c.Months[len(c.Months)-1])
	}
	c.Months = c.Months[:min(len(c.Months), len(c.Budgets))]
	if len(f.worlds) > 0 {
		c.Worlds = nil
	}
	for _, name := range f.worlds {
		found := false
		for _, w := range detection.Worlds() {
			if w.Name == name || name == "gated" && w.Gated {
				c.Worlds, found = append(c.Worlds, w), true
			}
		}
		if !found {
			return c, usage(cmd, "there is no world %q; --list-worlds lists them", name)
		}
	}
	if len(f.parts) > 0 {
		c.Parts = nil
	}
	for _, name := range f.parts {
		c.Parts = append(c.Parts, detection.Part(name))
	}
	return c, nil
}

func (p *program) runBenchDetection(cmd *cobra.Command, f detectionFlags) error {
	if f.listWorlds {
		return p.printWorlds()
	}
	for _, name := range f.parts {
		if err := oneOf(cmd, "parts", name, "tracks", "delays", "faults", "rivals", "real"); err != nil {
			return err
		}
	}
	c, err := f.config(cmd)
	if err != nil {
		return err
	}
	c.Progress = func(s string) { fmt.Fprintln(p.err, s) }
	b, err := detection.New(c)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := b.Run(ctx)
	if err != nil {
		return err
	}
	if f.json {
		err = json.NewEncoder(p.out).Encode(r)
	} else {
		err = p.printDetection(r)
	}
	if err == nil && len(r.Failures) > 0 {
		err = errors.New(strings.Join(r.Failures, "; "))
	}
	return err
}

func (p *program) printWorlds() error {
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, x := range detection.Worlds() {
		gated := "told"
		if x.Gated {
			gated = "promised"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", x.Name, gated, x.About)
	}
	return w.Flush()
}

// printDetection prints the budget first, then a table for each part.
func (p *program) printDetection(r *detection.Report) error {
	fmt.Fprintf(p.out, "seed %d\n", r.Seed)
	p.printTracks(r)
	p.printDelays(r)
	p.printFaults(r)
	p.printRivals(r)
	p.printReal(r)
	for _, m := range r.Missed {
		fmt.Fprintln(p.out, "missed:", m)
	}
	for _, m := range r.Failures {
		fmt.Fprintln(p.out, "FAILED:", m)
	}
	return nil
}

func (p *program) table(head string, rows func(w *tabwriter.Writer)) {
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, strings.ReplaceAll(head, "|", "\t")+"\t")
	rows(w)
	_ = w.Flush()
	fmt.Fprintln(p.out)
}

func (p *program) printTracks(r *detection.Report) {
	if len(r.Tracks) == 0 {
		return
	}
	fmt.Fprintf(p.out, "\nFalse alarms in 30 healthy days, models of %d features, severity rules off.\n", r.Features)
	p.table("world|promised|budget|months|streams|pages|upper 95 %|tickets|upper 95 %|evidence|burst 24 h|dead zone|unknown|µs|bytes", func(w *tabwriter.Writer) {
		for _, t := range r.Tracks {
			fmt.Fprintf(w, "%s\t%v\t%g\t%d\t%d\t%.3g\t%.3g\t%.3g\t%.3g\t%.3g\t%d\t%s\t%.2f %%\t%.2f\t%.0f\t\n",
				t.World, t.Gated, t.Budget, t.Months, t.Streams, t.PagesRealised, t.PagesUpper95, t.TicketsRealised, t.TicketsUpper95,
				max(t.PagesEvidence, t.TicketsEvidence), t.Burst24h, detection.Figure(t.DeadZoneMedian), 100*t.Unknown, t.Microseconds, t.StateBytes)
		}
	})
}

func (p *program) printDelays(r *detection.Report) {
	if len(r.Delays) == 0 {
		return
	}
	fmt.Fprintf(p.out, "\nSteps, at the share of %g pages and %g tickets in %s of a model of 1000 features; location has %s of the tickets.\n",
		r.Budget.Pages, r.Budget.Tickets, r.Budget.Per, detection.Figure(r.Location))
	p.table("sd|runs|median|95 %|p90|bound|recall|95 %|contaminated|recall", func(w *tabwriter.Writer) {
		for _, d := range r.Delays {
			fmt.Fprintf(w, "%g\t%d\t%s\t%s to %s\t%s\t%s\t%.3f\t%.2f to %.2f\t%s\t%s\t\n", d.Shift, d.Runs, detection.Figure(d.Median),
				detection.Figure(d.MedianLow), detection.Figure(d.MedianHigh), detection.Figure(d.P90), detection.Figure(d.Bound), d.Recall,
				d.RecallLow, d.RecallHigh, detection.Figure(d.Contaminated), detection.Figure(d.ContaminatedRecall))
		}
	})
}

func (p *program) printFaults(r *detection.Report) {
	if len(r.Faults) == 0 {
		return
	}
	fmt.Fprintf(p.out, "\nFaults within 20 days, the same budget, 20 slices.\n")
	p.table("fault|runs|recall|95 %|asked|median|p95|messages|pages|tickets|slice named|wrong", func(w *tabwriter.Writer) {
		for _, f := range r.Faults {
			named, wrong := "", ""
			if f.SliceNamed != nil {
				named, wrong = detection.Figure(f.SliceNamed), detection.Figure(f.SliceWrong)
			}
			median, p95 := detection.Figure(f.Median), detection.Figure(f.P95)
			if f.Harmless {
				median, p95 = "", ""
			}
			fmt.Fprintf(w, "%s\t%d\t%.3f\t%.2f to %.2f\t%g\t%s\t%s\t%.2f\t%.2f\t%.2f\t%s\t%s\t\n",
				f.Fault, f.Runs, f.Recall, f.RecallLow, f.RecallHigh, f.Target, median, p95, f.Incidents, f.Pages, f.Tickets, named, wrong)
		}
	})
	if w := r.Whole; w != nil {
		fmt.Fprintf(p.out, "A step of .5 sd in all slices: median %s windows, %s without slices, %.2f incidents.\n",
			detection.Figure(w.Median), detection.Figure(w.Without), w.Incidents)
	}
}

func (p *program) printRivals(r *detection.Report) {
	if len(r.Rivals) == 0 {
		return
	}
	fmt.Fprintf(p.out, "\nOthers on the same windows; false alarms and incidents in 30 healthy days of 1000 columns; median delay and recall.\n")
	p.table("rule|matched|columns|limit|alarms|incidents|chance|.25 sd|recall|.5 sd|recall|1 sd|recall", func(w *tabwriter.Writer) {
		for _, x := range r.Rivals {
			fmt.Fprintf(w, "%s\t%v\t%d\t%s\t%.4g\t%.4g\t%.2g", x.Rival, x.Matched, x.Columns, detection.Figure(x.Limit), x.Alarms, x.Incidents, x.Chance)
			for _, s := range x.Steps {
				fmt.Fprintf(w, "\t%s\t%.2f", detection.Figure(s.Median), s.Recall)
			}
			fmt.Fprintln(w, "\t")
		}
	})
}

func (p *program) printReal(r *detection.Report) {
	if len(r.Real) == 0 {
		return
	}
	fmt.Fprintf(p.out, "\nFlights, hourly, 20 slices, severity rules off; every event counts as false.\n")
	p.table("case|budget|months|streams|events|pages|tickets|found|delay", func(w *tabwriter.Writer) {
		for _, x := range r.Real {
			found, delay := "", ""
			if x.Found != nil {
				found = fmt.Sprint(*x.Found)
			}
			if x.Delay != nil {
				delay = fmt.Sprint(*x.Delay)
			}
			fmt.Fprintf(w, "%s\t%g\t%.2g\t%d\t%d\t%d\t%d\t%s\t%s\t\n", x.Case, x.Budget, x.Months, x.Streams, len(x.Alerts), x.Pages, x.Tickets, found, delay)
		}
	})
	for _, x := range r.Real {
		if x.Found != nil {
			continue
		}
		for _, a := range x.Alerts {
			fmt.Fprintf(p.out, "  budget %g, %s: %s of %s %s page=%v: %s\n", x.Budget, a.At.Format("2006-01-02 15h"), a.Fault, a.Column, a.Slice, a.Page, a.Reason)
		}
	}
}
