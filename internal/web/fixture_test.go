package web_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/modelwatch/modelwatch/internal/web"
	"github.com/modelwatch/modelwatch/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// now is the wall clock of all pages in tests.
var now = time.Date(2026, 11, 20, 14, 19, 8, 0, time.UTC)

// contents is a store whose answers are written down.
type contents struct {
	models      []schemas.ModelOverview
	incidents   []schemas.Incident
	transitions []schemas.TransitionRow
	windows     []schemas.WindowRow
	verdicts    []schemas.Verdict
	violations  []schemas.ViolationRow
	progress    []schemas.ProgressRow
	budget      []schemas.BudgetRow
	marks       []schemas.IncidentMark
	away        map[string]bool // methods that fail
	asked       []schemas.WindowFilter
}

var errAway = errors.New("dial tcp 127.0.0.1:9000: connection refused")

func (c *contents) fails(method string) error {
	if c.away[method] || c.away["all"] {
		return errAway
	}
	return nil
}

func (c *contents) Models(context.Context) ([]schemas.ModelOverview, error) {
	return c.models, c.fails("Models")
}

func (c *contents) Progress(context.Context) ([]schemas.ProgressRow, error) {
	return c.progress, c.fails("Progress")
}

func (c *contents) Incidents(_ context.Context, f schemas.IncidentFilter) (out []schemas.Incident, err error) {
	for _, in := range c.incidents {
		if (f.State == "" || f.State == in.State) && (f.Model == "" || f.Model == in.Model) &&
			(f.Severity == "" || f.Severity == in.Severity) && len(out) < f.Limit {
			out = append(out, in)
		}
	}
	return out, c.fails("Incidents")
}

func (c *contents) Incident(_ context.Context, id string) (schemas.Incident, bool, error) {
	i := slices.IndexFunc(c.incidents, func(in schemas.Incident) bool { return in.Incident == id })
	if err := c.fails("Incident"); i < 0 || err != nil {
		return schemas.Incident{}, false, err
	}
	return c.incidents[i], true, nil
}

func (c *contents) Budget(_ context.Context, model string, limit int) (out []schemas.BudgetRow, err error) {
	for _, r := range c.budget {
		if (model == "" || r.Model == model) && len(out) < limit {
			out = append(out, r)
		}
	}
	return out, c.fails("Budget")
}

func (c *contents) Marks(_ context.Context, model string) (out []schemas.IncidentMark, err error) {
	for _, m := range c.marks {
		if m.Model == model {
			out = append(out, m)
		}
	}
	return out, c.fails("Marks")
}

func (c *contents) Mark(_ context.Context, m schemas.IncidentMark) error {
	if err := c.fails("Mark"); err != nil {
		return err
	}
	c.marks = append(c.marks, m)
	return nil
}

func (c *contents) Transitions(_ context.Context, f schemas.TransitionFilter) (out []schemas.TransitionRow, err error) {
	for _, t := range c.transitions {
		if (f.Incident == "" || f.Incident == t.Incident) && len(out) < f.Limit {
			out = append(out, t)
		}
	}
	return out, c.fails("Transitions")
}

func (c *contents) Windows(_ context.Context, f schemas.WindowFilter) (out []schemas.WindowRow, err error) {
	c.asked = append(c.asked, f)
	for _, w := range c.windows {
		if w.Model == f.Model && (len(f.Features) == 0 || slices.Contains(f.Features, w.Feature)) && len(out) < f.Limit {
			out = append(out, w)
		}
	}
	return out, c.fails("Windows")
}

func (c *contents) Verdicts(_ context.Context, f schemas.VerdictFilter) (out []schemas.Verdict, err error) {
	for _, v := range c.verdicts {
		if slices.Contains(f.Features, v.Feature) && len(out) < f.Limit {
			out = append(out, v)
		}
	}
	return out, c.fails("Verdicts")
}

func (c *contents) Violations(context.Context, schemas.ViolationFilter) ([]schemas.ViolationRow, error) {
	return c.violations, c.fails("Violations")
}

func ptr[T any](v T) *T { return &v }

