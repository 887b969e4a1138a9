package app_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/app"
	"github.com/modelwatch/modelwatch/internal/config"
)

// A service whose pages nobody could see says so and ends, also while it waits
// for its servers.
func TestAddressThatIsTaken(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	const nobody = "127.0.0.1:1"
	settings := *config.Default()
	settings.Kafka.Brokers = []string{nobody}
	settings.ClickHouse.Addr = []string{nobody}
	settings.NATS.URL = "nats://" + nobody
	settings.Monitors = t.TempDir()
	settings.HTTP.Listen = taken.Addr().String()
	service, err := app.New(settings, "test", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := service.Run(ctx); err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "listening on "+settings.HTTP.Listen) {
		t.Errorf("it ended with %v", err)
	}
}
