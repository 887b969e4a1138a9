package decode_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/schemas"
)

type nothing struct{ max int }

func (nothing) Decode(*decode.Record, decode.Target) decode.Reject { return decode.Reject{} }
func (nothing) Repaired() uint64                                   { return 0 }

func TestFormats(t *testing.T) {
	formats := decode.Formats{
		"spark":  func(c decode.Config) decode.Decoder { return nothing{c.MaxBytes} },
		"native": func(decode.Config) decode.Decoder { return nothing{-1} },
	}
	d, err := formats.New("spark", decode.Config{MaxBytes: 7})
	if err != nil || d != (nothing{7}) {
		t.Errorf("New(spark) = %v, %v, want the decoder of that name with the limits given", d, err)
	}
	_, err = formats.New("sprak", decode.DefaultConfig())
	if !errors.Is(err, decode.ErrFormat) || !strings.Contains(err.Error(), "native, spark") {
		t.Errorf("New(sprak): %v, want an ErrFormat that lists the known names in order", err)
	}
}

func TestReasons(t *testing.T) {
	seen := map[string]bool{decode.OK.String(): true}
	for _, r := range decode.Reasons() {
		name := r.String()
		if !regexp.MustCompile(`^[a-z][a-z0-9_]+$`).MatchString(name) {
			t.Errorf("reason %d is called %q, which is no label", r, name)
		}
		if seen[name] {
			t.Errorf("two reasons are called %q", name)
		}
		seen[name] = true
	}
	if last := decode.NoPart + 1; last.String() != "" {
		t.Errorf("a number that is no reason is called %q", last)
	}

	f := func(r decode.Reason, want schemas.Fault) {
		t.Helper()
		if got := r.Fault(); got != want {
			t.Errorf("%v is the fault %q, want %q", r, got, want)
		}
	}
	f(decode.OK, "")
	f(decode.Tombstone, "")
	f(decode.UnknownModel, "")
	f(decode.Unparsable, schemas.FaultUnparsable)
	f(decode.BadTime, schemas.FaultUnparsable)
	f(decode.NoModel, schemas.FaultUnparsable)
}

func TestConfigValidate(t *testing.T) {
	f := func(max int, want string) {
		t.Helper()
		err := decode.Config{MaxBytes: max}.Validate()
		if want == "" && err == nil {
			return
		}
		if want == "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate with %d bytes: %v, want %q", max, err, want)
		}
	}
	f(decode.DefaultConfig().MaxBytes, "")
	f(1<<10, "")
	f(4<<20, "")
	f(0, "max_event_bytes: 0 is outside")
	f(4<<20+1, "max_event_bytes")
}

func TestRejectString(t *testing.T) {
	f := func(r decode.Reject, want string) {
		t.Helper()
		if got := r.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(decode.Reject{Reason: decode.Tombstone}, "tombstone")
	f(decode.Reject{Reason: decode.Unparsable, Detail: "a comma or the end of an object is missing", At: 17},
		"unparsable: a comma or the end of an object is missing at byte 17")
}
