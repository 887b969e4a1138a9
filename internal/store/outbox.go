package store

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/schemas"
)

// outboxFloor is the time before which every message is known to be sent, so
// that the sweep need not look at the whole journal each time.
type outboxFloor struct {
	mu sync.Mutex
	at int64 // Unix milliseconds by the server's clock
}

const (
	// outboxOverlap covers inserts that become visible late and clocks of replicas that differ.
	outboxOverlap = 10 * 60_000
	// outboxLimit bounds the messages of one read.
	outboxLimit = 1000
)

// Unsent returns journalled messages that are not marked as sent, at most
// 1000, each model's in the order in which they were decided; so the
// messages of one incident come in their order.
func (s *Store) Unsent(ctx context.Context) ([]schemas.Message, error) {
	next, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	s.outbox.mu.Lock()
	floor := s.outbox.at
	s.outbox.mu.Unlock()
	var out []schemas.Message
	earliest := next.at
	err = s.read(ctx, "reading the outbox", fmt.Sprintf(`SELECT parameters, body, toUnixTimestamp64Milli(at) FROM journal
		WHERE kind = 'message' AND at >= fromUnixTimestamp64Milli({floor:Int64}, 'UTC')
			AND subject NOT IN (SELECT id FROM sent WHERE at >= fromUnixTimestamp64Milli({floor:Int64}, 'UTC'))
		ORDER BY model, step, ordinal LIMIT %d`, outboxLimit), bound{"floor": floor},
		func() { out, earliest = nil, next.at },
		func(row driver.Rows) error {
			var at int64
			m, err := scanMessage(row, &at)
			out = append(out, m)
			earliest = min(earliest, at)
			return err
		})
	if err != nil {
		return nil, err
	}
	if len(out) < outboxLimit {
		s.outbox.mu.Lock()
		s.outbox.at = max(s.outbox.at, earliest-outboxOverlap)
		s.outbox.mu.Unlock()
	}
	return out, nil
}

func scanMessage(row driver.Rows, more ...any) (schemas.Message, error) {
	var m schemas.Message
	var envelope, body []byte
	if err := row.Scan(append([]any{&envelope, &body}, more...)...); err != nil {
		return m, err
	}
	if err := json.Unmarshal(envelope, &m); err != nil {
		return m, fmt.Errorf("reading a message's envelope: %w", err)
	}
	m.Body = clone(body)
	return m, nil
}

// MarkSent notes that the bus has taken these messages, by their ids.
func (s *Store) MarkSent(ctx context.Context, ids []string) error {
	if faultpoint.Broken(faultpoint.OutboxUnmarked) {
		return nil
	}
	rows := columns{{"id", (*list[string])(&ids)}}
	return s.forever(ctx, "marking messages as sent", func(ctx context.Context) error { return s.insert(ctx, "sent", rows) })
}

// Resend returns what has to be published again on a stream of the bus that
// has lost its content: the last final status of each retrain request, then
// the journalled messages, of both those not older than since. They come in
// the order of Unsent, without bound in number.
func (s *Store) Resend(ctx context.Context, stream string, since time.Time) ([]schemas.Message, error) {
	of := bound{"stream": stream, "since": since.UnixMilli()}
	var out []schemas.Message
	err := s.read(ctx, "reading final statuses to publish again", `SELECT message, '' FROM statuses FINAL
		WHERE state IN ('succeeded', 'failed') AND at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
			AND JSONExtractString(message, 'stream') = {stream:String}
		ORDER BY request, time DESC, sequence DESC LIMIT 1 BY request`, of,
		func() { out = nil },
		func(row driver.Rows) error {
			var envelope, none []byte
			if err := row.Scan(&envelope, &none); err != nil {
				return err
			}
			var m schemas.Message
			err := json.Unmarshal(envelope, &m)
			out = append(out, m)
			return err
		})
	if err != nil {
		return nil, err
	}
	statuses := len(out)
	err = s.read(ctx, "reading messages to publish again", `SELECT parameters, body FROM journal
		WHERE kind = 'message' AND at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')
			AND JSONExtractString(parameters, 'stream') = {stream:String}
		ORDER BY model, step, ordinal`, of,
		func() { out = out[:statuses] },
		func(row driver.Rows) error {
			m, err := scanMessage(row)
			out = append(out, m)
			return err
		})
	return out, err
}

// Status is what a job has said, with the message that carried it.
type Status struct {
	schemas.RetrainStatus
	Sequence uint64 // of the message in its stream
	Time     time.Time
	Message  schemas.Message
}

// SaveStatus mirrors a retrain status; saving it again changes nothing.
func (s *Store) SaveStatus(ctx context.Context, status Status) error {
	body, err := json.Marshal(&status.RetrainStatus)
	if err != nil {
		return fmt.Errorf("storing a retrain status: %w", err)
	}
	message, err := json.Marshal(&status.Message)
	if err != nil {
		return fmt.Errorf("storing a retrain status: %w", err)
	}
	row := columns{
		{"request", &list[string]{status.Request}},
		{"sequence", &list[uint64]{status.Sequence}},
		{"model", &list[string]{status.Model}},
		{"state", &list[string]{status.State}},
		{"by", &list[string]{status.By}},
		{"status", &list[string]{string(body)}},
		{"message", &list[string]{string(message)}},
		{"time", &list[int64]{status.Time.UnixMilli()}},
	}
	return s.forever(ctx, "storing a retrain status", func(ctx context.Context) error { return s.insert(ctx, "statuses", row) })
}

// BusCreated returns when a stream of the bus was created, as it was last
// noted; the zero time when it never was.
func (s *Store) BusCreated(ctx context.Context, stream string) (time.Time, error) {
	var at time.Time
	err := s.read(ctx, "reading when a stream was created", "SELECT created FROM bus_streams FINAL WHERE stream = {stream:String}",
		bound{"stream": stream}, func() { at = time.Time{} },
		func(row driver.Rows) error {
			var nanos int64
			err := row.Scan(&nanos)
			at = time.Unix(0, nanos).UTC()
			return err
		})
	return at, err
}

// SetBusCreated notes when a stream of the bus was created. An earlier time
// than the one noted changes nothing.
func (s *Store) SetBusCreated(ctx context.Context, stream string, created time.Time) error {
	row := columns{{"stream", &list[string]{stream}}, {"created", &list[int64]{created.UnixNano()}}}
	return s.forever(ctx, "noting when a stream was created", func(ctx context.Context) error { return s.insert(ctx, "bus_streams", row) })
}
