package profile

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// Value is one value of a row. A number that stands as text in the source
// keeps it, because the column may turn out to be a category.
type Value struct {
	Kind schemas.Kind
	Num  float64 // where Kind is KindNumber
	Text string  // where Kind is KindText, KindBool or KindNumber
}

// Column is a column of a source. Role is 0 where the profile is to find out
// what the column is.
type Column struct {
	Name string
	Role schemas.Role
}

// Row is one row of a source. It is reused: nothing in it may be kept.
type Row struct {
	Number int64        // line or row in the source, from 1, for messages
	Parts  schemas.Part // what an event carries; 0 for a flat row, which carries all of its columns
	Time   int64        // event time, Unix milliseconds, where HasTime
	// HasTime says that the source itself knows the time of the row.
	HasTime bool
	ID      string  // where the source itself knows it; "" for none
	Version string  // of the model, as ID
	Values  []Value // by index into Columns; those beyond its end are absent
}

// Source is a table that can be read more than once.
type Source interface {
	// Name says for people what is read.
	Name() string
	// Columns lists the columns seen so far. Their order is the same in
	// every reading, and more are only added at the end.
	Columns() []Column
	// Rows reads the source from its beginning and calls row for each row and
	// bad for each one that cannot be read, in order. It stops at the first
	// error of row and returns it.
	Rows(ctx context.Context, row func(*Row) error, bad func(number int64, reason string)) error
}

// Open returns the source of a file by its extension: .csv, .tsv, .parquet,
// .pq, .jsonl, .ndjson or .json (one object a line).
func Open(path string) (Source, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv":
		return &csvFile{path: path}, nil
	case ".tsv":
		return &csvFile{path: path, comma: '\t'}, nil
	case ".parquet", ".pq":
		return &parquetFile{path: path}, nil
	case ".jsonl", ".ndjson", ".json":
		return &jsonFile{path: path}, nil
	}
	return nil, fmt.Errorf("opening %s: its form is not known; name it .csv, .tsv, .parquet or .jsonl", path)
}

// textValue reads a value that stands as text in the source, as in CSV.
func textValue(s string) Value {
	switch s {
	case "", "null", "NULL", "None":
		return Value{Kind: schemas.KindNull}
	case "True", "TRUE", "true":
		return Value{Kind: schemas.KindBool, Text: "true"}
	case "False", "FALSE", "false":
		return Value{Kind: schemas.KindBool, Text: "false"}
	}
	if v, ok := notFinite(s); ok {
		return v
	}
	if x, ok := number(s); ok {
		return Value{Kind: schemas.KindNumber, Num: x, Text: s}
	}
	return Value{Kind: schemas.KindText, Text: s}
}

// notFinite reads the spellings of NaN and the infinities.
func notFinite(s string) (Value, bool) {
	switch s {
	case "NaN", "nan", "NAN":
		return Value{Kind: schemas.KindNaN, Text: s}, true
	case "Infinity", "+Infinity", "inf", "+inf", "Inf", "+Inf", "INF":
		return Value{Kind: schemas.KindPosInf, Text: s}, true
	case "-Infinity", "-inf", "-Inf", "-INF":
		return Value{Kind: schemas.KindNegInf, Text: s}, true
	}
	return Value{}, false
}

// number reads a decimal number. Text with a leading zero, such as a postal
// code, is none: as a number it would lose the zero.
func number(s string) (float64, bool) {
	d := strings.TrimLeft(s, "+-")
	if d == "" || d[0] != '.' && (d[0] < '0' || d[0] > '9') || strings.ContainsAny(d, "_xXpP") {
		return 0, false
	}
	if len(d) > 1 && d[0] == '0' && d[1] >= '0' && d[1] <= '9' {
		return 0, false
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(x, 0) {
		return 0, false
	}
	return x, true
}

var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02", "2006/01/02 15:04:05", "2006/01/02 15:04", "2006/01/02",
}

// eventTime reads a time: RFC 3339, the usual forms without a zone as UTC, or
// Unix time in seconds, milliseconds, microseconds or nanoseconds, which its
// size tells apart for years 1973 to 5138.
func eventTime(v Value) (int64, bool) {
	switch v.Kind {
	case schemas.KindNumber:
		x, a := v.Num, math.Abs(v.Num)
		switch {
		case a < 1e11:
			x *= 1000
		case a < 1e14:
		case a < 1e17:
			x /= 1000
		case a < 9e18:
			x /= 1e6
		default:
			return 0, false
		}
		return int64(math.Floor(x)), true
	case schemas.KindText:
		for _, l := range timeLayouts {
			if t, err := time.Parse(l, v.Text); err == nil {
				return t.UnixMilli(), true
			}
		}
	}
	return 0, false
}

// ParseTime reads a time as the columns of sources may have it: RFC 3339, or
// one of the usual forms without a zone, as UTC.
func ParseTime(s string) (time.Time, bool) {
	ms, ok := eventTime(Value{Kind: schemas.KindText, Text: s})
	return time.UnixMilli(ms).UTC(), ok
}
