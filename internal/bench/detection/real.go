package detection

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sort"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// RealResult is what flights-3m shows under one budget: real data, of which
// nobody knows that they are healthy.
type RealResult struct {
	Case    string      `json:"case"`
	Budget  float64     `json:"budget"` // of pages, and of tickets, in 30 days
	Months  float64     `json:"months"`
	Streams int         `json:"streams"`
	Pages   int         `json:"pages"`
	Tickets int         `json:"tickets"`
	Alerts  []RealAlert `json:"alerts"`
	Found   *bool       `json:"found,omitempty"` // the fault that was put in
	Delay   *int        `json:"delay_windows,omitempty"`
}

// RealAlert is one event on real data: it counts as false until somebody
// explains it.
type RealAlert struct {
	At     time.Time     `json:"at"`
	Fault  schemas.Fault `json:"fault"`
	Column string        `json:"column"`
	Slice  string        `json:"slice,omitempty"`
	Page   bool          `json:"page"`
	Reason string        `json:"reason"`
}

// flightRow is one row of flights-3m.
type flightRow struct {
	Date        int64  `parquet:"date,optional"` // microseconds
	Delay       int64  `parquet:"delay,optional"`
	Distance    int64  `parquet:"distance,optional"`
	Origin      string `parquet:"origin,optional"`
	Destination string `parquet:"destination,optional"`
}

// flights are the rows by hour, split by the commonest origins.
type flights struct {
	start   int64 // Unix milliseconds, a midnight
	hours   [][]flightRow
	origins []string // the slices, sorted; others are `other`
	column  []*flightColumn
	spec    *schemas.SpecRecord
	base    *schemas.Baseline
	ref     int // hours
}

type flightColumn struct {
	name       string
	edges      []float64
	categories []string
	value      func(r *flightRow) (x float64, text string)
}

// flightSlices is how many origins are told apart.
const flightSlices = 20

const hourMS = int64(time.Hour / time.Millisecond)

func loadFlights(path string) (*flights, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the flights: %w", err)
	}
	defer file.Close()
	r := parquet.NewGenericReader[flightRow](file)
	defer r.Close()
	f := &flights{ref: ReferenceWindows}
	buffer := make([]flightRow, 4096)
	counts := map[string]int{}
	for {
		n, err := r.Read(buffer)
		for _, row := range buffer[:n] {
			at := row.Date / 1000
			if f.start == 0 {
				f.start = at - at%(24*hourMS)
			}
			h := int((at - f.start) / hourMS)
			if h < 0 {
				return nil, errors.New("reading the flights: they are not in order of departure")
			}
			for len(f.hours) <= h {
				f.hours = append(f.hours, nil)
			}
			f.hours[h] = append(f.hours[h], row)
			if h < f.ref {
				counts[row.Origin]++
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading the flights: %w", err)
		}
	}
	if len(f.hours) < f.ref+24 {
		return nil, fmt.Errorf("reading the flights: %d hours are not enough", len(f.hours))
	}
	for o := range counts {
		f.origins = append(f.origins, o)
	}
	sort.Slice(f.origins, func(i, j int) bool {
		a, b := f.origins[i], f.origins[j]
		return counts[a] > counts[b] || counts[a] == counts[b] && a < b
	})
	all := slices.Sorted(slices.Values(f.origins))
	f.origins = slices.Sorted(slices.Values(f.origins[:min(flightSlices, len(f.origins))]))
	f.columns(all)
	return f, nil
}

