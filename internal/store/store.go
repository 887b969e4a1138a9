package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/rs/zerolog"
)

// Config says where ClickHouse is and how it is written to.
type Config struct {
	Addr     []string // host:port of the native protocol
	Database string
	User     string
	Password string
	TLS      *tls.Config // nil for none

	// Cluster is the name in `remote_servers` under which tables are made on
	// all replicas with replicated engines; "" makes plain tables.
	Cluster string
	// Program is the version of the program, recorded with each migration.
	Program string
	// Tick is how long a Write waits for others to share its inserts.
	Tick time.Duration
	// MaxRows is how many partials one commit takes at most, unless a single
	// Write has more.
	MaxRows int
	// BlockRows is how many rows go to the server in one block of an insert.
	BlockRows int
	// Connections bounds the connections to the server.
	Connections int
}

// DefaultConfig is the configuration for an engine on this machine.
func DefaultConfig() Config {
	return Config{
		Addr: []string{"127.0.0.1:9000"}, Database: "modelwatch", User: "default", Program: "dev",
		Tick: 20 * time.Millisecond, MaxRows: 500_000, BlockRows: 65_536, Connections: 10,
	}
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if len(c.Addr) == 0 {
		errs = append(errs, errors.New("clickhouse.addr: no address; give at least one host:port"))
	}
	if c.Database == "" {
		errs = append(errs, errors.New("clickhouse.database: empty"))
	}
	if c.Tick < 0 || c.Tick > time.Second {
		errs = append(errs, fmt.Errorf("clickhouse.tick: %s is not between 0 and 1s", c.Tick))
	}
	if c.MaxRows < 1 || c.BlockRows < 1 || c.Connections < 2 {
		errs = append(errs, errors.New("clickhouse: rows per commit and per block must be at least 1, connections at least 2"))
	}
	return errors.Join(errs...)
}

// Store is a connection to the database. Its methods may be called from any
// number of goroutines.
type Store struct {
	cfg  Config
	log  zerolog.Logger
	conn driver.Conn

	// made is set once the database is known to be there. Until then nothing
	// connects to it: an embedded engine was seen to die of a session that
	// names a missing database.
	made    atomic.Bool
	commits *committer
	outbox  outboxFloor

	epochs struct {
		sync.Mutex
		known map[epochKey]struct{}
	}
}

type epochKey struct {
	topic string
	id    [16]byte
}

// Open prepares a store. It does not wait for the server: a server that is
// away shows in Ping, and everything else waits for it.
func Open(cfg Config, log zerolog.Logger) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	s := &Store{cfg: cfg, log: log.With().Str("component", "store").Logger()}
	conn, err := s.connect(cfg.Database)
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	s.conn = conn
	s.epochs.known = make(map[epochKey]struct{})
	s.commits = newCommitter(s)
	return s, nil
}

func (s *Store) connect(database string) (driver.Conn, error) {
	return clickhouse.Open(&clickhouse.Options{
		Addr:             s.cfg.Addr,
		Auth:             clickhouse.Auth{Database: database, Username: s.cfg.User, Password: s.cfg.Password},
		TLS:              s.cfg.TLS,
		Compression:      &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
		DialTimeout:      5 * time.Second,
		ReadTimeout:      5 * time.Minute,
		MaxOpenConns:     s.cfg.Connections,
		MaxIdleConns:     s.cfg.Connections,
		ConnMaxLifetime:  time.Hour,
		ConnOpenStrategy: clickhouse.ConnOpenInOrder,
		Settings: clickhouse.Settings{
			// The engine's default is 1, which acknowledges before deduplication is settled.
			"async_insert": 0,
			// One producer with wild timestamps must not make an insert fail for ever.
			"max_partitions_per_insert_block": 0,
		},
	})
}

// Close ends all writing and closes the connections. A Write under way
// returns ErrClosed.
func (s *Store) Close() error {
	s.commits.close()
	if err := s.conn.Close(); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

// ErrNotMade is the error of every request before Migrate has seen to the database.
var ErrNotMade = errors.New("the database is not made yet")

// Ping asks the server for an answer. It is ErrNotMade before Migrate.
func (s *Store) Ping(ctx context.Context) error {
	if !s.made.Load() {
		return ErrNotMade
	}
	if err := s.conn.Ping(ctx); err != nil {
		return fmt.Errorf("reaching ClickHouse at %s: %w", strings.Join(s.cfg.Addr, ", "), err)
	}
	return nil
}
