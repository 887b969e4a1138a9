package drift_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/detectors/drift"
)

type golden struct {
	Cases []struct {
		Name                         string
		Edges                        []float64
		Min, Max, SD                 float64
		Ref, Win                     []uint64
		Wasserstein, Clipped, KS, JS float64
		W                            *float64
	}
}

func TestStatisticsAsScipy(t *testing.T) {
	body, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(body, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Cases) < 12 {
		t.Fatalf("only %d goldens", len(g.Cases))
	}
	for _, c := range g.Cases {
		got := drift.WassersteinSD(c.Edges, c.Min, c.Max, c.SD, c.Ref, c.Win)
		bound := 0.0
		n, m := sum(c.Ref), sum(c.Win)
		last := len(c.Edges) - 1
		for b := range c.Ref {
			var width float64
			switch {
			case b == 0:
				width = min(max(c.Edges[0]-c.Min, c.SD/2), 2*c.SD)
			case b > last:
				width = min(max(c.Max-c.Edges[last], c.SD/2), 2*c.SD)
			default:
				width = c.Edges[b] - c.Edges[b-1]
			}
			bound += (float64(c.Ref[b])/n + float64(c.Win[b])/m) * width / 2 / c.SD
		}
		t.Logf("%-34s raw %.3f clipped %.3f binned %.3f bound %.3f", c.Name, c.Wasserstein, c.Clipped, got, bound)
		if math.Abs(got-c.Clipped) > bound {
			t.Errorf("%s: binned %v, raw within the reach %v, bound %v", c.Name, got, c.Clipped, bound)
		}
		// A few wide bins can only promise the bound; forty quantiles do far better.
		if len(c.Edges) > 20 && math.Abs(got-c.Clipped) > .03+.12*c.Clipped {
			t.Errorf("%s: binned %v is far from raw within the reach, %v", c.Name, got, c.Clipped)
		}
		near(t, c.Name+": ks", drift.KS(c.Ref, c.Win), c.KS, 1e-12)
		near(t, c.Name+": js", drift.JensenShannon(c.Ref, c.Win), c.JS, 1e-9)
		if c.W != nil {
			near(t, c.Name+": w", drift.CohenW(c.Ref, c.Win), *c.W, 1e-3) // half a count of 1000
		}
	}
}

func near(t *testing.T, what string, got, want, rel float64) {
	t.Helper()
	if !(math.Abs(got-want) <= rel*math.Abs(want)) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func sum(s []uint64) float64 {
	n := 0.0
	for _, k := range s {
		n += float64(k)
	}
	return n
}

// bins draws edges and two rows of counts, both with something in them.
func bins(t *rapid.T) (edges []float64, ref, win []uint64) {
	k := rapid.IntRange(2, 12).Draw(t, "bins")
	at := rapid.Float64Range(-1e3, 1e3).Draw(t, "first edge")
	for range k - 1 {
		edges = append(edges, at)
		at += rapid.Float64Range(.01, 10).Draw(t, "width")
	}
	row := func(name string) []uint64 {
		s := rapid.SliceOfN(rapid.Uint64Range(0, 500), k, k).Draw(t, name)
		s[rapid.IntRange(0, k-1).Draw(t, "filled")]++
		return s
	}
	return edges, row("ref"), row("win")
}

func times(s []uint64, k uint64) []uint64 {
	out := make([]uint64, len(s))
	for i := range s {
		out[i] = s[i] * k
	}
	return out
}

func TestEqualSharesAreExactlyZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		edges, ref, _ := bins(t)
		win := times(ref, rapid.Uint64Range(1, 1000).Draw(t, "times"))
		sd := rapid.Float64Range(1e-3, 1e3).Draw(t, "sd")
		if x := drift.WassersteinSD(edges, edges[0]-1, edges[len(edges)-1]+1, sd, ref, win); x != 0 {
			t.Fatalf("W1 %v", x)
		}
		if x := drift.CohenW(ref, win); x != 0 {
			t.Fatalf("w %v", x)
		}
		if x := drift.KS(ref, win); x != 0 {
			t.Fatalf("KS %v", x)
		}
		if x := drift.PSI(ref, ref); x != 0 {
			t.Fatalf("PSI %v", x)
		}
		if x := drift.JensenShannon(ref, win); x > 1e-7 {
			t.Fatalf("JS %v", x)
		}
	})
}

