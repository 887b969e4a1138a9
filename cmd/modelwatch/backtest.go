package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/internal/app"
	"github.com/modelwatch/modelwatch/internal/config"
	verification "github.com/modelwatch/modelwatch/internal/replay"
	"github.com/modelwatch/modelwatch/internal/telemetry"
	"github.com/modelwatch/modelwatch/schemas"
)

func (p *program) backtest() *cobra.Command {
	cfg := verification.DefaultConfig()
	var verify, asJSON bool
	var from, to string
	cmd := &cobra.Command{
		Use:   "backtest",
		Short: "Tell what would have been said over the past, or prove what is stored",
		Long: `backtest runs the service's own decisions over the past and tells which pages and
tickets there would have been, when and why: at the budget of the monitor and at
those of --budget. The past is what is stored of a model (--model), or a file of
rows (--data, with --monitor). Nothing is stored, sent or changed.

A file is CSV, TSV, Parquet or JSON lines, as for profile. Where the monitor
names no baseline, the first 28 days of the file (--reference) become it and the
rest is judged. With --incidents each alert is held against what is known: hit,
known (the same again) or false; and each incident is found or missed.

backtest --verify computes the windows of a model again, from the Kafka log alone
and by the code that the service runs, and compares them with the stored ones:
every count, bin, category, least, greatest and mean value, standard deviation
and distinct count of the view ` + "`windows`" + `. It changes nothing: it writes no row,
joins no group and commits no offset, and the service may go on meanwhile.

Windows whose log was deleted by retention, in whole or in part, are named and
not compared. Open windows are compared too, unless rows of them are still being
written after --settle. The exit code is 0 when all that was compared is equal
and something was; 1 when anything differs or nothing could be compared.`,
		Example: `  modelwatch backtest --data month.parquet --monitor monitors/flight-delay.yaml
  modelwatch backtest --data month.csv --monitor flight-delay.yaml --budget .25,1,4 --incidents known.csv --html report.html
  modelwatch backtest --model flight-delay --from 2026-10-01 --to 2026-11-01 --json | jq '.runs[0].pages'
  modelwatch backtest --verify --model flight-delay
  modelwatch backtest --verify --model flight-delay --from 2026-11-01 --to 2026-11-08T12:00:00Z
  modelwatch backtest --verify --model flight-delay --from 48h --json | jq .differences`,
		Args: arguments(0, 0, ""),
	}
	settings := p.settingsFlags(cmd)
	flags := cmd.Flags()
	past := p.pastFlags(cmd)
	flags.BoolVar(&verify, "verify", false, "compute stored windows again and compare them")
	p.modelFlag(cmd, &cfg.Model)
	flags.StringVar(&from, "from", "", "first window, by its start: a `time` such as 2026-11-01 or 2026-11-01T06:00:00Z, or how far back as in 48h")
	flags.StringVar(&to, "to", "", "windows that start before this `time`")
	flags.DurationVar(&cfg.Settle, "settle", cfg.Settle, "`time` to wait for rows that are still being written")
	flags.IntVar(&cfg.Streams, "streams", cfg.Streams, "most summaries held in memory, of about 1 KiB; more of them take several readings of the log")
	flags.IntVar(&cfg.Shown, "show", cfg.Shown, "most differences listed")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !verify {
			var err error
			past.model, past.asJSON = cfg.Model, asJSON
			if past.from, past.to, err = between(cmd, from, to); err != nil {
				return err
			}
			return p.pastCommand(cmd, past, settings)
		}
		if err := past.unused(cmd); err != nil {
			return err
		}
		switch {
		case cfg.Model == "":
			return usage(cmd, "--model is missing")
		case cfg.Streams < 1000:
			return usage(cmd, "--streams: %d is below 1000", cfg.Streams)
		case cfg.Shown < 0:
			return usage(cmd, "--show: %d is below 0", cfg.Shown)
		case cfg.Settle < 0:
			return usage(cmd, "--settle: %s is below 0", cfg.Settle)
		}
		var err error
		if cfg.From, cfg.To, err = between(cmd, from, to); err != nil {
			return err
		}
		s, monitors, err := p.installation(settings)
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		bar := newProgress(p.err, "records read again")
		result, err := app.Verify(ctx, *s, monitors, cfg, bar.tell, p.quiet())
		bar.end()
		if err != nil {
			return fmt.Errorf("verifying %s: %w", cfg.Model, err)
		}
		return p.verified(result, asJSON)
	}
	return cmd
}

// verified prints what a verification found.
func (p *program) verified(r *verification.Result, asJSON bool) error {
	if asJSON {
		if err := printJSON(p.out, r); err != nil {
			return err
		}
	} else {
		p.verifiedText(r)
	}
	if !r.Equal {
		return errTold
	}
	return nil
}

