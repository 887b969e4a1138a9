package window_test

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// event is one generated event of the log.
type event struct {
	offset, ts, time int64
	parts            schemas.Part
	version, id      string
	x                any // float64, string, nil for null, absent for none
	c                any
}

type absent struct{}

func spec() schemas.SpecRecord {
	lo := 0.0
	s := schemas.Spec{
		Model: "m", RowFunction: schemas.RowFunction, Window: time.Hour, Lateness: 10 * time.Minute,
		LateHorizon: 3 * time.Hour, MaxFuture: 5 * time.Minute,
		Columns: []schemas.SpecColumn{
			{Name: "c", Role: schemas.RoleFeature, Type: schemas.TypeCategory, Categories: []string{"a", "b"}},
			{Name: "x", Role: schemas.RoleFeature, Type: schemas.TypeNumber, Edges: []float64{1, 2, 5}, Unit: 1, Min: &lo},
			{Name: "prediction", Role: schemas.RolePrediction, Type: schemas.TypeCategory, Categories: []string{"no", "yes"}},
		},
		Slices: []schemas.SpecSlice{{Columns: []string{"c"}, Values: [][]string{{"a"}}}},
	}
	s.SortColumns()
	return schemas.SpecRecord{Seq: 1, EffectiveFrom: math.MinInt64, Hash: s.Hash(), Spec: s}
}

var base = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

func drawLog(t *rapid.T) []event {
	n := rapid.IntRange(0, 300).Draw(t, "n")
	clock := base
	var log []event
	offset := int64(rapid.IntRange(0, 50).Draw(t, "first"))
	for range n {
		offset += int64(rapid.SampledFrom([]int{1, 1, 1, 2, 1500}).Draw(t, "hole"))
		clock += int64(rapid.SampledFrom([]int{0, 100, 60_000, 900_000, 9_000_000}).Draw(t, "step"))
		e := event{offset: offset, ts: clock - int64(rapid.SampledFrom([]int{0, 0, 5_000}).Draw(t, "jitter"))}
		e.time = e.ts + int64(rapid.SampledFrom([]int{0, 0, 0, -600_000, -5_000_000, -50_000_000, 200_000, 900_000}).Draw(t, "lag"))
		e.parts = rapid.SampledFrom([]schemas.Part{1, 1, 2, 3}).Draw(t, "parts")
		e.version = rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "version")
		e.id = rapid.SampledFrom([]string{"", "i", "j", fmt.Sprint(offset)}).Draw(t, "id")
		e.x = rapid.SampledFrom([]any{0.5, 1.0, 2.5, -3.0, 7.0, "text", nil, absent{}, math.Inf(1)}).Draw(t, "x")
		e.c = rapid.SampledFrom([]any{"a", "b", "z", nil, absent{}}).Draw(t, "c")
		log = append(log, e)
	}
	return log
}

func put(b *schemas.Block, e event) {
	row := b.Begin()
	b.Offset[row], b.Timestamp[row], b.Time[row], b.Parts[row] = e.offset, e.ts, e.time, e.parts
	if e.id != "" {
		b.ID[row] = schemas.HashString(e.id)
		b.IDText[row] = b.Keep([]byte(e.id))
	}
	b.Version[row] = b.Keep([]byte(e.version))
	set := func(col int, v any) {
		c := &b.Columns[col]
		switch v := v.(type) {
		case float64:
			c.Kind[row], c.Num[row] = schemas.KindNumber, v
			if math.IsInf(v, 1) {
				c.Kind[row] = schemas.KindPosInf
			}
		case string:
			c.Kind[row], c.Text[row], c.Hash[row] = schemas.KindText, b.Keep([]byte(v)), schemas.HashString(v)
		case nil:
			c.Kind[row] = schemas.KindNull
		}
	}
	if e.parts&schemas.PartFeatures != 0 {
		set(b.Layout.Feature([]byte("x")), e.x)
		set(b.Layout.Feature([]byte("c")), e.c)
	}
	if e.parts&schemas.PartPrediction != 0 {
		set(b.Layout.Prediction, "yes")
	}
	b.Commit()
}

// stored is what a reader of the log would leave in the store.
type stored map[string]string

func (s stored) write(a *window.Assembler, ps []summary.Partial) {
	for _, p := range ps {
		key := fmt.Sprintf("%d %s %s %q %s %s", p.WindowStart, p.Part, p.Version, p.Role, p.Feature, p.Slice)
		s[fmt.Sprintf("%s @%d", key, a.Chunk().Start)] = dump(p.Summary)
	}
	p := a.Progress()
	s[fmt.Sprintf("progress @%d", a.Chunk().Start)] = fmt.Sprintf("%d %d %d %d %v %v", p.End, p.Clock, p.Rows, p.Late, p.Rejected, p.Marks)
}

