package consumers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/modelwatch/modelwatch/internal/testkit"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// This file holds the faults that a real broker does not make on demand; the
// broker is franz-go's fake one.

func fake(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func connect(t *testing.T, addrs []string, change func(*Config)) *Client {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Brokers = addrs
	cfg.MaxWait = 100 * time.Millisecond
	cfg.RequestTimeout = 5 * time.Second
	if change != nil {
		change(&cfg)
	}
	log := zerolog.Nop()
	if os.Getenv("MODELWATCH_TEST_LOG") != "" {
		log = zerolog.New(zerolog.NewTestWriter(t))
	}
	c, err := NewClient(cfg, new(Stats), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// background runs f until the test ends, and fails the test on its error.
func background(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	var once atomic.Bool
	stop = func() {
		cancel()
		if once.Swap(true) {
			return
		}
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("did not stop within 20 s")
		}
	}
	t.Cleanup(stop)
	return stop
}

// producer writes to partitions by hand, one batch per call of send.
type producer struct {
	t  testing.TB
	cl *kgo.Client
}

func produce(t testing.TB, addrs []string, opts ...kgo.Opt) producer {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(50 * time.Millisecond), kgo.ProducerBatchMaxBytes(90 << 20), kgo.BrokerMaxWriteBytes(100 << 20),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return producer{t, cl}
}

func (p producer) send(topic string, partition int32, values ...string) {
	p.t.Helper()
	var rs []*kgo.Record
	for _, v := range values {
		rs = append(rs, &kgo.Record{Topic: topic, Partition: partition, Value: []byte(v)})
	}
	if err := p.cl.ProduceSync(context.Background(), rs...).FirstErr(); err != nil {
		p.t.Fatal(err)
	}
}

func topicID(t *testing.T, c *Client, topic string) TopicID {
	t.Helper()
	ctx := within(t, 10*time.Second)
	for {
		m, err := c.Metadata(ctx, topic)
		if err != nil {
			t.Fatal(err)
		}
		if tp := m.Topic(topic); tp != nil && tp.Err == nil && tp.ID != (TopicID{}) {
			return tp.ID
		}
		// A topic that was just made may not be known yet.
		select {
		case <-ctx.Done():
			t.Fatalf("metadata of %s: %+v", topic, m)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func open(t *testing.T, c *Client, topic string, partition int32, offset int64) *Source {
	t.Helper()
	f := NewFetcher(c)
	s := f.Add(Position{Topic: topic, ID: topicID(t, c, topic), Partition: partition, Offset: offset, LeaderEpoch: -1})
	background(t, f.Run)
	return s
}

// drain reads n records.
func drain(t *testing.T, s *Source, n int) []string {
	t.Helper()
	ctx := within(t, 20*time.Second)
	var out []string
	for len(out) < n {
		f, err := s.Fetch(ctx)
		if err != nil {
			t.Fatalf("after %d of %d records: %v (state %+v)", len(out), n, err, s.State())
		}
		var r Record
		for f.Next(&r) {
			out = append(out, fmt.Sprintf("%d:%s", r.Offset, r.Value))
		}
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
	}
	if len(out) != n {
		t.Fatalf("%d records, want %d: %v", len(out), n, out)
	}
	return out
}

func TestFetchStartsInsideABatch(t *testing.T) {
	k := fake(t, kfake.SeedTopics(1, "t"))
	produce(t, k.ListenAddrs()).send("t", 0, "a", "b", "c", "d")
	s := open(t, connect(t, k.ListenAddrs(), nil), "t", 0, 2)
	if got := drain(t, s, 2); !slices.Equal(got, []string{"2:c", "3:d"}) {
		t.Fatal(got)
	}
}

// Fetch v11 is spoken to brokers that do not know v13.
func TestFetchByNameFromOlderBrokers(t *testing.T) {
	versions := kversion.V3_1_0()
	versions.SetMaxKeyVersion(1, 11)
	k := fake(t, kfake.SeedTopics(2, "t", "u"), kfake.MaxVersions(versions))
	p := produce(t, k.ListenAddrs())
	var seen atomic.Int32
	k.ControlKey(1, func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		seen.Store(int32(r.GetVersion()))
		return nil, nil, false
	})
	c := connect(t, k.ListenAddrs(), nil)
	f := NewFetcher(c)
	var sources []*Source
	for _, topic := range []string{"t", "u"} {
		for i := range int32(2) {
			p.send(topic, i, fmt.Sprint(topic, i))
			sources = append(sources, f.Add(Position{Topic: topic, ID: topicID(t, c, topic), Partition: i, LeaderEpoch: -1}))
		}
	}
	background(t, f.Run)
	for i, want := range []string{"0:t0", "0:t1", "0:u0", "0:u1"} {
		if got := drain(t, sources[i], 1); got[0] != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	if seen.Load() != 11 {
		t.Errorf("asked with v%d, want v11", seen.Load())
	}
}

// An idle partition says so: empty answers with the end of the log.
func TestFetchTellsIdle(t *testing.T) {
	k := fake(t, kfake.SeedTopics(1, "t"))
	produce(t, k.ListenAddrs()).send("t", 0, "a")
	s := open(t, connect(t, k.ListenAddrs(), nil), "t", 0, 0)
	drain(t, s, 1)
	ctx := within(t, 5*time.Second)
	for range 3 {
		start := time.Now()
		f, err := s.Fetch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var r Record
		if f.Next(&r) || f.Offset() != 1 || f.HighWatermark != 1 || f.LastStable != 1 || f.LogStart != 0 {
			t.Fatalf("%+v at %d", f, f.Offset())
		}
		if f.At.Before(start.Add(-500*time.Millisecond)) || f.At.After(time.Now()) {
			t.Fatalf("answered at %v, now is %v", f.At, time.Now())
		}
	}
	if n := s.fetcher.stats.Fetches.Load(); n > 20 {
		t.Errorf("%d fetches while idle: a busy loop", n)
	}
}

// A worker that does nothing holds back its own partition only, and at most two
// answers of it.
func TestFetchBackPressure(t *testing.T) {
	k := fake(t, kfake.SeedTopics(2, "t"))
	p := produce(t, k.ListenAddrs(), kgo.ProducerBatchCompression(kgo.NoCompression()))
	c := connect(t, k.ListenAddrs(), func(c *Config) { c.MaxPartitionBytes = 1 << 10 })
	f := NewFetcher(c)
	id := topicID(t, c, "t")
	slow := f.Add(Position{Topic: "t", ID: id, Partition: 0, LeaderEpoch: -1})
	fast := f.Add(Position{Topic: "t", ID: id, Partition: 1, LeaderEpoch: -1})
	value := string(make([]byte, 900))
	const n = 20
	for range n {
		p.send("t", 0, value)
		p.send("t", 1, value)
	}
	background(t, f.Run)
	start := time.Now()
	drain(t, fast, n)
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("the fast partition took %v", d)
	}
	if at := slow.State().Offset; at != 2 {
		t.Errorf("%d batches fetched for a worker that takes none, want 2", at)
	}
	drain(t, slow, n)
}

// Answers fetched ahead are dropped when the walk of the one before them was
// ended early: it is continued where it stopped.
func TestFetchContinuesAnEarlyEnd(t *testing.T) {
	k := fake(t, kfake.SeedTopics(1, "t"))
	p := produce(t, k.ListenAddrs())
	p.send("t", 0, "a", "b", "c")
	p.send("t", 0, "d", "e")
	s := open(t, connect(t, k.ListenAddrs(), func(c *Config) { c.MaxPartitionBytes = 1 << 10 }), "t", 0, 0)
	ctx := within(t, 10*time.Second)
	f, err := s.Fetch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var r Record
	if !f.Next(&r) || string(r.Value) != "a" {
		t.Fatal(r)
	}
	if got := drain(t, s, 4); got[0] != "1:b" || got[3] != "4:e" {
		t.Fatal(got)
	}
}

func TestFetchLargeBatches(t *testing.T) {
	k := fake(t, kfake.SeedTopics(3, "t"), kfake.BrokerConfigs(map[string]string{"message.max.bytes": "104857600"}))
	p := produce(t, k.ListenAddrs(), kgo.ProducerBatchCompression(kgo.NoCompression()))
	c := connect(t, k.ListenAddrs(), func(c *Config) {
		c.MaxPartitionBytes, c.MaxBatchBytes, c.MaxDecodedBytes = 16<<10, 1<<20, 1<<20
	})
	f := NewFetcher(c)
	id := topicID(t, c, "t")
	var sources []*Source
	for i := range int32(3) {
		p.send("t", i, "small")
		p.send("t", i, string(make([]byte, 500<<10))) // over what is asked for
		p.send("t", i, "between")
		p.send("t", i, string(make([]byte, 3<<20)), "in the same batch") // over the limit
		p.send("t", i, "after")
		sources = append(sources, f.Add(Position{Topic: "t", ID: id, Partition: i, LeaderEpoch: -1}))
	}
	background(t, f.Run)
	for i, s := range sources {
		ctx := within(t, 20*time.Second)
		var got []int64
		for len(got) < 4 {
			a, err := s.Fetch(ctx)
			if err != nil {
				t.Fatalf("partition %d after %v: %v, %+v", i, got, err, s.State())
			}
			var r Record
			for a.Next(&r) {
				got = append(got, r.Offset)
			}
			var bad *BatchError
			if errors.As(a.Err(), &bad) {
				if bad.Reason != TooLarge || bad.From != 3 || bad.Next != 5 || bad.Size < 3<<20 || bad.Retry() {
					t.Fatalf("%+v", bad)
				}
				s.SeekTo(bad.Next, a.LeaderEpoch())
			}
		}
		if !slices.Equal(got, []int64{0, 1, 2, 5}) {
			t.Errorf("partition %d: %v", i, got)
		}
	}
	if n := c.stats.Oversized.Load(); n < 3*3<<20 {
		t.Errorf("%d bytes counted as thrown away", n)
	}
}

// respond makes the broker answer fetches at one offset with what answer puts in,
// n times.
func respond(k *kfake.Cluster, n int, offset int64, answer func(*kmsg.FetchResponseTopicPartition)) *atomic.Int32 {
	var hits atomic.Int32
	k.ControlKey(1, func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		req := r.(*kmsg.FetchRequest)
		if req.Topics[0].Partitions[0].FetchOffset != offset || int(hits.Load()) == n {
			return nil, nil, false
		}
		hits.Add(1)
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		for _, rt := range req.Topics {
			st := kmsg.NewFetchResponseTopic()
			st.Topic, st.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				sp := kmsg.NewFetchResponseTopicPartition()
				sp.Partition = rp.Partition
				answer(&sp)
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil, true
	})
	return &hits
}

// A batch with a broken checksum is fetched again; when it reads well then,
// nothing was lost. When it never does, the worker seeks past it.
func TestFetchChecksum(t *testing.T) {
	k := fake(t, kfake.SeedTopics(1, "t"))
	produce(t, k.ListenAddrs()).send("t", 0, "a", "b")
	broken := simple(0, 0, "a", "b").encode()
	broken[len(broken)-2] ^= 1
	hits := respond(k, 2, 0, func(p *kmsg.FetchResponseTopicPartition) {
		p.HighWatermark, p.LastStableOffset, p.RecordBatches = 2, 2, broken
	})
	c := connect(t, k.ListenAddrs(), nil)
	s := open(t, c, "t", 0, 0)
	ctx := within(t, 20*time.Second)
	for i := range 2 {
		f, err := s.Fetch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var r Record
		var bad *BatchError
		if f.Next(&r) || !errors.As(f.Err(), &bad) || bad.Reason != Checksum || !bad.Retry() || bad.Next != 2 {
			t.Fatalf("attempt %d: %+v, %v", i, r, f.Err())
		}
	}
	if got := drain(t, s, 2); got[0] != "0:a" {
		t.Fatal(got)
	}
	if hits.Load() != 2 || c.stats.BadBatches.Load() != 2 {
		t.Errorf("the fault struck %d times, %d bad batches counted", hits.Load(), c.stats.BadBatches.Load())
	}
}

func TestFetchTruncated(t *testing.T) {
	k := fake(t, kfake.SeedTopics(1, "t"))
	p := produce(t, k.ListenAddrs())
	p.send("t", 0, "a", "b", "c")
	hits := respond(k, 1, 2, func(p *kmsg.FetchResponseTopicPartition) {
		p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset = 3, 1
	})
	c := connect(t, k.ListenAddrs(), nil)
	f := NewFetcher(c)
	s := f.Add(Position{Topic: "t", ID: topicID(t, c, "t"), Offset: 2, LeaderEpoch: 4})
	background(t, f.Run)
	_, err := s.Fetch(within(t, 5*time.Second))
	var cut *Truncated
	if !errors.As(err, &cut) || cut.Epoch != 3 || cut.End != 1 || cut.Wanted != 2 {
		t.Fatalf("%v", err)
	}
	s.SeekTo(cut.End, cut.Epoch)
	if got := drain(t, s, 2); got[0] != "1:b" {
		t.Fatal(got)
	}
	if hits.Load() != 1 || c.stats.Truncated.Load() != 1 {
		t.Errorf("the fault struck %d times, counted %d", hits.Load(), c.stats.Truncated.Load())
	}
}

// Errors that pass: leadership, epochs, storage. They are retried with pauses.
func TestFetchRetriesRefusals(t *testing.T) {
	for _, e := range []*kerr.Error{kerr.NotLeaderForPartition, kerr.FencedLeaderEpoch, kerr.UnknownLeaderEpoch, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.KafkaStorageError, kerr.TopicAuthorizationFailed} {
		t.Run(e.Message, func(t *testing.T) {
			k := fake(t, kfake.SeedTopics(1, "t"))
			produce(t, k.ListenAddrs()).send("t", 0, "a")
			hits := respond(k, 3, 0, func(p *kmsg.FetchResponseTopicPartition) { p.ErrorCode = e.Code })
			c := connect(t, k.ListenAddrs(), nil)
			s := open(t, c, "t", 0, 0)
			drain(t, s, 1)
			if hits.Load() != 3 {
				t.Errorf("the fault struck %d times", hits.Load())
			}
			if n := c.stats.Errors()[kafka.Error(e.Code).Title()]; n != 3 {
				t.Errorf("counted %v", c.stats.Errors())
			}
		})
	}
}

func TestFetchFollowsTheLeader(t *testing.T) {
	k := fake(t, kfake.NumBrokers(3), kfake.SeedTopics(1, "t"))
	p := produce(t, k.ListenAddrs())
	s := open(t, connect(t, k.ListenAddrs(), nil), "t", 0, 0)
	for i := range 3 {
		if err := k.MoveTopicPartition("t", 0, int32(i)); err != nil {
			t.Fatal(err)
		}
		p.send("t", 0, fmt.Sprint("m", i))
		if got := drain(t, s, 1); got[0] != fmt.Sprintf("%d:m%d", i, i) {
			t.Fatal(got)
		}
	}
}

// A connection that breaks, or answers with nonsense, in the middle.
func TestFetchSurvivesBrokenConnections(t *testing.T) {
	k := fake(t, kfake.SeedTopics(1, "t"))
	produce(t, k.ListenAddrs()).send("t", 0, "a")
	var hits atomic.Int32
	k.ControlKey(1, func(kmsg.Request) (kmsg.Response, error, bool) {
		if hits.Add(1) > 3 {
			return nil, nil, false
		}
		k.KeepControl()
		return nil, errors.New("cut"), true
	})
	c := connect(t, k.ListenAddrs(), nil)
	s := open(t, c, "t", 0, 0)
	drain(t, s, 1)
	if c.stats.Errors()["connection"] < 3 {
		t.Errorf("counted %v", c.stats.Errors())
	}
}

// A topic that was deleted and made again is not read under the old id.
func TestFetchDoesNotReadARecreatedTopic(t *testing.T) {
	k := fake(t, kfake.SeedTopics(1, "t"))
	p := produce(t, k.ListenAddrs())
	p.send("t", 0, "old")
	c := connect(t, k.ListenAddrs(), nil)
	s := open(t, c, "t", 0, 0)
	drain(t, s, 1)
	before := topicID(t, c, "t")
	if err := k.DeleteTopic("t"); err != nil {
		t.Fatal(err)
	}
	if err := k.CreateTopic("t", 1, nil); err != nil {
		t.Fatal(err)
	}
	if topicID(t, c, "t") == before {
		t.Fatal("the id did not change")
	}
	fresh := produce(t, k.ListenAddrs())
	fresh.send("t", 0, "new0", "new1", "new2")
	ctx := within(t, 2*time.Second)
	for {
		f, err := s.Fetch(ctx)
		if err != nil {
			break
		}
		var r Record
		for f.Next(&r) {
			t.Fatalf("read %q at %d under the old id", r.Value, r.Offset)
		}
	}
	if err := s.State().Err; !errors.Is(err, ErrRecreated) {
		t.Errorf("state says %v", err)
	}
}

// While the broker is away nothing spins, and all goes on when it is back.
func TestFetchWaitsForTheBroker(t *testing.T) {
	dir := t.TempDir()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"), kfake.DataDir(dir))
	if err != nil {
		t.Fatal(err)
	}
	addrs := k.ListenAddrs()
	func() {
		cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		producer{t, cl}.send("t", 0, "a")
	}()
	c := connect(t, addrs, nil)
	s := open(t, c, "t", 0, 0)
	drain(t, s, 1)
	k.Close()
	time.Sleep(1500 * time.Millisecond)
	var failures int64
	for _, n := range c.stats.Errors() {
		failures += n
	}
	if failures == 0 || failures > 60 {
		t.Errorf("%d failures in 1.5 s: %v", failures, c.stats.Errors())
	}
	var port int
	if _, err := fmt.Sscanf(addrs[0], "127.0.0.1:%d", &port); err != nil {
		t.Fatal(err)
	}
	fake(t, kfake.DataDir(dir), kfake.Ports(port))
	produce(t, addrs).send("t", 0, "b")
	if got := drain(t, s, 1); got[0] != "1:b" {
		t.Fatal(got)
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	k := fake(t, kfake.SeedTopics(1, "t"))
	c := connect(t, k.ListenAddrs(), func(c *Config) { c.MaxWait = 30 * time.Second })
	f := NewFetcher(c)
	s := f.Add(Position{Topic: "t", ID: topicID(t, c, "t"), LeaderEpoch: -1})
	stop := background(t, f.Run)
	asked := make(chan struct{})
	var hits atomic.Int32
	k.ControlKey(1, func(kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		if hits.Add(1) == 1 {
			close(asked)
		}
		return nil, nil, false
	})
	<-asked
	start := time.Now()
	stop()
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("stopping took %v with a request in flight", d)
	}
	if _, err := s.Fetch(within(t, time.Second)); !errors.Is(err, ErrStopped) {
		t.Errorf("fetching afterwards: %v", err)
	}
}

func TestMetadataOfMissingTopic(t *testing.T) {
	k := fake(t, kfake.SeedTopics(2, "t"), kfake.AllowAutoTopicCreation())
	c := connect(t, k.ListenAddrs(), nil)
	for range 2 {
		m, err := c.Metadata(within(t, 5*time.Second), "zz", "t")
		if err != nil {
			t.Fatal(err)
		}
		if tp := m.Topic("zz"); tp == nil || !errors.Is(tp.Err, kafka.UnknownTopicOrPartition) {
			t.Fatalf("a missing topic is %+v: was it made?", tp)
		}
		if tp := m.Topic("t"); tp == nil || len(tp.Partitions) != 2 || tp.Partitions[1].Leader < 0 {
			t.Fatalf("%+v", tp)
		}
	}
}