// columns cuts the bins at the quantiles of the reference.
func (f *flights) columns(origins []string) {
	text := func(of func(*flightRow) string) func(*flightRow) (float64, string) {
		return func(r *flightRow) (float64, string) { return 0, of(r) }
	}
	f.column = []*flightColumn{
		{name: "delay", value: func(r *flightRow) (float64, string) { return float64(r.Delay), "" }},
		{name: "destination", categories: f.names(func(r *flightRow) string { return r.Destination }), value: text(func(r *flightRow) string { return r.Destination })},
		{name: "distance", value: func(r *flightRow) (float64, string) { return float64(r.Distance), "" }},
		{name: "origin", categories: origins, value: text(func(r *flightRow) string { return r.Origin })},
	}
	spec := schemas.Spec{Model: "flights", RowFunction: schemas.RowFunction, Window: time.Hour, LateHorizon: 72 * time.Hour, Baseline: "flights"}
	for _, c := range f.column {
		sc := schemas.SpecColumn{Name: c.name, Role: schemas.RoleFeature, Type: schemas.TypeCategory, Categories: c.categories}
		if c.categories == nil {
			var values []float64
			for _, h := range f.hours[:f.ref] {
				for i := range h {
					x, _ := c.value(&h[i])
					values = append(values, x)
				}
			}
			slices.Sort(values)
			for b := 1; b < numberBins; b++ {
				e := values[b*len(values)/numberBins]
				if len(c.edges) == 0 || e > c.edges[len(c.edges)-1] {
					c.edges = append(c.edges, e)
				}
			}
			sc.Type, sc.Edges, sc.Unit = schemas.TypeNumber, c.edges, schemas.UnitFor(values[len(values)-1])
		}
		spec.Columns = append(spec.Columns, sc)
	}
	sl := schemas.SpecSlice{Columns: []string{"origin"}}
	for _, o := range f.origins {
		sl.Values = append(sl.Values, []string{o})
	}
	spec.Slices = []schemas.SpecSlice{sl}
	spec.SortColumns()
	f.spec = &schemas.SpecRecord{Seq: 1, EffectiveFrom: math.MinInt64, Hash: spec.Hash(), Spec: spec}
}

