package main

import (
	"context"
	"fmt"
	"math"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/internal/app"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/schemas"
)

// rewound is how far one partition of a rewind is, as it is printed.
type rewound struct {
	Rewind    uint64    `json:"rewind"`
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	From      int64     `json:"from"`
	Until     int64     `json:"until"`
	Chunks    uint64    `json:"chunks"`
	Done      uint64    `json:"done"`
	Pending   int64     `json:"pending,omitempty"` // offset of the first chunk that was not read again
	Asked     time.Time `json:"asked"`
	Reason    string    `json:"reason,omitempty"`
}

func (p *program) rewind() *cobra.Command {
	var model, topic, from, reason string
	var partitions []int32
	var dryRun, wait, status, asJSON bool
	cmd := &cobra.Command{
		Use:   "rewind (--topic TOPIC | --model MODEL) --from PLACE",
		Short: "Have partitions read again",
		Long: `rewind has the running service read partitions again from an offset or a time:
after rows were deleted or damaged in ClickHouse, or after what could not be read
can be read again. It begins at the start of the chunk that holds the place, and
says first what is read again: partitions, offsets, chunks, events.

Stored rows are a function of the log, so reading again gives the same rows, and
puts right those that are not. Each request is seen to once, by whichever replica
reads the partition, also when replicas come, go or are killed meanwhile; without
a running service it waits for one. Windows that were judged are shown as they
are now, and where a verdict flips one message ` + "`revised`" + ` is sent; nothing else
that was decided changes.`,
		Example: `  modelwatch rewind --topic flights.features --partition 3 --from 1200000 --dry-run
  modelwatch rewind --topic flights.features --from 2026-11-20T06:00:00Z --wait
  modelwatch rewind --model flight-delay --from 48h --reason "table partition lost"
  modelwatch rewind --status`,
		Args: arguments(0, 0, ""),
	}
	settings := p.settingsFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&topic, "topic", "", "`topic` to read again")
	p.modelFlag(cmd, &model)
	flags.Int32SliceVar(&partitions, "partition", nil, "only these `partitions` of the topic")
	flags.StringVar(&from, "from", "", "`place` to begin at: an offset, a record time such as 2026-11-20T06:00:00Z, how far back as in 48h, or earliest")
	flags.StringVar(&reason, "reason", "", "`text` to keep with it")
	flags.BoolVar(&dryRun, "dry-run", false, "only say what would be read again")
	flags.BoolVar(&wait, "wait", false, "stay until it is done")
	flags.BoolVar(&status, "status", false, "list the latest rewinds and how far they are")
	flags.BoolVar(&asJSON, "json", false, "print one JSON object")
	offer(cmd, "from", "earliest")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		if status {
			s, _, err := settings()
			if err != nil {
				return fmt.Errorf("reading the settings:\n%w", err)
			}
			return p.rewinds(ctx, *s, asJSON)
		}
		cfg, err := rewindFlags(cmd, model, topic, from, partitions)
		if err != nil {
			return err
		}
		cfg.Reason = reason
		s, _, err := settings()
		if err != nil {
			return fmt.Errorf("reading the settings:\n%w", err)
		}
		if model != "" {
			if cfg.Topics, err = topicsOf(s.Monitors, model); err != nil {
				return err
			}
		}
		plan, err := app.Rewind(ctx, *s, cfg, !dryRun, p.quiet())
		if plan != nil && !asJSON {
			p.planned(plan)
		}
		if err != nil {
			return fmt.Errorf("rewinding: %w", err)
		}
		if wait && !dryRun {
			if err := p.await(ctx, *s, plan); err != nil {
				return err
			}
		}
		if asJSON {
			return printJSON(p.out, plan)
		}
		switch {
		case dryRun:
			fmt.Fprintln(p.out, "nothing was asked for (--dry-run)")
		case wait:
			fmt.Fprintf(p.out, "rewind %d is done\n", plan.Rewind)
		default:
			fmt.Fprintf(p.out, "rewind %d is asked for; `modelwatch rewind --status` tells how far it is\n", plan.Rewind)
		}
		return nil
	}
	return cmd
}

// rewindFlags checks what is to be read again.
func rewindFlags(cmd *cobra.Command, model, topic, from string, partitions []int32) (app.RewindConfig, error) {
	cfg := app.RewindConfig{Partitions: partitions, Offset: -1}
	switch {
	case (model == "") == (topic == ""):
		return cfg, usage(cmd, "give either --topic or --model")
	case from == "":
		return cfg, usage(cmd, "--from is missing")
	case len(partitions) > 0 && topic == "":
		return cfg, usage(cmd, "--partition goes with --topic")
	}
	slices.Sort(cfg.Partitions)
	cfg.Partitions = slices.Compact(cfg.Partitions)
	if len(cfg.Partitions) > 0 && cfg.Partitions[0] < 0 {
		return cfg, usage(cmd, "--partition: %d is below 0", cfg.Partitions[0])
	}
	cfg.Topics = []string{topic}
	if from == "earliest" {
		return cfg, nil
	}
	if n, err := strconv.ParseInt(from, 10, 64); err == nil && n >= 0 {
		if len(cfg.Partitions) != 1 {
			return cfg, usage(cmd, "--from %d is an offset, which is one of a single --partition", n)
		}
		cfg.Offset = n
		return cfg, nil
	}
	at, err := when(cmd, "from", from)
	cfg.Time = at
	return cfg, err
}

