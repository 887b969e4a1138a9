package app

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/backtest"
	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/schemas"
)

// MonitorOf returns the monitor of a model.
func MonitorOf(monitors []config.Monitor, model string) (*config.Monitor, error) {
	return (&offline{monitors: monitors}).monitor(model)
}

// Backtest tells what would have been said of a model over what is stored of
// it. It reads the database as it is, and changes nothing.
func Backtest(ctx context.Context, s config.Settings, m *config.Monitor, o backtest.Options, log zerolog.Logger) (*backtest.Report, error) {
	if s.ClickHouse.Embedded {
		s.ClickHouse.Addr = []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(readPorts(s.Data).ClickHouse))}
	}
	cfg, err := storeConfig(s.ClickHouse)
	if err != nil {
		return nil, err
	}
	db, err := store.Open(cfg, log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // nothing is under way any more
	if err := db.Attach(ctx); err != nil {
		if s.ClickHouse.Embedded {
			err = fmt.Errorf("%w (it is embedded in `modelwatch run`, which has to run)", err)
		}
		return nil, err
	}
	o.Monitor = m.Monitor
	return backtest.Stored(ctx, backtest.StoredOptions{Options: o, History: db, Baselines: map[string]*schemas.Baseline{m.Spec.Baseline: m.Baseline}})
}
