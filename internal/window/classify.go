package window

import (
	"math"
	"math/bits"

	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

func newClassified() summary.Classified {
	return summary.Classified{
		Class: make([]summary.Class, schemas.BlockRows),
		Flags: make([]summary.Flag, schemas.BlockRows),
		Code:  make([]uint16, schemas.BlockRows),
		Num:   make([]float64, schemas.BlockRows),
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

// classify reads rows [from, to) of a block's column as the spec has it.
func (c *column) classify(in *schemas.Column, out *summary.Classified, from, to int) {
	out.Classes, out.AnyFlags = 1<<summary.Value, 0
	clear(out.Flags[from:to])
	if c.Type == schemas.TypeCategory {
		c.classifyCategory(in, out, from, to)
		return
	}
	kinds, numbers := in.Kind[from:to], in.Num[from:to]
	classes, values := out.Class[from:to], out.Num[from:to]
	for i, k := range kinds {
		class := classOf[k]
		if k == schemas.KindNumber {
			class = summary.Value
		}
		classes[i] = class
		out.Classes |= 1 << class
		values[i] = numbers[i] + 0 // -0 becomes 0; where there is no number, nobody looks
	}
	c.bins.codes(values, out.Code[from:to])
	if c.Min != nil || c.Max != nil {
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

// edges finds the bins of numbers without a branch that depends on them: in a
// stream of values every such branch would be guessed wrong half the time.
type edges struct {
	keys []uint64 // of the edges in order, filled up with the greatest key to a power of two less one
}

func newEdges(of []float64) edges {
	size := 1
	for size <= len(of) {
		size *= 2
	}
	keys := make([]uint64, size-1)
	for i := range keys {
		keys[i] = math.MaxUint64
		if i < len(of) {
			keys[i] = ordered(of[i] + 0)
		}
	}
	return edges{keys}
}

// ordered maps numbers to integers in the same order, if -0 is none of them.
func ordered(x float64) uint64 {
	b := math.Float64bits(x)
	return b ^ (uint64(int64(b)>>63) | 1<<63)
}

// codes writes, for each x, the i with edges[i-1] < x <= edges[i].
func (e edges) codes(values []float64, out []uint16) {
	keys := e.keys
	out = out[:len(values)]
	for i, x := range values {
		k := ordered(x)
		n := 0
		for step := (len(keys) + 1) / 2; step > 0; step /= 2 {
			_, below := bits.Sub64(keys[n+step-1], k, 0) // 1 where the edge is below x
			n += step & -int(below)
		}
		out[i] = uint16(n)
	}
}
