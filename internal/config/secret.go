package config

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/modelwatch/modelwatch/schemas"
)

// Secret is a text that is never printed: whichever way it is formatted or
// marshalled it shows as ***, or as nothing when it is empty. Reveal gives the text.
type Secret struct{ text string }

// NewSecret returns a secret of that text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text itself, to be handed to a server and nowhere else.
func (s Secret) Reveal() string { return s.text }

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return "***"
}

// GoString implements fmt.GoStringer, for %#v.
func (s Secret) GoString() string { return s.String() }

// Format implements fmt.Formatter, so that no verb shows the text.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText implements encoding.TextMarshaler, for JSON, YAML and logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// DecodeYAML reads a text, a number or true and false.
func (s *Secret) DecodeYAML(n *schemas.YAML, p *schemas.Problems) {
	switch n.Kind {
	case schemas.YAMLNull:
	case schemas.YAMLMap, schemas.YAMLList:
		p.Add(n, "expected text, got "+n.Kind.String(), "")
	default:
		s.text = n.Text
	}
}

// maxSecretBytes bounds the file of a secret.
const maxSecretBytes = 64 << 10

// readSecret reads a secret from a file; one line break at its end does not belong to it.
func readSecret(path string) (Secret, error) {
	body, err := readBounded(path, maxSecretBytes)
	if err != nil {
		return Secret{}, err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(body), "\n"), "\r")
	if strings.TrimSpace(text) == "" {
		return Secret{}, fmt.Errorf("reading secret: %s is empty", path)
	}
	return Secret{text}, nil
}

// readBounded reads a regular file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening file: %w", err)
	}
	defer f.Close()
	about, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading file: %w", err)
	}
	if about.IsDir() {
		return nil, fmt.Errorf("reading %s: it is a folder", path)
	}
	var body bytes.Buffer
	if _, err := io.Copy(&body, io.LimitReader(f, limit+1)); err != nil {
		return nil, fmt.Errorf("reading file: %w", err)
	}
	if int64(body.Len()) > limit {
		return nil, fmt.Errorf("reading %s: it has more than %d bytes", path, limit)
	}
	return body.Bytes(), nil
}
