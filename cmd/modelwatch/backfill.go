package main

import (
	"context"
	"fmt"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/internal/app"
	"github.com/modelwatch/modelwatch/internal/config"
)

func (p *program) backfill() *cobra.Command {
	var model, from string
	var dryRun, wait, asJSON bool
	cmd := &cobra.Command{
		Use:   "backfill --model MODEL",
		Short: "Count the past of a model from what Kafka still holds",
		Long: `backfill has the running service count the past of a model: one that was added to
topics that are read already, or one whose baseline or slices have changed. What
Kafka still holds of the partitions is read again, from --from on, and counted
under the monitor as it is now. It says first what is read again.

The past is shown and not told: its windows get their verdicts, and make no
incident, alert or retrain request, whatever they hold. Of a model that was
judged before, all judged windows are past; of a new one those up to now. Windows
of which Kafka no longer holds all events stay as they are. While the service
reads, windows of the model that are open wait to be judged.`,
		Example: `  modelwatch backfill --model flight-delay --dry-run
  modelwatch backfill --model flight-delay --from 2026-11-01 --wait
  modelwatch backfill --model flight-delay --from 168h --json`,
		Args: arguments(0, 0, ""),
	}
	settings := p.settingsFlags(cmd)
	flags := cmd.Flags()
	p.modelFlag(cmd, &model)
	flags.StringVar(&from, "from", "earliest", "first window: a `time` such as 2026-11-01, how far back as in 168h, or earliest")
	flags.BoolVar(&dryRun, "dry-run", false, "only say what would be read")
	flags.BoolVar(&wait, "wait", false, "stay until it is read and judged")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object")
	offer(cmd, "from", "earliest")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if model == "" {
			return usage(cmd, "--model is missing")
		}
		since := ""
		if from != "earliest" {
			since = from
		}
		at, err := when(cmd, "from", since)
		if err != nil {
			return err
		}
		s, monitors, err := p.installation(settings)
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		b, err := app.Backfill(ctx, *s, monitors, model, at, !dryRun, p.quiet())
		if err != nil {
			return fmt.Errorf("backfilling %s: %w", model, err)
		}
		if !asJSON {
			p.backfilled(b)
		}
		if wait && !dryRun {
			if err := p.awaitBackfill(ctx, *s, monitors, b); err != nil {
				return err
			}
		}
		if asJSON {
			return printJSON(p.out, b)
		}
		switch {
		case dryRun:
			fmt.Fprintln(p.out, "nothing was asked for (--dry-run)")
		case wait:
			fmt.Fprintln(p.out, "the past is read and judged")
		default:
			fmt.Fprintf(p.out, "asked for, as spec %d; the same command with --wait tells how far it is\n", b.Spec)
		}
		return nil
	}
	return cmd
}

// backfilled says what is read.
func (p *program) backfilled(b *app.Backfilling) {
	begin := moment(b.From)
	if begin == "" {
		begin = "the earliest event"
	}
	fmt.Fprintf(p.out, "%s is counted from %s on; what starts before %s, or was judged, is past\n", plain(b.Model), begin, moment(b.Until))
	rows := [][]string{{"TOPIC", "PARTITION", "FROM", "UNTIL", "CHUNKS", "EVENTS", "NOTE"}}
	for _, r := range b.Partitions {
		rows = append(rows, []string{
			r.Topic, strconv.Itoa(int(r.Partition)), strconv.FormatInt(r.From, 10), strconv.FormatInt(r.Until, 10), strconv.Itoa(r.Chunks),
			strconv.FormatUint(r.Events, 10), r.Note,
		})
	}
	table(p.out, rows...)
	for _, note := range b.Notes {
		fmt.Fprintln(p.out, plain(note))
	}
}

// awaitBackfill stays until the past is read and judged.
func (p *program) awaitBackfill(ctx context.Context, s config.Settings, monitors []config.Monitor, b *app.Backfilling) error {
	bar := newProgress(p.err, "windows of the past judged")
	defer bar.end()
	for {
		state, err := app.Backfilled(ctx, s, monitors, b, p.quiet())
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("waiting for the backfill of %s, which goes on: %w", b.Model, err)
		}
		if err == nil && state.Done() {
			return nil
		}
		bar.tell(int64(state.Kept), int64(state.Windows))
		select {
		case <-ctx.Done():
			return fmt.Errorf("the backfill of %s goes on without this command; %d of %d partitions are read, %d of %d windows judged",
				b.Model, state.Read, state.Partitions, state.Kept, state.Windows)
		case <-time.After(500 * time.Millisecond):
		}
	}
}
