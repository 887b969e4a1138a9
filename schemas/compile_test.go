package schemas_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/schemas"
)

func parse(t testing.TB, body string) *schemas.Monitor {
	t.Helper()
	m, err := schemas.ParseMonitor("m.yaml", []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// flights is a small baseline of the monitor in testdata.
func flights(t testing.TB) *schemas.Baseline {
	t.Helper()
	whole := func(bins ...uint64) []schemas.BaselineStream {
		var n uint64
		for _, b := range bins {
			n += b
		}
		return []schemas.BaselineStream{{Rows: n, Present: n, Bins: bins}}
	}
	b := &schemas.Baseline{
		Format: schemas.BaselineFormat, Model: "flight-delay", Source: "flights.csv", Rows: 1000,
		From: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2001, 1, 29, 0, 0, 0, 0, time.UTC),
		Columns: []schemas.BaselineColumn{
			{Name: "distance", Role: schemas.RoleFeature, Type: schemas.TypeNumber, Edges: []float64{200, 400, 800}, Anchor: 700, Unit: 1.0 / 1024, Streams: whole(250, 250, 250, 250)},
			{Name: "hour", Role: schemas.RoleFeature, Type: schemas.TypeNumber, Edges: []float64{6, 12, 18}, Anchor: 13, Unit: 1.0 / 1024, Streams: whole(100, 300, 300, 300)},
			{Name: "origin", Role: schemas.RoleFeature, Type: schemas.TypeCategory, Categories: []string{"ATL", "LAX", "ORD", "other"}, Streams: whole(500, 100, 300, 90, 10)},
			{Name: "prediction", Role: schemas.RolePrediction, Type: schemas.TypeCategory, Categories: []string{"late", "on time"}, Streams: whole(200, 800, 0)},
		},
	}
	if err := b.Seal(); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBuildSpec(t *testing.T) {
	m := parse(t, string(read(t, "testdata/monitors/flight-delay.yaml")))
	b := flights(t)
	s, l, err := schemas.BuildSpec(m, b)
	if err != nil {
		t.Fatal(err)
	}
	distance := s.Column(schemas.RoleFeature, "distance")
	if distance == nil || *distance.Min != 0 || !slices.Equal(distance.Edges, []float64{200, 400, 800}) || !distance.Required {
		t.Errorf("distance %+v", distance)
	}
	if hour := s.Column(schemas.RoleFeature, "hour"); hour == nil || hour.Min != nil {
		t.Errorf("a feature that only the baseline knows: %+v", hour)
	}
	if p := s.Column(schemas.RolePrediction, "prediction"); p == nil || len(p.Categories) != 2 {
		t.Errorf("prediction %+v", p)
	}
	if sc := s.Column(schemas.RoleScore, "score"); sc == nil || len(sc.Edges) != 39 || sc.Anchor != 0.5 {
		t.Errorf("score %+v", sc)
	}
	if len(s.Slices) != 1 || fmt.Sprint(s.Slices[0].Values) != "[[ATL] [LAX] [ORD]]" {
		t.Errorf("slices %v", s.Slices)
	}
	if l.Feature([]byte("origin")) != 2 || l.Features() != 3 || !l.Columns[2].Textual || l.Columns[0].Textual {
		t.Errorf("layout %+v", l)
	}
	body, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/spec.golden.json", fmt.Sprintf("%s\n%s\n", body, s.Hash()))
}

// A share of the ids is a part of the spec; keeping all leaves it as it was.
func TestBuildSpec_Sample(t *testing.T) {
	hash := func(more string) string {
		t.Helper()
		s, _, err := schemas.BuildSpec(parse(t, "model: m\ntopics: [t]\nfeatures: {a: {type: number}}\n"+more), nil)
		if err != nil {
			t.Fatal(err)
		}
		return s.Hash()
	}
	usual := hash("")
	if got := hash("predictions: {sample: 1}"); got != usual {
		t.Errorf("keeping all gives %s, nothing said %s", got, usual)
	}
	tenth := hash("predictions: {sample: 0.1}")
	if tenth == usual || tenth == hash("predictions: {sample: 0.2}") {
		t.Error("another share is another spec")
	}
}

func TestBuildSpec_WithoutBaseline(t *testing.T) {
	m := parse(t, "model: m\ntopics: [t]\ntask: regression\nfeatures: {a: {type: number}, b: {type: category, set: [y, x]}, c: {type: category}, d: {min: -8, max: 4}}\nslices: [b, [b, c]]")
	s, _, err := schemas.BuildSpec(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := s.Column(schemas.RoleFeature, "a")
	if len(a.Edges) != 61 || a.Unit != 1.0/1024 || a.Required {
		t.Errorf("a %+v", a)
	}
	for i, e := range a.Edges {
		if e != -a.Edges[len(a.Edges)-1-i] || i > 0 && e <= a.Edges[i-1] {
			t.Errorf("edge %d is %g", i, e)
		}
	}
	if d := s.Column(schemas.RoleFeature, "d"); d.Type != schemas.TypeNumber || d.Unit != schemas.UnitFor(8) {
		t.Errorf("d %+v", d)
	}
	if b := s.Column(schemas.RoleFeature, "b"); !slices.Equal(b.Categories, []string{"x", "y"}) || !slices.Equal(b.Set, b.Categories) {
		t.Errorf("b %+v", b)
	}
	if p := s.Column(schemas.RolePrediction, "prediction"); p.Type != schemas.TypeNumber || len(p.Edges) != 61 {
		t.Errorf("prediction %+v", p)
	}
	if fmt.Sprint(s.Slices[0].Values, s.Slices[1].Values) != "[[x] [y]] []" {
		t.Errorf("slices %v", s.Slices)
	}
	body, _ := json.Marshal(s)
	if strings.Contains(string(body), `"values":null`) {
		t.Error("a slice without values has none, not null")
	}
}

func TestBuildSpec_Refuses(t *testing.T) {
	f := func(body, want string, b *schemas.Baseline) {
		t.Helper()
		_, _, err := schemas.BuildSpec(parse(t, body), b)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", body, err, want)
		}
	}
	const head = "model: flight-delay\ntopics: [t]\n"
	f(head, "modelwatch profile", nil)
	f(head+"features: {a: {unit: m}}", `feature "a" has no type`, nil)
	f(head+"task: regression", "the prediction is a category in the baseline, but the task is regression", flights(t))
	f(head+"features: {origin: {type: number}}", "is a number in the monitor and a category in the baseline", flights(t))
	f(head+"features: {hour: {set: [a]}}", "`set` is a rule for categories", flights(t))
	f(head+"baseline: b.json\nslices: [orgin]", "did you mean origin?", flights(t))
	f(head+"baseline: b.json\nslices: [hour]", "is a number", flights(t))
	f("model: other\ntopics: [t]", `the baseline is of model "flight-delay"`, flights(t))
	broken := flights(t)
	broken.Columns[0].Edges[1] = 100
	broken.Columns[1].Unit = 0.3
	f(head, "edges do not increase at 100", broken)
	f(head, "unit 0.3 is not a power of two", broken)
}

func TestBuildSpec_SliceValues(t *testing.T) {
	names := make([]string, 120)
	bins := make([]uint64, 121)
	for i := range names {
		names[i] = fmt.Sprintf("v%03d", i)
		bins[i] = uint64(1000 - i)
	}
	category := func(name string) schemas.BaselineColumn {
		return schemas.BaselineColumn{Name: name, Role: schemas.RoleFeature, Type: schemas.TypeCategory, Categories: names, Streams: []schemas.BaselineStream{{Bins: bins}}}
	}
	b := &schemas.Baseline{Format: schemas.BaselineFormat, Model: "m", Columns: []schemas.BaselineColumn{category("a"), category("b")}}
	m := parse(t, "model: m\ntopics: [t]\nbaseline: b.json\nslices: [a, [a, b]]")
	s, _, err := schemas.BuildSpec(m, b)
	if err != nil {
		t.Fatal(err)
	}
	if one := s.Slices[0].Values; len(one) != schemas.MaxSliceValues || one[0][0] != "v000" || one[49][0] != "v049" {
		t.Errorf("of one column: %v", one)
	}
	if pair := s.Slices[1].Values; len(pair) != schemas.MaxPairSliceValues || !slices.Equal(pair[0], []string{"v000", "v000"}) {
		t.Errorf("of a pair: %d", len(pair))
	}
	// What the baseline saw together decides where it was made for the pair.
	b.Columns[0].Streams = append(b.Columns[0].Streams, schemas.BaselineStream{Slice: "a=v003,b=v004", Rows: 7, Bins: bins})
	s, _, err = schemas.BuildSpec(m, b)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(s.Slices[1].Values) != "[[v003 v004]]" {
		t.Errorf("got %v", s.Slices[1].Values)
	}
}

// The hash depends on the content of the file only, not on the order of its keys.
func TestBuildSpec_Deterministic(t *testing.T) {
	features := []string{"a: {type: number}", "b: {type: category}", "c: {type: number, min: 0}", "d: {type: category, set: [x, y]}"}
	want := ""
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.Permutation(features).Draw(t, "features")
		m, err := schemas.ParseMonitor("m.yaml", []byte("model: m\ntopics: [t]\nfeatures:\n  "+strings.Join(order, "\n  ")))
		if err != nil {
			t.Fatal(err)
		}
		s, _, err := schemas.BuildSpec(m, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = s.Hash()
		}
		if s.Hash() != want {
			t.Fatalf("hash %s, want %s", s.Hash(), want)
		}
	})
}

func TestUnitFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reach := rapid.Float64Range(1e-200, 1e200).Draw(t, "reach")
		u := schemas.UnitFor(reach)
		if f, _ := math.Frexp(u); f != 0.5 {
			t.Fatalf("%g is not a power of two", u)
		}
		if q := reach / u; q < 1<<29 || q >= 1<<30 {
			t.Fatalf("reach %g is %g units", reach, q)
		}
	})
	for _, reach := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if schemas.UnitFor(reach) != 1.0/1024 {
			t.Errorf("UnitFor(%g) = %g", reach, schemas.UnitFor(reach))
		}
	}
	if u := schemas.UnitFor(math.SmallestNonzeroFloat64); u == 0 {
		t.Error("the unit of a denormal reach is 0")
	}
}
