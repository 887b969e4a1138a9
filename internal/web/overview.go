package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// Bounds of the overview. The worst models come first, so what is cut off is
// the healthiest.
const (
	overviewModels      = 80
	overviewDrawn       = 24
	overviewTransitions = 30
	overviewOpen        = 1000
)

// overview is the content of the page of all models.
type overview struct {
	Headline   string
	Worst      *standing // what the headline is about; nil when all are healthy
	Rest       string
	Models     []modelRow
	More       int // models that are not listed
	Undrawn    int // listed models without a drawing
	Feed       []feedRow
	FeedNote   string
	Monitor    []pair
	Checks     []check
	Troubles   []string // parts that could not be read
	Budget     []budgetRow
	BudgetMore int // models that are not listed
}

type modelRow struct {
	standing
	First    bool // of its state
	Incident *incidentLink
	Spark    *spark
	Rate     string
	RateOf   string
	Last     moment
	LastAge  string
	Versions []string
	More     int // versions that are not listed
	Firing   int
}

// incidentLink is an incident as a line of another page.
type incidentLink struct {
	ID, Title, Does, Lasts string
}

type feedRow struct {
	At     moment
	State  string // shape and colour
	Word   string
	Model  string
	ID     string
	Title  string
	Reason string
	Does   string
}

type check struct {
	Name, Problem string
}

// reads runs independent reads of one page at the same time and gathers what
// failed, by name of the part.
type reads struct {
	sync.WaitGroup
	mu     sync.Mutex
	failed map[string]error
}

// read sets to to what get returns, unless that fails.
func read[T any](rs *reads, part string, to *T, get func() (T, error)) {
	rs.Go(func() {
		value, err := get()
		if err == nil {
			*to = value
			return
		}
		rs.mu.Lock()
		defer rs.mu.Unlock()
		if rs.failed == nil {
			rs.failed = map[string]error{}
		}
		rs.failed[part] = err
	})
}

// troubles waits for all reads and names the parts that failed, in order.
func (rs *reads) troubles() []string {
	rs.Wait()
	var parts []string
	for part := range rs.failed {
		parts = append(parts, part)
	}
	slices.Sort(parts)
	return parts
}

func (s *Server) overview(ctx context.Context, _ *http.Request, who reader) (view, error) {
	var (
		all         []schemas.ModelOverview
		open        []schemas.Incident
		progress    []schemas.ProgressRow
		transitions []schemas.TransitionRow
		budget      []schemas.BudgetRow
		rs          reads
	)
	stored := s.deps.Store
	read(&rs, "models", &all, func() ([]schemas.ModelOverview, error) { return stored.Models(ctx) })
	read(&rs, "incidents", &open, func() ([]schemas.Incident, error) {
		return stored.Incidents(ctx, schemas.IncidentFilter{State: schemas.IncidentFiring, Limit: overviewOpen})
	})
	read(&rs, "progress", &progress, func() ([]schemas.ProgressRow, error) { return stored.Progress(ctx) })
	read(&rs, "transitions", &transitions, func() ([]schemas.TransitionRow, error) {
		return stored.Transitions(ctx, schemas.TransitionFilter{Limit: 10 * overviewTransitions})
	})
	read(&rs, "budget", &budget, func() ([]schemas.BudgetRow, error) { return stored.Budget(ctx, "", budgetPeriods) })
	troubles := rs.troubles()
	for _, part := range []string{"models", "incidents"} { // without both no state can be told
		if err := rs.failed[part]; err != nil {
			return view{}, err
		}
	}
	for _, part := range troubles {
		s.log.Warn().Err(rs.failed[part]).Str("part", part).Msg("reading for a page")
	}

	checks, sound := s.checked()
	stands := standings(all, open, s.monitors())
	t := tallied(stands)
	page := overview{Headline: headline(t, sound), Rest: rest(t, schemas.StateOK), Checks: checks, Troubles: troubles}
	if len(stands) > 0 && stands[0].State != schemas.StateOK {
		page.Worst = &stands[0]
		page.Rest = rest(t, stands[0].State)
	}
	page.Models, page.More = modelRows(stands, who)
	page.Undrawn = max(0, len(page.Models)-overviewDrawn)
	latest := who.now
	if e := latestEvent(all); !e.IsZero() {
		latest = e
	}
	page.Feed = feed(transitions, latest.Add(-day), who)
	page.FeedNote = "Event time, up to " + who.at(latest).Text + "."
	for _, m := range s.monitors() {
		for _, rule := range m.Past(who.now) {
			page.Checks = append(page.Checks, check{Name: "rules of " + m.Model, Problem: rule.String() + " is over since " + rule.Until.Format(time.DateOnly) + "."})
		}
	}
	page.Monitor = monitorRows(progress, who)
	page.Budget, page.BudgetMore = budgetRows(budget, s.monitors(), who)
	return view{
		template: "overview", title: page.Headline, here: "/", content: page,
		tally: &t, progress: reading(progress),
	}, nil
}

func (s *Server) monitors() []*schemas.Monitor {
	if s.deps.Monitors == nil {
		return nil
	}
	return s.deps.Monitors()
}

// checked returns the checks of the process by name, and whether all passed.
func (s *Server) checked() (list []check, sound bool) {
	sound = true
	for name, err := range s.checks() {
		c := check{Name: name}
		if err != nil {
			c.Problem, sound = err.Error(), false
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b check) int { return strings.Compare(a.Name, b.Name) })
	return list, sound
}

func latestEvent(all []schemas.ModelOverview) (latest time.Time) {
	for i := range all {
		if all[i].LastEvent.After(latest) {
			latest = all[i].LastEvent
		}
	}
	return latest
}

