package budget

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"

	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// The channels of a stream, with the unit of their statistic.
const (
	Location   = "location"    // mean normal score, in reference sd
	Spread     = "scale"       // half the second normal score about the mean, near the log of the sd
	Shape      = "shape"       // Cohen's w of the bins beyond location and scale; of categories, of all
	NullRate   = "null_rate"   // 2·asin √share of the rows
	NaNRate    = "nan_rate"    // 2·asin √share of the rows; NaN and the infinities
	AbsentRate = "absent_rate" // 2·asin √share of the rows
	UnseenRate = "unseen_rate" // 2·asin √share of the values; categories only
	TopShare   = "top_share"   // 2·asin √share of the values that are the reference's most common one
	Distinct   = "distinct"    // ln of distinct values over as many as are expected; categories, whole only
	Volume     = "volume"      // ln of the rows
	LabelRate  = "label_rate"  // -ln of the rows with labels: more of them are no gap
)

// order is the order in which the channels of a stream are told; a channel's
// rank is its place in it.
var order = [...]string{Location, Spread, Shape, TopShare, NullRate, NaNRate, AbsentRate, UnseenRate, Distinct}

// The ranks of the channels.
const (
	rankLocation = iota
	rankSpread
	rankShape
	rankTop
	rankNull
	rankNaN
	rankAbsent
	rankUnseen
	rankDistinct
	ranks
)

// readings are the statistics of one set of counts by rank, with the ranks
// that could be measured.
type readings struct {
	of  [ranks]measured
	has uint16
}

func (r *readings) put(rank int, m measured, ok bool) {
	if ok {
		r.of[rank] = m
		r.has |= 1 << rank
	}
}

// borrowed is how many values' worth of the reference's variance go into the
// variance of a window, so that few equal values do not look certain.
const borrowed = 10

// minShare is the share of the reference that one group of bins of the
// omnibus has at least: below it one row would decide.
const minShare = 1. / 64

// measured is one statistic and its known sampling variance.
type measured struct {
	y, r float64
	n    uint64
}

// counts is what a statistic is made of, of a window or a reference, of a
// slice or of the rest.
type counts struct {
	rows, present, null, nan, absent uint64
	bins                             []uint64
}

func countsOf(s *summary.Summary) counts {
	return counts{s.Rows, s.Present, s.Null, s.NaN + s.PosInf + s.NegInf, s.Absent, s.Bins}
}

func countsOfReference(s *schemas.BaselineStream) counts {
	return counts{s.Rows, s.Present, s.Nulls, s.NaNs + s.Infs, s.Absent, s.Bins}
}

// without takes the rows of o out of c. Late revisions may make a slice
// larger than its whole for a moment: what would be negative is 0. The bins of
// the result are written to room where they fit.
func (c *counts) without(o *counts, room []uint64) counts {
	if cap(room) < len(c.bins) {
		room = make([]uint64, len(c.bins))
	}
	out := counts{
		rows: c.rows - min(c.rows, o.rows), present: c.present - min(c.present, o.present), null: c.null - min(c.null, o.null),
		nan: c.nan - min(c.nan, o.nan), absent: c.absent - min(c.absent, o.absent), bins: room[:len(c.bins)],
	}
	for i, n := range c.bins {
		if i < len(o.bins) {
			n -= min(n, o.bins[i])
		}
		out.bins[i] = n
	}
	return out
}

// standard is the reference's side of one slice, or of the whole.
type standard struct {
	counts counts
	shape  *omnibus       // nil where one group only
	share  [ranks]float64 // the reference's, of the rates
	angle  [ranks]float64 // 2·asin √ of it
	rest   *standard      // of a slice: the whole without it
	slots  [ranks]int32   // where a Reference keeps the streams, -1 for none
}

// yardstick measures the windows of one column by its reference.
type yardstick struct {
	column  *schemas.BaselineColumn
	whole   *standard
	slices  map[string]*standard
	score   []float64 // normal score of a bin; nil where there is one bin only, or categories
	square  []float64 // its second score
	vScore  float64   // reference variance of the scores
	vSecond float64
	top     int // the most common bin, -1 where no value stands out
	ranks   []int
}

