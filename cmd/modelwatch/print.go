package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// plain writes a text that came from elsewhere so that a terminal takes it as
// text: control characters, line breaks, and the marks that turn the direction
// of writing show as escapes.
func plain(s string) string { return escape(s, false) }

// lines is plain for texts of more than one line.
func lines(s string) string { return escape(s, true) }

func escape(s string, breaks bool) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' && breaks:
			b.WriteByte('\n')
		case schemas.Active(r):
			b.WriteString(strings.Trim(fmt.Sprintf("%+q", r), "'"))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// printJSON writes a value as one line that is as safe to show as plain text.
func printJSON(w io.Writer, value any) error {
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	_, err := w.Write(schemas.InertJSON(body.Bytes()))
	return err
}

// table prints rows in columns; the first row is the head. A column that is
// empty in all rows but the head is left out.
func table(w io.Writer, rows ...[]string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		var cells []string
		for i, cell := range row {
			if filled(rows[1:], i) {
				cells = append(cells, plain(cell))
			}
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	_ = t.Flush() // nobody reads the output any more
}

func filled(rows [][]string, column int) bool {
	for _, row := range rows {
		if row[column] != "" {
			return true
		}
	}
	return false
}

// moment writes a time to the second, in UTC; "" for none.
func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func number(v float64) string { return fmt.Sprintf("%.4g", v) }

func optional(v *float64) string {
	if v == nil {
		return ""
	}
	return number(*v)
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
