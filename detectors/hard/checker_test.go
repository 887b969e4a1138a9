package hard_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/detectors/hard"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

func ptr[T any](v T) *T { return &v }

// testSpec has a required number with a range, a category with a set, and a score.
func testSpec() *schemas.SpecRecord {
	s := schemas.Spec{Model: "m", Columns: []schemas.SpecColumn{
		{Name: "age", Role: schemas.RoleFeature, Type: schemas.TypeNumber, Required: true, Min: ptr(0.0), Max: ptr(120.0)},
		{Name: "city", Role: schemas.RoleFeature, Type: schemas.TypeCategory, Set: []string{"a", "b"}},
		{Name: "score", Role: schemas.RoleScore, Type: schemas.TypeNumber},
	}}
	s.SortColumns()
	return &schemas.SpecRecord{Seq: 7, Spec: s}
}

var testChunk = schemas.Chunk{Topic: "t", Epoch: schemas.Epoch{TopicID: [16]byte{1, 2}}, Partition: 3, Start: 100}

// row is one event of the generated log; reject is set for an unusable one.
type row struct {
	offset, time int64
	part         schemas.Part
	class        [3]summary.Class
	flags        [3]summary.Flag
	duplicate    schemas.Part
	extra        []string
	reject       schemas.Fault
}

const window = 1000

func start(t int64) int64 { return t - t%window }

func good(offset int64) row {
	return row{
		offset: offset, time: offset * 10, part: schemas.PartFeatures | schemas.PartPrediction,
		class: [3]summary.Class{summary.Value, summary.Value, summary.Value},
	}
}

// view makes a View of the usable rows among rows; known says whether the
// unions are filled in.
func view(rows []row, known bool) *hard.View {
	v := &hard.View{Versions: []string{"1", "2"}, Columns: make([]summary.Classified, 3)}
	for i := range v.Columns {
		v.Columns[i].Grow(len(rows), summary.Numbers)
	}
	for _, r := range rows {
		if r.reject != "" {
			continue
		}
		n := v.Rows
		v.Offset = append(v.Offset, r.offset)
		v.Time = append(v.Time, r.time)
		v.Start = append(v.Start, start(r.time))
		v.Parts = append(v.Parts, r.part)
		v.Version = append(v.Version, uint16(r.offset%2))
		v.Duplicate = append(v.Duplicate, r.duplicate)
		for i := range v.Columns {
			c := &v.Columns[i]
			c.Class[n], c.Flags[n] = r.class[i], r.flags[i]
			if known {
				c.Classes |= 1 << r.class[i]
				c.AnyFlags |= r.flags[i]
			}
		}
		for _, name := range r.extra {
			v.Extra = append(v.Extra, hard.Extra{Row: int32(n), Name: name})
		}
		v.Rows++
	}
	v.Value = func(column int, row int32) string { return fmt.Sprintf("%d@%d", column, v.Offset[row]) }
	return v
}

func run(rows []row, cut func(left int) int, known, snap bool) *hard.Checker {
	c := hard.NewChecker(testChunk, testSpec())
	for len(rows) > 0 {
		n := cut(len(rows))
		// As a reader does: rejects are met while the stretch is being read, the rest is checked after it.
		for _, r := range rows[:n] {
			if r.reject != "" {
				c.Reject(hard.Reject{Fault: r.reject, Part: r.part, Offset: r.offset, Time: r.time, Start: start(r.time), Value: "v", Reason: "because"})
			}
		}
		c.Check(view(rows[:n], known))
		if snap {
			c.Snapshot()
		}
		rows = rows[n:]
	}
	return c
}

type key struct {
	fault   schemas.Fault
	feature string
}

type plain struct {
	level, bad, rows int64
	onset            row
}

