package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

	ctx      context.Context // ends with Close
	closing  context.CancelFunc
	watching sync.WaitGroup

	mu         sync.Mutex
	clickhouse *embedded.ClickHouse // the one that runs, or ran last
}

// StartServers starts the servers that the settings call embedded and returns
// settings that point at them. progress is told about downloads, line by line.
func StartServers(ctx context.Context, s config.Settings, progress func(string), log zerolog.Logger) (*Servers, config.Settings, error) {
	out := &Servers{log: log}
	out.ctx, out.closing = context.WithCancel(context.Background())
	ports := readPorts(s.Data)
	fail := func(err error) (*Servers, config.Settings, error) { return nil, s, errors.Join(err, out.Close()) }
	var err error
	if s.ClickHouse.Embedded {
		out.engine = embedded.ClickHouseConfig{
			Dir: filepath.Join(s.Data, "clickhouse"), TCPPort: free(ports.ClickHouse), HTTPPort: free(ports.ClickHouseHTTP), Progress: func(p embedded.Progress) { progress(p.String()) },
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
			Dir: filepath.Join(s.Data, "kafka"), Port: free(ports.Kafka), Topics: topicsOf(s.Monitors), Logger: log.With().Str("component", "kafka").Logger(),
		})
		if err != nil {
			return fail(fmt.Errorf("starting Kafka: %w", err))
		}
		s.Kafka.Brokers = []string{out.kafka.Addr()}
	}
	if s.NATS.Embedded {
		out.nats, err = embedded.StartNATS(ctx, embedded.NATSConfig{
			Dir: filepath.Join(s.Data, "nats"), Port: free(ports.NATS), Logger: log.With().Str("component", "nats").Logger(),
		})
		if err != nil {
			return fail(fmt.Errorf("starting NATS: %w", err))
		}
		s.NATS.URL = out.nats.URL()
	}
	if err := out.keepPorts(s.Data, ports); err != nil {
		return fail(err)
	}
	return out, s, nil
}

// serverPorts are the ports of embedded servers. They are kept with the data,
// so that publishers find the servers where they were.
type serverPorts struct {
	Kafka          int `json:"kafka"`
	ClickHouse     int `json:"clickhouse"`
	ClickHouseHTTP int `json:"clickhouse_http"`
	NATS           int `json:"nats"`
}

func portsPath(data string) string { return filepath.Join(data, "ports.json") }

// readPorts returns the ports of the last start, or the servers' usual ones.
func readPorts(data string) serverPorts {
	p := serverPorts{Kafka: 9092, ClickHouse: 9000, ClickHouseHTTP: 8123, NATS: 4222}
	if body, err := os.ReadFile(portsPath(data)); err == nil {
		_ = json.Unmarshal(body, &p) // what cannot be read is chosen anew
	}
	return p
}

// keepPorts notes the ports of the servers that were started.
func (s *Servers) keepPorts(data string, p serverPorts) error {
	if s.kafka != nil {
		p.Kafka = portOf(s.kafka.Addr())
	}
	if s.clickhouse != nil {
		p.ClickHouse, p.ClickHouseHTTP = s.engine.TCPPort, s.engine.HTTPPort
	}
	if s.nats != nil {
		p.NATS = portOf(strings.TrimPrefix(s.nats.URL(), "nats://"))
	}
	if s.kafka == nil && s.clickhouse == nil && s.nats == nil {
		return nil
	}
	body, err := json.Marshal(p)
	if err == nil {
		err = os.WriteFile(portsPath(data), body, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keeping the ports of embedded servers: %w", err)
	}
	return nil
}

// free returns the port if nothing listens there, else 0, which asks for any.
func free(port int) int {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return 0
	}
	_ = l.Close()
	return port
}

// topicPartitions is how many partitions a topic gets that the embedded broker
// makes for a monitor.
const topicPartitions = 3

// topicsOf lists the topics of the sound monitors in a folder; what is wrong
// with the others is told when they are loaded.
func topicsOf(monitors string) map[string]int32 {
	found, _ := config.Monitors(monitors)
	out := map[string]int32{}
	for _, m := range found {
		for _, topic := range m.Topics {
			out[topic] = topicPartitions
		}
	}
	return out
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
	pause := time.Second
	for {
		began := time.Now()
		<-c.Done()
		if s.ctx.Err() != nil {
			return
		}
		if time.Since(began) > time.Hour {
			pause = time.Second
		}
		s.log.Error().Err(c.Err()).Dur("restart_in", pause).Msg("the embedded ClickHouse has ended")
		_ = c.Close()
		for again := (*embedded.ClickHouse)(nil); again == nil; c = again {
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, time.Minute)
			var err error
			if again, err = embedded.StartClickHouse(s.ctx, s.engine); err != nil {
				s.log.Error().Err(err).Dur("retry_in", pause).Msg("the embedded ClickHouse does not start again")
			}
		}
		s.mu.Lock()
		s.clickhouse = c
		s.mu.Unlock()
	}
}

func (s *Servers) present() *embedded.ClickHouse {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clickhouse
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
	s.closing()
	if engine := s.present(); engine != nil {
		errs = append(errs, engine.Close())
	}
	s.watching.Wait()
	if engine := s.present(); engine != nil {
		errs = append(errs, engine.Close()) // it may just have been started again
	}
	return errors.Join(errs...)
}