func dump(s *summary.Summary) string {
	return fmt.Sprintf("rows %d present %d absent %d null %d inf %d bad %d outside %d late %d bins %v sum %d min %v max %v distinct %v run %d",
		s.Rows, s.Present, s.Absent, s.Null, s.PosInf, s.Bad, s.Outside, s.Late, s.Bins, s.Sum, s.Min, s.Max, s.Distinct.Small, s.Run)
}

// read passes the log to an assembler, adding blocks and storing summaries at
// the places that cut chooses, and returns what was stored.
func read(t *rapid.T, ms *window.Models, log []event, cut func(string) bool) stored {
	out := stored{}
	start := int64(0)
	a := window.New(ms, window.Start{Chunk: schemas.Chunk{Topic: "t", Start: start}, Previous: -1, Clock: window.NoTime})
	layout := ms.Model([]byte("m")).Layout
	b := schemas.NewBlock(layout)
	add := func() {
		a.Add(b, nil)
		b.Reset()
		if cut("smaller blocks") {
			b = schemas.NewBlockOf(layout, 7)
		}
	}
	for _, e := range log {
		if a.Border(e.offset, e.ts) {
			add()
			out.write(a, a.Partials(nil, false))
			a.Next(ms, e.offset)
		}
		a.Observe(e.offset, e.ts)
		put(b, e)
		if f := a.Admit(b); f != "" {
			b.N--
			a.Reject("m", string(f), f, 0, e.ts)
		}
		if b.Full() || cut("block") {
			add()
		}
		if cut("store") {
			add()
			out.write(a, a.Partials(nil, cut("closed only")))
		}
	}
	add()
	out.write(a, a.Partials(nil, false))
	return out
}

func models(t interface{ Fatal(...any) }) *window.Models {
	ms, err := window.Compile([]schemas.SpecRecord{spec()})
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

func never(string) bool { return false }

// However the log is cut into blocks and stores, the same rows are left.
func TestStoredRowsAreAFunctionOfTheLog(t *testing.T) {
	ms := models(t)
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		want := read(t, ms, log, never)
		got := read(t, ms, log, func(what string) bool { return rapid.IntRange(0, 3).Draw(t, what) == 0 })
		equal(t, want, got)
	})
}

// A reader that resumes at a chunk's start from its progress leaves the same
// rows as one that was never stopped.
func TestResumingAtAChunkIsSeamless(t *testing.T) {
	ms := models(t)
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		want := read(t, ms, log, never)
		got := stored{}
		a := window.New(ms, window.Start{Chunk: schemas.Chunk{Topic: "t"}, Previous: -1, Clock: window.NoTime})
		b := schemas.NewBlock(ms.Model([]byte("m")).Layout)
		add := func() {
			a.Add(b, nil)
			b.Reset()
		}
		from := 0 // index of the chunk's first record
		previous := 0
		stops := 0
		for i := 0; i < len(log); i++ {
			e := log[i]
			if a.Border(e.offset, e.ts) {
				add()
				got.write(a, a.Partials(nil, false))
				a.Next(ms, e.offset)
				previous, from = from, i
			}
			if stops < 3 && rapid.IntRange(0, 20).Draw(t, "stop") == 0 {
				stops++
				add()
				got.write(a, a.Partials(nil, rapid.Bool().Draw(t, "closed only")))
				p := a.Progress()
				s := window.Start{Chunk: p.Chunk, Previous: p.Previous, Clock: p.ClockStart}
				for _, m := range p.Marks {
					if m.MaxStart != window.NoTime {
						s.Marks = append(s.Marks, schemas.Mark{Model: m.Model, Part: m.Part, Max: m.MaxStart, Silent: m.SilentStart})
					}
				}
				a = window.New(ms, s)
				if p.Previous >= 0 {
					for _, w := range log[previous:from] {
						put(b, w)
						if b.Full() {
							a.Warm(b)
							b.Reset()
						}
					}
					a.Warm(b)
					b.Reset()
				}
				i = from
				e = log[i]
			}
			a.Observe(e.offset, e.ts)
			put(b, e)
			if f := a.Admit(b); f != "" {
				b.N--
				a.Reject("m", string(f), f, 0, e.ts)
			}
			if b.Full() {
				add()
			}
		}
		add()
		got.write(a, a.Partials(nil, false))
		equal(t, want, got)
	})
}