func (p *program) verifiedText(r *verification.Result) {
	fmt.Fprintf(p.out, "%s: compared %s with %s and %s of events, and the state of %s; read %s in %.1f s\n", plain(r.Model),
		count(r.Windows, "window"), count(r.Streams, "stream"), count(int(r.Rows), "row"), count(r.Chunks, "chunk"), count(int(r.Records), "record"), r.Seconds)
	for _, l := range r.NotCompared {
		fmt.Fprintf(p.out, "not compared: %s from %s to %s: %s\n", count(l.Windows, "window"), moment(l.From), moment(l.To), plain(l.Reason))
	}
	if len(r.Differences) > 0 {
		rows := [][]string{{"WINDOW", "VERSION", "ROLE", "FEATURE", "SLICE", "COLUMN", "STORED", "RECOMPUTED", "CHUNK"}}
		for _, d := range r.Differences {
			rows = append(rows, []string{moment(d.Window), d.Version, d.Role, d.Feature, d.Slice, d.Column, d.Stored, d.Recomputed, d.Where})
		}
		table(p.out, rows...)
	}
	switch {
	case r.Differing > 0:
		fmt.Fprintf(p.out, "%s, of which %d are listed: what is stored is not what the log says\n", count(r.Differing, "difference"), len(r.Differences))
	case r.Windows == 0:
		fmt.Fprintln(p.out, "nothing was compared, so nothing is proved")
	default:
		fmt.Fprintln(p.out, "equal: what is stored is what the log says")
	}
}

// modelFlag gives a command --model, with the models of the monitors offered to the shell.
func (p *program) modelFlag(cmd *cobra.Command, model *string) {
	cmd.Flags().StringVar(model, "model", "", "`model` it is about")
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc("model", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		folder := cmd.Flags().Lookup("monitors").Value.String()
		if folder == "" {
			path, overrides := "", map[string]string{}
			if _, err := os.Stat(usualSettings); err == nil {
				path = usualSettings
			}
			if f := cmd.Flags().Lookup("config").Value.String(); f != "" {
				path = f
			}
			s, err := config.Load(path, overrides, p.env)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			folder = s.Monitors
		}
		monitors, _ := config.Monitors(folder) // those that are sound
		names := make([]string, len(monitors))
		for i := range monitors {
			names[i] = monitors[i].Model
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// installation reads settings and monitors for a command that works beside the service.
func (p *program) installation(settings func() (*config.Settings, string, error)) (*config.Settings, []config.Monitor, error) {
	s, _, err := settings()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the settings:\n%w", err)
	}
	monitors, err := config.Monitors(s.Monitors)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the monitors:\n%w", err)
	}
	return s, monitors, nil
}

// quiet is the log of a command: warnings, to standard error.
func (p *program) quiet() zerolog.Logger {
	log, err := telemetry.NewLogger("warn", "console", p.err)
	if err != nil {
		return zerolog.Nop() // of a level and a form that there are, so it does not happen
	}
	return log
}

// between reads --from and --to.
func between(cmd *cobra.Command, from, to string) (a, b time.Time, err error) {
	if a, err = when(cmd, "from", from); err != nil {
		return a, b, err
	}
	if b, err = when(cmd, "to", to); err != nil {
		return a, b, err
	}
	if !a.IsZero() && !b.IsZero() && !a.Before(b) {
		return a, b, usage(cmd, "--from %s is not before --to %s", from, to)
	}
	return a, b, nil
}

// when reads the value of a flag that is a moment; "" is the zero time.
func when(cmd *cobra.Command, flag, value string) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", time.DateOnly} {
		if t, err := time.Parse(layout, value); err == nil {
			return t.UTC(), nil
		}
	}
	if back, err := schemas.ParseDuration(value); err == nil && back > 0 {
		return time.Now().UTC().Add(-time.Duration(back)), nil
	}
	return time.Time{}, usage(cmd, "--%s: %q is no moment; write 2026-11-01, 2026-11-01T06:00:00Z, or how far back as in 48h", flag, value)
}

// progress tells a person how far a long work is, on one line of a terminal
// that it writes over.
type progress struct {
	to   io.Writer
	what string
	last atomic.Int64 // Unix nanoseconds
	said atomic.Bool
}

// progressEvery is the time between two figures.
const progressEvery = 500 * time.Millisecond

// newProgress returns a progress that is silent unless it goes to a terminal.
func newProgress(to io.Writer, what string) *progress {
	f, ok := to.(*os.File)
	if ok {
		info, err := f.Stat()
		ok = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if !ok {
		to = nil
	}
	b := &progress{to: to, what: what}
	b.last.Store(time.Now().UnixNano())
	return b
}

func (b *progress) tell(done, of int64) {
	now := time.Now().UnixNano()
	last := b.last.Load()
	if b.to == nil || now-last < int64(progressEvery) || !b.last.CompareAndSwap(last, now) {
		return
	}
	b.said.Store(true)
	fmt.Fprintf(b.to, "\r%s of about %d %s  ", strconv.FormatInt(done, 10), of, b.what)
}

func (b *progress) end() {
	if b.said.Load() {
		fmt.Fprintln(b.to)
	}
}
