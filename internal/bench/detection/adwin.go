package detection

import "math"

// ADWIN finds changes of a mean by an adaptive window: values are kept in
// buckets of 1, 2, 4, … values, at most five of a size, and the oldest ones are
// dropped while the means of two parts of the window differ by more than
//
//	ε = √(2·m·σ²·ln(2·ln W/δ)) + ⅔·m·ln(2·ln W/δ),  m = 1/(n₀-l+1) + 1/(n₁-l+1)
//
// σ² being the variance in the window, W its length and l the least length of
// a part. A detection starts afresh.
//
// Source: Bifet and Gavaldà 2007; agrees with river's drift.ADWIN, whose
// parameters and their defaults these are.
type ADWIN struct {
	Certainty float64 // -ln δ, so that δ may be smaller than a number can be
	Clock     int     // values between two looks
	Buckets   int     // of a size
	Least     int     // values of a part
	Grace     int     // values before the first look

	rows            [][]bucket // rows[i] has buckets of 2^i values, oldest first
	width           int
	total, variance float64 // variance is the sum of squares about the mean
	tick            int
	found           bool
}

type bucket struct{ total, variance float64 }

// NewADWIN returns the detector with the defaults of river but for δ = exp(-certainty);
// river's is .002.
func NewADWIN(certainty float64) *ADWIN {
	return &ADWIN{Certainty: certainty, Clock: 32, Buckets: 5, Least: 5, Grace: 10}
}

// Width is the number of values in the window.
func (a *ADWIN) Width() int { return a.width }

// Update takes the next value and reports whether the mean has changed.
func (a *ADWIN) Update(x float64) bool {
	if a.found {
		a.rows, a.width, a.total, a.variance, a.tick = a.rows[:0], 0, 0, 0, 0
	}
	if len(a.rows) == 0 {
		a.rows = append(a.rows, nil)
	}
	a.rows[0] = append(a.rows[0], bucket{total: x})
	a.width++
	if a.width > 1 {
		n := float64(a.width)
		d := x - a.total/(n-1)
		a.variance += (n - 1) * d * d / n
	}
	a.total += x
	a.compress()
	a.tick++
	a.found = a.tick%a.Clock == 0 && a.width > a.Grace && a.shrink()
	return a.found
}

// compress joins the two oldest buckets of a size that has too many.
func (a *ADWIN) compress() {
	for i := 0; i < len(a.rows) && len(a.rows[i]) > a.Buckets; i++ {
		if i+1 == len(a.rows) {
			a.rows = append(a.rows, nil)
		}
		n := math.Ldexp(1, i)
		one, two := a.rows[i][0], a.rows[i][1]
		d := (one.total - two.total) / n
		a.rows[i+1] = append(a.rows[i+1], bucket{one.total + two.total, one.variance + two.variance + n*d*d/2})
		a.rows[i] = append(a.rows[i][:0], a.rows[i][2:]...)
	}
}

// shrink drops the oldest bucket for as long as two parts differ.
func (a *ADWIN) shrink() (found bool) {
	for a.differs() {
		found = true
		a.drop()
	}
	return found
}

func (a *ADWIN) differs() bool {
	var n0, u0 float64
	n1, u1 := float64(a.width), a.total
	delta := math.Log(2*math.Log(float64(a.width))) + a.Certainty
	variance := a.variance / float64(a.width)
	for i := len(a.rows) - 1; i >= 0; i-- {
		size := math.Ldexp(1, i)
		for k := 0; k < len(a.rows[i]); k++ {
			n0, n1 = n0+size, n1-size
			u0, u1 = u0+a.rows[i][k].total, u1-a.rows[i][k].total
			if n0 < float64(a.Least) || n1 < float64(a.Least) {
				continue
			}
			m := 1/(n0-float64(a.Least)+1) + 1/(n1-float64(a.Least)+1)
			if math.Abs(u0/n0-u1/n1) > math.Sqrt(2*m*variance*delta)+2./3*delta*m {
				return true
			}
		}
	}
	return false
}

func (a *ADWIN) drop() {
	last := len(a.rows) - 1
	b := a.rows[last][0]
	n := math.Ldexp(1, last)
	a.width -= int(n)
	a.total -= b.total
	d := b.total/n - a.total/float64(a.width)
	a.variance -= b.variance + n*float64(a.width)*d*d/(n+float64(a.width))
	if a.rows[last] = append(a.rows[last][:0], a.rows[last][1:]...); len(a.rows[last]) == 0 {
		a.rows = a.rows[:last]
	}
}

// PageHinkley finds changes of a mean by the fading sums of deviations from
// the running mean x̄ of all values,
//
//	u ← α·u + (x - x̄ - δ),  l ← α·l + (x - x̄ + δ),  alarm at u - min u > λ or max l - l > λ
//
// after at least Least values. A detection starts afresh.
//
// Source: Page 1954; agrees with river's drift.PageHinkley, whose parameters
// and their defaults these are. λ is in units of the values.
type PageHinkley struct {
	Least                   int
	Delta, Threshold, Alpha float64

	n               int
	mean, up, down  float64
	lowest, highest float64
	found, begun    bool
}

// NewPageHinkley returns the detector with the defaults of river.
func NewPageHinkley() *PageHinkley {
	return &PageHinkley{Least: 30, Delta: .005, Threshold: 50, Alpha: 1 - .0001}
}

// Update takes the next value and reports whether the mean has changed.
func (p *PageHinkley) Update(x float64) bool {
	if p.found || !p.begun {
		p.n, p.mean, p.up, p.down, p.lowest, p.highest, p.begun = 0, 0, 0, 0, math.Inf(1), -1, true
	}
	p.n++
	p.mean += (x - p.mean) / float64(p.n)
	d := x - p.mean
	p.up, p.down = p.Alpha*p.up+d-p.Delta, p.Alpha*p.down+d+p.Delta
	p.lowest, p.highest = min(p.lowest, p.up), max(p.highest, p.down)
	p.found = p.n >= p.Least && (p.up-p.lowest > p.Threshold || p.highest-p.down > p.Threshold)
	return p.found
}
