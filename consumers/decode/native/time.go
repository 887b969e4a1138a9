package native

import (
	"encoding/binary"
	"math"

	"github.com/modelwatch/modelwatch/consumers/decode"
)

// two reads two digits at p[i:], -1 when they are not there.
func two(p []byte, i int) int {
	if i+2 > len(p) {
		return -1
	}
	a, b := p[i]-'0', p[i+1]-'0'
	if a > 9 || b > 9 {
		return -1
	}
	return int(a)*10 + int(b)
}

func is(p []byte, i int, c byte) bool { return i < len(p) && p[i] == c }

var monthDays = [...]int{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// instant reads a time of RFC 3339, as the package's documentation widens it,
// into Unix milliseconds; what is finer is cut off.
func instant(p []byte) (ms int64, ok bool) {
	century, year, month, day := two(p, 0), two(p, 2), two(p, 5), two(p, 8)
	hour, minute := two(p, 11), two(p, 14)
	if century < 0 || year < 0 || month < 1 || month > 12 || day < 1 ||
		hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
		p[4] != '-' || p[7] != '-' || p[13] != ':' || p[10]|0x20 != 't' && p[10] != ' ' {
		return 0, false
	}
	year += century * 100
	days := monthDays[month-1]
	if month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0) {
		days++
	}
	if day > days {
		return 0, false
	}

	i, second, fraction := 16, 0, 0
	if is(p, i, ':') {
		if second = two(p, i+1); second < 0 || second > 59 {
			return 0, false
		}
		i += 3
		if is(p, i, '.') {
			i++
			first := i
			for scale := 100; i < len(p) && p[i]-'0' <= 9; i++ {
				fraction += int(p[i]-'0') * scale
				scale /= 10
			}
			if i == first {
				return 0, false
			}
		}
	}

	offset := 0 // minutes east of UTC
	switch {
	case is(p, i, 'Z'), is(p, i, 'z'):
		i++
	case is(p, i, '+'), is(p, i, '-'):
		sign := 1
		if p[i] == '-' {
			sign = -1
		}
		h := two(p, i+1)
		i += 3
		if is(p, i, ':') {
			i++
		}
		m := two(p, i)
		i += 2
		if h < 0 || h > 23 || m < 0 || m > 59 {
			return 0, false
		}
		offset = sign * (h*60 + m)
	default:
		return 0, false
	}
	if i != len(p) {
		return 0, false
	}
	minutes := int64(civil(year, month, day))*24*60 + int64(hour*60+minute-offset)
	ms = minutes*60000 + int64(second*1000+fraction)
	return ms, ms >= decode.MinTime && ms <= decode.MaxTime
}

// minute remembers the minute of the last instant written as 2026-11-20T12:00:00.123Z,
// because most events come from the same one.
type minute struct {
	first, second uint64 // its sixteen bytes, 0 for none
	ms            int64
}

// The last eight bytes of such an instant, with zeros for digits.
const minuteEnd = ':' | '0'<<8 | '0'<<16 | '.'<<24 | '0'<<32 | '0'<<40 | '0'<<48 | 'Z'<<56

// instant reads an instant of that minute, written in that way.
func (m *minute) instant(p []byte) (ms int64, ok bool) {
	if len(p) != 24 || binary.LittleEndian.Uint64(p) != m.first || binary.LittleEndian.Uint64(p[8:]) != m.second {
		return 0, false
	}
	// Digits differ from the zero digit in the lower half of their byte, and
	// nothing else may differ.
	v := binary.LittleEndian.Uint64(p[16:]) ^ minuteEnd
	if v&^0x000f0f0f000f0f00 != 0 || (v+0x0006060600060600)&0x00f0f0f000f0f000 != 0 || v>>8&15 > 5 {
		return 0, false
	}
	return m.ms + int64(v>>8&15*10000+v>>16&15*1000+v>>32&15*100+v>>40&15*10+v>>48&15), true
}

// keep remembers the minute of p, which is ms, if it is written in that way.
func (m *minute) keep(p []byte, ms int64) {
	if len(p) != 24 || p[16] != ':' || p[19] != '.' || p[23] != 'Z' {
		return
	}
	m.first, m.second = binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
	m.ms = ms - int64(two(p, 17)*1000+int(p[20]-'0')*100+two(p, 21))
}

// civil is the number of days from 1970-01-01 to a date of the Gregorian
// calendar, years from 0. Years are counted from March, so that the leap day is
// their last.
func civil(year, month, day int) int {
	if month <= 2 {
		year--
	}
	// Years are moved by one era, so that the year before 0 divides like any other.
	year += 400
	ofYear := (153*((month+9)%12)+2)/5 + day - 1
	return year*365 + year/4 - year/100 + year/400 + ofYear - 719468 - 146097
}

// millis reads the number p, d, as Unix milliseconds; a fraction is cut off
// downwards.
func millis(d *decimal, p []byte) (ms int64, ok bool) {
	if d.exp == 0 && d.digits <= 18 {
		ms = int64(d.mantissa)
		if d.negative {
			ms = -ms
		}
	} else {
		f := math.Floor(d.float(p))
		if f < decode.MinTime || f > decode.MaxTime {
			return 0, false
		}
		ms = int64(f)
	}
	return ms, ms >= decode.MinTime && ms <= decode.MaxTime
}
