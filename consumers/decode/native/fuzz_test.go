package native_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/consumers/decode/native"
	"github.com/modelwatch/modelwatch/internal/testkit/mutate"
	"github.com/modelwatch/modelwatch/schemas"

	"pgregory.net/rapid"
)

// tree is what encoding/json makes of an event: the way that is plain and slow.
type tree map[string]any

// parse returns the event as encoding/json reads it, nil when it is no JSON object.
func parse(in []byte) tree {
	if !json.Valid(in) {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(in))
	d.UseNumber()
	var t any
	if d.Decode(&t) != nil {
		return nil
	}
	m, _ := t.(map[string]any)
	return m
}

// depth is the number of levels of valid JSON, of duplicate keys too.
func depth(in []byte) int {
	d := json.NewDecoder(bytes.NewReader(in))
	level, deepest := 0, 0
	for {
		tok, err := d.Token()
		if err != nil {
			return deepest
		}
		switch tok {
		case json.Delim('{'), json.Delim('['):
			level++
			deepest = max(deepest, level)
		case json.Delim('}'), json.Delim(']'):
			level--
		}
	}
}

// get returns a member, or that of another name when it is absent or null.
func (t tree) get(name string, others ...func() (any, bool)) (any, bool) {
	v, ok := t[name]
	for _, o := range others {
		if w, there := o(); v == nil && there {
			v, ok = w, true
		}
	}
	return v, ok
}

func (t tree) alias(name string) func() (any, bool) {
	return func() (any, bool) { v, ok := t[name]; return v, ok }
}

// word returns the text of a text, number or null.
func word(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

var finite = map[string]schemas.Kind{
	"nan": schemas.KindNaN, "+nan": schemas.KindNaN, "-nan": schemas.KindNaN,
	"inf": schemas.KindPosInf, "+inf": schemas.KindPosInf, "infinity": schemas.KindPosInf, "+infinity": schemas.KindPosInf,
	"-inf": schemas.KindNegInf, "-infinity": schemas.KindNegInf,
}

var formatted = []string{"NaN", "nan", "Infinity", "+Infinity", "-Infinity", "inf", "-inf", "+Inf", "-Inf"}

// cell is what a value is in a column.
func cell(v any, textual bool) value {
	switch v := v.(type) {
	case nil:
		return is(schemas.KindNull)
	case bool:
		return boolean(strconv.FormatBool(v))
	case string:
		if k, ok := finite[asciiLower(v)]; ok && (!textual || slices.Contains(formatted, v)) {
			return is(k)
		}
		return txt(v)
	case json.Number:
		f, err := strconv.ParseFloat(v.String(), 64)
		switch {
		case errors.Is(err, strconv.ErrRange) && f > 0:
			return is(schemas.KindPosInf)
		case errors.Is(err, strconv.ErrRange):
			return is(schemas.KindNegInf)
		case textual:
			return both(f, v.String())
		}
		return num(f)
	}
	return is(schemas.KindNested)
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r |= 0x20
		}
		return r
	}, s)
}

