package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// Entry is the summary of one stream of a window.
type Entry struct {
	schemas.Stream
	*summary.Summary
}

// MergedWindow is one window of one part of a model, merged over partitions.
type MergedWindow struct {
	Entries []Entry // sorted by version, role, feature and slice
	// Revision is the sum of the end offsets of the merged rows: it grows
	// whenever a row is added or has seen more of the log.
	Revision uint64
	// Offsets is the part of the log behind it, by topic and partition.
	Offsets []schemas.OffsetRange
}

// mergedFields are the aggregates of scanSummary's columns. Of a slice no
// more distinct values are fetched than tell that there are too many.
const mergedFields = `sum(rows), sum(present), sum(absent), sum(nulls), sum(nans), sum(pos_infs), sum(neg_infs), sum(bad),
	sum(outside), sum(unexpected), sum(clipped), sum(late), reinterpretAsString(sumForEach(bins)),
	sum(sum), sum(square_high), sum(square_low), min(min), max(max),
	reinterpretAsString(if(slice = '', groupUniqArrayArrayIf(distinct_small, slice = ''), groupUniqArrayArrayIf(65)(distinct_small, slice != ''))),
	reinterpretAsString(maxForEach(reinterpret(registers, 'Array(UInt8)'))), max(distinct_full), max(run)`

// ReadWindows returns the windows of one part of a model that start at
// starts, as the partials of that spec have them now. A start without any
// row is not in the result.
func (s *Store) ReadWindows(ctx context.Context, model string, spec uint64, part schemas.Part, starts []int64) (map[int64]MergedWindow, error) {
	out := make(map[int64]MergedWindow, len(starts))
	if len(starts) == 0 {
		return out, nil
	}
	of := bound{"model": model, "spec": spec, "part": uint8(part), "starts": starts}
	const where = ` FROM partials FINAL WHERE model = {model:String} AND spec_seq = {spec:UInt64} AND part = {part:UInt8}
		AND window_start IN {starts:Array(Int64)}`
	var buffer summaryRow
	var start int64
	var revision uint64
	var role uint8
	var stream schemas.Stream
	to := append([]any{&start, &stream.Version, &role, &stream.Feature, &stream.Slice, &revision}, buffer.destinations()...)
	err := s.read(ctx, "reading windows of "+model, `SELECT window_start, version, role, feature, slice, toUInt64(sum(end_offset)), `+mergedFields+where+`
		GROUP BY window_start, version, role, feature, slice ORDER BY window_start, version, role, feature, slice
		SETTINGS do_not_merge_across_partitions_select_final = 1`, of,
		func() { clear(out) },
		func(row driver.Rows) error {
			if err := row.Scan(to...); err != nil {
				return err
			}
			stream.Role = schemas.Role(role)
			w := out[start]
			w.Entries = append(w.Entries, Entry{stream, buffer.summary(stream.Slice)})
			w.Revision += revision
			out[start] = w
			return nil
		})
	if err != nil {
		return nil, err
	}
	return out, s.readOffsets(ctx, where, of, out)
}

func (s *Store) readOffsets(ctx context.Context, where string, of bound, out map[int64]MergedWindow) error {
	return s.read(ctx, "reading the offsets behind windows", `SELECT window_start, topic, partition, min(chunk_start), max(end_offset)`+where+`
		GROUP BY window_start, topic, partition ORDER BY window_start, topic, partition
		SETTINGS do_not_merge_across_partitions_select_final = 1`, of,
		func() {
			for start, w := range out {
				w.Offsets = nil
				out[start] = w
			}
		},
		func(row driver.Rows) error {
			var start int64
			var o schemas.OffsetRange
			if err := row.Scan(&start, &o.Topic, &o.Partition, &o.From, &o.To); err != nil {
				return err
			}
			if w, ok := out[start]; ok {
				w.Offsets = append(w.Offsets, o)
				out[start] = w
			}
			return nil
		})
}

// summaryRow receives the columns of a merged summary. Arrays come as the
// bytes of their elements, which is an order of magnitude faster to receive.
type summaryRow struct {
	s                      summary.Summary
	bins, small, registers []byte
	full                   uint8
}

func (r *summaryRow) destinations() []any {
	s := &r.s
	return []any{
		&s.Rows, &s.Present, &s.Absent, &s.Null, &s.NaN, &s.PosInf, &s.NegInf, &s.Bad,
		&s.Outside, &s.Unexpected, &s.Clipped, &s.Late, &r.bins,
		&s.Sum, &s.SquareHigh, &s.SquareLow, &s.Min, &s.Max, &r.small, &r.registers, &r.full, &s.Run,
	}
}

