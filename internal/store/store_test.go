package store_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// open returns a migrated store in a database of its own.
func open(tb testing.TB, change ...func(*store.Config)) (*store.Store, string) {
	tb.Helper()
	server := testkit.ClickHouse(tb)
	database := server.Database(tb)
	s := openAt(tb, server.Addr, database, change...)
	if err := s.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s, database
}

func openAt(tb testing.TB, addr, database string, change ...func(*store.Config)) *store.Store {
	tb.Helper()
	cfg := store.DefaultConfig()
	cfg.Addr, cfg.Database, cfg.Tick = []string{addr}, database, time.Millisecond
	for _, f := range change {
		f(&cfg)
	}
	s, err := store.Open(cfg, zerolog.New(zerolog.NewTestWriter(tb)).Level(zerolog.WarnLevel))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func background(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Minute)
	tb.Cleanup(cancel)
	return ctx
}
