package native

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/modelwatch/modelwatch/schemas"
)

// order remembers in which order a model's features come.
type order struct {
	layout *schemas.Layout
	places []place // by column; the last one is before the first feature and behind the last
}

// place is one feature where it usually stands on the wire.
type place struct {
	wireKey       // stands nowhere where the name cannot be written as it is
	next    int32 // the column that followed this one last
	textual bool  // numbers are kept as text too
}

// wireKey is a key with quotes and colon, made ready to be compared eight bytes
// at a time. It is small, because those of all features are looked at for each
// event: they have to stay in the processor's first cache.
type wireKey struct {
	first, last  uint64 // eight bytes each; they overlap below sixteen, and are the same below eight
	mask         uint64 // of the bytes that count in both
	words        string // the key
	length, tail int32  // of the key; where the last eight bytes begin
}

func newWireKey(name string) wireKey {
	if !verbatim(name) {
		return wireKey{last: 1, mask: 1} // two bytes that differ in one place: it stands nowhere
	}
	k := wireKey{words: `"` + name + `":`, mask: 1<<64 - 1}
	k.length = int32(len(k.words))
	var short [8]byte
	n := copy(short[:], k.words)
	k.first = binary.LittleEndian.Uint64(short[:])
	if k.last = k.first; n < 8 {
		k.mask = 1<<(8*n) - 1
		return k
	}
	k.tail = k.length - 8
	k.last = binary.LittleEndian.Uint64([]byte(k.words[k.tail:]))
	return k
}

// stands says whether the key stands at i of b, with at least eight bytes behind it.
func (k *wireKey) stands(b []byte, i int) bool {
	m := memoryOf(b)
	return i+int(k.length)+8 <= len(b) && ((m.word(i)^k.first)|(m.word(i+int(k.tail))^k.last))&k.mask == 0 && k.middle(m, i) == 0
}

// middle is zero if what stands between the first and the last eight bytes of a
// key at i is right too.
func (k *wireKey) middle(m memory, i int) (wrong uint64) {
	for at := 8; at < int(k.tail); at += 8 {
		wrong |= m.word(i+at) ^ word(k.words[at:])
	}
	return wrong
}

// word returns the first eight bytes of s, of which there are as many.
func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// maxOrders bounds the layouts that are remembered. Reloads bring new ones, and
// the old ones are not told apart: over the bound all are forgotten and learned anew.
const maxOrders = 4096

func (d *Decoder) orderOf(l *schemas.Layout) *order {
	for i := range d.layouts {
		if d.layouts[i] == l {
			return d.recent[i]
		}
	}
	o := d.findOrder(l)
	i := d.oldest % uint8(len(d.recent))
	d.layouts[i], d.recent[i] = l, o
	d.oldest++
	return o
}

func (d *Decoder) findOrder(l *schemas.Layout) *order {
	if o := d.orders[l]; o != nil {
		return o
	}
	if len(d.orders) >= maxOrders {
		clear(d.orders)
	}
	n := l.Features()
	o := &order{layout: l, places: make([]place, n+1)}
	for c := range n {
		o.places[c] = place{newWireKey(l.Columns[c].Name), int32(c + 1), l.Columns[c].Textual}
	}
	o.places[n] = place{wireKey: newWireKey(`"`)} // stands nowhere
	d.orders[l] = o
	return o
}

// verbatim says whether a name stands in JSON as it is.
func verbatim(name string) bool {
	for i := range len(name) {
		if name[i] < 0x20 || name[i] == '"' || name[i] == '\\' {
			return false
		}
	}
	return utf8.ValidString(name)
}

