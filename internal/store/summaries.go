package store

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/schemas"
)

// JudgedStarts lists the closed windows in [from, to) that have rows, also
// those whose partials are gone.
func (s *Store) JudgedStarts(ctx context.Context, model string, spec uint64, part schemas.Part, from, to int64) ([]int64, error) {
	return s.starts(ctx, "reading which closed windows have rows", "summaries", model, spec, part, from, to)
}

// ReadSummaries returns closed windows as they were judged last, in the form
// of ReadWindows. They are kept when their partials are gone; what is gone
// with those are the offsets. A window without any stream is not in the result.
func (s *Store) ReadSummaries(ctx context.Context, model string, spec uint64, part schemas.Part, starts []int64) (map[int64]MergedWindow, error) {
	out := make(map[int64]MergedWindow, len(starts))
	if len(starts) == 0 {
		return out, nil
	}
	var buffer summaryRow
	var start int64
	var revision uint64
	var role uint8
	var stream schemas.Stream
	to := append([]any{&start, &stream.Version, &role, &stream.Feature, &stream.Slice, &revision}, buffer.destinations()...)
	err := s.read(ctx, "reading closed windows of "+model, `SELECT window_start, version, role, feature, slice, revision,
			rows, present, absent, nulls, nans, pos_infs, neg_infs, bad, outside, unexpected, clipped, late, reinterpretAsString(bins),
			sum, square_high, square_low, min, max, reinterpretAsString(distinct_small), registers, distinct_full, run
		FROM summaries FINAL WHERE model = {model:String} AND spec_seq = {spec:UInt64} AND part = {part:UInt8} AND window_start IN {starts:Array(Int64)}
		ORDER BY window_start, version, role, feature, slice
		SETTINGS do_not_merge_across_partitions_select_final = 1`,
		bound{"model": model, "spec": spec, "part": uint8(part), "starts": starts},
		func() { clear(out) },
		func(row driver.Rows) error {
			if err := row.Scan(to...); err != nil {
				return err
			}
			stream.Role = schemas.Role(role)
			w := out[start]
			w.Entries = append(w.Entries, Entry{stream, buffer.summary(stream.Slice)})
			w.Revision = max(w.Revision, revision)
			out[start] = w
			return nil
		})
	return out, err
}
