package native_test

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/consumers/decode/native"
	"github.com/modelwatch/modelwatch/schemas"

	"pgregory.net/rapid"
)

// blocks is the target of the tests: a full block is emptied.
type blocks map[string]*schemas.Block

func (t blocks) Block(model []byte) *schemas.Block {
	b := t[string(model)]
	if b != nil && b.Full() {
		b.Reset()
	}
	return b
}

// flights returns a target with the model that most tests use; `code` and
// `origin` may be categories.
func flights() blocks {
	l := schemas.NewLayout("flights", "late",
		[]string{"distance", "origin", "temp", "code", "wind", `a "b"`, "größe"},
		map[string]bool{"code": true, "origin": true})
	return blocks{"flights": schemas.NewBlock(l)}
}

const (
	offset    = 77
	timestamp = 1795251298188
)

func record(value []byte) *decode.Record {
	return &decode.Record{Offset: offset, Timestamp: timestamp, Value: value}
}

// row is what an event became, for comparing.
type row struct {
	Time    int64
	Parts   schemas.Part
	ID      string
	Version string
	Values  map[string]value // by column, absent ones left out
	Extra   []string
}

type value struct {
	Kind schemas.Kind
	Num  float64
	Text string
}

func num(f float64) value            { return value{Kind: schemas.KindNumber, Num: f} }
func txt(s string) value             { return value{Kind: schemas.KindText, Text: s} }
func boolean(s string) value         { return value{Kind: schemas.KindBool, Text: s} }
func is(k schemas.Kind) value        { return value{Kind: k} }
func both(f float64, s string) value { return value{Kind: schemas.KindNumber, Num: f, Text: s} }
func columnName(l *schemas.Layout, c int) string {
	if c < l.Features() {
		return l.Columns[c].Name
	}
	return "<" + l.Columns[c].Name + ">"
}

// tester is a test of testing or of rapid.
type tester interface {
	Helper()
	Errorf(string, ...any)
	Fatalf(string, ...any)
}

// read returns row i of b and checks what must hold of any row.
func read(t tester, b *schemas.Block, i int) row {
	t.Helper()
	r := row{Time: b.Time[i], Parts: b.Parts[i], ID: b.String(b.IDText[i]), Version: b.String(b.Version[i]), Values: map[string]value{}}
	want := uint64(0)
	if r.ID != "" {
		want = schemas.HashString(r.ID)
	}
	if b.ID[i] != want {
		t.Errorf("the id %q has the hash %d", r.ID, b.ID[i])
	}
	for c := range b.Columns {
		col := &b.Columns[c]
		v := value{Kind: col.Kind[i]}
		textual := v.Kind == schemas.KindText || v.Kind == schemas.KindBool
		if v.Kind == schemas.KindNumber {
			v.Num = col.Num[i]
			textual = b.Layout.Columns[c].Textual
		}
		if textual {
			v.Text = b.String(col.Text[i])
			if col.Hash[i] != schemas.HashString(v.Text) {
				t.Errorf("the text %q has the hash %d", v.Text, col.Hash[i])
			}
		}
		if v.Kind != schemas.KindAbsent {
			r.Values[columnName(b.Layout, c)] = v
		}
	}
	for _, e := range b.Extra {
		if e.Row == int32(i) {
			r.Extra = append(r.Extra, b.String(e.Name))
		}
	}
	return r
}

// one decodes a single event of flights that must be usable.
func one(t *testing.T, in string) row {
	t.Helper()
	target := flights()
	b := target["flights"]
	if r := native.New(decode.DefaultConfig()).Decode(record([]byte(in)), target); !r.OK() {
		t.Fatalf("%s\nwas rejected: %v", in, r)
	}
	if b.N != 1 {
		t.Fatalf("%s\nmade %d rows", in, b.N)
	}
	if b.Offset[0] != offset || b.Timestamp[0] != timestamp {
		t.Errorf("%s\nstands at offset %d and time %d, not at its record's", in, b.Offset[0], b.Timestamp[0])
	}
	return read(t, b, 0)
}

