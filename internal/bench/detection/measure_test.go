package detection

import (
	"math"
	"testing"
)

func TestPoissonLimitIsExact(t *testing.T) {
	// 0 events: -ln .05; 12 events: χ²(.95; 26)/2.
	for n, want := range map[int]float64{0: 2.995732, 1: 4.743865, 12: 19.442569} {
		if got := poissonUpper(n); math.Abs(got-want) > 1e-5 {
			t.Errorf("%d: %v, want %v", n, got, want)
		}
	}
	if got := upper95(make([]int, 12)); math.Abs(got-.2496) > 1e-3 {
		t.Errorf("twelve silent months leave %v", got)
	}
	if got := dispersion([]int{0, 0, 0, 8}); got != 8 {
		t.Errorf("dispersion %v", got)
	}
}

func TestBreachIsProvedOnlyByEvents(t *testing.T) {
	if w := breach([]int{0, 0}, 1); w >= 1 {
		t.Errorf("silence is W %v", w)
	}
	if w := breach([]int{1, 1}, 1); math.Abs(w-1) > 1e-12 {
		t.Errorf("as promised is W %v", w)
	}
	if w := breach([]int{5000, 4000}, 4); w < Proof {
		t.Errorf("a flood is W %v", w)
	}
	if w := breach(nil, 1); w != 1 {
		t.Errorf("nothing is W %v", w)
	}
	// The mean under a Poisson that just keeps the promise is 1.
	s, sum := newSource().at(1), 0.0
	const runs = 200_000
	for range runs {
		sum += breach([]int{s.binomial(1000, .001), s.binomial(1000, .001)}, 1) / runs
	}
	if math.Abs(sum-1) > .01 {
		t.Errorf("E[W] is %v", sum)
	}
}

func TestMissesAreInfiniteDelays(t *testing.T) {
	if q := quantile([]int{5, 1, 3}, 6, .5); q != 5 {
		t.Errorf("median %v", q)
	}
	if q := quantile([]int{5, 1, 3}, 8, .5); !math.IsInf(q, 1) {
		t.Errorf("median %v of three of eight", q)
	}
	if q := quantile(nil, 0, .5); !math.IsInf(q, 1) {
		t.Errorf("median %v of nothing", q)
	}
	low, high := medianInterval([]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, 10)
	if low != 2 || high != 9 {
		t.Errorf("interval %v to %v", low, high)
	}
	if l, h := interval(10, 10); math.Abs(l-.6915) > 1e-3 || h != 1 {
		t.Errorf("%v to %v", l, h)
	}
}
