package budget

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"gonum.org/v1/gonum/mathext"

	"github.com/modelwatch/modelwatch/schemas"
)

// golden is what gen.py wrote; it names the tool and version.
type golden struct {
	Number struct {
		Ref, Win               []uint64
		Location, Scale, Shape [2]float64
	}
	Rates []struct {
		K, N, Rk, Rn uint64
		Y, R         float64
	}
	Ratios []struct{ Nu, Z, Zero, At, E float64 }
	Kalman struct {
		Phi, Tau2, Minus2 float64
		U, R              []float64
		Good              []bool
	}
	Tail struct {
		Z                 []float64
		Nu, Scale, Loglik float64
	}
	P            []struct{ Nu, Z, P float64 }
	Poisson      []struct{ Mean, Limit float64 }
	PoissonUpper []struct{ K, Upper float64 } `json:"poisson_upper"`
}

func readGolden(t *testing.T) golden {
	t.Helper()
	body, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(body, &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*math.Max(1e-6, math.Abs(want))) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestGoldenChannels(t *testing.T) {
	g := readGolden(t)
	column := schemas.BaselineColumn{
		Name: "x", Role: schemas.RoleFeature, Type: schemas.TypeNumber, Edges: make([]float64, len(g.Number.Ref)-1),
		Streams: []schemas.BaselineStream{{Rows: 5000, Present: 5000, Bins: g.Number.Ref}},
	}
	y := newYardstick(&column)
	c := counts{rows: 300, present: 300, bins: g.Number.Win}
	r := y.measure(&c, y.whole)
	for rank, want := range [][2]float64{rankLocation: g.Number.Location, rankSpread: g.Number.Scale, rankShape: g.Number.Shape} {
		name, m := order[rank], r.of[rank]
		if r.has&(1<<rank) == 0 {
			t.Fatalf("%s is not measured", name)
		}
		near(t, name, m.y, want[0], 1e-7)
		near(t, name+", variance", m.r, want[1], 1e-7)
	}
	for _, r := range g.Rates {
		m, _ := rate(r.K, r.N, float64(r.Rk)/float64(r.Rn))
		if math.Abs(m.y-r.Y) > .005 {
			t.Errorf("rate %d of %d: got %v, want %v", r.K, r.N, m.y, r.Y)
		}
		near(t, "variance of a rate", m.r, r.R, 1e-12)
	}
}

func TestGoldenLikelihoods(t *testing.T) {
	g := readGolden(t)
	for _, r := range g.Ratios {
		d, b := r.Z-r.Zero, r.Z-r.At
		near(t, "ratio of likelihoods", power((r.Nu+d*d)/(r.Nu+b*b), int(r.Nu)+1), r.E, 1e-10)
	}
	k := track{u: g.Kalman.U, r: g.Kalman.R, good: g.Kalman.Good}
	near(t, "Kalman", k.likelihood(g.Kalman.Phi, g.Kalman.Tau2, nil), g.Kalman.Minus2, 1e-9)
	sum := 0.0
	k.filter(g.Kalman.Phi, g.Kalman.Tau2, nil, func(_ int, v, f, _ float64) { sum += math.Log(f) + v*v/f })
	near(t, "Kalman, by innovations", sum, g.Kalman.Minus2, 1e-9)
	s := tScale(g.Tail.Z, g.Tail.Nu)
	near(t, "scale of t", s, g.Tail.Scale, 1e-3)
	near(t, "likelihood of t", tLikelihood(g.Tail.Z, g.Tail.Nu, g.Tail.Scale), g.Tail.Loglik, 1e-10)
	for _, p := range g.P {
		near(t, "tail of t", tTail(p.Z, p.Nu), p.P, .07)
	}
	for _, p := range g.Poisson {
		if got := poissonLimit(p.Mean); got != int(p.Limit) {
			t.Errorf("Poisson limit of %v: got %d, want %v", p.Mean, got, p.Limit)
		}
	}
}

// A shift of location, however large, is no change of shape.
func TestShiftDoesNotLeakIntoShape(t *testing.T) {
	const bins, n = 40, 100_000
	ref := make([]uint64, bins)
	edges := make([]float64, bins-1)
	for i := range ref {
		ref[i] = n / bins
		if i > 0 {
			edges[i-1] = mathext.NormalQuantile(float64(i) / bins)
		}
	}
	y := newYardstick(&schemas.BaselineColumn{
		Name: "x", Role: schemas.RoleFeature, Type: schemas.TypeNumber, Edges: edges, Streams: []schemas.BaselineStream{{Rows: n, Present: n, Bins: ref}},
	})
	for _, shift := range []float64{.2, .5, 1} {
		win := make([]uint64, bins)
		before := 0.0
		for i := range win {
			c := 1.0
			if i < bins-1 {
				c = .5 * math.Erfc(-(edges[i]-shift)/math.Sqrt2)
			}
			win[i] = uint64(math.Round(n * (c - before)))
			before = c
		}
		r := y.measure(&counts{rows: n, present: n, bins: win}, y.whole)
		if at := r.of[rankLocation].y; math.Abs(at-shift) > .05*shift {
			t.Errorf("location of a shift of %v is %v", shift, at)
		}
		if s := r.of[rankShape]; math.Abs(s.y) > .03+2*math.Sqrt(s.r) {
			t.Errorf("a shift of %v has shape %v, variance %v", shift, s.y, s.r)
		}
	}
}
