package stat_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/modelwatch/modelwatch/detectors/stat"
)

type golden struct {
	Normal     []struct{ Z, P float64 }
	Kolmogorov []struct{ Lambda, P float64 }
	KS         []struct {
		N, M uint64
		D, P float64
	} `json:"ks"`
}

// near compares by relative error, so that a far tail counts like any other.
func near(t *testing.T, what any, got, want, rel float64) {
	t.Helper()
	if !(math.Abs(got-want) <= rel*math.Abs(want)) {
		t.Errorf("%+v: got %v, want %v", what, got, want)
	}
}

func TestTailsAsScipy(t *testing.T) {
	body, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(body, &g); err != nil {
		t.Fatal(err)
	}
	for _, c := range g.Normal {
		near(t, c, stat.NormalSurvival(c.Z), c.P, 1e-12)
	}
	for _, c := range g.Kolmogorov {
		near(t, c, stat.KolmogorovSurvival(c.Lambda), c.P, 1e-12)
	}
	for _, c := range g.KS {
		// The finite law on the other side differs by its nature.
		near(t, c, math.Log(stat.KolmogorovSmirnov(c.D, c.N, c.M)), math.Log(c.P), .02)
	}
	if len(g.Normal)*len(g.Kolmogorov)*len(g.KS) == 0 {
		t.Fatal("a group of goldens is missing")
	}
}

func TestBothKolmogorovSeriesMeet(t *testing.T) {
	below, above := stat.KolmogorovSurvival(math.Nextafter(1.18, 0)), stat.KolmogorovSurvival(1.18)
	near(t, "1.18", below, above, 1e-14)
}

func TestEmptyAndSenseless(t *testing.T) {
	nan := math.NaN()
	for what, x := range map[string]float64{
		"normal":     stat.NormalSurvival(nan),
		"kolmogorov": stat.KolmogorovSurvival(nan),
		"ks NaN":     stat.KolmogorovSmirnov(nan, 5, 5),
		"ks above 1": stat.KolmogorovSmirnov(1.5, 5, 5),
	} {
		if !math.IsNaN(x) {
			t.Errorf("%s gives %v", what, x)
		}
	}
	if p := stat.KolmogorovSmirnov(0, 0, 5); p != 1 {
		t.Errorf("no value on one side gives %v", p)
	}
}
