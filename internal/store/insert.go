package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// values are the buffered values of one column. They are copied in, so that
// an insert may be repeated after its source has gone.
type values interface {
	size() int
	reset()
	send(to driver.BatchColumn, from, until int) error
}

// list buffers plain values.
type list[T any] []T

func (l *list[T]) add(v T)   { *l = append(*l, v) }
func (l *list[T]) size() int { return len(*l) }
func (l *list[T]) reset()    { clear(*l); *l = (*l)[:0] } // strings must not be kept alive
func (l *list[T]) send(to driver.BatchColumn, from, until int) error {
	return to.Append([]T((*l)[from:until]))
}

// names buffers strings of which there are few, for LowCardinality columns. The
// driver boxes each value that it is given; those that come again and again are
// boxed once.
type names struct{ list[string] }

func (n *names) send(to driver.BatchColumn, from, until int) error {
	var boxed [8]any // by length, which tells most of them apart
	for _, v := range n.list[from:until] {
		at := len(v) % len(boxed)
		if s, ok := boxed[at].(string); !ok || s != v {
			boxed[at] = v
		}
		if err := to.AppendRow(boxed[at]); err != nil {
			return err
		}
	}
	return nil
}

// lists buffers arrays.
type lists[T any] struct {
	flat []T
	ends []int
	at   []*T // scratch: the driver boxes each value it is given, and a pointer costs nothing to box
}

func (l *lists[T]) add(v []T) {
	l.flat = append(l.flat, v...)
	l.ends = append(l.ends, len(l.flat))
}
func (l *lists[T]) size() int { return len(l.ends) }
func (l *lists[T]) reset()    { clear(l.flat); l.flat, l.ends = l.flat[:0], l.ends[:0] }
func (l *lists[T]) send(to driver.BatchColumn, from, until int) error {
	start := 0
	if from > 0 {
		start = l.ends[from-1]
	}
	l.at = l.at[:0]
	defer func() { clear(l.at) }()
	first := start
	for i := start; until > from && i < l.ends[until-1]; i++ {
		l.at = append(l.at, &l.flat[i])
	}
	for _, end := range l.ends[from:until] {
		if err := to.AppendRow(l.at[start-first : end-first]); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// column is a named column of a table to insert into.
type column struct {
	name string
	values
}

// columns are the columns of one insert, all of one size.
type columns []column

func (c columns) rows() int {
	if len(c) == 0 {
		return 0
	}
	return c[0].size()
}

func (c columns) reset() {
	for _, col := range c {
		col.reset()
	}
}

func (c columns) statement(table string) string {
	names := make([]string, len(c))
	for i, col := range c {
		names[i] = "`" + col.name + "`"
	}
	return "INSERT INTO `" + table + "` (" + strings.Join(names, ", ") + ")"
}

// insert writes all rows, in blocks of Config.BlockRows, and tries once. Its
// error leaves open whether rows are stored.
func (s *Store) insert(ctx context.Context, table string, c columns) error {
	return s.insertBlocks(ctx, table, c, s.cfg.BlockRows)
}

// insertOnce writes all rows as one block under a token: the server stores
// the first block of a token and ignores, as done, every other one.
func (s *Store) insertOnce(ctx context.Context, table, token string, c columns) error {
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		"async_insert": 0, "insert_deduplicate": 1, "insert_deduplication_token": token,
	}))
	return s.insertBlocks(ctx, table, c, c.rows())
}

func (s *Store) insertBlocks(ctx context.Context, table string, c columns, blockRows int) (err error) {
	rows := c.rows()
	if rows == 0 {
		return nil
	}
	for _, col := range c {
		if col.size() != rows {
			return fmt.Errorf("inserting into %s: %w: column %s has %d rows of %d", table, errUsage, col.name, col.size(), rows)
		}
	}
	if !s.made.Load() {
		return ErrNotMade
	}
	batch, err := s.conn.PrepareBatch(ctx, c.statement(table))
	if err != nil {
		return fmt.Errorf("inserting into %s: %w", table, err)
	}
	defer func() {
		if err != nil {
			_ = batch.Abort() // the error that matters is err
		}
	}()
	for from := 0; from < rows; from += blockRows {
		until := min(from+blockRows, rows)
		for i, col := range c {
			if err := col.send(batch.Column(i), from, until); err != nil {
				return fmt.Errorf("inserting into %s: column %s: %w: %w", table, col.name, errUsage, err)
			}
		}
		if until < rows {
			if err := batch.Flush(); err != nil {
				return fmt.Errorf("inserting into %s: %w", table, err)
			}
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("inserting into %s: %w", table, err)
	}
	return nil
}
