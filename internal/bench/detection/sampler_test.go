package detection

import (
	"fmt"
	"math"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
)

// Pearson's statistic of the draws against the exact probabilities, in both
// regions of the sampler and at their border.
func TestBinomialDrawsHaveTheirProbabilities(t *testing.T) {
	f := func(n int, p float64) {
		t.Helper()
		const draws = 200_000
		s := newSource().at(7, uint64(n), math.Float64bits(p))
		seen := map[int]int{}
		for range draws {
			k := s.binomial(n, p)
			if k < 0 || k > n {
				t.Fatalf("%d of %d", k, n)
			}
			seen[k]++
		}
		d := distuv.Binomial{N: float64(n), P: p}
		var chi, expected, observed float64
		cells := 0
		for k := range n + 1 {
			expected += draws * d.Prob(float64(k))
			observed += float64(seen[k])
			if expected >= 20 && draws*(1-d.CDF(float64(k))) >= 20 {
				chi += (observed - expected) * (observed - expected) / expected
				expected, observed, cells = 0, 0, cells+1
			}
		}
		chi += (observed - expected) * (observed - expected) / max(expected, 1)
		if q := (distuv.ChiSquared{K: float64(max(cells, 1))}).Survival(chi); q < 1e-4 {
			t.Errorf("n=%d p=%v: chi² %.1f of %d cells, p %.2g", n, p, chi, cells, q)
		}
	}
	f(1, .3)
	f(20, .02)
	f(20, .97)
	f(399, .025)
	f(401, .025)
	f(2000, .025)
	f(2000, .5)
	f(100_000, .001)
	f(100_000, .4)
}

func TestSamplerEdges(t *testing.T) {
	s := newSource().at(1)
	for _, c := range []struct {
		n    int
		p    float64
		want int
	}{{0, .5, 0}, {-3, .5, 0}, {5, 0, 0}, {5, -1, 0}, {5, 1, 5}, {5, 2, 5}, {5, math.NaN(), 0}} {
		if got := s.binomial(c.n, c.p); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
	counts := make([]uint64, 4)
	s.spread(1000, []float64{.1, 0, .6, .3}, counts)
	if counts[0]+counts[2]+counts[3] != 1000 || counts[1] != 0 || counts[2] < 500 {
		t.Error(counts)
	}
}

func TestInnovationsHaveUnitVariance(t *testing.T) {
	for _, heavy := range []bool{false, true} {
		s := newSource().at(3)
		var sum, square float64
		const n = 400_000
		for range n {
			x := s.innovation(heavy)
			sum += x
			square += x * x
		}
		if mean, v := sum/n, square/n; math.Abs(mean) > .01 || math.Abs(v-1) > .06 {
			t.Errorf("heavy %v: mean %.3f, variance %.3f", heavy, mean, v)
		}
	}
}

func TestLogFactorial(t *testing.T) {
	for k := 0.0; k < 2000; k += 7 {
		want, _ := math.Lgamma(k + 1)
		if got := logFactorial(k); math.Abs(got-want) > 1e-9*(1+want) {
			t.Error(fmt.Sprint(k, got, want))
		}
	}
}

func BenchmarkBinomial(b *testing.B) {
	s := newSource().at(1)
	for b.Loop() {
		s.binomial(2000, .025)
	}
}
