package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Ping asks the server whether it lets us in and has JetStream. It does so on
// a connection of its own, because the one that is tried for ever in the
// background does not tell why it fails.
func (b *Bus) Ping(ctx context.Context) error {
	options := b.conn.Opts
	options.RetryOnFailedConnect, options.AllowReconnect = false, false
	options.DisconnectedErrCB, options.ReconnectedCB, options.AsyncErrorCB = nil, nil, nil
	conn, err := options.Connect()
	if err != nil {
		return fmt.Errorf("reaching NATS: %w", err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return fmt.Errorf("asking NATS for JetStream: %w", err)
	}
	if _, err := js.AccountInfo(ctx); err != nil {
		return fmt.Errorf("asking NATS for JetStream: %w", err)
	}
	return nil
}
