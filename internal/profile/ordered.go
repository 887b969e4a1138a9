package profile

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// MaxSortBytes is how many bytes of rows are held to sort a source that is
// not in the order of its time.
const MaxSortBytes = 1 << 30

// Ordered is a source whose rows have times, to be read in their order: what
// a stream would have delivered. It is itself a Source, in which each row has
// its time.
type Ordered struct {
	src  Source
	time int // column of the time, -1 where the source knows the times

	Count     int64 // rows that have a time
	From, To  int64 // first and last time, Unix milliseconds
	Malformed int64
	Examples  []Malformed
	// Disorder is by how much rows come after later ones at most, in
	// milliseconds, as they are read: 0 for a source that had to be sorted.
	Disorder int64
	Sorted   bool // the rows are held in memory, because they did not come in order

	arena  []byte
	places []place
}

// place is one row of a sorted source.
type place struct {
	at    int64
	where int
}

// Order reads src once and says in which order its rows are. Rows that come
// later than a row that is more than tolerance past them have to be sorted,
// for which they are read a second time and held; it is an error where they
// do not fit into MaxSortBytes. timeColumn is as Options.Time, but a source
// without times is an error. Events of other models than model are left out;
// progress may be nil.
func Order(ctx context.Context, src Source, model, timeColumn string, tolerance time.Duration, progress func(rows int64)) (*Ordered, error) {
	if j, ok := src.(*jsonFile); ok {
		j.model = model
	}
	scan := newScan(src, &Options{Time: timeColumn})
	if timeColumn == "-" {
		return nil, fmt.Errorf("reading %s: its rows need a time; name the column that has it", src.Name())
	}
	if err := scan.findTime(ctx); err != nil {
		return nil, fmt.Errorf("reading %s: %w", src.Name(), err)
	}
	o := &Ordered{src: src, time: scan.timeColumn, From: math.MaxInt64, To: math.MinInt64}
	if err := o.look(ctx, progress); err != nil {
		return nil, fmt.Errorf("reading %s: %w", src.Name(), err)
	}
	if o.Count == 0 {
		return nil, fmt.Errorf("reading %s: %s", src.Name(), o.nothing(model))
	}
	if float64(o.Malformed) > maxMalformedShare*float64(o.Count+o.Malformed) {
		return nil, fmt.Errorf("reading %s: %d of %d rows cannot be used, more than a tenth; row %d: %s", src.Name(), o.Malformed, o.Count+o.Malformed, o.Examples[0].Row, o.Examples[0].Reason)
	}
	if o.Disorder > tolerance.Milliseconds() {
		if err := o.sort(ctx); err != nil {
			return nil, fmt.Errorf("sorting %s: %w", src.Name(), err)
		}
	}
	return o, nil
}

// nothing says why there is no row.
func (o *Ordered) nothing(model string) string {
	if j, ok := o.src.(*jsonFile); ok && len(j.models) > 0 && !j.models[model] {
		known := make([]string, 0, len(j.models))
		for m := range j.models {
			known = append(known, m)
		}
		slices.Sort(known)
		return fmt.Sprintf("it has no event of model %q, but of %s", model, strings.Join(known[:min(10, len(known))], ", "))
	}
	if o.Malformed == 0 {
		return "it has no rows"
	}
	hint := ""
	if o.time < 0 {
		hint = "; name the column of the time with --time"
	}
	return fmt.Sprintf("none of its %d rows can be used; row %d: %s%s", o.Malformed, o.Examples[0].Row, o.Examples[0].Reason, hint)
}

// Name implements Source.
func (o *Ordered) Name() string { return o.src.Name() }

// Columns implements Source.
func (o *Ordered) Columns() []Column { return o.src.Columns() }

// TimeColumn is the name of the column that holds the time, "" for none.
func (o *Ordered) TimeColumn() string {
	if o.time < 0 {
		return ""
	}
	return o.src.Columns()[o.time].Name
}

// look reads the source for its times.
func (o *Ordered) look(ctx context.Context, progress func(int64)) error {
	var read int64
	newest := int64(math.MinInt64)
	return o.each(ctx, func(r *Row) error {
		if read++; read%100_000 == 0 && progress != nil {
			progress(read)
		}
		o.Count++
		o.From, o.To = min(o.From, r.Time), max(o.To, r.Time)
		if newest > r.Time {
			o.Disorder = max(o.Disorder, newest-r.Time)
		}
		newest = max(newest, r.Time)
		return nil
	}, func(number int64, reason string) {
		if o.Malformed++; len(o.Examples) < maxExamples {
			o.Examples = append(o.Examples, Malformed{number, reason})
		}
	})
}

// each calls row for every row of the source that has a time, as it comes.
func (o *Ordered) each(ctx context.Context, row func(*Row) error, bad func(int64, string)) error {
	return o.src.Rows(ctx, func(r *Row) error {
		had := r.HasTime // sources reuse rows
		defer func() { r.HasTime = had }()
		if reason := o.timed(r); reason != "" {
			bad(r.Number, reason)
			return nil
		}
		return row(r)
	}, bad)
}

