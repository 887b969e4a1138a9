package consumers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"
)

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// Partition is one partition of an assignment.
type Partition struct {
	Topic     string
	ID        TopicID
	Partition int32
	// Committed is the group's committed offset, -1 where there is none. It is a
	// hint: progress kept elsewhere decides where to resume.
	Committed int64
}

// Topic is a topic of the group that exists.
type Topic struct {
	Name string
	ID   TopicID
	// Partitions is their number.
	Partitions int
}

// Membership is what the group knows at a moment: the topics that exist, sorted
// by name, and the partitions that are ours, sorted. It is never changed after
// it was handed out.
type Membership struct {
	// Known is false until the metadata was read for the first time.
	Known bool
	// Generation of the assignment; -1 while there is none.
	Generation int32
	Topics     []Topic
	Assigned   []TopicPartition
}

// Topic finds a topic by name.
func (m Membership) Topic(name string) (Topic, bool) {
	i, ok := slices.BinarySearchFunc(m.Topics, name, func(t Topic, name string) int { return strings.Compare(t.Name, name) })
	if !ok {
		return Topic{}, false
	}
	return m.Topics[i], true
}

// Owns says whether a partition is assigned to this member.
func (m Membership) Owns(topic string, partition int32) bool {
	_, ok := slices.BinarySearchFunc(m.Assigned, TopicPartition{topic, partition}, comparePartitions)
	return ok
}

func comparePartitions(a, b TopicPartition) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.Partition) - int(b.Partition)
}

// Assignment is what one generation of the group gives this member. It may hold
// no partitions.
type Assignment struct {
	Generation int32
	Partitions []Partition // sorted by topic and partition
	// Commit stores offsets with the group's coordinator. It works until serve
	// returns, also after its context is done.
	Commit func(offsets map[TopicPartition]int64) error
}

// Group is one member of a consumer group.
type Group struct {
	client *Client
	cfg    Config
	stats  *Stats
	log    zerolog.Logger
	dialer *dialer

	mu      sync.Mutex
	topics  []string
	changed chan struct{}
	current Membership
}

// NewGroup prepares a member that wants the given topics; those that do not exist
// yet are joined when they do.
func NewGroup(c *Client, topics []string) *Group {
	g := &Group{
		client: c, cfg: c.cfg, stats: c.stats,
		log:     c.log.With().Str("group", c.cfg.Group).Logger(),
		dialer:  newDialer(),
		changed: make(chan struct{}, 1),
		current: Membership{Generation: -1},
	}
	g.topics = normal(topics)
	return g
}

func normal(topics []string) []string {
	topics = slices.Clone(topics)
	slices.Sort(topics)
	return slices.Compact(topics)
}

// SetTopics changes the topics that are wanted, at once.
func (g *Group) SetTopics(topics []string) {
	g.mu.Lock()
	g.topics = normal(topics)
	g.mu.Unlock()
	nudge(g.changed)
}

// Snapshot is the membership as it is now.
func (g *Group) Snapshot() Membership {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.current
}

func (g *Group) wanted() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.topics
}

func (g *Group) publish(topics []Topic, generation int32, assigned []TopicPartition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.current = Membership{Known: true, Generation: generation, Topics: topics, Assigned: assigned}
}

// Run joins the group and calls serve for each generation, one at a time, until
// ctx ends (it returns nil) or serve returns an error before its context is done.
//
// The context of serve ends on a rebalance, when topics or partitions changed,
// and when ctx ends; serve then has to flush, commit and return within
// RebalanceTimeout, or the coordinator gives its partitions away and refuses its
// commits. A serve that returns nil early keeps its partitions until then. Errors
// of brokers and coordinators are retried for ever.
func (g *Group) Run(ctx context.Context, serve func(ctx context.Context, a Assignment) error) error {
	fails := 0
	for ctx.Err() == nil {
		topics, err := g.existing(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // it was told to stop, and that is no failure
			}
			g.stats.failed(err)
			if fails++; fails == 1 {
				g.log.Warn().Err(err).Msg("topics are not to be had, trying on")
			}
			sleep(ctx, backoff(fails), g.changed)
			continue
		}
		fails = 0
		g.publish(topics, -1, nil)
		if len(topics) == 0 {
			sleep(ctx, g.cfg.MetadataEvery, g.changed)
			continue
		}
		if err := g.join(ctx, topics, serve); err != nil {
			return err
		}
	}
	return nil
}

