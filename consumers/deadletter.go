package consumers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
)

// MaxDeadLetterValue is how much of a value goes into a dead letter.
const MaxDeadLetterValue = 64 << 10

// DeadLetter is a record, or a range of offsets, that could not be used.
type DeadLetter struct {
	// Reason is a short word fit for a label.
	Reason string
	// Model is the model it was meant for, "" where that cannot be told.
	Model     string
	Topic     string
	Partition int32
	Offset    int64
	// Last is the last offset it stands for; at or below Offset for one record.
	Last int64
	// Size is the length of the whole, for a batch that was not kept; otherwise
	// zero, and the length of Value is taken.
	Size int
	// Value is cut to MaxDeadLetterValue bytes; its hash is of the whole.
	Value []byte
	// Withheld leaves out the value and its hash, by which it could be guessed:
	// it may hold what is sensitive. Where the record is, is still told.
	Withheld bool
}

// DeadLetters writes dead letters to [DeadLetterTopic], at least once: what was
// put and flushed is acknowledged by all replicas, and a replay puts it again.
// Letters that the broker refuses for good (no right to write, too large for the
// topic) are counted in Stats.LostLetters and logged, so that a wrong setting of
// that topic stops nothing.
type DeadLetters struct {
	client *Client
	stats  *Stats
	log    zerolog.Logger

	mu      sync.Mutex
	queue   []kafka.Message
	put     int64         // letters ever queued
	settled int64         // of those, the first so many are acknowledged or lost
	moved   chan struct{} // closed and made anew when any of the above changes
}

// NewDeadLetters makes a writer; it holds up to Config.DeadLetterQueue letters.
func NewDeadLetters(c *Client) *DeadLetters {
	return &DeadLetters{client: c, stats: c.stats, log: c.log, moved: make(chan struct{})}
}

// Put queues a letter; its value is copied. It blocks while the queue is full,
// until ctx ends.
func (d *DeadLetters) Put(ctx context.Context, l DeadLetter) error {
	sum := sha256.Sum256(l.Value)
	size := max(l.Size, len(l.Value))
	var value []byte
	if !l.Withheld {
		value = append(value, l.Value[:min(len(l.Value), MaxDeadLetterValue)]...)
	}
	m := kafka.Message{
		Topic: DeadLetterTopic,
		Key:   fmt.Appendf(nil, "%s/%d", l.Topic, l.Partition),
		Value: value,
		Headers: []kafka.Header{
			{Key: "reason", Value: clip(l.Reason)},
			{Key: "topic", Value: []byte(l.Topic)},
			{Key: "partition", Value: strconv.AppendInt(nil, int64(l.Partition), 10)},
			{Key: "offset", Value: strconv.AppendInt(nil, l.Offset, 10)},
			{Key: "size", Value: strconv.AppendInt(nil, int64(size), 10)},
		},
	}
	switch {
	case l.Withheld:
		m.Headers = append(m.Headers, kafka.Header{Key: "withheld", Value: []byte("sensitive")})
	case len(l.Value) > 0:
		m.Headers = append(m.Headers, kafka.Header{Key: "sha256", Value: hex.AppendEncode(nil, sum[:])})
	}
	if l.Last > l.Offset {
		m.Headers = append(m.Headers, kafka.Header{Key: "last_offset", Value: strconv.AppendInt(nil, l.Last, 10)})
	}
	if l.Model != "" {
		m.Headers = append(m.Headers, kafka.Header{Key: "model", Value: clip(l.Model)})
	}
	for {
		d.mu.Lock()
		moved := d.moved
		if len(d.queue) < d.client.cfg.DeadLetterQueue {
			d.queue = append(d.queue, m)
			d.put++
			d.signal()
			d.mu.Unlock()
			return nil
		}
		d.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("queueing a dead letter of %s/%d@%d: %w", l.Topic, l.Partition, l.Offset, ctx.Err())
		}
	}
}

// clip bounds a header that may come from an event.
func clip(s string) []byte { return []byte(s[:min(len(s), 256)]) }

// signal wakes all who wait for the queue to change; the mutex is held.
func (d *DeadLetters) signal() {
	close(d.moved)
	d.moved = make(chan struct{})
}

// take waits for letters and removes up to deadLetterBatch of them; nil when ctx
// ends.
func (d *DeadLetters) take(ctx context.Context) []kafka.Message {
	for {
		d.mu.Lock()
		moved := d.moved
		if n := min(len(d.queue), deadLetterBatch); n > 0 {
			batch := slices.Clone(d.queue[:n])
			d.queue = slices.Delete(d.queue, 0, n)
			d.signal()
			d.mu.Unlock()
			return batch
		}
		d.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return nil
		}
	}
}

