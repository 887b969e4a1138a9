package backtest

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/modelwatch/modelwatch/internal/web"
	"github.com/modelwatch/modelwatch/schemas"
)

//go:embed templates/report.html
var templates embed.FS

// page is what the template shows.
type page struct {
	Report   *Report
	Sheet    template.CSS
	Source   string
	Title    string
	Lead     string
	Figures  []fact
	Timeline timeline
	Groups   []group
	Known    []knownLine
	Budgets  []budgetLine
	Cannot   []string
	Made     []fact
}

type fact struct{ Name, Value string }

// group is the alerts of one kind.
type group struct {
	Head, About, None string
	Alerts            []told
	Left              int
}

// told is one alert as a person reads it.
type told struct {
	Day, Clock, Kind string
	Title            []word
	Why, Until       string
	Mark, Note       string
	Spark            *spark
}

// word is a piece of a title; names of columns stand in backticks there.
type word struct {
	Text string
	Code bool
}

type knownLine struct{ From, To, Columns, Note, State, Delay string }

type budgetLine struct {
	Name                           string
	Pages, Tickets                 Tally
	PagesRealised, PagesStated     string
	TicketsRealised, TicketsStated string
	Found                          string
}

// timeline is the drawing of the whole stretch.
type timeline struct {
	Height, Bottom int
	Finding        string
	Known, Gaps    []box
	Lanes          []lane
	Bars, Days     []box
	Dots           []box
	Ticks          []tick
}

// box is a rectangle or a point: x and width in percent, y and height in pixels.
type box struct {
	X, Width, Class, Title string
	Y, Height              string
}

type lane struct {
	Name    string
	Y, Line int
}

type tick struct{ X, Name, Class, Anchor string }

// maxShown is how many alerts of one kind have a line of their own.
const maxShown = 200

// HTML writes the report as one page that needs nothing from elsewhere. All
// names and notes in it are text, whatever they hold.
func HTML(r *Report) ([]byte, error) {
	form, err := template.ParseFS(templates, "templates/report.html")
	if err != nil {
		return nil, fmt.Errorf("reading the template of the report: %w", err)
	}
	mine := &r.Runs[0]
	p := page{
		Report: r, Sheet: template.CSS(web.Sheet()), Title: title(mine), Lead: Promise(mine), Timeline: draw(r, mine), Cannot: cannot(r),
		Source: fmt.Sprintf("%s · %s to %s, %s days", r.Source, clock(r.From), clock(r.To), short(math.Round(r.Days*10)/10)),
	}
	if r.Rows > 0 {
		p.Source += ", " + strconv.FormatInt(r.Rows, 10) + " rows"
	}
	p.Figures = []fact{
		{"pages", strconv.Itoa(mine.Pages.Sent)},
		{"tickets, nobody woken", strconv.Itoa(mine.Tickets.Sent)},
		{"pages not shown to be true, per 30 days; stated " + short(mine.Pages.Stated), fmt.Sprintf("%.2f", mine.Pages.Realised)},
		{"tickets not shown to be true, per 30 days; stated " + short(mine.Tickets.Stated), fmt.Sprintf("%.2f", mine.Tickets.Realised)},
	}
	if found := FoundOf(mine); found != "" {
		p.Figures = append(p.Figures, fact{"known incidents found", found})
	}
	for _, g := range []struct {
		kind              Kind
		head, about, none string
	}{
		{Page, "The pages", "Each as it would have read. The picture is the stream behind it on its healthy range; the red line is when it was said.", "Nobody would have been woken."},
		{Ticket, "The tickets", "For working hours.", "There would have been no ticket."},
	} {
		p.Groups = append(p.Groups, r.group(mine, g.kind, g.head, g.about, g.none))
	}
	for i := range r.Known {
		p.Known = append(p.Known, r.knownLine(i, &mine.Known[i]))
	}
	for i := range r.Runs {
		run := &r.Runs[i]
		p.Budgets = append(p.Budgets, budgetLine{
			Name: BudgetName(run.Budget), Pages: run.Pages, Tickets: run.Tickets,
			PagesRealised: fmt.Sprintf("%.2f", run.Pages.Realised), PagesStated: short(run.Pages.Stated),
			TicketsRealised: fmt.Sprintf("%.2f", run.Tickets.Realised), TicketsStated: short(run.Tickets.Stated), Found: FoundOf(run),
		})
	}
	p.Made = []fact{{"Source", r.Source}, {"Row function", r.Spec}}
	if r.Baseline != "" {
		p.Made = append(p.Made, fact{"Baseline", r.Baseline})
	}
	if r.Reference != nil {
		p.Made = append(p.Made, fact{"Learnt from", clock(r.Reference.Start) + " to " + clock(r.Reference.End)})
	}
	for _, part := range schemas.Parts {
		if n := r.Windows[part.String()]; n > 0 {
			p.Made = append(p.Made, fact{"Windows of the " + part.String(), fmt.Sprintf("%d of %s", n, r.Window)})
		}
	}
	var out bytes.Buffer
	if err := form.Execute(&out, p); err != nil {
		return nil, fmt.Errorf("writing the report: %w", err)
	}
	return out.Bytes(), nil
}

