package schemas

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestInert(t *testing.T) {
	const text = "a\x1b[2J\u009b\u202e\u2028\U000e0001b"
	body := []byte(`{"a":"a\u001b[2J` + "\u009b\u202e\u2028\U000e0001" + `b"}` + "\n")
	got := InertJSON(body)
	if want := `{"a":"a\u001b[2J\u009b\u202e\u2028\udb40\udc01b"}` + "\n"; string(got) != want {
		t.Errorf("%q", got)
	}
	var back struct{ A string }
	if err := json.Unmarshal(got, &back); err != nil || back.A != text {
		t.Errorf("%q, %v", back.A, err)
	}
	if got := InertText([]byte(text + "\t\n")); string(got) != "a\ufffd[2J\ufffd\ufffd\ufffd\ufffdb\t\n" {
		t.Errorf("%q", got)
	}
	if plain := []byte("é plain\n"); string(InertText(plain)) != string(plain) || string(InertJSON(plain)) != string(plain) {
		t.Error("what is inert was changed")
	}
}

// TestInert_MeansTheSame shows that JSON reads the same after it was made inert,
// and that nothing active is left.
func TestInert_MeansTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.String().Draw(t, "text")
		body, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		inert := InertJSON(body)
		var got string
		if err := json.Unmarshal(inert, &got); err != nil || got != want && utf8.ValidString(want) {
			t.Fatalf("%q became %q: %v", want, got, err)
		}
		if i := bytes.IndexFunc(inert, Active); i >= 0 {
			t.Fatalf("%q has an active character at %d", inert, i)
		}
	})
}
