package web

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Drawings are made of two layers: texts, points and rectangles in percent of
// the width and pixels of the height, and paths in a box of 1000 units that
// is stretched. So one markup fits every width, and no text is ever scaled.
const (
	chartHeight  = 190
	sparkHeight  = 34
	chartPoints  = 350
	sparkPoints  = 60
	chartNumbers = 32 // rows of the table under a chart
	chartDots    = 48 // points with a text of their own; more are one path
)

// chart is a band chart, ready to be written as SVG.
type chart struct {
	Column, Slice string
	Finding       string // what it shows; the caption
	Label         string // the same without markup, for who cannot see it
	Height        int
	Bottom        int // y of the tick labels
	Band          string
	Lines         string
	Bad           string
	Grid          []mark
	Ticks         []mark
	Gaps          []stripe
	Dots          []dot
	BadDots       string // a path of points outside, where there are too many for Dots
	Events        []mark // vertical lines
	Numbers       []figure
	Left          int // windows that are not in Numbers
	Unit          string
	HasBand       bool
	HasBad        bool
	HasOpen       bool
}

// mark is a line or a text at a place: X in percent, Y in pixels.
type mark struct {
	X, Text, Class, Anchor string
	Y, TextY               int
}

type stripe struct{ X, Width, Why string }

type dot struct {
	X, Y, Class, Title string
}

// figure is one window in the table under the chart.
type figure struct {
	Start             moment
	Value, Low, High  string
	N, Late           string
	Judgement, Reason string
	Bad               bool
}

// scale turns values and times into places.
type scale struct {
	from, to  time.Time
	low, high float64
	height    float64
}

func (s scale) x(t time.Time) float64 {
	whole := s.to.Sub(s.from)
	if whole <= 0 {
		return 0
	}
	return min(max(float64(t.Sub(s.from))/float64(whole), 0), 1)
}

func (s scale) y(v float64) float64 {
	if s.high <= s.low {
		return s.height
	}
	return s.height * (1 - min(max((v-s.low)/(s.high-s.low), 0), 1))
}

func (s scale) percent(t time.Time) string { return short(s.x(t)*100) + "%" }

// place is a point of a path.
func (s scale) place(t time.Time, v float64) string {
	return short(math.Round(s.x(t)*1000)) + " " + short(s.y(v))
}

// short writes a coordinate with at most one decimal.
func short(x float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(math.Round(x*10)/10, 'f', -1, 64), ".0")
}

// spread returns the scale that all points and their bands fit on.
func spread(points []point, zero bool, height float64) scale {
	s := scale{from: points[0].start, to: points[len(points)-1].end, low: math.Inf(1), high: math.Inf(-1), height: height}
	add := func(v float64) { s.low, s.high = min(s.low, v), max(s.high, v) }
	for _, p := range points {
		if p.known {
			add(p.value)
		}
		if p.judged {
			add(p.low)
			add(p.high)
		}
	}
	if !finite(s.low) {
		s.low, s.high = 0, 1
	}
	if zero && s.low > 0 {
		s.low = 0
	}
	if s.high == s.low {
		s.high++
	}
	room := (s.high - s.low) * 0.06
	s.high += room
	if !zero || s.low < 0 {
		s.low -= room
	}
	return s
}

// middle is where the value of a window stands.
func middle(p point) time.Time { return p.start.Add(p.end.Sub(p.start) / 2) }

// lines returns the path of the measured values, and of those steps of it
// that lead to or from a value outside.
func lines(points []point, s scale) (all, bad string) {
	var ink, red strings.Builder
	for i, p := range points {
		if i == 0 || !joined(points[i-1], p) {
			if i+1 < len(points) && joined(p, points[i+1]) {
				ink.WriteString("M" + s.place(middle(p), p.value))
			}
			continue
		}
		ink.WriteString("L" + s.place(middle(p), p.value))
		if before := points[i-1]; before.outside || p.outside {
			red.WriteString("M" + s.place(middle(before), before.value) + "L" + s.place(middle(p), p.value))
		}
	}
	return ink.String(), red.String()
}

// bands returns the healthy band, broken wherever nothing was judged.
func bands(points []point, s scale) string {
	var area strings.Builder
	for from := 0; from < len(points); {
		if !points[from].judged {
			from++
			continue
		}
		until := from
		for until+1 < len(points) && points[until+1].judged && !points[until+1].start.After(points[until].end) {
			until++
		}
		top := s.border(points[from:until+1], func(p point) float64 { return p.high })
		bottom := s.border(points[from:until+1], func(p point) float64 { return p.low })
		slices.Reverse(bottom)
		area.WriteString("M" + strings.Join(append(top, bottom...), "L") + "z")
		from = until + 1
	}
	return area.String()
}

