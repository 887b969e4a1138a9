package embedded_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/modelwatch/modelwatch/internal/embedded"
)

// eventTime is a record's age in the demo: retention must not touch it.
var eventTime = time.Date(2001, 3, 4, 5, 6, 7, 0, time.UTC)

func produce(ctx context.Context, addr, topic string, values ...string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer client.Close()
	for _, v := range values {
		record := &kgo.Record{Topic: topic, Value: []byte(v), Timestamp: eventTime}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

// consume reads n records and commits them for the group if one is given.
func consume(t *testing.T, addr, topic, group string, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	opts := []kgo.Opt{
		kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	}
	if group != "" {
		opts = append(opts, kgo.ConsumerGroup(group), kgo.DisableAutoCommit())
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var got []string
	for len(got) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(got), n, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Timestamp.Equal(eventTime) {
				t.Errorf("record %s has time %s, want %s", r.Value, r.Timestamp, eventTime)
			}
			got = append(got, string(r.Value))
		})
	}
	if group != "" {
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(got)
	return got
}

func startKafka(t *testing.T, cfg embedded.KafkaConfig) *embedded.Kafka {
	t.Helper()
	cfg.Logger = zerolog.Nop()
	k, err := embedded.StartKafka(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func wantValues(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got records %q, want %q", got, want)
	}
}

func TestKafka_KeepsRecordsAndOffsetsOverRestart(t *testing.T) {
	cfg := embedded.KafkaConfig{Dir: t.TempDir(), Topics: map[string]int32{"flights": 3, "labels": 1}}
	k := startKafka(t, cfg)
	if err := produce(t.Context(), k.Addr(), "flights", "a", "b", "c"); err != nil {
		t.Fatal(err)
	}
	wantValues(t, consume(t, k.Addr(), "flights", "readers", 3), "a", "b", "c")
	id, parts := topicOf(t, k.Addr(), "flights")
	if parts != 3 {
		t.Errorf("flights has %d partitions, want 3", parts)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}

	cfg.Topics["flights"] = 7 // exists: left as it is
	k = startKafka(t, cfg)
	wantValues(t, consume(t, k.Addr(), "flights", "", 3), "a", "b", "c")
	again, parts := topicOf(t, k.Addr(), "flights")
	if again != id || parts != 3 {
		t.Errorf("after the restart topic id %x with %d partitions, want %x with 3", again, parts, id)
	}
	if err := produce(t.Context(), k.Addr(), "flights", "d"); err != nil {
		t.Fatal(err)
	}
	wantValues(t, consume(t, k.Addr(), "flights", "readers", 1), "d")
}

func TestKafka_KeepsRecordsOverKill(t *testing.T) {
	dir := t.TempDir()
	cmd, _ := startProgram(t, "kafka", dir)
	kill(cmd)
	k := startKafka(t, embedded.KafkaConfig{Dir: dir})
	wantValues(t, consume(t, k.Addr(), "flights", "", 3), "a", "b", "c")
}

func TestKafka_RetentionForever(t *testing.T) {
	k := startKafka(t, embedded.KafkaConfig{Dir: t.TempDir(), Topics: map[string]int32{"flights": 1}})
	client, err := kgo.NewClient(kgo.SeedBrokers(k.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, "flights"
	resource.ConfigNames = []string{"retention.ms"}
	req.Resources = append(req.Resources, resource)
	resp, err := req.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	configs := resp.Resources[0].Configs
	if len(configs) != 1 || configs[0].Value == nil || *configs[0].Value != "-1" {
		t.Fatalf("got %+v, want retention.ms=-1", configs)
	}
}

func TestKafka_LoopbackAtTheConfiguredPort(t *testing.T) {
	first := startKafka(t, embedded.KafkaConfig{Dir: t.TempDir()})
	host, port, err := net.SplitHostPort(first.Addr())
	if err != nil || host != "127.0.0.1" {
		t.Fatalf("listening on %s (%v), want 127.0.0.1", first.Addr(), err)
	}
	var number int
	if _, err := fmt.Sscan(port, &number); err != nil {
		t.Fatal(err)
	}
	cfg := embedded.KafkaConfig{Dir: t.TempDir(), Port: number, Logger: zerolog.Nop()}
	if _, err := embedded.StartKafka(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), port) {
		t.Fatalf("on a taken port: got %v, want an error naming %s", err, port)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if second := startKafka(t, cfg); second.Addr() != first.Addr() {
		t.Errorf("listening on %s, want %s", second.Addr(), first.Addr())
	}
}

func TestKafka_OneOwnerOfADirectory(t *testing.T) {
	dir := t.TempDir()
	startKafka(t, embedded.KafkaConfig{Dir: dir})
	_, err := embedded.StartKafka(t.Context(), embedded.KafkaConfig{Dir: dir, Logger: zerolog.Nop()})
	wantOwned(t, err, dir)
}

// wantOwned checks the error of a second start over one directory.
func wantOwned(t *testing.T, err error, dir string) {
	t.Helper()
	if err == nil {
		t.Fatal("two servers own one directory")
	}
	for _, part := range []string{dir, "in use by another process", "use another directory"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
}

func topicOf(t *testing.T, addr, topic string) (id [16]byte, partitions int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrMetadataRequest()
	want := kmsg.NewMetadataRequestTopic()
	want.Topic = &topic
	req.Topics = append(req.Topics, want)
	resp, err := req.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Topics[0].TopicID, len(resp.Topics[0].Partitions)
}
