package consumers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
)

// ErrNoLeader says that a partition has no leader, or is not known, at the
// moment.
var ErrNoLeader = errors.New("no leader")

// Client speaks to one Kafka cluster over one pool of connections. It is safe
// for use by many goroutines. Nothing is dialled before the first request.
type Client struct {
	cfg       Config
	addr      net.Addr
	transport *kafka.Transport
	sasl      sasl.Mechanism
	stats     *Stats
	log       zerolog.Logger
	codecs    codecs
}

// NewClient prepares a client; stats may be shared with other parts of the
// program that read it.
func NewClient(cfg Config, stats *Stats, log zerolog.Logger) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	mechanism, err := cfg.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	for _, d := range []*time.Duration{&cfg.SessionTimeout, &cfg.RebalanceTimeout, &cfg.MetadataEvery} {
		*d = faultpoint.Hasten(*d)
	}
	return &Client{
		cfg:  cfg,
		addr: kafka.TCP(cfg.Brokers...),
		transport: &kafka.Transport{
			ClientID:       cfg.ClientID,
			TLS:            cfg.TLS,
			SASL:           mechanism,
			DialTimeout:    cfg.RequestTimeout,
			IdleTimeout:    time.Minute,
			MetadataTTL:    6 * time.Second,
			MetadataTopics: []string{DeadLetterTopic},
		},
		sasl:  mechanism,
		stats: stats,
		log:   log.With().Str("component", "kafka").Logger(),
	}, nil
}

// Close closes the idle connections; those in use are closed by their request.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// request names a version of an API; flex says whether it uses compact forms.
type request struct {
	key     protocol.ApiKey
	version int16
	flex    bool
}

