package native

import (
	"bytes"
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/modelwatch/modelwatch/schemas"
)

// order remembers in which order a model's features come.
type order struct {
	layout *schemas.Layout
	// keys are the features as they usually stand on the wire. The zero value
	// stands where the name cannot be written as it is, and behind the last feature.
	keys    []wireKey
	next    []int32 // the column that followed this one last; the last entry is for the first column
	textual []bool  // by column: numbers are kept as text too
}

// wireKey is a key with quotes and colon, made ready to be compared eight bytes
// at a time.
type wireKey struct {
	text        string
	first, last uint64 // eight bytes each; they overlap below sixteen
}

func newWireKey(name string) (k wireKey) {
	if !verbatim(name) {
		return k
	}
	if k.text = `"` + name + `":`; len(k.text) >= 8 {
		k.first = binary.LittleEndian.Uint64([]byte(k.text))
		k.last = binary.LittleEndian.Uint64([]byte(k.text[len(k.text)-8:]))
	}
	return k
}

// stands says whether the key stands at i, with at least one byte behind it.
func (k *wireKey) stands(b []byte, i int) bool {
	n := len(k.text)
	if n == 0 || len(b)-i <= n {
		return false
	}
	p := b[i : i+n]
	if n < 8 {
		return string(p) == k.text
	}
	return binary.LittleEndian.Uint64(p) == k.first && binary.LittleEndian.Uint64(p[n-8:]) == k.last &&
		(n <= 16 || string(p[8:n-8]) == k.text[8:n-8])
}

// maxOrders bounds the layouts that are remembered. Reloads bring new ones, and
// the old ones are not told apart: over the bound all are forgotten and learned anew.
const maxOrders = 4096

func (d *Decoder) orderOf(l *schemas.Layout) *order {
	if o := d.orders[l]; o != nil {
		return o
	}
	if len(d.orders) >= maxOrders {
		clear(d.orders)
	}
	n := l.Features()
	o := &order{layout: l, keys: make([]wireKey, n+1), next: make([]int32, n+1), textual: make([]bool, n)}
	for c := range n {
		o.next[c], o.textual[c] = int32(c+1), l.Columns[c].Textual
		o.keys[c] = newWireKey(l.Columns[c].Name)
	}
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
	b, blk, row, o := d.b, d.block, d.row, d.order
	columns := blk.Columns
	previous := len(o.keys) - 1
	extras := 0
	i++
	for open := true; ; open = false {
		var c int
		guess := o.next[previous]
		// The usual case: a comma, at most one space, and the key that followed last time.
		j, expected := i, open
		if !open && is(b, j, ',') {
			j, expected = j+1, true
		}
		if is(b, j, ' ') {
			j++
		}
		if k := &o.keys[guess]; expected && k.stands(b, j) {
			c = int(guess)
			if i = j + len(k.text); b[i] <= ' ' {
				i = space(b, i)
			}
		} else {
			name, at, end := d.member(i, open)
			if at < 0 {
				return end
			}
			p := d.plain(name, &d.key)
			if c = blk.Layout.Feature(p); c < 0 {
				if extras < schemas.MaxExtra && d.extra(p) {
					extras++
				}
				if _, i = d.value(at, 2); i < 0 {
					return -1
				}
				continue
			}
			o.next[previous] = int32(c)
			i = at
		}
		previous = c

		// The usual values; whatever is none of them goes the general way.
		if f, end := plainNumber(b, i); end > 0 {
			col := &columns[c]
			col.Kind[row] = schemas.KindNumber
			col.Num[row] = f
			if o.textual[c] {
				d.putWord(col, row, b[i:end])
			}
			i = end
			continue
		}
		if is(b, i, '"') {
			end, escaped := d.quoted(i + 1)
			if end < 0 {
				return -1
			}
			d.putText(&columns[c], row, o.textual[c], span{start: int32(i + 1), end: int32(end), form: text, escaped: escaped})
			i = end + 1
			continue
		}
		v, end := d.value(i, 2)
		if end < 0 {
			return -1
		}
		d.put(c, v)
		i = end
	}
}

// extra remembers a feature that the layout does not know; it is false when the
// row has it already.
func (d *Decoder) extra(name []byte) bool {
	b := d.block
	for k := len(b.Extra) - 1; k >= 0 && b.Extra[k].Row == int32(d.row); k-- {
		t := b.Extra[k].Name
		if bytes.Equal(d.text[t.Off-d.base:t.Off-d.base+t.Len], name) {
			return false
		}
	}
	b.Extra = append(b.Extra, schemas.Extra{Row: int32(d.row), Name: d.keep(name)})
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
	col.Text[row] = d.keep(p)
	col.Hash[row] = schemas.Hash(p)
}

// keep adds p to the text of the row.
func (d *Decoder) keep(p []byte) schemas.Text {
	off := uint32(len(d.text))
	d.text = append(d.text, p...)
	return schemas.Text{Off: d.base + off, Len: uint32(len(p))}
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