func title(run *Run) string {
	switch n := run.Pages.Sent; {
	case n == 1:
		return "Had this been running, one page would have been sent"
	case n > 0:
		return fmt.Sprintf("Had this been running, %d pages would have been sent", n)
	case run.Tickets.Sent > 0:
		return "Had this been running, nobody would have been paged"
	}
	return "Had this been running, nothing would have been said"
}

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 Jan 2006 15:04")
}

// group shows the alerts of a kind.
func (r *Report) group(run *Run, kind Kind, head, about, none string) group {
	g := group{Head: head, About: about, None: none}
	for i := range run.Alerts {
		a := &run.Alerts[i]
		if a.Kind != kind {
			continue
		}
		if len(g.Alerts) == maxShown {
			g.Left++
			continue
		}
		t := told{Day: a.At.UTC().Format("Mon 2 Jan"), Clock: a.At.UTC().Format("15:04"), Kind: string(a.Kind), Title: words(a.Title), Why: Why(a), Until: "Still open at the end."}
		if a.Escalation {
			t.Kind += ", escalated"
		}
		if a.Resolved != nil {
			t.Until = "Over at " + clock(*a.Resolved) + "."
		}
		if a.RunnerUp != nil {
			t.Until += fmt.Sprintf(" Runner-up: %s (%.2f).", a.RunnerUp.Fault, a.RunnerUp.Score)
		}
		switch a.Mark {
		case Hit:
			t.Mark = "True"
		case Again:
			t.Mark = "True, and told before"
		case False:
			t.Mark, t.Note = "Not shown to be true", "it fits no incident that is known"
		}
		var notes []string
		for _, n := range a.Fits {
			notes = append(notes, cmpNote(&r.Known[n]))
		}
		if len(notes) > 0 {
			t.Note = strings.Join(notes, "; ")
		}
		t.Spark = run.spark(a)
		g.Alerts = append(g.Alerts, t)
	}
	return g
}

func cmpNote(k *Known) string {
	if k.Note != "" {
		return k.Note
	}
	return "known from " + clock(k.From)
}

func (r *Report) knownLine(i int, o *Outcome) knownLine {
	k := &r.Known[i]
	l := knownLine{From: clock(k.From), To: clock(k.To), Columns: strings.Join(k.Columns, ", "), Note: k.Note, State: o.State, Delay: "–"}
	switch o.State {
	case Found:
		l.State = "found by a " + string(o.Kind)
	case Outside:
		l.State = "outside of what was judged"
	}
	if o.Delay != nil {
		l.Delay = Length(*o.Delay)
	}
	return l
}

// cannot says what the report leaves open.
func cannot(r *Report) []string {
	out := []string{
		"The budget holds if healthy behaviour stays inside the range learnt from the reference. It bounds alerts that are not true, on average over many stretches, and not the number in this one.",
	}
	if len(r.Known) == 0 {
		out = append(out, "No known incidents were named, so every alert counts as not shown to be true.")
	}
	out = append(out, r.Notes...)
	for i, u := range r.Unjudged {
		if i == 8 {
			out = append(out, fmt.Sprintf("%d more reasons why something was not judged are in the JSON.", len(r.Unjudged)-i))
			break
		}
		out = append(out, fmt.Sprintf("Not judged: %s (%d verdicts of %d streams).", u.Reason, u.Verdicts, u.Streams))
	}
	return out
}

// words splits a title at its `backticks`.
func words(text string) []word {
	var out []word
	for i, piece := range strings.Split(text, "`") {
		if piece != "" {
			out = append(out, word{piece, i%2 == 1})
		}
	}
	return out
}

