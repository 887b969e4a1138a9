package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Retain drops partials and panes that are past, by event time: whole
// partitions of a week, each when for every model that has rows in it the
// rows start before the model's cutoff (Unix milliseconds). A model without a
// cutoff keeps its rows, and so does everything beside them in its partitions.
//
// The cutoff is the model's watermark less the late horizon and two days, so
// that a row which may still be counted never meets a partition that has gone.
// It returns how many partitions were dropped.
func (s *Store) Retain(ctx context.Context, cutoffs map[string]int64) (dropped int, err error) {
	for _, t := range []struct{ table, time string }{{"partials", "window_start"}, {"panes", "start"}, {"pane_samples", "pane_start"}} {
		past, err := s.past(ctx, t.table, t.time, cutoffs)
		if err != nil {
			return dropped, err
		}
		for _, week := range past {
			// A partition cannot be bound, but a number can do no harm.
			statement := "ALTER TABLE " + t.table + " DROP PARTITION " + strconv.FormatInt(week, 10)
			err := s.forever(ctx, fmt.Sprintf("dropping week %d of %s", week, t.table), func(ctx context.Context) error { return s.conn.Exec(ctx, statement) })
			if err != nil {
				return dropped, err
			}
			dropped++
		}
	}
	return dropped, nil
}

// past lists the weeks of a table that are before the cutoffs of all their models.
func (s *Store) past(ctx context.Context, table, time string, cutoffs map[string]int64) ([]int64, error) {
	if len(cutoffs) == 0 {
		return nil, nil
	}
	var weeks []int64
	keep := make(map[int64]bool)
	err := s.read(ctx, "looking for past weeks of "+table, fmt.Sprintf(
		"SELECT intDiv(%s, 604800000) AS week, model, max(%s) FROM %s GROUP BY week, model ORDER BY week", time, time, table), nil,
		func() { weeks = nil; clear(keep) },
		func(row driver.Rows) error {
			var week, last int64
			var model string
			if err := row.Scan(&week, &model, &last); err != nil {
				return err
			}
			if n := len(weeks); n == 0 || weeks[n-1] != week {
				weeks = append(weeks, week)
			}
			if cutoff, ok := cutoffs[model]; !ok || last >= cutoff {
				keep[week] = true
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	if table == "partials" && len(weeks) > 0 {
		if err := s.unkept(ctx, keep); err != nil {
			return nil, err
		}
	}
	past := weeks[:0]
	for _, week := range weeks {
		if !keep[week] {
			past = append(past, week)
		}
	}
	return past, nil
}

// unkept adds the weeks that hold windows of the past which were read again and
// are not kept as closed windows yet: they are all older than any cutoff.
func (s *Store) unkept(ctx context.Context, keep map[int64]bool) error {
	return s.read(ctx, "looking for windows of the past", `SELECT DISTINCT intDiv(p.window_start, 604800000)
		FROM partials AS p
		INNER JOIN (SELECT i.spec_seq AS spec_seq, i.effective_from AS effective_from, least(i.until, r.history_until) AS until
			FROM spec_intervals AS i INNER JOIN specs AS r ON r.seq = i.spec_seq WHERE r.history_until > {none:Int64}) AS h
		ON p.spec_seq = h.spec_seq
		WHERE p.window_start >= h.effective_from AND p.window_start < h.until
			AND (p.model, p.spec_seq, p.part, p.window_start) NOT IN (SELECT model, spec_seq, part, window_start FROM closed_windows)`,
		bound{"none": int64(noHistory)}, func() {},
		func(row driver.Rows) error {
			var week int64
			err := row.Scan(&week)
			keep[week] = true
			return err
		})
}
