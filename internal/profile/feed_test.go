package profile_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/internal/profile"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// fed is what a feed has handed out.
type fed struct {
	windows []*detectors.Window
	trips   []schemas.Trip
	*profile.Fed
}

func specOf(t testing.TB, b *schemas.Baseline, yaml string) *schemas.SpecRecord {
	t.Helper()
	m, err := schemas.ParseMonitor("m.yaml", []byte("model: flight-delay\ntopics: [t]\n"+yaml))
	if err != nil {
		t.Fatal(err)
	}
	spec, _, err := schemas.BuildSpec(m, b)
	if err != nil {
		t.Fatal(err)
	}
	return &schemas.SpecRecord{Seq: 1, EffectiveFrom: math.MinInt64, Hash: spec.Hash(), Spec: *spec}
}

func ordered(t testing.TB, path string, tolerance time.Duration) *profile.Ordered {
	t.Helper()
	src, err := profile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	o, err := profile.Order(t.Context(), src, "flight-delay", "", tolerance, nil)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func feed(t testing.TB, f profile.Feed) fed {
	t.Helper()
	var out fed
	var err error
	out.Fed, err = f.Run(t.Context(), math.MinInt64, math.MaxInt64, func(s *profile.Stretch) error {
		out.windows = append(out.windows, s.Windows...)
		out.trips = append(out.trips, s.Trips...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// show writes windows and trips as text, to compare them.
func (f fed) show(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, w := range f.windows {
		fmt.Fprintf(&b, "%s %d-%d\n", w.Part, w.Start, w.End)
		for _, e := range w.Entries {
			fmt.Fprintf(&b, "  %+v %+v\n", e.Stream, *e.Summary)
		}
	}
	for _, x := range f.trips {
		x.Topic = ""
		body, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, string(body))
	}
	return b.String()
}

// The windows of a feed hold each row once, in the forms that the profile of
// the same rows has counted.
func TestFeed_CountsWhatTheProfileCounts(t *testing.T) {
	rows := made(20_000)
	o := options()
	o.Slices = [][]string{{"origin"}}
	result := run(t, file(t, "x.csv", asCSV(rows)), o)
	spec := specOf(t, result.Baseline, "features: {origin: {type: category}}\nslices: [origin]\nlateness: 1m\n")
	got := feed(t, profile.Feed{Source: ordered(t, file(t, "x.csv", asCSV(rows)), 0), Spec: spec})
	if got.Rows != int64(len(rows)) || len(got.trips) != 0 || len(got.Rejected) != 0 {
		t.Fatalf("%d rows, %d trips, rejected %v", got.Rows, len(got.trips), got.Rejected)
	}
	// The last window is cut by the end of the data.
	last := rows[len(rows)-1].At.Truncate(time.Hour).UnixMilli()
	whole := map[schemas.Stream]*summary.Summary{}
	for i, w := range got.windows {
		if w.End > last || w.Coverage != 1 || i > 0 && got.windows[i-1].End > w.End {
			t.Errorf("window %d of %s ends at %d, the last row is in the window from %d", i, w.Part, w.End, last)
		}
		for _, e := range w.Entries {
			if whole[e.Stream] == nil {
				whole[e.Stream] = summary.New(len(e.Bins))
			}
			whole[e.Stream].Merge(e.Summary)
		}
	}
	cut := uint64(0)
	for _, r := range rows {
		if r.At.UnixMilli() >= last {
			cut++
		}
	}
	streams := 0
	for _, c := range result.Baseline.Columns {
		if c.Role == schemas.RoleRows {
			continue // rows of windows, which the profile has from the feed
		}
		for _, b := range c.Streams {
			s := whole[schemas.Stream{Role: c.Role, Feature: c.Name, Slice: b.Slice}]
			if s == nil {
				t.Fatalf("no window has %s in %q", c.Name, b.Slice)
			}
			streams++
			if b.Slice == "" && s.Rows+cut != b.Rows || s.Rows > b.Rows || s.Null > b.Nulls || b.Nulls > s.Null+cut {
				t.Errorf("%s in %q: %d rows and %d nulls, the profile has %d and %d, %d are cut", c.Name, b.Slice, s.Rows, s.Null, b.Rows, b.Nulls, cut)
			}
			for i := range s.Bins {
				if s.Bins[i] > b.Bins[i] || b.Bins[i] > s.Bins[i]+cut {
					t.Errorf("%s in %q: bin %d has %d, the profile %d", c.Name, b.Slice, i, s.Bins[i], b.Bins[i])
				}
			}
		}
	}
	if streams < 20 {
		t.Errorf("only %d streams", streams)
	}
}

// However a file stands, in whatever order and form: the same rows are the
// same windows.
func TestFeed_OrderAndFormChangeNothing(t *testing.T) {
	rows := made(6000)
	for i := range rows[3000:3100] {
		rows[3000+i].Distance = -1
	}
	spec := specOf(t, run(t, file(t, "x.csv", asCSV(rows)), options()).Baseline, "features: {distance: {type: number, min: 0}}\n")
	want := feed(t, profile.Feed{Source: ordered(t, file(t, "x.csv", asCSV(rows)), 0), Spec: spec})
	if len(want.trips) == 0 || want.trips[0].Fault != schemas.FaultOutOfRange || want.trips[0].Value != "-1" || want.trips[0].Bad < 5 {
		t.Fatalf("trips %+v, want one of distance out of range", want.trips)
	}
	shuffled := slices.Clone(rows)
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for name, path := range map[string]string{
		"shuffled": file(t, "y.csv", asCSV(shuffled)), "flat JSON": file(t, "x.jsonl", asJSON(t, rows, false)), "events": file(t, "e.jsonl", strings.ReplaceAll(asJSON(t, rows, true), `"id":"x",`, "")),
	} {
		src := ordered(t, path, 0)
		if src.Sorted != (name == "shuffled") {
			t.Errorf("%s: sorted is %v", name, src.Sorted)
		}
		if got := feed(t, profile.Feed{Source: src, Spec: spec}); got.show(t) != want.show(t) {
			t.Errorf("%s: other windows than in order", name)
		}
	}
	// What is only a little out of order is taken as it comes, as from a topic.
	near := slices.Clone(rows)
	for i := 0; i+1 < len(near); i += 7 {
		near[i], near[i+1] = near[i+1], near[i]
	}
	src := ordered(t, file(t, "z.csv", asCSV(near)), 10*time.Minute)
	got := feed(t, profile.Feed{Source: src, Spec: spec})
	if src.Sorted || src.Disorder == 0 || got.Rows != want.Rows || len(got.windows) != len(want.windows) {
		t.Errorf("sorted %v, disorder %d ms, %d rows in %d windows, want %d in %d", src.Sorted, src.Disorder, got.Rows, len(got.windows), want.Rows, len(want.windows))
	}
}

func TestFeed_IDsVersionsAndUnknownFeatures(t *testing.T) {
	var b strings.Builder
	at := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 2000 {
		id := i
		if i >= 1000 && i < 1100 {
			id = 5 // again and again
		}
		extra := ""
		if i >= 1500 {
			extra = `,"surprise":1`
		}
		fmt.Fprintf(&b, `{"id":"%d","model":"flight-delay","version":"%d","ts":"%s","features":{"x":%d%s},"prediction":"a"}`+"\n",
			id, 1+i/1000, at.Add(time.Duration(i)*10*time.Second).Format(time.RFC3339), i%10, extra)
	}
	spec := specOf(t, nil, "features: {x: {type: number, min: 0}}\n")
	got := feed(t, profile.Feed{Source: ordered(t, file(t, "e.jsonl", b.String()), 0), Spec: spec})
	found := map[schemas.Fault]string{}
	for _, x := range got.trips {
		found[x.Fault] = x.Version + " " + x.Feature
	}
	if len(found) != 2 || found[schemas.FaultExtraColumn] != "2 surprise" || !strings.HasPrefix(found[schemas.FaultDuplicates], "2 ") {
		t.Errorf("found %v, want duplicates and an unknown feature in version 2", found)
	}
}

func TestOrder_Refuses(t *testing.T) {
	f := func(name, body, timeColumn, want string) {
		t.Helper()
		src, err := profile.Open(file(t, name, body))
		if err != nil {
			t.Fatal(err)
		}
		_, err = profile.Order(t.Context(), src, "flight-delay", timeColumn, 0, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", name, err, want)
		}
	}
	f("none.csv", "a,b\n1,2\n", "", "--time")
	f("empty.csv", "ts,b\n", "", "no rows")
	f("wrong.csv", "when,b\nx,1\ny,2\n", "when", "no time among")
	f("unknown.csv", "ts,b\n2001-01-01,1\n", "tss", `did you mean`)
	f("asked.csv", "ts,b\n2001-01-01,1\n", "-", "need a time")
	f("other.jsonl", `{"model":"other","ts":1,"features":{"x":1}}`+"\n", "", `no event of model "flight-delay", but of other`)
	f("many.csv", "ts,b\n2001-01-01,1\n2001-01-01,1\nx,1\nx,1\nx,1\n", "ts", "more than a tenth")
}

func TestFeed_RefusesColumnsThatAreNotThere(t *testing.T) {
	spec := specOf(t, nil, "features: {distance: {type: number, min: 0}}\n")
	f := profile.Feed{Source: ordered(t, file(t, "x.csv", asCSV(made(100))), 0), Spec: spec, Score: "scoore"}
	if _, err := f.Run(t.Context(), math.MinInt64, math.MaxInt64, func(*profile.Stretch) error { return nil }); err == nil || !strings.Contains(err.Error(), "score") {
		t.Errorf("got %v", err)
	}
}
