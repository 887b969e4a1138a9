package native

import (
	"unicode/utf8"

	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/schemas"
)

// Format is the name of this format in a monitor.
const Format = "native"

// key is a top-level key that is read, or a member of outputs.
type key int

const (
	keyID key = iota
	keyModel
	keyVersion
	keyTS
	keyFeatures
	keyPrediction
	keyScore
	keyScores
	keyLabel
	keyLatency

	aliasModel
	aliasVersion
	aliasFeatures
	aliasPrediction
	aliasScore
	aliasScores
	aliasLatency

	keys // how many of them are kept

	keyOutputs = keys
	keyUnknown = keys + 1
)

// Decoder reads native events. It is made by New and used by one goroutine.
type Decoder struct {
	scanner
	max      int
	repaired uint64

	values [keys]span // what the event holds, by key

	// The row that features were read into on the way, before the end of the
	// event was seen.
	block    *schemas.Block
	row      int
	model    span // that chose the block
	features int  // where those features begin, -1 for none

	// Scratch for texts with escapes.
	key, name, id, version []byte

	minute minute

	orders  map[*schemas.Layout]*order
	layouts [16]*schemas.Layout // of recent
	recent  [16]*order          // of d.orders, that were asked for last
	oldest  uint8               // of recent
	order   *order              // of block

	usual [keys + 1]wireKey // the keys that are read, outputs last, as they usually stand
	next  [maxUsual]key     // the key that stood in each place of the event before
}

// maxUsual is how many places of an event are expected to hold what they held last.
const maxUsual = 12

// New returns a decoder with these limits. It is of type decode.Decoder so that
// New itself can stand in decode.Formats.
func New(c decode.Config) decode.Decoder {
	d := &Decoder{max: c.MaxBytes, orders: make(map[*schemas.Layout]*order)}
	for name, k := range names {
		d.usual[k] = newWireKey(name)
	}
	return d
}

// names are the top-level keys that are read.
var names = map[string]key{
	"id": keyID, "model": keyModel, "version": keyVersion, "ts": keyTS, "features": keyFeatures, "prediction": keyPrediction,
	"score": keyScore, "scores": keyScores, "label": keyLabel, "latency_ms": keyLatency,
	"model_name": aliasModel, "model_version": aliasVersion, "inputs": aliasFeatures, "outputs": keyOutputs,
}

// Repaired returns how many bare NaN, Infinity and -Infinity stood in the rows
// committed so far.
func (d *Decoder) Repaired() uint64 { return d.repaired }

// Decode reads one event; see the documentation of the package.
func (d *Decoder) Decode(r *decode.Record, t decode.Target) decode.Reject {
	v := r.Value
	if v == nil {
		return decode.Reject{Reason: decode.Tombstone}
	}
	large := len(v) > d.max
	if large {
		v = v[:d.max]
		t = nil
	}
	d.scanner.reset(v)
	d.values = [keys]span{}
	d.block = nil

	i := space(v, 0)
	if i == len(v) && !large {
		return decode.Reject{Reason: decode.Empty}
	}
	ok := d.event(i, t)
	switch {
	case large:
		return d.reject(decode.TooLarge, "more bytes than allowed", d.max)
	case !ok:
		return d.reject(d.reason, d.detail, d.at)
	case d.high != 0 && !utf8.Valid(v):
		return d.reject(decode.InvalidUTF8, "text that is not UTF-8", invalidAt(v))
	}
	return d.commit(r, t)
}

// event reads the object at i down to the end of the value. Without a target it
// only looks for the keys.
func (d *Decoder) event(i int, t decode.Target) bool {
	if i >= len(d.b) || d.b[i] != '{' {
		d.fail(i, "an event is a JSON object")
		return false
	}
	m, sign := memoryOf(d.b), byte('{')
	for place := 0; ; place++ {
		k, at := d.expected(i, place, sign)
		if at < 0 {
			var name span
			var end int
			if sign == '{' {
				i++
			}
			if name, at, end = d.member(i, sign == '{'); at < 0 {
				if end < 0 {
					return false
				}
				i = end
				break
			}
			k = d.known(name)
			if place < maxUsual && k < keyUnknown {
				d.next[place] = k
			}
		} else if is(d.b, at, '"') && k < keys {
			if e := plainText(m, at+1, len(d.b)); e > 0 {
				d.values[k] = span{start: int32(at + 1), end: int32(e - 1), form: text}
				i, sign = e, ','
				continue
			}
		}
		sign = ','
		var v span
		switch {
		case (k == keyFeatures || k == aliasFeatures) && is(d.b, at, '{') && d.enter(t):
			v = span{start: int32(at), form: object}
			i = d.readFeatures(at)
		case k == keyOutputs:
			// A second outputs replaces the first one whole.
			d.values[aliasPrediction], d.values[aliasScore] = span{}, span{}
			d.values[aliasScores], d.values[aliasLatency] = span{}, span{}
			if is(d.b, at, '{') {
				i = d.readOutputs(at)
			} else {
				_, i = d.value(at, 1)
			}
		default:
			v, i = d.value(at, 1)
		}
		if i < 0 {
			return false
		}
		if k < keys {
			d.values[k] = v
		}
	}
	if i = space(d.b, i); i != len(d.b) {
		d.fail(i, "the value goes on behind the event")
		return false
	}
	return true
}

