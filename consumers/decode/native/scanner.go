package native

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/modelwatch/modelwatch/consumers/decode"
)

// form is what a value is on the wire.
type form uint8

const (
	absent form = iota
	null
	text
	number
	yes
	no
	nan
	posInf
	negInf
	object
	list
)

// span is a value: its bytes without the quotes of a text.
type span struct {
	start, end int32
	form       form
	escaped    bool // a text with at least one backslash
}

// scanner walks JSON in place. Its methods take the position to read at and
// return the one behind what they read, or -1 after recording what is wrong.
type scanner struct {
	b        []byte
	high     uint64 // not zero in a top bit when a string held a byte that is not ASCII
	literals uint64 // bare NaN and infinities met

	reason decode.Reason
	detail string
	at     int
}

func (s *scanner) reset(b []byte) { *s = scanner{b: b} }

func (s *scanner) fail(at int, detail string) int {
	if at >= len(s.b) {
		detail = "the value ends early"
	}
	s.reason, s.detail, s.at = decode.Unparsable, detail, at
	return -1
}

// space skips white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// quoted reads a string whose opening quote is before i and returns the position
// of its closing quote.
func (s *scanner) quoted(i int) (end int, escaped bool) {
	b := s.b
	var high uint64
	for {
		stop := false
		for i+8 <= len(b) {
			v := binary.LittleEndian.Uint64(b[i:])
			high |= v
			quote := v ^ '"'*ones
			slash := v ^ '\\'*ones
			// The lowest top bit that is set marks the first quote, backslash or
			// control character; bits above it may be wrong by a borrow.
			t := ((quote-ones)&^quote | (slash-ones)&^slash | (v-0x20*ones)&^v) & tops
			if t != 0 {
				i += bits.TrailingZeros64(t) / 8
				stop = true
				break
			}
			i += 8
		}
		if !stop {
			for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= 0x20 {
				high |= uint64(b[i])
				i++
			}
			if i == len(b) {
				return s.fail(i, ""), false
			}
		}
		switch b[i] {
		case '"':
			s.high |= high & tops
			return i, escaped
		case '\\':
			escaped = true
			if i = s.escape(i); i < 0 {
				return -1, false
			}
		default:
			return s.fail(i, "a control character stands in a string"), false
		}
	}
}

// escape checks the escape at i.
func (s *scanner) escape(i int) int {
	b := s.b
	if i+1 >= len(b) {
		return s.fail(len(b), "")
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		for k := i + 2; k < i+6; k++ {
			if k >= len(b) || hex(b[k]) < 0 {
				return s.fail(k, "\\u needs four hexadecimal digits")
			}
		}
		return i + 6
	}
	return s.fail(i, "an escape in a string is none of JSON's")
}

// hex returns the value of a hexadecimal digit, -1 for any other byte.
func hex(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}

// unit returns the UTF-16 unit of the \uXXXX that p begins with, -1 when it does not.
func unit(p []byte) rune {
	if len(p) < 6 || p[0] != '\\' || p[1] != 'u' {
		return -1
	}
	return hex(p[2])<<12 | hex(p[3])<<8 | hex(p[4])<<4 | hex(p[5])
}

// unescape appends the text that p, the inside of a string found sound by
// quoted, stands for.
func unescape(to, p []byte) []byte {
	for i := 0; i < len(p); i++ {
		if p[i] != '\\' {
			to = append(to, p[i])
			continue
		}
		i++
		switch p[i] {
		case 'b':
			to = append(to, '\b')
		case 'f':
			to = append(to, '\f')
		case 'n':
			to = append(to, '\n')
		case 'r':
			to = append(to, '\r')
		case 't':
			to = append(to, '\t')
		case 'u':
			r := unit(p[i-1:])
			i += 4
			if utf16.IsSurrogate(r) {
				r = utf16.DecodeRune(r, unit(p[i+1:]))
				if r != utf8.RuneError {
					i += 6
				}
			}
			to = utf8.AppendRune(to, r)
		default:
			to = append(to, p[i])
		}
	}
	return to
}

