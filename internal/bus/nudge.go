package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/modelwatch/modelwatch/schemas"
)

// Nudge tells the other replicas that there is something new of a model. It
// is not kept and may be lost: they look by themselves soon after.
func (b *Bus) Nudge(model string) error {
	if err := b.conn.Publish(schemas.SubjectNudge, []byte(model)); err != nil {
		return fmt.Errorf("nudging: %w", err)
	}
	return nil
}

// Nudges calls f with the model of every nudge, its own ones too, until ctx
// ends. f must return soon.
func (b *Bus) Nudges(ctx context.Context, f func(model string)) error {
	sub, err := b.conn.Subscribe(schemas.SubjectNudge, func(m *nats.Msg) { f(string(m.Data)) })
	if err != nil {
		return fmt.Errorf("listening for nudges: %w", err)
	}
	<-ctx.Done()
	if err := sub.Unsubscribe(); err != nil && b.conn.IsConnected() {
		return fmt.Errorf("ending to listen for nudges: %w", err)
	}
	return nil
}