// border returns the places of one border of the band, from the start of the
// first window to the end of the last. Where it is level, its ends are enough.
func (s scale) border(points []point, of func(point) float64) []string {
	first, last := points[0], points[len(points)-1]
	out := []string{s.place(first.start, of(first))}
	for i, p := range points {
		y := short(s.y(of(p)))
		level := (i == 0 || short(s.y(of(points[i-1]))) == y) && (i == len(points)-1 || short(s.y(of(points[i+1]))) == y)
		if !level {
			out = append(out, s.place(middle(p), of(p)))
		}
	}
	return append(out, s.place(last.end, of(last)))
}

// draw makes the chart of a series around its onset; nil when there is no
// window to draw.
func draw(st statistic, points []point, onset, resolved, now time.Time, zone *time.Location) *chart {
	if len(points) == 0 {
		return nil
	}
	c := &chart{Height: chartHeight, Bottom: chartHeight + 17, Unit: st.name}
	s := spread(points, st.zero, chartHeight)
	for _, g := range gaps(points) {
		c.Gaps = append(c.Gaps, stripe{X: s.percent(g.from), Width: short((s.x(g.to)-s.x(g.from))*100) + "%", Why: g.why})
	}
	c.table(st, points, onset, now, zone)
	drawn := thin(points, chartPoints)
	c.Band = bands(drawn, s)
	c.Lines, c.Bad = lines(drawn, s)
	outside := 0
	for _, p := range drawn {
		if p.known && p.outside {
			outside++
		}
	}
	for i, p := range drawn {
		alone := p.known && !p.open && (i == 0 || !joined(drawn[i-1], p)) && (i+1 == len(drawn) || !joined(p, drawn[i+1]))
		if !p.known || !p.outside && !p.open && !alone {
			continue
		}
		if outside > chartDots && p.outside && !p.open {
			c.BadDots += "M" + s.place(middle(p), p.value) + "h0"
			continue
		}
		d := dot{X: s.percent(middle(p)), Y: short(s.y(p.value)), Class: "pt", Title: at(p.start, now, zone).Text + ": " + st.format(p.value)}
		if p.outside {
			d.Class += " bad"
			d.Title += ", outside"
		}
		if p.open {
			d.Class += " open"
			d.Title += ", window still open"
		}
		c.Dots = append(c.Dots, d)
	}
	for _, p := range points {
		c.HasBand = c.HasBand || p.judged
		c.HasBad = c.HasBad || p.known && p.outside
		c.HasOpen = c.HasOpen || p.open && p.known
	}
	c.grid(st, s)
	c.ticks(s, zone)
	c.event(s, onset, "on", "began", now, zone)
	if !resolved.IsZero() {
		c.event(s, resolved, "ev", "resolved", now, zone)
	}
	if len(c.Events) == 2 { // side by side, or one would be written over the other on a phone
		c.Events[0].Anchor, c.Events[1].Anchor = "end", "start"
	}
	return c
}

// event draws a vertical line with its name, if its time is within the chart.
func (c *chart) event(s scale, t time.Time, class, name string, now time.Time, zone *time.Location) {
	if t.Before(s.from) || t.After(s.to) {
		return
	}
	m := mark{X: s.percent(t), Text: name + " " + at(t, now, zone).Text, Class: class, Anchor: "middle", Y: chartHeight, TextY: -6}
	if x := s.x(t); x > 0.75 {
		m.Anchor = "end"
	} else if x < 0.25 {
		m.Anchor = "start"
	}
	c.Events = append(c.Events, m)
}

// grid puts at most four lines at round values.
func (c *chart) grid(st statistic, s scale) {
	width := round((s.high - s.low) / 4)
	for i := math.Ceil(s.low / width); i*width <= s.high && len(c.Grid) < 5; i++ {
		y := int(math.Round(s.y(i * width)))
		c.Grid = append(c.Grid, mark{Y: y, TextY: y + 4, Text: axis(st, i*width)})
	}
}

// axis writes a round value as short as it goes.
func axis(st statistic, v float64) string {
	text := st.format(v)
	text = strings.TrimSuffix(text, " sd")
	if rest, ok := strings.CutSuffix(text, ".0%"); ok {
		text = rest + "%"
	}
	return text
}

// round returns the least of 1, 2, 2.5 or 5 times a power of ten that is not
// less than x.
func round(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, f := range []float64{1, 2, 2.5, 5} {
		if f*power >= x*(1-1e-9) {
			return f * power
		}
	}
	return 10 * power
}

