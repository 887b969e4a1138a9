package replay

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

type fetched = consumers.Fetched

// batchRows is how many rows of the view windows are read at a time, unless a
// single window has more.
const batchRows = 20_000

// compare holds what was recomputed against what is stored, and empties the
// recorder by it.
func (v *Verifier) compare(ctx context.Context, p *plan, r *recorder, from int64, found *findings) error {
	starts, rows, err := v.deps.Store.StoredStarts(ctx, v.cfg.Model, from, r.to)
	if err != nil {
		return err
	}
	for len(starts) > 0 {
		n, size := 1, rows[0]
		for n < len(starts) && size+rows[n] <= batchRows {
			size += rows[n]
			n++
		}
		stored, err := v.deps.Store.StoredWindows(ctx, v.cfg.Model, starts[0], starts[n-1]+1)
		if err != nil {
			return err
		}
		for i := range stored {
			v.row(p, r, &stored[i], found)
		}
		starts, rows = starts[n:], rows[n:]
	}
	for k, s := range r.sums {
		if w := v.window(p, k.start, k.spec, found); w.left == "" {
			w.streams++
			v.differs(w, k, "row", "none", fmt.Sprintf("one of %d events", s.Rows))
		}
	}
	clear(r.sums)
	return nil
}

// window returns what is found of a window, which is left out where its log is
// gone.
func (v *Verifier) window(p *plan, start int64, spec uint64, found *findings) *checked {
	w := found.windows[start]
	if w == nil {
		length := v.length
		if s := v.specs[spec]; s != nil {
			length = s.Spec.Window.Milliseconds()
		}
		w = &checked{left: p.lostAt(start, start+length)}
		found.windows[start] = w
	}
	return w
}

func (v *Verifier) differs(w *checked, k key, column, stored, recomputed string) {
	w.differing++
	if len(w.shown) < v.cfg.Shown {
		w.shown = append(w.shown, Difference{
			Model: v.cfg.Model, Window: time.UnixMilli(k.start).UTC(), Version: k.Version, Role: k.Role.String(), Feature: k.Feature, Slice: k.Slice,
			Column: column, Stored: stored, Recomputed: recomputed,
		})
	}
}

// row compares one row of the view.
func (v *Verifier) row(p *plan, r *recorder, s *store.StoredWindow, found *findings) {
	k := key{s.Start, s.SpecSeq, s.Stream}
	sum := r.sums[k]
	delete(r.sums, k)
	w := v.window(p, s.Start, s.SpecSeq, found)
	if w.left != "" {
		return
	}
	w.open = w.open || !s.Closed
	w.streams++
	if sum == nil {
		v.differs(w, k, "row", fmt.Sprintf("one of %d events", s.Rows), "none")
		return
	}
	if s.Role == schemas.RoleRows && schemas.PartOf(s.Feature) != 0 {
		w.rows += s.Rows
	}
	var column *schemas.SpecColumn
	if spec := v.specs[s.SpecSeq]; spec != nil {
		column = spec.Spec.Column(s.Role, s.Feature)
	}
	want := shown(sum, column, s.Slice)
	for _, c := range counts(s, &want) {
		if c.stored != c.want {
			v.differs(w, k, c.name, strconv.FormatUint(c.stored, 10), strconv.FormatUint(c.want, 10))
		}
	}
	for _, c := range []struct {
		name         string
		stored, want *float64
		ulps         uint64
	}{{"min", s.Min, want.Min, 0}, {"max", s.Max, want.Max, 0}, {"mean", s.Mean, want.Mean, 0}, {"sd", s.SD, want.SD, sdPlaces}} {
		if !near(c.stored, c.want, c.ulps) {
			v.differs(w, k, c.name, number(c.stored), number(c.want))
		}
	}
	if (s.Distinct == nil) != (want.Distinct == nil) || s.Distinct != nil && *s.Distinct != *want.Distinct {
		v.differs(w, k, "distinct", optional(s.Distinct), optional(want.Distinct))
	}
	if !slices.Equal(s.Edges, want.Edges) {
		v.differs(w, k, "edges", fmt.Sprint(s.Edges), fmt.Sprint(want.Edges))
	}
	if !slices.Equal(s.Bins, want.Bins) {
		v.differs(w, k, "bins", fmt.Sprint(s.Bins), fmt.Sprint(want.Bins))
	}
	if !maps.Equal(s.Top, want.Top) {
		v.differs(w, k, "top", text(s.Top), text(want.Top))
	}
}