// call sends one request to a node, or to any for -1, and decodes the answer in
// the goroutine of the connection. When it returns, decode is not running.
func (c *Client) call(ctx context.Context, node int32, r request, timeout time.Duration, encode func(*encoder), decode func(*decoder) error) error {
	e := newFrame(r.key, r.version, c.cfg.ClientID, r.flex)
	encode(e)
	x := &exchange{
		key: r.key, node: node, frame: e.frame(), flex: r.flex,
		header: r.flex && r.key != protocol.ApiVersions,
		decode: decode,
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if _, err := c.transport.RoundTrip(ctx, c.addr, x); err != nil {
		x.abandon()
		return fmt.Errorf("asking kafka for %v: %w", r.key, err)
	}
	return nil
}

// Broker is a node of the cluster.
type Broker struct {
	ID   int32
	Host string
	Port int32
}

// PartitionMetadata says who leads a partition.
type PartitionMetadata struct {
	Partition   int32
	Leader      int32 // -1: none at the moment
	LeaderEpoch int32 // -1: not known
	Err         error // nil, or the broker's error for this partition
}

// TopicMetadata describes one topic.
type TopicMetadata struct {
	Name       string
	ID         TopicID
	Partitions []PartitionMetadata // sorted by partition
	Operations Operations          // as [Client.Rights] asks for them
	Err        error               // nil, or why the topic cannot be used, as kafka.UnknownTopicOrPartition
}

// Metadata is what a broker knows about topics, sorted by name.
type Metadata struct {
	Brokers    []Broker
	Controller int32
	Topics     []TopicMetadata
}

// Topic finds a topic by name; nil when it is not there.
func (m Metadata) Topic(name string) *TopicMetadata {
	i, ok := slices.BinarySearchFunc(m.Topics, name, func(t TopicMetadata, name string) int { return strings.Compare(t.Name, name) })
	if !ok {
		return nil
	}
	return &m.Topics[i]
}

// Metadata asks for topics by name; a topic that does not exist comes back with
// its error and is not created. Without topics only the brokers are asked for.
func (c *Client) Metadata(ctx context.Context, topics ...string) (Metadata, error) {
	return c.metadata(ctx, false, topics)
}

// metadata asks for the user's operations on each topic too, where told so.
func (c *Client) metadata(ctx context.Context, operations bool, topics []string) (Metadata, error) {
	var m Metadata
	c.stats.Refreshes.Add(1)
	err := c.call(ctx, -1, request{protocol.Metadata, 12, true}, c.cfg.RequestTimeout, func(e *encoder) {
		e.array(len(topics))
		for _, t := range topics {
			e.b = append(e.b, make([]byte, len(TopicID{}))...)
			e.str(t)
			e.tags()
		}
		e.boolean(false)
		e.boolean(operations)
		e.tags()
	}, func(d *decoder) error {
		m = decodeMetadata(d)
		return d.err
	})
	if err != nil {
		return Metadata{}, err
	}
	slices.SortFunc(m.Topics, func(a, b TopicMetadata) int { return strings.Compare(a.Name, b.Name) })
	return m, nil
}

func decodeMetadata(d *decoder) (m Metadata) {
	d.i32() // throttle
	for n := d.array(); n > 0 && d.err == nil; n-- {
		m.Brokers = append(m.Brokers, Broker{ID: d.i32(), Host: d.str(), Port: d.i32()})
		d.str() // rack
		d.tags(nil)
	}
	d.str() // cluster id
	m.Controller = d.i32()
	for n := d.array(); n > 0 && d.err == nil; n-- {
		t := TopicMetadata{Err: code(d.i16()), Name: d.str(), ID: d.id()}
		d.i8() // internal
		for n := d.array(); n > 0 && d.err == nil; n-- {
			t.Partitions = append(t.Partitions, PartitionMetadata{Err: code(d.i16()), Partition: d.i32(), Leader: d.i32(), LeaderEpoch: d.i32()})
			for range 3 { // replicas, in sync, offline
				if n := d.array(); n > 0 {
					d.discard(4 * n)
				}
			}
			d.tags(nil)
		}
		t.Operations = Operations(d.i32())
		d.tags(nil)
		slices.SortFunc(t.Partitions, func(a, b PartitionMetadata) int { return int(a.Partition) - int(b.Partition) })
		m.Topics = append(m.Topics, t)
	}
	return m
}

// code turns an error code of the protocol into an error.
func code(n int16) error {
	if n == 0 {
		return nil
	}
	return kafka.Error(n)
}

// leader looks up the leader of one partition.
func (c *Client) leader(ctx context.Context, topic string, partition int32) (PartitionMetadata, error) {
	m, err := c.Metadata(ctx, topic)
	if err != nil {
		return PartitionMetadata{}, err
	}
	t := m.Topic(topic)
	if t == nil {
		return PartitionMetadata{}, fmt.Errorf("looking up %s: %w", topic, kafka.UnknownTopicOrPartition)
	}
	if t.Err != nil {
		return PartitionMetadata{}, fmt.Errorf("looking up %s: %w", topic, t.Err)
	}
	for _, p := range t.Partitions {
		if p.Partition == partition && p.Leader >= 0 {
			return p, nil
		}
	}
	return PartitionMetadata{}, fmt.Errorf("looking up %s/%d: %w", topic, partition, ErrNoLeader)
}

// The two ends of a log, for [Client.ListOffset]. Any other value is a time in
// milliseconds: the first offset whose record is not older.
const (
	LogStart int64 = -2
	LogEnd   int64 = -1
)

// ListOffset returns the offset at [LogStart], at [LogEnd] (under read_committed
// the last stable offset), or of the first record with a timestamp at or after
// at, in milliseconds; -1 when there is no such record.
func (c *Client) ListOffset(ctx context.Context, topic string, partition int32, at int64) (int64, error) {
	leader, err := c.leader(ctx, topic, partition)
	if err != nil {
		return 0, err
	}
	offset := int64(-1)
	err = c.call(ctx, leader.Leader, request{protocol.ListOffsets, 5, false}, c.cfg.RequestTimeout, func(e *encoder) {
		e.i32(-1)
		e.i8(int8(c.cfg.Isolation))
		e.array(1)
		e.str(topic)
		e.array(1)
		e.i32(partition)
		e.i32(-1)
		e.i64(at)
	}, func(d *decoder) error {
		d.i32() // throttle
		for n := d.array(); n > 0 && d.err == nil; n-- {
			d.str()
			for n := d.array(); n > 0 && d.err == nil; n-- {
				d.i32()
				if err := code(d.i16()); err != nil {
					return err
				}
				d.i64() // timestamp
				offset = d.i64()
				d.i32() // leader epoch
			}
		}
		return d.err
	})
	if err != nil {
		return 0, fmt.Errorf("listing offsets of %s/%d: %w", topic, partition, err)
	}
	return offset, nil
}

// EpochEnd is where the records of a leader epoch end.
type EpochEnd struct {
	// Epoch is the largest epoch at or below the one asked for; -1 when the
	// broker knows none.
	Epoch int32
	// End is the offset after the epoch's last record; -1 when unknown.
	End int64
}

// OffsetForLeaderEpoch asks where an epoch ends. A position above the end, or an
// answer with a smaller epoch, means that the log was truncated under it.
func (c *Client) OffsetForLeaderEpoch(ctx context.Context, topic string, partition, epoch int32) (EpochEnd, error) {
	leader, err := c.leader(ctx, topic, partition)
	if err != nil {
		return EpochEnd{}, err
	}
	end := EpochEnd{-1, -1}
	err = c.call(ctx, leader.Leader, request{protocol.OffsetForLeaderEpoch, 3, false}, c.cfg.RequestTimeout, func(e *encoder) {
		e.i32(-1)
		e.array(1)
		e.str(topic)
		e.array(1)
		e.i32(partition)
		e.i32(leader.LeaderEpoch)
		e.i32(epoch)
	}, func(d *decoder) error {
		d.i32() // throttle
		for n := d.array(); n > 0 && d.err == nil; n-- {
			d.str()
			for n := d.array(); n > 0 && d.err == nil; n-- {
				if err := code(d.i16()); err != nil {
					return err
				}
				d.i32()
				end = EpochEnd{Epoch: d.i32(), End: d.i64()}
			}
		}
		return d.err
	})
	if err != nil {
		return EpochEnd{}, fmt.Errorf("asking for the end of epoch %d of %s/%d: %w", epoch, topic, partition, err)
	}
	return end, nil
}

// EnsureTopic creates a topic with the broker's default number of partitions and
// replicas; one that exists already is left as it is.
func (c *Client) EnsureTopic(ctx context.Context, topic string) error {
	m, err := c.Metadata(ctx, topic)
	if err != nil {
		return err
	}
	if t := m.Topic(topic); t != nil && t.Err == nil {
		return nil
	}
	err = c.call(ctx, m.Controller, request{protocol.CreateTopics, 4, false}, c.cfg.RequestTimeout, func(e *encoder) {
		e.array(1)
		e.str(topic)
		e.i32(-1)
		e.i16(-1)
		e.array(0)
		e.array(0)
		e.i32(int32(c.cfg.RequestTimeout.Milliseconds()))
		e.boolean(false)
	}, func(d *decoder) error {
		d.i32() // throttle
		for n := d.array(); n > 0 && d.err == nil; n-- {
			d.str()
			if err := code(d.i16()); err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
				return fmt.Errorf("%w: %s", err, d.str())
			}
			d.str()
		}
		return d.err
	})
	if err != nil {
		return fmt.Errorf("creating topic %s: %w", topic, err)
	}
	return nil
}