// ticks puts the times under the axis, at round times of the reader's zone.
func (c *chart) ticks(s scale, zone *time.Location) {
	steps := []time.Duration{
		time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour,
		6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day, 14 * day, 28 * day, 91 * day, 364 * day,
	}
	whole, width := s.to.Sub(s.from), steps[len(steps)-1]
	for _, d := range steps {
		if whole/d <= 6 {
			width = d
			break
		}
	}
	// Midnight of the reader before the first window: days begin there, and hours count from it.
	from := s.from.In(zone)
	first := time.Date(from.Year(), from.Month(), from.Day(), 0, 0, 0, 0, zone)
	for i := 0; i < 2000; i++ {
		t := first.Add(time.Duration(i) * width)
		if width >= day {
			t = first.AddDate(0, 0, i*int(width/day))
		}
		if t.After(s.to) {
			return
		}
		if t.Before(s.from) {
			continue
		}
		text := t.Format("15:04")
		if width >= day || t.Hour() == 0 && t.Minute() == 0 {
			text = t.Format("2 Jan")
		}
		m := mark{X: s.percent(t), Text: text, Anchor: "middle"}
		switch x := s.x(t); {
		case x < 0.04:
			m.Anchor = "start"
		case x > 0.96:
			m.Anchor = "end"
		}
		if len(c.Ticks)%2 == 1 {
			m.Class = "w" // dropped on a narrow screen
		}
		c.Ticks = append(c.Ticks, m)
	}
}

const day = 24 * time.Hour

// table keeps the windows around the onset as numbers.
func (c *chart) table(st statistic, points []point, onset, now time.Time, zone *time.Location) {
	from := 0
	for from < len(points) && points[from].end.Before(onset) {
		from++
	}
	from = max(0, min(from-chartNumbers/4, len(points)-chartNumbers))
	until := min(len(points), from+chartNumbers)
	c.Left = len(points) - (until - from)
	for _, p := range points[from:until] {
		f := figure{Start: at(p.start, now, zone), Value: none, Low: none, High: none, N: count(p.n), Late: count(p.late), Reason: p.why}
		if p.known {
			f.Value = st.format(p.value)
		}
		if p.judged {
			f.Low, f.High = st.format(p.low), st.format(p.high)
		}
		switch {
		case p.open:
			f.Judgement = "still open"
		case p.known && p.outside:
			f.Judgement, f.Bad = "outside", true
		case p.known && p.judged:
			f.Judgement = "inside"
		case !p.known:
			f.Judgement = "unknown"
		}
		c.Numbers = append(c.Numbers, f)
	}
}

// finding says in words what the chart of a column shows.
func finding(st statistic, points []point, onset time.Time) string {
	var judged, outside, since, before int
	var last, healthy float64
	for _, p := range points {
		if p.open || !p.known {
			continue
		}
		if p.end.After(onset) {
			since++
			last = p.value
			if p.judged || p.outside {
				judged++
			}
			if p.outside {
				outside++
			}
		} else {
			before++
			healthy += (p.value - healthy) / float64(before)
		}
	}
	switch {
	case since == 0 && before == 0:
		return "No window could be measured."
	case since == 0:
		return "No window has been measured since it began."
	case judged > 0:
		return fmt.Sprintf("%s: %s of %s judged windows since it began %s outside the healthy range; the latest is %s.",
			upper(st.name), count(uint64(outside)), count(uint64(judged)), verb(outside), st.format(last))
	case before > 0:
		return fmt.Sprintf("%s: %s on average before, %s in the latest window. No healthy range is known.", upper(st.name), st.format(healthy), st.format(last))
	}
	return fmt.Sprintf("%s: %s in the latest window. No healthy range is known.", upper(st.name), st.format(last))
}

func verb(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// spark is the small drawing of rows per hour on its healthy band.
type spark struct {
	Height      int
	Label       string
	Band, Lines string
	Bad         string
	Gaps        []stripe
	Dots        []dot
}

func sparkline(points []point, label string) *spark {
	if len(points) == 0 {
		return nil
	}
	s := spread(points, true, sparkHeight)
	out := &spark{Height: sparkHeight, Label: label}
	for _, g := range gaps(points) {
		out.Gaps = append(out.Gaps, stripe{X: s.percent(g.from), Width: short((s.x(g.to)-s.x(g.from))*100) + "%", Why: g.why})
	}
	drawn := thin(points, sparkPoints)
	out.Band = bands(drawn, s)
	out.Lines, out.Bad = lines(drawn, s)
	for i, p := range drawn {
		alone := p.known && (i == 0 || !joined(drawn[i-1], p)) && (i+1 == len(drawn) || !joined(p, drawn[i+1]))
		if !alone && !(p.known && p.outside && i == len(drawn)-1) {
			continue
		}
		d := dot{X: s.percent(middle(p)), Y: short(s.y(p.value)), Class: "pt"}
		if p.outside {
			d.Class += " bad"
		}
		if p.open {
			d.Class += " open"
		}
		out.Dots = append(out.Dots, d)
	}
	return out
}
