package profile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/internal/profile"
	"github.com/modelwatch/modelwatch/schemas"
)

var update = flag.Bool("update", false, "write golden files anew")

func options() profile.Options {
	o := profile.DefaultOptions()
	o.Model, o.BaselineFile = "flight-delay", "flight-delay.baseline.json"
	return o
}

type flight struct {
	At         time.Time `parquet:"ts,timestamp(microsecond)"`
	Distance   int64     `parquet:"distance"`
	Temp       *float64  `parquet:"temp,optional"`
	Origin     string    `parquet:"origin"`
	Dest       *string   `parquet:"dest,optional"`
	Prediction string    `parquet:"prediction"`
	Score      float64   `parquet:"score"`
}

// made returns n rows over 48 hours, the same ones every time.
func made(n int) []flight {
	r := rand.New(rand.NewPCG(1, 2))
	airports := []string{"ATL", "LAX", "ORD", "other", "SFO"}
	out := make([]flight, n)
	for i := range out {
		f := flight{
			At:       time.Date(2001, 1, 1, 0, 30, 0, 0, time.UTC).Add(time.Duration(i) * 48 * time.Hour / time.Duration(n)),
			Distance: 100 + int64(r.IntN(900)), Origin: airports[min(r.IntN(8), 4)], Score: math.Round(1000*r.Float64()) / 1000,
		}
		if r.IntN(20) > 0 {
			x := math.Round(100*r.NormFloat64()) / 10
			f.Temp = &x
		}
		if r.IntN(10) > 0 {
			f.Dest = &airports[r.IntN(5)]
		}
		f.Prediction = "on time"
		if f.Score > .7 {
			f.Prediction = "late"
		}
		out[i] = f
	}
	return out
}