func (d *DeadLetters) settle(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.settled += int64(n)
	d.signal()
}

// Flush waits until every letter put before the call is acknowledged, or counted
// as lost.
func (d *DeadLetters) Flush(ctx context.Context) error {
	d.mu.Lock()
	until := d.put
	d.mu.Unlock()
	for {
		d.mu.Lock()
		done, moved := d.settled >= until, d.moved
		d.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("flushing dead letters: %w", ctx.Err())
		}
	}
}

// Run writes until ctx ends. Letters still queued then are not written; those
// that matter were flushed, the rest come again with the replay.
func (d *DeadLetters) Run(ctx context.Context) error {
	w := &kafka.Writer{
		Addr: d.client.addr, Transport: d.client.transport,
		Balancer: &kafka.Hash{}, RequiredAcks: kafka.RequireAll,
		BatchSize: deadLetterBatch, BatchTimeout: 5 * time.Millisecond, BatchBytes: 512 << 10,
		MaxAttempts: 1, ReadTimeout: d.client.cfg.RequestTimeout, WriteTimeout: d.client.cfg.RequestTimeout,
	}
	defer func() { _ = w.Close() }()
	ready := false
	for {
		batch := d.take(ctx)
		if batch == nil {
			return nil
		}
		if !ready {
			ready = d.ensure(ctx)
		}
		if n := len(batch); d.write(ctx, w, batch) {
			d.settle(n)
		}
	}
}

// deadLetterBatch letters at the full length of their values stay near 8 MiB.
const deadLetterBatch = 128

// ensure creates the topic. It gives up where that is forbidden: the topic may
// exist for writers who may not see it.
func (d *DeadLetters) ensure(ctx context.Context) bool {
	for fails := 1; ctx.Err() == nil; fails++ {
		err := d.client.EnsureTopic(ctx, DeadLetterTopic)
		if err == nil {
			return true
		}
		d.stats.failed(err)
		if permanent(err) {
			d.log.Error().Err(err).Msg("the topic of dead letters cannot be made")
			return true
		}
		sleep(ctx, backoff(fails), nil)
	}
	return false
}

// permanent says whether time will not heal an error of a write.
func permanent(err error) bool {
	var code kafka.Error
	if !errors.As(err, &code) {
		return errors.As(err, new(kafka.MessageTooLargeError))
	}
	switch code {
	case kafka.TopicAuthorizationFailed, kafka.ClusterAuthorizationFailed, kafka.MessageSizeTooLarge,
		kafka.RecordListTooLarge, kafka.InvalidTopic, kafka.InvalidRequiredAcks, kafka.PolicyViolation,
		kafka.UnsupportedVersion, kafka.InvalidReplicationFactor:
		return true
	}
	return false
}

// write tries until every letter is acknowledged or lost; false when ctx ended
// before.
func (d *DeadLetters) write(ctx context.Context, w *kafka.Writer, batch []kafka.Message) bool {
	for fails := 1; ; fails++ {
		err := w.WriteMessages(ctx, batch...)
		if err == nil {
			d.stats.DeadLetters.Add(int64(len(batch)))
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		d.stats.failed(err)
		if batch = d.refused(batch, err); len(batch) == 0 {
			return true
		}
		if fails == 1 {
			d.log.Warn().Err(err).Int("letters", len(batch)).Msg("dead letters are not taken, trying on")
		}
		sleep(ctx, backoff(fails), nil)
	}
}

// refused counts what was written and what never will be, and returns the rest.
func (d *DeadLetters) refused(batch []kafka.Message, err error) []kafka.Message {
	var each kafka.WriteErrors
	if !errors.As(err, &each) || len(each) != len(batch) {
		each = make(kafka.WriteErrors, len(batch))
		for i := range each {
			each[i] = err
		}
	}
	left := batch[:0]
	lost := 0
	for i, m := range batch {
		switch {
		case each[i] == nil:
			d.stats.DeadLetters.Add(1)
		case permanent(each[i]):
			lost++
		default:
			left = append(left, m)
		}
	}
	if before := d.stats.LostLetters.Add(int64(lost)) - int64(lost); lost > 0 && before == 0 {
		d.log.Error().Err(err).Msg("dead letters are refused and lost, counting them from here on")
	}
	return left
}
