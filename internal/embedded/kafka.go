package embedded

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/modelwatch/modelwatch/internal/embedded/filelock"
)

const (
	lockName = "lock"
	// lockWait outlasts the moment in which the child of a killed program is
	// still on its way out.
	lockWait = 3 * time.Second
	// topicTimeout bounds the creation of topics on a broker in this process.
	topicTimeout = 10 * time.Second
)

// KafkaConfig says where the broker keeps its log and what it offers.
type KafkaConfig struct {
	Dir  string
	Port int // 0: a free one
	// Topics are created with this many partitions where missing; an existing
	// topic is left as it is. Records are kept whatever their age.
	Topics map[string]int32
	Logger zerolog.Logger
}

// Kafka is a running broker.
type Kafka struct {
	cluster *kfake.Cluster
	lock    *filelock.Lock
	log     *kafkaLog
	addr    string // asked once: a closed cluster never answers
	closing sync.Once
	err     error
}

// StartKafka starts a broker that speaks Kafka's protocol over a directory.
//
// A record is written to its segment file before it is acknowledged, and so
// are committed offsets: both survive kill -9 of this process. Like Kafka's own
// broker it leaves flushing to the operating system, so the newest records can
// be lost when the machine itself loses power.
func StartKafka(ctx context.Context, cfg KafkaConfig) (*Kafka, error) {
	lock, err := ownDir(ctx, cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded broker: %w", err)
	}
	log := &kafkaLog{Logger: cfg.Logger}
	cluster, err := kfake.NewCluster(
		kfake.Ports(cfg.Port),
		kfake.DataDir(filepath.Join(cfg.Dir, "data")),
		kfake.ClusterID("modelwatch"),
		kfake.WithLogger(log),
		// The demo's records carry the time of their event, years ago.
		kfake.BrokerConfigs(map[string]string{"log.retention.ms": "-1"}),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the embedded broker: %w", err), lock.Release())
	}
	k := &Kafka{cluster: cluster, lock: lock, log: log, addr: cluster.ListenAddrs()[0]}
	if err := k.createTopics(ctx, cfg.Topics); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the embedded broker: %w", err), k.Close())
	}
	return k, nil
}

// Addr is the broker's host and port.
func (k *Kafka) Addr() string { return k.addr }

// Close writes what is not yet on disk, stops the broker and gives the
// directory free. Further calls return the first one's result.
func (k *Kafka) Close() error {
	k.closing.Do(func() {
		k.log.collect()
		k.cluster.Close()
		k.err = errors.Join(k.log.collected(), k.lock.Release())
	})
	return k.err
}

func (k *Kafka) createTopics(ctx context.Context, topics map[string]int32) error {
	if len(topics) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, topicTimeout)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Addr()))
	if err != nil {
		return fmt.Errorf("creating topics: %w", err)
	}
	defer client.Close()

	forever := "-1"
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, topics[name], 1
		retention := kmsg.NewCreateTopicsRequestTopicConfig()
		retention.Name, retention.Value = "retention.ms", &forever
		t.Configs = append(t.Configs, retention)
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("creating topics: %w", err)
	}
	for _, t := range resp.Topics {
		err := kerr.ErrorForCode(t.ErrorCode)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("creating topic %s: %w", t.Topic, err)
		}
	}
	return nil
}

// ownDir makes a server's directory and locks it.
func ownDir(ctx context.Context, dir string) (*filelock.Lock, error) {
	if dir == "" {
		return nil, errors.New("no directory given")
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("making its directory: %w", err)
	}
	lock, err := filelock.Acquire(ctx, filepath.Join(dir, lockName), lockWait)
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("%w: stop that one or use another directory", err)
	}
	return lock, err
}

// kafkaLog carries the broker's lines to zerolog, and keeps its errors while
// the broker closes, since kfake reports a failed write only there.
type kafkaLog struct {
	zerolog.Logger

	mu         sync.Mutex
	collecting bool
	errs       []error
}

// Logf implements kfake.Logger.
func (l *kafkaLog) Logf(level kfake.LogLevel, format string, args ...any) {
	event := l.Trace()
	switch level {
	case kfake.LogLevelError:
		event = l.Error()
		l.keep(format, args)
	case kfake.LogLevelWarn:
		event = l.Warn()
	case kfake.LogLevelInfo: // one per request
		event = l.Debug()
	case kfake.LogLevelNone, kfake.LogLevelDebug:
	}
	if event.Enabled() {
		event.Msg(strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

func (l *kafkaLog) keep(format string, args []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.collecting {
		l.errs = append(l.errs, fmt.Errorf("closing the embedded broker: %s", fmt.Sprintf(format, args...)))
	}
}

func (l *kafkaLog) collect() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.collecting = true
}

func (l *kafkaLog) collected() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}
