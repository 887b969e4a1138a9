package telemetry

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/schemas"
)

// stamp is RFC 3339 in UTC with milliseconds, always of the same width.
const stamp = "2006-01-02T15:04:05.000Z07:00"

// NewLogger returns a logger that writes lines of at least the level ("debug",
// "info", "warn" or "error") to w, as JSON objects or, for people, as text
// ("json" or "console"). Text is coloured only on a terminal and not where
// NO_COLOR is set.
func NewLogger(level, format string, w io.Writer) (zerolog.Logger, error) {
	levels := []string{"debug", "info", "warn", "error"}
	least, err := zerolog.ParseLevel(level)
	if err != nil || !slices.Contains(levels, level) {
		return zerolog.Nop(), fmt.Errorf("setting up the log: level %q is none of %s", level, strings.Join(levels, ", "))
	}
	switch format {
	case "json":
		w = inert{w}
	case "console":
		w = zerolog.ConsoleWriter{Out: w, NoColor: !coloured(w), TimeFormat: "15:04:05.000", TimeLocation: time.UTC, FormatMessage: message}
	default:
		return zerolog.Nop(), fmt.Errorf("setting up the log: format %q is none of json, console", format)
	}
	// A hook and not Context.Timestamp, whose format is a variable of the whole process.
	return zerolog.New(w).Level(least).Hook(zerolog.HookFunc(func(e *zerolog.Event, _ zerolog.Level, _ string) {
		e.Str(zerolog.TimestampFieldName, time.Now().UTC().Format(stamp))
	})), nil
}

// inert writes lines of JSON so that text from elsewhere does nothing to a
// terminal; zerolog itself leaves the controls above 0x7f as they are.
type inert struct{ io.Writer }

// Write implements io.Writer.
func (w inert) Write(line []byte) (int, error) {
	if _, err := w.Writer.Write(schemas.InertJSON(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// message writes the message of a line for people. Fields with anything but
// plain characters are quoted by the writer itself.
func message(m any) string {
	text, _ := m.(string) // nil for a line without one
	return string(schemas.InertText([]byte(strings.ReplaceAll(text, "\n", " "))))
}

func coloured(w io.Writer) bool {
	if os.Getenv("NO_COLOR") != "" {
		return false
	}
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	about, err := file.Stat()
	return err == nil && about.Mode()&os.ModeCharDevice != 0
}