// hourly returns a day and night of traffic, up to the hour before now.
func hourly(model string, hours int, peak float64) (rows []schemas.WindowRow, volume []schemas.Verdict) {
	last := now.Truncate(time.Hour)
	for i := range hours {
		start := last.Add(time.Duration(i-hours) * time.Hour)
		usual := peak * (0.55 + 0.45*math.Sin(float64(start.Hour()-8)*math.Pi/12))
		n := uint64(usual * (1 + 0.06*math.Sin(float64(i*i))))
		rows = append(rows, schemas.WindowRow{
			Model: model, Start: start, End: start.Add(time.Hour), Role: "rows", Feature: "features", Rows: n, Closed: true,
		})
		volume = append(volume, schemas.Verdict{
			Stream: schemas.Stream{Role: schemas.RoleRows, Feature: "features"}, Start: start.UnixMilli(), Channel: "volume",
			State: schemas.StateOK, Low: usual * 0.85, Expected: usual, High: usual * 1.15, N: n,
		})
	}
	return rows, volume
}

func overviewOf(model string, peak float64) schemas.ModelOverview {
	m := schemas.ModelOverview{
		Model: model, LastEvent: now.Add(-3 * time.Second),
		Versions: []schemas.VersionSeen{{Version: "v3", Rows: 20000, Last: now}},
		Judged:   schemas.Interval{Start: now.Truncate(time.Hour).Add(-time.Hour), End: now.Truncate(time.Hour)},
		States:   schemas.StateCounts{OK: 44},
	}
	m.Rows, m.Volume = hourly(model, 48, peak)
	return m
}

const swapID = "flight-delay-20261120T1205-7c1e"