func TestSymmetryScaleAndOrder(t *testing.T) {
	const rel = 1e-9
	same := func(t *rapid.T, what string, a, b float64) {
		if !(math.Abs(a-b) <= rel*math.Max(math.Abs(a), 1e-6)) {
			t.Fatalf("%s: %v and %v", what, a, b)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		edges, ref, win := bins(t)
		low, high, sd := edges[0]-3, edges[len(edges)-1]+2, 1.7
		w := drift.WassersteinSD(edges, low, high, sd, ref, win)
		same(t, "W1 swapped", w, drift.WassersteinSD(edges, low, high, sd, win, ref))
		same(t, "KS swapped", drift.KS(ref, win), drift.KS(win, ref))
		same(t, "JS swapped", drift.JensenShannon(ref, win), drift.JensenShannon(win, ref))
		same(t, "PSI swapped", drift.PSI(ref, win), drift.PSI(win, ref))

		// Another unit and another origin change nothing.
		k, c := rapid.Float64Range(.01, 100).Draw(t, "unit"), rapid.Float64Range(-100, 100).Draw(t, "origin")
		moved := make([]float64, len(edges))
		for i, e := range edges {
			moved[i] = k*e + c
		}
		same(t, "W1 in another unit", w, drift.WassersteinSD(moved, k*low+c, k*high+c, k*sd, ref, win))

		// Categories have no order.
		order := rapid.Permutation(seq(len(ref))).Draw(t, "order")
		same(t, "w in another order", drift.CohenW(ref, win), drift.CohenW(pick(ref, order), pick(win, order)))
		same(t, "JS in another order", drift.JensenShannon(ref, win), drift.JensenShannon(pick(ref, order), pick(win, order)))

		if js := drift.JensenShannon(ref, win); js < 0 || js > 1 {
			t.Fatalf("JS %v", js)
		}
	})
}

// A larger part of the window moved gives a larger effect, in proportion.
func TestEffectGrowsWithWhatMoved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		edges, ref, win := bins(t)
		ref, win = times(ref, 1), times(win, uint64(sum(ref)))
		ref = times(ref, uint64(sum(win)/sum(ref))) // equal totals, so counts mix like shares
		if sum(ref) != sum(win) {
			t.Skip("totals do not divide")
		}
		mixed := make([]uint64, len(ref))
		for i := range ref {
			mixed[i] = 3*ref[i] + win[i]
		}
		f := func(what string, full, part float64) {
			if math.Abs(part-full/4) > 1e-9*(1+full) {
				t.Fatalf("%s: all moved %v, a quarter moved %v", what, full, part)
			}
		}
		low, high := edges[0]-1, edges[len(edges)-1]+1
		f("W1", drift.WassersteinSD(edges, low, high, 1, ref, win), drift.WassersteinSD(edges, low, high, 1, ref, mixed))
		f("w", drift.CohenW(ref, win), drift.CohenW(ref, mixed))
		f("KS", drift.KS(ref, win), drift.KS(ref, mixed))
	})
}

func seq(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func pick(s []uint64, order []int) []uint64 {
	out := make([]uint64, len(s))
	for i, j := range order {
		out[i] = s[j]
	}
	return out
}

func TestSenselessIsNaN(t *testing.T) {
	e, a := []float64{1, 2}, []uint64{1, 2, 3}
	zero, short := []uint64{0, 0, 0}, []uint64{1, 2}
	nan := math.NaN()
	all := []float64{
		drift.WassersteinSD(e, 0, 3, 0, a, a), drift.WassersteinSD(e, 0, 3, nan, a, a), drift.WassersteinSD(e, 0, 3, math.Inf(1), a, a),
		drift.WassersteinSD(e, nan, 3, 1, a, a), drift.WassersteinSD(e, 3, 0, 1, a, a),
		drift.WassersteinSD(e, 0, 3, 1, a, zero), drift.WassersteinSD(e, 0, 3, 1, zero, a), drift.WassersteinSD(e, 0, 3, 1, a, short),
		drift.CohenW(a, zero), drift.CohenW(zero, a), drift.CohenW(a, short),
		drift.KS(a, zero), drift.KS(a, short), drift.PSI(a, zero), drift.PSI(a, short), drift.JensenShannon(a, zero), drift.JensenShannon(short, a),
	}
	if i := slices.IndexFunc(all, func(x float64) bool { return !math.IsNaN(x) }); i >= 0 {
		t.Errorf("number %d is %v", i, all[i])
	}
	if x := drift.WassersteinSD(nil, 0, 1, 1, []uint64{5}, []uint64{9}); x != 0 {
		t.Errorf("a single bin gives %v", x)
	}
}

// A column that never varied must be seen to leave its value on either side.
func TestLeavingAConstantIsSeen(t *testing.T) {
	for _, win := range [][]uint64{{0, 0, 100}, {100, 0, 0}} {
		x := drift.WassersteinSD([]float64{4, 5}, 5, 5, 1, []uint64{0, 1000, 0}, win)
		if x < .25 {
			t.Errorf("%v: effect %v", win, x)
		}
	}
	if x := drift.WassersteinSD([]float64{5}, 5, 5, 1, []uint64{1000, 0}, []uint64{0, 100}); x < .25 {
		t.Errorf("effect %v", x)
	}
}

func TestUnseenCategoryIsLargeAndFinite(t *testing.T) {
	x := drift.CohenW([]uint64{500, 500, 0}, []uint64{45, 45, 10})
	if x < 1 || math.IsInf(x, 1) {
		t.Errorf("a tenth of unseen values gives %v", x)
	}
}
