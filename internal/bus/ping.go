package bus

import (
	"context"
	"errors"
	"fmt"
)

// Ping waits for the server and asks whether its JetStream is open to us.
func (b *Bus) Ping(ctx context.Context) error {
	if err := b.conn.FlushWithContext(ctx); err != nil {
		// What a connection that is tried for ever met last tells more than the end of the time.
		return fmt.Errorf("reaching NATS: %w", errors.Join(b.conn.LastError(), err))
	}
	if _, err := b.js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("asking NATS for JetStream: %w", err)
	}
	return nil
}
