package stat

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// ClopperPearson returns the exact interval of coverage at least confidence
// for a rate of which k of n trials were seen,
//
//	low  = Beta⁻¹(α/2; k, n-k+1), 0 for k = 0
//	high = Beta⁻¹(1-α/2; k+1, n-k), 1 for k = n,  α = 1-confidence
//
// No trial gives [0, 1]; k > n or a confidence outside (0, 1) gives NaN.
//
// Source: Clopper and Pearson 1934.
func ClopperPearson(k, n uint64, confidence float64) (low, high float64) {
	if k > n || !(confidence > 0 && confidence < 1) {
		return math.NaN(), math.NaN()
	}
	alpha := (1 - confidence) / 2
	a, b := float64(k), float64(n-k)
	high = 1
	if k > 0 {
		low = distuv.Beta{Alpha: a, Beta: b + 1}.Quantile(alpha)
	}
	if k < n {
		high = distuv.Beta{Alpha: a + 1, Beta: b}.Quantile(1 - alpha)
	}
	return low, high
}

// TwoProportions returns z and the two-sided p-value of the score test that k
// of n and l of m come from one rate,
//
//	z = (k/n - l/m) / √(r(1-r)(1/n+1/m)), r = (k+l)/(n+m),  p = 2·P(Z >= |z|)
//
// which needs about five successes and failures on each side. No trial on one
// side, and a common rate of exactly 0 or 1, give z = 0 and p = 1; k > n or l
// > m gives NaN.
//
// Source: Pearson 1900; it is χ² of the 2×2 table without continuity correction.
func TwoProportions(k, n, l, m uint64) (z, p float64) {
	if k > n || l > m {
		return math.NaN(), math.NaN()
	}
	if n == 0 || m == 0 || k+l == 0 || k+l == n+m {
		return 0, 1
	}
	fn, fm := float64(n), float64(m)
	r := float64(k+l) / (fn + fm)
	z = (float64(k)/fn - float64(l)/fm) / math.Sqrt(r*(1-r)*(1/fn+1/fm))
	return z, 2 * NormalSurvival(math.Abs(z))
}
