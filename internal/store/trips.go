package store

import (
	"context"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/schemas"
)

// Trips returns the trips that were stored after since by the server's clock,
// and the moment from which the next call is to ask: a little before this
// one, so that an insert that becomes visible late is not missed. So trips
// may come more than once.
func (s *Store) Trips(ctx context.Context, since time.Time) ([]schemas.Trip, time.Time, error) {
	next, err := s.now(ctx)
	if err != nil {
		return nil, since, err
	}
	var out []schemas.Trip
	err = s.read(ctx, "reading trips", `SELECT model, spec_seq, version, fault, feature, window_start, onset, time, topic, partition, offset, onset_offset, bad, rows, value, reason
		FROM trips FINAL WHERE at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
		ORDER BY model, window_start, fault, feature, onset, topic, partition, offset`,
		bound{"since": max(since.UnixMilli(), 0)},
		func() { out = nil },
		func(row driver.Rows) error {
			var t schemas.Trip
			var fault string
			err := row.Scan(&t.Model, &t.SpecSeq, &t.Version, &fault, &t.Feature, &t.WindowStart, &t.Onset, &t.Time, &t.Topic, &t.Partition, &t.Offset, &t.OnsetOffset, &t.Bad, &t.Rows, &t.Value, &t.Reason)
			t.Fault = schemas.Fault(fault)
			out = append(out, t)
			return err
		})
	if err != nil {
		return nil, since, err
	}
	return out, time.UnixMilli(next.at), nil
}
