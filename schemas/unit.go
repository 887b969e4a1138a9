package schemas

import "math"

// UnitFor returns the unit of the exact sums for values within reach of the
// anchor: the power of two u with 2²⁹ <= reach/u < 2³⁰. Integers of up to 30
// bits about an integer anchor are thus summed exactly. A reach that is
// not positive and finite gives 2⁻¹⁰, and no unit is smaller than 2⁻¹⁰²², so
// that it stays an ordinary number.
func UnitFor(reach float64) float64 {
	if !(reach > 0) || math.IsInf(reach, 0) {
		return 1.0 / 1024
	}
	_, exp := math.Frexp(reach) // reach = f·2^exp with f in [½,1)
	return math.Ldexp(1, max(exp-30, -1022))
}