// topicsOf lists the topics of a model, as its monitor in that folder names them.
func topicsOf(folder, model string) ([]string, error) {
	monitors, err := config.Monitors(folder)
	if err != nil {
		return nil, fmt.Errorf("reading the monitors:\n%w", err)
	}
	var names []string
	for i := range monitors {
		if monitors[i].Model == model {
			return monitors[i].Topics, nil
		}
		names = append(names, monitors[i].Model)
	}
	return nil, fmt.Errorf("there is no monitor of model %s; %s", model, schemas.DidYouMean(model, names))
}

// planned says what is read again.
func (p *program) planned(plan *app.Rewinding) {
	rows := [][]string{{"TOPIC", "PARTITION", "FROM", "UNTIL", "CHUNKS", "EVENTS", "NOTE"}}
	chunks, events := 0, uint64(0)
	for _, r := range plan.Partitions {
		rows = append(rows, []string{
			r.Topic, strconv.Itoa(int(r.Partition)), strconv.FormatInt(r.From, 10), strconv.FormatInt(r.Until, 10), strconv.Itoa(r.Chunks),
			strconv.FormatUint(r.Events, 10), r.Note,
		})
		chunks, events = chunks+r.Chunks, events+r.Events
	}
	table(p.out, rows...)
	fmt.Fprintf(p.out, "%s of %s are read again, with %s counted so far\n", count(chunks, "chunk"), count(len(plan.Partitions), "partition"), count(int(events), "event"))
}

// rewinds lists the latest rewinds.
func (p *program) rewinds(ctx context.Context, s config.Settings, asJSON bool) error {
	found, err := app.Rewinds(ctx, s, listed, p.quiet())
	if err != nil {
		return fmt.Errorf("reading how far rewinds are: %w", err)
	}
	list := make([]rewound, 0, len(found))
	for i := range found {
		list = append(list, shownRewind(&found[i]))
	}
	if asJSON {
		return printJSON(p.out, struct {
			Rewinds []rewound `json:"rewinds"`
		}{list})
	}
	if len(list) == 0 {
		fmt.Fprintln(p.out, "nothing was ever asked to be read again")
		return nil
	}
	rows := [][]string{{"REWIND", "TOPIC", "PARTITION", "FROM", "UNTIL", "STATE", "ASKED", "REASON"}}
	for _, r := range list {
		rows = append(rows, []string{
			strconv.FormatUint(r.Rewind, 10), r.Topic, strconv.Itoa(int(r.Partition)), strconv.FormatInt(r.From, 10), strconv.FormatInt(r.Until, 10), r.state(), moment(r.Asked), r.Reason,
		})
	}
	table(p.out, rows...)
	return nil
}

// listed is how many partitions of rewinds --status lists at most.
const listed = 200

func shownRewind(r *schemas.RewindState) rewound {
	return rewound{r.Seq, r.Topic, r.Partition, r.From, r.Until, r.Chunks, r.Done, r.Pending, r.At, r.Reason}
}

func (r *rewound) state() string {
	if r.Done == r.Chunks {
		return "done"
	}
	return fmt.Sprintf("%d of %d chunks, at offset %d", r.Done, r.Chunks, r.Pending)
}

// await stays until all of a rewind has been read again.
func (p *program) await(ctx context.Context, s config.Settings, plan *app.Rewinding) error {
	bar := newProgress(p.err, "chunks read again")
	defer bar.end()
	for {
		states, err := app.Rewinds(ctx, s, math.MaxInt32, p.quiet())
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("waiting for rewind %d, which goes on: %w", plan.Rewind, err)
		}
		var done, of uint64
		var left []string
		for i := range states {
			if r := &states[i]; r.Seq == plan.Rewind {
				done, of = done+r.Done, of+r.Chunks
				if r.Done < r.Chunks {
					left = append(left, fmt.Sprintf("%s/%d", r.Topic, r.Partition))
				}
			}
		}
		if err == nil && done == of {
			return nil
		}
		bar.tell(int64(done), int64(of))
		select {
		case <-ctx.Done():
			return fmt.Errorf("rewind %d goes on without this command; %d of %d chunks are done, not all of %s", plan.Rewind, done, of, strings.Join(left, ", "))
		case <-time.After(500 * time.Millisecond):
		}
	}
}