// timed sets the time of a row, or says why it has none.
func (o *Ordered) timed(r *Row) string {
	if !r.HasTime {
		if o.time < 0 {
			return "it has no time"
		}
		ok := o.time < len(r.Values)
		if ok {
			r.Time, ok = eventTime(r.Values[o.time])
		}
		if !ok {
			return fmt.Sprintf("column %q has no time", o.src.Columns()[o.time].Name)
		}
		r.HasTime = true
	}
	if r.Time < minTime || r.Time > maxTime {
		return "its time is outside the years 1 to 9999"
	}
	return ""
}

// Rows implements Source: all rows, in order.
func (o *Ordered) Rows(ctx context.Context, row func(*Row) error, bad func(int64, string)) error {
	return o.between(ctx, math.MinInt64, math.MaxInt64, row, bad)
}

// between reads the rows of [from, to) in order.
func (o *Ordered) between(ctx context.Context, from, to int64, row func(*Row) error, bad func(int64, string)) error {
	if o.Sorted {
		return o.recall(ctx, from, to, row)
	}
	err := o.each(ctx, func(r *Row) error {
		switch {
		case to != math.MaxInt64 && r.Time >= to && r.Time-to >= o.Disorder:
			return errEnough // none that is earlier can come any more
		case r.Time < from || r.Time >= to:
			return nil
		}
		return row(r)
	}, bad)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// Between returns the rows of [from, to) as a source, Unix milliseconds.
func (o *Ordered) Between(from, to int64) Source { return &stretch{o, from, to} }

type stretch struct {
	*Ordered
	from, to int64
}

// Rows implements Source.
func (s *stretch) Rows(ctx context.Context, row func(*Row) error, bad func(int64, string)) error {
	return s.between(ctx, s.from, s.to, row, bad)
}

// sort reads the source again and holds its rows by time; rows of one time
// stay as they came.
func (o *Ordered) sort(ctx context.Context) error {
	err := o.each(ctx, func(r *Row) error {
		o.places = append(o.places, place{r.Time, len(o.arena)})
		o.arena = appendRow(o.arena, r)
		if len(o.arena) > MaxSortBytes {
			return fmt.Errorf("its rows are not in the order of their time (by up to %s), and more than %d MiB would have to be held to sort them; sort the file by its time", time.Duration(o.Disorder)*time.Millisecond, MaxSortBytes>>20)
		}
		return nil
	}, func(int64, string) {})
	if err != nil {
		return err
	}
	slices.SortStableFunc(o.places, func(a, b place) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	o.Sorted, o.Disorder = true, 0
	return nil
}

// recall reads the sorted rows of [from, to).
func (o *Ordered) recall(ctx context.Context, from, to int64, row func(*Row) error) error {
	first, _ := slices.BinarySearchFunc(o.places, from, func(p place, t int64) int {
		if p.at < t {
			return -1
		}
		return 1
	})
	var r Row
	for i, p := range o.places[first:] {
		if p.at >= to {
			return nil
		}
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		readRow(o.arena[p.where:], &r)
		if err := row(&r); err != nil {
			return err
		}
	}
	return nil
}

// appendRow appends a row with a time to p, readRow reads it.
func appendRow(p []byte, r *Row) []byte {
	text := func(s string) {
		p = binary.AppendUvarint(p, uint64(len(s)))
		p = append(p, s...)
	}
	p = binary.AppendVarint(p, r.Number)
	p = binary.AppendVarint(p, r.Time)
	p = append(p, byte(r.Parts))
	text(r.ID)
	text(r.Version)
	p = binary.AppendUvarint(p, uint64(len(r.Values)))
	for i := range r.Values {
		v := &r.Values[i]
		p = append(p, byte(v.Kind))
		switch v.Kind {
		case schemas.KindNumber:
			p = binary.LittleEndian.AppendUint64(p, math.Float64bits(v.Num))
			text(v.Text)
		case schemas.KindText, schemas.KindBool:
			text(v.Text)
		}
	}
	return p
}

func readRow(p []byte, r *Row) {
	text := func() string {
		n, used := binary.Uvarint(p)
		s := string(p[used : used+int(n)])
		p = p[used+int(n):]
		return s
	}
	whole := func() int64 {
		x, used := binary.Varint(p)
		p = p[used:]
		return x
	}
	r.Number, r.Time, r.HasTime = whole(), whole(), true
	r.Parts = schemas.Part(p[0])
	p = p[1:]
	r.ID, r.Version = text(), text()
	n, used := binary.Uvarint(p)
	p = p[used:]
	r.Values = slices.Grow(r.Values[:0], int(n))[:n]
	for i := range r.Values {
		v := Value{Kind: schemas.Kind(p[0])}
		p = p[1:]
		switch v.Kind {
		case schemas.KindNumber:
			v.Num = math.Float64frombits(binary.LittleEndian.Uint64(p))
			p = p[8:]
			v.Text = text()
		case schemas.KindText, schemas.KindBool:
			v.Text = text()
		}
		r.Values[i] = v
	}
}
