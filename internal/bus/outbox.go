package bus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/schemas"
)

// Journal is where messages come from and where it is noted that they went.
type Journal interface {
	// Unsent returns messages that are not marked, those of one incident in order.
	Unsent(ctx context.Context) ([]schemas.Message, error)
	MarkSent(ctx context.Context, ids []string) error
	// Resend returns all messages of a stream since a moment, sent or not.
	Resend(ctx context.Context, stream string, since time.Time) ([]schemas.Message, error)
	// BusCreated returns when a stream was created, as noted; zero for never.
	BusCreated(ctx context.Context, stream string) (time.Time, error)
	SetBusCreated(ctx context.Context, stream string, created time.Time) error
}

// Outbox publishes what the journal has to say.
type Outbox struct {
	bus     *Bus
	journal Journal
	nudge   chan struct{}
	refused map[string]bool // ids of messages that the server will never take

	connection uint64 // that a turn is made on, counted
	Stats      Stats
}

// Stats counts messages. All fields only grow.
type Stats struct {
	Published, Already, Failed, Refused, Refilled atomic.Int64
}

// NewOutbox returns an outbox; Run starts it.
func NewOutbox(b *Bus, j Journal) *Outbox {
	return &Outbox{bus: b, journal: j, nudge: make(chan struct{}, 1), refused: map[string]bool{}}
}

// Nudge says that there is something new in the journal.
func (o *Outbox) Nudge() {
	select {
	case o.nudge <- struct{}{}:
	default:
	}
}

const (
	outboxPoll = time.Second
	outboxMost = 15 * time.Second // between two tries while NATS is away
)

// Run publishes until ctx ends, in order of each incident: after a failure
// nothing more of that incident goes out before what failed. While NATS is
// away it tries on; messages wait in the journal.
func (o *Outbox) Run(ctx context.Context) error {
	wait := outboxPoll
	ready := false
	for {
		// Behind a new connection may be a server that has lost its disk.
		if now := o.bus.conn.Stats().Reconnects; now != o.connection {
			ready, o.connection = false, now
		}
		err := o.turn(ctx, &ready)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was told to stop, and that is no failure
		case err == nil:
			wait = outboxPoll
		default:
			ready = false // look at the streams again
			if wait == outboxPoll {
				o.bus.log.Warn().Err(err).Msg("the outbox waits")
			}
			wait = min(2*wait, outboxMost)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-o.nudge:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// turn makes sure of the streams where that is needed, and empties the outbox once.
func (o *Outbox) turn(ctx context.Context, ready *bool) error {
	if !o.bus.Connected() {
		return nats.ErrDisconnected
	}
	if !*ready {
		if err := o.bus.EnsureStreams(ctx); err != nil {
			return err
		}
		for _, s := range streams {
			if err := o.refill(ctx, s.name); err != nil {
				return err
			}
		}
		*ready = true
	}
	for {
		messages, err := o.journal.Unsent(ctx)
		if err != nil {
			return fmt.Errorf("reading the outbox: %w", err)
		}
		sent, err := o.publish(ctx, messages)
		if len(sent) > 0 {
			if mark := o.journal.MarkSent(ctx, sent); mark != nil {
				return fmt.Errorf("marking messages as sent: %w", mark)
			}
			faultpoint.Reach(faultpoint.Marked)
		}
		if err != nil || len(sent) == 0 {
			return err
		}
	}
}

// errReconnected ends a turn whose connection was lost.
var errReconnected = errors.New("the connection is another one than before")

// publish publishes messages and returns the ids of those that are stored. It
// ends with the connection: behind the next one may be a stream that is new
// and not filled again yet, where a message would come before its predecessors.
func (o *Outbox) publish(ctx context.Context, messages []schemas.Message) (sent []string, err error) {
	blocked := map[string]bool{} // incidents of which a message failed
	var errs []error
	for _, m := range messages {
		if m.Incident != "" && blocked[m.Incident] {
			continue
		}
		if o.refused[m.ID] {
			continue
		}
		if o.bus.conn.Stats().Reconnects != o.connection {
			errs = append(errs, errReconnected)
			break
		}
		stored, err := o.bus.Publish(ctx, m)
		if errors.Is(err, ErrRefused) {
			// It stays unsent, where it is seen, and holds back nothing else.
			o.refused[m.ID] = true
			o.Stats.Refused.Add(1)
			o.bus.log.Error().Err(err).Str("message", m.ID).Msg("a message cannot be published")
			continue
		}
		if err != nil {
			o.Stats.Failed.Add(1)
			blocked[m.Incident] = true
			errs = append(errs, err)
			if ctx.Err() != nil || !o.bus.Connected() {
				break
			}
			continue
		}
		if stored {
			o.Stats.Published.Add(1)
		} else {
			o.Stats.Already.Add(1)
		}
		faultpoint.Reach(faultpoint.Published)
		sent = append(sent, m.ID)
	}
	return sent, errors.Join(errs...)
}

// refill publishes a stream's messages again when it is another stream than
// the one they were published to: its disk was lost.
func (o *Outbox) refill(ctx context.Context, stream string) error {
	is, err := o.bus.created(ctx, stream)
	if err != nil {
		return err
	}
	was, err := o.journal.BusCreated(ctx, stream)
	if err != nil {
		return fmt.Errorf("reading when stream %s was created: %w", stream, err)
	}
	if was.Equal(is) {
		return nil
	}
	if !was.IsZero() {
		messages, err := o.journal.Resend(ctx, stream, faultpoint.Now().Add(-o.bus.cfg.MaxAge))
		if err != nil {
			return fmt.Errorf("reading the messages of stream %s: %w", stream, err)
		}
		o.bus.log.Warn().Str("stream", stream).Int("messages", len(messages)).Msg("the stream was made anew; filling it from the journal")
		sent, err := o.publish(ctx, messages)
		o.Stats.Refilled.Add(int64(len(sent)))
		if err != nil {
			return err
		}
	}
	if err := o.journal.SetBusCreated(ctx, stream, is); err != nil {
		return fmt.Errorf("noting when stream %s was created: %w", stream, err)
	}
	return nil
}