// existing asks which of the wanted topics there are.
func (g *Group) existing(ctx context.Context) ([]Topic, error) {
	wanted := g.wanted()
	if len(wanted) == 0 {
		return nil, nil
	}
	m, err := g.client.Metadata(ctx, wanted...)
	if err != nil {
		return nil, err
	}
	var topics []Topic
	for _, t := range m.Topics {
		switch {
		case t.Err == nil && len(t.Partitions) > 0:
			topics = append(topics, Topic{Name: t.Name, ID: t.ID, Partitions: len(t.Partitions)})
		case errors.Is(t.Err, kafka.LeaderNotAvailable):
			// Being made, or between two leaders: neither there nor gone.
			return nil, fmt.Errorf("looking up %s: %w", t.Name, t.Err)
		}
	}
	return topics, nil
}

func names(topics []Topic) []string {
	n := make([]string, len(topics))
	for i, t := range topics {
		n[i] = t.Name
	}
	return n
}

// join is a member for as long as the set of topics stays the same. It returns
// an error only when serve does.
func (g *Group) join(ctx context.Context, topics []Topic, serve func(context.Context, Assignment) error) error {
	balancer := newBalancer(func(topics []string) (Metadata, error) {
		ctx, cancel := context.WithTimeout(ctx, g.cfg.RequestTimeout)
		defer cancel()
		return g.client.Metadata(ctx, topics...)
	})
	member, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:      g.cfg.Group,
		Brokers: g.cfg.Brokers,
		Dialer: &kafka.Dialer{
			ClientID: g.cfg.ClientID, Timeout: g.cfg.RequestTimeout,
			TLS: g.cfg.TLS, SASLMechanism: g.client.sasl, DialFunc: g.dialer.dial,
		},
		Topics:            names(topics),
		GroupBalancers:    []kafka.GroupBalancer{balancer},
		HeartbeatInterval: g.cfg.SessionTimeout / 10,
		SessionTimeout:    g.cfg.SessionTimeout,
		RebalanceTimeout:  g.cfg.RebalanceTimeout,
		JoinGroupBackoff:  g.cfg.JoinBackoff,
		Timeout:           g.cfg.RequestTimeout,
		StartOffset:       kafka.FirstOffset,
	})
	if err != nil {
		return fmt.Errorf("joining group %s: %w", g.cfg.Group, err)
	}
	defer g.leave(member)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen := &baseline{topics: topics}
	var poll errgroup.Group
	poll.Go(func() error {
		defer cancel()
		g.watch(ctx, seen)
		return nil
	})
	defer func() { _ = poll.Wait() }()
	defer cancel()

	for fails := 0; ctx.Err() == nil; {
		gen, err := member.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			g.stats.failed(err)
			if fails++; fails == 1 {
				g.log.Info().Err(err).Msg("joining failed, trying on")
			}
			continue
		}
		fails = 0
		g.stats.Generations.Add(1)
		if err := g.generation(ctx, gen, balancer, seen, serve); err != nil {
			return err
		}
	}
	return nil
}

// baseline is what the assignment in force was made from.
type baseline struct {
	mu     sync.Mutex
	topics []Topic
}

// set takes over what an assignment was made from; false, and nothing done, when
// its topics are not those that were joined with.
func (b *baseline) set(topics []Topic) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(names(b.topics), names(topics)) {
		return false
	}
	b.topics = topics
	return true
}

func (b *baseline) differs(topics []Topic) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !slices.Equal(b.topics, topics)
}

// watch returns when topics came, went, were made again, or have another number
// of partitions than the assignment knows, and when ctx ends. A look that fails
// decides nothing.
func (g *Group) watch(ctx context.Context, seen *baseline) {
	for sleep(ctx, g.cfg.MetadataEvery, g.changed) {
		topics, err := g.existing(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			g.stats.failed(err)
		case seen.differs(topics):
			g.stats.Rejoins.Add(1)
			g.log.Info().Strs("topics", names(topics)).Msg("topics or partitions changed, joining anew")
			return
		}
	}
}

// generation serves one generation to its end.
func (g *Group) generation(ctx context.Context, gen *kafka.Generation, balancer *balancer, seen *baseline, serve func(context.Context, Assignment) error) error {
	result := make(chan error, 1)
	gen.Start(func(ended context.Context) {
		serving, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(ended, cancel)()
		result <- g.serve(serving, gen, balancer, seen, serve)
	})
	return <-result
}

