package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/internal/app"
	"github.com/modelwatch/modelwatch/internal/backtest"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/profile"
	"github.com/modelwatch/modelwatch/schemas"
)

// past is a backtest of decisions, as its flags ask for it.
type past struct {
	data, monitor, model     string
	from, to                 time.Time
	reference                string
	budgets, incidents, html string
	asJSON                   bool
	columns                  profile.Options
	names                    []string // of the flags that are not of --verify
}

// pastFlags gives the command the flags of a backtest of decisions.
func (p *program) pastFlags(cmd *cobra.Command) *past {
	f := &past{columns: profile.DefaultOptions()}
	flags := cmd.Flags()
	text := func(into *string, name, value, about string) {
		flags.StringVar(into, name, value, about)
		f.names = append(f.names, name)
	}
	// The settings have a key of that name: with --model it is still theirs.
	flags.Lookup("data").Usage = "`file` of rows to judge, with --monitor; with --model: where embedded servers keep their files"
	text(&f.monitor, "monitor", "", "monitor `file`, with --data")
	text(&f.reference, "reference", "28d", "`length` of the beginning of the file that is learnt from, where the monitor names no baseline")
	text(&f.budgets, "budget", "", "`pages` per period to try as well, as .25,1,4 (tickets scale), or pages/tickets")
	text(&f.incidents, "incidents", "", "`file` of known incidents, CSV or YAML: from, to, columns, note")
	text(&f.html, "html", "", "write a report of one self-contained page to this `file`")
	text(&f.columns.Time, "time", "", "`column` of the event's time")
	text(&f.columns.ID, "id", "", "`column` of the event's id")
	text(&f.columns.Prediction, "prediction", "", "`column` of the prediction")
	text(&f.columns.Score, "score", "", "`column` of the score")
	text(&f.columns.Label, "label", "", "`column` of the label")
	text(&f.columns.Latency, "latency", "", "`column` of the latency in ms")
	_ = cmd.MarkFlagFilename("monitor", "yaml", "yml") // the flag exists
	return f
}

// unused says that a flag of a backtest of decisions goes without --verify.
func (f *past) unused(cmd *cobra.Command) error {
	for _, name := range f.names {
		if cmd.Flags().Changed(name) {
			return usage(cmd, "--%s does not go with --verify, which computes stored windows again and decides nothing", name)
		}
	}
	return nil
}

// pastCommand tells what would have been said.
func (p *program) pastCommand(cmd *cobra.Command, f *past, settings func() (*config.Settings, string, error)) error {
	if f.model == "" || f.monitor != "" {
		f.data = cmd.Flags().Lookup("data").Value.String()
	}
	switch {
	case f.data == "" && f.model == "":
		return usage(cmd, "give --data FILE --monitor FILE to judge the rows of a file, --model NAME to judge what is stored of a model, or --verify")
	case f.data != "" && f.model != "":
		return usage(cmd, "--data with --monitor judges a file, --model what is stored; give one of them")
	case f.data != "" && f.monitor == "":
		return usage(cmd, "--monitor is missing: the monitor by which the rows of %s are judged; `modelwatch profile` writes a first one", f.data)
	case f.data == "" && f.monitor != "":
		return usage(cmd, "--monitor goes with --data; of what is stored the monitor is that of the settings")
	}
	judge := p.pastOfFile
	if f.data == "" {
		judge = p.pastOfStore
	}
	r, err := judge(cmd, f, settings)
	if err != nil {
		return err
	}
	if f.html != "" {
		page, err := backtest.HTML(r)
		if err != nil {
			return err
		}
		if err := write(f.html, page, true); err != nil {
			return err
		}
	}
	if f.asJSON {
		return printJSON(p.out, r)
	}
	p.showPast(r)
	if f.html != "" {
		fmt.Fprintf(p.out, "\n%s\n", f.html)
	}
	return nil
}

// options reads what a backtest of a file and one of the store have both.
func (f *past) options(cmd *cobra.Command, m *schemas.Monitor, progress func(string)) (backtest.Options, error) {
	o := backtest.Options{Monitor: m, From: f.from, To: f.to, Progress: progress}
	var err error
	if o.Budgets, err = backtest.ParseBudgets(f.budgets, m); err != nil {
		return o, usage(cmd, "--budget: %w", err)
	}
	if f.incidents != "" {
		body, err := os.ReadFile(f.incidents)
		if err != nil {
			return o, fmt.Errorf("reading the known incidents: %w", err)
		}
		if o.Known, err = backtest.ReadKnown(f.incidents, body); err != nil {
			return o, fmt.Errorf("reading the known incidents:\n%w", err)
		}
	}
	return o, nil
}

