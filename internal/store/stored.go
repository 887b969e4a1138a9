package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/schemas"
)

// Attach uses the database as it is: it changes nothing, and fails where it is
// not there, or was migrated by another program than this.
func (s *Store) Attach(ctx context.Context) error {
	if err := s.attach(ctx); err != nil {
		s.made.Store(false)
		return fmt.Errorf("opening database %s: %w", s.cfg.Database, err)
	}
	return nil
}

func (s *Store) attach(ctx context.Context) error {
	all, err := Migrations()
	if err != nil {
		return err
	}
	// Through a connection of its own: one that names a database which is not there has ended an engine.
	conn, err := s.connect("default")
	if err != nil {
		return err
	}
	var there uint64
	err = conn.QueryRow(ctx, "SELECT count() FROM system.tables WHERE database = {name:String} AND name = 'migrations'", clickhouse.Named("name", s.cfg.Database)).Scan(&there)
	if err = errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("asking ClickHouse at %s: %w", strings.Join(s.cfg.Addr, ", "), err)
	}
	if there == 0 {
		return fmt.Errorf("%w: it is not there; correct `clickhouse.addr` or `clickhouse.database`, or start `modelwatch run` first", ErrNotMade)
	}
	s.made.Store(true)
	done, err := s.recorded(ctx)
	if err != nil {
		return err
	}
	if err := comparable(all, done); err != nil {
		return err
	}
	if len(done) < len(all) {
		return fmt.Errorf("%w: it lacks %d of %d migrations; start this version of `modelwatch run` once", ErrOlder, len(all)-len(done), len(all))
	}
	return nil
}

// Heads returns the furthest progress of every partition of the topics, of
// all their epochs, sorted by topic, id, truncation and partition.
func (s *Store) Heads(ctx context.Context, topics []string) ([]schemas.Progress, error) {
	var out []schemas.Progress
	err := s.read(ctx, "reading progress", `SELECT `+progressFields+` FROM progress_heads FINAL WHERE topic IN {topics:Array(String)}
		ORDER BY topic, topic_id, truncation, partition`, bound{"topics": topics},
		func() { out = nil },
		func(row driver.Rows) error {
			p, err := scanProgress(row)
			out = append(out, p)
			return err
		})
	return out, err
}

// Chunks calls each with the progress of every chunk of the topics, sorted by
// topic, id, truncation, partition and start. Where the connection fails it
// begins again, and calls fresh before.
func (s *Store) Chunks(ctx context.Context, topics []string, fresh func(), each func(schemas.Progress) error) error {
	return s.read(ctx, "reading chunks", `SELECT `+progressFields+` FROM progress_chunks FINAL WHERE topic IN {topics:Array(String)}
		ORDER BY topic, topic_id, truncation, partition, chunk_start`, bound{"topics": topics}, fresh,
		func(row driver.Rows) error {
			p, err := scanProgress(row)
			if err != nil {
				return err
			}
			return each(p)
		})
}

// StoredWindow is a row of the view windows.
type StoredWindow struct {
	schemas.Stream
	Start   int64 // Unix milliseconds
	SpecSeq uint64
	Closed  bool

	Rows, Present, Absent, Nulls, NaNs, Infs, Bad, Unseen, Outside, Unexpected, Clipped, Late, LongestRun uint64

	Min, Max, Mean, SD *float64
	Distinct           *uint64
	Edges              []float64
	Bins               []uint64
	Top                map[string]uint64
}

// StoredStarts returns how many rows each window of a model has in the view
// windows, among those that start in [from, to), by start.
func (s *Store) StoredStarts(ctx context.Context, model string, from, to int64) (starts []int64, rows []int, err error) {
	err = s.read(ctx, "reading which windows are stored", `SELECT window_start, count() FROM window_rows
		WHERE model = {model:String} AND window_start >= {from:Int64} AND window_start < {to:Int64} GROUP BY window_start ORDER BY window_start`,
		bound{"model": model, "from": from, "to": to},
		func() { starts, rows = nil, nil },
		func(row driver.Rows) error {
			var start int64
			var n uint64
			err := row.Scan(&start, &n)
			starts, rows = append(starts, start), append(rows, int(n))
			return err
		})
	return starts, rows, err
}

// StoredWindows returns the rows of the view windows of a model that start in
// [from, to), sorted by start.
func (s *Store) StoredWindows(ctx context.Context, model string, from, to int64) ([]StoredWindow, error) {
	var out []StoredWindow
	err := s.read(ctx, "reading stored windows", `SELECT version, window_start, role, feature, slice, spec_seq, closed,
			rows, present, absent, nulls, nans, infs, bad, unseen, outside, unexpected, clipped, late, longest_run,
			min, max, mean, sd, distinct, edges, bins, top
		FROM window_rows WHERE model = {model:String} AND window_start >= {from:Int64} AND window_start < {to:Int64} ORDER BY window_start`,
		bound{"model": model, "from": from, "to": to},
		func() { out = nil },
		func(row driver.Rows) error {
			var w StoredWindow
			var role, closed uint8
			err := row.Scan(&w.Version, &w.Start, &role, &w.Feature, &w.Slice, &w.SpecSeq, &closed,
				&w.Rows, &w.Present, &w.Absent, &w.Nulls, &w.NaNs, &w.Infs, &w.Bad, &w.Unseen, &w.Outside, &w.Unexpected, &w.Clipped, &w.Late, &w.LongestRun,
				&w.Min, &w.Max, &w.Mean, &w.SD, &w.Distinct, &w.Edges, &w.Bins, &w.Top)
			w.Role, w.Closed = schemas.Role(role), closed != 0
			out = append(out, w)
			return err
		})
	return out, err
}

// PastWindows returns how many windows of a model, by part, have rows under a
// spec and start before until, and how many of them are kept as judged.
func (s *Store) PastWindows(ctx context.Context, model string, spec uint64, until int64) (windows, kept int, err error) {
	err = s.read(ctx, "counting windows of the past", `SELECT count(), countIf((part, window_start) IN (
			SELECT part, window_start FROM closed_windows WHERE model = {model:String} AND spec_seq = {spec:UInt64}))
		FROM (SELECT DISTINCT part, window_start FROM partials WHERE model = {model:String} AND spec_seq = {spec:UInt64} AND window_start < {until:Int64})`,
		bound{"model": model, "spec": spec, "until": until}, func() {},
		func(row driver.Rows) error {
			var a, b uint64
			err := row.Scan(&a, &b)
			windows, kept = int(a), int(b)
			return err
		})
	return windows, kept, err
}
