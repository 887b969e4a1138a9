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
	// Three short loops are faster than one: what each needs stays in registers.
	var (
		count  [8]uint64 // by class
		counts = a.Bins
		values = c.room(len(rows))
		n      = 0
	)
	if first, ok := together(rows); ok {
		// Usually the rows stand side by side, and then none need be looked up.
		class := c.Class[first:][:len(rows)]
		num, code := c.Num[first:][:len(class)], c.Code[first:][:len(class)]
		for i, k := range class {
			if k != Value {
				count[k&7]++
				continue
			}
			counts[code[i]]++
			values[n] = num[i]
			n++
		}
	} else {
		class := c.Class
		num, code := c.Num[:len(class)], c.Code[:len(class)]
		for _, r := range rows {
			if k := class[r]; k != Value {
				count[k&7]++
				continue
			}
			counts[code[r]]++
			values[n] = num[r]
			n++
		}
	}
	a.count(c, rows, &count)
	a.addMoments(values[:n], anchor, unit)
	a.addRuns(values[:n])
}

// together says whether rows, ascending, stand side by side, and from where on.
func together(rows []int32) (first int, ok bool) {
	n := len(rows)
	if n == 0 {
		return 0, false
	}
	return int(rows[0]), int(rows[n-1]-rows[0]) == n-1
}

// addMoments adds values to the sums and the extremes.
func (a *Accumulator) addMoments(values []float64, anchor, unit float64) {
	lo, hi := a.Min, a.Max
	for _, x := range values {
		if x < lo {
			lo = x
		}
		if x > hi {
			hi = x
		}
	}
	a.Min, a.Max = lo+0, hi+0 // -0 and 0 are one value, whichever came first
	inverse := inverse(unit)
	if inverse == 0 {
		a.addAny(values, anchor, unit)
		return
	}
	var sum int64
	var high, low uint64
	for i, x := range values {
		f := float64((x - anchor) * inverse)
		if !(math.Abs(f) < small) {
			a.addAny(values[i:], anchor, unit)
			break
		}
		// The sum has no place for fractions: it is rounded, ties to even, as
		// RoundToEven does.
		q := int64(math.Float64bits(f+rounding)) - roundingBits
		sum += q
		square := uint64(q * q)
		high += square >> 32
		low += square & (1<<32 - 1)
	}
	a.Sum += sum
	a.SquareHigh += high
	a.SquareLow += low
}

// addAny adds values of any size to the sums.
func (a *Accumulator) addAny(values []float64, anchor, unit float64) {
	for _, x := range values {
		q, clipped := Quantise(x, anchor, unit)
		if clipped {
			a.Clipped++
		}
		h, l := square(q)
		a.Sum += q
		a.SquareHigh += h
		a.SquareLow += l
	}
}

// addRuns adds values to the runs and the distinct ones. It leaves something else in values.
func (a *Accumulator) addRuns(values []float64) {
	if len(values) == 0 {
		return
	}
	last, current, longest := a.last, a.current, a.Run
	if current == 0 {
		last = ^math.Float64bits(values[0] + 0) // any other than the first
	}
	// A run is its length; what is new is looked at in a loop of its own.
	n := 0
	for _, x := range values {
		v := math.Float64bits(x + 0)
		if v == last {
			current++
			continue
		}
		longest = max(longest, current)
		last, current = v, 1
		values[n] = x
		n++
	}
	fresh := values[:n]
	a.last, a.current, a.Run = last, current, max(longest, current)
	for len(fresh) > 0 && a.Distinct.Registers == nil && !a.Distinct.Full {
		a.Distinct.Add(HashNumber(fresh[0]))
		fresh = fresh[1:]
	}
	if a.Distinct.Registers == nil {
		return
	}
	registers := (*[1 << Precision]uint8)(a.Distinct.Registers)
	for _, x := range fresh {
		put(registers, HashNumber(x))
	}
}

// AddCategories adds the rows of c whose indexes are in rows, ascending, of
// which late are late. A row without a value neither ends nor lengthens a run.
func (a *Accumulator) AddCategories(c *Classified, rows []int32, late uint64) {
	a.Rows += uint64(len(rows))
	a.Late += late
	var (
		count   [8]uint64 // by class
		last    = a.last
		current = a.current
		longest = a.Run
		counts  = a.Bins
		full    = a.Distinct.Full
	)
	if a.known == nil && !full {
		a.known = make([]uint64, len(a.Bins))
	}
	known, class := a.known, c.Class
	codes, hashes := c.Code[:len(class)], c.Hash[:len(class)]
	for _, r := range rows {
		if k := class[r]; k != Value {
			count[k&7]++
			continue
		}
		code := codes[r]
		counts[code]++
		v := hashes[r]
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
func (a *Accumulator) count(c *Classified, rows []int32, n *[8]uint64) {
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

// Numbers below small need less work: their squares fit one word. The sum of one
// and rounding has a unit of 1 in its last place, which are the bits of rounding
// and the number.
const (
	small        = 1 << 31
	rounding     = 3 << 51
	roundingBits = 0x4338000000000000
)

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