// TopicConfigs returns the settings of a topic that are not secret, by name, as
// "cleanup.policy" or "retention.ms".
func (c *Client) TopicConfigs(ctx context.Context, topic string) (map[string]string, error) {
	const resourceTopic = 2
	configs := make(map[string]string)
	err := c.call(ctx, -1, request{protocol.DescribeConfigs, 1, false}, c.cfg.RequestTimeout, func(e *encoder) {
		e.array(1)
		e.i8(resourceTopic)
		e.str(topic)
		e.array(-1)
		e.boolean(false)
	}, func(d *decoder) error {
		d.i32() // throttle
		for n := d.array(); n > 0 && d.err == nil; n-- {
			err, message := code(d.i16()), d.str()
			if err != nil {
				return fmt.Errorf("%w: %s", err, message)
			}
			d.i8()
			d.str()
			for n := d.array(); n > 0 && d.err == nil; n-- {
				name, value := d.str(), d.str()
				d.i8() // read only
				d.i8() // source
				if secret := d.i8() != 0; !secret {
					configs[name] = value
				}
				for n := d.array(); n > 0 && d.err == nil; n-- { // synonyms
					d.str()
					d.str()
					d.i8()
				}
			}
		}
		return d.err
	})
	if err != nil {
		return nil, fmt.Errorf("describing topic %s: %w", topic, err)
	}
	return configs, nil
}

// Ping tells whether a broker answers.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.Metadata(ctx)
	return err
}

// fetchVersion is the newest form of Fetch that both sides speak: 13 names
// topics by id, 11 by name.
func (c *Client) fetchVersion(ctx context.Context, node int32) (int16, error) {
	version := int16(0)
	err := c.call(ctx, node, request{protocol.ApiVersions, 0, false}, c.cfg.RequestTimeout, func(*encoder) {}, func(d *decoder) error {
		if err := code(d.i16()); err != nil {
			return err
		}
		for n := d.array(); n > 0 && d.err == nil; n-- {
			key, lowest, highest := protocol.ApiKey(d.i16()), d.i16(), d.i16()
			if key != protocol.Fetch {
				continue
			}
			for _, v := range []int16{11, 13} {
				if lowest <= v && v <= highest {
					version = v
				}
			}
		}
		return d.err
	})
	if err != nil {
		return 0, err
	}
	if version == 0 {
		return 0, fmt.Errorf("asking kafka node %d for its versions: %w: it speaks neither Fetch v11 nor v13", node, kafka.UnsupportedVersion)
	}
	return version, nil
}
