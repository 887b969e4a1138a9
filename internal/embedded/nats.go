package embedded

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/embedded/filelock"
)

const (
	loopback = "127.0.0.1"
	// natsReady bounds the time to restore streams and to listen.
	natsReady = 30 * time.Second
)

// NATSConfig says where NATS keeps its streams.
type NATSConfig struct {
	Dir    string
	Port   int // 0: a free one
	Logger zerolog.Logger
}

// NATS is a running NATS server with JetStream.
type NATS struct {
	server  *natsserver.Server
	lock    *filelock.Lock
	url     string
	closing sync.Once
	err     error
}

// StartNATS starts NATS with JetStream over a directory. Every message is
// flushed to disk before it is acknowledged: alerts and requests are few, and
// an acknowledged one is never said again.
func StartNATS(ctx context.Context, cfg NATSConfig) (*NATS, error) {
	lock, err := ownDir(ctx, cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("starting embedded NATS: %w", err)
	}
	server, err := runNATS(ctx, cfg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting embedded NATS: %w", err), lock.Release())
	}
	return &NATS{server: server, lock: lock, url: server.ClientURL()}, nil
}

func runNATS(ctx context.Context, cfg NATSConfig) (*natsserver.Server, error) {
	port := cfg.Port
	if port == 0 {
		port = natsserver.RANDOM_PORT
	}
	server, err := natsserver.NewServer(&natsserver.Options{
		ServerName: "modelwatch",
		Host:       loopback,
		Port:       port,
		JetStream:  true,
		StoreDir:   filepath.Join(cfg.Dir, "data"),
		SyncAlways: true,
		NoSigs:     true, // signals belong to the program
	})
	if err != nil {
		return nil, err
	}
	log := &natsLog{Logger: cfg.Logger, fatal: make(chan error, 1)}
	// The server formats debug lines only when told to, and traces every
	// message when told to: neither is wanted.
	server.SetLoggerV2(log, false, false, false)
	go server.Start()

	deadline := time.NewTimer(natsReady)
	defer deadline.Stop()
	for !server.ReadyForConnections(50 * time.Millisecond) {
		select {
		case err = <-log.fatal:
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-deadline.C:
			err = fmt.Errorf("not ready after %s", natsReady)
		default:
			continue
		}
		stopNATS(server)
		return nil, err
	}
	return server, nil
}

// URL is where clients connect.
func (n *NATS) URL() string {
	return n.url
}

// Close stops the server and gives the directory free. Further calls return
// the first one's result.
func (n *NATS) Close() error {
	n.closing.Do(func() {
		stopNATS(n.server)
		n.err = n.lock.Release()
	})
	return n.err
}

func stopNATS(server *natsserver.Server) {
	server.Shutdown()
	server.WaitForShutdown()
}

// natsLog carries the server's lines to zerolog. The server's "fatal" means
// that it gave up starting; with a logger set it does not exit.
type natsLog struct {
	zerolog.Logger

	fatal chan error
}

func (l *natsLog) Noticef(format string, v ...any) { l.Debug().Msgf(format, v...) }
func (l *natsLog) Warnf(format string, v ...any)   { l.Warn().Msgf(format, v...) }
func (l *natsLog) Errorf(format string, v ...any)  { l.Error().Msgf(format, v...) }
func (l *natsLog) Debugf(format string, v ...any)  { l.Debug().Msgf(format, v...) }
func (l *natsLog) Tracef(format string, v ...any)  { l.Trace().Msgf(format, v...) }

func (l *natsLog) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Errorf(format, v...):
	default: // the first reason is the one to tell
	}
}
