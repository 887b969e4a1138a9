package profile

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// batchRows is how many rows are counted at a time.
const batchRows = 1024

// slice is one way to split rows, compiled.
type slice struct {
	columns []int // indexes into count.columns
	codes   map[[2]string]int
	names   []string // of the values, the others last
	of      []int32  // by row of the batch: index into names
	rows    [][]int32
}

// counted is a column of the baseline in the second reading.
type counted struct {
	*columnScan
	at      int // index into the source's columns
	codes   map[string]uint16
	batch   summary.Classified
	streams []*stream // the whole, then by slice and value
	base    []int     // index into streams of a slice's first value
}

// stream is a column in a slice.
type stream struct {
	name string
	*summary.Accumulator
}

// count is the second reading.
type count struct {
	s       *scan
	columns []*counted
	slices  []*slice

	n     int // rows in the batch
	parts []schemas.Part
	all   []int32 // 0 … batchRows-1
}

func newCount(s *scan) (*count, error) {
	c := &count{s: s, parts: make([]schemas.Part, batchRows)}
	for i := range int32(batchRows) {
		c.all = append(c.all, i)
	}
	for i, col := range s.columns {
		if col.skipped != "" {
			continue
		}
		k := &counted{columnScan: col, at: i, codes: make(map[string]uint16, len(col.form.Categories))}
		for code, v := range col.form.Categories {
			k.codes[v] = uint16(code)
		}
		kind := summary.Categories
		if col.form.Type == schemas.TypeNumber {
			kind = summary.Numbers
		}
		k.batch.Grow(batchRows, kind)
		c.columns = append(c.columns, k)
	}
	for i := range s.o.Slices {
		sl, err := c.slice(i)
		if err != nil {
			return nil, err
		}
		c.slices = append(c.slices, sl)
	}
	streams := 0
	for _, k := range c.columns {
		k.addStream("")
		for _, sl := range c.slices {
			k.base = append(k.base, len(k.streams))
			for _, name := range sl.names {
				k.addStream(name)
			}
		}
		streams += len(k.streams)
	}
	if streams > schemas.MaxStreams {
		return nil, fmt.Errorf("the columns and slices make %d streams, at most %d are kept; take fewer slices", streams, schemas.MaxStreams)
	}
	return c, nil
}

func (k *counted) addStream(name string) {
	k.streams = append(k.streams, &stream{name: name, Accumulator: summary.NewAccumulator(k.bins(), false)})
}

func (k *counted) bins() int { return max(len(k.form.Edges), len(k.form.Categories)) + 1 }

func (c *count) slice(at int) (*slice, error) {
	values, err := c.s.sliceValues(at)
	if err != nil {
		return nil, err
	}
	names := c.s.o.Slices[at]
	sl := &slice{codes: map[[2]string]int{}, of: make([]int32, batchRows), rows: make([][]int32, len(values)+1)}
	for _, n := range names {
		feature := c.s.feature(n)
		sl.columns = append(sl.columns, slices.IndexFunc(c.columns, func(k *counted) bool { return k.at == feature }))
	}
	for i, v := range values {
		var key [2]string
		copy(key[:], v)
		sl.codes[key] = i
		sl.names = append(sl.names, schemas.SliceName(names, v))
	}
	others := make([]string, len(names))
	for i := range others {
		others[i] = schemas.OtherValue
	}
	sl.names = append(sl.names, schemas.SliceName(names, others))
	return sl, nil
}

// read is the second reading.
func (c *count) read(ctx context.Context) error {
	err := c.s.each(ctx, 2, func(r *Row) error {
		if _, _, reason := c.s.timeOf(r); reason != "" {
			return nil
		}
		if len(c.s.src.Columns()) > len(c.s.columns) {
			return fmt.Errorf("row %d has columns that were not there before; the data changed while it was read", r.Number)
		}
		c.add(r)
		return nil
	})
	if err != nil {
		return err
	}
	c.flush()
	var rows uint64
	for _, k := range c.columns {
		rows = max(rows, k.streams[0].Rows)
	}
	if rows > uint64(c.s.rows) {
		return fmt.Errorf("%d rows were there at first and %d later; the data changed while it was read", c.s.rows, rows)
	}
	return nil
}

// add puts a row into the batch.
func (c *count) add(r *Row) {
	row := c.n
	c.parts[row] = c.partsOf(r)
	for _, k := range c.columns {
		v := Value{Kind: schemas.KindAbsent}
		if k.at < len(r.Values) {
			v = r.Values[k.at]
		}
		k.classify(row, v)
	}
	for _, sl := range c.slices {
		var key [2]string
		code := len(sl.names) - 1
		whole := true
		for i, col := range sl.columns {
			v := Value{}
			if at := c.columns[col].at; at < len(r.Values) {
				v = r.Values[at]
			}
			whole = whole && textual(v.Kind)
			key[i] = v.Text
		}
		if found, ok := sl.codes[key]; ok && whole {
			code = found
		}
		sl.of[row] = int32(code)
	}
	if c.n++; c.n == batchRows {
		c.flush()
	}
}