// naive follows the same rules one row at a time, as they are written down.
func naive(rows []row) []string {
	var out []string
	state := map[key]*plain{}
	tripped := map[string]bool{}
	step := func(k key, r row, bad bool) {
		s := state[k]
		if s == nil {
			s = &plain{}
			state[k] = s
		}
		if !bad {
			if s.level > 0 {
				s.level--
				s.rows++
				if s.level == 0 {
					*s = plain{}
				}
			}
			return
		}
		if s.level == 0 {
			s.onset = r
		}
		s.level += 100
		s.bad++
		s.rows++
		if s.level >= 500 {
			id := fmt.Sprint(k, start(r.time))
			if !tripped[id] {
				tripped[id] = true
				out = append(out, fmt.Sprint(k.fault, k.feature, start(r.time), s.onset.offset, r.offset, s.bad, s.rows))
			}
			*s = plain{}
		}
	}
	rejects := []key{{schemas.FaultUnparsable, ""}, {schemas.FaultFutureEvents, "features"}}
	names := []string{"x", "y"}
	for _, r := range rows {
		if r.reject != "" {
			k := rejects[0]
			if r.reject == schemas.FaultFutureEvents {
				k = rejects[1]
			}
			step(k, r, true)
			continue
		}
		for _, k := range rejects {
			step(k, r, false)
		}
		for _, p := range schemas.Parts {
			if r.part&p != 0 {
				step(key{schemas.FaultDuplicates, p.String()}, r, r.duplicate&p != 0)
			}
		}
		value := func(i int, f summary.Flag) bool { return r.class[i] == summary.Value && r.flags[i]&f != 0 }
		if r.part&schemas.PartFeatures != 0 {
			for _, n := range names {
				step(key{schemas.FaultExtraColumn, n}, r, slices.Contains(r.extra, n))
			}
			step(key{schemas.FaultWrongType, "age"}, r, r.class[0] == summary.Bad)
			step(key{schemas.FaultMissingColumn, "age"}, r, r.class[0] == summary.Absent)
			step(key{schemas.FaultOutOfRange, "age"}, r, value(0, summary.Outside))
			step(key{schemas.FaultWrongType, "city"}, r, r.class[1] == summary.Bad)
			step(key{schemas.FaultUnexpectedValue, "city"}, r, value(1, summary.Unexpected))
		}
		if r.part&schemas.PartPrediction != 0 {
			step(key{schemas.FaultWrongType, "score"}, r, r.class[2] == summary.Bad)
			step(key{schemas.FaultNotFinite, "score"}, r, r.class[2] >= summary.NaN && r.class[2] <= summary.NegInf)
		}
	}
	slices.Sort(out)
	return out
}

func texts(trips []schemas.Trip) []string {
	var out []string
	for _, t := range trips {
		out = append(out, fmt.Sprint(t.Fault, t.Feature, t.WindowStart, t.OnsetOffset, t.Offset, t.Bad, t.Rows))
	}
	slices.Sort(out)
	return out
}

func genLog(t *rapid.T) []row {
	rows := make([]row, rapid.IntRange(1, 900).Draw(t, "n"))
	bad := rapid.IntRange(0, 30).Draw(t, "percent bad")
	for i := range rows {
		r := good(int64(100 + i*3))
		r.time = rapid.Int64Range(int64(i), int64(i)+1500).Draw(t, "time")
		r.part = rapid.SampledFrom([]schemas.Part{1, 2, 3, 3, 3, 4, 7}).Draw(t, "part")
		if rapid.IntRange(0, 99).Draw(t, "bad") < bad {
			switch rapid.IntRange(0, 6).Draw(t, "how") {
			case 0:
				r.reject = rapid.SampledFrom([]schemas.Fault{schemas.FaultUnparsable, schemas.FaultFutureEvents}).Draw(t, "reject")
				r.part = map[schemas.Fault]schemas.Part{schemas.FaultFutureEvents: schemas.PartFeatures}[r.reject]
			case 1:
				r.duplicate = r.part
			case 2:
				r.extra = []string{"x", "y", "x"}[:rapid.IntRange(1, 3).Draw(t, "extras")]
			case 3, 4:
				r.class[rapid.IntRange(0, 2).Draw(t, "column")] = summary.Class(rapid.IntRange(0, 5).Draw(t, "class"))
			default:
				r.flags[rapid.IntRange(0, 2).Draw(t, "column")] = summary.Flag(rapid.IntRange(1, 7).Draw(t, "flag"))
			}
		}
		rows[i] = r
	}
	return rows
}

