package window

import (
	"math"
	"math/bits"
	"slices"

	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

func newClassified() summary.Classified {
	return summary.Classified{
		Class: make([]summary.Class, schemas.BlockRows),
		Flags: make([]summary.Flag, schemas.BlockRows),
		Code:  make([]uint16, schemas.BlockRows),
		Hash:  make([]uint64, schemas.BlockRows),
	}
}

func (c *column) size() int {
	if c.Type == schemas.TypeCategory {
		return len(c.Categories) + 1
	}
	return len(c.Edges) + 1
}

// classOf reads the kinds that mean the same for every column.
var classOf = [...]summary.Class{
	schemas.KindAbsent: summary.Absent, schemas.KindNull: summary.Null, schemas.KindNaN: summary.NaN,
	schemas.KindPosInf: summary.PosInf, schemas.KindNegInf: summary.NegInf,
	schemas.KindNumber: summary.Bad, schemas.KindText: summary.Bad, schemas.KindBool: summary.Bad, schemas.KindNested: summary.Bad,
}

// numberClassOf is classOf for columns of numbers.
var numberClassOf = [16]summary.Class{
	schemas.KindAbsent: summary.Absent, schemas.KindNull: summary.Null, schemas.KindNaN: summary.NaN,
	schemas.KindPosInf: summary.PosInf, schemas.KindNegInf: summary.NegInf,
	schemas.KindNumber: summary.Value, schemas.KindText: summary.Bad, schemas.KindBool: summary.Bad, schemas.KindNested: summary.Bad,
}

// classify reads rows [from, to) of a block's column as the spec has it. The
// numbers stay where they are.
func (c *column) classify(in *schemas.Column, out *summary.Classified, from, to int) {
	n := len(in.Kind)
	out.Class, out.Flags, out.Code, out.Hash = out.Class[:n], out.Flags[:n], out.Code[:n], out.Hash[:n]
	out.Classes, out.AnyFlags = 1<<summary.Value, 0
	clear(out.Flags[from:to])
	if c.Type == schemas.TypeCategory {
		c.classifyCategory(in, out, from, to)
		return
	}
	kinds := in.Kind[from:to]
	classes := out.Class[from:to][:len(kinds)]
	var seen uint8
	for i, k := range kinds {
		class := numberClassOf[k&15]
		classes[i] = class
		seen |= 1 << (class & 7)
	}
	out.Classes |= seen
	out.Num = in.Num
	// Where there is no number stands an older one; nobody looks at its code.
	least, greatest := c.bins.codes(in.Num[from:to], out.Code[from:to])
	if c.Min != nil && (least < *c.Min || c.bins.first() < *c.Min) || c.Max != nil && (greatest > *c.Max || c.bins.last() > *c.Max) {
		c.checkRange(out, from, to)
	}
}

// checkRange marks the numbers outside the declared range.
func (c *column) checkRange(out *summary.Classified, from, to int) {
	lo, hi := math.Inf(-1), math.Inf(1)
	if c.Min != nil {
		lo = *c.Min
	}
	if c.Max != nil {
		hi = *c.Max
	}
	for row := from; row < to; row++ {
		if x := out.Num[row]; (x < lo || x > hi) && out.Class[row] == summary.Value {
			out.Flags[row] = summary.Outside
			out.AnyFlags |= summary.Outside
		}
	}
}

func (c *column) classifyCategory(in *schemas.Column, out *summary.Classified, from, to int) {
	for row := from; row < to; row++ {
		k := in.Kind[row]
		if k != schemas.KindText && k != schemas.KindNumber && k != schemas.KindBool {
			out.Class[row] = classOf[k]
			out.Classes |= 1 << out.Class[row]
			continue
		}
		h := in.Hash[row]
		out.Class[row], out.Code[row], out.Hash[row] = summary.Value, c.codes.of(h), h
		if c.set != nil && !c.set[h] {
			out.Flags[row] = summary.Unexpected
			out.AnyFlags |= summary.Unexpected
		}
	}
}

// codes finds the code of a category by its hash: an open-addressing table, at
// most half full. A general map took longer than all else that is done to a
// category.
type codes struct {
	slots []codeSlot
	other uint16
}

type codeSlot struct {
	hash uint64
	code uint16
	used bool
}

func newCodes(categories []string) codes {
	size := 2
	for size < 2*len(categories) {
		size *= 2
	}
	t := codes{slots: make([]codeSlot, size), other: uint16(len(categories))}
	for code, name := range categories {
		h := schemas.HashString(name)
		i := h & uint64(size-1)
		for t.slots[i].used && t.slots[i].hash != h {
			i = (i + 1) & uint64(size-1)
		}
		t.slots[i] = codeSlot{h, uint16(code), true}
	}
	return t
}

// of returns the code of the category of that hash, other where there is none.
func (t *codes) of(h uint64) uint16 {
	mask := uint64(len(t.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := &t.slots[i&mask]
		if !s.used {
			return t.other
		}
		if s.hash == h {
			return s.code
		}
	}
}

// edges finds the bins of numbers nearly without a branch that depends on them:
// in a stream of values every such branch would be guessed wrong half the time.
//
// A grid of equal buckets lies over the edges. Because the bucket of a greater
// number is never a lower one, whatever rounding does, edges in lower buckets
// than that of x are below x, those in higher ones above it, and only the few in
// the same bucket are left to be compared.
type edges struct {
	values []float64 // the edges, and behind them +Inf for the comparisons beyond the last
	n      int       // how many they are
	scale  float64   // buckets for each unit, from the first edge on
	before []uint16  // by bucket: edges in lower ones
	most   int       // edges of one bucket; 0 where there is no grid
	keys   []uint64  // of the edges in order, filled up with the greatest key to a power of two less one; without a grid
}

// A grid has at most maxGrid buckets of at most maxInBucket edges. Edges that are
// too unequal for that are searched.
const (
	maxGrid     = 2048
	maxInBucket = 2
)

func newEdges(of []float64) edges {
	e := edges{n: len(of), values: append(slices.Clone(of), math.Inf(1), math.Inf(1))}
	for size := 64; size <= maxGrid && e.most != 1; size *= 2 {
		if g := e.grid(size); g.most > 0 && g.most <= maxInBucket && (e.most == 0 || g.most < e.most) {
			e = g
		}
	}
	if e.most > 0 {
		return e
	}
	size := 1
	for size <= len(of) {
		size *= 2
	}
	e.keys = make([]uint64, size-1)
	for i := range e.keys {
		e.keys[i] = math.MaxUint64
		if i < len(of) {
			e.keys[i] = ordered(of[i] + 0)
		}
	}
	return e
}

// grid returns e with a grid of about that many buckets; most is 0 where there
// can be none.
func (e edges) grid(size int) edges {
	e.most = 0
	if e.n < 2 {
		return e
	}
	first, last := e.values[0], e.values[e.n-1]
	e.scale = float64(size) / (last - first)
	if !(e.scale > 0) || math.IsInf(e.scale, 0) || math.IsInf(last-first, 0) {
		return e
	}
	end := e.bucket(last)
	if end > 2*size {
		return e
	}
	e.before = make([]uint16, end+1)
	for b, i := 0, 0; b <= end; b++ {
		e.before[b] = uint16(i)
		in := 0
		for ; i < e.n && e.bucket(e.values[i]) == b; i++ {
			in++
		}
		e.most = max(e.most, in)
	}
	return e
}

// bucket returns the bucket of a number from the first edge to the last.
func (e *edges) bucket(x float64) int { return int((x - e.values[0]) * e.scale) }

// ordered maps numbers to integers in the same order, if -0 is none of them.
func ordered(x float64) uint64 {
	b := math.Float64bits(x)
	return b ^ (uint64(int64(b)>>63) | 1<<63)
}

// codes writes, for each x, the i with edges[i-1] < x <= edges[i]. Of the numbers
// that are not between the first and the last edge it returns the least and the
// greatest, +Inf and -Inf for none.
func (e *edges) codes(values []float64, out []uint16) (least, greatest float64) {
	if e.most == 0 {
		return e.search(values, out)
	}
	least, greatest = math.Inf(1), math.Inf(-1)
	edges, before, scale := e.values, e.before, e.scale
	first, last, end := edges[0], edges[e.n-1], uint16(e.n)
	two := e.most > 1
	out = out[:len(values)]
	for i, x := range values {
		switch {
		case !(x > first):
			out[i] = 0
			least = min(least, x)
		case x > last:
			out[i] = end
			greatest = max(greatest, x)
		default:
			n := before[int((x-first)*scale)]
			at := edges[n:]
			// The sign of the difference is set where the edge is below x.
			code := n + uint16(math.Float64bits(at[0]-x)>>63)
			if two {
				code += uint16(math.Float64bits(at[1]-x) >> 63)
			}
			out[i] = code
		}
	}
	return least, greatest
}

// first and last are the bounds of the numbers that codes leaves out of what it
// returns: what breaks a rule there has to be looked for.
func (e *edges) first() float64 {
	if e.most == 0 {
		return math.Inf(1)
	}
	return e.values[0]
}

func (e *edges) last() float64 {
	if e.most == 0 {
		return math.Inf(-1)
	}
	return e.values[e.n-1]
}

// search is codes without a grid.
func (e *edges) search(values []float64, out []uint16) (least, greatest float64) {
	least, greatest = math.Inf(1), math.Inf(-1)
	keys := e.keys
	out = out[:len(values)]
	for i, x := range values {
		x += 0 // -0 becomes 0
		k := ordered(x)
		n := 0
		for step := (len(keys) + 1) / 2; step > 0; step /= 2 {
			_, below := bits.Sub64(keys[n+step-1], k, 0) // 1 where the edge is below x
			n += step & -int(below)
		}
		out[i] = uint16(n)
		least, greatest = min(least, x), max(greatest, x)
	}
	return least, greatest
}
