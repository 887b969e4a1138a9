package schemas

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Active says whether a terminal may do something at a character rather than
// show it, or an eye be led astray by it: control characters of both sets, line
// separators, and those that turn the direction of writing or are not seen.
func Active(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
}

// quiet says whether bytes hold nothing that could be active but line breaks,
// without looking closely.
func quiet(body []byte) bool {
	for _, c := range body {
		if c < ' ' && c != '\n' || c >= 0x7f {
			return false
		}
	}
	return true
}

// InertJSON returns a JSON text that means the same and is safe to show as
// plain text: active characters, which can stand inside of strings only, become
// escapes. Line breaks stay. A text without any is returned as it is.
func InertJSON(body []byte) []byte {
	if quiet(body) {
		return body
	}
	out := make([]byte, 0, len(body)+64)
	for _, r := range string(body) {
		switch {
		case r == '\n' || !Active(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// InertText returns a text with the replacement character in place of active
// ones; line breaks and tabs stay. A text without any is returned as it is.
func InertText(body []byte) []byte {
	if quiet(body) {
		return body
	}
	return []byte(strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && Active(r) {
			return utf8.RuneError
		}
		return r
	}, string(body)))
}
