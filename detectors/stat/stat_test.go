package stat_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"
	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/detectors/stat"
)

type golden struct {
	Normal     []struct{ Z, P float64 }
	Kolmogorov []struct{ Lambda, P float64 }
	Binomial   []struct {
		K, N    uint64
		P, Tail float64
	}
	Poisson []struct {
		K            uint64
		Lambda, Tail float64
	}
	ClopperPearson []struct {
		K, N                  uint64
		Confidence, Low, High float64
	} `json:"clopper_pearson"`
	Tables []struct {
		A, B []uint64
		DF   int
		Chi2 float64
		P    float64 `json:"chi2_p"`
		G    float64
		GP   float64 `json:"g_p"`
	}
	Proportions []struct {
		K, N, L, M uint64
		Z2, P      float64
	}
	Fisher []struct {
		K, N, L, M uint64
		P          float64
	}
	KS []struct {
		N, M uint64
		D, P float64
	} `json:"ks"`
}

func read(t *testing.T) *golden {
	t.Helper()
	body, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(body, &g); err != nil {
		t.Fatal(err)
	}
	return &g
}

// near compares by relative error, so that a far tail counts like any other.
func near(t *testing.T, what any, got, want, rel float64) {
	t.Helper()
	if !(math.Abs(got-want) <= rel*math.Abs(want)) {
		t.Errorf("%+v: got %v, want %v", what, got, want)
	}
}

func TestTailsAsScipy(t *testing.T) {
	g := read(t)
	for _, c := range g.Normal {
		near(t, c, stat.NormalSurvival(c.Z), c.P, 1e-12)
	}
	for _, c := range g.Kolmogorov {
		near(t, c, stat.KolmogorovSurvival(c.Lambda), c.P, 1e-12)
	}
	for _, c := range g.Binomial {
		near(t, c, stat.BinomialTail(c.K, c.N, c.P), c.Tail, 1e-8)
	}
	for _, c := range g.Poisson {
		near(t, c, stat.PoissonTail(c.K, c.Lambda), c.Tail, 1e-8)
	}
	if len(g.Normal)*len(g.Kolmogorov)*len(g.Binomial)*len(g.Poisson) == 0 {
		t.Fatal("a group of goldens is missing")
	}
}

func TestIntervalsAndTablesAsScipy(t *testing.T) {
	g := read(t)
	for _, c := range g.ClopperPearson {
		low, high := stat.ClopperPearson(c.K, c.N, c.Confidence)
		near(t, c, low, c.Low, 1e-7)
		near(t, c, high, c.High, 1e-7)
	}
	for _, c := range g.Tables {
		x, df, p := stat.ChiSquare(c.A, c.B)
		near(t, c, x, c.Chi2, 1e-11)
		near(t, c, p, c.P, 1e-9)
		y, dg, q := stat.GTest(c.A, c.B)
		near(t, c, y, c.G, 1e-11)
		near(t, c, q, c.GP, 1e-9)
		if df != c.DF || dg != c.DF {
			t.Errorf("%v: %d and %d degrees of freedom", c, df, dg)
		}
	}
	for _, c := range g.Proportions {
		z, p := stat.TwoProportions(c.K, c.N, c.L, c.M)
		near(t, c, z*z, c.Z2, 1e-11)
		near(t, c, p, c.P, 1e-11)
	}
	for _, c := range g.Fisher {
		near(t, c, stat.FisherTail(c.K, c.N, c.L, c.M), c.P, 1e-7)
	}
	for _, c := range g.KS {
		// The finite law on the other side differs by its nature.
		near(t, c, math.Log(stat.KolmogorovSmirnov(c.D, c.N, c.M)), math.Log(c.P), .02)
	}
	if len(g.ClopperPearson)*len(g.Tables)*len(g.Proportions)*len(g.Fisher)*len(g.KS) == 0 {
		t.Fatal("a group of goldens is missing")
	}
}

// Where the library's own survival is still exact, ours must agree; further
// out, where 1 - CDF has no digits left, ours must go on.
func TestTailsBesideTheLibrary(t *testing.T) {
	b := distuv.Binomial{N: 100, P: .3}
	for k := 1.0; k < 50; k++ {
		near(t, k, stat.BinomialTail(uint64(k), 100, .3), b.Survival(k-1), 1e-9)
	}
	if ours := stat.BinomialTail(96, 100, .3); !(ours > 1e-46 && ours < 1e-43) {
		t.Errorf("ours is %v, the library's %v", ours, b.Survival(95))
	}
}

func TestBothKolmogorovSeriesMeet(t *testing.T) {
	below, above := stat.KolmogorovSurvival(math.Nextafter(1.18, 0)), stat.KolmogorovSurvival(1.18)
	near(t, "1.18", below, above, 1e-14)
}

