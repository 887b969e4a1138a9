package window

import (
	"testing"

	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// A rule holds wherever its limits lie: before, among or behind the edges.
func TestRangeRulesHoldAmongTheEdges(t *testing.T) {
	edges := []float64{-10, -5, 0, 5, 10, 20, 40}
	values := []float64{-20, -10, -7, -1, 0, 3, 7, 12, 30, 40, 50}
	limits := []float64{-30, -10, -6, 0, 6, 15, 40, 45, 60}
	f := func(lo, hi *float64, of []float64) {
		t.Helper()
		c := column{SpecColumn: &schemas.SpecColumn{Type: schemas.TypeNumber, Edges: edges, Min: lo, Max: hi}, bins: newEdges(of)}
		// One value at a time too: others must not cover for it.
		for n := range len(values) + 1 {
			batch := values
			if n < len(values) {
				batch = values[n : n+1]
			}
			in := schemas.Column{Kind: make([]schemas.Kind, len(batch)), Num: batch}
			for i := range in.Kind {
				in.Kind[i] = schemas.KindNumber
			}
			out := newClassified()
			c.classify(&in, &out, 0, len(batch))
			for i, x := range batch {
				want := lo != nil && x < *lo || hi != nil && x > *hi
				if got := out.Flags[i]&summary.Outside != 0; got != want {
					t.Errorf("%v between %v and %v: outside is %v, want %v", x, show(lo), show(hi), got, want)
				}
				if want && out.AnyFlags&summary.Outside == 0 {
					t.Errorf("%v between %v and %v: nobody will look at the flags", x, show(lo), show(hi))
				}
			}
		}
	}
	for i := range limits {
		for _, of := range [][]float64{edges, edges[:1], nil, {0, 1e-300, 1, 1e300}} {
			f(&limits[i], nil, of)
			f(nil, &limits[i], of)
			for j := i; j < len(limits); j++ {
				f(&limits[i], &limits[j], of)
			}
		}
	}
}

func show(p *float64) any {
	if p == nil {
		return "any"
	}
	return *p
}
