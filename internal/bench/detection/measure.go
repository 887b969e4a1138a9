package detection

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// poissonUpper is the exact one-sided upper 95 % limit of the mean of a
// Poisson count of n (Garwood 1936): the λ with P(X <= n; λ) = .05.
func poissonUpper(n int) float64 { return mathext.GammaIncRegCompInv(float64(n)+1, .05) }

// dispersion is the variance of monthly counts over their mean, at least 1;
// 1 for fewer than two months or no event.
func dispersion(counts []int) float64 {
	if len(counts) < 2 {
		return 1
	}
	sum, square := 0.0, 0.0
	for _, n := range counts {
		sum += float64(n)
		square += float64(n) * float64(n)
	}
	k := float64(len(counts))
	m := sum / k
	if m == 0 {
		return 1
	}
	return max(1, (square/k-m*m)*k/(k-1)/m)
}

// upper95 is the greatest mean count of a month that the counts do not speak
// against: the Poisson limit times the dispersion.
func upper95(counts []int) float64 {
	n := 0
	for _, k := range counts {
		n += k
	}
	return poissonUpper(n) / float64(len(counts)) * dispersion(counts)
}

// Proof is the e-value at which a breach of the promise is proved.
const Proof = 1000

// breach is the e-value against "at most budget false ones are expected in a
// month",
//
//	W = mean over λ of .1, .3, .6 of Π_m (1 + λ·(N_m/B - 1))
//
// whose expectation is at most 1 when the promise holds, whatever the months
// have to do with one another as long as each keeps it given those before;
// so W >= 1000 has a chance of at most 1 in 1000 (Ville). No month gives 1.
func breach(counts []int, budget float64) float64 {
	w := 0.0
	for _, l := range []float64{.1, .3, .6} {
		p := 1.0
		for _, n := range counts {
			p *= 1 + l*(float64(n)/budget-1)
		}
		w += p / 3
	}
	return w
}

// quantile is the least value that at least the share q of the n runs do not
// exceed; runs without a value count as infinite. +Inf where too few have one.
func quantile(found []int, n int, q float64) float64 {
	s := slices.Sorted(slices.Values(found))
	i := max(0, int(math.Ceil(q*float64(n)-1e-9))-1)
	if n == 0 || i >= len(s) {
		return math.Inf(1)
	}
	return float64(s[i])
}

// interval is Clopper and Pearson's exact 95 % interval of a share; [0, 1]
// of nothing.
func interval(k, n int) (low, high float64) {
	low, high = 0, 1
	if k > 0 {
		low = mathext.InvRegIncBeta(float64(k), float64(n-k)+1, .025)
	}
	if k < n {
		high = mathext.InvRegIncBeta(float64(k)+1, float64(n-k), .975)
	}
	return low, high
}

// medianInterval is the exact distribution-free 95 % interval of a median
// from order statistics; +Inf where it is not seen.
func medianInterval(found []int, n int) (low, high float64) {
	if n == 0 {
		return 0, math.Inf(1)
	}
	// The greatest k with P(Binomial(n, ½) < k) <= .025.
	k, cum, term := 0, 0.0, math.Exp2(-float64(n))
	for cum+term <= .025 && k < n {
		cum += term
		k++
		term *= float64(n-k+1) / float64(k)
	}
	s := slices.Sorted(slices.Values(found))
	at := func(i int) float64 {
		if i < 0 {
			return 0
		}
		if i >= len(s) {
			return math.Inf(1)
		}
		return float64(s[i])
	}
	return at(k - 1), at(n - k)
}

// finite is x for JSON: nil where it is infinite or not a number.
func finite(x float64) *float64 {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return nil
	}
	return &x
}
