package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Codecs are the compressions of a topic, by name.
var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// topic is a filled topic.
type topic struct {
	name       string
	id         [16]byte
	partitions int
	rows       int // over all partitions
	wire       int64
}

// fill makes a topic of its own for rows and writes them in turns of batches
// over its partitions.
func fill(ctx context.Context, broker, name, codec string, partitions int, w *Workload, rows int) (*topic, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ProducerBatchCompression(codecs[codec]), kgo.ProducerLinger(50*time.Millisecond),
		kgo.ProducerBatchMaxBytes(1<<20), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(50_000))
	if err != nil {
		return nil, fmt.Errorf("preparing a producer: %w", err)
	}
	defer client.Close()
	t := &topic{name: name, partitions: partitions, rows: rows}
	if t.id, err = create(ctx, client, name, partitions); err != nil {
		return nil, fmt.Errorf("making topic %s: %w", name, err)
	}
	failed := make(chan error, 1)
	for i := range rows {
		value, at := w.Append(nil)
		t.wire += int64(len(value))
		client.Produce(ctx, &kgo.Record{Topic: name, Partition: int32(i % partitions), Value: value, Timestamp: at}, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		return nil, fmt.Errorf("filling topic %s: %w", name, err)
	}
	select {
	case err := <-failed:
		return nil, fmt.Errorf("filling topic %s: %w", name, err)
	default:
		return t, nil
	}
}

// create makes a topic that keeps records for ever and returns its id.
func create(ctx context.Context, client *kgo.Client, name string, partitions int) (id [16]byte, err error) {
	forever := "-1"
	req := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, int32(partitions), 1
	config := kmsg.NewCreateTopicsRequestTopicConfig()
	config.Name, config.Value = "retention.ms", &forever
	topic.Configs = append(topic.Configs, config)
	req.Topics, req.TimeoutMillis = append(req.Topics, topic), 30_000
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return id, err
	}
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
		return id, err
	}
	return resp.Topics[0].TopicID, nil
}

// remove deletes topics; what is left of a run that fails is one topic of a name of its own.
func remove(ctx context.Context, broker string, names ...string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		return fmt.Errorf("preparing a client: %w", err)
	}
	defer client.Close()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 30_000
	for _, n := range names {
		topic := kmsg.NewDeleteTopicsRequestTopic()
		topic.Topic = kmsg.StringPtr(n)
		req.Topics, req.TopicNames = append(req.Topics, topic), append(req.TopicNames, n)
	}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("deleting topics: %w", err)
	}
	var errs []error
	for _, t := range resp.Topics {
		errs = append(errs, kerr.ErrorForCode(t.ErrorCode))
	}
	return errors.Join(errs...)
}