func (p *program) pastOfFile(cmd *cobra.Command, f *past, _ func() (*config.Settings, string, error)) (*backtest.Report, error) {
	m, err := monitorForData(f.monitor)
	if err != nil {
		return nil, fmt.Errorf("reading the monitor:\n%w", err)
	}
	if m.Baseline != nil && cmd.Flags().Changed("reference") {
		return nil, usage(cmd, "--reference is for monitors without a baseline; %s names %s", f.monitor, m.Monitor.Baseline)
	}
	o := backtest.FileOptions{Baseline: m.Baseline, Profile: f.columns}
	if o.Options, err = f.options(cmd, m.Monitor, p.seldom()); err != nil {
		return nil, err
	}
	if o.Reference, err = schemas.ParseDuration(f.reference); err != nil {
		return nil, usage(cmd, "--reference: %w", err)
	}
	if o.Source, err = profile.Open(f.data); err != nil {
		return nil, err
	}
	return backtest.File(cmd.Context(), o)
}

func (p *program) pastOfStore(cmd *cobra.Command, f *past, settings func() (*config.Settings, string, error)) (*backtest.Report, error) {
	s, monitors, err := p.installation(settings)
	if err != nil {
		return nil, err
	}
	m, err := app.MonitorOf(monitors, f.model)
	if err != nil {
		return nil, err
	}
	o, err := f.options(cmd, m.Monitor, p.seldom())
	if err != nil {
		return nil, err
	}
	return app.Backtest(cmd.Context(), *s, m, o, p.quiet())
}

// monitorForData reads a monitor. One that names no baseline need not be sound
// before there is one: features without a type are known by the data.
func monitorForData(path string) (*config.Monitor, error) {
	m, err := config.ReadMonitor(path)
	if err == nil {
		return m, nil
	}
	body, readErr := os.ReadFile(path)
	if readErr != nil {
		return nil, err
	}
	parsed, parseErr := schemas.ParseMonitor(path, body)
	if parseErr != nil || parsed.Baseline != "" {
		return nil, err
	}
	return &config.Monitor{Monitor: parsed, File: path}, nil
}

// seldom tells on standard error, every few seconds, how far the work is.
func (p *program) seldom() func(string) {
	const every = 3 * time.Second
	last := time.Now()
	return func(what string) {
		if time.Since(last) >= every {
			last = time.Now()
			fmt.Fprintln(p.err, plain(what))
		}
	}
}

// showPast writes the report for people.
func (p *program) showPast(r *backtest.Report) {
	fmt.Fprintf(p.out, "%s: %.4g days of %s, from %s to %s\n", plain(r.Model), r.Days, plain(r.Source), moment(r.From), moment(r.To))
	if r.Reference != nil {
		fmt.Fprintf(p.out, "learnt from what is before: %s to %s\n", moment(r.Reference.Start), moment(r.Reference.End))
	}
	mine := &r.Runs[0]
	rows := [][]string{{"WHEN", "KIND", "WHAT", "UNTIL", "WHY", "MARK"}}
	for i := range mine.Alerts {
		a := &mine.Alerts[i]
		until := "the end"
		if a.Resolved != nil {
			until = moment(*a.Resolved)
		}
		kind := string(a.Kind)
		if a.Escalation {
			kind += " (escalated)"
		}
		rows = append(rows, []string{moment(a.At), kind, a.Title, until, backtest.Why(a), string(a.Mark)})
	}
	p.section("What would have been said", rows)
	if len(mine.Alerts) == 0 {
		fmt.Fprintln(p.out, "\nNothing would have been said.")
	}
	p.section("Known incidents", knownRows(r, mine))
	budgets := [][]string{{"BUDGET", "PAGES", "NOT TRUE", "PER 30 D", "STATED", "TICKETS", "NOT TRUE", "PER 30 D", "STATED", "FOUND"}}
	for i := range r.Runs {
		run := &r.Runs[i]
		row := []string{backtest.BudgetName(run.Budget)}
		for _, t := range []backtest.Tally{run.Pages, run.Tickets} {
			row = append(row, fmt.Sprint(t.Sent), fmt.Sprint(t.NotTrue), fmt.Sprintf("%.2f", t.Realised), number(t.Stated))
		}
		budgets = append(budgets, append(row, backtest.FoundOf(run)))
	}
	p.section("Budgets, and alerts that were not shown to be true", budgets)
	fmt.Fprintf(p.out, "\n%s\n\n", backtest.Promise(mine))
	for _, n := range r.Notes {
		fmt.Fprintf(p.out, "note: %s\n", plain(n))
	}
	for _, u := range r.Unjudged {
		fmt.Fprintf(p.out, "not judged: %s (%s of %s)\n", plain(u.Reason), count(u.Verdicts, "verdict"), count(u.Streams, "stream"))
	}
}

func knownRows(r *backtest.Report, run *backtest.Run) [][]string {
	rows := [][]string{{"FROM", "TO", "COLUMNS", "STATE", "AFTER", "BY", "NOTE"}}
	for i := range r.Known {
		k, o := &r.Known[i], &run.Known[i]
		after := ""
		if o.Delay != nil {
			after = backtest.Length(*o.Delay)
		}
		rows = append(rows, []string{moment(k.From), moment(k.To), strings.Join(k.Columns, ", "), o.State, after, string(o.Kind), k.Note})
	}
	return rows
}