func TestDecode_Values(t *testing.T) {
	f := func(in string, want value) {
		t.Helper()
		for _, at := range []struct{ name, event, column string }{
			{"feature", `{"model":"flights","features":{"wind":` + in + `}}`, "wind"},
			{"feature before the model", `{"features":{"wind":` + in + `},"model":"flights"}`, "wind"},
			{"latency", `{"model":"flights","prediction":1,"latency_ms":` + in + `}`, "<latency>"},
		} {
			if got := one(t, at.event).Values[at.column]; got != want {
				t.Errorf("%s %s: got %+v, want %+v", at.name, in, got, want)
			}
		}
	}
	f("0", num(0))
	f("733", num(733))
	f("-1.5", num(-1.5))
	f("0.1", num(0.1))
	f("0.10000000149011612", num(float64(float32(0.1))))
	f("1e3", num(1000))
	f("1E+3", num(1000))
	f("25e-1", num(2.5))
	f("9007199254740993", num(9007199254740992)) // 2^53+1: ties to even
	f("9007199254740995", num(9007199254740996))
	f("123456789012345678901234567890", num(123456789012345678901234567890))
	f("18446744073709551617", num(18446744073709551617)) // 2^64+1
	f("1.8446744073709551617", num(1.8446744073709551617))
	f("1e18446744073709551616", is(schemas.KindPosInf))
	f("1e-18446744073709551616", num(0))
	f("1e-22", num(1e-22))
	f("1e-23", num(1e-23))
	f("1e22", num(1e22))
	f("1e23", num(1e23))
	f("5e-324", num(5e-324))
	f("1e-999", num(0))
	f("1.7976931348623157e308", num(math.MaxFloat64))
	f("1e999", is(schemas.KindPosInf))
	f("-1e999", is(schemas.KindNegInf))
	f("0.1234567890123456", num(0.1234567890123456))
	f("null", is(schemas.KindNull))
	f("true", boolean("true"))
	f("false", boolean("false"))
	f(`{"a":[1,{"b":null}]}`, is(schemas.KindNested))
	f(`[]`, is(schemas.KindNested))
	f(`{}`, is(schemas.KindNested))
	f(`"ORD"`, txt("ORD"))
	f(`""`, txt(""))
	f(`"12"`, txt("12"))
	f(`"a\"b\\c\/d\b\f\n\r\t"`, txt("a\"b\\c/d\b\f\n\r\t"))
	f(`"\u00e9\u20AC\ud83d\ude00"`, txt("é€😀"))
	f(`"\ud800"`, txt("\ufffd"))
	f(`"\ud800\u0041\udc00x"`, txt("\ufffdA\ufffdx"))
	f(`"Zürich, a long text with – dashes"`, txt("Zürich, a long text with – dashes"))
	f(`"NaN"`, is(schemas.KindNaN))
	f(`"nan"`, is(schemas.KindNaN))
	f(`"NAN"`, is(schemas.KindNaN))
	f(`"-nan"`, is(schemas.KindNaN))
	f(`"\u004eaN"`, is(schemas.KindNaN))
	f(`"Infinity"`, is(schemas.KindPosInf))
	f(`"+Inf"`, is(schemas.KindPosInf))
	f(`"INF"`, is(schemas.KindPosInf))
	f(`"-Infinity"`, is(schemas.KindNegInf))
	f(`"-inf"`, is(schemas.KindNegInf))
	f(`"nano"`, txt("nano"))
	f(`"infinite"`, txt("infinite"))
	f(`"+infinityx"`, txt("+infinityx"))
	f(`"infinityx"`, txt("infinityx"))
	f(`"-"`, txt("-"))
}

// Around the limits of the exact path, mantissas of 53 bits and powers of 22, of
// the scaled one, 19 digits and powers of 40, and half-way between two floats.
func TestDecode_NumbersAreNearest(t *testing.T) {
	d, target := native.New(decode.DefaultConfig()), flights()
	b := target["flights"]
	rapid.Check(t, func(t *rapid.T) {
		digits := strconv.FormatUint(rapid.Uint64Range(1<<52, 1<<55).Draw(t, "mantissa")>>rapid.IntRange(0, 3).Draw(t, "shift"), 10)
		digits += rapid.StringMatching(`[0-9]{0,5}`).Draw(t, "more")
		point := rapid.IntRange(1, len(digits)).Draw(t, "point")
		in := digits[:point]
		if point < len(digits) {
			in += "." + digits[point:]
		}
		in += "e" + strconv.Itoa(len(digits)-point+rapid.SampledFrom([]int{25, 45, 330}).Draw(t, "reach")*rapid.IntRange(-100, 100).Draw(t, "exponent")/100)
		want, err := strconv.ParseFloat(in, 64)
		if err != nil {
			t.Skip("beyond the largest")
		}
		b.Reset()
		if r := d.Decode(record([]byte(`{"model":"flights","features":{"wind":`+in+`}}`)), target); !r.OK() {
			t.Fatal(r)
		}
		if got := read(t, b, 0).Values["wind"]; got != num(want) {
			t.Fatalf("%s is %v, want %v", in, got.Num, want)
		}
	})
}

func TestDecode_TextualColumns(t *testing.T) {
	f := func(in string, want value) {
		t.Helper()
		if got := one(t, `{"model":"flights","features":{"code":`+in+`}}`).Values["code"]; got != want {
			t.Errorf("feature %s: got %+v, want %+v", in, got, want)
		}
		if got := one(t, `{"model":"flights","prediction":`+in+`}`).Values["<prediction>"]; got != want {
			t.Errorf("prediction %s: got %+v, want %+v", in, got, want)
		}
		if got := one(t, `{"label":`+in+`,"model":"flights"}`).Values["<label>"]; got != want {
			t.Errorf("label %s: got %+v, want %+v", in, got, want)
		}
	}
	f("1", both(1, "1"))
	f("1.0", both(1, "1.0"))
	f("-1e0", both(-1, "-1e0"))
	f("1e999", is(schemas.KindPosInf))
	f("NaN", is(schemas.KindNaN))
	f("null", is(schemas.KindNull))
	f("true", boolean("true"))
	f("[1]", is(schemas.KindNested))
	f(`"late"`, txt("late"))
	f(`"NaN"`, is(schemas.KindNaN))
	f(`"nan"`, is(schemas.KindNaN))
	f(`"Infinity"`, is(schemas.KindPosInf))
	f(`"-Inf"`, is(schemas.KindNegInf))
	f(`"NAN"`, txt("NAN")) // Nadi
	f(`"INF"`, txt("INF")) // an infant's fare
	f(`"-INF"`, txt("-INF"))
}

