package store_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// viewRow is a row of the view windows as text would have it.
type viewRow struct {
	Version, Start, End, Role, Feature, Slice                       string
	Rows, Present, Absent, Nulls, Nans, Infs, Bad, Unseen, Revision uint64
	Min, Max, Mean, SD                                              *float64
	Distinct                                                        *uint64
	Edges                                                           []float64
	Bins                                                            []uint64
	Top                                                             map[string]uint64
	Closed                                                          int
}

func readView(tb testing.TB, database, model string) []viewRow {
	tb.Helper()
	out := testkit.ClickHouse(tb).Query(tb, fmt.Sprintf(`SELECT version AS Version, toString(window_start) AS Start, toString(window_end) AS End,
		role AS Role, feature AS Feature, slice AS Slice, rows AS Rows, present AS Present, absent AS Absent, nulls AS Nulls, nans AS Nans, infs AS Infs,
		bad AS Bad, unseen AS Unseen, revision AS Revision, min AS Min, max AS Max, mean AS Mean, sd AS SD, distinct AS Distinct,
		edges AS Edges, bins AS Bins, top AS Top, closed AS Closed
		FROM %s.windows WHERE model = '%s' ORDER BY Start, Role, Feature, Slice
		FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 0`, database, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(model)))
	var rows []viewRow
	if out == "" {
		return nil
	}
	for line := range strings.SplitSeq(out, "\n") {
		var r viewRow
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			tb.Fatalf("%s: %v", line, err)
		}
		rows = append(rows, r)
	}
	return rows
}

func testSpec(model string) schemas.Spec {
	s := schemas.Spec{Model: model, RowFunction: schemas.RowFunction, Window: time.Hour, Columns: []schemas.SpecColumn{
		{Name: "dist'ance`", Role: schemas.RoleFeature, Type: schemas.TypeNumber, Edges: edges, Anchor: 1.5, Unit: 1.0 / 1024},
		{Name: "origin", Role: schemas.RoleFeature, Type: schemas.TypeCategory, Categories: []string{"JFK", "ORD"}},
	}}
	s.SortColumns()
	return s
}