// counted is one integer column of a row.
type counted struct {
	name         string
	stored, want uint64
}

func counts(s, want *store.StoredWindow) []counted {
	return []counted{
		{"rows", s.Rows, want.Rows},
		{"present", s.Present, want.Present},
		{"absent", s.Absent, want.Absent},
		{"nulls", s.Nulls, want.Nulls},
		{"nans", s.NaNs, want.NaNs},
		{"infs", s.Infs, want.Infs},
		{"bad", s.Bad, want.Bad},
		{"unseen", s.Unseen, want.Unseen},
		{"outside", s.Outside, want.Outside},
		{"unexpected", s.Unexpected, want.Unexpected},
		{"clipped", s.Clipped, want.Clipped},
		{"late", s.Late, want.Late},
		{"longest_run", s.LongestRun, want.LongestRun},
	}
}

// shown is what the view windows shows of a summary. column is nil for counts
// of events.
func shown(s *summary.Summary, column *schemas.SpecColumn, slice string) store.StoredWindow {
	w := store.StoredWindow{
		Rows: s.Rows, Present: s.Present, Absent: s.Absent, Nulls: s.Null, NaNs: s.NaN, Infs: s.PosInf + s.NegInf, Bad: s.Bad,
		Outside: s.Outside, Unexpected: s.Unexpected, Clipped: s.Clipped, Late: s.Late, LongestRun: s.Run, Bins: s.Bins, Top: map[string]uint64{},
	}
	if n, exact := s.Distinct.Estimate(); exact && (s.Distinct.Registers == nil || slice == "") {
		w.Distinct = &n
	}
	if column == nil {
		return w
	}
	w.Edges = column.Edges
	switch column.Type {
	case schemas.TypeCategory:
		w.Unseen = s.Unseen()
		for i, c := range column.Categories {
			w.Top[c] = 0
			if i < len(s.Bins) {
				w.Top[c] = s.Bins[i]
			}
		}
		if w.Unseen > 0 {
			w.Top[schemas.OtherValue] += w.Unseen
		}
	case schemas.TypeNumber:
		if s.Present > 0 {
			mean := s.Mean(column.Anchor, column.Unit)
			w.Min, w.Max, w.Mean = &s.Min, &s.Max, &mean
		}
		if s.Present > 1 {
			sd := s.SD(column.Unit)
			w.SD = &sd
		}
	}
	return w
}

// sdPlaces is how many units in the last place the standard deviation may be
// off: the engine turns the 256-bit integer behind it into a number in steps,
// each of which may round.
const sdPlaces = 4

// near says whether two numbers are the same, or at most so many units in the
// last place apart.
func near(a, b *float64, ulps uint64) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := math.Float64bits(*a), math.Float64bits(*b)
	if x == y || ulps == 0 || x>>63 != y>>63 {
		return x == y
	}
	return max(x, y)-min(x, y) <= ulps
}

func number(f *float64) string {
	if f == nil {
		return "none"
	}
	return strconv.FormatFloat(*f, 'g', -1, 64)
}

func optional(n *uint64) string {
	if n == nil {
		return "none"
	}
	return strconv.FormatUint(*n, 10)
}

// text writes counts by name, in order of the names.
func text(m map[string]uint64) string {
	out := "{"
	for i, name := range slices.SortedFunc(maps.Keys(m), cmp.Compare[string]) {
		if i > 0 {
			out += ", "
		}
		out += strconv.Quote(name) + ": " + strconv.FormatUint(m[name], 10)
	}
	return out + "}"
}
