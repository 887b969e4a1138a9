package window

import (
	"math"

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

func (c *column) bins() int {
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
	if c.Type == schemas.TypeCategory {
		c.classifyCategory(in, out, from, to)
		return
	}
	lo, hi := math.Inf(-1), math.Inf(1)
	if c.Min != nil {
		lo = *c.Min
	}
	if c.Max != nil {
		hi = *c.Max
	}
	for row := from; row < to; row++ {
		out.Flags[row] = 0
		if in.Kind[row] != schemas.KindNumber {
			out.Class[row] = classOf[in.Kind[row]]
			out.Classes |= 1 << out.Class[row]
			continue
		}
		x := in.Num[row] + 0 // -0 becomes 0
		out.Class[row] = summary.Value
		out.Num[row] = x
		out.Code[row] = bin(c.Edges, x)
		if x < lo || x > hi {
			out.Flags[row] = summary.Outside
			out.AnyFlags |= summary.Outside
		}
	}
}

func (c *column) classifyCategory(in *schemas.Column, out *summary.Classified, from, to int) {
	other := uint16(len(c.Categories))
	for row := from; row < to; row++ {
		out.Flags[row] = 0
		k := in.Kind[row]
		if k != schemas.KindText && k != schemas.KindNumber && k != schemas.KindBool {
			out.Class[row] = classOf[k]
			out.Classes |= 1 << out.Class[row]
			continue
		}
		h := in.Hash[row]
		code, ok := c.codes[h]
		if !ok {
			code = other
		}
		out.Class[row], out.Code[row], out.Hash[row] = summary.Value, code, h
		if c.set != nil && !c.set[h] {
			out.Flags[row] = summary.Unexpected
			out.AnyFlags |= summary.Unexpected
		}
	}
}

// bin returns i with edges[i-1] < x <= edges[i].
func bin(edges []float64, x float64) uint16 {
	n, l := 0, len(edges)
	for l > 1 {
		half := l / 2
		if edges[n+half-1] < x {
			n += half
		}
		l -= half
	}
	if l == 1 && edges[n] < x {
		n++
	}
	return uint16(n)
}
