package native_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/consumers/decode/native"
	"github.com/modelwatch/modelwatch/schemas"
)

// drawNumber writes something that is a number most of the time: digits, a point
// and an exponent of any length, and now and then a byte that does not belong.
func drawNumber(r *rand.Rand) string {
	var s strings.Builder
	digits := func(most int) {
		for range r.IntN(most) {
			s.WriteByte("0123456789"[r.IntN(10)])
		}
	}
	if r.IntN(4) == 0 {
		s.WriteByte('-')
	}
	if digits(2 + r.IntN(9)); r.IntN(3) > 0 {
		s.WriteByte('.')
		digits(2 + r.IntN(20))
	}
	if r.IntN(8) == 0 {
		s.WriteString([...]string{"e", "E", "e+", "E-"}[r.IntN(4)])
		digits(4)
	}
	text := s.String()
	if r.IntN(8) == 0 {
		at := r.IntN(len(text) + 1)
		text = text[:at] + string("+-./:eE ,\"x\x00\u00b9"[r.IntN(14)]) + text[at:]
	}
	return text
}

// A number that stands where the decoder expects one is the one that strconv
// reads, to the last bit, and what is no number to encoding/json is none here.
func TestDecode_ExpectedNumbers(t *testing.T) {
	l := schemas.NewLayout("m", "", []string{"a", "long_name_of_a_feature", "word"}, map[string]bool{"word": true})
	b := schemas.NewBlock(l)
	d := native.New(decode.DefaultConfig())
	r := rand.New(rand.NewPCG(11, 12))
	sound := 0
	for range 100_000 {
		x, y := drawNumber(r), drawNumber(r)
		space := strings.Repeat(" ", r.IntN(8)/6)
		text := `{"model":"m","features":{"a":` + space + x + `,` + space + `"word":"v` + strconv.Itoa(r.IntN(30)) + `","long_name_of_a_feature":` + y + `}}`
		b.Reset()
		got := d.Decode(&decode.Record{Value: []byte(text)}, blocks{"m": b})
		if !json.Valid([]byte(text)) {
			if got.OK() {
				t.Fatalf("%s was read, and it is no JSON", text)
			}
			continue
		}
		if !got.OK() {
			t.Fatalf("%s: %s", text, got)
		}
		if strings.Contains(x+y, `"`) || strings.Contains(x+y, ",") {
			continue
		}
		sound++
		for c, want := range map[int]string{0: x, 1: y} {
			f, _ := strconv.ParseFloat(strings.TrimSpace(want), 64)
			col := &b.Columns[c]
			switch {
			case math.IsInf(f, 1) && col.Kind[0] == schemas.KindPosInf, math.IsInf(f, -1) && col.Kind[0] == schemas.KindNegInf:
			case col.Kind[0] != schemas.KindNumber || math.Float64bits(col.Num[0]) != math.Float64bits(f):
				t.Fatalf("%s: %s became %v of kind %d", text, want, col.Num[0], col.Kind[0])
			}
		}
	}
	if sound < 20_000 {
		t.Errorf("only %d of the events were sound", sound)
	}
}

// An instant of the minute of the one before is read as any other.
func TestDecode_InstantsOfOneMinute(t *testing.T) {
	b := schemas.NewBlock(schemas.NewLayout("m", "", nil, nil))
	d := native.New(decode.DefaultConfig())
	r := rand.New(rand.NewPCG(13, 14))
	at := time.Date(2026, 11, 20, 23, 58, 30, 0, time.UTC)
	for range 20_000 {
		if r.IntN(50) == 0 {
			at = at.Add(time.Duration(r.Int64N(int64(3*time.Hour))) - time.Hour)
		}
		at = at.Add(time.Duration(r.IntN(400)) * time.Millisecond)
		text := at.Format([...]string{"2006-01-02T15:04:05.000Z", "2006-01-02T15:04:05Z", "2006-01-02T15:04:05.000+00:00"}[max(0, r.IntN(12)-9)])
		if r.IntN(6) == 0 {
			p := []byte(text)
			p[r.IntN(len(p))] = "0123456789:.-TZ/;@ "[r.IntN(19)]
			text = string(p)
		}
		b.Reset()
		got := d.Decode(&decode.Record{Value: []byte(`{"model":"m","label":1,"ts":"` + text + `"}`)}, blocks{"m": b})
		fresh := schemas.NewBlock(b.Layout)
		want := native.New(decode.DefaultConfig()).Decode(&decode.Record{Value: []byte(`{"model":"m","label":1,"ts":"` + text + `"}`)}, blocks{"m": fresh})
		if got.Reason != want.Reason || got.OK() && b.Time[0] != fresh.Time[0] {
			t.Fatalf("%s: %s at %d, by itself %s at %d", text, got, b.Time[0], want, fresh.Time[0])
		}
	}
}