// The timeline's lanes, in pixels from the top.
const (
	pageLane   = 14
	ticketLane = 44
	daysTop    = 70
	daysHeight = 60
	drawHeight = daysTop + daysHeight
)

// draw makes the timeline of a run.
func draw(r *Report, run *Run) timeline {
	t := timeline{Height: drawHeight, Bottom: drawHeight + 16, Finding: r.finding(run)}
	t.Lanes = []lane{{"pages", pageLane + 4, pageLane}, {"tickets", ticketLane + 4, ticketLane}, {strconv.FormatFloat(100*run.mostOut(), 'f', 1, 64) + "%", daysTop + 4, daysTop}, {"outside", daysTop + daysHeight/2 + 4, -10}}
	x := func(at time.Time) float64 {
		return 100 * min(max(float64(at.Sub(r.From))/float64(r.To.Sub(r.From)), 0), 1)
	}
	span := func(from, to time.Time, least float64) (string, string) {
		a, b := x(from), x(to)
		return percent(min(a, 100-least)), percent(max(b-a, least))
	}
	for i := range r.Known {
		k := &r.Known[i]
		to := k.To
		if to.IsZero() {
			to = r.To
		}
		if run.Known[i].State == Outside {
			continue
		}
		b := box{Title: cmpNote(k)}
		b.X, b.Width = span(k.From, to, 0.3)
		t.Known = append(t.Known, b)
	}
	for i := range run.Alerts {
		a := &run.Alerts[i]
		y := ticketLane
		if a.Kind == Page {
			y = pageLane
		}
		if a.Kind == Note {
			continue
		}
		until := r.To
		if a.Resolved != nil {
			until = *a.Resolved
		}
		b := box{Class: "bar-" + string(a.Kind), Title: a.Title, Y: strconv.Itoa(y - 3), Height: "6"}
		b.X, b.Width = span(a.Onset, until, 0.2)
		t.Bars = append(t.Bars, b)
		t.Dots = append(t.Dots, box{X: percent(x(a.At)), Y: strconv.Itoa(y), Class: "bar-" + string(a.Kind), Title: clock(a.At) + ": " + a.Title})
	}
	most := run.mostOut()
	for _, d := range run.days {
		from := time.UnixMilli(d.start).UTC()
		judged := d.ok + d.out
		b := box{Title: fmt.Sprintf("%s: %d of %d verdicts outside, %d not given", from.Format("2 Jan"), d.out, judged, d.unknown)}
		b.X, b.Width = span(from, from.Add(24*time.Hour-time.Minute), 0.1)
		if judged == 0 {
			b.Y, b.Height = strconv.Itoa(daysTop), strconv.Itoa(daysHeight)
			t.Gaps = append(t.Gaps, b)
			continue
		}
		h := daysHeight * float64(d.out) / float64(judged) / most
		if d.out > 0 {
			h = max(h, 1)
		}
		b.Y, b.Height = coordinate(drawHeight-h), coordinate(h)
		t.Days = append(t.Days, b)
	}
	t.ticks(r, x)
	return t
}

// mostOut is the greatest share of a day that was outside, at least 1 %: what
// the full height of the timeline's last lane stands for.
func (run *Run) mostOut() float64 {
	most := 0.01
	for _, d := range run.days {
		if n := d.ok + d.out; n > 0 {
			most = max(most, float64(d.out)/float64(n))
		}
	}
	return most
}

// finding says what the timeline shows.
func (r *Report) finding(run *Run) string {
	parts := []string{fmt.Sprintf("%s and %s in %s days", plural(float64(run.Pages.Sent), "page"), plural(float64(run.Tickets.Sent), "ticket"), short(math.Round(r.Days*10)/10))}
	if found := FoundOf(run); found != "" {
		parts = append(parts, found+" known incidents found")
	}
	quiet, n := 0, 0
	for _, d := range run.days {
		if d.ok+d.out > 0 {
			n++
			if d.out == 0 {
				quiet++
			}
		}
	}
	parts = append(parts, fmt.Sprintf("%d of %d days without anything outside", quiet, n))
	return strings.Join(parts, "; ") + "."
}