// meaning is what a valid event should become, by the rules of the package's
// documentation.
func meaning(e tree, l *schemas.Layout) (row, decode.Reason) {
	r := row{Time: timestamp, Values: map[string]value{}}
	model, _ := e.get("model", e.alias("model_name"))
	switch name, ok := word(model); {
	case !ok || name == "":
		return r, decode.NoModel
	case name != l.Model:
		return r, decode.UnknownModel
	}
	if ts := e["ts"]; ts != nil {
		switch ts := ts.(type) {
		case string:
			ms, ok := rfc3339(ts)
			if !ok {
				return r, decode.BadTime
			}
			r.Time = ms
		case json.Number:
			n, err := strconv.ParseInt(ts.String(), 10, 64)
			if err != nil {
				f, err := ts.Float64()
				f = math.Floor(f)
				if err != nil || f < decode.MinTime || f > decode.MaxTime {
					return r, decode.BadTime
				}
				n = int64(f)
			}
			if n < decode.MinTime || n > decode.MaxTime {
				return r, decode.BadTime
			}
			r.Time = n
		default:
			return r, decode.BadTime
		}
	}
	var ok bool
	if r.ID, ok = word(e["id"]); !ok || len(r.ID) > decode.MaxText {
		return r, decode.BadID
	}
	version, _ := e.get("version", e.alias("model_version"))
	if r.Version, ok = word(version); !ok || len(r.Version) > decode.MaxText {
		return r, decode.BadVersion
	}

	features, _ := e.get("features", e.alias("inputs"))
	if features != nil {
		members, ok := features.(map[string]any)
		if !ok {
			return r, decode.BadFeatures
		}
		r.Parts |= schemas.PartFeatures
		for name, v := range members {
			if c := l.Feature([]byte(name)); c >= 0 {
				r.Values[name] = cell(v, l.Columns[c].Textual)
			} else {
				r.Extra = append(r.Extra, name)
			}
		}
	}
	outputs, _ := e["outputs"].(map[string]any)
	out := tree(outputs)
	prediction, predicted := e.get("prediction", out.alias("prediction"))
	score, scored := e.get("score", out.alias("score"))
	scores, _ := e.get("scores", out.alias("scores"))
	if predicted || score != nil || scores != nil {
		r.Parts |= schemas.PartPrediction
		if predicted {
			r.Values["<prediction>"] = cell(prediction, true)
		}
		if score == nil && scores != nil && l.Positive != "" {
			if classes, ok := scores.(map[string]any); !ok {
				score, scored = scores, true
				if _, ok := scores.([]any); !ok {
					score = []any{}
				}
			} else if v, ok := classes[l.Positive]; ok {
				score, scored = v, true
			}
		}
		if scored {
			r.Values["<score>"] = cell(score, false)
		}
		if latency, ok := e.get("latency_ms", out.alias("latency_ms")); ok {
			r.Values["<latency>"] = cell(latency, false)
		}
	}
	if label, ok := e["label"]; ok {
		r.Parts |= schemas.PartLabel
		r.Values["<label>"] = cell(label, true)
	}
	if r.Parts == 0 {
		return r, decode.NoPart
	}
	return r, decode.OK
}