func TestCheckerIsItsRuleHoweverTheLogIsCut(t *testing.T) {
	tripped := 0
	rapid.Check(t, func(t *rapid.T) {
		rows := genLog(t)
		whole := run(rows, func(left int) int { return left }, true, false)
		parts := run(rows, func(left int) int { return rapid.IntRange(1, left).Draw(t, "cut") }, rapid.Bool().Draw(t, "known"), true)
		trips, samples := whole.Snapshot()
		trips2, samples2 := parts.Snapshot()
		if fmt.Sprint(trips) != fmt.Sprint(trips2) {
			t.Fatalf("trips depend on the cut:\n%v\n%v", trips, trips2)
		}
		if fmt.Sprint(samples) != fmt.Sprint(samples2) {
			t.Fatalf("samples depend on the cut:\n%v\n%v", samples, samples2)
		}
		if got, want := texts(trips), naive(rows); !slices.Equal(got, want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
		tripped += len(trips)
	})
	if tripped == 0 {
		t.Fatal("no generated log tripped anything")
	}
}

// log is n good rows with every bad-th of them spoiled.
func log(n, every int, spoil func(*row)) []row {
	rows := make([]row, n)
	for i := range rows {
		rows[i] = good(int64(100 + i))
		if every > 0 && i%every == every/2 {
			spoil(&rows[i])
		}
	}
	return rows
}

func wrongType(r *row) { r.class[0] = summary.Bad }

func TestTrips(t *testing.T) {
	f := func(rows []row, want int) {
		t.Helper()
		trips, _ := run(rows, func(left int) int { return min(left, 100) }, true, false).Snapshot()
		if len(trips) != want {
			t.Errorf("got %d trips, want %d: %v", len(trips), want, trips)
		}
	}
	f(log(100_000, 0, nil), 0)
	f(log(100_000, 101, wrongType), 0) // one bad row for a hundred good ones never gets anywhere
	f(log(399, 50, wrongType), 0)      // seven odd rows
	f(log(90, 1, wrongType), 1)        // once for the one window
	f(log(180, 1, wrongType), 2)       // again in the next
}

func TestTripSaysWhatHappened(t *testing.T) {
	rows := log(110, 10, wrongType)
	trips, samples := run(rows, func(int) int { return 1 }, true, false).Snapshot()
	if len(trips) == 0 {
		t.Fatal("nothing tripped")
	}
	got := trips[0]
	want := schemas.Trip{
		Model: "m", SpecSeq: 7, Version: "2", Fault: schemas.FaultWrongType, Feature: "age", WindowStart: 1000,
		Onset: 1050, Time: 1550, Offset: 155, OnsetOffset: 105, Bad: 6, Rows: 51, Value: "0@155", Reason: "not a number",
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(samples) != 8 {
		t.Fatalf("%d bad rows are kept of 11, want 8", len(samples))
	}
	for i, s := range samples {
		if s.Fault != schemas.FaultWrongType || s.Feature != "age" || s.Offset%10 != 5 || s.Value != fmt.Sprintf("0@%d", s.Offset) {
			t.Errorf("sample %d is %+v", i, s)
		}
		if i > 0 && s.Rank <= samples[i-1].Rank {
			t.Error("samples are not by rank")
		}
	}
}

// The sample is by rank, so it must not favour the beginning of the chunk.
func TestSampleIsSpreadOverTheChunk(t *testing.T) {
	_, samples := run(log(100_000, 1, wrongType), func(left int) int { return min(left, 512) }, true, false).Snapshot()
	late := 0
	for _, s := range samples {
		if s.Offset > 1000 {
			late++
		}
	}
	if late < 6 {
		t.Errorf("only %d of 8 samples are from behind the first hundredth of the rows", late)
	}
}

func TestExtrasAreBounded(t *testing.T) {
	rows := log(20_000, 1, func(r *row) {
		for i := range 4 {
			r.extra = append(r.extra, fmt.Sprintf("f%d", (int(r.offset)*4+i)%5000))
		}
	})
	trips, samples := run(rows, func(left int) int { return min(left, 512) }, true, false).Snapshot()
	if len(samples) > 66*8 {
		t.Errorf("%d samples of extra columns are kept", len(samples))
	}
	if !slices.ContainsFunc(trips, func(t schemas.Trip) bool { return t.Feature == "" }) {
		t.Error("the names beyond the cap are not followed together")
	}
}

func TestChangesFollowSnapshot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := genLog(t)
		c := hard.NewChecker(testChunk, testSpec())
		trips, samples := c.Snapshot()
		last, changes := fmt.Sprint(trips, samples), c.Changes()
		for _, r := range rows {
			if r.reject != "" {
				continue
			}
			c.Check(view([]row{r}, true))
			trips, samples := c.Snapshot()
			if now := fmt.Sprint(trips, samples); now != last && c.Changes() == changes {
				t.Fatal("a snapshot changed and Changes did not")
			} else {
				last, changes = now, c.Changes()
			}
		}
	})
}

func TestInfinityIsNotFiniteInScoresOnly(t *testing.T) {
	rows := log(80, 2, func(r *row) {
		r.class[0], r.class[2] = summary.NaN, summary.PosInf
	})
	trips, _ := run(rows, func(left int) int { return left }, true, false).Snapshot()
	if len(trips) != 1 || trips[0].Fault != schemas.FaultNotFinite || trips[0].Feature != "score" {
		t.Errorf("got %+v", trips)
	}
}

func BenchmarkCheckClean(b *testing.B) {
	spec := testSpec()
	spec.Spec.Columns = nil
	for i := range 50 {
		spec.Spec.Columns = append(spec.Spec.Columns, schemas.SpecColumn{Name: fmt.Sprint(i), Role: schemas.RoleFeature, Type: schemas.TypeNumber, Required: true, Max: ptr(math.MaxFloat64)})
	}
	v := view(log(512, 0, nil), true)
	v.Duplicate = nil
	one := v.Columns[0]
	v.Columns = nil
	for range 50 {
		v.Columns = append(v.Columns, one)
	}
	c := hard.NewChecker(testChunk, spec)
	for b.Loop() {
		c.Check(v)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/512/50, "ns/value")
}