// summary returns a copy of what was received. Only the whole keeps registers.
func (r *summaryRow) summary(slice string) *summary.Summary {
	s := r.s
	s.Bins = words(r.bins)
	s.Distinct = summary.Distinct{}
	if slice == "" {
		s.Distinct.KeepRegisters()
	}
	if len(r.registers) > 0 {
		registers := append([]byte(nil), r.registers...)
		s.Distinct.Merge(&summary.Distinct{Registers: registers})
	}
	if r.full != 0 {
		s.Distinct.Merge(&summary.Distinct{Full: true})
	}
	for _, h := range words(r.small) {
		s.Distinct.Add(h)
	}
	return &s
}

func words(p []byte) []uint64 {
	out := make([]uint64, len(p)/8)
	for i := range out {
		out[i] = binary.LittleEndian.Uint64(p[8*i:])
	}
	return out
}

// Closed is a closed window as it was judged.
type Closed struct {
	WindowID
	Revision uint64
	Entries  []Entry
}

// WriteSummaries keeps closed windows of a model as they were judged. A later
// revision of the same window replaces it; an earlier one changes nothing. It
// returns when they are durable.
func (s *Store) WriteSummaries(ctx context.Context, model string, windows []Closed) error {
	var streams streamColumns
	var sums summaryColumns
	var revisions list[uint64]
	var models list[string]
	var specs, ends list[uint64]
	var parts list[uint8]
	var starts list[int64]
	for _, w := range windows {
		for i := range w.Entries {
			streams.add(model, w.SpecSeq, w.Part, w.Start, w.Entries[i].Stream)
			revisions.add(w.Revision)
			sums.add(w.Entries[i].Summary)
		}
		models.add(model)
		specs.add(w.SpecSeq)
		parts.add(uint8(w.Part))
		starts.add(w.Start)
		ends.add(w.Revision)
	}
	rows := append(streams.columns(), column{"revision", &revisions})
	rows = append(rows, sums.columns()...)
	closed := columns{{"model", &models}, {"spec_seq", &specs}, {"part", &parts}, {"window_start", &starts}, {"revision", &ends}}
	what := fmt.Sprintf("storing closed windows of %s", model)
	err := s.forever(ctx, what, func(ctx context.Context) error { return s.insert(ctx, "summaries", rows) })
	if err != nil {
		return err
	}
	return s.forever(ctx, what, func(ctx context.Context) error { return s.insert(ctx, "closed_windows", closed) })
}

// WindowID names one window of one part of a model under one spec.
type WindowID struct {
	SpecSeq uint64
	Part    schemas.Part
	Start   int64 // Unix milliseconds
}

// Revised is a closed window whose partials have gone on since it was summarised.
type Revised struct {
	WindowID
	Was, Is uint64 // revisions
}

// Cursor is a place in the order of insertion, by the server's clock.
type Cursor struct{ at int64 } // Unix milliseconds

// Covers says whether a read from c sees all that one from other does.
func (c Cursor) Covers(other Cursor) bool { return c.at <= other.at }

// overlap is how far behind its cursor a read begins again: an insert is
// stamped before it can be seen, and replicas' clocks differ.
const overlap = 30_000

// contents adds up what merging only adds, over all streams of a window: two
// ways of storing the same rows have it in common.
const contents = `tuple(sum(rows), sum(present), sum(absent), sum(nulls), sum(nans), sum(pos_infs), sum(neg_infs), sum(bad),
	sum(outside), sum(unexpected), sum(clipped), sum(late), sum(sum), sum(square_high), sum(square_low), sumForEach(bins))`

