package budget_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/schemas"
)

// What four weeks show of the noise of one slice is bounded by what they show
// of the others: slices that are alike keep their own, a quiet one among wild
// ones is not believed to stay quiet.
func TestSlicesLearnNoiseFromTheirKin(t *testing.T) {
	const kinds = 8
	f := func(of func(slice int) float64) (noise, phi [kinds]float64) {
		t.Helper()
		levels := make([][]float64, kinds)
		for s := range levels {
			rng, x, sd := rand.New(rand.NewPCG(5, uint64(s))), 0.0, of(s)
			for range reference {
				x = .85*x + sd*math.Sqrt(1-.85*.85)*rng.NormFloat64()
				levels[s] = append(levels[s], x)
			}
		}
		w := simWorld{seed: 3, features: 1, rows: 8000, iid: true, inSlice: func(_, s, t int) float64 { return levels[s][t] }}
		for range kinds {
			w.slices = append(w.slices, 1./kinds)
		}
		fit := w.learn(t, budget.DefaultParameters(), reference)
		for _, x := range fit.Streams {
			for s := range kinds {
				if x.Role == schemas.RoleFeature && x.Slice == sliceOf(s) && x.Channel == budget.Location {
					noise[s], phi[s] = x.Noise, x.Phi
				}
			}
		}
		return noise, phi
	}
	alike, _ := f(func(int) float64 { return .2 })
	for s, x := range alike {
		if x < .15 || x > .3 {
			t.Errorf("alike: the noise of slice %d is %.3f, it is about .21 against the rest", s, x)
		}
	}
	noise, phi := f(func(s int) float64 { return []float64{.05, .2, .4}[min(s, 2)] })
	if noise[0] < .35 {
		t.Errorf("the noise of a quiet slice among wild ones is %.3f", noise[0])
	}
	for s := range noise {
		if noise[s] > 1.2 || phi[s] > .98 {
			t.Errorf("slice %d has noise %.3f, φ %.3f", s, noise[s], phi[s])
		}
	}
}