// newYardstick prepares a column of a baseline.
func newYardstick(c *schemas.BaselineColumn) *yardstick {
	s := &yardstick{column: c, slices: map[string]*standard{}, top: -1, ranks: ranksOf(c)}
	for i := range c.Streams {
		st := &c.Streams[i]
		if st.Slice == "" {
			s.whole = &standard{counts: countsOfReference(st)}
		}
	}
	if s.whole == nil {
		s.whole = &standard{}
	}
	bins := s.whole.counts.bins
	n := total(bins)
	if n > 0 && c.Role != schemas.RoleRows {
		categories := c.Type == schemas.TypeCategory
		if !categories && len(bins) > 1 {
			s.scores()
		}
		most := 0
		for i, k := range bins {
			if k > bins[most] {
				most = i
			}
		}
		// Of a number only a value that is heavy by itself has a share worth following.
		if categories && len(bins) > 2 || !categories && float64(bins[most]) >= .1*n && len(bins) > 1 {
			s.top = most
		}
	}
	s.prepare(s.whole)
	for i := range c.Streams {
		st := &c.Streams[i]
		if st.Slice == "" {
			continue
		}
		k := &standard{counts: countsOfReference(st)}
		s.prepare(k)
		k.rest = &standard{counts: s.whole.counts.without(&k.counts, nil)}
		s.prepare(k.rest)
		k.rest.shape = s.whole.shape // the rest is most of the whole, and its scores are those
		s.slices[st.Slice] = k
	}
	return s
}

// prepare computes what a standard's counts say.
func (s *yardstick) prepare(st *standard) {
	values := total(st.counts.bins)
	if values > 0 {
		st.shape = newOmnibus(st.counts.bins, s.score, s.square)
	}
	for rank := rankTop; rank <= rankUnseen; rank++ {
		if k, n, ok := s.of(rank, &st.counts, uint64(values)); ok && n > 0 {
			st.share[rank] = float64(k) / float64(n)
			st.angle[rank] = 2 * math.Asin(math.Sqrt(st.share[rank]))
		}
	}
	for i := range st.slots {
		st.slots[i] = -1
	}
}

// ranksOf lists what is followed of a column.
func ranksOf(c *schemas.BaselineColumn) []int {
	switch {
	case c.Role == schemas.RoleLatency:
		return []int{rankLocation}
	case c.Type == schemas.TypeCategory && c.Role == schemas.RoleFeature:
		return []int{rankShape, rankTop, rankNull, rankNaN, rankAbsent, rankUnseen, rankDistinct}
	case c.Type == schemas.TypeCategory:
		return []int{rankShape, rankTop, rankNull, rankAbsent, rankUnseen, rankDistinct}
	case c.Role == schemas.RoleFeature:
		return []int{rankLocation, rankSpread, rankShape, rankTop, rankNull, rankNaN, rankAbsent}
	}
	return []int{rankLocation, rankSpread, rankShape, rankTop, rankNull, rankAbsent} // what is not finite there is a hard fault
}

// scores computes the expected normal score of each bin and its second
// moment about 1, given the reference's shares p (smoothed by half a count):
//
//	a_b = (φ(z_{b-1}) - φ(z_b)) / p_b,   c_b = (z_{b-1}φ(z_{b-1}) - z_bφ(z_b)) / p_b
//
// divided by the reference's own sd of a, so that the unit is that sd however
// coarse the bins are.
func (s *yardstick) scores() {
	bins := s.whole.counts.bins
	k := len(bins)
	n := total(bins) + float64(k)/2
	s.score, s.square = make([]float64, k), make([]float64, k)
	cumulated, before, beforeZ := 0.0, 0.0, 0.0
	for b, m := range bins {
		p := (float64(m) + .5) / n
		cumulated += p
		density, edge := 0.0, 0.0
		if b < k-1 {
			z := mathext.NormalQuantile(math.Min(cumulated, 1-1e-12))
			density = math.Exp(-z*z/2) / math.Sqrt(2*math.Pi)
			edge = z * density
		}
		s.score[b] = (before - density) / p
		s.square[b] = (beforeZ - edge) / p
		s.vScore += p * s.score[b] * s.score[b]
		before, beforeZ = density, edge
	}
	// A column that hardly varies has no sd to speak of: a twentieth then.
	unit := math.Sqrt(math.Max(s.vScore, .05))
	s.vScore /= unit * unit
	for b, m := range bins {
		s.score[b] /= unit
		s.square[b] /= unit * unit
		s.vSecond += (float64(m) + .5) / n * s.square[b] * s.square[b] / 4
	}
}