func TestDecode_Features(t *testing.T) {
	f := func(in string, want map[string]value, extra ...string) {
		t.Helper()
		got := one(t, `{"model":"flights","features":`+in+`}`)
		if !reflect.DeepEqual(got.Values, want) || !reflect.DeepEqual(got.Extra, extra) {
			t.Errorf("%s\ngot  %+v extra %q\nwant %+v extra %q", in, got.Values, got.Extra, want, extra)
		}
		if got.Parts != schemas.PartFeatures {
			t.Errorf("%s: parts %b", in, got.Parts)
		}
	}
	f(`{}`, map[string]value{})
	f(` { "distance" : 733 , "origin":"ORD","temp":null } `, map[string]value{"distance": num(733), "origin": txt("ORD"), "temp": is(schemas.KindNull)})
	// In no order, and with keys that cannot be compared in place.
	f(`{"wind":1,"a \"b\"":2,"gr\u00f6\u00dfe":3,"code":4,"distance":5}`,
		map[string]value{"wind": num(1), `a "b"`: num(2), "größe": num(3), "code": both(4, "4"), "distance": num(5)})
	// The last of a key given twice counts, whatever its kind.
	f(`{"temp":1,"temp":"x","temp":null}`, map[string]value{"temp": is(schemas.KindNull)})
	f(`{"temp":null,"\u0074emp":2}`, map[string]value{"temp": num(2)})
	// What nobody knows is remembered by name, each once and not all.
	f(`{"x":1,"temp":1,"y":[{}],"x":2,"\u0078":3,"z":"s","w":null,"v":5}`, map[string]value{"temp": num(1)}, "x", "y", "z", "w")
}

func TestDecode_Envelope(t *testing.T) {
	const at = 1795176000123
	f := func(in string, want row) {
		t.Helper()
		if want.Values == nil {
			want.Values = map[string]value{}
		}
		if got := one(t, in); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", in, got, want)
		}
	}
	features, prediction, label := schemas.PartFeatures, schemas.PartPrediction, schemas.PartLabel
	wind := map[string]value{"wind": num(1)}

	f(`{"id":"8f1c","model":"flights","version":"3","ts":"2026-11-20T12:00:00.123Z","features":{"wind":1}}`,
		row{Time: at, Parts: features, ID: "8f1c", Version: "3", Values: wind})
	f(" {\"features\":{\"wind\":1},\r\n\t\"ts\":1795176000123,\"version\":3,\"model\":\"flights\",\"id\":90071992547409931}\n",
		row{Time: at, Parts: features, ID: "90071992547409931", Version: "3", Values: wind})
	f(`{"model":"flights","id":null,"version":null,"ts":null,"features":{"wind":1}}`,
		row{Time: timestamp, Parts: features, Values: wind})
	f(`{"model":"flights","id":"","version":"","features":{"wind":1}}`,
		row{Time: timestamp, Parts: features, Values: wind})
	f(`{"model":"fl\u0069ghts","id":"a\nb","version":"\u0033","features":{"wind":1}}`,
		row{Time: timestamp, Parts: features, ID: "a\nb", Version: "3", Values: wind})
	f(`{"m\u006fdel":"flights","label":"late"}`,
		row{Time: timestamp, Parts: label, Values: map[string]value{"<label>": txt("late")}})
	f(`{"model":"flights","label":null}`,
		row{Time: timestamp, Parts: label, Values: map[string]value{"<label>": is(schemas.KindNull)}})
	f(`{"model":"flights","label":1,"features":null,"unknown":{"model":"x","deep":[[["y"]]]},"Label":2}`,
		row{Time: timestamp, Parts: label, Values: map[string]value{"<label>": both(1, "1")}})
	f(`{"model":"flights","features":{"wind":1},"prediction":"late","label":true,"score":0.5,"latency_ms":3.2}`,
		row{Time: timestamp, Parts: features | prediction | label, Values: map[string]value{
			"wind": num(1), "<prediction>": txt("late"), "<label>": boolean("true"), "<score>": num(0.5), "<latency>": num(3.2),
		}})
	// A latency alone is no part, and goes with no other.
	f(`{"model":"flights","label":1,"latency_ms":3.2}`,
		row{Time: timestamp, Parts: label, Values: map[string]value{"<label>": both(1, "1")}})
	f(`{"model":"flights","prediction":null}`,
		row{Time: timestamp, Parts: prediction, Values: map[string]value{"<prediction>": is(schemas.KindNull)}})
	// A null score is none.
	f(`{"model":"flights","score":null,"scores":null,"features":{}}`, row{Time: timestamp, Parts: features})

	// Keys given twice, and other names for them.
	f(`{"model":"x","features":{"temp":1},"model":"flights","features":{"wind":1}}`, row{Time: timestamp, Parts: features, Values: wind})
	f(`{"model":"flights","features":{"temp":1},"features":{"wind":1}}`, row{Time: timestamp, Parts: features, Values: wind})
	f(`{"model":"flights","features":{"temp":1},"features":null,"label":1}`,
		row{Time: timestamp, Parts: label, Values: map[string]value{"<label>": both(1, "1")}})
	f(`{"model_name":"flights","id":1,"model_version":"4","inputs":{"wind":1},"outputs":{"prediction":"late","score":0.2,"latency_ms":4,"other":1}}`,
		row{Time: timestamp, Parts: features | prediction, ID: "1", Version: "4", Values: map[string]value{
			"wind": num(1), "<prediction>": txt("late"), "<score>": num(0.2), "<latency>": num(4),
		}})
	f(`{"model_name":"x","model":"flights","version":"3","model_version":"4","inputs":{"temp":1},"features":{"wind":1},"outputs":{"prediction":2},"prediction":1}`,
		row{Time: timestamp, Parts: features | prediction, Version: "3", Values: map[string]value{"wind": num(1), "<prediction>": both(1, "1")}})
	f(`{"model":"flights","features":{"wind":1},"inputs":{"temp":1,"zzz":1}}`, row{Time: timestamp, Parts: features, Values: wind})
	f(`{"model":"flights","inputs":{"temp":1,"zzz":1},"features":{"wind":1}}`, row{Time: timestamp, Parts: features, Values: wind})
	f(`{"model":null,"model_name":"flights","features":null,"inputs":{"wind":1}}`, row{Time: timestamp, Parts: features, Values: wind})
	f(`{"model":"flights","label":1,"outputs":{"prediction":2},"outputs":{"score":0.5}}`,
		row{Time: timestamp, Parts: label | prediction, Values: map[string]value{"<label>": both(1, "1"), "<score>": num(0.5)}})
	f(`{"model":"flights","label":1,"outputs":{"prediction":2},"outputs":[3]}`,
		row{Time: timestamp, Parts: label, Values: map[string]value{"<label>": both(1, "1")}})
}

