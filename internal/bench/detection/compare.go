package detection

import (
	"context"
	"math"

	"golang.org/x/sync/errgroup"
)

// RivalResult is one rule on the windows of one model, beside ours.
type RivalResult struct {
	Rival     string       `json:"rival"`
	About     string       `json:"about"`
	Matched   bool         `json:"matched"` // by hour of the week, its limit raised until its clean run keeps our budget, alarms merged to incidents
	Columns   int          `json:"columns"`
	Limit     *float64     `json:"limit,omitempty"`
	Stated    *float64     `json:"incidents_stated,omitempty"` // in 30 days of a model of 1000 columns
	Alarms    float64      `json:"false_alarms"`               // column-windows, as above
	Incidents float64      `json:"false_incidents"`            // as above; alarms of a column less than three windows apart are one
	Chance    float64      `json:"chance"`                     // share of the healthy windows of a column that alarm
	Steps     []RivalDelay `json:"steps"`
}

// RivalDelay is how a rule finds a step.
type RivalDelay struct {
	Shift  float64  `json:"shift_sd"`
	Runs   int      `json:"runs"`
	Median *float64 `json:"windows_median"`
	P90    *float64 `json:"windows_p90"`
	Recall float64  `json:"recall"`
}

// mergeGap is the number of windows without alarm that end an incident of a rival.
const mergeGap = 3

// arena is the model that all rules are compared on.
type arena struct {
	m     *Model
	ref   []series // by column
	test  []series // windows from the end of the reference on
	sizes []scenario
	runs  []run
	lines int
}

