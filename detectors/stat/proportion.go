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

// FisherTail returns the one-sided p-value of Fisher's exact test that the
// rate behind k of n is no larger than the rate behind l of m: with k+l
// successes among n+m trials given,
//
//	P(X >= k) = Σ_{j>=k} C(n,j)·C(m,k+l-j) / C(n+m,k+l)
//
// summed from j = k up, so that far tails keep their digits. k = 0, and no
// trial on one side, give 1; k > n or l > m gives NaN. The relative error is
// below 1e-7 for up to 1e7 trials.
//
// Source: Fisher 1935; scipy.stats.fisher_exact(alternative="greater").
func FisherTail(k, n, l, m uint64) float64 {
	if k > n || l > m {
		return math.NaN()
	}
	if k == 0 || n == 0 || m == 0 {
		return 1
	}
	t := k + l
	least := uint64(0) // fewest successes that n trials can have had
	if t > m {
		least = t - m
	}
	if k <= least {
		return 1
	}
	if float64(k) <= float64(n)*float64(t)/float64(n+m) {
		// Below the mean the other side is the short one; nothing cancels, as the result is not small.
		return max(0, 1-hypergeometricSum(k-1, n, t, m, -1))
	}
	return min(1, hypergeometricSum(k, n, t, m, 1))
}

// hypergeometricSum adds the probabilities of j successes among n when t are
// among n+m, from j on upwards (step 1) or downwards (step -1).
func hypergeometricSum(j, n, t, m uint64, step int) float64 {
	first := math.Exp(logChoose(n, j) + logChoose(m, t-j) - logChoose(n+m, t))
	sum, term := 0.0, 1.0
	for {
		sum += term
		var ratio float64
		if step > 0 {
			if j >= n || j >= t {
				break
			}
			ratio = float64(n-j) / float64(j+1) * float64(t-j) / float64(m-t+j+1)
			j++
		} else {
			if j == 0 || t-j >= m {
				break
			}
			ratio = float64(j) / float64(n-j+1) * float64(m-t+j) / float64(t-j+1)
			j--
		}
		term *= ratio
		if term < sum*1e-17 {
			break
		}
	}
	return first * sum
}

func logChoose(n, k uint64) float64 {
	a, _ := math.Lgamma(float64(n) + 1)
	b, _ := math.Lgamma(float64(k) + 1)
	c, _ := math.Lgamma(float64(n-k) + 1)
	return a - b - c
}
