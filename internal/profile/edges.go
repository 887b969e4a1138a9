package profile

import (
	"math"
	"strconv"

	"github.com/modelwatch/modelwatch/schemas"
)

// edges returns the edges of bins for sorted values, all or a sample, whose
// extremes are lo and hi: about bins bins of equal counts, in which a value
// that fills more than one such bin has a bin of its own, and one bin beyond
// each extreme that is empty for the values themselves. Edges never fall on a
// value but between two, at the shortest number there, so that values off by
// a rounding error are counted as their neighbours are.
func edges(values []float64, lo, hi float64, bins int) []float64 {
	if len(values) == 0 {
		return nil
	}
	gapLow, gapHigh := gaps(values)
	out := cut(nil, lo-gapLow, lo)
	size := float64(len(values)) / float64(bins)
	filled := 0.0 // of the open bin
	for i := 0; i < len(values); {
		x := values[i]
		n := 1
		for i+n < len(values) && values[i+n] == x {
			n++
		}
		if float64(n) >= size && filled > 0 {
			out = cut(out, values[i-1], x)
			filled = 0
		}
		filled += float64(n)
		i += n
		if i < len(values) && filled >= size {
			out = cut(out, x, values[i])
			filled = 0
		}
	}
	return cut(out, hi, hi+gapHigh)
}

// cut appends the edge between a and b unless it is there.
func cut(out []float64, a, b float64) []float64 {
	if e := between(a, b); !math.IsInf(e, 0) && (len(out) == 0 || e > out[len(out)-1]) {
		out = append(out, e)
	}
	return out
}

// gaps returns the distance of the least and of the greatest value to its
// next; for a single value a millionth of it, and at least a millionth.
func gaps(values []float64) (low, high float64) {
	n := len(values)
	first, last := values[0], values[n-1]
	if first == last {
		g := max(1, math.Abs(first)) * 1e-6
		return g, g
	}
	for i := 1; i < n && low == 0; i++ {
		low = values[i] - first
	}
	for i := n - 2; i >= 0 && high == 0; i-- {
		high = last - values[i]
	}
	return low, high
}

// between returns the number with the fewest digits near the middle of a < b
// that lies between them, so that (…, e] ends after a and before b; a itself
// where nothing lies between.
func between(a, b float64) float64 {
	middle := a/2 + b/2
	for digits := 1; digits <= 17; digits++ {
		e, err := strconv.ParseFloat(strconv.FormatFloat(middle, 'g', digits, 64), 64)
		if err == nil && e > a && e < b {
			return e + 0
		}
	}
	return a
}

// anchor returns the anchor of the exact sums near the mean, a whole number
// where all values are, and the unit for values from lo to hi.
func anchor(mean, sd, lo, hi float64, whole bool) (at, unit float64) {
	step := 1.0
	if sd > 0 {
		_, exp := math.Frexp(sd)
		step = math.Ldexp(1, max(exp-3, -1000))
	}
	if whole {
		step = max(step, 1)
	}
	at = math.RoundToEven(mean/step) * step
	if math.IsNaN(at) || math.IsInf(at, 0) {
		at = 0
	}
	reach := max(hi-at, at-lo)
	unit = schemas.UnitFor(reach)
	if !(unit <= step) { // the anchor is a multiple of the unit
		at = math.RoundToEven(at/unit) * unit
	}
	return at + 0, unit
}
