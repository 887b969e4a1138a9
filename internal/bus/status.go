package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/modelwatch/modelwatch/schemas"
)

// Status is what a job has said of its request, with the message that
// carried it.
type Status struct {
	schemas.RetrainStatus
	Sequence uint64 // of the message in its stream
	Time     time.Time
	Message  schemas.Message // to be published again should the stream be lost
}

const (
	statusConsumer = "modelwatch-statuses"
	statusRetry    = 5 * time.Second // before a status that could not be kept is given again
	statusWait     = 2 * time.Second // for the next one
)

// WatchStatuses hands every status of a retraining job to keep, in the order
// of the stream, until ctx ends. A status is given again until keep returns
// nil, and perhaps once more after that. One that cannot be a status is
// counted as read and logged. Replicas share the work.
func (b *Bus) WatchStatuses(ctx context.Context, keep func(context.Context, Status) error) error {
	quiet := false
	for ctx.Err() == nil {
		err := b.readStatuses(ctx, keep)
		if err == nil || ctx.Err() != nil {
			quiet = false
			continue
		}
		if !quiet && b.Connected() {
			b.log.Warn().Err(err).Msg("statuses of retraining jobs cannot be read")
		}
		quiet = true
		select {
		case <-ctx.Done():
		case <-time.After(statusWait):
		}
	}
	return nil
}

// readStatuses reads until something fails.
func (b *Bus) readStatuses(ctx context.Context, keep func(context.Context, Status) error) error {
	if err := b.EnsureStreams(ctx); err != nil {
		return err
	}
	consumer, err := b.js.CreateOrUpdateConsumer(ctx, schemas.StreamRetrain, jetstream.ConsumerConfig{
		Durable: statusConsumer, FilterSubject: schemas.SubjectRetrainStatus + ".>", AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: time.Minute, MaxDeliver: -1, MaxAckPending: 1, // in order
	})
	if err != nil {
		return fmt.Errorf("making the consumer of statuses: %w", err)
	}
	for ctx.Err() == nil {
		msg, err := consumer.Next(jetstream.FetchMaxWait(statusWait))
		if errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrNoMessages) {
			// Silence is also what a stream that was made anew without this consumer gives.
			if _, err := consumer.Info(ctx); err != nil {
				return fmt.Errorf("looking at the consumer of statuses: %w", err)
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("reading a status: %w", err)
		}
		if err := b.takeStatus(ctx, msg, keep); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bus) takeStatus(ctx context.Context, msg jetstream.Msg, keep func(context.Context, Status) error) error {
	status, err := parseStatus(msg)
	if err != nil {
		b.log.Warn().Err(err).Str("subject", msg.Subject()).Msg("a message is no status of a retraining job")
		if err := msg.Term(); err != nil {
			return fmt.Errorf("passing over a status: %w", err)
		}
		return nil
	}
	if err := keep(ctx, status); err != nil {
		return errors.Join(fmt.Errorf("keeping a status: %w", err), msg.NakWithDelay(statusRetry))
	}
	if err := msg.DoubleAck(ctx); err != nil {
		return fmt.Errorf("acknowledging a status: %w", err)
	}
	return nil
}

// parseStatus checks what a job has written: the body must speak of the
// request that the subject names, as it is or escaped.
func parseStatus(msg jetstream.Msg) (Status, error) {
	var s Status
	meta, err := msg.Metadata()
	if err != nil {
		return s, fmt.Errorf("reading its place: %w", err)
	}
	if err := json.Unmarshal(msg.Data(), &s.RetrainStatus); err != nil {
		return s, fmt.Errorf("reading its body: %w", err)
	}
	switch schemas.RetrainState(s.State) {
	case schemas.RetrainClaimed, schemas.RetrainSucceeded, schemas.RetrainFailed:
	default:
		return s, fmt.Errorf("state %q is not claimed, succeeded or failed", s.State)
	}
	names := strings.TrimPrefix(msg.Subject(), schemas.SubjectRetrainStatus+".")
	escaped := schemas.SubjectToken(s.Model) + "." + schemas.SubjectToken(s.Request)
	if s.Request == "" || names != escaped && names != s.Model+"."+s.Request {
		return s, fmt.Errorf("request %q of model %q does not belong to the subject", s.Request, s.Model)
	}
	s.Sequence, s.Time = meta.Sequence.Stream, meta.Timestamp.UTC()
	s.Message = schemas.Message{
		ID:     fmt.Sprintf("status.%s.%s", s.Request, s.State),
		Stream: schemas.StreamRetrain, Subject: msg.Subject(), Headers: map[string]string{}, Body: msg.Data(),
	}
	for k, v := range msg.Headers() {
		// The server's own headers belong to the publish that carried them.
		if len(v) > 0 && !strings.HasPrefix(k, "Nats-") {
			s.Message.Headers[k] = v[0]
		}
	}
	return s, nil
}