func (f *flights) names(of func(*flightRow) string) []string {
	seen := map[string]bool{}
	for _, h := range f.hours[:f.ref] {
		for i := range h {
			seen[of(&h[i])] = true
		}
	}
	var out []string
	for n := range seen {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// damage changes the rows of an hour; drop says that the value is null.
type damage func(hour int, column string, r *flightRow, x float64) (y float64, drop bool)

// window counts hour t.
func (f *flights) window(t int, harm damage) *detectors.Window {
	start := f.start + int64(t)*hourMS
	w := &detectors.Window{
		Model: "flights", Part: schemas.PartFeatures, Spec: f.spec, Baseline: f.base, Start: start, End: start + hourMS, Revision: uint64(t + 1), Coverage: 1,
	}
	rows := f.hours[t]
	if len(rows) == 0 {
		return w
	}
	counted := summary.New(0)
	counted.Rows = uint64(len(rows))
	w.Entries = append(w.Entries, detectors.Entry{Stream: schemas.Stream{Version: "1", Role: schemas.RoleRows, Feature: w.Part.String()}, Summary: counted})
	for _, c := range f.column {
		w.Entries = append(w.Entries, f.count(t, c, rows, harm)...)
	}
	return w
}

// count counts one column of one hour, the whole and the slices.
func (f *flights) count(t int, c *flightColumn, rows []flightRow, harm damage) []detectors.Entry {
	bins := len(c.edges) + 1
	if c.categories != nil {
		bins = len(c.categories) + 1
	}
	whole := summary.New(bins)
	parts := make([]*summary.Summary, len(f.origins)+1)
	for i := range rows {
		r := &rows[i]
		k, ok := slices.BinarySearch(f.origins, r.Origin)
		if !ok {
			k = len(f.origins)
		}
		if parts[k] == nil {
			parts[k] = summary.New(bins)
		}
		x, text := c.value(r)
		drop := false
		if harm != nil {
			x, drop = harm(t, c.name, r, x)
		}
		for _, s := range []*summary.Summary{whole, parts[k]} {
			s.Rows++
			if drop {
				s.Null++
				continue
			}
			s.Present++
			if c.categories != nil {
				b, ok := slices.BinarySearch(c.categories, text)
				if !ok {
					b = len(c.categories)
				}
				s.Bins[b]++
				s.Distinct.Add(schemas.Hash([]byte(text)))
				continue
			}
			s.Bins[sort.SearchFloat64s(c.edges, x)]++
			s.Min, s.Max = math.Min(s.Min, x), math.Max(s.Max, x)
			s.Distinct.Add(summary.HashNumber(x))
		}
	}
	out := []detectors.Entry{{Stream: schemas.Stream{Version: "1", Role: schemas.RoleFeature, Feature: c.name}, Summary: whole}}
	var of []detectors.Entry
	for k, s := range parts {
		if s == nil {
			continue
		}
		value := schemas.OtherValue
		if k < len(f.origins) {
			value = f.origins[k]
		}
		of = append(of, detectors.Entry{
			Stream:  schemas.Stream{Version: "1", Role: schemas.RoleFeature, Feature: c.name, Slice: schemas.SliceName([]string{"origin"}, []string{value})},
			Summary: s,
		})
	}
	slices.SortFunc(of, func(a, b detectors.Entry) int {
		if a.Slice < b.Slice {
			return -1
		}
		return 1
	})
	return append(out, of...)
}

// learn profiles the first 28 days.
func (f *flights) learn() (*learnt, error) {
	b := &schemas.Baseline{
		Format: schemas.BaselineFormat, Model: "flights", Source: "the first 28 days of flights-3m", Window: schemas.Duration(time.Hour), Hash: "flights",
		From: time.UnixMilli(f.start).UTC(), To: time.UnixMilli(f.start + int64(f.ref)*hourMS).UTC(),
	}
	type key struct{ column, slice string }
	sums := map[key]*summary.Summary{}
	var names []string
	for t := range f.ref {
		for _, e := range f.window(t, nil).Entries {
			if e.Role == schemas.RoleRows {
				b.Rows += e.Rows
				continue
			}
			k := key{e.Feature, e.Slice}
			if sums[k] == nil {
				sums[k] = summary.New(len(e.Bins))
				if !slices.Contains(names, e.Slice) {
					names = append(names, e.Slice)
				}
			}
			sums[k].Merge(e.Summary)
		}
	}
	slices.Sort(names)
	for _, sc := range f.spec.Spec.Columns {
		bc := schemas.BaselineColumn{Name: sc.Name, Role: sc.Role, Type: sc.Type, Edges: sc.Edges, Categories: sc.Categories, Anchor: sc.Anchor, Unit: sc.Unit}
		for _, name := range names {
			if o := sums[key{sc.Name, name}]; o != nil {
				st := schemas.BaselineStream{Slice: name, Rows: o.Rows, Present: o.Present, Nulls: o.Null, Bins: o.Bins}
				if sc.Type == schemas.TypeNumber {
					low, high := o.Min, o.Max
					st.Min, st.Max = &low, &high
				}
				bc.Streams = append(bc.Streams, st)
			}
		}
		b.Columns = append(b.Columns, bc)
	}
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("profiling the flights: %w", err)
	}
	f.base = b
	h := budget.NewHistory(b, time.Hour, budget.DefaultParameters())
	for t := range f.ref {
		if err := h.Add(f.window(t, nil)); err != nil {
			return nil, fmt.Errorf("learning the flights: %w", err)
		}
	}
	fit, err := h.Fit()
	if err != nil {
		return nil, fmt.Errorf("learning the flights: %w", err)
	}
	ref := fit.Reference()
	return &learnt{detector: Budget, ref: ref, keys: ref.Keys(), cuts: len(fit.Cuts), spec: &f.spec.Spec}, nil
}

// real judges the flights, clean and with faults put in.
func (b *Bench) real(ctx context.Context) ([]RealResult, error) {
	f, err := loadFlights(b.cfg.Flights)
	if err != nil {
		return nil, err
	}
	l, err := f.learn()
	if err != nil {
		return nil, err
	}
	if b.cfg.Detector != Budget {
		l.detector = b.cfg.Detector
	}
	var out []RealResult
	quiet := map[string]map[int]bool{} // of the clean run at a budget of 1
	for _, budget := range []float64{.25, 1, 4} {
		r, alarms, err := f.judge(ctx, l, budget, "clean", nil, 0, "", nil)
		if err != nil {
			return nil, err
		}
		if budget == 1 {
			quiet = alarms
		}
		out = append(out, *r)
		b.say("real: budget %g", budget)
	}
	for _, c := range flightFaults() {
		r, _, err := f.judge(ctx, l, 1, c.name, c.harm(f.ref+5*24), f.ref+5*24, c.column, quiet)
		if err != nil {
			return nil, err
		}
		out = append(out, *r)
		b.say("real: %s", c.name)
	}
	return out, nil
}

type flightFault struct {
	name, column string
	harm         func(onset int) damage
}

func flightFaults() []flightFault {
	at := func(column string, change func(t int, r *flightRow, x float64) (float64, bool)) func(int) damage {
		return func(onset int) damage {
			return func(t int, name string, r *flightRow, x float64) (float64, bool) {
				if t < onset || name != column {
					return x, false
				}
				return change(t, r, x)
			}
		}
	}
	every := func(r *flightRow, share float64) bool {
		return float64(mix(uint64(r.Date)^mix(uint64(r.Distance)))%1000) < 1000*share
	}
	return []flightFault{
		{"distance in kilometres", "distance", at("distance", func(_ int, _ *flightRow, x float64) (float64, bool) { return 1.609344 * x, false })},
		{"distance + .5 sd (280 mi)", "distance", at("distance", func(_ int, _ *flightRow, x float64) (float64, bool) { return x + 280, false })},
		{"5 % of distances null", "distance", at("distance", func(_ int, r *flightRow, x float64) (float64, bool) { return x, every(r, .05) })},
		{"5 % of distances stuck at 500", "distance", at("distance", func(_ int, r *flightRow, x float64) (float64, bool) {
			if every(r, .05) {
				return 500, false
			}
			return x, false
		})},
		{"20 % of distances null from ORD", "distance", at("distance", func(_ int, r *flightRow, x float64) (float64, bool) { return x, r.Origin == "ORD" && every(r, .2) })},
		{"delay + 10 min", "delay", at("delay", func(_ int, _ *flightRow, x float64) (float64, bool) { return x + 10, false })},
	}
}

// judge judges the hours after the reference; with a fault, until it is found
// or twenty days are over. It also returns in which windows which columns
// had an alarm.
func (f *flights) judge(ctx context.Context, l *learnt, stated float64, name string, harm damage, onset int, column string, quiet map[string]map[int]bool) (*RealResult, map[string]map[int]bool, error) {
	j, _ := l.plan(spend{pages: stated, tickets: stated, parameters: ruleless()})
	r := &RealResult{Case: name, Budget: stated, Streams: len(l.keys), Alerts: []RealAlert{}}
	end := len(f.hours)
	if harm != nil {
		end = min(end, onset+horizon)
		no := false
		r.Found = &no
	}
	r.Months = float64(end-f.ref) / TestWindows
	var m memory
	tally, alarms := tally{}, map[string]map[int]bool{}
	for t := f.ref; t < end; t++ {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		_, findings, next, err := j(f.window(t, harm), m)
		if err != nil {
			return nil, nil, fmt.Errorf("judging the flights: %w", err)
		}
		m = next
		for c := range alarmed(findings) {
			if alarms[c] == nil {
				alarms[c] = map[int]bool{}
			}
			alarms[c][t] = true
		}
		for _, e := range tally.take(t, findings) {
			a := RealAlert{At: time.UnixMilli(f.start + int64(t)*hourMS).UTC(), Fault: e.fault, Column: e.column, Slice: e.slice, Page: e.page}
			for i := range findings {
				if fd := &findings[i]; fd.Fault == e.fault && slices.Contains(fd.Columns, e.column) {
					a.Reason = fd.Reason
				}
			}
			r.Alerts = append(r.Alerts, a)
			if e.page {
				r.Pages++
			}
			if e.ticket {
				r.Tickets++
			}
		}
		if harm != nil && t >= onset && alarms[column][t] && !quiet[column][t] {
			yes, delay := true, t-onset+1
			r.Found, r.Delay = &yes, &delay
			break
		}
	}
	return r, alarms, nil
}
