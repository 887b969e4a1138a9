package store

import (
	"context"
	"sort"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// bound are the parameters of a query, by the names that stand in it as {name:Type}.
type bound map[string]any

// rows runs a query and calls each for every row, once and without retry.
func (s *Store) rows(ctx context.Context, query string, parameters bound, each func(driver.Rows) error) (err error) {
	if !s.made.Load() {
		return ErrNotMade
	}
	names := make([]string, 0, len(parameters))
	for name := range parameters {
		names = append(names, name)
	}
	sort.Strings(names)
	args := make([]any, len(names))
	for i, name := range names {
		args[i] = clickhouse.Named(name, parameters[name])
	}
	result, err := s.conn.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() {
		if e := result.Close(); err == nil {
			err = e
		}
	}()
	for result.Next() {
		if err := each(result); err != nil {
			return err
		}
	}
	return result.Err()
}

// read runs a query, again where the connection fails; fresh empties what
// each has gathered before each attempt.
func (s *Store) read(ctx context.Context, what, query string, parameters bound, fresh func(), each func(driver.Rows) error) error {
	return s.briefly(ctx, what, func(ctx context.Context) error {
		fresh()
		return s.rows(ctx, query, parameters, each)
	})
}
