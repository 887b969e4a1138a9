package budget

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/schemas"
)

// History collects healthy windows of one part in order of time and fits
// healthy behaviour on them. Windows that are missing are known to be missing
// by their time.
type History struct {
	Calendar Calendar // set before the first window is added

	baseline *schemas.Baseline
	yards    yardsticks
	window   int64
	p        Parameters
	start    int64 // of the first window
	last     int64 // start of the last
	n        int
	index    map[Key]int
	series   []*series
}

// series holds the statistics of one stream by window of time.
type series struct {
	Key
	y, r []float64
	n    []uint64 // 0: no data
}

// NewHistory returns an empty history of windows of that length, measured by
// the bins and shares of the baseline.
func NewHistory(b *schemas.Baseline, window time.Duration, p Parameters) *History {
	h := &History{baseline: b, window: window.Milliseconds(), p: p, index: map[Key]int{}}
	if b != nil {
		h.yards = yardsticksOf(b)
	}
	return h
}

// Add measures a window and keeps its statistics. Windows come in order of
// their start; of several versions the one with most values counts. A window
// not fully covered, or one that touches an announced change, is missing.
func (h *History) Add(w *detectors.Window) error {
	switch {
	case h.baseline == nil:
		return errors.New("learning healthy behaviour: there is no baseline to measure windows by")
	case h.window <= 0 || w.End-w.Start != h.window:
		return fmt.Errorf("learning healthy behaviour: a window of %d ms among those of %d ms", w.End-w.Start, h.window)
	case h.n > 0 && (w.Start <= h.last || (w.Start-h.start)%h.window != 0):
		return fmt.Errorf("learning healthy behaviour: the window of %d does not follow that of %d", w.Start, h.last)
	}
	if h.n == 0 {
		h.start = w.Start
	}
	h.last = w.Start
	at := int((w.Start - h.start) / h.window)
	h.n = at + 1
	if w.Coverage < h.p.MinCoverage || h.Calendar.announced(w.Start, w.End) {
		return nil
	}
	all, err := h.yards.measure(w)
	for i := range all {
		h.put(at, &all[i].Observation)
	}
	return err
}

func (h *History) put(at int, o *Observation) {
	i, ok := h.index[o.Key]
	if !ok {
		i = len(h.series)
		h.index[o.Key] = i
		h.series = append(h.series, &series{Key: o.Key})
	}
	s := h.series[i]
	for len(s.n) <= at {
		s.y, s.r, s.n = append(s.y, 0), append(s.r, 0), append(s.n, 0)
	}
	if o.N > s.n[at] {
		s.y[at], s.r[at], s.n[at] = o.Y, o.R, o.N
	}
}

// fewest is how many windows with data a stream needs before anything is fitted to it.
const fewest = 24

// Fit fits season, noise, tails, level and dead zone of every stream with
// enough data; what it cuts it reports. No window is an error, as is a number
// that is not finite.
func (h *History) Fit() (*Fitted, error) { return h.fit(nil) }

// Refit fits again on later windows: levels stay those of the reference
// before, and no noise parameter, nor the dead zone, grows by more than
// MaxGrowth. A stream that is new is left out: a new level comes by
// acceptance only.
func (h *History) Refit(before *Reference) (*Fitted, error) {
	if before == nil {
		return nil, errors.New("refitting healthy behaviour: there is no reference before")
	}
	return h.fit(before)
}

func (h *History) fit(before *Reference) (*Fitted, error) {
	if h.n == 0 {
		return nil, errors.New("fitting healthy behaviour: there are no windows")
	}
	f := newFitter(h)
	slices.SortFunc(f.all, func(a, b *fitting) int { return compareKeys(a.Key, b.Key) })
	f.each(f.all, func(s *fitting) { f.first(s) })
	f.relate()
	f.pool()
	var again []*fitting
	f.each(f.all, func(s *fitting) { f.calibrate(s) })
	for range 2 {
		f.each(f.all, func(s *fitting) { f.find(s) })
		again = again[:0]
		for _, s := range f.all {
			if s.changed {
				again = append(again, s)
			}
		}
		if len(again) == 0 {
			break
		}
		f.each(again, func(s *fitting) { f.again(s) })
		f.relate()
		f.pool()
		f.each(f.all, func(s *fitting) { f.calibrate(s) })
	}
	f.each(f.all, func(s *fitting) { f.honest(s) })
	return f.fitted(before)
}