func TestEmptyAndSenseless(t *testing.T) {
	nan := math.NaN()
	for what, x := range map[string]float64{
		"normal":           stat.NormalSurvival(nan),
		"kolmogorov":       stat.KolmogorovSurvival(nan),
		"ks NaN":           stat.KolmogorovSmirnov(nan, 5, 5),
		"ks above 1":       stat.KolmogorovSmirnov(1.5, 5, 5),
		"binomial NaN":     stat.BinomialTail(1, 2, nan),
		"binomial above 1": stat.BinomialTail(1, 2, 1.1),
		"poisson NaN":      stat.PoissonTail(1, nan),
		"poisson negative": stat.PoissonTail(1, -1),
		"poisson infinite": stat.PoissonTail(1, math.Inf(1)),
	} {
		if !math.IsNaN(x) {
			t.Errorf("%s gives %v", what, x)
		}
	}
	if low, high := stat.ClopperPearson(3, 2, .95); !math.IsNaN(low) || !math.IsNaN(high) {
		t.Error("3 of 2 have an interval")
	}
	if _, p := stat.TwoProportions(3, 2, 1, 2); !math.IsNaN(p) {
		t.Error("3 of 2 are compared")
	}
	if !math.IsNaN(stat.FisherTail(3, 2, 1, 2)) || !math.IsNaN(stat.FisherTail(1, 2, 3, 2)) {
		t.Error("3 of 2 are compared exactly")
	}
	if stat.FisherTail(0, 5, 3, 5) != 1 || stat.FisherTail(0, 0, 3, 5) != 1 || stat.FisherTail(3, 5, 0, 0) != 1 || stat.FisherTail(5, 5, 5, 5) != 1 {
		t.Error("nothing to compare is not 1")
	}
	if low, high := stat.ClopperPearson(0, 0, .95); low != 0 || high != 1 {
		t.Errorf("nothing gives [%v, %v]", low, high)
	}
	for what, p := range map[string]float64{
		"ks": stat.KolmogorovSmirnov(0, 0, 5), "binomial 0": stat.BinomialTail(0, 5, 0), "poisson 0": stat.PoissonTail(0, 0),
	} {
		if p != 1 {
			t.Errorf("%s gives %v", what, p)
		}
	}
	if stat.BinomialTail(1, 5, 0) != 0 || stat.BinomialTail(6, 5, .5) != 0 || stat.BinomialTail(5, 5, 1) != 1 || stat.PoissonTail(1, 0) != 0 {
		t.Error("a border of a law is wrong")
	}
	for _, c := range [][2][]uint64{{nil, nil}, {{1, 2}, {0, 0}}, {{0, 0}, {3, 4}}, {{100}, {200}}, {{3, 3}, {3, 3}}} {
		if x, df, p := stat.ChiSquare(c[0], c[1]); x != 0 || df != 0 || p != 1 {
			t.Errorf("%v: %v %v %v", c, x, df, p)
		}
	}
	if len(stat.Holm(nil)) != 0 || !math.IsNaN(stat.Holm([]float64{.5, nan})[0]) {
		t.Error("a family without members or with NaN is judged")
	}
}

func counts(t *rapid.T, k int, name string) []uint64 {
	return rapid.SliceOfN(rapid.Uint64Range(0, 300), k, k).Draw(t, name)
}

func TestPoolKeepsTotalsAndLeavesNothingSparse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, 12).Draw(t, "k")
		a, b := counts(t, k, "a"), counts(t, k, "b")
		pa, pb := stat.Pool(a, b)
		if len(pa) == 0 {
			if sum(a) > 0 && sum(b) > 0 {
				t.Fatal("a table with counts was emptied")
			}
			return
		}
		if sum(pa) != sum(a) || sum(pb) != sum(b) {
			t.Fatal("counts were lost")
		}
		if len(pa) < 2 {
			return
		}
		for i := range pa {
			e := float64(pa[i]+pb[i]) * float64(min(sum(a), sum(b))) / float64(sum(a)+sum(b))
			if e < 5 {
				t.Fatalf("column %d of %v %v expects %v", i, pa, pb, e)
			}
		}
	})
}

func TestTablesOfEqualShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := counts(t, 6, "a")
		times := rapid.Uint64Range(1, 20).Draw(t, "times")
		b := make([]uint64, len(a))
		for i := range a {
			b[i] = a[i] * times
		}
		x, _, p := stat.ChiSquare(a, b)
		y, _, q := stat.GTest(a, b)
		if x > 1e-9 || y > 1e-9 || p < .99 || q < .99 {
			t.Fatalf("chi² %v p %v, G %v p %v", x, p, y, q)
		}
	})
}

func TestHolm(t *testing.T) {
	got := stat.Holm([]float64{.01, .04, .03, .005})
	if want := []float64{.03, .06, .06, .02}; !slices.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-15 }) {
		t.Errorf("got %v, want %v", got, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOf(rapid.Float64Range(0, 1)).Draw(t, "p")
		before := slices.Clone(p)
		q := stat.Holm(p)
		if !slices.Equal(p, before) {
			t.Fatal("the argument was changed")
		}
		for i := range p {
			if q[i] < p[i] || q[i] > 1 || q[i] > float64(len(p))*p[i] {
				t.Fatalf("%v of %v became %v", p[i], p, q[i])
			}
			for j := range p {
				if p[i] < p[j] && q[i] > q[j] {
					t.Fatal("the order was changed")
				}
			}
		}
	})
}

func sum(s []uint64) (n uint64) {
	for _, k := range s {
		n += k
	}
	return n
}
