package consumers

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// DeadLetterTopic is the topic that takes what could not be used.
const DeadLetterTopic = "modelwatch.dead_letters"

// Isolation says whether records of transactions that are open or were aborted
// are delivered.
type Isolation int8

// The two isolation levels of Kafka, with the values they have on the wire.
const (
	ReadUncommitted Isolation = 0
	ReadCommitted   Isolation = 1
)

// Config is everything this room needs to know about a Kafka cluster and about
// the limits it keeps. Start from [DefaultConfig].
type Config struct {
	// Brokers are host:port addresses to start from.
	Brokers []string
	// Group is the name of the consumer group.
	Group string
	// ClientID names this program in the broker's logs and quotas.
	ClientID string
	// Isolation is ReadCommitted unless told otherwise.
	Isolation Isolation
	// TLS encrypts connections when set. An empty ServerName is filled with the
	// host of each broker.
	TLS *tls.Config
	// SASL authenticates connections when its mechanism is set.
	SASL SASL

	// MaxPartitionBytes is how much of one partition is asked for at a time.
	// Each partition holds two buffers of up to this size.
	MaxPartitionBytes int
	// MaxBatchBytes is the largest record batch accepted, as it is on the wire.
	// A larger one is a [BatchError] with reason [TooLarge].
	MaxBatchBytes int
	// MaxDecodedBytes is the largest record batch accepted after decompression.
	MaxDecodedBytes int
	// MaxWait is how long a broker may hold a fetch that has nothing to return.
	MaxWait time.Duration
	// RequestTimeout bounds one request, a fetch above its MaxWait.
	RequestTimeout time.Duration

	// MetadataEvery is the time between two looks at topics and partitions.
	MetadataEvery time.Duration
	// SessionTimeout is the time after which a silent member loses its
	// partitions.
	SessionTimeout time.Duration
	// RebalanceTimeout is the time members have to flush, commit and join again.
	RebalanceTimeout time.Duration
	// JoinBackoff is the time between two attempts to join after an error.
	JoinBackoff time.Duration

	// DeadLetterQueue is the number of dead letters held before Put blocks.
	DeadLetterQueue int
}

// SASL holds the credentials of a user.
type SASL struct {
	// Mechanism is "", "plain", "scram-sha-256" or "scram-sha-512".
	Mechanism string
	User      string
	Password  string
}

// DefaultConfig is a cluster on this machine, read committed, with 1 MiB of
// each partition at a time and batches up to 32 MiB, 64 MiB decompressed.
func DefaultConfig() Config {
	return Config{
		Brokers:           []string{"127.0.0.1:9092"},
		Group:             "modelwatch",
		ClientID:          "modelwatch",
		Isolation:         ReadCommitted,
		MaxPartitionBytes: 1 << 20,
		MaxBatchBytes:     32 << 20,
		MaxDecodedBytes:   64 << 20,
		MaxWait:           500 * time.Millisecond,
		RequestTimeout:    10 * time.Second,
		MetadataEvery:     10 * time.Second,
		SessionTimeout:    12 * time.Second,
		RebalanceTimeout:  30 * time.Second,
		JoinBackoff:       time.Second,
		DeadLetterQueue:   1000,
	}
}

// Validate returns all that is wrong with the configuration, joined.
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Brokers) == 0 {
		wrong("kafka.brokers: none given")
	}
	for _, b := range c.Brokers {
		if _, port, err := net.SplitHostPort(b); err != nil || port == "" {
			wrong("kafka.brokers: %q is not host:port", b)
		}
	}
	if c.Group == "" {
		wrong("kafka.group: empty")
	}
	if c.Isolation != ReadCommitted && c.Isolation != ReadUncommitted {
		wrong("kafka.isolation: %d is neither read_committed nor read_uncommitted", c.Isolation)
	}
	if _, err := c.SASL.mechanism(); err != nil {
		errs = append(errs, err)
	}
	if c.MaxPartitionBytes < 1<<10 || c.MaxPartitionBytes > 1<<30 {
		wrong("kafka.max_partition_bytes: %d is outside 1 KiB … 1 GiB", c.MaxPartitionBytes)
	}
	if c.MaxBatchBytes < c.MaxPartitionBytes || c.MaxBatchBytes > 1<<30 {
		wrong("kafka.max_batch_bytes: %d is outside max_partition_bytes … 1 GiB", c.MaxBatchBytes)
	}
	if c.MaxDecodedBytes < c.MaxBatchBytes || c.MaxDecodedBytes > 1<<30 {
		wrong("kafka.max_decoded_bytes: %d is outside max_batch_bytes … 1 GiB", c.MaxDecodedBytes)
	}
	for _, d := range []struct {
		name     string
		value    time.Duration
		min, max time.Duration
	}{
		{"max_wait", c.MaxWait, time.Millisecond, time.Minute},
		{"request_timeout", c.RequestTimeout, 100 * time.Millisecond, 10 * time.Minute},
		{"metadata_every", c.MetadataEvery, 10 * time.Millisecond, 15 * time.Second},
		{"session_timeout", c.SessionTimeout, time.Second, 30 * time.Minute},
		{"rebalance_timeout", c.RebalanceTimeout, time.Second, 30 * time.Minute},
		{"join_backoff", c.JoinBackoff, time.Millisecond, time.Minute},
	} {
		if d.value < d.min || d.value > d.max {
			wrong("kafka.%s: %v is outside %v … %v", d.name, d.value, d.min, d.max)
		}
	}
	if c.DeadLetterQueue < 1 {
		wrong("kafka.dead_letter_queue: %d is below 1", c.DeadLetterQueue)
	}
	return errors.Join(errs...)
}

// mechanism returns nil for no authentication.
func (s SASL) mechanism() (sasl.Mechanism, error) {
	algorithm := scram.SHA256
	switch s.Mechanism {
	case "":
		if s.User != "" || s.Password != "" {
			return nil, errors.New("kafka.sasl: a user or password without a mechanism")
		}
		return nil, nil
	case "plain":
		return plain.Mechanism{Username: s.User, Password: s.Password}, nil
	case "scram-sha-256":
	case "scram-sha-512":
		algorithm = scram.SHA512
	default:
		return nil, fmt.Errorf("kafka.sasl.mechanism: %q is none of plain, scram-sha-256, scram-sha-512", s.Mechanism)
	}
	m, err := scram.Mechanism(algorithm, s.User, s.Password)
	if err != nil {
		return nil, fmt.Errorf("kafka.sasl: preparing %s: %w", s.Mechanism, err)
	}
	return m, nil
}
