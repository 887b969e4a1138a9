package profile

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// csvFile reads comma-, semicolon- or tab-separated text with a header line.
type csvFile struct {
	path    string
	comma   rune // 0: the one that the header has most of
	columns []Column
}

func (c *csvFile) Name() string      { return filepath.Base(c.path) }
func (c *csvFile) Columns() []Column { return c.columns }

func (c *csvFile) Rows(ctx context.Context, row func(*Row) error, bad func(int64, string)) error {
	f, err := os.Open(c.path)
	if err != nil {
		return fmt.Errorf("opening data: %w", err)
	}
	defer f.Close()
	return c.read(ctx, f, row, bad)
}

func (c *csvFile) read(ctx context.Context, in io.Reader, row func(*Row) error, bad func(int64, string)) error {
	buffered := bufio.NewReaderSize(in, 64<<10)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = buffered.Discard(3)
	}
	r := csv.NewReader(buffered)
	r.ReuseRecord = true
	r.FieldsPerRecord = -1
	r.Comma = c.comma
	if r.Comma == 0 {
		r.Comma = separator(buffered)
	}
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("reading %s: it is empty; the first line names the columns", c.Name())
	}
	if err != nil {
		return fmt.Errorf("reading the header of %s: %w", c.Name(), err)
	}
	columns := make([]Column, len(header))
	seen := map[string]bool{}
	for i, h := range header {
		h = strings.TrimSpace(h)
		if h == "" || seen[h] {
			return fmt.Errorf("reading the header of %s: column %d is named %q, which is empty or there twice", c.Name(), i+1, h)
		}
		seen[h] = true
		columns[i].Name = strings.Clone(h)
	}
	c.columns = columns
	out := Row{Values: make([]Value, len(columns))}
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var wrong *csv.ParseError
		if errors.As(err, &wrong) {
			bad(int64(wrong.StartLine), wrong.Err.Error())
			continue
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", c.Name(), err)
		}
		line, _ := r.FieldPos(0)
		out.Number = int64(line)
		if len(record) != len(columns) {
			bad(out.Number, fmt.Sprintf("%d fields, the header has %d", len(record), len(columns)))
			continue
		}
		valid := true
		for i, s := range record {
			valid = valid && utf8.ValidString(s)
			out.Values[i] = textValue(s)
		}
		if !valid {
			bad(out.Number, "not UTF-8 text")
			continue
		}
		if err := row(&out); err != nil {
			return err
		}
	}
}

// separator returns the one of comma, semicolon and tab that the first line has most of.
func separator(r *bufio.Reader) rune {
	head, _ := r.Peek(64 << 10)
	line, _, _ := strings.Cut(string(head), "\n")
	best, most := ',', strings.Count(line, ",")
	for _, s := range []rune{';', '\t'} {
		if n := strings.Count(line, string(s)); n > most {
			best, most = s, n
		}
	}
	return best
}
