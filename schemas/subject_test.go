package schemas_test

import (
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/schemas"
)

func TestSubjectTokenIsReversible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(
			rapid.String(),
			rapid.StringOf(rapid.RuneFrom([]rune(".*> %\t\n\r~AF09\u00a0\u2028\ufffd\u202e"))),
			rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		).Draw(t, "name")
		token := schemas.SubjectToken(name)
		if token == "" || strings.ContainsAny(token, ".*>") || strings.ContainsFunc(token, unicode.IsSpace) ||
			strings.ContainsFunc(token, unicode.IsControl) || strings.ToValidUTF8(token, "") != token {
			t.Fatalf("%q is no token", token)
		}
		back, err := schemas.ParseSubjectToken(token)
		if err != nil || back != name {
			t.Fatalf("%q became %q, %v", name, back, err)
		}
	})
}

func TestSubjectTokenKeepsPlainNames(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := schemas.SubjectToken(in); got != want {
			t.Errorf("SubjectToken(%q) = %q, want %q", in, got, want)
		}
	}
	f("flight-delay", "flight-delay")
	f("flight-delay-20081104T1405-7c1e", "flight-delay-20081104T1405-7c1e")
	f("a.b", "a%2Eb")
	f("x y", "x%20y")
	f("größe", "größe")
	f("100%", "100%25")
	f("", "%")
	f("\xff", "%FF")
}

func TestParseSubjectTokenRefusesOtherSpellings(t *testing.T) {
	for _, token := range []string{"", "%4", "a%", "%zz", "%41", "%2e", "a.b", "a b", "\xff"} {
		if name, err := schemas.ParseSubjectToken(token); err == nil {
			t.Errorf("%q was read as %q", token, name)
		}
	}
}
