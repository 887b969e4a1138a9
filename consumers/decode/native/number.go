package native

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
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

// Numbers as they are usually written are read by shortNumber and longNumber, all
// others, sound or not, by readDecimal. The end of a number is found before
// anything else, from its bytes alone: what comes behind it hangs on nothing but
// that, so that the processor goes on there while the digits of this one are
// still being put together. And nearly nothing is decided by a branch, because
// how long a number is cannot be foreseen.

// shortNumber reads the number of one to seven bytes that the word w begins with;
// t is outside(w), not zero. Its length n is 0 where it is not written plainly, as
// digits and at most one point. What stands behind it is for the caller to look at.
func shortNumber(w, t uint64) (f float64, n int) {
	n = bits.TrailingZeros64(t) / 8
	var sign uint64
	if w&0xff == '-' {
		sign = 1
	}
	w >>= 8 * sign & 63
	if w&0xff == '0' && w>>8&0xff-'0' <= 9 {
		return 0, 0
	}
	// The last digit moves to the top. Where there is none at all, what is there
	// instead is no digit.
	shift := 8 * (sign - uint64(n)) & 63
	v, z := w<<shift, uint64(zeros)<<shift
	point := equal(v, '.')
	if point == 0 {
		v -= z
		if bad(v) {
			return 0, 0
		}
		f = float64(int64(eight(v)))
	} else {
		// The digits before the point move up to its place.
		point &= -point
		v = v&(point>>7-1)<<8 | v&^(point<<1-1)
		v -= z << 8
		at := uint(bits.TrailingZeros64(point)) / 8
		if bad(v) || at == 7 || w&0xff == '.' {
			return 0, 0
		}
		f = float64(int64(eight(v))) / powers[7-at&7]
	}
	return math.Float64frombits(math.Float64bits(f) | sign<<63), n
}

// reach is how many bytes from the beginning of a number on longNumber may look at.
const reach = 24

// longNumber reads the number at i of at least eight bytes: up to seven digits, a
// point and up to 16 more, 19 in all. It returns as shortNumber does. reach bytes
// can be looked at, the last number's end among them.
func longNumber(b memory, i int) (f float64, n int) {
	t := outside(b.word(i + 8))
	n = 8
	if t == 0 {
		if t = outside(b.word(i + 16)); t == 0 {
			return 0, 0
		}
		n = 16
	}
	n += bits.TrailingZeros64(t) / 8
	sign := 0
	if b.byte(i) == '-' {
		sign = 1
	}
	first := b.word(i + sign)
	if first&0xff == '0' && first>>8&0xff-'0' <= 9 {
		return 0, 0
	}
	point := equal(first, '.')
	whole := bits.TrailingZeros64(point) / 8
	fraction := n - sign - whole - 1
	if point == 0 || whole == 0 || fraction < 1 || fraction > 16 || whole+fraction > 19 {
		return 0, 0
	}
	first = (first - zeros) << (uint(-8*whole) & 63)
	shift := uint(-8*fraction) & 63
	last := (b.word(i+n-8)>>shift - zeros>>shift) << shift
	m := eight(first)
	wrong := first | (first + 0x7676767676767676) | last | (last + 0x7676767676767676)
	if fraction <= 8 {
		m = m*tens[fraction] + eight(last)
	} else {
		middle := b.word(i+sign+whole+1) - zeros
		m = (m*1e8+eight(middle))*tens[(fraction-8)&15] + eight(last)
		wrong |= middle | (middle + 0x7676767676767676)
	}
	if wrong&tops != 0 {
		return 0, 0
	}
	if m < 1<<53 {
		f = float64(int64(m)) / powers[fraction]
	} else if scaled, ok := scale(m, -fraction); ok {
		f = scaled
	} else {
		return 0, 0
	}
	if sign != 0 {
		f = -f
	}
	return f, n
}

// outside marks the bytes of v that no number without an exponent has: all but
// - . / and the digits. The lowest top bit that is set is right, those above it
// may be wrong.
func outside(v uint64) uint64 {
	return ((v + 0x4646464646464646) | (v - 0x2d*ones)) & tops
}

// equal marks the bytes of v that are c in the same way.
func equal(v uint64, c uint64) uint64 {
	v ^= c * ones
	return (v - ones) &^ v & tops
}

// bad says whether v, eight bytes less the zero digit each, holds anything but
// digits. What a byte below the zero digit borrows of the next does not hide it.
func bad(v uint64) bool { return (v|(v+0x7676767676767676))&tops != 0 }

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

var tens = [16]uint64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8}

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
			f, _ = strconv.ParseFloat(borrowed(p), 64)
			return f
		}
	}
	if d.negative {
		f = -f
	}
	return f
}
