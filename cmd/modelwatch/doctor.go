package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/evaluate"
	"github.com/modelwatch/modelwatch/schemas"
)

// doctored is what doctor tells of a model.
type doctored struct {
	Model    string        `json:"model"`
	Budget   statedBudget  `json:"budget"`
	Promise  string        `json:"promise"`
	Days     float64       `json:"reference_days"`
	Stages   []stage       `json:"learning"`
	Shifts   []float64     `json:"shifts_sd"` // the sizes that every time_to_detect_hours is of
	Offers   []otherBudget `json:"budgets"`
	Streams  []streamState `json:"streams"`
	Blind    []blindSpot   `json:"blind_spots"`
	Noisiest []remedy      `json:"noisiest"`
}

type statedBudget struct {
	Pages   float64 `json:"pages"`
	Tickets float64 `json:"tickets"`
	Per     string  `json:"per"`
}

type stage struct {
	After   string `json:"after"`
	Reached bool   `json:"reached"`
	Sees    string `json:"sees"`
}

type otherBudget struct {
	statedBudget
	Detect []*float64 `json:"time_to_detect_hours"` // median over the columns; null: not within 30 days
}

type streamState struct {
	Role     string     `json:"role"`
	Feature  string     `json:"feature"`
	Slice    string     `json:"slice"`
	Channel  string     `json:"channel"`
	Rows     float64    `json:"rows_per_window"`
	Noise    float64    `json:"noise"`
	Season   float64    `json:"season_share"`
	DeadZone float64    `json:"dead_zone"`
	Honesty  float64    `json:"honesty_p"`
	Noisy    bool       `json:"noisy"`
	Pages    bool       `json:"may_page"`
	PerMonth float64    `json:"false_tickets_per_30d"` // that the plan allows it
	Detect   []*float64 `json:"time_to_detect_hours"`
}

type blindSpot struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

type remedy struct {
	Stream   string  `json:"stream"`
	DeadZone float64 `json:"dead_zone"`
	Why      string  `json:"why"`
	YAML     string  `json:"yaml"`
}

func (p *program) doctor() *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "doctor MODEL|FILE",
		Short: "Tell what a monitor can see, how soon, and why it is noisy or blind",
		Long: `doctor reads a monitor and its baseline and tells, before anything has happened, how
soon a shift of a tenth to one standard deviation would be found at the budget of
the monitor and at others, what each stream's noise, season and dead zone (the
shift that is still healthy) are, which streams are noisy and what would help, and
what cannot be seen at all. The honesty p of a stream is that of a run over its
own healthy reference; below .05 the dead zone is widened until it is not.

It asks no server. What the service has learnt since is in the view streams.`,
		Example: `  modelwatch doctor flight-delay
  modelwatch doctor monitors/flight-delay.yaml --all
  modelwatch doctor flight-delay --json | jq '.streams[] | select(.noisy)'`,
		Args: arguments(1, 1, "the name of a model, or the path of its monitor file"),
	}
	settings := p.settingsFlags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "list every stream, not only the twenty with the widest dead zones")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object, with every stream")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		m, err := p.monitorNamed(args[0], settings)
		if err != nil {
			return err
		}
		d := evaluate.Diagnose(m.Monitor, m.Spec, m.Baseline, evaluate.DefaultConfig().Statistics)
		out := doctorReport(m, &d)
		if asJSON {
			return printJSON(p.out, out)
		}
		p.doctorText(out, all)
		return nil
	}
	return cmd
}

// monitorNamed finds a monitor by the path of its file, or by its model among
// those of the settings.
func (p *program) monitorNamed(name string, settings func() (*config.Settings, string, error)) (*config.Monitor, error) {
	if _, err := os.Stat(name); err == nil && (strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")) {
		m, err := config.ReadMonitor(name)
		if err != nil {
			return nil, fmt.Errorf("reading the monitor:\n%w", err)
		}
		return m, nil
	}
	s, monitors, err := p.installation(settings)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range monitors {
		if monitors[i].Model == name {
			return &monitors[i], nil
		}
		names = append(names, monitors[i].Model)
	}
	return nil, fmt.Errorf("there is no monitor of model %q in %s; %s", name, s.Monitors, cmp.Or(schemas.DidYouMean(name, names), "give the path of its file"))
}

