package detection

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/modelwatch/modelwatch/detectors/drift"
)

// golden is what other tools said; testdata/gen.py makes it, and the versions
// of the tools stand in it.
type golden struct {
	Tool   map[string]string `json:"tool"`
	Series []struct {
		Values []float64 `json:"values"`
		ADWIN  []struct {
			Parameters struct {
				Delta     *float64 `json:"delta"`
				Clock     int      `json:"clock"`
				Grace     int      `json:"grace_period"`
				MinLength int      `json:"min_window_length"`
			} `json:"parameters"`
			Detected []int `json:"detected"`
			Widths   []int `json:"widths"`
		} `json:"adwin"`
		PageHinkley []struct {
			Parameters struct {
				Threshold *float64 `json:"threshold"`
				Delta     *float64 `json:"delta"`
				Alpha     *float64 `json:"alpha"`
				Least     int      `json:"min_instances"`
			} `json:"parameters"`
			Detected []int `json:"detected"`
		} `json:"page_hinkley"`
	} `json:"series"`
	KS []struct {
		Ref []uint64 `json:"ref"`
		Win []uint64 `json:"win"`
		D   float64  `json:"d"`
		P   float64  `json:"p"`
	} `json:"ks"`
	NannyML struct {
		Reference [][]uint64 `json:"reference"`
		Analysis  [][]uint64 `json:"analysis"`
		Values    []float64  `json:"values"`
		Alerts    []bool     `json:"alerts"`
		Upper     float64    `json:"upper"`
	} `json:"nannyml"`
}

func readGolden(t *testing.T) *golden {
	t.Helper()
	body, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	g := &golden{}
	if err := json.Unmarshal(body, g); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"river", "scipy", "nannyml"} {
		if g.Tool[tool] == "" {
			t.Fatalf("the golden does not name its version of %s", tool)
		}
	}
	return g
}

func TestADWINAgreesWithRiver(t *testing.T) {
	found := 0
	for i, s := range readGolden(t).Series {
		for j, want := range s.ADWIN {
			a := NewADWIN(-math.Log(.002))
			if p := want.Parameters; p.Delta != nil {
				a.Certainty = -math.Log(*p.Delta)
			}
			a.Clock = max(1, want.Parameters.Clock)
			if want.Parameters.Clock == 0 {
				a.Clock = 32
			}
			if want.Parameters.Grace > 0 {
				a.Grace, a.Least = want.Parameters.Grace, want.Parameters.MinLength
			}
			var got, widths []int
			for k, x := range s.Values {
				if a.Update(x) {
					got = append(got, k)
				}
				if k%50 == 49 {
					widths = append(widths, a.Width())
				}
			}
			found += len(got)
			if !slices.Equal(got, want.Detected) {
				t.Errorf("series %d, parameters %d: detected %v, river %v", i, j, got, want.Detected)
			} else if !slices.Equal(widths, want.Widths) {
				t.Errorf("series %d, parameters %d: widths %v, river %v", i, j, widths, want.Widths)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d detections were compared", found)
	}
}

func TestPageHinkleyAgreesWithRiver(t *testing.T) {
	found := 0
	for i, s := range readGolden(t).Series {
		for j, want := range s.PageHinkley {
			p := NewPageHinkley()
			if o := want.Parameters; true {
				for _, set := range []struct{ to, from *float64 }{{&p.Threshold, o.Threshold}, {&p.Delta, o.Delta}, {&p.Alpha, o.Alpha}} {
					if set.from != nil {
						*set.to = *set.from
					}
				}
				if o.Least > 0 {
					p.Least = o.Least
				}
			}
			var got []int
			for k, x := range s.Values {
				if p.Update(x) {
					got = append(got, k)
				}
			}
			found += len(got)
			if !slices.Equal(got, want.Detected) {
				t.Errorf("series %d, parameters %d: detected %v, river %v", i, j, got, want.Detected)
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d detections were compared", found)
	}
}

func TestKSAgreesWithSciPy(t *testing.T) {
	for i, c := range readGolden(t).KS {
		d, p := drift.KS(c.Ref, c.Win), pOfKS(c.Ref, c.Win)
		if math.Abs(d-c.D) > 1e-12 {
			t.Errorf("%d: D %v, scipy %v", i, d, c.D)
		}
		// SciPy takes the rounded effective number, we correct for it (Stephens).
		if math.Abs(math.Log(p)-math.Log(c.P)) > .05*math.Max(1, -math.Log(c.P)) {
			t.Errorf("%d: p %v, scipy %v", i, p, c.P)
		}
	}
}

func TestRuleOfThreeSDAgreesWithNannyML(t *testing.T) {
	g := readGolden(t).NannyML
	r := newChunks(g.Reference)
	if math.Abs(r.upper(3)-g.Upper) > 1e-9 {
		t.Errorf("limit %v, NannyML %v", r.upper(3), g.Upper)
	}
	all := append(slices.Clone(g.Reference), g.Analysis...)
	all = all[len(all)-len(g.Values):] // NannyML gives the chunks of the analysis
	alerts := 0
	for i, c := range all {
		v := r.distance(c)
		if math.Abs(v-g.Values[i]) > 1e-9 || (v > r.upper(3)) != g.Alerts[i] {
			t.Errorf("chunk %d: %v against %v, NannyML %v and %v", i, v, r.upper(3), g.Values[i], g.Alerts[i])
		}
		if g.Alerts[i] {
			alerts++
		}
	}
	if alerts == 0 || alerts == len(all) {
		t.Errorf("%d of %d chunks alert: nothing is compared", alerts, len(all))
	}
}