// readFeatures reads the object at i into the row that is open.
func (d *Decoder) readFeatures(i int) int {
	d.features = i
	places := d.order.places
	before := &places[len(places)-1]
	extras := 0
	for sign := byte('{'); ; sign = ',' {
		next, last := d.readUsual(i, sign, before)
		open := next == i && sign == '{'
		if i, before = next, last; open {
			i++
		} else if is(d.b, i, '}') {
			return i + 1
		}
		name, at, end := d.member(i, open)
		if at < 0 {
			return end
		}
		p := d.plain(name, &d.key)
		c := d.block.Layout.Feature(p)
		if c < 0 {
			if extras < schemas.MaxExtra && d.extra(p) {
				extras++
			}
			if _, i = d.value(at, 2); i < 0 {
				return -1
			}
			continue
		}
		before.next = int32(c)
		before = &places[c]
		v, end := d.value(at, 2)
		if end < 0 {
			return -1
		}
		d.put(c, v)
		i = end
	}
}

// readUsual reads features from i on as long as they follow each other as they
// did last, with plain numbers, plain texts and null for values. Each begins with
// the given sign, all further ones with a comma, behind which may be a space, as
// behind the colon. It returns where the last value ends and the place of its
// feature; everything else is for the general way.
func (d *Decoder) readUsual(i int, sign byte, before *place) (end int, last *place) {
	m, length, places, columns, row := memoryOf(d.b), len(d.b), d.order.places, d.block.Columns, d.row
	for i+2 < length && m.byte(i) == sign {
		c := before.next
		if uint(c) >= uint(len(places)) || uint(c) >= uint(len(columns)) {
			break
		}
		k, j := &places[c], i+1
		if m.byte(j) == ' ' {
			j++
		}
		v := j + int(k.length)
		if v+9 > length {
			break
		}
		if ((m.word(j)^k.first)|(m.word(j+int(k.tail))^k.last))&k.mask != 0 {
			break
		}
		if k.tail > 8 && k.middle(m, j) != 0 {
			break
		}
		if m.byte(v) == ' ' {
			v++
		}
		w := m.word(v)
		t := outside(w)
		if t&0x80 == 0 {
			var x float64
			var n int
			if t != 0 {
				x, n = shortNumber(w, t)
			} else if v+reach <= length {
				x, n = longNumber(m, v)
			}
			if n == 0 || m.byte(v+n)|0x20 == 'e' {
				break
			}
			col := &columns[c]
			col.Kind[row], col.Num[row] = schemas.KindNumber, x
			if i = v + n; k.textual {
				d.putWord(col, row, d.b[v:i])
			}
		} else if w&0xff == '"' {
			e := plainText(m, v+1, length)
			if e < 0 {
				break
			}
			d.putPlain(&columns[c], k.textual, d.b[v+1:e-1])
			i = e
		} else if uint32(w) == wordNull {
			columns[c].Kind[row] = schemas.KindNull
			i = v + len("null")
		} else {
			break
		}
		before, sign = k, ','
	}
	return i, before
}

// wordNull is null as a word of four bytes.
const wordNull = 'n' | 'u'<<8 | 'l'<<16 | 'l'<<24

// plainText returns the position behind the text whose opening quote is before i,
// if it is of ASCII without escapes; else -1. The length is at least eight.
func plainText(m memory, i, length int) int {
	for ; i < length; i += 8 {
		// The last word may begin before i; what is moved in behind it is zero.
		v := m.word(min(i, length-8)) >> (8 * uint(max(0, i+8-length)) & 63)
		quote := v ^ '"'*ones
		slash := v ^ '\\'*ones
		// The lowest top bit that is set marks the first quote, backslash, control
		// character or byte above ASCII; bits above it may be wrong by a borrow.
		if t := ((quote - ones) | (slash - ones) | (v - 0x20*ones) | v) & tops; t != 0 {
			if i += bits.TrailingZeros64(t) / 8; i >= length || m.byte(i) != '"' {
				return -1
			}
			return i + 1
		}
	}
	return -1
}

// putPlain writes a text without escapes to a column of the row.
func (d *Decoder) putPlain(col *schemas.Column, textual bool, p []byte) {
	row := d.row
	if len(p) >= 3 {
		switch p[0] {
		case 'n', 'N', 'i', 'I', '+', '-':
			if kind := spelled(p, textual); kind != schemas.KindText {
				col.Kind[row] = kind
				return
			}
		}
	}
	col.Kind[row] = schemas.KindText
	d.putWord(col, row, p)
}

