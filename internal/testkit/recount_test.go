package testkit_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

func bound(x float64) *float64 { return &x }

// tollSpec counts tolls: the price of a passage, and its gate.
func tollSpec() schemas.Spec {
	s := schemas.Spec{
		Model: "toll", Window: time.Minute, Lateness: 10 * time.Second, LateHorizon: time.Hour, MaxFuture: time.Minute, Positive: "yes",
		Columns: []schemas.SpecColumn{
			{Name: "gate", Role: schemas.RoleFeature, Type: schemas.TypeCategory, Categories: []string{"1", "2"}, Set: []string{"1", "2", "9"}},
			{Name: "price", Role: schemas.RoleFeature, Type: schemas.TypeNumber, Edges: []float64{0, 10}, Anchor: 5, Unit: .5, Max: bound(100)},
			{Name: "label", Role: schemas.RoleLabel, Type: schemas.TypeCategory, Categories: []string{"no", "yes"}},
			{Name: "score", Role: schemas.RoleScore, Type: schemas.TypeNumber, Edges: []float64{.5}, Unit: .25},
		},
		Slices: []schemas.SpecSlice{{Columns: []string{"gate"}, Values: [][]string{{"1"}}}},
	}
	s.SortColumns()
	return s
}

func TestRecount_ByHand(t *testing.T) {
	k := testkit.Kafka(t)
	topic := k.CreateTopic(t, testkit.Name(t, "tolls"), 1, nil)
	start := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	var records []testkit.Record
	at := func(after time.Duration, value string) {
		records = append(records, testkit.Record{Topic: topic, Value: []byte(value), Time: start.Add(after)})
	}
	at(0, `{"id":1,"model":"toll","version":"a","features":{"price":-0.0,"gate":1}}`)
	at(time.Second, `{"id":"1","model":"toll","version":"a","features":{"price":10,"gate":"2","color":"red"}}`)  // duplicate, extra
	at(2*time.Second, `{"model":"toll","version":"a","features":{"price":10.3,"gate":"9"}}`)                     // unseen, 10.6 halves of 5
	at(3*time.Second, `{"model":"toll","version":"a","features":{"price":1000,"price":101,"gate":true}}`)        // outside, unexpected
	at(4*time.Second, `{"model":"toll","version":"a","features":{"price":"1","gate":null}}`)                     // bad
	at(5*time.Second, `{"model":"toll","version":"a","features":{"price":NaN,"gate":{"a":1}}}`)                  // bare
	at(6*time.Second, `{"model":"toll","version":"a","features":{"price":1e999}}`)                               // infinite, absent
	at(7*time.Second, `{"model":"toll","version":"b","features":{"gate":"1"},"scores":{"no":0.25,"yes":0.75}}`)  // two parts
	at(8*time.Second, `{"id":"1","model":"toll","version":"b","label":"yes"}`)                                   // not a duplicate: another part
	at(90*time.Second, `{"model":"toll","version":"a","ts":"2024-05-01T14:01:30+02:00","features":{"price":4}}`) // next window
	at(91*time.Second, `{"model":"toll","version":"a","ts":1714564819000,"features":{"price":6,"gate":1}}`)      // 12:00:19, late
	at(92*time.Second, `{"model":"toll","ts":"2024-05-01T10:00:00Z","features":{"price":6}}`)                    // too late
	at(93*time.Second, `{"model":"toll","ts":"2024-05-01T12:03:00Z","features":{"price":6}}`)                    // future
	at(94*time.Second, `{"model":"toll","features":{"price":6`)                                                  // cut off
	at(200*time.Second, `{"nothing":1}`)                                                                         // of the only model, at its latest time
	at(201*time.Second, `{"model":"boat","features":{}}`)                                                        // nobody's
	records = append(records, testkit.Record{Topic: topic, Key: "gone", Time: start.Add(202 * time.Second)})     // tombstone
	testkit.Produce(t, k.Addr, records)

	got := testkit.Recount(t, []string{k.Addr}, testkit.Watched{Spec: tollSpec(), Topics: []string{topic}})
	const (
		first  = 0
		second = 60_000
	)
	line := func(version string, window int64, role, feature, slice string) string {
		w := got.Windows[testkit.WindowKey{Model: "toll", Version: version, Start: start.UnixMilli() + window, Role: role, Feature: feature, Slice: slice}]
		if w == nil {
			return "none"
		}
		out := fmt.Sprint(w.Rows, " rows")
		for _, f := range []struct {
			name string
			n    uint64
		}{
			{"present", w.Present},
			{"absent", w.Absent},
			{"nulls", w.Nulls},
			{"nans", w.NaNs},
			{"infs", w.Infs},
			{"bad", w.Bad},
			{"unseen", w.Unseen},
			{"outside", w.Outside},
			{"unexpected", w.Unexpected},
			{"late", w.Late},
		} {
			if f.n > 0 {
				out += fmt.Sprintf(" %d %s", f.n, f.name)
			}
		}
		if w.Bins != nil {
			out += fmt.Sprint(" ", w.Bins)
		}
		if !math.IsNaN(w.Mean) {
			out += fmt.Sprintf(" %g %g %g", w.Min, w.Mean, w.Max)
		}
		return out
	}
	want := func(version string, window int64, role, feature, slice, want string) {
		t.Helper()
		if got := line(version, window, role, feature, slice); got != want {
			t.Errorf("%s %d %s %s %s:\ngot  %s\nwant %s", version, window, role, feature, slice, got, want)
		}
	}
	want("a", first, "rows", "features", "", "8 rows 8 present 1 late")
	want("a", first, "rows", "duplicates", "", "1 rows")
	want("a", first, "rows", "extra_column", "", "1 rows")
	// 0, 10, 10.5, 101, 6: the mean of halves; 10.3 is 10.5 to the nearest half.
	want("a", first, "feature", "price", "", "8 rows 5 present 1 nans 1 infs 1 bad 1 outside 1 late [1 2 2] 0 25.5 101")
	want("a", first, "feature", "gate", "", "8 rows 5 present 1 absent 1 nulls 1 bad 2 unseen 1 unexpected 1 late [2 1 2]")
	want("a", first, "feature", "price", "gate=1", "2 rows 2 present 1 late [1 1 0] 0 3 6")
	want("a", first, "feature", "gate", "gate=other", "6 rows 3 present 1 absent 1 nulls 1 bad 2 unseen 1 unexpected [0 1 2]")
	want("b", first, "rows", "features", "", "1 rows 1 present")
	want("b", first, "feature", "price", "gate=1", "1 rows 1 absent [0 0 0]")
	want("b", first, "rows", "prediction", "", "1 rows 1 present")
	want("b", first, "score", "score", "", "1 rows 1 present [0 1] 0.75 0.75 0.75")
	want("b", first, "score", "score", "gate=1", "1 rows 1 present [0 1] 0.75 0.75 0.75")
	want("", first, "label", "label", "", "1 rows 1 present [0 1 0]")
	want("", first, "label", "label", "gate=other", "none")
	want("a", second, "feature", "price", "", "1 rows 1 present [0 1 0] 4 4 4")
	want("", second, "rows", "late_data", "", "1 rows")
	want("", second, "rows", "future_events", "", "1 rows")
	want("", second, "rows", "unparsable", "", "2 rows")
	p := got.Partitions[testkit.PartitionKey{Topic: topic}]
	if p.Rows != 11 || p.Late != 1 || p.Offset != 17 || fmt.Sprint(p.Rejected) !=
		"map[future_events:1 late_data:1 no_model:1 tombstone:1 unknown_model:1 unparsable:1]" {
		t.Errorf("the partition counts %+v", *p)
	}
}