// airport is a store with a page, a ticket, two models that cannot be judged
// and two that are healthy, one of them only in part.
func airport() *contents {
	c := &contents{}
	for back := range 2 {
		period := time.Date(2026, 11, 5, 0, 0, 0, 0, time.UTC).AddDate(0, 0, -30*back)
		c.budget = append(c.budget,
			schemas.BudgetRow{Model: "flight-delay", Severity: schemas.SeverityCritical, PeriodStart: period, Stated: .25, Sent: uint64(1 + back), MarkedTrue: 1, MarkedFalse: uint64(back)},
			schemas.BudgetRow{Model: "flight-delay", Severity: schemas.SeverityWarning, PeriodStart: period, Stated: 4})
	}
	c.marks = []schemas.IncidentMark{{Incident: swapID, Model: "flight-delay", Verdict: schemas.MarkTrue, By: "ann", At: now.Add(-time.Minute), Note: "the feed <was> wrong"}}
	onset := time.Date(2026, 11, 20, 12, 5, 11, 0, time.UTC)
	swap := schemas.Incident{
		Incident: swapID, Model: "flight-delay", Version: "v3", Severity: schemas.SeverityCritical, State: schemas.IncidentFiring,
		Fault: schemas.FaultSwap, RunnerUp: &schemas.RunnerUp{Fault: schemas.FaultDrift, Score: 0.1},
		Columns: []string{"dewpoint", "temp"}, Title: "`temp` and `dewpoint` are swapped since 12:05",
		Onset: onset, Detected: onset.Add(41 * time.Second), Updated: now, Messages: 2,
		Effect: schemas.Effect{SD: ptr(1.81)}, Window: schemas.Interval{Start: now.Truncate(time.Hour).Add(-time.Hour), End: now.Truncate(time.Hour)},
	}
	swap.Evidence = []schemas.Evidence{
		{Column: "temp", Statistic: "wasserstein_sd", Value: 1.54, Expected: ptr(0.08), P: ptr(1e-40), Rows: 2092, Window: swap.Window, Detail: "exchanging the two removes 85% of the distance"},
		{Column: "dewpoint", Statistic: "wasserstein_sd", Value: 1.81, Expected: ptr(0.07), P: ptr(3e-5), Rows: 2092, Window: swap.Window},
		{Column: "temp", Slice: "origin=PIT", Statistic: "bad_rate", Value: 0.041, Rows: 15, Window: swap.Window},
	}
	nulls := schemas.Incident{
		Incident: "delay-minutes-20261120T1120-00aa", Model: "delay-minutes", Version: "v7", Severity: schemas.SeverityWarning, State: schemas.IncidentFiring,
		Fault: schemas.FaultNulls, Columns: []string{"visibility"}, Slices: []string{"origin=DEN"}, Title: "4.1% of `visibility` is null for origin=DEN since 11:20",
		Onset: onset.Add(-45 * time.Minute), Detected: onset, Updated: now, Messages: 1, Effect: schemas.Effect{Share: ptr(0.041)},
		Window: swap.Window,
	}
	quiet := schemas.Incident{
		Incident: "fare-quote-20261120T1341-0b0b", Model: "fare-quote", Version: "", Severity: schemas.SeverityWarning, State: schemas.IncidentFiring,
		Fault: schemas.FaultNoData, Title: "No data since 13:41", Onset: now.Add(-38 * time.Minute), Detected: now.Add(-28 * time.Minute), Updated: now, Messages: 1,
	}
	over := schemas.Incident{
		Incident: "bag-claim-20261119T0912-1c1c", Model: "bag-claim", Version: "v2", Severity: schemas.SeverityWarning, State: schemas.IncidentResolved,
		Fault: schemas.FaultVolume, Title: "Volume of `bag-claim` fell by half", Onset: now.Add(-29 * time.Hour), Detected: now.Add(-28 * time.Hour),
		Resolved: now.Add(-5 * time.Hour), Updated: now, Messages: 2,
	}
	c.incidents = []schemas.Incident{swap, nulls, quiet, over}

	flight, minutes, fare := overviewOf("flight-delay", 1075), overviewOf("delay-minutes", 787), overviewOf("fare-quote", 150)
	flight.Firing, minutes.Firing, fare.Firing = 1, 1, 1
	flight.Versions = append(flight.Versions, schemas.VersionSeen{Version: "v4", Rows: 300})
	fare.LastEvent = quiet.Onset
	fare.Rows, fare.Volume = fare.Rows[:40], fare.Volume[:40]
	last := len(fare.Volume) - 1
	fare.Volume[last].State, fare.Volume[last].Reason = schemas.StateUnknown, "too few rows"
	learning := overviewOf("missed-connection", 186)
	learning.Judged, learning.States, learning.Volume = schemas.Interval{}, schemas.StateCounts{}, nil
	learning.Unknown = []schemas.UnknownReason{{Reason: "learning: day 19 of 28", Count: 30}}
	noShow := overviewOf("no-show", 335)
	noShow.States = schemas.StateCounts{OK: 40, Warn: 1, Unknown: 3}
	noShow.Unknown = []schemas.UnknownReason{{Reason: "too few rows", Count: 2}, {Reason: "labels missing", Count: 1}}
	noShow.Worst = &schemas.Verdict{Stream: schemas.Stream{Feature: "price"}, State: schemas.StateWarn}
	c.models = []schemas.ModelOverview{overviewOf("bag-claim", 202), minutes, fare, flight, learning, noShow}

	alert := func(in schemas.Incident) schemas.Alert {
		return schemas.Alert{
			Incident: in.Incident, Severity: in.Severity, Model: in.Model, Fault: in.Fault, Title: in.Title,
			Replay: schemas.Replay{Spec: "sha256:5be1c0d4aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa91aa", Offsets: []schemas.OffsetRange{
				{Topic: "flights.features", Partition: 3, From: 88412907, To: 88413467}, {Topic: "flights.features", Partition: 7, From: 88371678, To: 88371900},
			}},
		}
	}
	c.transitions = []schemas.TransitionRow{
		{Incident: quiet.Incident, Seq: 1, Transition: schemas.TransitionFiring, At: quiet.Detected, Sent: quiet.Detected.Add(time.Second), Alert: alert(quiet)},
		{Incident: swapID, Seq: 2, Transition: schemas.TransitionUpdated, At: onset.Add(5 * time.Minute), Reason: "every origin is affected", Alert: alert(swap)},
		{Incident: swapID, Seq: 1, Transition: schemas.TransitionFiring, At: swap.Detected, Sent: swap.Detected.Add(time.Second), Alert: alert(swap)},
		{Incident: nulls.Incident, Seq: 1, Transition: schemas.TransitionFiring, At: nulls.Detected, Sent: now, Alert: alert(nulls)},
		{Incident: over.Incident, Seq: 2, Transition: schemas.TransitionResolved, At: over.Resolved, Sent: over.Resolved, Reason: "12 windows in a row were healthy", Alert: alert(over)},
		{Incident: over.Incident, Seq: 1, Transition: schemas.TransitionFiring, At: over.Detected, Sent: over.Detected, Alert: alert(over)},
	}
	for _, column := range []string{"temp", "dewpoint"} {
		for i := range 28 {
			start := now.Truncate(time.Hour).Add(time.Duration(i-27) * time.Hour)
			if i == 7 || i == 8 {
				continue // nothing came
			}
			w := schemas.WindowRow{
				Model: "flight-delay", Version: "v3", Role: "feature", Feature: column, Start: start, End: start.Add(time.Hour),
				Rows: 1000 + uint64(i), Present: 1000, Mean: ptr(50.0), Revision: uint64(i), Closed: i < 27,
			}
			c.windows = append(c.windows, w)
			v := schemas.Verdict{
				Stream: schemas.Stream{Version: "v3", Role: schemas.RoleFeature, Feature: column}, Start: start.UnixMilli(), Channel: "location",
				State: schemas.StateOK, Effect: 0.07 + 0.03*math.Sin(float64(i)), Low: 0, Expected: 0.07, High: 0.25, P: 0.4, N: 1000,
			}
			switch {
			case i == 27:
				continue // not closed, so not judged
			case i >= 25:
				v.State, v.Effect, v.P = schemas.StateError, 1.4+0.1*float64(i-24), 1e-30
			case i == 15:
				v.State, v.Reason = schemas.StateUnknown, "too few rows: 12 of 100"
			}
			c.verdicts = append(c.verdicts, v)
		}
	}
	c.violations = []schemas.ViolationRow{
		{Model: "flight-delay", Version: "v3", Fault: schemas.FaultRule, Feature: "temp", Value: "31.9", Reason: "dewpoint ≤ temp does not hold", Time: onset, Topic: "flights.features", Partition: 3, Offset: 88412907},
		{Model: "flight-delay", Version: "v3", Fault: schemas.FaultRule, Feature: "secret", Value: "4111-1111", Reason: "4111-1111 is not expected", Time: onset, Topic: "flights.features", Partition: 7, Offset: 88371678},
	}
	for i := range 4 {
		c.progress = append(c.progress, schemas.ProgressRow{
			Topic: "flights.features", Partition: int32(i), Offset: 1000, HighWatermark: 1000 + int64(i%2)*12, Rows: 90000, Rejected: 3, Late: 7, At: now.Add(-2 * time.Second),
		})
	}
	return c
}