// extra remembers a feature that the layout does not know; it is false when the
// row has it already.
func (d *Decoder) extra(name []byte) bool {
	b := d.block
	for k := len(b.Extra) - 1; k >= 0 && b.Extra[k].Row == int32(d.row); k-- {
		if bytes.Equal(b.Bytes(b.Extra[k].Name), name) {
			return false
		}
	}
	b.Extra = append(b.Extra, schemas.Extra{Row: int32(d.row), Name: b.Keep(name)})
	return true
}

// put writes a value to column c of the row.
func (d *Decoder) put(c int, v span) {
	col, row, textual := &d.block.Columns[c], d.row, d.block.Layout.Columns[c].Textual
	switch v.form {
	case absent:
		col.Kind[row] = schemas.KindAbsent
	case null:
		col.Kind[row] = schemas.KindNull
	case text:
		d.putText(col, row, textual, v)
	case number:
		n := readDecimal(d.b, int(v.start))
		d.putNumber(col, row, textual, &n, d.b[v.start:v.end])
	case yes, no:
		col.Kind[row] = schemas.KindBool
		d.putWord(col, row, d.b[v.start:v.end])
	case nan:
		col.Kind[row] = schemas.KindNaN
	case posInf:
		col.Kind[row] = schemas.KindPosInf
	case negInf:
		col.Kind[row] = schemas.KindNegInf
	case object, list:
		col.Kind[row] = schemas.KindNested
	}
}

func (d *Decoder) putNumber(col *schemas.Column, row int, textual bool, n *decimal, p []byte) {
	f := n.float(p)
	switch {
	case f > math.MaxFloat64:
		col.Kind[row] = schemas.KindPosInf
		return
	case f < -math.MaxFloat64:
		col.Kind[row] = schemas.KindNegInf
		return
	}
	col.Kind[row] = schemas.KindNumber
	col.Num[row] = f
	if textual {
		d.putWord(col, row, p)
	}
}

func (d *Decoder) putText(col *schemas.Column, row int, textual bool, v span) {
	p := d.plain(v, &d.key)
	if kind := spelled(p, textual); kind != schemas.KindText {
		col.Kind[row] = kind
		return
	}
	col.Kind[row] = schemas.KindText
	d.putWord(col, row, p)
}

func (d *Decoder) putWord(col *schemas.Column, row int, p []byte) {
	col.Text[row] = d.block.Keep(p)
	col.Hash[row] = schemas.Hash(p)
}

// spelled returns the kind of a text that spells NaN or an infinity, else
// KindText. In a column that may hold categories only what number formatters
// write is taken for a number.
func spelled(p []byte, textual bool) schemas.Kind {
	if len(p) < 3 || len(p) > len("-infinity") {
		return schemas.KindText
	}
	switch p[0] {
	case 'n', 'N', 'i', 'I', '+', '-':
	default:
		return schemas.KindText
	}
	if textual {
		switch string(p) {
		case "NaN", "nan":
			return schemas.KindNaN
		case "Infinity", "+Infinity", "inf", "+Inf":
			return schemas.KindPosInf
		case "-Infinity", "-inf", "-Inf":
			return schemas.KindNegInf
		}
		return schemas.KindText
	}
	negative := p[0] == '-'
	if negative || p[0] == '+' {
		p = p[1:]
	}
	var lower [len("infinity")]byte
	if len(p) > len(lower) {
		return schemas.KindText
	}
	for i, c := range p {
		lower[i] = c | 0x20
	}
	switch string(lower[:len(p)]) {
	case "nan":
		return schemas.KindNaN
	case "inf", "infinity":
		if negative {
			return schemas.KindNegInf
		}
		return schemas.KindPosInf
	}
	return schemas.KindText
}
