package summary

import (
	"math"
	"math/big"

	"github.com/modelwatch/modelwatch/schemas"
)

// Class says how a spec reads one value.
type Class uint8

// The classes of a value.
const (
	Absent Class = iota
	Null
	NaN
	PosInf
	NegInf
	Bad   // of a type the column cannot hold
	Value // a number or a category; its Code is valid
)

// Flag marks a value that breaks a rule of its column.
type Flag uint8

// The flags of a value.
const (
	Outside    Flag = 1 << iota // outside the declared range
	Unexpected                  // outside the declared set
	Clipped                     // too far from the anchor for the exact sums; counted at the limit
)

// Summary is what is known of one column in one window and slice. The zero
// value with Min +Inf and Max -Inf, as New returns it, is the empty summary:
// merging it changes nothing.
type Summary struct {
	Rows       uint64 // events that could have carried the column
	Present    uint64 // values: numbers that are finite, or categories
	Absent     uint64
	Null       uint64
	NaN        uint64
	PosInf     uint64
	NegInf     uint64
	Bad        uint64
	Outside    uint64
	Unexpected uint64
	Clipped    uint64
	Late       uint64 // rows that came after the watermark had passed their window

	// Bins counts values by code: for numbers the bins of the spec's edges,
	// for categories the spec's categories and, last, all others.
	Bins []uint64

	// Sum is Σq and SquareHigh·2³²+SquareLow is Σq², where q = (x-anchor)/unit
	// rounded to the nearest integer, ties to even, and limited to ±Limit.
	Sum        int64
	SquareHigh uint64
	SquareLow  uint64

	Min, Max float64 // +Inf, -Inf when there is no value; numbers only

	Distinct Distinct
	Run      uint64 // longest run of equal consecutive values of one partition, within one chunk
}

// Limit is the largest |q| that enters the sums. With Unit chosen as
// UnitFor does, that is 128 times the reference's own reach.
const Limit = 1 << 37

// New returns the empty summary with room for bins counts.
func New(bins int) *Summary {
	return &Summary{Bins: make([]uint64, bins), Min: math.Inf(1), Max: math.Inf(-1)}
}

// UnitFor returns the unit of the exact sums for values within reach of the
// anchor: the smallest power of two u with reach/u <= 2³⁰. Integers of up to
// 30 bits about an integer anchor are thus summed exactly. A reach that is
// not positive and finite gives 2⁻¹⁰.
func UnitFor(reach float64) float64 { return schemas.UnitFor(reach) }

// Quantise returns q of x as Summary.Sum has it, and whether it was limited.
// x must be finite.
func Quantise(x, anchor, unit float64) (q int64, clipped bool) {
	return limited((x - anchor) / unit)
}

// limited rounds f as Quantise does.
func limited(f float64) (q int64, clipped bool) {
	if f >= Limit {
		return Limit, f > Limit
	}
	if f <= -Limit {
		return -Limit, f < -Limit
	}
	return int64(math.RoundToEven(f)), false
}

// Merge adds o to s. It is commutative and associative to the bit.
func (s *Summary) Merge(o *Summary) {
	s.Rows += o.Rows
	s.Present += o.Present
	s.Absent += o.Absent
	s.Null += o.Null
	s.NaN += o.NaN
	s.PosInf += o.PosInf
	s.NegInf += o.NegInf
	s.Bad += o.Bad
	s.Outside += o.Outside
	s.Unexpected += o.Unexpected
	s.Clipped += o.Clipped
	s.Late += o.Late
	for len(s.Bins) < len(o.Bins) {
		s.Bins = append(s.Bins, 0)
	}
	for i, n := range o.Bins {
		s.Bins[i] += n
	}
	s.Sum += o.Sum
	s.SquareHigh += o.SquareHigh
	s.SquareLow += o.SquareLow
	s.Min = math.Min(s.Min, o.Min)
	s.Max = math.Max(s.Max, o.Max)
	s.Distinct.Merge(&o.Distinct)
	s.Run = max(s.Run, o.Run)
}

// Unseen is the number of categories outside the spec's; 0 for numbers, which pass len(edges)+1 as bins too, so ask only of categories.
func (s *Summary) Unseen() uint64 {
	if len(s.Bins) == 0 {
		return 0
	}
	return s.Bins[len(s.Bins)-1]
}

// Mean returns the mean of the values, computed once from the exact sum; NaN
// when there is none. It is within unit/2 of the mean of the values
// themselves, and equal to it where they are multiples of unit from anchor;
// clipped values count at the limit.
func (s *Summary) Mean(anchor, unit float64) float64 {
	if s.Present == 0 {
		return math.NaN()
	}
	return anchor + unit*(float64(s.Sum)/float64(s.Present))
}

// SD returns the standard deviation √(Σ(x-x̄)²/(n-1)) of the quantised
// values, from exact integers; NaN below two values.
func (s *Summary) SD(unit float64) float64 {
	if s.Present < 2 {
		return math.NaN()
	}
	n := new(big.Int).SetUint64(s.Present)
	sq := new(big.Int).SetUint64(s.SquareHigh)
	sq.Lsh(sq, 32)
	sq.Add(sq, new(big.Int).SetUint64(s.SquareLow))
	sum := big.NewInt(s.Sum)
	m2 := sq.Mul(sq, n)
	m2.Sub(m2, sum.Mul(sum, sum)) // n·Σq² - (Σq)², never negative
	f, _ := new(big.Float).SetInt(m2).Float64()
	return unit * math.Sqrt(f/(float64(s.Present)*float64(s.Present-1)))
}