// Revisions returns the closed windows of a model whose partials say more
// than their summary does, or something else because what is stored was lost
// or changed and has been read again, among those that got rows after the
// cursor, and the cursor for the next call. Windows of which another spec counts by now
// are not among them. The zero cursor looks at everything.
func (s *Store) Revisions(ctx context.Context, model string, since Cursor) ([]Revised, Cursor, error) {
	next, err := s.now(ctx)
	if err != nil {
		return nil, since, err
	}
	var out []Revised
	err = s.read(ctx, "looking for revised windows of "+model, `WITH touched AS (
			SELECT DISTINCT spec_seq, part, window_start FROM partials
			WHERE model = {model:String} AND at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')),
		closed AS (
			SELECT c.spec_seq AS spec_seq, c.part AS part, c.window_start AS window_start, c.revision AS revision
			FROM closed_windows AS c FINAL INNER JOIN spec_intervals AS s ON s.spec_seq = c.spec_seq
			WHERE c.model = {model:String} AND (c.spec_seq, c.part, c.window_start) IN touched
				AND c.window_start >= s.effective_from AND c.window_start < s.until)
		SELECT p.spec_seq, p.part, p.window_start, closed.revision, p.revision FROM (
			SELECT spec_seq, part, window_start, toUInt64(sum(end_offset)) AS revision, `+contents+` AS held FROM partials FINAL
			WHERE model = {model:String} AND (spec_seq, part, window_start) IN (SELECT spec_seq, part, window_start FROM closed)
			GROUP BY spec_seq, part, window_start) AS p
		INNER JOIN closed USING (spec_seq, part, window_start)
		LEFT JOIN (
			SELECT spec_seq, part, window_start, `+contents+` AS held FROM summaries FINAL
			WHERE model = {model:String} AND (spec_seq, part, window_start) IN (SELECT spec_seq, part, window_start FROM closed)
			GROUP BY spec_seq, part, window_start) AS s USING (spec_seq, part, window_start)
		WHERE p.revision > closed.revision OR p.revision = closed.revision AND p.held != s.held
		ORDER BY p.spec_seq, p.part, p.window_start
		SETTINGS do_not_merge_across_partitions_select_final = 1`,
		bound{"model": model, "since": since.at},
		func() { out = nil },
		func(row driver.Rows) error {
			var r Revised
			var part uint8
			err := row.Scan(&r.SpecSeq, &part, &r.Start, &r.Was, &r.Is)
			r.Part = schemas.Part(part)
			out = append(out, r)
			return err
		})
	if err != nil {
		return nil, since, err
	}
	return out, next, nil
}

// Touched returns the models of which closed windows have got partials after
// from, a cursor of the given time before the present moment, and the cursor
// for the next call. Of the others Revisions finds nothing after from.
func (s *Store) Touched(ctx context.Context, back time.Duration) (models map[string]bool, from, next Cursor, err error) {
	next, err = s.now(ctx)
	if err != nil {
		return nil, from, next, err
	}
	from = Cursor{next.at - back.Milliseconds()}
	err = s.read(ctx, "looking for models with revised windows", `SELECT DISTINCT model FROM closed_windows WHERE (model, spec_seq, part, window_start) IN (
			SELECT DISTINCT model, spec_seq, part, window_start FROM partials WHERE at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC'))`,
		bound{"from": from.at},
		func() { models = map[string]bool{} },
		func(row driver.Rows) error {
			var model string
			err := row.Scan(&model)
			models[model] = true
			return err
		})
	return models, from, next, err
}

// now returns the cursor of the present moment, behind by the overlap.
func (s *Store) now(ctx context.Context) (Cursor, error) {
	var at int64
	err := s.read(ctx, "asking the server's clock", "SELECT toUnixTimestamp64Milli(now64(3))", nil, func() {}, func(row driver.Rows) error { return row.Scan(&at) })
	return Cursor{max(at-overlap, 0)}, err
}

// Closed returns the revisions of the closed windows of a part of a model
// that start in [from, to).
func (s *Store) Closed(ctx context.Context, model string, spec uint64, part schemas.Part, from, to int64) (map[int64]uint64, error) {
	out := make(map[int64]uint64)
	err := s.read(ctx, "reading which windows are closed", `SELECT window_start, revision FROM closed_windows FINAL
		WHERE model = {model:String} AND spec_seq = {spec:UInt64} AND part = {part:UInt8} AND window_start >= {from:Int64} AND window_start < {to:Int64}`,
		bound{"model": model, "spec": spec, "part": uint8(part), "from": from, "to": to},
		func() { clear(out) },
		func(row driver.Rows) error {
			var start int64
			var revision uint64
			err := row.Scan(&start, &revision)
			out[start] = revision
			return err
		})
	return out, err
}

// Starts returns the starts of the windows of a part of a model in [from, to)
// that have rows under the spec, in order.
func (s *Store) Starts(ctx context.Context, model string, spec uint64, part schemas.Part, from, to int64) ([]int64, error) {
	return s.starts(ctx, "reading which windows have rows", "partials", model, spec, part, from, to)
}

// starts lists the windows of which a table of this package has rows.
func (s *Store) starts(ctx context.Context, what, table, model string, spec uint64, part schemas.Part, from, to int64) ([]int64, error) {
	var out []int64
	err := s.read(ctx, what, `SELECT DISTINCT window_start FROM `+table+`
		WHERE model = {model:String} AND spec_seq = {spec:UInt64} AND part = {part:UInt8} AND window_start >= {from:Int64} AND window_start < {to:Int64}
		ORDER BY window_start`,
		bound{"model": model, "spec": spec, "part": uint8(part), "from": from, "to": to},
		func() { out = nil },
		func(row driver.Rows) error {
			var start int64
			err := row.Scan(&start)
			out = append(out, start)
			return err
		})
	return out, err
}
