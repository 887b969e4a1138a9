package backtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/modelwatch/modelwatch/internal/evaluate"
	"github.com/modelwatch/modelwatch/internal/profile"
	"github.com/modelwatch/modelwatch/schemas"
)

// Options say what every backtest has.
type Options struct {
	Monitor  *schemas.Monitor
	Budgets  []Budget // others than the monitor's own
	Known    []Known
	From, To time.Time         // of what is judged, by event time; zero for all
	Progress func(what string) // is told now and then how far it is; nil for nobody
}

// own is the budget of a monitor.
func own(m *schemas.Monitor) Budget { return Budget(m.Budget) }

// MaxBudgets bounds how many budgets are tried at once.
const MaxBudgets = 16

// ParseBudgets reads budgets to be tried beside the monitor's own: pages per
// its period, as in `.25,1,4`, where tickets scale with the pages as in the
// monitor; or pairs of pages and tickets, as in `1/4,2/20`.
func ParseBudgets(text string, m *schemas.Monitor) ([]Budget, error) {
	mine := own(m)
	var out []Budget
	for _, item := range strings.Split(text, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		pages, tickets, pair := strings.Cut(item, "/")
		b := mine
		var err error
		if b.Pages, err = amount(pages); err != nil {
			return nil, fmt.Errorf("%q: %w", item, err)
		}
		switch {
		case pair:
			if b.Tickets, err = amount(tickets); err != nil {
				return nil, fmt.Errorf("%q: %w", item, err)
			}
		case mine.Pages > 0:
			b.Tickets = mine.Tickets * b.Pages / mine.Pages
		default:
			return nil, fmt.Errorf("%q: the monitor accepts no page, so tickets cannot be scaled by pages; write pages/tickets, as in %s/4", item, item)
		}
		out = append(out, b)
	}
	if len(out) > MaxBudgets {
		return nil, fmt.Errorf("%d budgets are too many; at most %d are tried at once", len(out), MaxBudgets)
	}
	return out, nil
}

func amount(s string) (float64, error) {
	x, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(x >= 0) || x > 1e6 {
		return 0, errors.New("a budget is a number of pages, from 0 to 1000000, or pages/tickets; write it like .25,1,4 or 1/4")
	}
	return x, nil
}

// past hands out a stretch of the past, in order of time.
type past func(ctx context.Context, each func(*profile.Stretch) error) error

// judge runs the service's decisions over a past, once for each budget, and
// fills the report with what they say.
func judge(ctx context.Context, o *Options, specs []schemas.SpecRecord, baseline func(hash string) *schemas.Baseline, topic string, of past, r *Report) error {
	budgets := []Budget{own(o.Monitor)}
	for _, b := range o.Budgets {
		if !slices.Contains(budgets, b) {
			budgets = append(budgets, b)
		}
	}
	l := newLedger(topic, specs[len(specs)-1].Seq, len(budgets))
	var evaluators []*evaluate.Evaluator
	var journals []*journal
	for _, b := range budgets {
		monitor := *o.Monitor
		monitor.Budget = schemas.Budget(b)
		monitor.Topics = []string{topic}
		model := evaluate.ModelOf(&monitor, specs)
		cfg := evaluate.DefaultConfig()
		cfg.Writer = "backtest"
		j := newJournal()
		journals = append(journals, j)
		evaluators = append(evaluators, evaluate.New(cfg, evaluate.Deps{
			Windows: l, Signals: l, Journal: j, Models: func() []evaluate.Model { return []evaluate.Model{model} }, Baseline: baseline,
			Owns: func(string) bool { return true }, Partitions: func(string) int { return 1 }, Now: l.clock,
			Stats: &evaluate.Stats{}, Log: zerolog.Nop(),
		}))
	}
	err := of(ctx, func(s *profile.Stretch) error {
		for _, part := range inOrder(s) {
			l.take(&part)
			g, ctx := errgroup.WithContext(ctx)
			for _, e := range evaluators {
				g.Go(func() error { return e.Settle(ctx) })
			}
			if err := g.Wait(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	first := journals[0]
	if !first.hasWindow {
		return errors.New("no window could be judged: the data do not reach from one border of a window to the next; take more of them, or a shorter window")
	}
	r.From, r.To = time.UnixMilli(first.first).UTC(), time.UnixMilli(first.last).UTC()
	r.Days = r.To.Sub(r.From).Hours() / 24
	r.Windows, r.Streams, r.Unjudged = first.windows, len(first.judged), first.reasons()
	for i, j := range journals {
		run := j.result(budgets[i])
		r.mark(&run)
		run.Pages, run.Tickets = r.tally(&run, Page, run.Budget.Pages), r.tally(&run, Ticket, run.Budget.Tickets)
		r.Runs = append(r.Runs, run)
	}
	return nil
}

// inOrder cuts a stretch at its trips: the service learns of each as it
// happens, when the windows that were closed by then are judged. So it does not
// matter how long the stretches are.
func inOrder(s *profile.Stretch) []profile.Stretch {
	trips := slices.Clone(s.Trips)
	slices.SortStableFunc(trips, func(a, b schemas.Trip) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.WindowStart, b.WindowStart), cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Fault, b.Fault), cmp.Compare(a.Feature, b.Feature))
	})
	windows := s.Windows
	var out []profile.Stretch
	for len(trips) > 0 {
		at := trips[0].Time
		n := 1
		for n < len(trips) && trips[n].Time == at {
			n++
		}
		marks := slices.Clone(s.Marks)
		for i := range marks {
			if marks[i].Max == math.MinInt64 {
				continue // never delivered
			}
			marks[i].Max, marks[i].Silent = min(marks[i].Reached(), at), 0
		}
		closed := 0
		for closed < len(windows) && windows[closed].End+windows[closed].Spec.Spec.Lateness.Milliseconds() <= at {
			closed++
		}
		if closed > 0 {
			out = append(out, profile.Stretch{Windows: windows[:closed], Marks: marks})
		}
		out = append(out, profile.Stretch{Trips: trips[:n], Marks: marks})
		windows, trips = windows[closed:], trips[n:]
	}
	return append(out, profile.Stretch{Windows: windows, Marks: s.Marks})
}

// report begins the report of a monitor.
func (o *Options) report(source string) *Report {
	return &Report{
		Format: Format, Model: o.Monitor.Model, Source: source, Window: o.Monitor.Window, Notes: []string{}, Known: list(o.Known),
	}
}

// bounds are the times that were asked for, in Unix milliseconds.
func (o *Options) bounds(from, to int64) (int64, int64) {
	if !o.From.IsZero() {
		from = max(from, o.From.UnixMilli())
	}
	if !o.To.IsZero() {
		to = min(to, o.To.UnixMilli())
	}
	return from, to
}

func (o *Options) tell(format string, values ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, values...))
	}
}
