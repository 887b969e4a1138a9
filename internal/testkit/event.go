package testkit

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/modelwatch/modelwatch/schemas"
)

// The limits that native events have.
const (
	maxEventBytes = 1 << 20
	maxNameBytes  = 256 // of an id or a version
	maxLevels     = 64  // of objects and lists; the event is the first
)

// event is one native event as its documentation reads it, made with
// encoding/json alone so that the program's scanner is not asked about itself.
type event struct {
	reason  string // why it cannot be used, "" when it can
	model   string // as far as it could be told
	version string
	id      string
	at      int64 // Unix milliseconds
	parts   schemas.Part

	features                          map[string]json.RawMessage
	prediction, score, label, latency json.RawMessage
}

// readEvent reads the value of a record. positive tells the positive class of
// a model, and whether anybody watches it.
func readEvent(value []byte, timestamp int64, positive func(model string) (class string, watched bool)) event {
	switch {
	case value == nil:
		return event{reason: "tombstone"}
	case len(value) > maxEventBytes:
		members, _ := membersOf(value[:maxEventBytes])
		return event{reason: "too_large", model: modelOf(members)}
	case len(bytes.Trim(value, " \t\r\n")) == 0:
		return event{reason: "empty"}
	}
	members, reason := membersOf(value)
	if reason == "" && !utf8.Valid(value) {
		reason = "invalid_utf8"
	}
	if reason != "" {
		return event{reason: reason, model: modelOf(members)}
	}
	e := event{model: modelOf(members), at: timestamp}
	if e.model == "" {
		e.reason = "no_model"
		return e
	}
	class, watched := positive(e.model)
	if !watched {
		e.reason = "unknown_model"
		return e
	}
	e.reason = e.take(members, class)
	return e
}

// take gives the members of an event their meaning; it returns why it cannot.
func (e *event) take(members map[string]json.RawMessage, positive string) (reason string) {
	var ok bool
	if ts := members["ts"]; !none(ts) {
		if e.at, ok = instantOf(ts); !ok {
			return "bad_time"
		}
	}
	if e.id, ok = wordOf(members["id"]); !ok || len(e.id) > maxNameBytes {
		return "bad_id"
	}
	if e.version, ok = wordOf(first(members, "version", "model_version")); !ok || len(e.version) > maxNameBytes {
		return "bad_version"
	}
	if features := first(members, "features", "inputs"); !none(features) {
		if json.Unmarshal(features, &e.features) != nil {
			return "bad_features"
		}
		e.parts |= schemas.PartFeatures
	}
	var outputs map[string]json.RawMessage
	if json.Unmarshal(members["outputs"], &outputs) != nil {
		outputs = nil
	}
	either := func(name string) json.RawMessage {
		if v, given := outputs[name]; given && none(members[name]) {
			return v
		}
		return members[name]
	}
	e.prediction, e.score, e.latency = either("prediction"), either("score"), either("latency_ms")
	scores := either("scores")
	if e.prediction != nil || !none(e.score) || !none(scores) {
		e.parts |= schemas.PartPrediction
	}
	if none(e.score) && !none(scores) && positive != "" {
		var classes map[string]json.RawMessage
		if json.Unmarshal(scores, &classes) != nil {
			e.score = json.RawMessage("[]")
		} else if v, given := classes[positive]; given {
			e.score = v
		}
	}
	if e.label = members["label"]; e.label != nil {
		e.parts |= schemas.PartLabel
	}
	if e.parts == 0 {
		return "no_part"
	}
	return ""
}

// membersOf reads the members of the object that an event is. Where it stops
// because something is wrong, those before are returned with the reason.
func membersOf(value []byte) (members map[string]json.RawMessage, reason string) {
	value = quoteBare(value)
	members = map[string]json.RawMessage{}
	dec := json.NewDecoder(bytes.NewReader(value))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return members, "unparsable"
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return members, "unparsable"
		}
		from := dec.InputOffset()
		var raw json.RawMessage
		err = dec.Decode(&raw)
		to := int64(len(value))
		if err == nil {
			to = dec.InputOffset()
		}
		if deep := firstDeep(value[from:to]); deep >= 0 && soundSoFar(value[from:from+int64(deep)]) {
			return members, "too_deep"
		}
		if err != nil {
			return members, "unparsable"
		}
		members[name.(string)] = raw
	}
	if _, err := dec.Token(); err != nil {
		return members, "unparsable"
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return members, "unparsable"
	}
	return members, ""
}

// firstDeep is where a member's value goes deeper than an event may, -1 for
// nowhere.
func firstDeep(value []byte) int {
	level := 1
	quoted := false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if level++; level > maxLevels {
				return i
			}
		case c == '}' || c == ']':
			level--
		}
	}
	return -1
}

// soundSoFar says whether ": value" could go on behind what is given.
func soundSoFar(value []byte) bool {
	value = bytes.TrimLeft(value, " \t\r\n:")
	return errors.Is(json.NewDecoder(bytes.NewReader(value)).Decode(new(json.RawMessage)), io.ErrUnexpectedEOF)
}

// bare begins the texts that stand for bare NaN and the infinities.
const bare = "\x01bare "