func TestRecount_MalformedForTheirReasons(t *testing.T) {
	k := testkit.Kafka(t)
	topic := k.CreateTopic(t, testkit.Name(t, "tolls"), 1, nil)
	want := map[string]uint64{}
	var records []testkit.Record
	for _, m := range testkit.Malformed("toll") {
		want[m.Reason]++
		records = append(records, testkit.Record{Topic: topic, Value: []byte(m.Value), Time: time.UnixMilli(0)})
	}
	testkit.Produce(t, k.Addr, records)
	got := testkit.Recount(t, []string{k.Addr}, testkit.Watched{Spec: tollSpec(), Topics: []string{topic}})
	if p := got.Partitions[testkit.PartitionKey{Topic: topic}]; fmt.Sprint(p.Rejected) != fmt.Sprint(want) || p.Rows != 0 {
		t.Errorf("got %v and %d rows, want %v", p.Rejected, p.Rows, want)
	}
}

func TestTraffic_CutAnywhere(t *testing.T) {
	start := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	tr := testkit.Traffic{
		Seed: 7, Start: start, Every: 100 * time.Millisecond,
		Models: []testkit.TrafficModel{{Name: "toll", Version: "1", Features: "f", Predictions: "p", Labels: "l", LabelDelay: 20 * time.Second}},
		Faults: []testkit.TrafficFault{{Model: "toll", Fault: schemas.FaultUnparsable, From: start, To: start.Add(time.Minute), Share: .1}},
		Noise:  testkit.Noise{Late: .05, TooLate: .01, Future: .01, Duplicate: .05, Malformed: .2},
	}
	write := func(records []testkit.Record) string {
		var out strings.Builder
		for _, r := range records {
			fmt.Fprintln(&out, r.Topic, r.Key, r.Time, string(r.Value))
		}
		return out.String()
	}
	cut := start.Add(33 * time.Second)
	end := start.Add(2 * time.Minute)
	whole := write(tr.Records(start, end))
	if parts := write(tr.Records(start, cut)) + write(tr.Records(cut, end)); parts != whole {
		t.Error("two stretches are not the whole")
	}
	for _, must := range []string{"nobody watches this", `"label":"yes"`, `"score":`, `"age":null`, "trailing"} {
		if !strings.Contains(whole, must) {
			t.Errorf("the traffic has no %s", must)
		}
	}
}