// moments puts location and scale of the values in r: the mean score and half
// the mean second score about the window's own location, so that a shift does
// not leak into it to first order,
//
//	y₁ = Σ q_b·a_b,   y₂ = ½·Σ q_b·(c_b - 2y₁a_b + y₁²)
//	r  = (n·Var_q + 10·Var_p) / (n·(n+10))
//
// and nothing without a value.
func (s *yardstick) moments(c *counts, n float64, r *readings) {
	if n == 0 || s.score == nil || len(c.bins) != len(s.score) {
		return
	}
	var m, v, second, square, cross float64
	for b, k := range c.bins {
		f, at, sq := float64(int64(k)), s.score[b], s.square[b]
		w := f * at
		m += w
		v += w * at
		cross += w * sq
		w = f * sq
		second += w
		square += w * sq
	}
	y := m / n
	v, second, square, cross = v/n, second/n, square/n, cross/n
	r.put(rankLocation, measured{y, variance(v-y*y, s.vScore, n), uint64(n)}, true)
	y2 := (second - y*y) / 2
	// ¼·E[(c-2ya+y²)²] - y2², multiplied out.
	e2 := (square + 4*y*y*v + y*y*y*y - 4*y*cross + 2*y*y*second - 4*y*y*y*y) / 4
	r.put(rankSpread, measured{y2, variance(e2-y2*y2, s.vSecond, n), uint64(n)}, true)
}

// variance returns that of a mean of n, the window's own shrunk towards the reference's.
func variance(window, reference, n float64) float64 {
	return (n*math.Max(0, window) + borrowed*reference) / (n * (n + borrowed))
}

// rate returns 2·asin √((k+⅜)/(n+¾)) less the bias that it has at the
// reference's rate, and its variance 1/(n+½) (Anscombe 1948). Without that
// correction a rate of 0 would seem to fall as a window grows.
func rate(k, n uint64, p float64) (measured, bool) {
	if n == 0 {
		return measured{}, false
	}
	fn := float64(n)
	if k == 0 && p == 0 {
		return measured{0, 1 / (fn + .5), n}, true // the usual way, and exact
	}
	y := anscombe(float64(k), fn) - rateBias(fn, p)
	return measured{y, 1 / (fn + .5), n}, true
}

func anscombe(k, n float64) float64 {
	return 2 * math.Asin(math.Sqrt(math.Min(1, (k+.375)/(n+.75))))
}

// rateBias returns E[2·asin √((K+⅜)/(n+¾))] - 2·asin √p of K binomial (n, p):
// by its sum for up to 64 trials, above by the Poisson law of the rarer side,
//
//	(E[2√(K+⅜)] - 2√λ) / √n
//
// and 0 where λ is 6 or more and nothing is left of it.
func rateBias(n, p float64) float64 {
	lambda := n * p
	switch {
	case p > .5:
		return -rateBias(n, 1-p)
	case p <= 0:
		return anscombe(0, n)
	case n > 64 && lambda >= 6:
		return 0
	case n > 64:
		term, mean := math.Exp(-lambda), 0.0
		for k := 0.0; k < 24; k++ {
			mean += term * math.Sqrt(k+.375)
			term *= lambda / (k + 1)
		}
		return 2 * (mean - math.Sqrt(lambda)) / math.Sqrt(n)
	}
	term, odds, mean := math.Exp(n*math.Log1p(-p)), p/(1-p), 0.0
	for k := 0.0; k <= n; k++ {
		mean += term * anscombe(k, n)
		term *= odds * (n - k) / (k + 1)
	}
	return mean - 2*math.Asin(math.Sqrt(p))
}

// omnibus measures any change of shares beyond location and scale.
type omnibus struct {
	group   []int     // of a bin
	p       []float64 // reference share of a group
	h1, h2  []float64 // orthonormal scores of location and scale, taken out; nil for categories
	own     []float64 // K(g,g) of the kernel of what is left
	inverse []float64 // of p
	dims    float64
}