// fitter holds what the streams of a fit share.
type fitter struct {
	h     *History
	p     *Parameters
	all   []*fitting
	cells [][]cell
	full  *design
	folds []*design
	fold  []int // of a window
	weeks int
	pools map[poolKey]*pool
}

type poolKey struct {
	channel string
	slice   bool
}

// pool is what streams of one kind have in common.
type pool struct{ tail, level2 float64 }

// fitting is one stream while it is fitted.
type fitting struct {
	*series
	track
	level   float64
	season  []float64
	slope   float64 // a day
	slopeSE float64
	phi     float64
	tau2    float64
	z       []float64
	daily2  float64 // level variance between days, beyond noise
	weekly2 float64 // level variance between weeks, beyond noise; may be negative
	used    int
	meanR   float64
	share   float64
	levelSE float64
	levelSD float64
	nu      float64
	scale   float64
	dead    float64
	honesty float64
	cut     []bool
	cuts    []Cut
	step    *LevelStep
	changed bool
	tooMuch bool
}

func newFitter(h *History) *fitter {
	f := &fitter{h: h, p: &h.p, cells: make([][]cell, h.n), fold: make([]int, h.n)}
	use := make([]bool, h.n)
	for t := range f.cells {
		start := h.start + int64(t)*h.window
		f.cells[t] = h.Calendar.cells(start, start+h.window)
	}
	for _, s := range h.series {
		for t, n := range s.n {
			use[t] = use[t] || n > 0
		}
	}
	days := float64(h.n) * float64(h.window) / dayMS
	f.weeks = int(days/7 + .01)            // the last window of the last week may be missing
	block := 7 * dayMS / float64(h.window) // windows of a fold
	if f.weeks < 3 {
		block = dayMS / float64(h.window)
	}
	n := int(float64(h.n)/block + .5)
	n = max(min(n, 8), min(4, h.n))
	per := int(math.Ceil(float64(h.n) / float64(n)))
	if whole := int(block); f.weeks >= 3 && whole > 0 {
		per = (per + whole - 1) / whole * whole
	}
	for t := range f.fold {
		f.fold[t] = t / per
	}
	f.full = newDesign(f.cells, use, h.window)
	for k := range f.fold[h.n-1] + 1 {
		u := slices.Clone(use)
		for t := range u {
			u[t] = u[t] && f.fold[t] != k
		}
		f.folds = append(f.folds, newDesign(f.cells, u, h.window))
	}
	for _, s := range h.series {
		k := &fitting{series: s, cut: make([]bool, h.n)}
		for len(s.n) < h.n {
			s.y, s.r, s.n = append(s.y, 0), append(s.r, 0), append(s.n, 0)
		}
		k.good = make([]bool, h.n)
		rows := 0.0
		for t, n := range s.n {
			k.good[t] = n > 0
			rows += float64(n)
			if n > 0 {
				k.used++
			}
		}
		if k.used < min(fewest, max(4, int(28*dayMS/h.window))) {
			continue
		}
		if s.Slice != "" && rows/days*f.p.SliceDays < f.p.SliceRows {
			continue
		}
		f.all = append(f.all, k)
	}
	return f
}

// each runs one step for streams, which share nothing that it writes.
func (f *fitter) each(all []*fitting, step func(*fitting)) {
	workers := min(runtime.GOMAXPROCS(0), len(all))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(all); i += workers {
				step(all[i])
			}
		})
	}
	wg.Wait()
}

// first fits a stream with all its windows; stretches that stand out by far
// do not count for the noise.
func (f *fitter) first(s *fitting) {
	f.learn(s)
	suspects := s.suspects(2 * f.p.DeadZone)
	f.law(s, suspects)
	f.endStep(s)
	if s.changed {
		f.again(s)
	}
}