// member reads the key of an object's next member: i is behind the brace when
// open is set, else behind the value of the member before. It returns where the
// value of the member begins; or at is -1 and end is behind the object's closing
// brace, or -1 as well after a fault.
func (s *scanner) member(i int, open bool) (name span, at, end int) {
	b := s.b
	i = space(b, i)
	switch {
	case i < len(b) && b[i] == '}':
		return span{}, -1, i + 1
	case open:
	case i < len(b) && b[i] == ',':
		i = space(b, i+1)
	default:
		return span{}, -1, s.fail(i, "a comma or the end of the object is missing")
	}
	if i >= len(b) || b[i] != '"' {
		return span{}, -1, s.fail(i, "a key is missing")
	}
	quote, escaped := s.quoted(i + 1)
	if quote < 0 {
		return span{}, -1, -1
	}
	name = span{start: int32(i + 1), end: int32(quote), form: text, escaped: escaped}
	if i = s.colon(quote + 1); i < 0 {
		return span{}, -1, -1
	}
	return name, i, 0
}

// colon reads what stands between a key and its value.
func (s *scanner) colon(i int) int {
	b := s.b
	i = space(b, i)
	if i >= len(b) || b[i] != ':' {
		return s.fail(i, "a colon is missing after a key")
	}
	return space(b, i+1)
}

// value reads the value at i, inside depth levels.
func (s *scanner) value(i, depth int) (span, int) {
	b := s.b
	if i < len(b) && (b[i] == '{' || b[i] == '[') {
		f := object
		if b[i] == '[' {
			f = list
		}
		end := s.nested(i, depth)
		return span{start: int32(i), end: int32(end), form: f}, end
	}
	return s.scalar(i)
}

// nested reads the object or list at i, inside depth levels. It checks all it
// holds and keeps nothing of it but one bit for every open level.
func (s *scanner) nested(i, depth int) int {
	b := s.b
	var objects uint64 // the lowest bit is the innermost level: set for an object
	open := 0
	for {
		enter := false
		switch {
		case i < len(b) && b[i] == '{':
			objects = objects<<1 | 1
			enter = true
		case i < len(b) && b[i] == '[':
			objects <<= 1
			enter = true
		default:
			if _, i = s.scalar(i); i < 0 {
				return -1
			}
		}
		first := false
		if enter {
			if depth+open == decode.MaxDepth {
				s.reason, s.detail, s.at = decode.TooDeep, "too many levels of objects and lists", i
				return -1
			}
			open++
			i++
			first = true
		}
		// Behind a value or an opening bracket: close what ends here, then go to
		// the next value.
		for {
			i = space(b, i)
			inObject := objects&1 == 1
			if i < len(b) && (inObject && b[i] == '}' || !inObject && b[i] == ']') {
				i++
				open--
				objects >>= 1
				first = false
				if open == 0 {
					return i
				}
				continue
			}
			if !first {
				if i >= len(b) || b[i] != ',' {
					return s.fail(i, "a comma or a closing bracket is missing")
				}
				i = space(b, i+1)
			}
			if inObject {
				if i >= len(b) || b[i] != '"' {
					return s.fail(i, "a key is missing")
				}
				quote, _ := s.quoted(i + 1)
				if quote < 0 {
					return -1
				}
				if i = s.colon(quote + 1); i < 0 {
					return -1
				}
			}
			break
		}
	}
}

// scalar reads the value at i, which is neither an object nor a list.
func (s *scanner) scalar(i int) (span, int) {
	b := s.b
	if i >= len(b) {
		return span{}, s.fail(i, "")
	}
	var f form
	var word string
	switch b[i] {
	case '"':
		end, escaped := s.quoted(i + 1)
		if end < 0 {
			return span{}, -1
		}
		return span{start: int32(i + 1), end: int32(end), form: text, escaped: escaped}, end + 1
	case 't':
		f, word = yes, "true"
	case 'f':
		f, word = no, "false"
	case 'n':
		f, word = null, "null"
	case 'N':
		f, word = nan, "NaN"
	case 'I':
		f, word = posInf, "Infinity"
	case '-':
		if i+1 < len(b) && b[i+1] == 'I' {
			f, word = negInf, "-Infinity"
			break
		}
		fallthrough
	default:
		d := readDecimal(b, i)
		if d.end < 0 {
			return span{}, s.fail(^d.end, "no value of JSON begins or goes on like this")
		}
		return span{start: int32(i), end: int32(d.end), form: number}, d.end
	}
	end := i + len(word)
	if end > len(b) || string(b[i:end]) != word {
		at := i
		for k := 0; k < len(word) && at < len(b) && b[at] == word[k]; k++ {
			at++
		}
		return span{}, s.fail(at, "no value of JSON begins or goes on like this")
	}
	if f >= nan {
		s.literals++
	}
	return span{start: int32(i), end: int32(end), form: f}, end
}
