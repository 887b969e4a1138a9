package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/internal/profile"
	"github.com/modelwatch/modelwatch/schemas"
)

// profiled is what profile prints as JSON.
type profiled struct {
	Baseline string `json:"baseline"` // file
	Monitor  string `json:"monitor"`  // file
	Hash     string `json:"hash"`     // of the baseline
	profile.Report
}

func (p *program) profile() *cobra.Command {
	o := profile.DefaultOptions()
	var out, window string
	var slices []string
	var force, asJSON bool
	cmd := &cobra.Command{
		Use:   "profile DATA",
		Short: "Make a baseline and a first monitor from data",
		Long: `profile reads healthy data of a model (CSV, TSV, Parquet, or JSON lines: flat
rows or events) and writes two files: MODEL.baseline.json, what healthy looks
like, and MODEL.yaml, a first monitor that uses it.

Columns of time, id, prediction, score, label and latency are found by their
usual names; the flags name others, and - says that there is none. What was
left out, and why, is in the report.`,
		Example: `  modelwatch profile training.parquet --model flight-delay
  modelwatch profile week.csv --model flight-delay --time departed --slice origin --slice origin,dest
  modelwatch profile events.jsonl --model flight-delay --out monitors --force`,
		Args: arguments(1, 1, "a file of data"),
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Model, "model", "", "`name` of the model, as its events carry it (required)")
	flags.StringVar(&o.Version, "model-version", "", "`version` of the model, where known")
	flags.StringVar(&o.Positive, "positive", "", "`class` that the score is the probability of")
	flags.StringVar(&o.Time, "time", "", "`column` of the event's time")
	flags.StringVar(&o.ID, "id", "", "`column` of the event's id")
	flags.StringVar(&o.Prediction, "prediction", "", "`column` of the prediction")
	flags.StringVar(&o.Score, "score", "", "`column` of the score")
	flags.StringVar(&o.Label, "label", "", "`column` of the label")
	flags.StringVar(&o.Latency, "latency", "", "`column` of the latency in ms")
	flags.StringSliceVar(&o.Numbers, "number", nil, "`columns` that are numbers, whatever they look like")
	flags.StringSliceVar(&o.Categories, "category", nil, "`columns` that are categories")
	flags.StringSliceVar(&o.Skip, "skip", nil, "`columns` to leave out")
	flags.StringArrayVar(&slices, "slice", nil, "`column`, or two as a,b, to split rows by; may be repeated")
	flags.StringVar(&window, "window", schemas.Duration(o.Window).String(), "`length` of a window")
	flags.IntVar(&o.Bins, "bins", o.Bins, "bins of a number")
	flags.IntVar(&o.MaxCategories, "max-categories", o.MaxCategories, "most categories kept of a column")
	flags.StringVar(&out, "out", ".", "`folder` to write to")
	flags.BoolVar(&force, "force", false, "overwrite files that are there")
	flags.BoolVar(&asJSON, "json", false, "print the report as one JSON object")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if o.Model == "" {
			return usage(cmd, "--model is missing: the name of the model, as its events carry it")
		}
		length, err := schemas.ParseDuration(window)
		if err != nil {
			return usage(cmd, "--window: %w", err)
		}
		o.Window = length
		for _, s := range slices {
			o.Slices = append(o.Slices, strings.Split(s, ","))
		}
		o.Progress = p.progress()
		name := o.Model
		if strings.ContainsAny(name, `/\`) || strings.HasPrefix(name, ".") {
			name = "model-" + url.PathEscape(name)
		}
		files := profiled{Baseline: filepath.Join(out, name+".baseline.json"), Monitor: filepath.Join(out, name+".yaml")}
		o.BaselineFile = filepath.Base(files.Baseline)
		if err := o.Validate(); err != nil {
			return usageError{err, cmd.CommandPath()}
		}
		if err := files.make(cmd.Context(), args[0], o, force); err != nil {
			return err
		}
		if asJSON {
			return printJSON(p.out, files)
		}
		p.tell(&files)
		return nil
	}
	return cmd
}

// make profiles the data and writes both files.
func (f *profiled) make(ctx context.Context, data string, o profile.Options, force bool) error {
	// Before the work and not after it.
	for _, path := range []string{f.Baseline, f.Monitor} {
		if _, err := os.Lstat(path); err == nil && !force {
			return fmt.Errorf("writing %s: it is there already; give --force to overwrite it, or another --out", path)
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("writing %s: %w", path, err)
		}
	}
	source, err := profile.Open(data)
	if err != nil {
		return err
	}
	made, err := profile.Profile(ctx, source, o)
	if err != nil {
		return err
	}
	f.Report, f.Hash = made.Report, made.Baseline.Hash
	baseline, err := json.Marshal(made.Baseline)
	if err != nil {
		return fmt.Errorf("writing the baseline: %w", err)
	}
	// The baseline first: a monitor without it would be unsound.
	if err := write(f.Baseline, append(baseline, '\n'), force); err != nil {
		return err
	}
	return write(f.Monitor, made.YAML, force)
}

// write puts a whole file in place at once, so that a service that watches the
// folder never reads half of one.
func write(path string, body []byte, force bool) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the folder of %s: %w", path, err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".modelwatch-*")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer os.Remove(temporary.Name()) // it is gone after a rename
	_, err = temporary.Write(body)
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Close())
	if err == nil && force {
		err = os.Rename(temporary.Name(), path)
	} else if err == nil {
		err = os.Link(temporary.Name(), path) // fails where the file has appeared meanwhile
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// tellLearnt writes what was learnt of healthy behaviour.
func (p *program) tellLearnt(l *profile.Learnt) {
	if l == nil {
		return
	}
	fmt.Fprintf(p.out, "\nHealthy behaviour: learnt for %s from %s, %.3g days\n", count(l.Streams, "stream"), count(l.Windows, "window"), l.Days)
	rows := [][]string{{"AFTER", "REACHED", "WHAT CAN BE SEEN"}}
	for _, s := range l.Stages {
		reached := "not yet"
		if s.Reached {
			reached = "yes"
		}
		rows = append(rows, []string{s.After.String(), reached, s.Sees})
	}
	table(p.out, rows...)
	for i := range l.Cuts {
		fmt.Fprintf(p.out, "cut: %s\n", plain(l.Cuts[i].Sentence()))
	}
	if l.Level != nil {
		fmt.Fprintf(p.out, "question: %s\n", plain(l.Level.Question()))
	}
}

// progress tells on standard error, every few seconds, how far the reading is.
func (p *program) progress() func(reading int, rows int64) {
	const every = 5 * time.Second
	last := time.Now()
	return func(reading int, rows int64) {
		if time.Since(last) >= every {
			last = time.Now()
			fmt.Fprintf(p.err, "reading %d of about 3: %d rows\n", reading, rows)
		}
	}
}

// tell writes the report for people.
func (p *program) tell(f *profiled) {
	r := &f.Report
	fmt.Fprintf(p.out, "%s: %d rows", plain(r.Source), r.Rows)
	if !r.From.IsZero() {
		fmt.Fprintf(p.out, " from %s to %s, %s", moment(r.From), moment(r.To), count(r.Windows, "window"))
	}
	fmt.Fprintln(p.out)
	rows := [][]string{{"COLUMN", "ROLE", "TYPE", "LEFT OUT", "NOTES"}}
	for i := range r.Columns {
		c := &r.Columns[i]
		notes := c.Notes
		if c.Sampled {
			notes = append(notes, "quantiles from a sample")
		}
		rows = append(rows, []string{c.Name, c.Role, string(c.Type), c.Skipped, strings.Join(notes, "; ")})
	}
	p.section("Columns", rows)
	if r.Malformed > 0 {
		bad := [][]string{{"ROW", "REASON"}}
		for _, m := range r.Examples {
			bad = append(bad, []string{fmt.Sprint(m.Row), m.Reason})
		}
		p.section(fmt.Sprintf("%d rows could not be read; the first", r.Malformed), bad)
	}
	p.tellLearnt(r.Learnt)
	for _, w := range r.Warnings {
		fmt.Fprintf(p.out, "warning: %s\n", plain(w))
	}
	fmt.Fprintf(p.out, "\n%s  %s\n%s  edit topics and rules, then `modelwatch check %s`\n", f.Baseline, f.Hash, f.Monitor, f.Monitor)
}