// again fits a stream without the windows that were cut.
func (f *fitter) again(s *fitting) {
	s.changed = false
	f.learn(s)
	f.law(s, s.cut)
}

// learn fits level and season, and the distances of each fold from what the
// others say of it.
func (f *fitter) learn(s *fitting) {
	ok := make([]bool, len(s.good))
	for t, g := range s.good {
		ok[t] = g && !s.cut[t]
	}
	y := s.y
	if s.Channel == Volume || s.Channel == LabelRate {
		f.trend(s, ok)
		y = slices.Clone(s.y)
		for t := range y {
			y[t] -= s.slope * f.days(t)
		}
	}
	s.level, s.season = f.full.fit(y, ok)
	s.u = make([]float64, len(y))
	for k, d := range f.folds {
		level, season := d.fit(y, ok)
		for t := range y {
			if f.fold[t] == k {
				s.u[t] = y[t] - level - seasonAt(season, f.cells[t])
			}
		}
	}
	s.track.r = s.series.r
	// Holidays are their own matter; their noise is not that of other days.
	for t := range ok {
		if f.cells[t][0].holiday {
			s.good[t] = false
		}
	}
	total, left := 0.0, 0.0
	for t, g := range s.good {
		if g && ok[t] {
			d := y[t] - s.level
			total += d * d
			d -= seasonAt(s.season, f.cells[t])
			left += d * d
		}
	}
	s.share = 0
	if total > 0 {
		s.share = math.Max(0, 1-left/total)
	}
}

// days returns the time of a window before the end of the history, in days, negative.
func (f *fitter) days(t int) float64 {
	return (float64(t) + .5 - float64(f.h.n)) * float64(f.h.window) / dayMS
}

// trend fits the slope of a logarithm of counts: least squares on daily
// means, each day's distance from its weekday's median cut at three robust
// sd; its standard error takes the days' autocorrelation in.
func (f *fitter) trend(s *fitting, ok []bool) {
	s.slope, s.slopeSE = 0, 0
	level, season := f.full.fit(s.y, ok)
	type day struct{ x, y, n float64 }
	byDay := map[int]*day{}
	var dayOrder []int
	for t, g := range ok {
		if !g {
			continue
		}
		k := int(math.Floor(f.days(t)))
		d := byDay[k]
		if d == nil {
			d = &day{}
			byDay[k] = d
			dayOrder = append(dayOrder, k)
		}
		d.x += f.days(t)
		d.y += s.y[t] - level - seasonAt(season, f.cells[t])
		d.n++
	}
	if len(dayOrder) < 10 {
		return
	}
	var xs, ys []float64
	for _, k := range dayOrder {
		d := byDay[k]
		xs, ys = append(xs, d.x/d.n), append(ys, d.y/d.n)
	}
	b, se := robustSlope(xs, ys)
	s.slope, s.slopeSE = b, se
}

// robustSlope returns the Huber slope of y over x and its standard error with
// the lag-1 autocorrelation of what is left.
func robustSlope(x, y []float64) (b, se float64) {
	n := float64(len(x))
	mx := 0.0
	for _, v := range x {
		mx += v / n
	}
	a := median(y)
	left := make([]float64, len(y))
	abs := make([]float64, len(y))
	sxx := 0.0
	for _, v := range x {
		sxx += (v - mx) * (v - mx)
	}
	if sxx == 0 {
		return 0, 0
	}
	for range 10 {
		for i := range y {
			left[i] = y[i] - a - b*(x[i]-mx)
			abs[i] = math.Abs(left[i])
		}
		limit := 3 * 1.4826 * median(abs)
		da, db := 0.0, 0.0
		for i := range left {
			if limit > 0 {
				left[i] = math.Min(limit, math.Max(-limit, left[i]))
			}
			da += left[i] / n
			db += left[i] * (x[i] - mx) / sxx
		}
		a += da
		b += db
	}
	var v, lag float64
	for i, d := range left {
		v += d * d
		if i > 0 {
			lag += d * left[i-1]
		}
	}
	if v == 0 {
		return b, 0
	}
	rho := math.Min(.9, math.Max(0, lag/v))
	return b, math.Sqrt(v / (n - 2) / sxx * (1 + rho) / (1 - rho))
}

