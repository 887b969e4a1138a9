package demo

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
)

// partitions of each topic of the demo.
const partitions = 2

// producer writes events to Kafka with the time of the event as that of the record.
type producer struct {
	wire    *kafka.Transport
	writer  *kafka.Writer
	pending []kafka.Message
	sent    int64
}

func newProducer(ctx context.Context, broker string) (*producer, error) {
	wire := &kafka.Transport{}
	client := &kafka.Client{Addr: kafka.TCP(broker), Timeout: 10 * time.Second, Transport: wire}
	request := &kafka.CreateTopicsRequest{}
	for _, t := range []string{featuresTopic, predictionTopic, labelsTopic} {
		request.Topics = append(request.Topics, kafka.TopicConfig{
			Topic: t, NumPartitions: partitions, ReplicationFactor: 1,
			// Records of 2001 would be deleted at once by any retention.
			ConfigEntries: []kafka.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "-1"}},
		})
	}
	answer, err := client.CreateTopics(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("making the demo's topics: %w", err)
	}
	for topic, err := range answer.Errors {
		if err != nil && err != kafka.TopicAlreadyExists { //nolint:errorlint // kafka-go hands out its own error value
			return nil, fmt.Errorf("making the demo's topic %s: %w", topic, err)
		}
	}
	return &producer{wire: wire, writer: &kafka.Writer{
		Addr: kafka.TCP(broker), Transport: wire, Balancer: kafka.Murmur2Balancer{}, Compression: kafka.Lz4, RequiredAcks: kafka.RequireAll,
		BatchSize: 2000, BatchTimeout: time.Millisecond,
	}}, nil
}

// put keeps an event until flush.
func (p *producer) put(m message) error {
	p.pending = append(p.pending, kafka.Message{Topic: m.topic, Key: strconv.AppendInt(nil, int64(m.id), 10), Value: m.value, Time: m.at})
	return nil
}

// flush writes what is pending; it returns when the broker has it.
func (p *producer) flush(ctx context.Context) error {
	if len(p.pending) == 0 {
		return nil
	}
	if err := p.writer.WriteMessages(ctx, p.pending...); err != nil {
		return fmt.Errorf("writing events: %w", err)
	}
	p.sent += int64(len(p.pending))
	p.pending = p.pending[:0]
	return nil
}

func (p *producer) close() error {
	err := p.writer.Close()
	p.wire.CloseIdleConnections()
	return err
}