// expected returns the key that stood in that place last and where its value
// begins, if it stands behind the sign at i again, written the usual way; at is -1
// otherwise.
func (d *Decoder) expected(i, place int, sign byte) (k key, at int) {
	if place >= maxUsual || !is(d.b, i, sign) {
		return 0, -1
	}
	if i++; is(d.b, i, ' ') {
		i++
	}
	k = d.next[place]
	w := &d.usual[k]
	if !w.stands(d.b, i) {
		return 0, -1
	}
	if at = i + int(w.length); d.b[at] <= ' ' {
		at = space(d.b, at)
	}
	return k, at
}

// known returns the key of that name.
func (d *Decoder) known(name span) key {
	if k, ok := names[string(d.plain(name, &d.key))]; ok {
		return k
	}
	return keyUnknown
}

// readOutputs reads the object at i, which is the member outputs.
func (d *Decoder) readOutputs(i int) int {
	i++
	for open := true; ; open = false {
		name, at, end := d.member(i, open)
		if at < 0 {
			return end
		}
		k := keyUnknown
		switch string(d.plain(name, &d.key)) {
		case "prediction":
			k = aliasPrediction
		case "score":
			k = aliasScore
		case "scores":
			k = aliasScores
		case "latency_ms":
			k = aliasLatency
		}
		v, next := d.value(at, 2)
		if next < 0 {
			return -1
		}
		if k < keys {
			d.values[k] = v
		}
		i = next
	}
}

// plain returns the text of a span; *scratch holds it when it has escapes.
func (d *Decoder) plain(v span, scratch *[]byte) []byte {
	p := d.b[v.start:v.end]
	if !v.escaped {
		return p
	}
	*scratch = unescape((*scratch)[:0], p)
	return *scratch
}

// pick returns the value of a key, or of its alias when it is absent or null.
func (d *Decoder) pick(k, alias key) span {
	v := d.values[k]
	if a := d.values[alias]; a.form != absent && v.form <= null {
		return a
	}
	return v
}

// word returns the text of a value that may be a text or a number. It is empty
// for none; ok is false for every other value.
func (d *Decoder) word(v span, scratch *[]byte) (p []byte, ok bool) {
	switch v.form {
	case absent, null:
		return nil, true
	case text, number:
		return d.plain(v, scratch), true
	}
	return nil, false
}

// enter begins a row for features when the model is known by now, so that they
// need not be read twice. Whether it was the right row, and whether these are
// the features that count, is seen at the end of the event.
func (d *Decoder) enter(t decode.Target) bool {
	if t == nil {
		return false
	}
	v := d.pick(keyModel, aliasModel)
	name, ok := d.word(v, &d.name)
	if !ok || len(name) == 0 {
		return false
	}
	b := t.Block(name)
	if b == nil {
		return false
	}
	d.begin(b, v)
	return true
}

// begin opens a row of b, which the model in v chose.
func (d *Decoder) begin(b *schemas.Block, v span) {
	if d.block != nil {
		d.block.Drop()
	}
	d.block, d.model, d.features = b, v, -1
	d.row = b.Begin()
	if d.order == nil || d.order.layout != b.Layout {
		d.order = d.orderOf(b.Layout)
	}
}