// suspects marks windows whose running median of five is more than four
// robust sd out, and at least floor.
func (s *fitting) suspects(floor float64) []bool {
	var at []int
	for t, g := range s.good {
		if g {
			at = append(at, t)
		}
	}
	running := make([]float64, len(at))
	abs := make([]float64, len(at))
	for i := range at {
		var five []float64
		for k := max(0, i-2); k < min(len(at), i+3); k++ {
			five = append(five, s.u[at[k]])
		}
		running[i] = median(five)
		abs[i] = math.Abs(running[i])
	}
	limit := math.Max(floor, 4*1.4826*median(abs))
	out := make([]bool, len(s.good))
	for i, t := range at {
		out[t] = math.Abs(running[i]) > limit || s.cut[t]
	}
	return out
}

// law fits the noise, without the windows that are out.
func (f *fitter) law(s *fitting, out []bool) {
	s.phi, s.tau2 = s.noise(out)
	s.z = s.standardised(s.phi, s.tau2, out)
	s.used = len(s.z)
	s.meanR = 0
	for t, g := range s.good {
		if g && !out[t] {
			s.meanR += s.track.r[t]
		}
	}
	n := math.Max(1, float64(s.used))
	s.meanR /= n
	long := s.tau2 * (1 + s.phi) / (1 - s.phi)
	s.levelSE = math.Sqrt(long/n + s.meanR/n)
	s.daily2 = f.betweenDays(s, out)
	s.weekly2 = math.NaN()
	if f.weeks < 3 {
		return
	}
	perWeek := int(7 * dayMS / f.h.window)
	if perWeek < 1 {
		return
	}
	sum, weeks := 0.0, 0.0
	for from := 0; from+perWeek/2 < len(s.u); from += perWeek {
		m, k := 0.0, 0.0
		for t := from; t < min(from+perWeek, len(s.u)); t++ {
			if s.good[t] && !out[t] {
				m += s.u[t]
				k++
			}
		}
		if k < float64(perWeek)/4 {
			continue
		}
		m /= k
		sum += m*m - long/k - s.meanR/k
		weeks++
	}
	if weeks >= 3 {
		s.weekly2 = sum / weeks
	}
}

// betweenDays returns by how much the means of days vary beyond what noise
// and the fit of the weekdays explain, and beyond two standard errors of that:
// a level of its own for some days is as healthy as one for weeks.
func (f *fitter) betweenDays(s *fitting, out []bool) float64 {
	perDay := int(dayMS / f.h.window)
	if perDay < 4 || f.weeks < 3 {
		return 0
	}
	var seen, explained, days float64
	for from := 0; from < len(s.u); from += perDay {
		m, k := 0.0, 0.0
		for t := from; t < min(from+perDay, len(s.u)); t++ {
			if s.good[t] && !out[t] {
				m += s.u[t]
				k++
			}
		}
		if k < float64(perDay)/2 {
			continue
		}
		m /= k
		seen += m * m
		g := 1 - s.phi
		explained += s.tau2/k*((1+s.phi)/g-2*s.phi*(1-math.Pow(s.phi, k))/(k*g*g)) + s.meanR/k
		days++
	}
	if days < 14 {
		return 0
	}
	return math.Max(0, seen/days-explained/days*(1+1/float64(f.weeks-1)+2*math.Sqrt(2/days)))
}

// pool learns what streams of one kind share: tails, and the variance of
// levels between weeks.
func (f *fitter) pool() {
	f.pools = map[poolKey]*pool{}
	members := map[poolKey][]*fitting{}
	var kinds []poolKey
	for _, s := range f.all {
		k := poolKey{s.Channel, s.Slice != ""}
		if members[k] == nil {
			kinds = append(kinds, k)
		}
		members[k] = append(members[k], s)
	}
	for _, k := range kinds {
		all := members[k]
		p := &pool{}
		var zs [][]float64
		var levels []float64
		stride := (len(all) + 63) / 64
		for i, s := range all {
			// A stream that hardly varies, as a rate of 0, says nothing of tails.
			if i%stride == 0 && rms(s.z) > .3 {
				zs = append(zs, s.z)
			}
			if !math.IsNaN(s.weekly2) {
				levels = append(levels, s.weekly2)
			}
		}
		p.tail = pooledTail(zs)
		slices.Sort(levels)
		cut := len(levels) / 20
		for _, v := range levels[cut : len(levels)-cut] {
			p.level2 += v / float64(len(levels)-2*cut)
		}
		p.level2 = math.Max(0, p.level2)
		f.pools[k] = p
	}
}

