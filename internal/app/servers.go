package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/embedded"
)

// Servers are the servers that run inside the process, as far as the settings
// ask for them.
type Servers struct {
	kafka      *embedded.Kafka
	nats       *embedded.NATS
	clickhouse *embedded.ClickHouse
}

// StartServers starts the servers that the settings call embedded and returns
// settings that point at them. progress is told about downloads, line by line.
func StartServers(ctx context.Context, s config.Settings, progress func(string), log zerolog.Logger) (*Servers, config.Settings, error) {
	out := &Servers{}
	fail := func(err error) (*Servers, config.Settings, error) { return nil, s, errors.Join(err, out.Close()) }
	var err error
	if s.ClickHouse.Embedded {
		out.clickhouse, err = embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{
			Dir: filepath.Join(s.Data, "clickhouse"), Progress: func(p embedded.Progress) { progress(p.String()) },
			Logger: log.With().Str("component", "clickhouse").Logger(),
		})
		if err != nil {
			return fail(fmt.Errorf("starting ClickHouse: %w", err))
		}
		s.ClickHouse.Addr = []string{out.clickhouse.Addr()}
	}
	if s.Kafka.Embedded {
		out.kafka, err = embedded.StartKafka(ctx, embedded.KafkaConfig{
			Dir: filepath.Join(s.Data, "kafka"), Logger: log.With().Str("component", "kafka").Logger(),
		})
		if err != nil {
			return fail(fmt.Errorf("starting Kafka: %w", err))
		}
		s.Kafka.Brokers = []string{out.kafka.Addr()}
	}
	if s.NATS.Embedded {
		out.nats, err = embedded.StartNATS(ctx, embedded.NATSConfig{
			Dir: filepath.Join(s.Data, "nats"), Logger: log.With().Str("component", "nats").Logger(),
		})
		if err != nil {
			return fail(fmt.Errorf("starting NATS: %w", err))
		}
		s.NATS.URL = out.nats.URL()
	}
	return out, s, nil
}

// Close stops the servers; their data stay where they are.
func (s *Servers) Close() error {
	var errs []error
	if s.kafka != nil {
		errs = append(errs, s.kafka.Close())
	}
	if s.nats != nil {
		errs = append(errs, s.nats.Close())
	}
	if s.clickhouse != nil {
		errs = append(errs, s.clickhouse.Close())
	}
	return errors.Join(errs...)
}