func monitors() []*schemas.Monitor {
	return []*schemas.Monitor{
		{Model: "flight-delay", Owner: "travel-ml", Topics: []string{"flights.features"}, Window: schemas.Duration(time.Hour), Budget: schemas.DefaultMonitor().Budget, Runbook: "https://runbooks.example/swap", Features: map[string]schemas.Feature{"secret": {Sensitive: true}}},
		{Model: "turnaround", Owner: "airport-ops", Topics: []string{"ops.turn", "ops.labels"}},
	}
}

func deps(c *contents) web.Deps {
	return web.Deps{
		Store: c, Mark: c.Mark, Monitors: monitors, Now: func() time.Time { return now }, Version: "1.0.0", Log: zerolog.Nop(),
		Ready: func() map[string]error { return map[string]error{"kafka": nil, "store": nil} },
	}
}

// start runs a server and returns its address; it is stopped with the test.
func start(t testing.TB, cfg web.Config, d web.Deps) string {
	t.Helper()
	s, err := web.New(cfg, d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	addr := s.Addr(ctx)
	if addr == "" {
		t.Fatal("the server does not listen")
	}
	scheme := "http"
	if cfg.TLSCert != "" {
		scheme = "https"
	}
	return fmt.Sprintf("%s://%s", scheme, addr)
}

func here() web.Config { return web.Config{Listen: "127.0.0.1:0"} }