// commit gives an event whose syntax is sound its meaning.
func (d *Decoder) commit(r *decode.Record, t decode.Target) decode.Reject {
	model := d.pick(keyModel, aliasModel)
	name, ok := d.word(model, &d.name)
	if !ok || len(name) == 0 {
		return d.reject(decode.NoModel, "the event names no model", int(model.start))
	}
	if d.block == nil || d.model != model {
		b := t.Block(name)
		if b == nil {
			return d.reject(decode.UnknownModel, "no monitor watches the model", int(model.start))
		}
		d.begin(b, model)
	}

	ms := r.Timestamp
	if ts := d.values[keyTS]; ts.form > null {
		if ms, ok = d.time(ts); !ok {
			return d.reject(decode.BadTime, "ts is neither RFC 3339 with a zone nor Unix milliseconds", int(ts.start))
		}
	}
	v := d.values[keyID]
	id, ok := d.word(v, &d.id)
	if !ok || len(id) > decode.MaxText {
		return d.reject(decode.BadID, "the id is no text or number, or too long", int(v.start))
	}
	v = d.pick(keyVersion, aliasVersion)
	version, ok := d.word(v, &d.version)
	if !ok || len(version) > decode.MaxText {
		return d.reject(decode.BadVersion, "the version is no text or number, or too long", int(v.start))
	}

	var parts schemas.Part
	features := -1
	switch v = d.pick(keyFeatures, aliasFeatures); {
	case v.form == object:
		parts |= schemas.PartFeatures
		features = int(v.start)
	case v.form > null:
		return d.reject(decode.BadFeatures, "the features are no object", int(v.start))
	}
	prediction := d.pick(keyPrediction, aliasPrediction)
	score, scores := d.pick(keyScore, aliasScore), d.pick(keyScores, aliasScores)
	if prediction.form != absent || score.form > null || scores.form > null {
		parts |= schemas.PartPrediction
	}
	label := d.values[keyLabel]
	if label.form != absent {
		parts |= schemas.PartLabel
	}
	if parts == 0 {
		return d.reject(decode.NoPart, "neither features nor prediction nor label", 0)
	}

	// From here on nothing can go wrong.
	literals := d.literals
	b := d.block
	if d.features != features {
		// Not read yet, or others were: a key came twice, or behind the model's.
		d.begin(b, model)
		if features >= 0 {
			d.readFeatures(features)
		}
	}
	l := b.Layout
	if parts&schemas.PartPrediction != 0 {
		d.put(l.Prediction, prediction)
		d.put(l.Score, d.score(score, scores, l.Positive))
		d.put(l.Latency, d.pick(keyLatency, aliasLatency))
	}
	d.put(l.Label, label)
	row := d.row
	if len(id) > 0 {
		b.ID[row], b.IDText[row] = schemas.Hash(id), b.Keep(id)
	}
	if len(version) > 0 {
		if row > 0 && string(b.Bytes(b.Version[row-1])) == string(version) {
			b.Version[row] = b.Version[row-1]
		} else {
			b.Version[row] = b.Keep(version)
		}
	}
	b.Offset[row], b.Timestamp[row], b.Time[row], b.Parts[row] = r.Offset, r.Timestamp, ms, parts
	b.Commit()
	d.repaired += literals
	return decode.Reject{}
}

// time reads the value of ts.
func (d *Decoder) time(v span) (ms int64, ok bool) {
	switch v.form {
	case text:
		p := d.plain(v, &d.key)
		if ms, ok := d.minute.instant(p); ok {
			return ms, true
		}
		if ms, ok = instant(p); ok {
			d.minute.keep(p, ms)
		}
		return ms, ok
	case number:
		n := readDecimal(d.b, int(v.start))
		return millis(&n, d.b[v.start:v.end])
	}
	return 0, false
}

// score returns the score itself, or that of the positive class when there is none.
func (d *Decoder) score(score, scores span, positive string) span {
	if score.form > null || scores.form <= null || positive == "" {
		return score
	}
	if scores.form != object {
		return span{start: scores.start, end: scores.end, form: list}
	}
	i := int(scores.start) + 1
	for open := true; ; open = false {
		name, at, _ := d.member(i, open)
		if at < 0 {
			return score
		}
		var v span
		v, i = d.value(at, 2)
		if string(d.plain(name, &d.key)) == positive {
			score = v
		}
	}
}

// reject names the model of the event as far as it is known.
func (d *Decoder) reject(reason decode.Reason, detail string, at int) decode.Reject {
	if d.block != nil {
		d.block.Drop()
	}
	r := decode.Reject{Reason: reason, Detail: detail, At: at}
	name, _ := d.word(d.pick(keyModel, aliasModel), &d.name)
	if len(name) == 0 || !utf8.Valid(name) {
		return r
	}
	if n := decode.MaxText; len(name) > n {
		for !utf8.RuneStart(name[n]) {
			n--
		}
		name = name[:n]
	}
	r.Model = name
	return r
}

// invalidAt returns the position of the first byte of v that is not UTF-8.
func invalidAt(v []byte) int {
	at := 0
	for at < len(v) {
		r, n := utf8.DecodeRune(v[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		at += n
	}
	return at
}