func equal(t *rapid.T, want, got stored) {
	t.Helper()
	var keys []string
	for k := range want {
		keys = append(keys, k)
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	for _, k := range keys {
		if want[k] != got[k] {
			t.Fatalf("%s\n want %s\n  got %s", k, want[k], got[k])
		}
	}
}

// The counts are those of a plain recount by the stated rules.
func TestCountsEqualAPlainRecount(t *testing.T) {
	ms := models(t)
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		got := map[string]uint64{}
		a := window.New(ms, window.Start{Chunk: schemas.Chunk{Topic: "t"}, Previous: -1, Clock: window.NoTime})
		collect := func() {
			for _, p := range a.Partials(nil, false) {
				k := fmt.Sprintf("%d %s/%s %s %s ", p.WindowStart, p.Version, p.Role, p.Feature, p.Slice)
				got[k+"rows"] += p.Rows
				got[k+"present"] += p.Present
				got[k+"null"] += p.Null
				got[k+"absent"] += p.Absent
				got[k+"bad"] += p.Bad
				got[k+"late"] += p.Late
				for i, n := range p.Bins {
					got[fmt.Sprintf("%sbin%d", k, i)] += n
				}
			}
		}
		b := schemas.NewBlock(ms.Model([]byte("m")).Layout)
		want := map[string]uint64{}
		marks := map[schemas.Part]int64{}
		for _, e := range log {
			if a.Border(e.offset, e.ts) {
				a.Add(b, nil)
				b.Reset()
				collect()
				a.Next(ms, e.offset)
			}
			a.Observe(e.offset, e.ts)
			put(b, e)
			fault := a.Admit(b)
			if fault != "" {
				b.N--
			}
			a.Add(b, nil)
			b.Reset()
			recount(t, want, marks, e, fault)
		}
		collect()
		for k, n := range want {
			if got[k] != n && !strings.Contains(k, "rows duplicates") {
				t.Fatalf("%s: want %d, got %d", k, n, got[k])
			}
		}
	})
}

func recount(t *rapid.T, want map[string]uint64, marks map[schemas.Part]int64, e event, fault schemas.Fault) {
	const hour = 3_600_000
	start := e.time - e.time%hour
	expect := schemas.Fault("")
	late := false
	for _, p := range []schemas.Part{1, 2} {
		if e.parts&p == 0 {
			continue
		}
		if m, ok := marks[p]; ok {
			if e.time < m-3*hour {
				expect = schemas.FaultLateData
			}
			late = late || start+hour+600_000 <= m
		}
	}
	if e.time > e.ts+300_000 {
		expect = schemas.FaultFutureEvents
	}
	if fault != expect {
		t.Fatalf("event at %d with record at %d: want fault %q, got %q", e.time, e.ts, expect, fault)
	}
	if fault != "" {
		return
	}
	for _, p := range []schemas.Part{1, 2} {
		if e.parts&p != 0 {
			if m, ok := marks[p]; !ok || e.time > m {
				marks[p] = e.time
			}
		}
	}
	one := func(b bool) uint64 {
		if b {
			return 1
		}
		return 0
	}
	if e.parts&1 == 0 {
		return
	}
	slices := []string{"", "c=other"}
	if e.c == "a" {
		slices[1] = "c=a"
	}
	for _, s := range slices {
		k := fmt.Sprintf("%d %s/feature x %s ", start, e.version, s)
		want[k+"rows"]++
		want[k+"late"] += one(late)
		switch x := e.x.(type) {
		case float64:
			if math.IsInf(x, 1) {
				break
			}
			want[k+"present"]++
			bin := 0
			for _, edge := range []float64{1, 2, 5} {
				if x > edge {
					bin++
				}
			}
			want[fmt.Sprintf("%sbin%d", k, bin)]++
		case string:
			want[k+"bad"]++
		case nil:
			want[k+"null"]++
		case absent:
			want[k+"absent"]++
		}
	}
}

// A part that delivers nothing while its partition goes on is known to have
// delivered up to where the partition has come, whatever one record claims.
func TestSilence(t *testing.T) {
	ms := models(t)
	a := window.New(ms, window.Start{Chunk: schemas.Chunk{Topic: "t"}, Previous: -1, Clock: window.NoTime})
	b := schemas.NewBlock(ms.Model([]byte("m")).Layout)
	offset := int64(0)
	pass := func(parts schemas.Part, ts int64) {
		t.Helper()
		if a.Border(offset, ts) {
			a.Next(ms, offset)
		}
		a.Observe(offset, ts)
		put(b, event{offset: offset, ts: ts, time: ts, parts: parts, x: 1.0, c: "a"})
		if f := a.Admit(b); f != "" {
			t.Fatal(f)
		}
		a.Add(b, nil)
		b.Reset()
		offset += 5000 // a chunk every five minutes
	}
	wants := func(part schemas.Part, want int64) {
		t.Helper()
		for _, m := range a.Progress().Marks {
			if m.Part == part && m.Reached() != want {
				t.Errorf("%s reached %d ms after the base, want %d", part, m.Reached()-base, want-base)
			}
		}
	}
	pass(schemas.PartFeatures|schemas.PartPrediction, base)
	for s := int64(1); s <= 1200; s++ {
		pass(schemas.PartFeatures, base+1000*s)
	}
	wants(schemas.PartFeatures, base+1_200_000)
	wants(schemas.PartPrediction, base+1_200_000-schemas.Silence)
	pass(schemas.PartFeatures, base+4_800_000) // an hour ahead
	wants(schemas.PartPrediction, base+1_260_000-schemas.Silence)
	pass(schemas.PartPrediction, base+1_201_000)
	wants(schemas.PartPrediction, base+1_201_000)
}