func file(t testing.TB, name, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func asCSV(rows []flight) string {
	var b strings.Builder
	b.WriteString("ts,distance,temp,origin,dest,prediction,score\n")
	for _, f := range rows {
		temp, dest := "", ""
		if f.Temp != nil {
			temp = fmt.Sprint(*f.Temp)
		}
		if f.Dest != nil {
			dest = *f.Dest
		}
		fmt.Fprintf(&b, "%s,%d,%s,%s,%s,%s,%v\n", f.At.Format(time.RFC3339Nano), f.Distance, temp, f.Origin, dest, f.Prediction, f.Score)
	}
	return b.String()
}

func asJSON(t testing.TB, rows []flight, event bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, f := range rows {
		features := map[string]any{"distance": f.Distance, "temp": f.Temp, "origin": f.Origin, "dest": f.Dest}
		row := features
		if event {
			row = map[string]any{"model": "flight-delay", "id": "x", "features": features}
		}
		row["ts"], row["prediction"], row["score"] = f.At, f.Prediction, f.Score
		if err := e.Encode(row); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func run(t testing.TB, path string, o profile.Options) *profile.Result {
	t.Helper()
	src, err := profile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := profile.Profile(context.Background(), src, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestProfile_Golden(t *testing.T) {
	o := options()
	o.Slices = [][]string{{"origin"}}
	r := run(t, file(t, "flights.csv", asCSV(made(3000))), o)
	// What is fitted to windows is the matter of detectors/budget, and of its goldens.
	r.Baseline.Hash = ""
	r.Baseline.Columns = slices.DeleteFunc(r.Baseline.Columns, func(c schemas.BaselineColumn) bool { return c.Role == schemas.RoleRows })
	for i := range r.Baseline.Columns {
		for j := range r.Baseline.Columns[i].Streams {
			r.Baseline.Columns[i].Streams[j].Healthy = nil
		}
	}
	body, err := json.Marshal(r.Baseline)
	if err != nil {
		t.Fatal(err)
	}
	body = append(bytes.ReplaceAll(body, []byte(`{"`), []byte("\n{\"")), '\n')
	for name, got := range map[string][]byte{"testdata/baseline.golden.json": body, "testdata/monitor.golden.yaml": r.YAML} {
		if *update {
			if err := os.WriteFile(name, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs; got\n%s", name, got)
		}
	}
}

// Whatever form the rows stand in, the baseline is the same.
func TestProfile_FormsAgree(t *testing.T) {
	rows := made(2000)
	o := options()
	o.Slices = [][]string{{"origin"}, {"origin", "dest"}}
	want := run(t, file(t, "flights.csv", asCSV(rows)), o).Baseline
	path := file(t, "flights.parquet", "")
	if err := parquet.WriteFile(path, rows); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, file(t, "flights.jsonl", asJSON(t, rows, false)), file(t, "flights.ndjson", asJSON(t, rows, true)), file(t, "flights.tsv", strings.ReplaceAll(asCSV(rows), ",", "\t"))} {
		got := run(t, path, o).Baseline
		got.Source, got.Hash = want.Source, want.Hash
		if err := got.Verify(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestProfile_CountsEveryRow(t *testing.T) {
	rows := made(2500)
	o := options()
	o.Slices = [][]string{{"origin"}, {"dest", "origin"}}
	b := run(t, file(t, "flights.csv", asCSV(rows)), o).Baseline
	whole := b.Column(schemas.RoleFeature, "temp")
	type tally struct {
		rows, nulls uint64
		bins        []uint64
		sum         float64
	}
	want := map[string]*tally{}
	count := func(slice string, f *flight) {
		c := want[slice]
		if c == nil {
			c = &tally{bins: make([]uint64, len(whole.Edges)+1)}
			want[slice] = c
		}
		c.rows++
		if f.Temp == nil {
			c.nulls++
			return
		}
		at := 0
		for at < len(whole.Edges) && whole.Edges[at] < *f.Temp {
			at++
		}
		c.bins[at]++
		c.sum += *f.Temp
	}
	for i := range rows {
		f := &rows[i]
		count("", f)
		count("origin="+f.Origin, f)
		if f.Dest == nil || f.Origin == "other" || *f.Dest == "other" {
			count("dest=other,origin=other", f)
		} else {
			count("dest="+*f.Dest+",origin="+f.Origin, f)
		}
	}
	if len(whole.Streams) != len(want) {
		t.Errorf("%d streams, want %d", len(whole.Streams), len(want))
	}
	for slice, w := range want {
		s := whole.Stream(slice)
		if s == nil || s.Rows != w.rows || s.Nulls != w.nulls || !slices.Equal(s.Bins, w.bins) {
			t.Errorf("%s: got %+v, want %+v", slice, s, w)
			continue
		}
		if mean := w.sum / float64(w.rows-w.nulls); math.Abs(*s.Mean-mean) > 1e-6 {
			t.Errorf("%s: mean %g, want %g", slice, *s.Mean, mean)
		}
	}
}

// The first monitor is sound and compiles with its baseline, to the slices that were profiled.
func TestProfile_MonitorIsReady(t *testing.T) {
	o := options()
	o.Slices = [][]string{{"origin"}, {"origin", "dest"}}
	r := run(t, file(t, "flights.csv", asCSV(made(2000))), o)
	m, err := schemas.ParseMonitor("m.yaml", r.YAML)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.YAML)
	}
	if m.Task != schemas.TaskBinary || m.Positive != "late" || m.Topics[0] != "flight-delay.events" {
		t.Errorf("got %+v", m)
	}
	s, _, err := schemas.BuildSpec(m, r.Baseline)
	if err != nil {
		t.Fatal(err)
	}
	for i, sl := range s.Slices {
		for _, v := range sl.Values {
			if name := schemas.SliceName(sl.Columns, v); r.Baseline.Column(schemas.RoleFeature, "distance").Stream(name) == nil {
				t.Errorf("slice %d: the spec tells %s apart, the baseline does not", i, name)
			}
		}
	}
	if len(m.Unserved()) > 0 {
		t.Errorf("a first monitor asks for what is not served: %v", m.Unserved())
	}
	body, err := profile.EncodeBaseline(r.Baseline)
	if err != nil {
		t.Fatal(err)
	}
	var again schemas.Baseline
	if err := json.Unmarshal(body, &again); err != nil || again.Verify() != nil {
		t.Errorf("%v %v", err, again.Verify())
	}
}

func TestProfile_Columns(t *testing.T) {
	var b strings.Builder
	b.WriteString("id;when;zip;flag;hour;constant;free;mixed;empty;code;label\n")
	for i := range 400 {
		mixed := fmt.Sprint(i % 7)
		if i%200 == 0 {
			mixed = "oops"
		}
		fmt.Fprintf(&b, "%d;%d;0%d;%v;%d;5;text %d;%s;;%d;%d\n", i, 978307200+60*i, i%9, i%3 == 0, i%24, i, mixed, i%4, i%2)
	}
	o := options()
	o.Time, o.Categories = "when", []string{"code"}
	r := run(t, file(t, "x.csv", b.String()), o)
	got := map[string]string{}
	for _, c := range r.Report.Columns {
		got[c.Name] = strings.TrimSpace(fmt.Sprint(c.Role, " ", c.Type, " ", c.Skipped, " ", strings.Join(c.Notes, "; ")))
	}
	for name, want := range map[string]string{
		"id": "it looks like an id", "when": "it is the time of the row", "zip": "feature category", "flag": "feature category",
		"hour": "feature number", "constant": "every value is 5", "free": "almost every text is there once",
		"mixed": "2 of its values are text", "empty": "it has no value", "code": "feature category", "label": "label category",
	} {
		if !strings.Contains(got[name], want) {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
	hour := r.Baseline.Column(schemas.RoleFeature, "hour")
	if len(hour.Edges) != 25 || hour.Streams[0].Bins[0] != 0 || hour.Streams[0].Bins[1] != 17 || hour.Streams[0].Bins[25] != 0 {
		t.Errorf("each hour has its own bin, and one lies beyond each end: %v %v", hour.Edges, hour.Streams[0].Bins)
	}
	if c := r.Baseline.Column(schemas.RoleFeature, "mixed"); c.Streams[0].Bad != 2 {
		t.Errorf("mixed %+v", c.Streams[0])
	}
	if c := r.Baseline.Column(schemas.RoleFeature, "flag"); !slices.Equal(c.Categories, []string{"false", "true"}) {
		t.Errorf("flag %+v", c)
	}
}

func TestProfile_Malformed(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(asCSV(made(100))), "\n")
	lines[10] = "too,few"
	lines[20] = strings.Replace(lines[20], "2001", "soon", 1)
	r := run(t, file(t, "x.csv", strings.Join(lines, "\n")), options())
	if r.Report.Rows != 98 || r.Report.Malformed != 2 || r.Report.Examples[0].Row != 11 || !strings.Contains(r.Report.Examples[1].Reason, `column "ts" has no time`) {
		t.Errorf("got %+v", r.Report)
	}
	if r.Baseline.Rows != 98 || r.Baseline.Column(schemas.RoleFeature, "distance").Streams[0].Rows != 98 {
		t.Errorf("%d rows", r.Baseline.Rows)
	}
}

func TestProfile_Refuses(t *testing.T) {
	f := func(name, body, want string, change func(*profile.Options)) {
		t.Helper()
		o := options()
		if change != nil {
			change(&o)
		}
		src, err := profile.Open(file(t, name, body))
		if err == nil {
			_, err = profile.Profile(context.Background(), src, o)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	good := asCSV(made(200))
	f("x.xls", "", "its form is not known", nil)
	f("x.csv", "", "it is empty", nil)
	f("x.csv", "a,a\n1,2\n", "there twice", nil)
	f("x.csv", "a,b\n", "it has no rows", nil)
	f("x.csv", "a,b\n1\n2\n", "none of its 2 rows can be read; row 2: 1 fields", nil)
	f("x.csv", "a\n1\n2\n\xff\n", "more than a tenth; row 4: not UTF-8 text", nil)
	f("x.jsonl", "{}\n[1]\n", "not a JSON object", nil)
	f("x.jsonl", `{"model":"other","features":{"a":1}}`, `no event of model "flight-delay", but of other`, nil)
	f("x.parquet", "PAR1 but not really PAR1", "x.parquet", nil)
	f("x.csv", good, `no column "tme" for the time`, func(o *profile.Options) { o.Time = "tme" })
	f("x.csv", good, `column "origin" has no time`, func(o *profile.Options) { o.Time = "origin" })
	f("x.csv", good, "did you mean `score`?", func(o *profile.Options) { o.Score = "scor" })
	f("x.csv", good, `slicing by column "distance": it is a number`, func(o *profile.Options) { o.Slices = [][]string{{"distance"}} })
	f("x.csv", good, `slicing by column "origins": there is none`, func(o *profile.Options) { o.Slices = [][]string{{"origins"}} })
	f("x.csv", good, "no column can be used as a feature", func(o *profile.Options) { o.Skip = []string{"distance", "temp", "origin", "dest"} })
	f("x.csv", good, "the model has no name", func(o *profile.Options) { o.Model = "" })
	f("x.csv", good, "context canceled", func(o *profile.Options) {
		// Cancelling from inside shows that a long reading can be stopped.
		o.Progress = nil
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		src, err := profile.Open(file(t, "y.csv", good))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := profile.Profile(ctx, src, *o); err == nil {
			t.Error("a cancelled profile went on")
		} else if !strings.Contains(err.Error(), "context canceled") {
			t.Error(err)
		}
		o.Time = "context canceled"
	})
}

func TestProfile_EventsOfSeveralModels(t *testing.T) {
	other := strings.ReplaceAll(asJSON(t, made(300), true), "flight-delay", "other")
	other = strings.ReplaceAll(other, `"distance"`, `"miles"`)
	r := run(t, file(t, "x.jsonl", other+asJSON(t, made(200), true)), options())
	if r.Baseline.Rows != 200 || r.Baseline.Column(schemas.RoleFeature, "miles") != nil || r.Baseline.Column(schemas.RoleFeature, "distance") == nil {
		t.Errorf("%d rows, columns %v", r.Baseline.Rows, r.Baseline.Names(schemas.RoleFeature))
	}
}

// Features, predictions and labels that come in events of their own count in their own columns only.
func TestProfile_EventParts(t *testing.T) {
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, `{"model":"flight-delay","id":"%d","ts":%d,"features":{"a":%d}}`+"\n", i, 978307200000+i, i%5)
		fmt.Fprintf(&b, `{"model":"flight-delay","id":"%d","ts":%d,"prediction":%d.5}`+"\n", i, 978307200000+i, i)
		if i%2 == 0 {
			fmt.Fprintf(&b, `{"model":"flight-delay","id":"%d","ts":"2001-01-01T00:00:00Z","label":"NaN"}`+"\n", i)
		}
	}
	r := run(t, file(t, "x.jsonl", b.String()), options())
	f := func(role schemas.Role, name string, rows uint64) {
		t.Helper()
		if c := r.Baseline.Column(role, name); c == nil || c.Streams[0].Rows != rows || c.Streams[0].Absent != 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
	f(schemas.RoleFeature, "a", 200)
	f(schemas.RolePrediction, "prediction", 200)
	if r.Baseline.Column(schemas.RoleLabel, "label") != nil {
		t.Error("a label that is never a value is in the baseline")
	}
}

func TestProfile_BoundedMemory(t *testing.T) {
	o := options()
	o.MaxValues, o.Slices = 1000, [][]string{{"origin"}}
	path := file(t, "x.csv", asCSV(made(4000)))
	r := run(t, path, o)
	if !strings.Contains(fmt.Sprint(r.Report.Columns), "from a sample of 1000 of 4000 values") {
		t.Errorf("the report does not say what was cut: %+v", r.Report)
	}
	c := r.Baseline.Column(schemas.RoleFeature, "distance")
	if len(c.Edges) < 38 {
		t.Errorf("%d edges", len(c.Edges))
	}
	for b, n := range c.Streams[0].Bins[1 : len(c.Streams[0].Bins)-1] {
		if n > 220 {
			t.Errorf("bin %d of a sampled column has %d of 4000 rows", b, n)
		}
	}
	if again := run(t, path, o); again.Baseline.Hash != r.Baseline.Hash || !bytes.Equal(again.YAML, r.YAML) {
		t.Error("the same rows gave another baseline")
	}
}

func TestProfile_TooManyWindows(t *testing.T) {
	o := options()
	o.Window = time.Second
	var b strings.Builder
	b.WriteString("ts,x\n")
	for i := range 200_002 {
		fmt.Fprintf(&b, "%d,%d\n", 1_770_000_000_000+1000*i, i%5)
	}
	r := run(t, file(t, "x.csv", b.String()), o)
	if r.Report.Learnt != nil || !strings.Contains(fmt.Sprint(r.Report.Warnings), "more than 200000 windows of 1s") {
		t.Errorf("learnt %+v, %v", r.Report.Learnt, r.Report.Warnings)
	}
	if x := r.Baseline.Column(schemas.RoleFeature, "x"); x == nil || x.Streams[0].Rows != 200_002 || len(x.Streams[0].Healthy) != 0 {
		t.Errorf("counted %+v", x)
	}
}

// Edges increase, no value is beyond them, and no bin of one value and more is far too full.
func TestProfile_Edges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(rt, "n")
		any := rapid.OneOf(rapid.Float64Range(-1e300, 1e300), rapid.Map(rapid.IntRange(-5, 5), func(i int) float64 { return float64(i) }), rapid.SampledFrom([]float64{0, 1, math.MaxFloat64, math.SmallestNonzeroFloat64, 1 + 1e-16}))
		values := rapid.SliceOfN(any, n, n).Draw(rt, "values")
		var b strings.Builder
		b.WriteString("x,c\n")
		for _, v := range values {
			fmt.Fprintf(&b, "%v,a\n", v)
		}
		path := filepath.Join(t.TempDir(), "x.csv")
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			rt.Fatal(err)
		}
		o := options()
		o.Numbers, o.Bins = []string{"x"}, 10
		src, err := profile.Open(path)
		if err != nil {
			rt.Fatal(err)
		}
		r, err := profile.Profile(context.Background(), src, o)
		if err != nil {
			rt.Fatal(err)
		}
		c := r.Baseline.Column(schemas.RoleFeature, "x")
		bins := c.Streams[0].Bins
		distinct := make([]map[float64]bool, len(bins))
		for _, v := range values {
			at, _ := slices.BinarySearch(c.Edges, v)
			if distinct[at] == nil {
				distinct[at] = map[float64]bool{}
			}
			distinct[at][v] = true
		}
		for i, k := range bins {
			if len(distinct[i]) > 1 && float64(k) > 2*math.Ceil(float64(n)/10) {
				rt.Fatalf("bin %d has %d of %d values, %d distinct; edges %v", i, k, n, len(distinct[i]), c.Edges)
			}
		}
		if len(c.Edges) > 32 {
			rt.Fatalf("%d edges for 10 bins", len(c.Edges))
		}
	})
}

func FuzzCSV(f *testing.F) { fuzz(f, "x.csv", asCSV(made(5)), "a;b\n1;\"2\n", "a,b\n\"\"\",\n") }

func FuzzJSONLines(f *testing.F) {
	fuzz(f, "x.jsonl", asJSON(f, made(3), false), asJSON(f, made(3), true), `{"a":{"b":[1]}}`, `{"features":{"a":1e999}}`, "{\"a\":1}{\"a\":2}", "null")
}

func fuzz(f *testing.F, name string, seeds ...string) {
	for _, s := range seeds {
		f.Add(s)
	}
	path := filepath.Join(f.TempDir(), name)
	f.Fuzz(func(t *testing.T, body string) {
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		src, err := profile.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		o := options()
		r, err := profile.Profile(context.Background(), src, o)
		if err != nil {
			return
		}
		m, err := schemas.ParseMonitor("m.yaml", r.YAML)
		if err != nil {
			t.Fatalf("%v\n%s", err, r.YAML)
		}
		if _, _, err := schemas.BuildSpec(m, r.Baseline); err != nil {
			t.Fatal(err)
		}
		if err := r.Baseline.Verify(); err != nil {
			t.Fatal(err)
		}
	})
}