// calibrate sets tails, scale, level noise and dead zone of a stream.
func (f *fitter) calibrate(s *fitting) {
	p := f.pools[poolKey{s.Channel, s.Slice != ""}]
	s.nu = math.Max(2, math.Trunc(math.Min(f.p.MaxTail, p.tail/2)))
	// What varies less than counts must is not believed.
	s.scale = scaleLimit(math.Max(.7, tScale(s.z, s.nu)), s.nu, s.used)
	const prior = 10 // weeks' worth of the pool
	v, n := p.level2, math.Max(0, float64(f.weeks-1))
	if !math.IsNaN(s.weekly2) {
		v = (prior*p.level2 + n*s.weekly2) / (prior + n)
	}
	s.levelSD = math.Sqrt(math.Max(s.daily2, v))
	floor := f.p.DeadZone
	if s.Channel == Distinct {
		floor = math.Max(floor, leastDistinct)
	}
	s.dead = math.Max(floor, math.Max(f.p.LevelFactor*s.levelSD, f.p.ErrorFactor*s.levelSE))
}

// leastDistinct is the least dead zone of distinct values, a fifth of them:
// shares of rare values swing by factors with a level that is healthy.
const leastDistinct = .2

// law returns the stream's law as it stands.
func (s *fitting) asLaw() law {
	h := &schemas.Healthy{Phi: s.phi, Noise: math.Sqrt(s.tau2), Tail: s.nu, Scale: s.scale, Dead: s.dead}
	all := Parameters{Widen: 1}
	l := newLaw(s.Key, h, &all)
	l.upOnly = false // an incident may go either way
	return l
}

// find replays the reference and marks what its own detector fires on.
func (f *fitter) find(s *fitting) {
	if s.tooMuch {
		return
	}
	l := s.asLaw()
	st := newState(&l)
	w := .01 / float64(len(s.u))
	var found []Cut
	mark := slices.Clone(s.cut)
	added := 0
	for t := 0; t < len(s.u); t++ {
		if !s.good[t] || mark[t] {
			l.skip(&st)
			continue
		}
		o := l.step(&st, s.u[t], s.track.r[t], l.dead, weights{ticket: w, ticketShock: w / 3})
		if !o.ticket {
			continue
		}
		from := t
		if o.best >= 0 {
			from = max(0, t-int(st.age[o.best])+1)
		}
		to, shift := s.end(from, t, l.dead)
		for k := max(0, from-2); k < min(len(mark), to+2); k++ {
			if !mark[k] && s.good[k] {
				added++
			}
			mark[k] = true
		}
		found = append(found, Cut{Key: s.Key, From: f.time(from), To: f.time(to), Shift: shift})
		st = newState(&l)
		t = max(t, min(len(s.u), to+2)-1)
	}
	if added == 0 {
		return
	}
	total := 0
	for t, m := range mark {
		if m && s.good[t] {
			total++
		}
	}
	limit := f.p.MaxCut
	if s.step != nil {
		limit = .5 // the windows of the new level are out already
	}
	if float64(total) > limit*float64(s.used+total) {
		s.tooMuch = true
		for i := range found {
			found[i].Kept = true
		}
		s.cuts = append(s.cuts, found...)
		return
	}
	s.cut, s.changed = mark, true
	s.cuts = append(s.cuts, found...)
}