func TestDecode_Scores(t *testing.T) {
	f := func(in string, want value) {
		t.Helper()
		got := one(t, `{"model":"flights",`+in+`}`)
		if got.Parts != schemas.PartPrediction {
			t.Errorf("%s: parts %b", in, got.Parts)
		}
		if got.Values["<score>"] != want {
			t.Errorf("%s: score %+v, want %+v", in, got.Values["<score>"], want)
		}
	}
	f(`"score":0.25`, num(0.25))
	f(`"scores":{"late":0.83,"ontime":0.17}`, num(0.83))
	f(`"prediction":"late","scores":{"ontime":0.17,"l\u0061te":0.83}`, num(0.83))
	f(`"scores":{"late":0.1,"late":0.9}`, num(0.9))
	f(`"scores":{"late":0.83},"score":0.5`, num(0.5))
	f(`"scores":{"late":0.83},"score":null`, num(0.83))
	f(`"scores":{"late":null}`, is(schemas.KindNull))
	f(`"scores":{"late":"NaN"}`, is(schemas.KindNaN))
	f(`"scores":{"ontime":0.17}`, value{})
	f(`"prediction":1,"score":null,"scores":{"ontime":0.17}`, is(schemas.KindNull))
	f(`"scores":[0.83,0.17]`, is(schemas.KindNested))
	f(`"outputs":{"scores":{"late":0.4}}`, num(0.4))
	f(`"score":"0.5"`, txt("0.5"))

	// Without a positive class, scores say nothing about the score.
	target := blocks{"m": schemas.NewBlock(schemas.NewLayout("m", "", nil, nil))}
	if r := native.New(decode.DefaultConfig()).Decode(record([]byte(`{"model":"m","scores":{"":1,"late":0.83}}`)), target); !r.OK() {
		t.Fatal(r)
	}
	if got := read(t, target["m"], 0); len(got.Values) != 0 || got.Parts != schemas.PartPrediction {
		t.Errorf("without a positive class: %+v", got)
	}
}

func TestDecode_Time(t *testing.T) {
	f := func(in string, want time.Time) {
		t.Helper()
		if got := one(t, `{"model":"flights","label":1,"ts":`+in+`}`).Time; got != want.UnixMilli() {
			t.Errorf("%s: %v, want %v", in, time.UnixMilli(got).UTC(), want)
		}
	}
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	f(`"2026-11-20T12:00:00Z"`, noon)
	f(`"2026-11-20t12:00:00z"`, noon)
	f(`"2026-11-20 12:00:00+00:00"`, noon)
	f(`"2026-11-20T12:00Z"`, noon)
	f(`"2026-11-20T13:00:00.000000000+01:00"`, noon)
	f(`"2026-11-20T06:30:00-0530"`, noon)
	f(`"2026\u002d11-20T12:00:00Z"`, noon)
	f(`"2026-11-20T12:00:00.1Z"`, noon.Add(100*time.Millisecond))
	f(`"2026-11-20T12:00:00.1239999Z"`, noon.Add(123*time.Millisecond))
	f(`"2024-02-29T23:59:59.999Z"`, time.Date(2024, 2, 29, 23, 59, 59, 999e6, time.UTC))
	f(`"2000-02-29T00:00:00Z"`, time.Date(2000, 2, 29, 0, 0, 0, 0, time.UTC))
	f(`"1969-12-31T23:59:59.9995Z"`, time.Date(1969, 12, 31, 23, 59, 59, 999e6, time.UTC))
	f(`"0001-01-01T00:00:00Z"`, time.Time{})
	f(`"0000-01-01T00:00:00Z"`, time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC))
	f(`"9999-12-31T23:59:59.999Z"`, time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC))
	f(`1795176000000`, noon)
	f(`1795176000000.9`, noon)
	f(`1.795176e12`, noon)
	f(`-1`, time.UnixMilli(-1))
	f(`-0.5`, time.UnixMilli(-1))
	f(`0`, time.UnixMilli(0))
	f(`253402300799999`, time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC))
}

