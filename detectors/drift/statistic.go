package drift

import (
	"math"
)

// WassersteinSD returns the first Wasserstein distance between reference and
// window in reference standard deviations,
//
//	∫ |P(x) - Q(x)| dx / sd
//
// from counts over bins (edges[i-1], edges[i]], one more than edges. Inside a
// bin, values are taken as spread evenly. The outer bins reach from the
// outermost edge to the reference's extreme (low, high), but at least sd/2
// and at most 2·sd beyond the edge, so that one outlier does not stretch
// them and a window beyond the reference's extreme is not lost; what lies
// further out counts as within. So the result is bounded, equal shares give
// exactly 0, and for values within the bounds it differs from the distance of
// the raw values by at most Σ_b (p_b+q_b)·width_b / (2·sd).
//
// sd must be positive and finite, low <= high, edges increasing; else, and
// when the lengths do not fit, the result is NaN. No value on one side gives
// NaN: there is nothing to compare. No edges, a single bin, gives 0.
//
// Source: Vallender 1974; on raw values scipy.stats.wasserstein_distance.
func WassersteinSD(edges []float64, low, high, sd float64, ref, win []uint64) float64 {
	n, m := total(ref), total(win)
	if len(ref) != len(edges)+1 || len(win) != len(ref) || n == 0 || m == 0 || !(sd > 0) || math.IsInf(sd, 1) || !(low <= high) {
		return math.NaN()
	}
	if len(edges) == 0 {
		return 0
	}
	var area float64
	var p, q uint64
	before := 0.0 // P - Q at the left border of the bin
	for b := range ref {
		p, q = p+ref[b], q+win[b]
		after := float64(p)/n - float64(q)/m
		area += between(before, after) * width(edges, low, high, sd, b)
		before = after
	}
	return area / sd
}

// width returns the width of bin b.
func width(edges []float64, low, high, sd float64, b int) float64 {
	last := len(edges) - 1
	switch {
	case b == 0:
		return min(max(edges[0]-low, sd/2), 2*sd)
	case b > last:
		return min(max(high-edges[last], sd/2), 2*sd)
	}
	return edges[b] - edges[b-1]
}

// between returns the mean of |y| as y goes evenly from a to b.
func between(a, b float64) float64 {
	if a*b >= 0 {
		return math.Abs(a+b) / 2
	}
	return (a*a + b*b) / (2 * (math.Abs(a) + math.Abs(b)))
}

// CohenW returns the effect size of a change of shares,
//
//	w = √Σ (q-p)²/p̃,  p̃ = (count+½)/(total+k/2)
//
// over k categories, p the reference's share and q the window's. Only the
// divisor is smoothed, by half a count (Jeffreys), so that a category the
// reference has never seen gives a large number and not infinity, and equal
// shares give exactly 0. It does not depend on the order of the categories.
// In a window of n rows like the reference, w² is about (k-1)/n by chance.
// No count on one side, or unequal lengths, give NaN.
//
// Source: Cohen 1988, §7.2.
func CohenW(ref, win []uint64) float64 {
	n, m := total(ref), total(win)
	if len(ref) != len(win) || n == 0 || m == 0 {
		return math.NaN()
	}
	var sum float64
	for i := range ref {
		d := float64(win[i])/m - float64(ref[i])/n
		sum += d * d * (n + float64(len(ref))/2) / (float64(ref[i]) + .5)
	}
	return math.Sqrt(sum)
}

// KS returns the two-sample Kolmogorov–Smirnov statistic at the bins' edges,
//
//	max_b |P_b - Q_b|
//
// of cumulative shares. It is at most that of the raw values, is symmetric,
// and does not change when values and edges are transformed by the same
// increasing function. No count on one side, or unequal lengths, give NaN.
//
// Source: as scipy.stats.ks_2samp on values rounded up to their bin's edge.
func KS(ref, win []uint64) float64 {
	n, m := total(ref), total(win)
	if len(ref) != len(win) || n == 0 || m == 0 {
		return math.NaN()
	}
	var d float64
	var p, q uint64
	for i := range ref {
		p, q = p+ref[i], q+win[i]
		d = max(d, math.Abs(float64(p)/n-float64(q)/m))
	}
	return d
}

// PSI returns the population stability index,
//
//	Σ (q-p)·ln(q/p), shares smoothed as (count+½)/(total+k/2)
//
// which is symmetric and about (k-1)(1/n+1/m) by chance. Equal counts give
// exactly 0, equal shares of different totals something small. No count on
// one side, or unequal lengths, give NaN.
//
// Source: Lewis 1994; Jeffreys 1946 as the symmetric divergence.
func PSI(ref, win []uint64) float64 {
	n, m := total(ref), total(win)
	if len(ref) != len(win) || n == 0 || m == 0 {
		return math.NaN()
	}
	k := float64(len(ref)) / 2
	var sum float64
	for i := range ref {
		p, q := (float64(ref[i])+.5)/(n+k), (float64(win[i])+.5)/(m+k)
		sum += (q - p) * math.Log(q/p)
	}
	return sum
}

// JensenShannon returns the Jensen–Shannon distance to base 2, in [0, 1],
//
//	√(½Σ p·log₂(p/h) + ½Σ q·log₂(q/h)), h = (p+q)/2
//
// which is symmetric and 0 for equal shares. No count on one side, or unequal
// lengths, give NaN.
//
// Source: Lin 1991; scipy.spatial.distance.jensenshannon(base=2).
func JensenShannon(ref, win []uint64) float64 {
	n, m := total(ref), total(win)
	if len(ref) != len(win) || n == 0 || m == 0 {
		return math.NaN()
	}
	var sum float64
	for i := range ref {
		p, q := float64(ref[i])/n, float64(win[i])/m
		h := (p + q) / 2
		if p > 0 {
			sum += p * math.Log2(p/h)
		}
		if q > 0 {
			sum += q * math.Log2(q/h)
		}
	}
	return math.Sqrt(min(1, max(0, sum/2)))
}

func total(s []uint64) float64 {
	var n uint64
	for _, k := range s {
		n += k
	}
	return float64(n)
}