// TestCompareWindows_SeesEveryDifference keeps what is expected in a database
// and then changes one figure after the other.
func TestCompareWindows_SeesEveryDifference(t *testing.T) {
	c := testkit.ClickHouse(t)
	db := c.Database(t)
	c.Query(t, `CREATE TABLE `+db+`.windows (model String, version String, window_start DateTime64(3, 'UTC'), role String, feature String, slice String,
		rows UInt64, present UInt64, absent UInt64, nulls UInt64, nans UInt64, infs UInt64, bad UInt64, unseen UInt64, outside UInt64,
		unexpected UInt64, clipped UInt64, late UInt64, bins Array(UInt64), top Map(String, UInt64), min Nullable(Float64), max Nullable(Float64),
		mean Nullable(Float64)) ENGINE = Memory`)
	c.Query(t, `CREATE TABLE `+db+`.progress (topic String, partition Int32, offset Int64, rows UInt64, rejected UInt64, late UInt64) ENGINE = Memory`)
	c.Query(t, `INSERT INTO `+db+`.windows VALUES
		('toll', 'a', '1970-01-01 00:01:00', 'feature', 'price', '', 4, 2, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, [1, 1], {}, 0.1, 0.3, 0.2),
		('toll', 'a', '1970-01-01 00:01:00', 'feature', 'gate', '', 4, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, [3, 0, 1], {'1': 3, '2': 0, 'other': 1}, NULL, NULL, NULL)`)
	c.Query(t, `INSERT INTO `+db+`.progress VALUES ('tolls', 0, 9, 4, 2, 0)`)
	nan := math.NaN()
	price := testkit.WindowKey{Model: "toll", Version: "a", Start: 60_000, Role: "feature", Feature: "price"}
	gate := testkit.WindowKey{Model: "toll", Version: "a", Start: 60_000, Role: "feature", Feature: "gate"}
	expected := func() *testkit.Expected {
		return &testkit.Expected{
			Windows: map[testkit.WindowKey]*testkit.WindowCounts{
				price: {Rows: 4, Present: 2, Absent: 1, Bad: 1, Bins: []uint64{1, 1}, Min: .1, Max: .3, Mean: .2},
				gate:  {Rows: 4, Present: 4, Unseen: 1, Bins: []uint64{3, 0, 1}, Top: map[string]uint64{"1": 3, "other": 1}, Min: nan, Max: nan, Mean: nan},
			},
			Partitions: map[testkit.PartitionKey]*testkit.PartitionCounts{{Topic: "tolls"}: {Offset: 9, Rows: 4, Rejected: map[string]uint64{"empty": 2}}},
		}
	}
	if n := testkit.CompareWindows(t, c, db, expected(), 0); n != 2 {
		t.Errorf("%d rows compared, want 2", n)
	}
	f := func(change func(*testkit.Expected), want string) {
		t.Helper()
		e := expected()
		change(e)
		_, got := testkit.Differences(t, c, db, e)
		if len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("got %q, want one with %q", got, want)
		}
	}
	f(func(e *testkit.Expected) { e.Windows[price].Rows++ }, "rows is 4, want 5")
	f(func(e *testkit.Expected) { e.Windows[price].Late++ }, "late is 0, want 1")
	f(func(e *testkit.Expected) { e.Windows[price].Bins[1]++ }, "bins are [1 1], want [1 2]")
	f(func(e *testkit.Expected) { e.Windows[gate].Top["1"]++ }, "top is")
	f(func(e *testkit.Expected) { e.Windows[price].Mean = math.Nextafter(.2, 1) }, "mean is 0.2, want 0.2000")
	f(func(e *testkit.Expected) { e.Windows[gate].Min = 0 }, "min is NaN, want 0")
	f(func(e *testkit.Expected) { delete(e.Windows, gate) }, "a row of 4 events that nobody expects")
	f(func(e *testkit.Expected) {
		e.Windows[testkit.WindowKey{Model: "toll"}] = &testkit.WindowCounts{Rows: 3}
	}, "no row, want one of 3 events")
	f(func(e *testkit.Expected) { e.Partitions[testkit.PartitionKey{Topic: "tolls"}].Rejected["empty"]++ }, "Rejected:2")
	c.Query(t, `INSERT INTO `+db+`.windows SELECT * FROM `+db+`.windows WHERE feature = 'gate'`)
	f(func(*testkit.Expected) {}, "a second row of 4 events")
}
