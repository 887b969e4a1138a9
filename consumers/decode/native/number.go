package native

import (
	"encoding/binary"
	"strconv"
	"unsafe"
)

// decimal is a JSON number as it was scanned: ± mantissa · 10^exp.
type decimal struct {
	mantissa uint64 // meaningless when digits is above 19
	exp      int
	digits   int // of the mantissa, zeros after the point included
	negative bool
	end      int // behind the number; the complement of where it goes wrong when it is negative
}

// maxExp bounds what is summed up of a written exponent; every number beyond it
// is zero or infinite, whatever its digits within a value of allowed size.
const maxExp = 1 << 24

// readDecimal reads the number at i by the grammar of RFC 8259.
func readDecimal(b []byte, i int) (d decimal) {
	if i < len(b) && b[i] == '-' {
		d.negative = true
		i++
	}
	start := i
	var m uint64
	for i < len(b) {
		c := b[i] - '0'
		if c > 9 {
			break
		}
		m = m*10 + uint64(c)
		i++
	}
	d.digits = i - start
	if d.digits == 0 {
		d.end = ^i
		return d
	}
	if b[start] == '0' && d.digits > 1 {
		d.end = ^(start + 1)
		return d
	}
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for i+8 <= len(b) {
			v := binary.LittleEndian.Uint64(b[i:])
			if !eightDigits(v) {
				break
			}
			m = m*100000000 + eight(v)
			i += 8
		}
		for i < len(b) {
			c := b[i] - '0'
			if c > 9 {
				break
			}
			m = m*10 + uint64(c)
			i++
		}
		if i == point {
			d.end = ^i
			return d
		}
		d.digits += i - point
		d.exp = point - i
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		down := false
		if i < len(b) && (b[i] == '-' || b[i] == '+') {
			down = b[i] == '-'
			i++
		}
		first, e := i, 0
		for i < len(b) {
			c := b[i] - '0'
			if c > 9 {
				break
			}
			e = min(e*10+int(c), maxExp)
			i++
		}
		if i == first {
			d.end = ^i
			return d
		}
		if down {
			e = -e
		}
		d.exp += e
	}
	d.mantissa = m
	d.end = i
	return d
}

// eightDigits says whether all bytes of v are ASCII digits.
func eightDigits(v uint64) bool {
	return v&0xf0f0f0f0f0f0f0f0|(v+0x0606060606060606)&0xf0f0f0f0f0f0f0f0>>4 == 0x3333333333333333
}

// eight is the number that eight ASCII digits stand for, the first of them in
// the lowest byte.
func eight(v uint64) uint64 {
	v -= 0x3030303030303030
	v = v*10 + v>>8 // pairs, in every other byte
	return ((v&0x000000ff000000ff)*(100+1000000<<32) + (v>>16&0x000000ff000000ff)*(1+10000<<32)) >> 32
}

var powers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// float returns the float64 nearest to d, whose text is p; an infinity when it
// is beyond the largest. A mantissa below 2^53 and a power of ten up to 22 are
// both exact, so that one operation rounds once (W. D. Clinger, How to read
// floating point numbers accurately, 1990); everything else goes the long way.
func (d *decimal) float(p []byte) float64 {
	if d.digits > 19 || d.mantissa >= 1<<53 || d.exp < -22 || d.exp > 22 {
		// The error is ErrRange at most, and then the result is the infinity that
		// is wanted. The text is not kept by ParseFloat but for the error.
		f, _ := strconv.ParseFloat(unsafe.String(unsafe.SliceData(p), len(p)), 64)
		return f
	}
	f := float64(d.mantissa)
	if d.exp < 0 {
		f /= powers[-d.exp]
	} else {
		f *= powers[d.exp]
	}
	if d.negative {
		f = -f
	}
	return f
}