// end finds where a shift that was seen at t and began at from is over: the
// first three windows whose mean is back within the dead zone or half the shift.
func (s *fitting) end(from, t int, dead float64) (to int, shift float64) {
	mean := func(a, b int) (m, n float64) {
		for k := a; k < min(b, len(s.u)); k++ {
			if s.good[k] {
				m += s.u[k]
				n++
			}
		}
		return m / math.Max(1, n), n
	}
	shift, _ = mean(from, t+1)
	limit := math.Max(dead, math.Abs(shift)/2)
	for to = t + 1; to < len(s.u); to++ {
		if m, n := mean(to, to+3); n > 0 && math.Abs(m) <= limit {
			break
		}
	}
	shift, _ = mean(from, to)
	return to, shift
}

// endStep looks for a level that changed and stayed until the end: means of
// days on either side of a day, by the robust noise of the differences
// between neighbouring days. The windows behind it are cut.
func (f *fitter) endStep(s *fitting) {
	if s.Channel == Volume || s.Channel == LabelRate {
		return // a trend is followed there
	}
	perDay := int(dayMS / f.h.window)
	if perDay < 1 || f.weeks < 2 {
		return
	}
	var means []float64
	var starts []int
	for from := 0; from < len(s.u); from += perDay {
		m, n := 0.0, 0.0
		for t := from; t < min(from+perDay, len(s.u)); t++ {
			if s.good[t] {
				// The level of all, not of the other folds: a step must not show twice.
				m += s.y[t] - s.level - seasonAt(s.season, f.cells[t])
				n++
			}
		}
		if n >= float64(perDay)/2 {
			means, starts = append(means, m/n), append(starts, from)
		}
	}
	n := len(means)
	if n < 14 {
		return
	}
	var steps []float64
	for i := 1; i < n; i++ {
		steps = append(steps, math.Abs(means[i]-means[i-1]))
	}
	sd := math.Max(1.4826*median(steps)/math.Sqrt2, 1e-6)
	// The day from which on two levels explain the means best, by least absolute
	// distances: medians alone would take a day before it for as good.
	best, at := math.Inf(1), 0
	var before, after float64
	for k := n / 2; k <= n-2; k++ {
		a, b := median(means[:k]), median(means[k:])
		cost := 0.0
		for i, m := range means {
			if i < k {
				cost += math.Abs(m - a)
			} else {
				cost += math.Abs(m - b)
			}
		}
		if cost < best {
			best, at, before, after = cost, k, a, b
		}
	}
	z := math.Abs(before-after) / (sd * math.Sqrt(math.Pi/2*(1/float64(at)+1/float64(n-at))))
	// Each day behind the step must lie on its side of the middle.
	if z < 6 || math.Abs(after-before) < 2*f.p.DeadZone {
		return
	}
	middle := (before + after) / 2
	wrong := 0
	for i, m := range means {
		if (i >= at) != ((m > middle) == (after > before)) {
			wrong++
		}
	}
	if wrong > n/10 {
		return
	}
	s.step = &LevelStep{Key: s.Key, At: f.time(starts[at]), Before: s.level + before, After: s.level + after}
	for t := starts[at]; t < len(s.cut); t++ {
		s.cut[t] = true
	}
	s.changed = true
}

func (f *fitter) time(t int) time.Time {
	return time.UnixMilli(f.h.start + int64(t)*f.h.window).UTC()
}

// growth are the factors by which the dead zone is tried to grow.
var growth = [...]float64{1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 16}

// honest grows the dead zone until the placebo run on the reference is
// credible: with M the recursion at weight 1 over its T windows,
// p = min(1, T / max M) is a p-value for "this reference is honest".
func (f *fitter) honest(s *fitting) {
	base := s.dead
	for _, g := range growth {
		s.dead = base * g
		l := s.asLaw()
		s.honesty = math.Min(1, float64(s.used)/s.placebo(&l))
		if s.honesty >= f.p.Honesty {
			return
		}
	}
}

// placebo returns the largest M at weight 1 over the reference.
func (s *fitting) placebo(l *law) float64 {
	st := newState(l)
	const tiny = 1e-100 // alarms never, as M stays far below 1
	most := 0.0
	for t, g := range s.good {
		if !g || s.cut[t] {
			l.skip(&st)
			continue
		}
		l.step(&st, s.u[t], s.track.r[t], l.dead, weights{ticket: tiny})
		sum := 0.0
		for _, m := range st.ticket {
			sum += m
		}
		if !(sum < 1) || sum/tiny > 1e90 {
			return math.Inf(1)
		}
		most = math.Max(most, sum/tiny)
	}
	return most
}

