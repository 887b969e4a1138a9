package profile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/modelwatch/modelwatch/schemas"
)

// parquetFile reads the columns of a Parquet file that hold one value a row;
// a column inside a group is named by its path with dots.
type parquetFile struct {
	path    string
	columns []Column
}

func (p *parquetFile) Name() string      { return filepath.Base(p.path) }
func (p *parquetFile) Columns() []Column { return p.columns }

// leaf is how one column of the file is read; to is -1 where it is not.
type leaf struct {
	to    int
	time  time.Duration // unit of a timestamp, 0 for none
	day   bool
	scale float64 // of a decimal, 0 for none
}

func (p *parquetFile) Rows(ctx context.Context, row func(*Row) error, _ func(int64, string)) error {
	f, err := os.Open(p.path)
	if err != nil {
		return fmt.Errorf("opening data: %w", err)
	}
	defer f.Close()
	about, err := f.Stat()
	if err != nil {
		return fmt.Errorf("opening data: %w", err)
	}
	return p.read(ctx, f, about.Size(), row)
}

func (p *parquetFile) read(ctx context.Context, in io.ReaderAt, size int64, row func(*Row) error) error {
	var groups []parquet.RowGroup
	var leaves []leaf
	err := p.guard(func() error {
		file, err := parquet.OpenFile(in, size)
		if err != nil {
			return fmt.Errorf("reading %s: %w", p.Name(), err)
		}
		leaves, groups = p.leaves(file.Schema()), file.RowGroups()
		return nil
	})
	if err != nil {
		return err
	}
	out := Row{Values: make([]Value, len(p.columns))}
	rows := make([]parquet.Row, 512)
	for _, g := range groups {
		if err := p.group(ctx, g, leaves, rows, &out, row); err != nil {
			return err
		}
	}
	return nil
}

// guard makes an error of a panic of the library: it panics on some damaged
// files, and that is a property of the file, not of this program.
func (p *parquetFile) guard(call func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("reading %s: the file is damaged (%v)", p.Name(), r)
		}
	}()
	return call()
}

func (p *parquetFile) leaves(s *parquet.Schema) []leaf {
	p.columns = nil
	var out []leaf
	for _, path := range s.Columns() {
		column, _ := s.Lookup(path...)
		l := leaf{to: -1}
		if column.MaxRepetitionLevel == 0 {
			l.to = len(p.columns)
			p.columns = append(p.columns, Column{Name: strings.Join(path, ".")})
			l.describe(column.Node.Type())
		}
		out = append(out, l)
	}
	return out
}

func (l *leaf) describe(t parquet.Type) {
	logical := t.LogicalType()
	if logical == nil {
		return
	}
	switch v := logical.Value.(type) {
	case *format.TimestampType:
		l.time = time.Millisecond
		if v.Unit.Value != nil {
			l.time = v.Unit.Value.Duration()
		}
	case *format.DateType:
		l.day = true
	case *format.DecimalType:
		l.scale = math.Pow10(-int(v.Scale))
	}
}

func (p *parquetFile) group(ctx context.Context, g parquet.RowGroup, leaves []leaf, rows []parquet.Row, out *Row, row func(*Row) error) error {
	var reader parquet.Rows
	if err := p.guard(func() error { reader = g.Rows(); return nil }); err != nil {
		return err
	}
	defer reader.Close()
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		n := 0
		err := p.guard(func() (err error) { n, err = reader.ReadRows(rows); return err })
		for _, r := range rows[:n] {
			out.Number++
			for i := range out.Values {
				out.Values[i] = Value{Kind: schemas.KindNull}
			}
			for _, v := range r {
				if l := leaves[v.Column()]; l.to >= 0 {
					out.Values[l.to] = l.value(v)
				}
			}
			if err := row(out); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s after row %d: %w", p.Name(), out.Number, err)
		}
		if n == 0 {
			return fmt.Errorf("reading %s after row %d: %w", p.Name(), out.Number, io.ErrNoProgress)
		}
	}
}

func (l *leaf) value(v parquet.Value) Value {
	if v.IsNull() {
		return Value{Kind: schemas.KindNull}
	}
	switch v.Kind() {
	case parquet.Boolean:
		return Value{Kind: schemas.KindBool, Text: strconv.FormatBool(v.Boolean())}
	case parquet.Int32:
		if l.day {
			return Value{Kind: schemas.KindText, Text: time.Unix(int64(v.Int32())*86400, 0).UTC().Format(time.DateOnly)}
		}
		return l.whole(int64(v.Int32()))
	case parquet.Int64:
		if l.time > 0 {
			ms := v.Int64() / int64(time.Millisecond/l.time)
			return Value{Kind: schemas.KindText, Text: time.UnixMilli(ms).UTC().Format(time.RFC3339Nano)}
		}
		return l.whole(v.Int64())
	case parquet.Float:
		return realValue(float64(v.Float()), 32)
	case parquet.Double:
		return realValue(v.Double(), 64)
	case parquet.ByteArray, parquet.FixedLenByteArray:
		s := string(v.ByteArray())
		if l.scale != 0 {
			return Value{Kind: schemas.KindNested}
		}
		return Value{Kind: schemas.KindText, Text: strings.ToValidUTF8(s, "\ufffd")}
	}
	return Value{Kind: schemas.KindNested}
}

func (l *leaf) whole(i int64) Value {
	if l.scale != 0 {
		return realValue(float64(i)*l.scale, 64)
	}
	return Value{Kind: schemas.KindNumber, Num: float64(i), Text: strconv.FormatInt(i, 10)}
}

func realValue(x float64, bits int) Value {
	switch {
	case math.IsNaN(x):
		return Value{Kind: schemas.KindNaN}
	case math.IsInf(x, 1):
		return Value{Kind: schemas.KindPosInf}
	case math.IsInf(x, -1):
		return Value{Kind: schemas.KindNegInf}
	}
	return Value{Kind: schemas.KindNumber, Num: x, Text: strconv.FormatFloat(x, 'g', -1, bits)}
}
