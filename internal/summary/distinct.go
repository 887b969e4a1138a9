package summary

import (
	"math"
	"math/bits"
	"slices"
)

// SmallDistinct is how many distinct values are told apart exactly.
const SmallDistinct = 64

// Precision is the number of index bits of the registers; 2¹⁰ registers have
// a relative standard error of 1.04/√1024 = 3.25 %.
const Precision = 10

// Distinct counts distinct values by their hashes: exactly up to
// SmallDistinct, then with HyperLogLog registers where they are kept (the
// whole of a column), or not at all (its slices), where Full says so.
type Distinct struct {
	Small     []uint64 // sorted hashes; empty once Registers or Full took over
	Registers []uint8  // 2^Precision, or nil
	Full      bool     // more than SmallDistinct, and no registers are kept
	keep      bool     // registers may be made
}

// KeepRegisters lets d go on with registers when it outgrows the exact set.
func (d *Distinct) KeepRegisters() { d.keep = true }

// Add counts a hash.
func (d *Distinct) Add(h uint64) {
	if d.Registers != nil {
		put((*[1 << Precision]uint8)(d.Registers), h)
		return
	}
	if d.Full {
		return
	}
	i, found := slices.BinarySearch(d.Small, h)
	if found {
		return
	}
	if len(d.Small) < SmallDistinct {
		d.Small = slices.Insert(d.Small, i, h)
		return
	}
	d.outgrow()
	d.Add(h)
}

func (d *Distinct) outgrow() {
	if d.keep {
		d.Registers = make([]uint8, 1<<Precision)
		for _, h := range d.Small {
			put((*[1 << Precision]uint8)(d.Registers), h)
		}
	} else {
		d.Full = true
	}
	d.Small = nil // its memory is not needed any more
}

// put counts a hash in the registers.
func put(registers *[1 << Precision]uint8, h uint64) {
	i := h >> (64 - Precision)
	// The rank is one more than the zeros that rest begins with; most hashes have
	// no more than the register, as a look at the bits that would have to be zero tells.
	rest := h<<Precision | 1<<(Precision-1)
	if rest>>(63-registers[i]&63)>>1 == 0 {
		registers[i] = uint8(bits.LeadingZeros64(rest)) + 1
	}
}

// Merge adds o. The result does not depend on order or grouping, provided
// that all sides keep registers or none does.
func (d *Distinct) Merge(o *Distinct) {
	d.keep = d.keep || o.keep || o.Registers != nil
	switch {
	case o.Full:
		if d.Registers == nil {
			d.Full = true
			d.Small = d.Small[:0]
		}
	case o.Registers != nil:
		if d.Registers == nil {
			d.outgrow()
		}
		// What is read from a database may have any length.
		for i, r := range o.Registers[:min(len(o.Registers), 1<<Precision)] {
			d.Registers[i] = max(d.Registers[i], r)
		}
	default:
		for _, h := range o.Small {
			d.Add(h)
		}
	}
}

// Estimate returns the number of distinct values: exact while the exact set
// lasts, then HyperLogLog's estimate with linear counting below 2.5·2^p
// (Flajolet et al. 2007), and ok=false where only "more than SmallDistinct" is known.
func (d *Distinct) Estimate() (n uint64, ok bool) {
	if d.Full {
		return SmallDistinct + 1, false
	}
	if d.Registers == nil {
		return uint64(len(d.Small)), true
	}
	const m = 1 << Precision
	var sum float64
	zeros := 0
	for _, r := range d.Registers {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			zeros++
		}
	}
	e := 0.7213 / (1 + 1.079/m) * m * m / sum
	if e <= 2.5*m && zeros > 0 {
		e = m * math.Log(m/float64(zeros))
	}
	// Registers that no hash can give would lead past what the type holds.
	return uint64(math.Round(min(e, 1<<62))), true
}