func doctorReport(m *config.Monitor, d *budget.Diagnosis) *doctored {
	out := &doctored{
		Model: m.Model, Budget: budgetOf(d.Budget), Promise: promise(d.Budget), Days: d.Days, Shifts: budget.Shifts(),
		Streams: []streamState{}, Blind: []blindSpot{}, Noisiest: []remedy{},
	}
	for _, s := range d.Stages {
		out.Stages = append(out.Stages, stage{schemas.Duration(s.After).String(), s.Reached, s.Sees})
	}
	for _, o := range d.Offers {
		out.Offers = append(out.Offers, otherBudget{budgetOf(o.Budget), hours(o.Detect)})
	}
	for _, s := range d.Streams {
		out.Streams = append(out.Streams, streamState{
			s.Role.String(), s.Feature, s.Slice, s.Channel, s.Rows, s.Noise, s.Season, s.Dead, s.Honesty, s.Noisy, s.Pages, s.PerMonth, hours(s.Detect),
		})
	}
	for _, b := range d.Blind {
		out.Blind = append(out.Blind, blindSpot{b.What, b.Why})
	}
	for _, r := range d.Noisiest {
		out.Noisiest = append(out.Noisiest, remedy{r.Key.String(), r.Dead, r.Why, r.YAML})
	}
	return out
}

func budgetOf(b budget.Budget) statedBudget {
	return statedBudget{b.Pages, b.Tickets, schemas.Duration(b.Per).String()}
}

// promise is what a budget says, and what it does not.
func promise(b budget.Budget) string {
	return fmt.Sprintf("At most %g false pages and %g false tickets are expected per %s if healthy behaviour stays inside the range learnt from the reference. "+
		"This is a model-based bound, checked on simulated and real data.", b.Pages, b.Tickets, schemas.Duration(b.Per))
}

// hours writes times to detect; nil for what is not found within 30 days.
func hours(all []time.Duration) []*float64 {
	out := make([]*float64, len(all))
	for i, d := range all {
		if d != budget.Never {
			h := d.Hours()
			out[i] = &h
		}
	}
	return out
}

// shownStreams is how many streams are listed without --all.
const shownStreams = 20

func (p *program) doctorText(d *doctored, all bool) {
	fmt.Fprintf(p.out, "%s: %.3g days of reference\n\n%s\n", plain(d.Model), d.Days, d.Promise)
	var stages [][]string
	for _, s := range d.Stages {
		reached := "not yet"
		if s.Reached {
			reached = "reached"
		}
		stages = append(stages, []string{s.After, reached, s.Sees})
	}
	p.section("What can be seen after", append([][]string{{"TIME", "", "SEES"}}, stages...))

	head := []string{"PAGES", "TICKETS", "PER"}
	for _, s := range d.Shifts {
		head = append(head, sizeOf(s))
	}
	rows := [][]string{head}
	for _, o := range d.Offers {
		rows = append(rows, append([]string{number(o.Pages), number(o.Tickets), o.Per}, delays(o.Detect)...))
	}
	p.section("Time to detect a lasting shift, median over the columns, at this budget and at others", rows)

	streams := slices.Clone(d.Streams)
	slices.SortStableFunc(streams, func(a, b streamState) int { return cmp.Compare(b.DeadZone, a.DeadZone) })
	title := "Streams, the widest dead zones first"
	if !all && len(streams) > shownStreams {
		title = fmt.Sprintf("Streams: the %d of %d with the widest dead zones (--all for all)", shownStreams, len(streams))
		streams = streams[:shownStreams]
	}
	head = []string{"ROLE", "COLUMN", "SLICE", "CHANNEL", "ROWS", "NOISE", "SEASON", "DEAD ZONE", "HONESTY P"}
	for _, s := range d.Shifts {
		head = append(head, sizeOf(s))
	}
	rows = [][]string{head}
	for _, s := range streams {
		rows = append(rows, append([]string{
			s.Role, s.Feature, s.Slice, s.Channel, strconv.FormatFloat(s.Rows, 'f', 0, 64), number(s.Noise), fmt.Sprintf("%.0f%%", 100*s.Season),
			number(s.DeadZone), number(s.Honesty),
		}, delays(s.Detect)...))
	}
	p.section(title, rows)

	rows = [][]string{{"STREAM", "DEAD ZONE", "WHY", "WHAT WOULD HELP"}}
	for _, r := range d.Noisiest {
		rows = append(rows, []string{r.Stream, number(r.DeadZone), r.Why, strings.Join(strings.Fields(r.YAML), " ")})
	}
	p.section("Noisy streams", rows)
	rows = [][]string{{"CANNOT SEE", "BECAUSE"}}
	for _, b := range d.Blind {
		rows = append(rows, []string{b.What, b.Why})
	}
	p.section("Blind spots", rows)
}

func sizeOf(shift float64) string { return strconv.FormatFloat(shift, 'g', -1, 64) + " SD" }

// delays writes times to detect.
func delays(all []*float64) []string {
	out := make([]string, len(all))
	for i, h := range all {
		switch {
		case h == nil:
			out[i] = "-"
		case *h >= 48:
			out[i] = fmt.Sprintf("%.3gd", *h/24)
		case *h >= 1:
			out[i] = fmt.Sprintf("%.3gh", *h)
		default:
			out[i] = fmt.Sprintf("%.3gm", *h*60)
		}
	}
	return out
}