// ticks puts dates under the axis, seven at most.
func (t *timeline) ticks(r *Report, x func(time.Time) float64) {
	step := 1
	for _, n := range []int{1, 2, 7, 14, 28, 91, 364} {
		step = n
		if r.Days/float64(n) <= 7 {
			break
		}
	}
	at := time.Date(r.From.Year(), r.From.Month(), r.From.Day(), 0, 0, 0, 0, time.UTC)
	for ; !at.After(r.To); at = at.AddDate(0, 0, step) {
		if at.Before(r.From) {
			continue
		}
		p := tick{X: percent(x(at)), Name: at.Format("2 Jan"), Anchor: "middle"}
		switch v := x(at); {
		case v < 4:
			p.Anchor = "start"
		case v > 96:
			p.Anchor = "end"
		}
		if len(t.Ticks)%2 == 1 {
			p.Class = "w"
		}
		t.Ticks = append(t.Ticks, p)
	}
}

func percent(x float64) string { return coordinate(x) + "%" }

// coordinate writes a place with at most two decimals.
func coordinate(x float64) string {
	return strconv.FormatFloat(math.Round(x*100)/100, 'f', -1, 64)
}

// spark is the small drawing of the stream behind an alert.
type spark struct {
	Height          int
	Label           string
	Band, Line, Bad string
	X               string // when it was said
}

const sparkHeight = 70

// spark draws the stream of the alert's first column that was outside most
// around it; nil where none was followed.
func (run *Run) spark(a *Alert) *spark {
	k, points := run.behind(a)
	if len(points) < 2 {
		return nil
	}
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range points {
		if p.state == schemas.StateUnknown {
			continue
		}
		low, high = min(low, float64(min(p.value, p.low))), max(high, float64(max(p.value, p.high)))
	}
	if !(high > low) {
		return nil
	}
	from, to := points[0].start, points[len(points)-1].start
	x := func(t int64) string { return coordinate(math.Round(1000 * float64(t-from) / float64(to-from))) }
	y := func(v float32) string {
		return coordinate(math.Round(10*sparkHeight*(1-(float64(v)-low)/(high-low))) / 10)
	}
	s := &spark{Height: sparkHeight, Label: k.Channel + " of " + k.Feature}
	at := min(max(a.At.UnixMilli(), from), to)
	s.X = percent(100 * float64(at-from) / float64(to-from))
	var line, bad, top strings.Builder
	var bottom []string
	joined := false
	for i, p := range points {
		if p.state == schemas.StateUnknown {
			joined = false
			continue
		}
		move := "M"
		if joined {
			move = "L"
		}
		place := x(p.start) + " " + y(p.value)
		line.WriteString(move + place)
		if p.state != schemas.StateOK {
			before := place
			if joined {
				before = x(points[i-1].start) + " " + y(points[i-1].value)
			}
			bad.WriteString("M" + before + "L" + place)
		}
		if top.Len() == 0 {
			top.WriteString("M")
		} else {
			top.WriteString("L")
		}
		top.WriteString(x(p.start) + " " + y(p.high))
		bottom = append(bottom, x(p.start)+" "+y(p.low))
		joined = true
	}
	slices.Reverse(bottom)
	s.Line, s.Bad = line.String(), bad.String()
	s.Band = top.String() + "L" + strings.Join(bottom, "L") + "z"
	return s
}

// behind finds the series of an alert, from three days before its onset to a
// day after it was told.
func (run *Run) behind(a *Alert) (series, []point) {
	from, to := a.Onset.Add(-72*time.Hour).UnixMilli(), a.At.Add(24*time.Hour).UnixMilli()
	var best series
	var points []point
	most := -1
	for _, column := range a.Columns {
		for k, all := range run.series {
			if k.Feature != column {
				continue
			}
			var around []point
			bad := 0
			for _, p := range all {
				if p.start >= from && p.start <= to {
					around = append(around, p)
					if p.state == schemas.StateError || p.state == schemas.StateWarn {
						bad++
					}
				}
			}
			for _, e := range a.Evidence {
				if e.Statistic == k.Channel && e.Column == column {
					bad += 1_000_000 // it is what was told
				}
			}
			if bad > most || bad == most && before(k, best) {
				best, points, most = k, around, bad
			}
		}
		if most > 0 {
			break
		}
	}
	slices.SortStableFunc(points, func(p, q point) int {
		switch {
		case p.start < q.start:
			return -1
		case p.start > q.start:
			return 1
		}
		return 0
	})
	return best, points
}

func before(a, b series) bool {
	if a.Role != b.Role {
		return a.Role < b.Role
	}
	return a.Channel < b.Channel
}