// genEdges draws edges that are even, uneven, in one heap with some far away,
// neighbours of each other, or as far from each other as can be.
func genEdges(t *rapid.T) []float64 {
	kind := rapid.IntRange(0, 4).Draw(t, "kind of edges")
	n := rapid.IntRange(0, 70).Draw(t, "edges")
	at := rapid.Float64Range(-5, 5).Draw(t, "first edge")
	var out []float64
	for range n {
		switch kind {
		case 0:
			at += 0.125
		case 1:
			at += rapid.Float64Range(0, 1).Draw(t, "step")
		case 2:
			at += math.Exp(rapid.Float64Range(-30, 5).Draw(t, "step"))
		case 3:
			at = math.Nextafter(at, math.Inf(1))
		default:
			at = rapid.Float64().Draw(t, "edge")
		}
		if !math.IsInf(at, 0) {
			out = append(out, at)
		}
	}
	return out
}

// Values on, beside and far from the edges, and categories beside others, are
// counted where a plain search puts them.
func TestEveryValueIsCountedInItsBin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := spec()
		x, c := r.Spec.Column(schemas.RoleFeature, "x"), r.Spec.Column(schemas.RoleFeature, "c")
		x.Edges = genEdges(t)
		for i := range x.Edges {
			x.Edges[i] += 0 // -0 and 0 are one edge
		}
		sort.Float64s(x.Edges)
		x.Edges = slices.Compact(x.Edges)
		c.Categories = append(rapid.SliceOfDistinct(rapid.StringMatching(`[b-y]{0,3}`), rapid.ID).Draw(t, "categories"), "a")
		sort.Strings(c.Categories)
		ms, err := window.Compile([]schemas.SpecRecord{r})
		if err != nil {
			t.Fatal(err)
		}
		numbers, names := make([]uint64, len(x.Edges)+1), make([]uint64, len(c.Categories)+1)
		a := window.New(ms, window.Start{Previous: -1, Clock: window.NoTime})
		b := schemas.NewBlock(ms.Model([]byte("m")).Layout)
		for i := range rapid.IntRange(1, 200).Draw(t, "rows") {
			e := event{offset: int64(i), ts: base, time: base, parts: schemas.PartFeatures}
			number := rapid.OneOf(rapid.Float64(), rapid.Float64Range(-5, 5), rapid.SampledFrom(append([]float64{0, math.Copysign(0, -1)}, x.Edges...))).Draw(t, "x")
			if aside := rapid.IntRange(-1, 1).Draw(t, "beside"); aside != 0 {
				number = math.Nextafter(number, math.Inf(aside))
			}
			if math.IsInf(number, 0) || math.IsNaN(number) {
				number = 0
			}
			name := rapid.OneOf(rapid.SampledFrom(c.Categories), rapid.StringMatching(`z[a-z]?`)).Draw(t, "c")
			e.x, e.c = number, name
			put(b, e)
			a.Observe(e.offset, e.ts)
			if fault := a.Admit(b); fault != "" {
				t.Fatal(fault)
			}
			numbers[sort.SearchFloat64s(x.Edges, number)]++
			if at := slices.Index(c.Categories, name); at >= 0 {
				names[at]++
			} else {
				names[len(names)-1]++
			}
		}
		a.Add(b, nil)
		for _, p := range a.Partials(nil, false) {
			if p.Slice == "" && p.Feature == "x" && !slices.Equal(p.Bins, numbers) {
				t.Fatalf("edges %v: bins %v, want %v", x.Edges, p.Bins, numbers)
			}
			if p.Slice == "" && p.Feature == "c" && !slices.Equal(p.Bins, names) {
				t.Fatalf("categories %q: bins %v, want %v", c.Categories, p.Bins, names)
			}
		}
	})
}
