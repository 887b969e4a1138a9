package summary

import "math/bits"

// Accumulator collects one stream of one window from the rows of one chunk,
// in the order of the log. Calls may split the rows anywhere: the result is
// the same.
type Accumulator struct {
	Summary

	last    uint64 // hash of the last value
	current uint64 // length of the run it ends; 0 before the first value
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
		flagged   Flag
		sum       int64
		high, low uint64
		lo, hi    = a.Min, a.Max
		last      = a.last
		current   = a.current
		longest   = a.Run
		bins      = a.Bins
		seen      = a.Distinct.Full
	)
	for _, r := range rows {
		k := c.Class[r]
		count[k]++
		if k != Value {
			continue
		}
		flagged |= c.Flags[r]
		x := c.Num[r]
		bins[c.Code[r]]++
		q, clipped := Quantise(x, anchor, unit)
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
		v := HashNumber(x)
		if v == last && current > 0 {
			current++
		} else {
			if current > longest {
				longest = current
			}
			last, current = v, 1
			if !seen {
				a.Distinct.Add(v)
				seen = a.Distinct.Full
			}
		}
	}
	a.Sum += sum
	a.SquareHigh += high
	a.SquareLow += low
	a.Min, a.Max = lo+0, hi+0 // -0 and 0 are one value, whichever came first
	a.last, a.current, a.Run = last, current, max(longest, current)
	a.count(c, rows, &count, flagged)
}

// AddCategories adds the rows of c whose indexes are in rows, ascending, of
// which late are late. A row without a value neither ends nor lengthens a run.
func (a *Accumulator) AddCategories(c *Classified, rows []int32, late uint64) {
	a.Rows += uint64(len(rows))
	a.Late += late
	var (
		count   [classes]uint64
		flagged Flag
		last    = a.last
		current = a.current
		longest = a.Run
		bins    = a.Bins
		seen    = a.Distinct.Full
	)
	for _, r := range rows {
		k := c.Class[r]
		count[k]++
		if k != Value {
			continue
		}
		flagged |= c.Flags[r]
		bins[c.Code[r]]++
		v := c.Hash[r]
		if v == last && current > 0 {
			current++
			continue
		}
		if current > longest {
			longest = current
		}
		last, current = v, 1
		if !seen {
			a.Distinct.Add(v)
			seen = a.Distinct.Full
		}
	}
	a.last, a.current, a.Run = last, current, max(longest, current)
	a.count(c, rows, &count, flagged)
}

func (a *Accumulator) count(c *Classified, rows []int32, n *[classes]uint64, flagged Flag) {
	a.Absent += n[Absent]
	a.Null += n[Null]
	a.NaN += n[NaN]
	a.PosInf += n[PosInf]
	a.NegInf += n[NegInf]
	a.Bad += n[Bad]
	a.Present += n[Value]
	if flagged&(Outside|Unexpected) == 0 {
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