func TestDecode_Rejects(t *testing.T) {
	long := strings.Repeat("é", 150)
	d, target := native.New(decode.DefaultConfig()), flights()
	f := func(in string, want decode.Reason, model string) {
		t.Helper()
		r := d.Decode(record([]byte(in)), target)
		if r.Reason != want || string(r.Model) != model {
			t.Errorf("%.200s\ngot  %v of model %q\nwant %v of model %q", in, r, r.Model, want, model)
		}
		if r.At < 0 || r.At > len(in) {
			t.Errorf("%.200s\nis wrong at byte %d of %d", in, r.At, len(in))
		}
		if n := target["flights"].N; n != 0 {
			t.Fatalf("%.200s\nwas rejected, and made %d rows", in, n)
		}
	}
	f("", decode.Empty, "")
	f(" \n\t", decode.Empty, "")
	// Syntax.
	for _, in := range []string{
		"x", "[]", "1", `"x"`, "null", "{", "{}}", "{} {}", "{},", "{,}", "\x00", "\xef\xbb\xbf{}", "{'a':1}", "{a:1}",
		`{"a"}`, `{"a":}`, `{"a":1,}`, `{"a":1 "b":2}`, `{"a" 1}`, `{"a":1;"b":2}`, `{"a":1`, `{"a`, `{"a":"b`, `{"a":"b\`, `{"a":"\`,
		`{"a":tru}`, `{"a":TRUE}`, `{"a":truex}`, `{"a":nul`, `{"a":nan}`, `{"a":inf}`, `{"a":Inf}`, `{"a":+1}`, `{"a":.5}`, `{"a":1.}`, `{"a":01}`, `{"a":-}`,
		`{"a":-01}`, `{"a":1e}`, `{"a":1e+}`, `{"a":0x10}`, `{"a":1_000}`, `{"a":--1}`, `{"a":-NaN}`, `{"a":+Infinity}`, `{"a":Infinityx}`, `{"a":12345678.12345678.1}`,
		`{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12G4"}`, "{\"a\":\"\n\"}", "{\"a\":\"12345678\x1f\"}", "{\"a\":\"12\x1f45678\"}", "{\"a\x00\":1}",
		`{"a":[}`, `{"a":[1,]}`, `{"a":[,1]}`, `{"a":[1 2]}`, `{"a":[1}}`, `{"a":{]}`, `{"a":{"b":1,}}`, `{"a":{"b"}}`, `{"a":{1:2}}`, `{"a":[`, `{"a":[{"b":[`, "{\"a\":1}\x00",
	} {
		f(in, decode.Unparsable, "")
	}
	for _, in := range []string{
		`{"wind":1 "temp":2}`, `{"wind":1, "temp" 2}`, `{,"wind":1}`, `{"wind":1,}`, `{"wind":}`, `{"wind":01}`, `{"wind":1"temp":2}`,
		// In the order that is expected.
		`{"temp":1 "wind":2}`, `{"temp":1"wind":2}`, `{"temp":1,,"wind":2}`, `{"zzz":01}`, `{"wind":tru}`,
	} {
		f(`{"model":"flights","features":`+in+`}`, decode.Unparsable, "flights")
		f(`{"features":`+in+`,"model":"flights"}`, decode.Unparsable, "")
		f(`{"model":"flights","label":1,"other":`+in+`}`, decode.Unparsable, "flights")
		f(`{"model":"flights","scores":`+in+`}`, decode.Unparsable, "flights")
		f(`{"model":"flights","outputs":`+in+`}`, decode.Unparsable, "flights")
	}
	// Truncated at every byte.
	whole := `{"id":"8f1c","model":"flights","version":"3","ts":"2026-11-20T12:00:00.123Z","features":{"distance":-733.5e0,"origin":"O\u0052D","temp":null,"x":[{"y":true}]}}`
	for n := 1; n < len(whole); n++ {
		model := ""
		if n >= strings.Index(whole, `,"version"`) {
			model = "flights"
		}
		f(whole[:n], decode.Unparsable, model)
	}

	// Text that is none.
	f("{\"model\":\"flights\",\"features\":{\"origin\":\"Z\xfcrich\"}}", decode.InvalidUTF8, "flights")
	f("{\"model\":\"flights\",\"features\":{\"Z\xfcrich\":1}}", decode.InvalidUTF8, "flights")
	f("{\"model\":\"flights\",\"label\":1,\"ignored\":[\"12345678\xed\xa0\x80\"]}", decode.InvalidUTF8, "flights")
	f("{\"model\":\"\xff\",\"label\":1}", decode.InvalidUTF8, "")

	// Depth.
	deep := func(n int, open, close string) string {
		return strings.Repeat(open, n) + "1" + strings.Repeat(close, n)
	}
	f(`{"model":"flights","features":{"wind":`+deep(63, "[", "]")+`}}`, decode.TooDeep, "flights")
	f(`{"features":{"wind":`+deep(63, "[", "]")+`}}`, decode.TooDeep, "")
	f(`{"model":"flights","x":`+deep(64, `{"a":`, "}")+`}`, decode.TooDeep, "flights")
	f(`{"model":"flights","label":`+deep(10000, "[", "]")+`}`, decode.TooDeep, "flights")
	f(`{"model":"flights","label":`+strings.Repeat(`{"a":[`, 50000), decode.TooDeep, "flights")

	// Meaning.
	f(`{}`, decode.NoModel, "")
	f(`{"label":1}`, decode.NoModel, "")
	f(`{"model":null,"label":1}`, decode.NoModel, "")
	f(`{"model":"","label":1}`, decode.NoModel, "")
	f(`{"model":true,"label":1}`, decode.NoModel, "")
	f(`{"model":{"name":"flights"},"label":1}`, decode.NoModel, "")
	f(`{"model":"Flights","label":1}`, decode.UnknownModel, "Flights")
	f(`{"model":7,"label":1}`, decode.UnknownModel, "7")
	f(`{"model":"`+long+`","label":1}`, decode.UnknownModel, long[:decode.MaxText])
	f(`{"model":"x`+long+`","label":1}`, decode.UnknownModel, "x"+long[:decode.MaxText-2])
	f(`{"model":"flights","features":{"wind":1},"model":"other"}`, decode.UnknownModel, "other")
	for _, ts := range []string{
		`""`, `"now"`, `true`, `{}`, `[]`, `NaN`, `"2026-11-20T12:00:00"`, `"2026-11-20T12:00:00.123000"`, `"2026-11-20"`, `"20261120T120000Z"`,
		`"2026-13-20T12:00:00Z"`, `"2026-00-20T12:00:00Z"`, `"2026-11-31T12:00:00Z"`, `"2026-02-29T12:00:00Z"`, `"1900-02-29T12:00:00Z"`, `"2026-11-00T12:00:00Z"`,
		`"2026-11-20T24:00:00Z"`, `"2026-11-20T12:60:00Z"`, `"2016-12-31T23:59:60Z"`, `"2026-11-20T12:00:00.Z"`, `"2026-11-20T12:00:00,5Z"`, `"2026-11-20T12:00:00Z "`,
		`"2026-11-20T12:00:00+1:00"`, `"2026-11-20T12:00:00+01"`, `"2026-11-20T12:00:00+01:60"`, `"2026-11-20T12:00:00+24:00"`, `"2026-11-20T12:00:00+01:00[Europe/Paris]"`, `"2026-11-20T12:00:00 Z"`,
		`"2026-11-20T12"`, `"2026-11-20T12:00:0"`, `"26-11-20T12:00:00Z"`, `"10000-01-01T00:00:00Z"`, `"-001-01-01T00:00:00Z"`, `"0000-01-01T00:00:00+00:01"`, `"1795176000000"`,
		`253402300800000`, `-62167219200001`, `1795176000000000`, `9223372036854775808`, `-9223372036854775809`, `18446745868885551616`, `1e300`, `-1e999`, `1e999`,
	} {
		f(`{"model":"flights","label":1,"ts":`+ts+`}`, decode.BadTime, "flights")
	}
	for _, v := range []string{`true`, `{}`, `["x"]`, `NaN`, `"` + strings.Repeat("x", 257) + `"`, strings.Repeat("1", 257), `"` + long + `"`} {
		f(`{"model":"flights","label":1,"id":`+v+`}`, decode.BadID, "flights")
		f(`{"model":"flights","features":{"wind":1},"version":`+v+`}`, decode.BadVersion, "flights")
	}
	for _, v := range []string{`[]`, `1`, `"x"`, `true`, `NaN`, `[{"wind":1}]`} {
		f(`{"model":"flights","label":1,"features":`+v+`}`, decode.BadFeatures, "flights")
		f(`{"model":"flights","features":{"wind":1},"features":`+v+`}`, decode.BadFeatures, "flights")
	}
	for _, in := range []string{``, `,"features":null`, `,"id":"1","version":"3","latency_ms":1`, `,"score":null`, `,"scores":null`, `,"outputs":{"other":1}`, `,"outputs":1`} {
		f(`{"model":"flights"`+in+`}`, decode.NoPart, "flights")
	}

	// After all this the decoder reads as if nothing had been, and the texts of
	// rejected events are not in the block.
	if r := d.Decode(record([]byte(whole)), target); !r.OK() {
		t.Fatal(r)
	}
	if got, want := int(target["flights"].Keep(nil).Off), len("8f1c"+"3"+"ORD"+"x"); got != want {
		t.Errorf("the block holds %d bytes of text after one event, want %d", got, want)
	}
}

// A name that JSON has to escape must not be found in place: this is the first
// column, so a new decoder looks for it first.
func TestDecode_NameWithQuotes(t *testing.T) {
	r := native.New(decode.DefaultConfig()).Decode(record([]byte(`{"model":"flights","features":{"a "b"":1}}`)), flights())
	if r.Reason != decode.Unparsable {
		t.Errorf("a key with bare quotes: %v", r)
	}
}

func TestDecode_Tombstone(t *testing.T) {
	if r := native.New(decode.DefaultConfig()).Decode(record(nil), flights()); r.Reason != decode.Tombstone {
		t.Errorf("a record without a value: %v", r)
	}
}

func TestDecode_Size(t *testing.T) {
	target := flights()
	d := native.New(decode.Config{MaxBytes: 1 << 10})
	head, tail := `{"model":"flights","label":"`, `"}`
	event := func(n int) []byte { return []byte(head + strings.Repeat("x", n-len(head)-len(tail)) + tail) }
	if r := d.Decode(record(event(1<<10)), target); !r.OK() {
		t.Errorf("an event of the largest size: %v", r)
	}
	if r := d.Decode(record(event(1<<10+1)), target); r.Reason != decode.TooLarge || string(r.Model) != "flights" {
		t.Errorf("an event of one byte more: %v of model %q", r, r.Model)
	}
	features := `{"model":"flights","features":{"wind":1` + strings.Repeat(" ", 1<<10) + `}}`
	if r := d.Decode(record([]byte(features)), target); r.Reason != decode.TooLarge || string(r.Model) != "flights" {
		t.Errorf("features of more bytes: %v of model %q", r, r.Model)
	}
	if r := d.Decode(record([]byte(strings.Repeat(" ", 2<<10))), target); r.Reason != decode.TooLarge {
		t.Errorf("too much white space: %v", r)
	}
	if r := d.Decode(record(make([]byte, 100<<20)), target); r.Reason != decode.TooLarge {
		t.Errorf("100 MiB of zeros: %v", r)
	}
	if n := target["flights"].N; n != 1 {
		t.Errorf("%d rows, want the first event alone", n)
	}
}

func TestDecode_Depth(t *testing.T) {
	for _, c := range []struct{ open, close string }{{"[", "]"}, {`{"a":`, "}"}} {
		in := `{"model":"flights","features":{"wind":` + strings.Repeat(c.open, 62) + "1" + strings.Repeat(c.close, 62) + `}}`
		if got := one(t, in).Values["wind"]; got != is(schemas.KindNested) {
			t.Errorf("64 levels of %s: %+v", c.open, got)
		}
	}
}

func TestDecode_Repaired(t *testing.T) {
	d, target := native.New(decode.DefaultConfig()), flights()
	f := func(in string, want uint64) {
		t.Helper()
		before := d.Repaired()
		d.Decode(record([]byte(in)), target)
		if got := d.Repaired() - before; got != want {
			t.Errorf("%s: %d repaired, want %d", in, got, want)
		}
	}
	f(`{"model":"flights","features":{"wind":NaN,"temp":-Infinity,"distance":Infinity}}`, 3)
	f(`{"features":{"wind":NaN,"temp":-Infinity},"model":"flights"}`, 2)
	f(`{"model":"flights","features":{"wind":[NaN,{"x":NaN}],"other":NaN},"ignored":NaN}`, 4)
	f(`{"model":"flights","prediction":NaN,"scores":{"late":NaN}}`, 2)
	f(`{"model":"flights","features":{"wind":"NaN","temp":"-Infinity"}}`, 0)
	f(`{"model":"flights","features":{"wind":1e999}}`, 0)
	f(`{"model":"other","features":{"wind":NaN}}`, 0)

	got := one(t, `{"model":"flights","features":{"wind":NaN,"temp":-Infinity,"distance":Infinity}}`).Values
	want := map[string]value{"wind": is(schemas.KindNaN), "temp": is(schemas.KindNegInf), "distance": is(schemas.KindPosInf)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("bare literals became %+v, want %+v", got, want)
	}
}

// A row that is not committed must leave nothing to the next one.
func TestDecode_NothingIsLeftOver(t *testing.T) {
	d, target := native.New(decode.DefaultConfig()), flights()
	for _, in := range []string{
		`{"id":"a","version":"1","model":"flights","features":{"wind":1,"code":"c","x":1},"prediction":1,"label":1,"ts":"bad"}`,
		`{"id":"a","version":"1","model":"flights","features":{"wind":1,"code":"c","y":1},"prediction":1,"label":1,`,
	} {
		if r := d.Decode(record([]byte(in)), target); r.OK() {
			t.Fatalf("%s was used", in)
		}
	}
	if r := d.Decode(record([]byte(`{"model":"flights","features":{"z":0}}`)), target); !r.OK() {
		t.Fatal(r)
	}
	want := row{Time: timestamp, Parts: schemas.PartFeatures, Values: map[string]value{}, Extra: []string{"z"}}
	if got := read(t, target["flights"], 0); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// Several models on one partition, each with features of the same names at
// other places, and a block that fills up on the way.
func TestDecode_ModelsInterleaved(t *testing.T) {
	target := blocks{
		"a": schemas.NewBlock(schemas.NewLayout("a", "", []string{"x", "y", "z"}, nil)),
		"b": schemas.NewBlock(schemas.NewLayout("b", "", []string{"y", "b"}, map[string]bool{"y": true})),
		"c": schemas.NewBlock(schemas.NewLayout("c", "", nil, nil)),
	}
	d := native.New(decode.DefaultConfig())
	for i := range 3 * schemas.BlockRows {
		model := string("abc"[i%3])
		n := target[model].N % schemas.BlockRows
		in := `{"model":"` + model + `","features":{"y":1,"z":2,"b":"t"}}`
		if i%2 == 0 {
			in = `{"features":{"b":"t","z":2,"y":1},"model":"` + model + `"}`
		}
		if r := d.Decode(record([]byte(in)), target); !r.OK() {
			t.Fatal(r)
		}
		got := read(t, target[model], n)
		want := map[string]map[string]value{
			"a": {"y": num(1), "z": num(2)},
			"b": {"y": both(1, "1"), "b": txt("t")},
			"c": {},
		}[model]
		if !reflect.DeepEqual(got.Values, want) {
			t.Fatalf("event %d of model %s: %+v, want %+v", i, model, got.Values, want)
		}
		if extras := map[string]int{"a": 1, "b": 1, "c": 3}[model]; len(got.Extra) != extras {
			t.Fatalf("event %d of model %s: %q are extra, want %d", i, model, got.Extra, extras)
		}
	}
	for model, b := range target {
		if b.N != schemas.BlockRows {
			t.Errorf("model %s has %d rows", model, b.N)
		}
	}
}

// reloads gives every event a block of a new layout, as if the monitors changed
// all the time, with the features at other places each time.
type reloads struct {
	n     int
	block *schemas.Block
}

func (t *reloads) Block([]byte) *schemas.Block {
	t.n++
	t.block = schemas.NewBlock(schemas.NewLayout("m", "", []string{"b", string(rune('a' + t.n%2*2))}, nil))
	return t.block
}

func TestDecode_LayoutsChange(t *testing.T) {
	d, target := native.New(decode.DefaultConfig()), &reloads{}
	for range 5000 {
		if r := d.Decode(record([]byte(`{"model":"m","features":{"a":1,"b":2,"c":3}}`)), target); !r.OK() {
			t.Fatal(r)
		}
		want, extra := map[string]value{"a": num(1), "b": num(2)}, "c"
		if target.n%2 == 1 {
			want, extra = map[string]value{"c": num(3), "b": num(2)}, "a"
		}
		if got := read(t, target.block, 0); !reflect.DeepEqual(got.Values, want) || !reflect.DeepEqual(got.Extra, []string{extra}) {
			t.Fatalf("with layout %d: %+v", target.n, got)
		}
	}
}

// The bytes of confluent-kafka 2.16, as read back from a broker.
func TestDecode_ConfluentKafka(t *testing.T) {
	body, err := os.ReadFile("testdata/confluent-kafka.json")
	if err != nil {
		t.Fatal(err)
	}
	var records []struct {
		Offset    int64   `json:"offset"`
		Timestamp int64   `json:"timestamp"`
		Key       string  `json:"key_b64"`
		Value     *string `json:"value_b64"`
	}
	if err := json.Unmarshal(body, &records); err != nil {
		t.Fatal(err)
	}
	l := schemas.NewLayout("flight-delay", "late", []string{"distance", "hour", "origin", "destination", "temp", "dewpoint"}, map[string]bool{"origin": true, "destination": true})
	target := blocks{"flight-delay": schemas.NewBlock(l)}
	d := native.New(decode.DefaultConfig())
	b := target["flight-delay"]
	var rejects []decode.Reason
	for _, r := range records {
		in := decode.Record{Offset: r.Offset, Timestamp: r.Timestamp, Key: unbase(t, r.Key)}
		if r.Value != nil {
			in.Value = unbase(t, *r.Value)
		}
		if got := d.Decode(&in, target); !got.OK() {
			rejects = append(rejects, got.Reason)
		}
	}
	// The naive time and the tombstone.
	if want := []decode.Reason{decode.BadTime, decode.Tombstone}; !reflect.DeepEqual(rejects, want) {
		t.Errorf("rejected %v, want %v", rejects, want)
	}
	at := time.Date(2026, 11, 21, 8, 54, 58, 187e6, time.UTC).UnixMilli()
	want := []row{
		{Time: at, Parts: schemas.PartFeatures, ID: "req-0701", Version: "3", Extra: []string{"wind"}, Values: map[string]value{
			"distance": num(1171), "hour": num(14), "origin": txt("DFW"), "destination": txt("SAN"), "temp": is(schemas.KindNaN), "dewpoint": is(schemas.KindNull),
		}},
		{Time: at + 2, Parts: schemas.PartPrediction, ID: "req-0701", Version: "3", Values: map[string]value{
			"<prediction>": txt("late"), "<score>": num(0.83), "<latency>": num(3.2),
		}},
		{Time: at + 2, Parts: schemas.PartLabel, ID: "req-0701", Version: "3", Values: map[string]value{"<label>": txt("late")}},
	}
	if b.N != len(want) {
		t.Fatalf("%d rows, want %d", b.N, len(want))
	}
	for i := range want {
		if got := read(t, b, i); !reflect.DeepEqual(got, want[i]) {
			t.Errorf("row %d\ngot  %+v\nwant %+v", i, got, want[i])
		}
	}
}

func unbase(t *testing.T, s string) []byte {
	t.Helper()
	p, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDecode_Allocations(t *testing.T) {
	d, target := native.New(decode.DefaultConfig()), flights()
	f := func(in string) {
		t.Helper()
		r := record([]byte(in))
		for range 2 * schemas.BlockRows {
			if got := d.Decode(r, target); !got.OK() {
				t.Fatalf("%s: %v", in, got)
			}
		}
		if n := testing.AllocsPerRun(2*schemas.BlockRows, func() { d.Decode(r, target) }); n != 0 {
			t.Errorf("%s: %v allocations", in, n)
		}
	}
	f(`{"id":"8f1c","model":"flights","version":"3","ts":"2026-11-20T12:00:00.123Z","features":{"distance":733.25,"origin":"ORD","temp":null,"wind":0.10000000149011612,"a \"b\"":"x\ny"}}`)
	f(`{"features":{"größe":1,"code":7,"new":1,"newer":true},"id":123,"model":"fl\u0069ghts","id":"\u0031","ts":1795176000123}`)
	f(`{"id":"8f1c","model":"flights","prediction":"late","scores":{"ontime":0.17,"late":0.83},"latency_ms":3.2}`)
	f(`{"model":"flights","id":"8f1c","label":"late"}`)
}
