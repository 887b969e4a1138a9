package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/embedded"
)

// Servers are the servers that run inside the process, as far as the settings
// ask for them.
type Servers struct {
	kafka  *embedded.Kafka
	nats   *embedded.NATS
	log    zerolog.Logger
	engine embedded.ClickHouseConfig

	mu         sync.Mutex
	clickhouse *embedded.ClickHouse
	closed     bool
	watching   sync.WaitGroup
}

// StartServers starts the servers that the settings call embedded and returns
// settings that point at them. progress is told about downloads, line by line.
func StartServers(ctx context.Context, s config.Settings, progress func(string), log zerolog.Logger) (*Servers, config.Settings, error) {
	out := &Servers{log: log}
	fail := func(err error) (*Servers, config.Settings, error) { return nil, s, errors.Join(err, out.Close()) }
	var err error
	if s.ClickHouse.Embedded {
		out.engine = embedded.ClickHouseConfig{
			Dir: filepath.Join(s.Data, "clickhouse"), Progress: func(p embedded.Progress) { progress(p.String()) },
			Logger: log.With().Str("component", "clickhouse").Logger(),
		}
		if out.clickhouse, err = embedded.StartClickHouse(ctx, out.engine); err != nil {
			return fail(err)
		}
		out.engine.TCPPort, out.engine.HTTPPort = portOf(out.clickhouse.Addr()), portOf(out.clickhouse.HTTPAddr())
		out.watching.Add(1)
		go out.watch(out.clickhouse)
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

func portOf(addr string) int {
	_, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port)
	return n
}

// watch starts the engine again, on its data and ports, whenever it ends by
// itself. What was being written is written again by whoever waits for it.
func (s *Servers) watch(c *embedded.ClickHouse) {
	defer s.watching.Done()
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		<-c.Done()
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return
		}
		s.log.Error().Err(c.Err()).Dur("restart_in", pause).Msg("the embedded ClickHouse has ended")
		time.Sleep(pause)
		_ = c.Close()
		again, err := embedded.StartClickHouse(context.Background(), s.engine)
		if err != nil {
			s.log.Error().Err(err).Msg("the embedded ClickHouse does not start again; see to it and restart modelwatch")
			s.mu.Unlock()
			return
		}
		s.clickhouse, c = again, again
		s.mu.Unlock()
	}
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
	s.mu.Lock()
	s.closed = true
	if s.clickhouse != nil {
		errs = append(errs, s.clickhouse.Close())
	}
	s.mu.Unlock()
	s.watching.Wait()
	return errors.Join(errs...)
}