func (g *Group) serve(ctx context.Context, gen *kafka.Generation, balancer *balancer, seen *baseline, serve func(context.Context, Assignment) error) error {
	topics, err := g.existing(ctx)
	if err != nil {
		// Without ids there are no epochs and so nothing to serve: end this
		// generation and try the next, the group's backoff paces it.
		if ctx.Err() == nil {
			g.stats.failed(err)
			sleep(ctx, g.cfg.JoinBackoff, nil)
		}
		return nil
	}
	// Whoever leads made the assignment from what it saw then; partitions and
	// topics added since must look like a change, or nobody would ever own them.
	if !seen.set(balancer.assignedFrom(topics)) {
		nudge(g.changed)
	}

	a := Assignment{Generation: gen.ID}
	var assigned []TopicPartition
	for name, partitions := range gen.Assignments {
		for _, p := range partitions {
			a.Partitions = append(a.Partitions, Partition{Topic: name, Partition: int32(p.ID), Committed: max(p.Offset, -1)})
			assigned = append(assigned, TopicPartition{name, int32(p.ID)})
		}
	}
	slices.SortFunc(assigned, comparePartitions)
	slices.SortFunc(a.Partitions, func(a, b Partition) int {
		return comparePartitions(TopicPartition{a.Topic, a.Partition}, TopicPartition{b.Topic, b.Partition})
	})
	known := Membership{Topics: topics}
	a.Partitions = slices.DeleteFunc(a.Partitions, func(p Partition) bool {
		_, ok := known.Topic(p.Topic)
		return !ok // deleted since: the next look at the metadata joins anew
	})
	for i := range a.Partitions {
		t, _ := known.Topic(a.Partitions[i].Topic)
		a.Partitions[i].ID = t.ID
	}
	a.Commit = func(offsets map[TopicPartition]int64) error { return g.commit(gen, offsets) }
	balancer.own(gen.ID, assigned)
	g.publish(topics, gen.ID, assigned)
	g.log.Info().Int32("generation", gen.ID).Int("partitions", len(assigned)).Msg("partitions assigned")

	err = serve(ctx, a)
	if err == nil {
		<-ctx.Done()
	}
	g.publish(topics, -1, nil)
	if ctx.Err() != nil {
		if err != nil && !errors.Is(err, context.Canceled) {
			g.log.Warn().Err(err).Int32("generation", gen.ID).Msg("ending a generation")
		}
		return nil
	}
	return err
}

func (g *Group) commit(gen *kafka.Generation, offsets map[TopicPartition]int64) error {
	byTopic := make(map[string]map[int]int64)
	for p, offset := range offsets {
		if byTopic[p.Topic] == nil {
			byTopic[p.Topic] = make(map[int]int64)
		}
		byTopic[p.Topic][int(p.Partition)] = offset
	}
	if err := gen.CommitOffsets(byTopic); err != nil {
		g.stats.failed(err)
		return fmt.Errorf("committing offsets of group %s in generation %d: %w", g.cfg.Group, gen.ID, err)
	}
	g.stats.Commits.Add(1)
	return nil
}

// leave closes the member. kafka-go waits for a join in flight, which the other
// members may hold up for the rebalance timeout: after a grace its connections
// are cut.
func (g *Group) leave(member *kafka.ConsumerGroup) {
	closed := make(chan struct{})
	go func() {
		_ = member.Close()
		close(closed)
	}()
	grace := time.NewTimer(3 * time.Second)
	defer grace.Stop()
	for {
		select {
		case <-closed:
			return
		case <-grace.C:
			g.dialer.cut()
			grace.Reset(3 * time.Second)
		}
	}
}

// dialer remembers the connections of the group so that they can be cut.
type dialer struct {
	mu   sync.Mutex
	open map[*tracked]struct{}
}

func newDialer() *dialer { return &dialer{open: make(map[*tracked]struct{})} }

type tracked struct {
	net.Conn
	dialer *dialer
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	t := &tracked{Conn: c, dialer: d}
	d.mu.Lock()
	d.open[t] = struct{}{}
	d.mu.Unlock()
	return t, nil
}

// Close closes the connection and forgets it.
func (t *tracked) Close() error {
	t.dialer.mu.Lock()
	delete(t.dialer.open, t)
	t.dialer.mu.Unlock()
	return t.Conn.Close()
}

func (d *dialer) cut() {
	d.mu.Lock()
	open := slices.Collect(maps.Keys(d.open))
	d.mu.Unlock()
	for _, t := range open {
		_ = t.Close()
	}
}