func modelRows(stands []standing, who reader) (rows []modelRow, more int) {
	more = max(0, len(stands)-overviewModels)
	for i, st := range stands[:len(stands)-more] {
		row := modelRow{standing: st, First: i == 0 || stands[i-1].State != st.State, Last: moment{Text: none}}
		if in := st.Incident; in != nil {
			row.Incident = &incidentLink{ID: in.Incident, Title: in.Title, Does: does(in.Severity)}
			if until := in.Window.End; until.After(in.Onset) {
				row.Incident.Lasts = length(until.Sub(in.Onset))
			}
		}
		if m := st.seen; m != nil {
			row.Last = who.at(m.LastEvent)
			if age := who.now.Sub(m.LastEvent); !m.LastEvent.IsZero() && age >= 0 && age < 2*day {
				row.LastAge = length(age) + " ago"
			}
			row.Firing = m.Firing
			for j, v := range m.Versions {
				if j == 4 {
					row.More = len(m.Versions) - j
					break
				}
				row.Versions = append(row.Versions, v.Version)
			}
			points := perHour(series(statistics("volume"), m.Rows, m.Volume))
			row.Rate, row.RateOf = rate(points)
			if i < overviewDrawn {
				row.Spark = sparkline(points, fmt.Sprintf("rows per hour of %s, %s in the last closed window, %s windows without rows", m.Model, row.Rate, small(len(gaps(points)))))
			}
		}
		rows = append(rows, row)
	}
	return rows, more
}

// perHour brings the rows of windows of any length to rows per hour.
func perHour(points []point) []point {
	for i := range points {
		p := &points[i]
		hours := p.end.Sub(p.start).Hours()
		if hours <= 0 {
			continue
		}
		p.value /= hours
		p.low /= hours
		p.high /= hours
	}
	return points
}

// rate is the value of the last closed window, and what it is of.
func rate(points []point) (value, of string) {
	for i := len(points) - 1; i >= 0; i-- {
		if p := points[i]; !p.open {
			if !p.known {
				return none, "rows an hour: " + p.why
			}
			return number(float64(int64(p.value + 0.5))), "rows an hour"
		}
	}
	return none, "no window has closed"
}

// does says a severity by what it does.
func does(s schemas.Severity) string {
	switch s {
	case schemas.SeverityCritical:
		return "paged"
	case schemas.SeverityWarning:
		return "ticket"
	}
	return "on this page only"
}

func feed(all []schemas.TransitionRow, since time.Time, who reader) []feedRow {
	var rows []feedRow
	for i := range all {
		t := &all[i]
		if t.At.Before(since) || len(rows) == overviewTransitions {
			continue
		}
		row := feedRow{
			At: who.at(t.At), Word: string(t.Transition), Model: t.Alert.Model, ID: t.Incident,
			Title: t.Alert.Title, Reason: t.Reason, Does: does(t.Alert.Severity),
		}
		row.State = shape(t.Transition, t.Alert.Severity, t.Alert.Fault)
		rows = append(rows, row)
	}
	return rows
}

// shape is the sign of a transition.
func shape(t schemas.Transition, s schemas.Severity, f schemas.Fault) string {
	switch t {
	case schemas.TransitionResolved:
		return "ok"
	case schemas.TransitionRevised:
		return "plain"
	}
	return sign(s, f)
}

// sign is that of an open incident.
func sign(s schemas.Severity, f schemas.Fault) string {
	switch {
	case s == schemas.SeverityCritical:
		return "error"
	case blind(f):
		return "unknown"
	case s == schemas.SeverityWarning:
		return "warn"
	}
	return "plain"
}

// reading says in short how far the partitions are read.
func reading(progress []schemas.ProgressRow) string {
	var behind int64
	for i := range progress {
		behind += progress[i].Behind()
	}
	switch {
	case len(progress) == 0:
		return ""
	case behind == 0:
		return "Reading " + partitions(len(progress)) + ", none behind"
	}
	return "Reading " + partitions(len(progress)) + ", " + count(uint64(behind)) + " records behind"
}

func partitions(n int) string {
	if n == 1 {
		return "1 partition"
	}
	return count(uint64(n)) + " partitions"
}

// monitorRows says how the monitor itself does: what it reads, how far it is
// behind, what it refused and when it last stored anything.
func monitorRows(progress []schemas.ProgressRow, who reader) []pair {
	if len(progress) == 0 {
		return []pair{{"Partitions", "None has been read yet."}}
	}
	var furthest, last *schemas.ProgressRow
	var rows, rejected, late uint64
	for i := range progress {
		p := &progress[i]
		rows, rejected, late = rows+p.Rows, rejected+p.Rejected, late+p.Late
		if furthest == nil || p.Behind() > furthest.Behind() {
			furthest = p
		}
		if last == nil || p.At.After(last.At) {
			last = p
		}
	}
	read := count(uint64(len(progress))) + " read · none behind"
	if furthest.Behind() > 0 {
		read = fmt.Sprintf("%d read · furthest behind %s records (`%s/%d`)", len(progress), count(uint64(furthest.Behind())), strings.ReplaceAll(furthest.Topic, "`", "'"), furthest.Partition)
	}
	stored := "last at " + who.at(last.At).Text
	if age := who.now.Sub(last.At); age >= 0 {
		stored += ", " + length(age) + " ago"
	}
	return []pair{
		{"Partitions", read},
		{"Rows", count(rows) + " counted · " + count(late) + " late · " + count(rejected) + " rejected"},
		{"Stored", stored},
	}
}
