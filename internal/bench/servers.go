package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/embedded"
)

// Servers are those that a measurement starts because no address was given.
type Servers struct {
	Kafka      string // host:port
	ClickHouse string // host:port of the native protocol
	// Engine is a ClickHouse of the measurement's own, whose time can be taken.
	// It is the same server as ClickHouse where no other was given.
	Engine    string
	EnginePID int
	NoEngine  string // why there is none
	NATS      string // URL

	dir    string
	broker *exec.Cmd
	ending io.Closer
	engine *embedded.ClickHouse
	nats   *embedded.NATS
}

// NoServer is the address of a server that is not needed.
const NoServer = "-"

// Want says which servers there are and which are needed beside them.
type Want struct {
	Kafka, ClickHouse, NATS string // addresses; "" starts one, NoServer none
	Engine                  bool   // an own ClickHouse, if it can be had
	Progress                func(string)
}

// BrokerCommand are the arguments by which this program becomes a broker: one
// inside the measured process would be measured with it.
var BrokerCommand = []string{"bench", "broker"} //nolint:gochecknoglobals // a constant list

// StartServers starts what is not there. Close ends it again.
func StartServers(ctx context.Context, w Want) (s *Servers, err error) {
	s = &Servers{Kafka: w.Kafka, ClickHouse: w.ClickHouse, NATS: w.NATS}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "modelwatch-bench-"); err != nil {
		return s, fmt.Errorf("making a folder for servers: %w", err)
	}
	if w.Kafka == "" {
		w.Progress("starting the embedded broker in a process of its own (--kafka ADDRESS measures with yours)")
		if err := s.startBroker(ctx); err != nil {
			return s, err
		}
	}
	if w.ClickHouse == "" || w.Engine {
		w.Progress("starting a ClickHouse of our own")
		s.engine, err = embedded.StartClickHouse(ctx, embedded.ClickHouseConfig{
			Dir: filepath.Join(s.dir, "clickhouse"), Logger: zerolog.Nop(), MaxMemory: 8 << 30,
			Progress: func(p embedded.Progress) { w.Progress(p.String()) },
		})
		switch {
		case err == nil:
			s.Engine, s.EnginePID = s.engine.Addr(), s.engine.PID()
			if w.ClickHouse == "" {
				s.ClickHouse = s.Engine
			}
		case w.ClickHouse == "" || ctx.Err() != nil:
			return s, err
		default:
			s.NoEngine = err.Error()
		}
	} else {
		s.NoEngine = NotAsked
	}
	if w.NATS == "" {
		w.Progress("starting NATS in this process")
		if s.nats, err = embedded.StartNATS(ctx, embedded.NATSConfig{Dir: filepath.Join(s.dir, "nats"), Logger: zerolog.Nop()}); err != nil {
			return s, err
		}
		s.NATS = s.nats.URL()
	}
	return s, nil
}

// startBroker runs this program as a broker.
func (s *Servers) startBroker(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program's file: %w", err)
	}
	s.broker = exec.Command(self, append(BrokerCommand, filepath.Join(s.dir, "kafka"))...) //nolint:gosec // the program itself
	s.broker.Stderr = os.Stderr
	in, err := s.broker.StdinPipe()
	if err != nil {
		return fmt.Errorf("starting a broker: %w", err)
	}
	out, err := s.broker.StdoutPipe()
	if err != nil {
		return fmt.Errorf("starting a broker: %w", err)
	}
	if err := s.broker.Start(); err != nil {
		return fmt.Errorf("starting a broker: %w", err)
	}
	s.ending = in
	said := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n') // "" where it ended
		said <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Minute):
		return errors.New("starting a broker: no answer after a minute")
	case s.Kafka = <-said:
	}
	if s.Kafka == "" {
		return errors.New("starting a broker: it ended at once")
	}
	return nil
}

// Broker is a broker over a folder that tells its address and ends when in does.
func Broker(ctx context.Context, dir string, in io.Reader, out io.Writer) (err error) {
	k, err := embedded.StartKafka(ctx, embedded.KafkaConfig{Dir: dir, Logger: zerolog.Nop()})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	if _, err := fmt.Fprintln(out, k.Addr()); err != nil {
		return fmt.Errorf("telling the broker's address: %w", err)
	}
	_, _ = io.Copy(io.Discard, in) // any end of the input is the end
	return nil
}

// Close ends the servers and removes their data.
func (s *Servers) Close() error {
	var errs []error
	if s.nats != nil {
		errs = append(errs, s.nats.Close())
	}
	if s.engine != nil {
		errs = append(errs, s.engine.Close())
	}
	if s.ending != nil {
		errs = append(errs, s.ending.Close(), s.broker.Wait())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