// partsOf says which parts of an event a row stands for: of a flat row all
// that the source has columns for, a label only where it has one.
func (c *count) partsOf(r *Row) schemas.Part {
	if r.Parts != 0 {
		return r.Parts
	}
	parts := schemas.PartFeatures
	for _, k := range c.columns {
		part := k.role.Part()
		if part == schemas.PartLabel && (k.at >= len(r.Values) || r.Values[k.at].Kind == schemas.KindNull || r.Values[k.at].Kind == schemas.KindAbsent) {
			continue
		}
		parts |= part
	}
	return parts
}

var classOf = [...]summary.Class{
	schemas.KindAbsent: summary.Absent, schemas.KindNull: summary.Null, schemas.KindNaN: summary.NaN,
	schemas.KindPosInf: summary.PosInf, schemas.KindNegInf: summary.NegInf,
	schemas.KindNumber: summary.Bad, schemas.KindText: summary.Bad, schemas.KindBool: summary.Bad, schemas.KindNested: summary.Bad,
}

// classify reads a value as the column's form has it.
func (k *counted) classify(row int, v Value) {
	b := &k.batch
	b.Class[row] = classOf[v.Kind]
	b.Flags[row] = 0
	switch {
	case k.form.Type == schemas.TypeNumber && v.Kind == schemas.KindNumber:
		x := v.Num + 0
		at, _ := slices.BinarySearch(k.form.Edges, x)
		b.Class[row], b.Num[row], b.Code[row] = summary.Value, x, uint16(at)
	case k.form.Type == schemas.TypeCategory && textual(v.Kind):
		code, ok := k.codes[v.Text]
		if !ok {
			code = uint16(len(k.form.Categories))
		}
		b.Class[row], b.Code[row], b.Hash[row] = summary.Value, code, schemas.HashString(v.Text)
	case k.form.Type == schemas.TypeNumber && v.Kind == schemas.KindText && missing(v.Text):
		b.Class[row] = summary.Null
	}
}

// missing says that a text in a column of numbers stands for no number.
func missing(s string) bool {
	switch s {
	case "NA", "N/A", "n/a", "-", "?":
		return true
	}
	return false
}

// flush counts the batch.
func (c *count) flush() {
	n := c.n
	c.n = 0
	picked := make([]int32, 0, n)
	for part := schemas.PartFeatures; part <= schemas.PartLabel; part <<= 1 {
		picked = picked[:0]
		for _, row := range c.all[:n] {
			if c.parts[row]&part != 0 {
				picked = append(picked, row)
			}
		}
		c.countPart(part, picked)
	}
}

// countPart counts the columns of a part over its rows.
func (c *count) countPart(part schemas.Part, rows []int32) {
	if len(rows) == 0 {
		return
	}
	for _, sl := range c.slices {
		for v := range sl.rows {
			sl.rows[v] = sl.rows[v][:0]
		}
		for _, row := range rows {
			// Slices apply where the event carries the column.
			if c.parts[row]&schemas.PartFeatures != 0 {
				sl.rows[sl.of[row]] = append(sl.rows[sl.of[row]], row)
			}
		}
	}
	for _, k := range c.columns {
		if k.role.Part() != part {
			continue
		}
		k.count(0, rows)
		for i, sl := range c.slices {
			for v, of := range sl.rows {
				if len(of) > 0 {
					k.count(k.base[i]+v, of)
				}
			}
		}
	}
}

func (k *counted) count(at int, rows []int32) {
	if k.form.Type == schemas.TypeNumber {
		k.streams[at].AddNumbers(&k.batch, rows, 0, k.form.Anchor, k.form.Unit)
		return
	}
	k.streams[at].AddCategories(&k.batch, rows, 0)
}

// baseline builds the baseline from the counts.
func (c *count) baseline() *schemas.Baseline {
	s := c.s
	b := &schemas.Baseline{
		Format: schemas.BaselineFormat, Model: s.o.Model, Version: s.o.Version, Source: s.src.Name(), Rows: uint64(s.rows),
	}
	if s.timed {
		b.From, b.To = time.UnixMilli(s.from).UTC(), time.UnixMilli(s.to).UTC()
		b.Window = schemas.Duration(s.o.Window)
	}
	for _, k := range c.columns {
		col := k.form
		for _, st := range k.streams {
			if st.name == "" || st.Rows > 0 {
				col.Streams = append(col.Streams, k.baselineStream(st))
			}
		}
		slices.SortFunc(col.Streams, func(x, y schemas.BaselineStream) int { return cmp.Compare(x.Slice, y.Slice) })
		b.Columns = append(b.Columns, col)
	}
	slices.SortFunc(b.Columns, func(x, y schemas.BaselineColumn) int {
		return cmp.Or(cmp.Compare(x.Role, y.Role), cmp.Compare(x.Name, y.Name))
	})
	return b
}

func (k *counted) baselineStream(st *stream) schemas.BaselineStream {
	out := schemas.BaselineStream{
		Slice: st.name, Rows: st.Rows, Present: st.Present, Absent: st.Absent, Nulls: st.Null,
		NaNs: st.NaN, Infs: st.PosInf + st.NegInf, Bad: st.Bad, Bins: st.Bins,
	}
	if k.form.Type == schemas.TypeNumber && st.Present > 0 {
		out.Mean, out.SD = finite(st.Mean(k.form.Anchor, k.form.Unit)), finite(st.SD(k.form.Unit))
		out.Min, out.Max = finite(st.Min), finite(st.Max)
	}
	return out
}
