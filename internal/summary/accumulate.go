package summary

import (
	"math"
	"math/bits"
)

// Accumulator collects one stream of one window from the rows of one chunk,
// in the order of the log. Calls may split the rows anywhere: the result is
// the same.
type Accumulator struct {
	Summary

	last    uint64   // the last value: bits of a number, hash of a category
	current uint64   // length of the run it ends; 0 before the first value
	known   []uint64 // by code of a category: a hash that Distinct has, 0 for none
}

// NewAccumulator returns an empty accumulator with room for bins counts;
// registers asks for a distinct count beyond SmallDistinct.
func NewAccumulator(bins int, registers bool) *Accumulator {
	a := &Accumulator{Summary: *New(bins)}
	if registers {
		a.Distinct.KeepRegisters()
	}
	return a
}

// AddRows counts rows at which nothing is looked at, as the counts of events
// (RoleRows) are.
func (a *Accumulator) AddRows(n, late uint64) {
	a.Rows += n
	a.Late += late
}

// AddNumbers adds the rows of c whose indexes are in rows, ascending, of
// which late are late. A row without a value neither ends nor lengthens a
// run of equal values. A unit that is not positive counts as UnitFor(0).
func (a *Accumulator) AddNumbers(c *Classified, rows []int32, late uint64, anchor, unit float64) {
	if !(unit > 0) {
		unit = UnitFor(0)
	}
	a.Rows += uint64(len(rows))
	a.Late += late
	var (
		count     [classes]uint64
		sum       int64
		high, low uint64
		lo, hi    = a.Min, a.Max
		last      = a.last
		current   = a.current
		longest   = a.Run
		counts    = a.Bins
		registers = a.Distinct.Registers
		full      = a.Distinct.Full
		inverse   = inverse(unit)
	)
	for _, r := range rows {
		if k := c.Class[r]; k != Value {
			count[k]++
			continue
		}
		x := c.Num[r]
		counts[c.Code[r]]++
		f := (x - anchor) * inverse
		if inverse == 0 {
			f = (x - anchor) / unit
		}
		q, clipped := limited(f)
		if clipped {
			a.Clipped++
		}
		sum += q
		h, l := square(q)
		high += h
		low += l
		if x < lo {
			lo = x
		}
		if x > hi {
			hi = x
		}
		v := math.Float64bits(x + 0)
		if v == last && current > 0 {
			current++
			continue
		}
		longest = max(longest, current)
		last, current = v, 1
		switch {
		case full:
		case registers != nil:
			put(registers, HashNumber(x))
		default:
			a.Distinct.Add(HashNumber(x))
			full, registers = a.Distinct.Full, a.Distinct.Registers
		}
	}
	a.Sum += sum
	a.SquareHigh += high
	a.SquareLow += low
	a.Min, a.Max = lo+0, hi+0 // -0 and 0 are one value, whichever came first
	a.last, a.current, a.Run = last, current, max(longest, current)
	a.count(c, rows, &count)
}

// AddCategories adds the rows of c whose indexes are in rows, ascending, of
// which late are late. A row without a value neither ends nor lengthens a run.
func (a *Accumulator) AddCategories(c *Classified, rows []int32, late uint64) {
	a.Rows += uint64(len(rows))
	a.Late += late
	var (
		count   [classes]uint64
		last    = a.last
		current = a.current
		longest = a.Run
		counts  = a.Bins
		full    = a.Distinct.Full
	)
	if a.known == nil && !full {
		a.known = make([]uint64, len(a.Bins))
	}
	known := a.known
	for _, r := range rows {
		if k := c.Class[r]; k != Value {
			count[k]++
			continue
		}
		code := c.Code[r]
		counts[code]++
		v := c.Hash[r]
		if v == last && current > 0 {
			current++
			continue
		}
		longest = max(longest, current)
		last, current = v, 1
		if full {
			continue
		}
		if known[code] == v && v != 0 {
			continue // finding it in a sorted set again and again would cost more than all the rest
		}
		known[code] = v
		a.Distinct.Add(v)
		full = a.Distinct.Full
	}
	a.last, a.current, a.Run = last, current, max(longest, current)
	a.count(c, rows, &count)
}

// count takes the classes other than Value, which have been counted, and the flags.
func (a *Accumulator) count(c *Classified, rows []int32, n *[classes]uint64) {
	a.Absent += n[Absent]
	a.Null += n[Null]
	a.NaN += n[NaN]
	a.PosInf += n[PosInf]
	a.NegInf += n[NegInf]
	a.Bad += n[Bad]
	a.Present += uint64(len(rows)) - n[Absent] - n[Null] - n[NaN] - n[PosInf] - n[NegInf] - n[Bad]
	if !c.HasFlag(Outside | Unexpected) {
		return
	}
	for _, r := range rows {
		if c.Class[r] == Value {
			a.Outside += uint64(c.Flags[r] & Outside)
			a.Unexpected += uint64(c.Flags[r] & Unexpected >> 1)
		}
	}
}

// square returns q² in the parts that Summary keeps.
func square(q int64) (high, low uint64) {
	u := uint64(max(q, -q))
	hi, lo := bits.Mul64(u, u)
	return hi<<32 | lo>>32, lo & (1<<32 - 1)
}

// inverse returns 1/unit where multiplying by it is the same as dividing by
// unit to the bit, which it is for the powers of two that units are; else 0.
func inverse(unit float64) float64 {
	if m, e := math.Frexp(unit); m != 0.5 || e < -1000 || e > 1000 {
		return 0
	}
	return 1 / unit
}