func (b *Bench) rivals(ctx context.Context) ([]RivalResult, error) {
	sizes := steps(.25)
	share := studyBudget * float64(b.cfg.Features) / 1000
	s := &study{
		b: b, label: "rivals: ourselves", purpose: "rivals", world: standard(), scenarios: sizes, onsets: b.cfg.Onsets, models: 1, month: true,
		shape: Shape{Features: b.cfg.Features}, spend: spend{pages: share, tickets: share, parameters: locating()},
	}
	own, err := s.run(ctx)
	if err != nil {
		return nil, err
	}
	ours := RivalResult{Rival: "modelwatch", About: "at the stated budget, all channels", Matched: true, Columns: b.cfg.Features}
	stated := studyBudget
	ours.Stated = &stated
	ours.Incidents = float64(own.tickets) / float64(b.cfg.Features) * 1000
	ours.Alarms = ours.Incidents
	ours.Chance = ours.Incidents / 1000 / TestWindows
	for i := range sizes {
		d := delayOf(&sizes[i], own.runs[i])
		ours.Steps = append(ours.Steps, RivalDelay{d.Shift, d.Runs, d.Median, d.P90, d.Recall})
	}
	out := []RivalResult{ours}
	a, err := newArena(b, s)
	if err != nil {
		return nil, err
	}
	type job struct {
		r       rival
		matched bool
	}
	var jobs []job
	for _, r := range rivals() {
		jobs = append(jobs, job{r, false}, job{r, true})
	}
	results := make([]RivalResult, len(jobs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(b.cfg.Workers)
	for i, j := range jobs {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			results[i] = a.compete(j.r, j.matched)
			b.say("rivals: %s, matched %v", j.r.name, j.matched)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return append(out, results...), nil
}

func newArena(b *Bench, s *study) (*arena, error) {
	m, err := NewModel(s.world, s.shape, b.seed(s.purpose, 0))
	if err != nil {
		return nil, err
	}
	a := &arena{m: m, lines: b.cfg.Lines, sizes: s.scenarios, runs: s.of(m, 0), ref: make([]series, len(m.columns)), test: make([]series, len(m.columns))}
	src := newSource()
	for c := range m.columns {
		for t := range allWindows {
			bins := m.cell(src, t, &m.columns[c], -1, m.counts[t], nil).Bins
			if t < ReferenceWindows {
				a.ref[c] = append(a.ref[c], bins)
			} else {
				a.test[c] = append(a.test[c], bins)
			}
		}
	}
	return a, nil
}

// line is one column of one rule: its alarms in the healthy month.
type line struct {
	stats  []float64 // of a measurer
	alarms []bool    // else
}

func (l *line) at(i int, limit float64) bool {
	if l.stats != nil {
		return l.stats[i] > limit
	}
	return l.alarms[i]
}

// follow takes a column through windows with the rule; test may have a fault
// in it.
func follow(r rival, ref, test series, limit float64, matched bool) line {
	f := r.fit(ref, limit, matched)
	if m, ok := f.(measurer); ok {
		l := line{stats: make([]float64, len(test))}
		for i, bins := range test {
			l.stats[i] = m.measure(ReferenceWindows+i, bins)
		}
		return l
	}
	l := line{alarms: make([]bool, len(test))}
	for i, bins := range test {
		l.alarms[i] = f.alarm(ReferenceWindows+i, bins)
	}
	return l
}

// episodes counts incidents: stretches of alarms with fewer than mergeGap
// windows between them.
func episodes(n int, alarm func(i int) bool) (count int) {
	last := math.MinInt / 2
	for i := range n {
		if !alarm(i) {
			continue
		}
		if i-last > mergeGap {
			count++
		}
		last = i
	}
	return count
}

// compete measures one rule.
func (a *arena) compete(r rival, matched bool) RivalResult {
	columns := len(a.ref)
	if r.rows {
		columns = min(columns, a.lines)
	}
	limit := r.limit
	clean := a.clean(r, columns, limit, matched)
	out := RivalResult{Rival: r.name, About: r.about, Matched: matched, Columns: columns}
	if matched {
		stated := studyBudget
		out.Stated = &stated
		limit, clean = a.match(r, columns, clean)
	}
	out.Limit = &limit
	alarms, incidents := 0, 0
	for c := range clean {
		for i := range TestWindows {
			if clean[c].at(i, limit) {
				alarms++
			}
		}
		incidents += episodes(TestWindows, func(i int) bool { return clean[c].at(i, limit) })
	}
	out.Alarms, out.Incidents = float64(alarms)*1000/float64(columns), float64(incidents)*1000/float64(columns)
	out.Chance = float64(alarms) / float64(columns) / TestWindows
	found := make([][]int, len(a.sizes))
	runs := make([]int, len(a.sizes))
	for _, run := range a.runs {
		c := run.fault.Columns[0]
		if c >= columns {
			if !r.rows {
				continue
			}
			c %= columns
		}
		fault := run.fault
		fault.Columns = []int{c}
		runs[run.scenario]++
		if d := a.delay(r, &fault, c, &clean[c], limit, matched); d > 0 {
			found[run.scenario] = append(found[run.scenario], d)
		}
	}
	for i := range a.sizes {
		out.Steps = append(out.Steps, RivalDelay{
			Shift: a.sizes[i].fault.Size, Runs: runs[i], Median: finite(quantile(found[i], runs[i], .5)),
			P90: finite(quantile(found[i], runs[i], .9)), Recall: float64(len(found[i])) / math.Max(1, float64(runs[i])),
		})
	}
	return out
}

func (a *arena) clean(r rival, columns int, limit float64, matched bool) []line {
	out := make([]line, columns)
	for c := range out {
		out[c] = follow(r, a.ref[c], a.test[c], limit, matched)
	}
	return out
}

// match finds the lowest limit at which the healthy month has no more
// incidents than the budget has for so many columns.
func (a *arena) match(r rival, columns int, lines []line) (float64, []line) {
	allowed := int(studyBudget * float64(columns) / 1000)
	measured := lines[0].stats != nil
	at := func(limit float64) ([]line, int) {
		if !measured {
			lines = a.clean(r, columns, limit, true)
		}
		n := 0
		for c := range lines {
			n += episodes(TestWindows, func(i int) bool { return lines[c].at(i, limit) })
		}
		return lines, n
	}
	low, high := r.limit/64, r.limit
	for k := 0; k < 14; k++ {
		if _, n := at(high); n <= allowed {
			break
		}
		low, high = high, 2*high
	}
	steps := 14
	if r.rows {
		steps = 5
	}
	for range steps {
		mid := math.Sqrt(low * high)
		if _, n := at(mid); n <= allowed {
			high = mid
		} else {
			low = mid
		}
	}
	lines, _ = at(high)
	return high, lines
}

// delay is the number of windows until the rule finds the fault where its
// healthy twin does not alarm; 0 where it does not within the horizon.
func (a *arena) delay(r rival, f *Fault, c int, clean *line, limit float64, matched bool) int {
	onset := f.Onset - ReferenceWindows
	until := min(onset+horizon, TestWindows)
	test := append(series(nil), a.test[c][:onset]...)
	src := newSource()
	for t := onset; t < until; t++ {
		test = append(test, a.m.cell(src, ReferenceWindows+t, &a.m.columns[c], -1, a.m.counts[ReferenceWindows+t], f).Bins)
	}
	dirty := follow(r, a.ref[c], test, limit, matched)
	for t := onset; t < until; t++ {
		if dirty.at(t, limit) && !clean.at(t, limit) {
			return t - onset + 1
		}
	}
	return 0
}
