package summary

import "math"

// HashNumber is the 64-bit hash of a number by which distinct values and runs
// are told apart: the finaliser of MurmurHash3 on its bits, 0 and -0 as one.
// It is a bijection, so different numbers never share a hash. It never changes.
func HashNumber(x float64) uint64 {
	h := math.Float64bits(x + 0)
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return h
}
