package consumers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/modelwatch/modelwatch/internal/testkit"
)

// This file holds what is proved on Apache Kafka's own broker.

func apache(t *testing.T, change func(*Config)) (*testkit.KafkaServer, *Client) {
	t.Helper()
	k := testkit.Kafka(t)
	return k, connect(t, []string{k.Addr}, func(c *Config) {
		c.Group = testkit.Name(t, "group")
		c.MetadataEvery = 300 * time.Millisecond
		c.JoinBackoff = 100 * time.Millisecond
		c.SessionTimeout = 10 * time.Second
		c.RebalanceTimeout = 10 * time.Second
		if change != nil {
			change(c)
		}
	})
}

func TestKafkaCodecs(t *testing.T) {
	k, c := apache(t, func(c *Config) { c.MaxPartitionBytes = 8 << 10 })
	topic := k.CreateTopic(t, testkit.Name(t, "codecs"), 5, nil)
	f := NewFetcher(c)
	id := topicID(t, c, topic)
	const n = 300
	var sources []*Source
	for codec := range codecZstd + 1 {
		p := produce(t, []string{k.Addr}, kgo.ProducerBatchCompression([]kgo.CompressionCodec{
			kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
		}[codec]))
		for i := 0; i < n; i += 10 {
			values := make([]string, 10)
			for j := range values {
				values[j] = strings.Repeat(fmt.Sprintf("%d-%d ", codec, i+j), 50)
			}
			p.send(topic, int32(codec), values...)
		}
		sources = append(sources, f.Add(Position{Topic: topic, ID: id, Partition: int32(codec), Offset: 3, LeaderEpoch: -1}))
	}
	background(t, f.Run)
	for codec, s := range sources {
		got := drain(t, s, n-3)
		for i, v := range got {
			if want := fmt.Sprintf("%d:%s", i+3, strings.Repeat(fmt.Sprintf("%d-%d ", codec, i+3), 50)); v != want {
				t.Fatalf("codec %d: %.40s, want %.40s", codec, v, want)
			}
		}
	}
}