// fitted gathers the outcome.
func (f *fitter) fitted(before *Reference) (*Fitted, error) {
	h := f.h
	out := &Fitted{
		Windows: h.n, From: time.UnixMilli(h.start).UTC(), To: time.UnixMilli(h.last + h.window).UTC(), baseline: h.baseline, window: h.window,
	}
	holidays := f.holidays()
	steps := 0
	for _, s := range f.all {
		x := schemas.Healthy{
			Fitted: s.used, Days: round6(float64(h.n) * float64(h.window) / dayMS), Until: h.last + h.window,
			Rows: round6(s.meanRows()), Sampling: round6(s.meanR), Level: round6(s.level), Share: round6(s.share),
			Phi: round6(s.phi), Noise: round6(math.Sqrt(s.tau2)), Tail: s.nu, Scale: round6(s.scale),
			LevelSD: round6(s.levelSD), LevelSE: round6(s.levelSE), Dead: round6(s.dead), Honesty: round6(s.honesty),
			Slope: round6(s.slope), SlopeSE: round6(s.slopeSE), Holidays: holidays,
		}
		for _, v := range s.season {
			x.Season = append(x.Season, round6(v))
		}
		for t, c := range s.cut {
			if c && s.n[t] > 0 {
				x.Cut++
			}
		}
		if before != nil && !anchor(&x, before, s.Key, f.p) {
			continue
		}
		l := newLaw(s.Key, &x, f.p)
		if !l.sound() {
			return nil, fmt.Errorf("fitting %s: the fit is not finite: level %v, φ %v, noise %v, scale %v, dead zone %v", s.Key, x.Level, x.Phi, x.Noise, x.Scale, x.Dead)
		}
		out.Streams = append(out.Streams, FittedStream{s.Key, x})
		out.Cuts = append(out.Cuts, s.cuts...)
		if s.step != nil {
			steps++
			if out.Level == nil || math.Abs(s.step.After-s.step.Before) > math.Abs(out.Level.After-out.Level.Before) {
				out.Level = s.step
			}
		}
	}
	if out.Level != nil {
		out.Level.Streams = steps
	}
	slices.SortStableFunc(out.Cuts, func(a, b Cut) int { return cmp.Or(a.From.Compare(b.From), compareKeys(a.Key, b.Key)) })
	return out, nil
}

// anchor holds a refit to the reference before.
func anchor(x *schemas.Healthy, before *Reference, k Key, p *Parameters) bool {
	was, ok := before.Healthy(k)
	if !ok {
		return false
	}
	// Of a trend the level goes on as it was foretold.
	x.Level, x.LevelSE = round6(was.Level+was.Slope*damped(was.Until, x.Until)), was.LevelSE
	grow := func(now *float64, then float64) { *now = math.Min(*now, round6(then*p.MaxGrowth)) }
	grow(&x.Noise, was.Noise)
	grow(&x.Scale, was.Scale)
	grow(&x.LevelSD, was.LevelSD)
	grow(&x.Dead, was.Dead)
	x.Phi = math.Min(x.Phi, math.Max(was.Phi, 1-(1-was.Phi)/p.MaxGrowth))
	x.Dead = math.Max(x.Dead, p.DeadZone)
	x.Days = math.Max(x.Days, was.Days)
	x.Holidays = max(x.Holidays, was.Holidays)
	return true
}

func (s *fitting) meanRows() float64 {
	sum, n := 0.0, 0.0
	for _, k := range s.n {
		if k > 0 {
			sum += float64(k)
			n++
		}
	}
	return sum / math.Max(1, n)
}

// holidays counts the days of the calendar within the history.
func (f *fitter) holidays() int {
	seen := map[string]bool{}
	for t := range f.cells {
		if f.cells[t][0].holiday {
			seen[f.time(t).Format(time.DateOnly)] = true
		}
	}
	return len(seen)
}