// quoteBare makes texts of NaN, Infinity and -Infinity outside of strings,
// which Python writes and JSON does not know.
func quoteBare(value []byte) []byte {
	if !bytes.Contains(value, []byte("NaN")) && !bytes.Contains(value, []byte("Infinity")) {
		return value
	}
	var out []byte
	quoted := false
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch {
		case quoted && c == '\\' && i+1 < len(value):
			out = append(out, c)
			i++
			c = value[i]
		case c == '"':
			quoted = !quoted
		case !quoted:
			if word := bareAt(value[i:]); word != "" {
				out = append(out, `"\u0001bare `+word+`"`...)
				i += len(word) - 1
				continue
			}
		}
		out = append(out, c)
	}
	return out
}

func bareAt(rest []byte) string {
	for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
		if behind, ok := bytes.CutPrefix(rest, []byte(word)); ok && !bytes.HasPrefix(bytes.TrimLeft(behind, " \t\r\n"), []byte(":")) {
			return word
		}
	}
	return ""
}

// none says whether a member is absent or null.
func none(raw json.RawMessage) bool { return raw == nil || string(raw) == "null" }

// first returns the member of the native name, or of the other one where the
// native one is absent or null.
func first(members map[string]json.RawMessage, native, alias string) json.RawMessage {
	if v, given := members[alias]; given && none(members[native]) {
		return v
	}
	return members[native]
}

func modelOf(members map[string]json.RawMessage) string {
	raw := first(members, "model", "model_name")
	name, ok := wordOf(raw)
	if !ok || !utf8.Valid(raw) {
		return ""
	}
	return name
}

// wordOf reads a text or the text of a number; "" for none.
func wordOf(raw json.RawMessage) (word string, ok bool) {
	switch {
	case none(raw):
		return "", true
	case raw[0] == '"':
		if json.Unmarshal(raw, &word) != nil || strings.HasPrefix(word, bare) {
			return "", false
		}
		return word, true
	case raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9':
		return string(raw), true
	}
	return "", false
}

var written = regexp.MustCompile(`^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(?:[Zz]|([+-])(\d\d):?(\d\d))$`)

// instantOf reads a time of RFC 3339 or Unix milliseconds; what is finer is
// cut off. Years are 0 to 9999.
func instantOf(raw json.RawMessage) (ms int64, ok bool) {
	word, ok := wordOf(raw)
	if !ok {
		return 0, false
	}
	if raw[0] != '"' {
		ms, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			f, err := strconv.ParseFloat(word, 64)
			if err != nil || math.Abs(f) > 1e15 {
				return 0, false
			}
			ms = int64(math.Floor(f))
		}
		return ms, inYears(ms)
	}
	m := written.FindStringSubmatch(word)
	if m == nil {
		return 0, false
	}
	n := func(i int) int {
		v, _ := strconv.Atoi(m[i]) // of two or four digits, or of none
		return v
	}
	day := time.Date(n(1), time.Month(n(2)), n(3), n(4), n(5), n(6), 0, time.UTC)
	if day.Year() != n(1) || int(day.Month()) != n(2) || day.Day() != n(3) || day.Hour() != n(4) || day.Minute() != n(5) || day.Second() != n(6) || n(9) > 23 || n(10) > 59 {
		return 0, false
	}
	fraction, _ := strconv.Atoi((m[7] + "000")[:3]) // digits
	east := int64(n(9)*60+n(10)) * 60_000
	if m[8] == "-" {
		east = -east
	}
	ms = day.UnixMilli() + int64(fraction) - east
	return ms, inYears(ms)
}

func inYears(ms int64) bool {
	return ms >= time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli() && ms < time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
}

// kind says what a value is.
type kind int

const (
	isAbsent kind = iota
	isNull
	isNaN
	isPosInf
	isNegInf
	isNumber
	isText // true and false too
	isNested
)

// value is one value of a column.
type value struct {
	kind   kind
	number float64
	text   string // of a number as it was written
}

var (
	spelledNaN      = regexp.MustCompile(`(?i)^[+-]?nan$`)
	spelledInfinity = regexp.MustCompile(`(?i)^([+-]?)inf(?:inity)?$`)
)

// valueOf reads a value of a column; textual says whether the column may hold
// categories, in which fewer texts stand for numbers.
func valueOf(raw json.RawMessage, textual bool) value {
	switch {
	case raw == nil:
		return value{kind: isAbsent}
	case string(raw) == "null":
		return value{kind: isNull}
	case raw[0] == '{' || raw[0] == '[':
		return value{kind: isNested}
	case raw[0] == 't' || raw[0] == 'f':
		return value{kind: isText, text: string(raw)}
	case raw[0] != '"':
		f, _ := strconv.ParseFloat(string(raw), 64) // beyond the range it is the infinity that is meant
		if math.IsInf(f, 0) {
			return infinity(f < 0)
		}
		return value{kind: isNumber, number: f, text: string(raw)}
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return value{kind: isNested}
	}
	if word, ok := strings.CutPrefix(text, bare); ok {
		text, textual = word, false
	}
	if textual {
		switch text {
		case "NaN", "nan":
			return value{kind: isNaN}
		case "Infinity", "+Infinity", "inf", "+Inf":
			return infinity(false)
		case "-Infinity", "-inf", "-Inf":
			return infinity(true)
		}
		return value{kind: isText, text: text}
	}
	if spelledNaN.MatchString(text) {
		return value{kind: isNaN}
	}
	if m := spelledInfinity.FindStringSubmatch(text); m != nil {
		return infinity(m[1] == "-")
	}
	return value{kind: isText, text: text}
}

func infinity(negative bool) value {
	if negative {
		return value{kind: isNegInf}
	}
	return value{kind: isPosInf}
}