// rfc3339 reads a time with the standard library, after bringing the forms that
// are read beside RFC 3339 to it.
func rfc3339(s string) (ms int64, ok bool) {
	if !printable(s) || len(s) < len("2006-01-02T15:04Z") {
		return 0, false
	}
	b := []byte(s)
	if b[10] == 't' || b[10] == ' ' {
		b[10] = 'T'
	}
	if b[16] != ':' {
		b = slices.Concat(b[:16], []byte(":00"), b[16:])
		if len(b) > 19 && b[19] == '.' {
			return 0, false
		}
	}
	n := len(b)
	if b[n-1] == 'z' {
		b[n-1] = 'Z'
	}
	if c := b[n-5]; c == '+' || c == '-' {
		b = slices.Concat(b[:n-2], []byte(":"), b[n-2:])
	}
	// UnmarshalText is stricter than Parse: no hours of one digit. Both take commas.
	var at time.Time
	if slices.Contains(b, ',') || at.UnmarshalText(b) != nil {
		return 0, false
	}
	ms = at.UnixMilli()
	return ms, ms >= decode.MinTime && ms <= decode.MaxTime
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// FuzzDecode holds the decoder against encoding/json: the same values for every
// event that is valid, a reject for every other.
// sown are the events that fuzzing begins with.
func sown() []string {
	return []string{
		`{"id":"8f1c","model":"flights","version":"3","ts":"2026-11-20T12:00:00.123Z","features":{"distance":733.5,"origin":"ORD","temp":null,"code":1.0}}`,
		`{"features":{"gr\u00f6\u00dfe":-1.25e-7,"a \"b\"":"\ud83d\ude00\ud800","x":[1,{"y":2}],"x":true,"temp":1,"temp":"NaN"},"model":"flights","model":"flights"}`,
		`{"model_name":"flights","model_version":3,"inputs":{"wind":1e999,"code":"INF"},"outputs":{"prediction":true,"scores":{"late":0.83,"late":null},"latency_ms":3}}`,
		`{"model":"flights","label":12345678901234567890,"ts":1795176000123.75,"id":90071992547409931}`,
		`{"model":"flights","prediction":"-inf","score":"+Infinity","scores":[1],"ts":"2026-11-20 12:00-0530"}`,
		`{"model":"flights","features":{"wind":NaN,"temp":-Infinity},"ts":"0000-01-01T00:00:00+00:01"}`,
		` {"model":"flights","scores":{"lat\u0065":1},"unknown":[[[{}]]],"features":null} `,
		`{"model":"flights","features":{"wind":1},"inputs":{"temp":1},"outputs":{"score":1},"outputs":2}`,
		"{\"model\":\"flights\",\"features\":{\"origin\":\"Z\xfcrich\"}}",
		`{"model":"flights","features":{"wind":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}}`,
		`{"model":"flights","label":tru}`, `[]`, "", " ", `{"model":"other","label":1}`, `{"model":"flights"}`,
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range sown() {
		f.Add([]byte(s))
	}
	// One decoder for all: nothing of an event may show in the next.
	d, target := native.New(decode.Config{MaxBytes: 1 << 14}), flights()
	f.Fuzz(func(t *testing.T, in []byte) { compare(t, d, target, in) })
}

// TestDecode_OfSpoiltEvents does as FuzzDecode, with what was kept of its runs,
// spoilt anew, by the million where MODELWATCH_MUTATIONS says so.
func TestDecode_OfSpoiltEvents(t *testing.T) {
	kept, err := mutate.Corpus("FuzzDecode")
	if err != nil {
		t.Fatal(err)
	}
	n, err := mutate.Times(50_000)
	if err != nil {
		t.Fatal(err)
	}
	var sound [][]byte
	for _, s := range sown() {
		sound = append(sound, []byte(s))
	}
	d, target := native.New(decode.Config{MaxBytes: 1 << 14}), flights()
	m := mutate.New(uint64(n), sound, kept)
	used, most := 0, uint64(0)
	var memory runtime.MemStats
	for i := range n {
		if compare(t, d, target, m.Next()) {
			used++
		}
		if i%100_000 == 0 {
			runtime.ReadMemStats(&memory)
			most = max(most, memory.Sys)
		}
	}
	if used == 0 {
		t.Error("no event was sound: only the first bytes of the decoder were tried")
	}
	if limit := uint64(128 << 20); most > limit {
		t.Errorf("%d MiB from the system, more than %d", most>>20, limit>>20)
	}
	t.Logf("%d events, %d of them sound; %d MiB from the system at most", n, used, most>>20)
}

// TestDecode_LikeEncodingJSON does as FuzzDecode, with events that are mostly
// valid: every key, in any order and number, with values that belong there and
// values that do not.
func TestDecode_LikeEncodingJSON(t *testing.T) {
	d, target := native.New(decode.Config{MaxBytes: 1 << 14}), flights()
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n\t ", "  "})
	scalar := rapid.OneOf(
		rapid.SampledFrom([]string{
			"null", "true", "false", "0", "-0", "1", "1.0", "1e999", "-1e999", "9007199254740993", "0.10000000149011612", "123456789.123456789012", "1e-320",
			`""`, `"late"`, `"NaN"`, `"NAN"`, `"-inf"`, `"INF"`, `"\u00e9\ud83d\ude00\ud800x"`, `"ORD"`, `"größe"`, `"1"`,
			`"2026-11-20T12:00:00.123Z"`, `"2026-11-20 12:00+0100"`, `"2026-11-20T12:00:00"`, "1795176000123", "1795176000123.9", "1795176000123000", "-62167219200001",
			`"` + strings.Repeat("x", 256) + `"`, `"` + strings.Repeat("x", 257) + `"`,
		}),
		rapid.Custom(func(t *rapid.T) string { return strconv.FormatFloat(rapid.Float64().Draw(t, "double"), 'g', -1, 64) }),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?`),
		rapid.Custom(func(t *rapid.T) string {
			p, err := json.Marshal(rapid.String().Draw(t, "text"))
			if err != nil {
				t.Fatal(err)
			}
			return string(p)
		}),
	)
	members := func(t *rapid.T, max int, keys []string, value func(*rapid.T, string) string) string {
		var s strings.Builder
		s.WriteString("{" + space.Draw(t, "space"))
		for i := range rapid.IntRange(0, max).Draw(t, "members") {
			if i > 0 {
				s.WriteString("," + space.Draw(t, "space"))
			}
			k := rapid.SampledFrom(keys).Draw(t, "key")
			s.WriteString(`"` + k + `"` + space.Draw(t, "space") + ":" + space.Draw(t, "space") + value(t, k) + space.Draw(t, "space"))
		}
		return s.String() + "}"
	}
	var other func(t *rapid.T, key string) string
	other = func(t *rapid.T, _ string) string {
		switch rapid.IntRange(0, 9).Draw(t, "form") {
		case 0:
			return members(t, 2, []string{"a", "model"}, other)
		case 1:
			return "[" + space.Draw(t, "space") + "]"
		case 2:
			return "[" + other(t, "") + "," + space.Draw(t, "space") + other(t, "") + "]"
		}
		return scalar.Draw(t, "scalar")
	}
	event := func(t *rapid.T, key string) string {
		if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
			return other(t, key)
		}
		switch key {
		case "model", "model_name", `m\u006fdel`:
			return rapid.SampledFrom([]string{`"flights"`, `"flights"`, `"flights"`, `"fli\u0067hts"`, `"other"`, "null"}).Draw(t, "model")
		case "id", "version", "model_version":
			return rapid.SampledFrom([]string{`"a"`, `"\u0062"`, "90071992547409931", "null", `""`}).Draw(t, "word")
		case "ts":
			return rapid.SampledFrom([]string{"null", "1795176000123", `"2026-11-20T12:00:00.123456Z"`, `"2026-11-20T12:00:00-05:30"`}).Draw(t, "time")
		case "features", "inputs":
			return members(t, 9, []string{"distance", "origin", "temp", "code", "wind", `a \"b\"`, "größe", `gr\u00f6ße`, "x", "y", "z", "v", "w", `\u0078`}, other)
		case "scores":
			return members(t, 3, []string{"late", `l\u0061te`, "ontime"}, other)
		case "outputs":
			return members(t, 4, []string{"prediction", "score", "scores", "latency_ms", "other"}, func(t *rapid.T, key string) string {
				if key == "scores" {
					return members(t, 3, []string{"late", "ontime"}, other)
				}
				return other(t, key)
			})
		}
		return other(t, key)
	}
	keys := []string{
		"id", "version", "ts", "features", "features", "prediction", "score", "scores", "label", "latency_ms", "model_name", "model_version", "inputs", "outputs",
		"model", "model", "model", "model", `m\u006fdel`, "unknown",
	}
	used := 0
	rapid.Check(t, func(t *rapid.T) {
		in := members(t, 12, keys, event)
		if parse([]byte(in)) == nil {
			t.Fatalf("the test made %q, which is no event", in)
		}
		if compare(t, d, target, []byte(in)) {
			used++
		}
	})
	if used == 0 {
		t.Error("no event was used: the test compares nothing")
	}
}

// compare decodes an event both ways; it says whether it was used.
func compare(t tester, d decode.Decoder, target blocks, in []byte) bool {
	b := target["flights"]
	b.Reset()
	got := d.Decode(&decode.Record{Offset: offset, Timestamp: timestamp, Value: in}, target)
	if got.OK() != (b.N == 1) || b.N > 1 {
		t.Fatalf("%d rows and %v", b.N, got)
	}
	if got.At < 0 || got.At > len(in) || !utf8.Valid(got.Model) {
		t.Fatalf("%v of model %q in %d bytes", got, got.Model, len(in))
	}
	syntax := got.Reason == decode.Unparsable || got.Reason == decode.TooDeep
	e := parse(in)
	switch {
	case in == nil || len(in) > 1<<14 || len(bytes.Trim(in, " \t\r\n")) == 0:
		if got.OK() {
			t.Fatalf("%.100q was used", in)
		}
		return false
	case e == nil && (bytes.Contains(in, []byte("NaN")) || bytes.Contains(in, []byte("Infinity"))):
		return false // may be one that is repaired
	case e == nil:
		if !syntax {
			t.Fatalf("%q is no JSON object: %v", in, got)
		}
		return false
	case depth(in) > decode.MaxDepth:
		if got.Reason != decode.TooDeep {
			t.Fatalf("%q is %d deep: %v", in, depth(in), got)
		}
		return false
	case !utf8.Valid(in):
		if got.Reason != decode.InvalidUTF8 {
			t.Fatalf("%q is not UTF-8: %v", in, got)
		}
		return false
	}
	want, reason := meaning(e, b.Layout)
	if got.Reason != reason {
		t.Fatalf("%s\nis %v, want %v", in, got, reason)
	}
	if !got.OK() {
		return false
	}
	r := read(t, b, 0)
	if len(r.Extra) != min(schemas.MaxExtra, len(want.Extra)) {
		t.Fatalf("%s\nhas the extra features %q, want %d of %q", in, r.Extra, schemas.MaxExtra, want.Extra)
	}
	for i, name := range r.Extra {
		if !slices.Contains(want.Extra, name) || slices.Contains(r.Extra[:i], name) {
			t.Fatalf("%s\nhas the extra features %q, want some of %q", in, r.Extra, want.Extra)
		}
	}
	r.Extra, want.Extra = nil, nil
	if !reflect.DeepEqual(r, want) {
		t.Fatalf("%s\nbecame %+v\nwant   %+v", in, r, want)
	}
	for name, v := range want.Values {
		if v.Kind == schemas.KindNumber && math.Signbit(v.Num) != math.Signbit(r.Values[name].Num) {
			t.Fatalf("%s\nlost the sign of a zero", in)
		}
	}
	return true
}