func register(tb testing.TB, s *store.Store, spec schemas.Spec, from int64) schemas.SpecRecord {
	tb.Helper()
	r, err := s.RegisterSpec(background(tb), spec, func(*schemas.SpecRecord) int64 { return from })
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func sameView(tb testing.TB, rows []viewRow, want []store.Entry, closed int) {
	tb.Helper()
	if len(rows) != len(want) {
		tb.Fatalf("%d rows in the view, want %d: %+v", len(rows), len(want), rows)
	}
	slices.SortStableFunc(want, func(a, b store.Entry) int { return strings.Compare(a.Role.String(), b.Role.String()) })
	for i, r := range rows {
		w := want[i]
		name := fmt.Sprint(r.Role, r.Feature, r.Slice)
		if r.Role != w.Role.String() || r.Feature != w.Feature || r.Slice != w.Slice || r.Version != w.Version {
			tb.Fatalf("row %d is %s, want %+v", i, name, w.Stream)
		}
		if r.Rows != w.Rows || r.Present != w.Present || r.Nulls != w.Null || r.Bad != w.Bad || r.Infs != w.PosInf+w.NegInf {
			tb.Errorf("%s: %+v, want %+v", name, r, *w.Summary)
		}
		if !slices.Equal(r.Bins, w.Bins) {
			tb.Errorf("%s: bins %v, want %v", name, r.Bins, w.Bins)
		}
		if n, ok := w.Distinct.Estimate(); ok != (r.Distinct != nil) || ok && n != *r.Distinct {
			tb.Errorf("%s: distinct %s, want %d, %v", name, show(r.Distinct), n, ok)
		}
		if r.Closed != closed {
			tb.Errorf("%s: closed %d, want %d", name, r.Closed, closed)
		}
		if w.Role != schemas.RoleFeature {
			if r.Mean != nil || r.Min != nil {
				tb.Errorf("%s: a count has a mean or a minimum", name)
			}
			continue
		}
		if r.Min == nil || *r.Min != w.Min || r.Max == nil || *r.Max != w.Max {
			tb.Errorf("%s: from %s to %s, want %v to %v", name, show(r.Min), show(r.Max), w.Min, w.Max)
		}
		if mean := w.Mean(1.5, 1.0/1024); r.Mean == nil || *r.Mean != mean {
			tb.Errorf("%s: mean %s, want %v to the last bit", name, show(r.Mean), mean)
		}
		if sd := w.SD(1.0 / 1024); r.SD == nil || math.Abs(*r.SD-sd) > 1e-15*sd {
			tb.Errorf("%s: sd %s, want %v", name, show(r.SD), sd)
		}
		if !slices.Equal(r.Edges, edges) {
			tb.Errorf("%s: edges %v", name, r.Edges)
		}
	}
}

func show[T any](p *T) string {
	if p == nil {
		return "none"
	}
	return fmt.Sprint(*p)
}

// The view must say what one pass in Go says: of open windows from partials,
// of closed ones from their summaries, also while late rows wait.
func TestWindowsViewEqualsOnePass(t *testing.T) {
	s, database := open(t)
	ctx := background(t)
	const model = `m'\x`
	if r := register(t, s, testSpec(model), math.MinInt64); r.Seq != 1 {
		t.Fatalf("first spec has number %d", r.Seq)
	}
	r := rand.New(rand.NewPCG(5, 6))
	logs := chunkLogs(r, model)
	for _, l := range logs {
		partials, rows := l.prefix(len(l.events))
		if err := s.Write(ctx, partials, rows); err != nil {
			t.Fatal(err)
		}
	}
	view := func(start string) (rows []viewRow) {
		for _, r := range readView(t, database, model) {
			if r.Start == start {
				rows = append(rows, r)
			}
		}
		return rows
	}
	const first, second = "1970-01-01 00:00:00.000", "1970-01-01 01:00:00.000"
	sameView(t, view(first), merged(logs, 0), 0)
	sameView(t, view(second), merged(logs, hour), 0)

	windows, err := s.ReadWindows(ctx, model, 1, schemas.PartFeatures, []int64{0})
	if err != nil {
		t.Fatal(err)
	}
	w := windows[0]
	touched := func(want bool) {
		t.Helper()
		models, from, next, err := s.Touched(ctx, time.Minute)
		if err != nil || models[model] != want || len(models) > 1 {
			t.Errorf("touched: %v, %v, want %t", models, err, want)
		}
		if !from.Covers(next) || next.Covers(from) {
			t.Errorf("from %+v to %+v", from, next)
		}
	}
	touched(false) // nothing is closed
	if err := s.WriteSummaries(ctx, model, closed(0, w.Revision, w.Entries)); err != nil {
		t.Fatal(err)
	}
	sameView(t, view(first), merged(logs, 0), 1)
	sameView(t, view(second), merged(logs, hour), 0)

	// Late rows of the closed window do not show until it is judged again.
	before := merged(logs, 0)
	late := newChunkLog(r, model, schemas.Chunk{Topic: "flights", Epoch: epoch(7), Partition: 5}, 30)
	partials, rows := late.prefix(30)
	if err := s.Write(ctx, partials, rows); err != nil {
		t.Fatal(err)
	}
	sameView(t, view(first), before, 1)
	touched(true)
	revised, next, err := s.Revisions(ctx, model, store.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	if len(revised) != 1 || revised[0].Start != 0 || revised[0].Was != w.Revision || revised[0].Is <= w.Revision {
		t.Fatalf("revised windows: %+v", revised)
	}
	logs = append(logs, late)
	if windows, err = s.ReadWindows(ctx, model, 1, schemas.PartFeatures, []int64{0}); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteSummaries(ctx, model, closed(0, windows[0].Revision, windows[0].Entries)); err != nil {
		t.Fatal(err)
	}
	// An earlier revision that comes late changes nothing.
	if err := s.WriteSummaries(ctx, model, closed(0, w.Revision, w.Entries)); err != nil {
		t.Fatal(err)
	}
	sameView(t, view(first), merged(logs, 0), 1)
	if revised, _, err = s.Revisions(ctx, model, next); err != nil || len(revised) != 0 {
		t.Errorf("still revised: %+v, %v", revised, err)
	}
	closed, err := s.Closed(ctx, model, 1, schemas.PartFeatures, 0, 2*hour)
	if err != nil || len(closed) != 1 || closed[0] != windows[0].Revision {
		t.Errorf("closed windows: %v, %v", closed, err)
	}
	starts, err := s.Starts(ctx, model, 1, schemas.PartFeatures, 0, 2*hour)
	if err != nil || !slices.Equal(starts, []int64{0, hour}) {
		t.Errorf("windows with rows: %v, %v", starts, err)
	}
}

// A row counts under the spec whose interval holds its window, whatever else
// was stored under older or newer ones.
func TestSupersededSpecsDoNotCount(t *testing.T) {
	s, database := open(t)
	ctx := background(t)
	old := testSpec("m")
	register(t, s, old, math.MinInt64)
	wider := testSpec("m")
	wider.Columns[0].Unit = 1
	if r := register(t, s, wider, hour); r.Seq != 2 {
		t.Fatalf("second spec has number %d", r.Seq)
	}
	chunk := schemas.Chunk{Topic: "t", Epoch: epoch(1)}
	var partials []summary.Partial
	for seq, rows := range map[uint64]uint64{1: 10, 2: 200} {
		for _, window := range []int64{0, hour} {
			sum := summary.New(0)
			sum.Rows = rows
			partials = append(partials, summary.Partial{
				Model: "m", SpecSeq: seq, WindowStart: window, Part: schemas.PartFeatures,
				Stream: schemas.Stream{Role: schemas.RoleRows, Feature: "features"}, Summary: sum,
			})
		}
	}
	if err := s.Write(ctx, partials, schemas.Rows{Chunk: chunk, End: 7}); err != nil {
		t.Fatal(err)
	}
	rows := readView(t, database, "m")
	if len(rows) != 2 || rows[0].Rows != 10 || rows[1].Rows != 200 {
		t.Errorf("rows before and after the border: %+v", rows)
	}
}

func TestCategoriesAreNamedInTheView(t *testing.T) {
	s, database := open(t)
	register(t, s, testSpec("m"), math.MinInt64)
	sum := summary.New(3)
	sum.Rows, sum.Present = 9, 9
	copy(sum.Bins, []uint64{4, 3, 2})
	err := s.Write(background(t), []summary.Partial{{
		Model: "m", SpecSeq: 1, Part: schemas.PartFeatures, WindowStart: -hour,
		Stream: schemas.Stream{Role: schemas.RoleFeature, Feature: "origin"}, Summary: sum,
	}}, schemas.Rows{Chunk: schemas.Chunk{Topic: "t"}, End: 3})
	if err != nil {
		t.Fatal(err)
	}
	rows := readView(t, database, "m")
	if len(rows) != 1 {
		t.Fatalf("%d rows", len(rows))
	}
	r := rows[0]
	if r.Start != "1969-12-31 23:00:00.000" || r.End != "1970-01-01 00:00:00.000" || r.Unseen != 2 || r.Mean != nil || r.Min != nil {
		t.Errorf("%+v", r)
	}
	if len(r.Top) != 3 || r.Top["JFK"] != 4 || r.Top["ORD"] != 3 || r.Top["other"] != 2 {
		t.Errorf("top: %v", r.Top)
	}
}