func TestKafkaTransactions(t *testing.T) {
	k, c := apache(t, nil)
	topic := k.CreateTopic(t, testkit.Name(t, "tx"), 1, nil)
	cl := produce(t, []string{k.Addr}, kgo.TransactionalID(testkit.Name(t, "tx")), kgo.DefaultProduceTopic(topic)).cl
	ctx := within(t, 60*time.Second)
	write := func(end kgo.TransactionEndTry, values ...string) {
		t.Helper()
		if err := cl.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for _, v := range values { // one batch each
			if err := cl.ProduceSync(ctx, kgo.StringRecord(v)).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := cl.EndTransaction(ctx, end); err != nil {
			t.Fatal(err)
		}
	}
	write(kgo.TryCommit, "a", "b")     // 0 1, marker 2
	write(kgo.TryAbort, "no", "never") // 3 4, marker 5
	write(kgo.TryCommit, "c")          // 6, marker 7
	write(kgo.TryAbort, "nor this")    // 8, marker 9
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(ctx, kgo.StringRecord("open")).FirstErr(); err != nil { // 10
		t.Fatal(err)
	}
	produce(t, []string{k.Addr}).send(topic, 0, "behind the open one") // 11

	s := open(t, c, topic, 0, 0)
	if got := drain(t, s, 3); !slices.Equal(got, []string{"0:a", "1:b", "6:c"}) {
		t.Fatal(got)
	}
	// The position goes past the markers, to the open transaction and no further.
	for {
		f, err := s.Fetch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var r Record
		if f.Next(&r) {
			t.Fatalf("read %q at %d", r.Value, r.Offset)
		}
		if f.Offset() == 10 && f.LastStable == 10 && f.HighWatermark == 12 {
			break
		}
	}
	if end, err := c.ListOffset(ctx, topic, 0, LogEnd); err != nil || end != 10 {
		t.Errorf("the readable end is %d, %v; want 10", end, err)
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if got := drain(t, s, 2); !slices.Equal(got, []string{"10:open", "11:behind the open one"}) {
		t.Fatal(got)
	}

	// A resume inside the aborted transaction knows that it was aborted.
	inside := open(t, c, topic, 0, 4)
	if got := drain(t, inside, 3); got[0] != "6:c" {
		t.Fatal(got)
	}
	dirty := connect(t, []string{k.Addr}, func(c *Config) { c.Isolation = ReadUncommitted })
	if got := drain(t, open(t, dirty, topic, 0, 0), 8); got[3] != "4:never" {
		t.Fatal(got)
	}
}

func TestKafkaOffsetsOutOfRange(t *testing.T) {
	k, c := apache(t, nil)
	topic := k.CreateTopic(t, testkit.Name(t, "range"), 1, nil)
	p := produce(t, []string{k.Addr})
	for i := range 10 {
		p.send(topic, 0, fmt.Sprint(i))
	}
	k.DeleteRecordsBefore(t, topic, 0, 6)
	s := open(t, c, topic, 0, 2)
	ctx := within(t, 30*time.Second)
	for range 2 { // told again when nothing is decided
		_, err := s.Fetch(ctx)
		var out *OutOfRange
		if !errors.As(err, &out) || out.Wanted != 2 || out.Start != 6 || out.End != 10 {
			t.Fatalf("%v", err)
		}
	}
	s.SeekTo(6, -1)
	if got := drain(t, s, 4); got[0] != "6:6" {
		t.Fatal(got)
	}
	s.SeekTo(50, -1)
	_, err := s.Fetch(ctx)
	var out *OutOfRange
	if !errors.As(err, &out) || out.Wanted != 50 || out.End != 10 {
		t.Fatalf("%v", err)
	}
}

func TestKafkaClient(t *testing.T) {
	k, c := apache(t, nil)
	ctx := within(t, 30*time.Second)
	if err := c.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	topic := k.CreateTopic(t, testkit.Name(t, "client"), 2, map[string]string{"cleanup.policy": "compact", "retention.ms": "-1"})
	configs, err := c.TopicConfigs(ctx, topic)
	for errors.Is(err, kafka.UnknownTopicOrPartition) && ctx.Err() == nil { // just made: the broker is still learning of it
		time.Sleep(50 * time.Millisecond)
		configs, err = c.TopicConfigs(ctx, topic)
	}
	if err != nil || configs["cleanup.policy"] != "compact" || configs["retention.ms"] != "-1" {
		t.Errorf("configs %v, %v", configs, err)
	}
	p := produce(t, []string{k.Addr})
	for i := range 3 {
		r := &kgo.Record{Topic: topic, Partition: 1, Key: []byte("k"), Timestamp: time.UnixMilli(int64(1000 * (i + 1)))}
		if err := p.cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for at, want := range map[int64]int64{LogStart: 0, LogEnd: 3, 1500: 1, 99999: -1} {
		if got, err := c.ListOffset(ctx, topic, 1, at); err != nil || got != want {
			t.Errorf("offset at %d is %d, %v; want %d", at, got, err, want)
		}
	}
	if end, err := c.OffsetForLeaderEpoch(ctx, topic, 1, 0); err != nil || end != (EpochEnd{0, 3}) {
		t.Errorf("end of epoch 0: %+v, %v", end, err)
	}
	made := testkit.Name(t, "made")
	t.Cleanup(func() { k.DeleteTopic(t, made) })
	for range 2 {
		if err := c.EnsureTopic(ctx, made); err != nil {
			t.Fatal(err)
		}
	}
	topicID(t, c, made)
	if err := c.EnsureTopic(ctx, "not a name"); err == nil {
		t.Error("a topic with spaces in its name was made")
	}
}

// A message over the limit costs a count and its offsets, not its size in memory.
func TestKafkaTooLargeMessage(t *testing.T) {
	k, c := apache(t, nil)
	topic := k.CreateTopic(t, testkit.Name(t, "large"), 2, map[string]string{"max.message.bytes": "125829120"})
	p := produce(t, []string{k.Addr}, kgo.ProducerBatchCompression(kgo.NoCompression()))
	f := NewFetcher(c)
	id := topicID(t, c, topic)
	var sources []*Source
	for i := range int32(2) {
		p.send(topic, i, "before")
		p.send(topic, i, string(make([]byte, 40<<20)))
		p.send(topic, i, string(make([]byte, 20<<20)))
		p.send(topic, i, "after")
		sources = append(sources, f.Add(Position{Topic: topic, ID: id, Partition: i, LeaderEpoch: -1}))
	}
	background(t, f.Run)
	ctx := within(t, 60*time.Second)
	for i, s := range sources {
		var got []string
		for len(got) < 4 {
			a, err := s.Fetch(ctx)
			if err != nil {
				t.Fatalf("partition %d after %v: %v, %+v", i, got, err, s.State())
			}
			var r Record
			for a.Next(&r) {
				got = append(got, fmt.Sprintf("%d:%d", r.Offset, len(r.Value)))
			}
			var bad *BatchError
			if errors.As(a.Err(), &bad) {
				got = append(got, fmt.Sprintf("%s %d-%d", bad.Reason, bad.From, bad.Next))
				s.SeekTo(bad.Next, a.LeaderEpoch())
			}
		}
		if want := []string{"0:6", "too_large 1-2", fmt.Sprintf("2:%d", 20<<20), "3:5"}; !slices.Equal(got, want) {
			t.Errorf("partition %d: %v", i, got)
		}
		s.SeekTo(4, -1)
		f.mu.Lock()
		for _, a := range s.free {
			if cap(a.set) > 8<<20 {
				t.Errorf("partition %d keeps a buffer of %d bytes", i, cap(a.set))
			}
		}
		f.mu.Unlock()
	}
}

func TestKafkaRestarts(t *testing.T) {
	k := testkit.NewKafka(t, testkit.KafkaOptions{})
	c := connect(t, []string{k.Addr}, func(c *Config) { c.SessionTimeout = 6 * time.Second })
	topic := k.CreateTopic(t, "restarts", 1, nil)
	p := produce(t, []string{k.Addr})
	p.send(topic, 0, "a")
	s := open(t, c, topic, 0, 0)
	drain(t, s, 1)
	m := member(t, c, topic)
	m.expect(topic + "/0")
	k.Kill(t)
	m.expect()
	k.Start(t)
	m.expect(topic + "/0")
	p.send(topic, 0, "b")
	if got := drain(t, s, 1); got[0] != "1:b" {
		t.Fatal(got)
	}
}

func TestKafkaSecurity(t *testing.T) {
	ca := testkit.Authority(t)
	k := testkit.NewKafka(t, testkit.KafkaOptions{Authority: ca, Users: map[string]string{"mw": "secret"}})
	topic := k.CreateTopic(t, "secure", 1, nil)
	produce(t, []string{k.Addr}).send(topic, 0, "a")
	for name, change := range map[string]func(*Config){
		"tls":           func(c *Config) { c.Brokers, c.TLS = []string{k.TLSAddr}, &tls.Config{RootCAs: ca.Pool} },
		"plain":         func(c *Config) { c.SASL = SASL{"plain", "mw", "secret"} },
		"scram-sha-256": func(c *Config) { c.SASL = SASL{"scram-sha-256", "mw", "secret"} },
		"scram-sha-512": func(c *Config) { c.SASL = SASL{"scram-sha-512", "mw", "secret"} },
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, []string{k.SASLAddr}, func(c *Config) {
				c.TLS, c.Group = &tls.Config{RootCAs: ca.Pool}, testkit.Name(t, "g")
				change(c)
			})
			drain(t, open(t, c, topic, 0, 0), 1)
			m := member(t, c, topic)
			m.expect(topic + "/0")
			d := NewDeadLetters(c)
			background(t, d.Run)
			ctx := within(t, 20*time.Second)
			if err := d.Put(ctx, DeadLetter{Reason: "test", Topic: topic}); err != nil {
				t.Fatal(err)
			}
			if err := d.Flush(ctx); err != nil || c.stats.DeadLetters.Load() != 1 {
				t.Fatalf("%v, %d written", err, c.stats.DeadLetters.Load())
			}
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		c := connect(t, []string{k.SASLAddr}, func(c *Config) {
			c.TLS, c.SASL = &tls.Config{RootCAs: ca.Pool}, SASL{"plain", "mw", "guess"}
		})
		if err := c.Ping(within(t, 10*time.Second)); err == nil {
			t.Error("let in")
		}
	})
}

// testMember runs a member of a group and keeps what it is assigned.
type testMember struct {
	t     *testing.T
	group *Group
	stop  func()

	mu    sync.Mutex
	now   Assignment
	seen  int
	moved chan struct{}
	last  func(Assignment) // called when a generation ends
}

func member(t *testing.T, c *Client, topics ...string) *testMember {
	t.Helper()
	m := &testMember{t: t, group: NewGroup(c, topics), moved: make(chan struct{}, 100)}
	m.stop = background(t, func(ctx context.Context) error {
		return m.group.Run(ctx, func(ctx context.Context, a Assignment) error {
			m.mu.Lock()
			m.now = a
			m.seen++
			last := m.last
			m.mu.Unlock()
			nudge(m.moved)
			<-ctx.Done()
			if last != nil {
				last(a)
			}
			m.mu.Lock()
			m.now = Assignment{}
			m.mu.Unlock()
			return nil
		})
	})
	return m
}

func (m *testMember) assigned() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, p := range m.now.Partitions {
		out = append(out, fmt.Sprintf("%s/%d", p.Topic, p.Partition))
	}
	return out
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func (m *testMember) expect(partitions ...string) {
	m.t.Helper()
	eventually(m.t, fmt.Sprint("assigned ", partitions), func() bool { return slices.Equal(m.assigned(), partitions) })
}

func TestKafkaGroupSharesAndRebalances(t *testing.T) {
	k, c := apache(t, nil)
	topic := k.CreateTopic(t, testkit.Name(t, "share"), 4, nil)
	a := member(t, c, topic)
	eventually(t, "a has all", func() bool { return len(a.assigned()) == 4 })
	before := a.assigned()
	b := member(t, c, topic)
	eventually(t, "two each", func() bool { return len(a.assigned()) == 2 && len(b.assigned()) == 2 })
	both := append(a.assigned(), b.assigned()...)
	slices.Sort(both)
	if !slices.Equal(both, before) {
		t.Errorf("shared out %v", both)
	}
	kept := a.assigned()
	s := a.group.Snapshot()
	if tp, ok := s.Topic(topic); !ok || tp.Partitions != 4 || tp.ID != topicID(t, c, topic) || !s.Known || len(s.Assigned) != 2 {
		t.Errorf("snapshot %+v", s)
	}
	for i := range int32(4) {
		if owns := s.Owns(topic, i); owns != slices.Contains(kept, fmt.Sprintf("%s/%d", topic, i)) {
			t.Errorf("owns %d: %v, assigned %v", i, owns, kept)
		}
	}
	// A third comes and goes: what the others keep stays with them.
	d := member(t, c, topic)
	eventually(t, "three members", func() bool { return len(a.assigned()) > 0 && len(b.assigned()) > 0 && len(d.assigned()) == 1 })
	for _, p := range a.assigned() {
		if !slices.Contains(kept, p) {
			t.Errorf("%s moved to a, which had %v", p, kept)
		}
	}
	d.stop()
	b.stop()
	eventually(t, "a has all again", func() bool { return len(a.assigned()) == 4 })
}

func TestKafkaCommitWhileRevoked(t *testing.T) {
	k, c := apache(t, nil)
	topic := k.CreateTopic(t, testkit.Name(t, "commit"), 1, nil)
	a := member(t, c, topic)
	a.expect(topic + "/0")
	a.mu.Lock()
	if at := a.now.Partitions[0].Committed; at != -1 {
		t.Errorf("committed offset of a new group is %d", at)
	}
	result := make(chan error, 10)
	a.last = nil
	commit := a.now.Commit
	a.mu.Unlock()
	if err := commit(map[TopicPartition]int64{{topic, 0}: 7}); err != nil {
		t.Fatal(err)
	}
	// The next generation commits after its context is done.
	a.mu.Lock()
	a.last = func(as Assignment) { result <- as.Commit(map[TopicPartition]int64{{topic, 0}: 11}) }
	a.mu.Unlock()
	seen := func() int { a.mu.Lock(); defer a.mu.Unlock(); return a.seen }
	n := seen()
	k.AddPartitions(t, topic, 2)
	eventually(t, "a generation with both partitions", func() bool { return seen() > n && len(a.assigned()) == 2 })
	a.mu.Lock()
	first := a.now.Partitions[0].Committed
	a.mu.Unlock()
	if first != 7 {
		t.Errorf("committed offset is %d, want 7", first)
	}
	// A second member forces a rebalance through the coordinator.
	b := member(t, c, topic)
	select {
	case err := <-result:
		if err != nil {
			t.Errorf("committing after the context was done: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no rebalance")
	}
	eventually(t, "one each", func() bool { return len(a.assigned()) == 1 && len(b.assigned()) == 1 })
	var at int64
	for _, m := range []*testMember{a, b} {
		m.mu.Lock()
		for _, p := range m.now.Partitions {
			if p.Partition == 0 {
				at = p.Committed
			}
		}
		m.mu.Unlock()
	}
	if at != 11 {
		t.Errorf("the next owner sees %d committed, want 11", at)
	}
}

func TestKafkaGroupFollowsTopics(t *testing.T) {
	k, c := apache(t, nil)
	first := k.CreateTopic(t, testkit.Name(t, "a_first"), 1, nil)
	later := testkit.Name(t, "b_later")
	never := testkit.Name(t, "c_never")
	m := member(t, c, first, later, never)
	// A missing topic does not keep the others from being assigned.
	m.expect(first + "/0")
	generations := c.stats.Generations.Load()
	time.Sleep(2 * time.Second)
	if n := c.stats.Generations.Load() - generations; n != 0 {
		t.Errorf("%d generations while nothing changed", n)
	}
	k.CreateTopic(t, later, 2, nil)
	m.expect(first+"/0", later+"/0", later+"/1")
	k.AddPartitions(t, later, 3)
	m.expect(first+"/0", later+"/0", later+"/1", later+"/2")

	id := m.group.Snapshot().Topics[1].ID
	k.DeleteTopic(t, later)
	m.expect(first + "/0")
	k.CreateTopic(t, later, 1, nil)
	m.expect(first+"/0", later+"/0")
	m.mu.Lock()
	got := m.now.Partitions[1].ID
	m.mu.Unlock()
	if got == id || got != topicID(t, c, later) {
		t.Errorf("id %v after the topic was made again, %v before", got, id)
	}
	if tp := m.group.Snapshot().Topics; len(tp) != 2 {
		t.Errorf("topics %+v: was the missing one made?", tp)
	}
	m.group.SetTopics([]string{later})
	m.expect(later + "/0")
}

// Without a broker a member waits, without spinning, and stops when told.
func TestGroupWithoutABroker(t *testing.T) {
	c := connect(t, []string{"127.0.0.1:1"}, nil)
	m := member(t, c, "t")
	time.Sleep(time.Second)
	start := time.Now()
	m.stop()
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("stopping took %v", d)
	}
	if n := c.stats.Errors()["connection"]; n < 1 || n > 20 {
		t.Errorf("%d failures in a second", n)
	}
	if s := m.group.Snapshot(); s.Known || s.Generation != -1 {
		t.Errorf("snapshot %+v", s)
	}
}

// A member with other topics, one of them gone, does not stop the assignment.
func TestKafkaGroupWithAForeignSubscription(t *testing.T) {
	k, c := apache(t, func(c *Config) { c.MetadataEvery = 10 * time.Second })
	mine := k.CreateTopic(t, testkit.Name(t, "mine"), 1, nil)
	doomed := k.CreateTopic(t, testkit.Name(t, "doomed"), 1, nil)
	a := member(t, c, mine, doomed)
	a.expect(doomed+"/0", mine+"/0")
	// The topic goes between two looks at the metadata; then the group rebalances.
	k.DeleteTopic(t, doomed)
	b := member(t, c, mine)
	eventually(t, "mine is assigned to one of both", func() bool {
		return len(append(a.assigned(), b.assigned()...)) == 1
	})
}

func TestKafkaServeErrorEndsRun(t *testing.T) {
	k, c := apache(t, nil)
	topic := k.CreateTopic(t, testkit.Name(t, "err"), 1, nil)
	broken := errors.New("store is broken")
	err := NewGroup(c, []string{topic}).Run(within(t, 30*time.Second), func(context.Context, Assignment) error { return broken })
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

func TestKafkaDeadLetters(t *testing.T) {
	k, c := apache(t, func(c *Config) { c.DeadLetterQueue = 4 })
	d := NewDeadLetters(c)
	background(t, d.Run)
	ctx := within(t, 60*time.Second)
	source := testkit.Name(t, "source")
	long := strings.Repeat("x", 3*MaxDeadLetterValue)
	const n = 300
	for i := range n {
		l := DeadLetter{Reason: "not_json", Model: "m", Topic: source, Partition: 3, Offset: int64(i), Value: []byte(fmt.Sprint("v", i))}
		switch i {
		case 1:
			l.Value = []byte(long)
		case 2:
			l.Value, l.Size, l.Last, l.Model = nil, 99<<20, 8, ""
		case 3:
			l.Withheld = true
		}
		if err := d.Put(ctx, l); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if got := c.stats.DeadLetters.Load(); got != n {
		t.Errorf("%d counted as written, want %d", got, n)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Addr), kgo.ConsumeTopics(DeadLetterTopic))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	next := 0
	for next < n {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatal(err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			h := make(map[string]string)
			for _, x := range r.Headers {
				h[x.Key] = string(x.Value)
			}
			if h["topic"] != source {
				return
			}
			want := map[string]string{"reason": "not_json", "model": "m", "topic": source, "partition": "3", "offset": fmt.Sprint(next)}
			value := fmt.Sprint("v", next)
			switch next {
			case 1:
				value = long[:MaxDeadLetterValue]
			case 2:
				value = ""
				want["last_offset"] = "8"
				delete(want, "model")
			case 3:
				value, want["withheld"] = "", "sensitive"
			}
			want["size"] = fmt.Sprint(len(value))
			switch next {
			case 1:
				want["size"] = fmt.Sprint(len(long))
			case 2:
				want["size"] = fmt.Sprint(99 << 20)
			case 3:
				want["size"] = "2"
			}
			if sum := h["sha256"]; (len(sum) == 64) != (next != 2 && next != 3) {
				t.Errorf("sha256 %q", sum)
			}
			delete(h, "sha256")
			if !maps.Equal(h, want) || string(r.Value) != value || string(r.Key) != source+"/3" {
				t.Errorf("letter %d: key %s, headers %v, %d bytes", next, r.Key, h, len(r.Value))
			}
			next++
		})
	}
}

// What the broker will never take is counted, and holds nothing up.
func TestKafkaDeadLettersRefused(t *testing.T) {
	k := testkit.NewKafka(t, testkit.KafkaOptions{Properties: map[string]string{"message.max.bytes": "1000"}})
	c := connect(t, []string{k.Addr}, nil)
	d := NewDeadLetters(c)
	background(t, d.Run)
	ctx := within(t, 30*time.Second)
	for _, v := range []string{strings.Repeat("x", 5000), "short"} {
		if err := d.Put(ctx, DeadLetter{Reason: "r", Topic: "t", Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
		if err := d.Flush(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if lost, written := c.stats.LostLetters.Load(), c.stats.DeadLetters.Load(); lost != 1 || written != 1 {
		t.Errorf("%d lost and %d written, want one each", lost, written)
	}
}

// While nobody takes them, letters wait; a full queue blocks and drops nothing.
func TestKafkaDeadLettersWait(t *testing.T) {
	k := testkit.NewKafka(t, testkit.KafkaOptions{})
	c := connect(t, []string{k.Addr}, func(c *Config) { c.DeadLetterQueue, c.RequestTimeout = 2, 2*time.Second })
	if err := c.EnsureTopic(within(t, 20*time.Second), DeadLetterTopic); err != nil {
		t.Fatal(err)
	}
	k.Kill(t)
	d := NewDeadLetters(c)
	ctx := within(t, 60*time.Second)
	put := func(ctx context.Context, i int) error {
		return d.Put(ctx, DeadLetter{Reason: "r", Topic: "t", Offset: int64(i)})
	}
	for i := range 2 {
		if err := put(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(within(t, 100*time.Millisecond), 2); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a third letter in a queue of two: %v", err)
	}
	background(t, d.Run)
	if err := d.Flush(within(t, 300*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("flushed without a broker: %v", err)
	}
	k.Start(t)
	if err := d.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, DeadLetterTopic)
	if err != nil {
		t.Fatal(err)
	}
	var written int64
	ends.Each(func(o kadm.ListedOffset) { written += o.Offset })
	if written < 2 || c.stats.LostLetters.Load() != 0 {
		t.Errorf("%d letters in the topic, %d lost", written, c.stats.LostLetters.Load())
	}
}
