package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/ingest"
	"github.com/modelwatch/modelwatch/internal/replay"
	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/schemas"
)

// rewinds knows what operators want read again.
type rewinds struct {
	store *store.Store
	log   zerolog.Logger

	mu   sync.Mutex
	last uint64
	seqs map[ingest.Partition]uint64 // the last of each partition
}

// watch picks up new rewinds.
func (r *rewinds) watch(ctx context.Context) error {
	for {
		if err := r.refresh(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn().Err(err).Msg("looking for rewinds")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func (r *rewinds) refresh(ctx context.Context) error {
	r.mu.Lock()
	last := r.last
	r.mu.Unlock()
	news, err := r.store.Rewinds(ctx, last)
	if err != nil || len(news) == 0 {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seqs == nil {
		r.seqs = map[ingest.Partition]uint64{}
	}
	for _, n := range news {
		r.last = n.Seq
		r.seqs[ingest.Partition{Topic: n.Topic, TopicID: n.Epoch.TopicID, Partition: n.Partition}] = n.Seq
	}
	return nil
}

// partitionRewinds is what a partition's loop sees of it.
type partitionRewinds struct {
	*rewinds
	of ingest.Partition
}

// Seq implements ingest.Rewinds.
func (r partitionRewinds) Seq() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seqs[r.of]
}

// Chunk implements ingest.Rewinds.
func (r partitionRewinds) Chunk(ctx context.Context, c schemas.Chunk, from int64) (*schemas.Progress, error) {
	return r.store.ChunkForRewind(ctx, c, from)
}

// Next implements ingest.Rewinds.
func (r partitionRewinds) Next(ctx context.Context, c schemas.Chunk) (int64, error) {
	return r.store.NextChunk(ctx, c)
}

// RewindConfig says what is to be read again.
type RewindConfig struct {
	Topics     []string
	Partitions []int32 // empty for all
	// From where: Offset where it is not negative, else Time where it is set,
	// else the earliest place there is.
	Offset int64
	Time   time.Time
	Reason string
}

// Rewound is what a rewind reads again of one partition.
type Rewound struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`   // start of the first chunk
	Until     int64  `json:"until"`  // offset up to which the partition is stored
	Chunks    int    `json:"chunks"` // read again
	Events    uint64 `json:"events"` // counted in them so far
	Note      string `json:"note,omitempty"`

	epoch schemas.Epoch
}

// Rewinding is a rewind, planned or asked for.
type Rewinding struct {
	Rewind     uint64    `json:"rewind,omitempty"` // its number, 0 where it was only planned
	Partitions []Rewound `json:"partitions"`
}

// errNothing says that there is nothing to read again.
var errNothing = errors.New("there is nothing to read again")

// Rewind asks the replicas of a service to read partitions again, or only tells
// what that would be. It begins at the chunk that holds the place asked for.
func Rewind(ctx context.Context, s config.Settings, cfg RewindConfig, act bool, log zerolog.Logger) (*Rewinding, error) {
	o, err := openOffline(ctx, s, nil, log)
	if err != nil {
		return nil, err
	}
	defer o.close()
	out := &Rewinding{}
	if out.Partitions, err = o.planRewind(ctx, cfg); err != nil || !act {
		return out, err
	}
	var rows []schemas.Rewind
	for _, p := range out.Partitions {
		if p.Chunks > 0 {
			rows = append(rows, schemas.Rewind{Topic: p.Topic, Epoch: p.epoch, Partition: p.Partition, From: p.From, Until: p.Until, Reason: cfg.Reason})
		}
	}
	if len(rows) == 0 {
		return out, errNothing
	}
	out.Rewind, err = o.store.AddRewinds(ctx, rows)
	return out, err
}

// Rewinds tells how far the latest rewinds are.
func Rewinds(ctx context.Context, s config.Settings, most int, log zerolog.Logger) ([]schemas.RewindState, error) {
	sc, err := storeConfig(storedAt(s).ClickHouse)
	if err != nil {
		return nil, err
	}
	db, err := store.Open(sc, log)
	if err != nil {
		return nil, err
	}
	defer db.Close() // nothing was written
	if err := db.Attach(ctx); err != nil {
		return nil, err
	}
	return db.RewindState(ctx, most)
}

func (o *offline) planRewind(ctx context.Context, cfg RewindConfig) ([]Rewound, error) {
	logs, err := o.partitionsOf(ctx, cfg.Topics)
	if err != nil {
		return nil, err
	}
	for _, topic := range cfg.Topics {
		if !slices.ContainsFunc(logs, func(l replay.Log) bool { return l.Part.Topic == topic }) {
			return nil, fmt.Errorf("topic %s does not exist", topic)
		}
	}
	if n := len(cfg.Partitions); n > 0 {
		all := logs
		logs = slices.DeleteFunc(slices.Clone(logs), func(l replay.Log) bool { return !slices.Contains(cfg.Partitions, l.Part.Partition) })
		if len(logs) < n {
			return nil, fmt.Errorf("topic %s has %d partitions, counted from 0", cfg.Topics[0], len(all))
		}
	}
	heads, err := o.store.Heads(ctx, cfg.Topics)
	if err != nil {
		return nil, err
	}
	var out []Rewound
	for _, l := range logs {
		r, err := o.planPartition(ctx, cfg, l, heads)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, o.countRewind(ctx, cfg.Topics, logs, out)
}

// planPartition finds the offset that is asked for.
func (o *offline) planPartition(ctx context.Context, cfg RewindConfig, l replay.Log, heads []schemas.Progress) (r Rewound, err error) {
	r = Rewound{Topic: l.Part.Topic, Partition: l.Part.Partition, epoch: schemas.Epoch{TopicID: l.Part.TopicID}}
	for i := range heads {
		if h := &heads[i]; h.Topic == r.Topic && h.Partition == r.Partition && h.Epoch.TopicID == r.epoch.TopicID && h.Epoch.Truncation >= r.epoch.Truncation {
			r.epoch, r.Until = h.Epoch, h.End
		}
	}
	switch {
	case cfg.Offset >= 0:
		r.From = cfg.Offset
	case !cfg.Time.IsZero():
		if r.From, err = o.kafka.ListOffset(ctx, r.Topic, r.Partition, cfg.Time.UnixMilli()); err != nil {
			return r, err
		}
		if r.From < 0 {
			r.From = l.Bounds.End
		}
	default:
		r.From = l.Bounds.Start
	}
	return r, nil
}

// countRewind moves each place to the start of its chunk and counts what is
// read again from there.
func (o *offline) countRewind(ctx context.Context, topics []string, logs []replay.Log, out []Rewound) error {
	type at struct {
		start, end int64
		rows       uint64
	}
	asked := make([]int64, len(out))
	for i := range out {
		asked[i] = out[i].From
	}
	first := make([]int64, len(out)) // where the reading of the partition began
	var kept []at                    // of each partition, the chunk that holds the place
	fresh := func() {
		kept = make([]at, len(out))
		for i := range out {
			out[i].From, out[i].Chunks, out[i].Events, first[i] = -1, 0, 0, -1
		}
	}
	err := o.store.Chunks(ctx, topics, fresh, func(p schemas.Progress) error {
		i := slices.IndexFunc(out, func(r Rewound) bool { return r.Topic == p.Topic && r.Partition == p.Partition && r.epoch == p.Epoch })
		if i < 0 {
			return nil
		}
		r := &out[i]
		if first[i] < 0 {
			first[i] = p.Start
		}
		switch {
		case p.Start < logs[i].Bounds.Start: // it cannot be read again
		case p.Start <= asked[i]:
			kept[i] = at{p.Start, p.End, p.Rows}
			r.From, r.Chunks, r.Events = p.Start, 1, p.Rows
		case r.From < 0:
			r.From, r.Chunks, r.Events = p.Start, 1, p.Rows
		default:
			r.Chunks++
			r.Events += p.Rows
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i := range out {
		r := &out[i]
		switch {
		case first[i] < 0:
			r.From, r.Note = asked[i], "nothing of it was ever read"
		case r.From < 0:
			r.From, r.Note = asked[i], fmt.Sprintf("Kafka holds no start of a chunk any more: its log begins at %d", logs[i].Bounds.Start)
		case asked[i] > kept[i].start && asked[i] >= r.Until && r.Chunks == 1:
			r.Note = "it is not stored beyond; the open chunk is read again"
		case first[i] > asked[i]:
			r.Note = fmt.Sprintf("its reading began at %d, so nothing before was ever counted", first[i])
		case r.From > asked[i]:
			r.Note = fmt.Sprintf("the chunk that holds %d begins before the log, which begins at %d", asked[i], logs[i].Bounds.Start)
		}
	}
	slices.SortFunc(out, func(a, b Rewound) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return nil
}