// newOmnibus pools the bins of a reference into groups of at least minShare,
// neighbours for numbers, rare ones for categories, and takes the scores of
// location and scale out of their space. It returns nil where nothing is left.
func newOmnibus(bins []uint64, score, square []float64) *omnibus {
	n := total(bins)
	o := &omnibus{group: make([]int, len(bins))}
	if score != nil {
		run := 0.0
		for b, k := range bins {
			o.group[b] = len(o.p)
			run += float64(k) / n
			if run >= minShare {
				o.p = append(o.p, run)
				run = 0
			}
		}
		if run > 0 || len(o.p) > 0 && o.group[len(bins)-1] == len(o.p) {
			if len(o.p) == 0 {
				return nil
			}
			for b := range o.group {
				o.group[b] = min(o.group[b], len(o.p)-1)
			}
			o.p[len(o.p)-1] += run
		}
	} else {
		o.poolRare(bins, n)
	}
	o.dims = float64(len(o.p) - 1)
	if o.dims < 1 {
		return nil
	}
	if score != nil {
		o.takeOut(bins, n, score, square)
		if o.dims < 1 {
			return nil
		}
	}
	o.own, o.inverse = make([]float64, len(o.p)), make([]float64, len(o.p))
	for g, p := range o.p {
		o.inverse[g] = 1 / p
		o.own[g] = 1/p - 1
		if o.h1 != nil {
			o.own[g] -= o.h1[g]*o.h1[g] + o.h2[g]*o.h2[g]
		}
	}
	return o
}

func (o *omnibus) poolRare(bins []uint64, n float64) {
	byCount := make([]int, len(bins))
	for i := range byCount {
		byCount[i] = i
	}
	slices.SortStableFunc(byCount, func(a, b int) int { return cmp.Compare(bins[b], bins[a]) })
	rest := 0.0
	restGroup := -1
	for _, b := range byCount {
		p := float64(bins[b]) / n
		if p >= minShare && restGroup < 0 {
			o.group[b] = len(o.p)
			o.p = append(o.p, p)
			continue
		}
		if restGroup < 0 {
			restGroup = len(o.p)
		}
		o.group[b] = restGroup
		rest += p
	}
	if restGroup < 0 {
		return
	}
	if rest >= minShare || len(o.p) == 0 {
		o.p = append(o.p, math.Max(rest, 1e-12))
		return
	}
	for b, g := range o.group {
		o.group[b] = min(g, restGroup-1)
	}
	o.p[restGroup-1] += rest
}

// takeOut makes the groups' scores of location and scale orthonormal to 1 and
// to each other under p.
func (o *omnibus) takeOut(bins []uint64, n float64, score, square []float64) {
	o.h1, o.h2 = make([]float64, len(o.p)), make([]float64, len(o.p))
	for b, k := range bins {
		g := o.group[b]
		o.h1[g] += float64(k) / n / o.p[g] * score[b]
		o.h2[g] += float64(k) / n / o.p[g] * square[b]
	}
	project := func(h, on []float64) {
		dot := 0.0
		for g, p := range o.p {
			if on == nil {
				dot += p * h[g]
			} else {
				dot += p * h[g] * on[g]
			}
		}
		for g := range h {
			if on == nil {
				h[g] -= dot
			} else {
				h[g] -= dot * on[g]
			}
		}
	}
	normalise := func(h []float64) {
		v := 0.0
		for g, p := range o.p {
			v += p * h[g] * h[g]
		}
		f := 0.0
		if v > 1e-9 {
			f = 1 / math.Sqrt(v)
			o.dims--
		}
		for g := range h {
			h[g] *= f
		}
	}
	project(o.h1, nil)
	normalise(o.h1)
	project(o.h2, nil)
	project(o.h2, o.h1)
	normalise(o.h2)
}

// leak returns the w² that normal values of that location and scale show
// beyond the first two Hermite polynomials, by the next two,
//
//	(δ³+3δv)²/6 + (δ⁴+6δ²v+3v²)²/24,   v = σ²-1
//
// so that a large shift, or a wild level, is not called a change of shape too.
func leak(r *readings) float64 {
	if r.has&(1<<rankLocation|1<<rankSpread) == 0 {
		return 0
	}
	d, v := r.of[rankLocation].y, 2*r.of[rankSpread].y
	third := d * (d*d + 3*v)
	fourth := d*d*(d*d+6*v) + 3*v*v
	return third*third/6 + fourth*fourth/24
}

