package native

import (
	"encoding/binary"
	"math/bits"
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
	m, i := readDigits(b, i, 0)
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
		point := i + 1
		m, i = readDigits(b, point, m)
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

const zeros = 0x3030303030303030

// readDigits reads digits from i on behind those of m, and returns the position
// behind them. Eight bytes at a time are looked at, however many of them are
// digits, because how long a number is cannot be foreseen.
func readDigits(b []byte, i int, m uint64) (uint64, int) {
	for i+8 <= len(b) {
		v := binary.LittleEndian.Uint64(b[i:])
		n := digits(v)
		m = m*tens[n] + eight((v-zeros)<<(64-8*n))
		i += n
		if n < 8 {
			return m, i
		}
	}
	for i < len(b) {
		c := b[i] - '0'
		if c > 9 {
			break
		}
		m = m*10 + uint64(c)
		i++
	}
	return m, i
}

// plainNumber reads the number at i as long as it is written the usual way: up
// to seven digits, a point, up to 19 digits in all, no exponent, and eight bytes
// of the value behind it to look at. Of every other number, sound or not, end is
// 0, and readDecimal decides.
func plainNumber(b []byte, i int) (f float64, end int) {
	if i+9 > len(b) {
		return 0, 0
	}
	negative := b[i] == '-'
	if negative {
		i++
	}
	first := i
	v := binary.LittleEndian.Uint64(b[i:])
	n := digits(v)
	if n == 0 || n == 8 || b[i] == '0' && n > 1 {
		return 0, 0
	}
	m := eight((v - zeros) << (64 - 8*n))
	i += n
	fraction := 0
	if b[i] == '.' {
		point := i + 1
		for i++; n > 0; i += n {
			if i+8 > len(b) {
				return 0, 0
			}
			v = binary.LittleEndian.Uint64(b[i:])
			if n = digits(v); n == 8 {
				m = m*1e8 + eight(v-zeros)
				continue
			}
			m = m*tens[n&7] + eight((v-zeros)<<(64-8*n))
			i += n
			break
		}
		fraction = i - point
		if fraction == 0 || i-first > 20 || i == len(b) {
			return 0, 0
		}
	}
	if b[i]|0x20 == 'e' {
		return 0, 0
	}
	if m < 1<<53 && fraction < len(powers) {
		f = float64(m) / powers[fraction]
	} else if scaled, ok := scale(m, -fraction); ok {
		f = scaled
	} else {
		return 0, 0
	}
	if negative {
		f = -f
	}
	return f, i
}

// digits is how many of the lowest bytes of v are ASCII digits, up to the first
// that is none: its top bit is the lowest one set.
func digits(v uint64) int {
	return bits.TrailingZeros64(((v+0x4646464646464646)|(v-zeros))&tops) / 8
}

// eight is the number that eight digits, from 0 to 9, stand for, the first of
// them in the lowest byte.
func eight(v uint64) uint64 {
	v = v*10 + v>>8 // pairs, in every other byte
	return ((v&0x000000ff000000ff)*(100+1000000<<32) + (v>>16&0x000000ff000000ff)*(1+10000<<32)) >> 32
}

var tens = [...]uint64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

var powers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// float returns the float64 nearest to d, whose text is p; an infinity when it
// is beyond the largest. A mantissa below 2^53 and a power of ten up to 22 are
// both exact, so that one operation rounds once (W. D. Clinger, How to read
// floating point numbers accurately, 1990); longer ones are scaled, and what
// neither can tell goes the long way.
func (d *decimal) float(p []byte) float64 {
	var f float64
	switch {
	case d.digits <= 19 && d.mantissa < 1<<53 && -22 <= d.exp && d.exp <= 22:
		f = float64(d.mantissa)
		if d.exp < 0 {
			f /= powers[-d.exp]
		} else {
			f *= powers[d.exp]
		}
	default:
		ok := false
		if d.digits <= 19 && d.mantissa != 0 {
			f, ok = scale(d.mantissa, d.exp)
		}
		if !ok {
			// The error is ErrRange at most, and then the result is the infinity that
			// is wanted. The text is not kept by ParseFloat but for the error.
			f, _ = strconv.ParseFloat(unsafe.String(unsafe.SliceData(p), len(p)), 64)
			return f
		}
	}
	if d.negative {
		f = -f
	}
	return f
}
