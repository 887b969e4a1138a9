package schemas

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The streams of JetStream that modelwatch writes.
const (
	StreamAlerts   = "MODELWATCH_ALERTS"
	StreamRetrain  = "MODELWATCH_RETRAIN"
	StreamFallback = "MODELWATCH_FALLBACK"
)

// The roots of the subjects of those streams, and of the nudges that are not kept.
const (
	SubjectAlerts        = "modelwatch.alerts"
	SubjectRetrain       = "modelwatch.retrain"
	SubjectRetrainStatus = "modelwatch.retrain_status"
	SubjectFallback      = "modelwatch.fallback"
)

const (
	subjectEscape = '%'
	upperHex      = "0123456789ABCDEF"
)

// SubjectToken writes a name as one token of a NATS subject. What NATS forbids
// there ('.', '*', '>', white space), control characters, '%' and bytes that
// are not UTF-8 become '%' and two hex digits, byte by byte; everything else
// stays readable. The empty name is a lone "%". Distinct names have distinct
// tokens, and ParseSubjectToken gives the name back.
func SubjectToken(name string) string {
	if name == "" {
		return string(subjectEscape)
	}
	var out strings.Builder
	out.Grow(len(name))
	for i := 0; i < len(name); {
		r, size := utf8.DecodeRuneInString(name[i:])
		if escaped(r, size) {
			for _, c := range []byte(name[i : i+size]) {
				out.WriteByte(subjectEscape)
				out.WriteByte(upperHex[c>>4])
				out.WriteByte(upperHex[c&15])
			}
		} else {
			out.WriteString(name[i : i+size])
		}
		i += size
	}
	return out.String()
}

func escaped(r rune, size int) bool {
	switch r {
	case '.', '*', '>', subjectEscape:
		return true
	case utf8.RuneError:
		return size == 1 // not UTF-8; a real U+FFFD has three bytes
	}
	return unicode.IsSpace(r) || unicode.IsControl(r) || !unicode.IsPrint(r)
}

// ParseSubjectToken is the inverse of SubjectToken. It refuses every text
// that SubjectToken does not write, so that a name has one subject only.
func ParseSubjectToken(token string) (string, error) {
	if token == string(subjectEscape) {
		return "", nil
	}
	name := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		if token[i] != subjectEscape {
			name = append(name, token[i])
			continue
		}
		if i+2 >= len(token) {
			return "", fmt.Errorf("reading subject token %q: an escape is cut off", token)
		}
		high, low := strings.IndexByte(upperHex, token[i+1]), strings.IndexByte(upperHex, token[i+2])
		if high < 0 || low < 0 {
			return "", fmt.Errorf("reading subject token %q: %q is not an escape", token, token[i:i+3])
		}
		name = append(name, byte(high<<4|low))
		i += 2
	}
	if SubjectToken(string(name)) != token {
		return "", fmt.Errorf("reading subject token %q: not written by SubjectToken", token)
	}
	return string(name), nil
}