// measure returns Cohen's w over the groups, beyond location and scale, less
// what chance makes of it and what they leak,
//
//	U = (n·Σ_j(Σ_g q_g h_j(g))² - Σ_g q_g K(g,g)) / (n-1)
//	y = √max(0, U+d/n) - √(d/n+leak),   r = (U⁺ + d/(2n)) / (n·(U⁺ + d/n)) + leak
//
// h_j an orthonormal basis of the d dimensions that are left, K its kernel, U
// the unbiased estimate of w², r by the delta method. On the scale of w a
// level's noise stays as large as it is wherever the season has taken w; on
// that of w² it would be multiplied by w. Fewer than two values give nothing.
func (o *omnibus) measure(bins []uint64, n, leak float64) (measured, bool) {
	if o == nil || n < 2 || len(bins) != len(o.group) {
		return measured{}, false
	}
	var room [128]float64
	q := room[:]
	if len(o.p) > len(q) {
		q = make([]float64, len(o.p))
	}
	for b, k := range bins {
		q[o.group[b]] += float64(int64(k))
	}
	var all, own, d1, d2 float64
	inv := 1 / n
	for g, p := range o.p {
		x := q[g] * inv
		d := x - p
		all += d * d * o.inverse[g]
		own += x * o.own[g]
		if o.h1 != nil {
			d1 += d * o.h1[g]
			d2 += d * o.h2[g]
		}
	}
	u := (n*(all-d1*d1-d2*d2) - own) / (n - 1)
	chance := o.dims / n
	above := math.Max(0, u)
	return measured{math.Sqrt(math.Max(0, u+chance)) - math.Sqrt(chance+leak), (above+chance/2)/(n*(above+chance)) + leak, uint64(n)}, true
}

// distinct returns the logarithm of the distinct values over those expected
// of n values drawn by the reference's shares,
//
//	y = ln (D+½) - ln (Σ_i 1-(1-p_i)^n + ½)
//
// for categories, and its variance: that of the occupancy, and of the
// registers where D is estimated.
func (s *yardstick) distinct(sum *summary.Summary) (measured, bool) {
	if s.column.Type != schemas.TypeCategory || sum.Present == 0 || total(s.whole.counts.bins) == 0 {
		return measured{}, false
	}
	d, ok := sum.Distinct.Estimate()
	if !ok || d == 0 {
		return measured{}, false
	}
	n, all := float64(sum.Present), total(s.whole.counts.bins)
	var expected, v float64
	for _, k := range s.whole.counts.bins {
		if k > 0 {
			none := math.Exp(n * math.Log1p(-math.Min(float64(k)/all, 1-1e-12)))
			expected += 1 - none
			v += none * (1 - none)
		}
	}
	r := (v + .25) / ((expected + .5) * (expected + .5))
	if sum.Distinct.Registers != nil {
		r += 1.0816 / (1 << summary.Precision)
	}
	return measured{math.Log((float64(d) + .5) / (expected + .5)), r, sum.Present}, true
}

// measure measures the channels that counts can tell, by a standard of the
// same slice.
func (s *yardstick) measure(c *counts, by *standard) readings {
	var r readings
	n := total(c.bins)
	for _, rank := range s.ranks {
		switch rank {
		case rankLocation:
			s.moments(c, n, &r)
		case rankSpread, rankDistinct:
		case rankShape:
			m, ok := by.shape.measure(c.bins, n, leak(&r))
			r.put(rank, m, ok)
		default:
			if k, of, ok := s.of(rank, c, uint64(n)); ok {
				m, ok := rate(k, of, by.share[rank])
				r.put(rank, m, ok)
			}
		}
	}
	return r
}

// of returns what a rate's channel counts: k of n; values is the sum of the bins.
func (s *yardstick) of(rank int, c *counts, values uint64) (k, n uint64, ok bool) {
	switch rank {
	case rankTop:
		if s.top >= 0 && s.top < len(c.bins) {
			return c.bins[s.top], values, true
		}
	case rankNull:
		return c.null, c.rows, true
	case rankNaN:
		return c.nan, c.rows, true
	case rankAbsent:
		return c.absent, c.rows, true
	case rankUnseen:
		if len(c.bins) > 0 {
			return c.bins[len(c.bins)-1], c.present, true
		}
	}
	return 0, 0, false
}

func total(bins []uint64) float64 {
	var n uint64
	for _, k := range bins {
		n += k
	}
	return float64(n)
}
