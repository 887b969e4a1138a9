package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/consumers/decode/native"
	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/internal/ingest"
	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/schemas"
)

// reading runs one loop for each partition that the group assigns.
type reading struct {
	client   *consumers.Client
	store    *store.Store
	registry *registry
	rewinds  *rewinds
	letters  *consumers.DeadLetters
	stats    *ingest.Stats
	wrote    func()
	log      zerolog.Logger

	fetcher atomic.Pointer[consumers.Fetcher] // of the present generation
}

// formats are the decoders by the name that a monitor's `format` has.
var formats = decode.Formats{"native": native.New}

// serve reads the partitions of one generation until it ends.
func (r *reading) serve(ctx context.Context, a consumers.Assignment) error {
	fetcher := consumers.NewFetcher(r.client)
	r.fetcher.Store(fetcher)
	// The fetcher outlives the loops: they take their last rows from it.
	fetching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	fetched := make(chan error, 1)
	go func() { fetched <- fetcher.Run(fetching) }()
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		watchEnds(fetching, fetcher)
	}()
	var g errgroup.Group
	var errs []error
	for _, p := range a.Partitions {
		loop, err := r.loop(fetcher, a, p)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		g.Go(func() error { return r.follow(ctx, loop, p) })
	}
	errs = append(errs, g.Wait())
	stop()
	<-looked
	return errors.Join(append(errs, <-fetched)...)
}

// lookEvery is the time between two looks at the ends of partitions that wait.
const lookEvery = 5 * time.Second

// watchEnds keeps the lag of partitions that wait for the store true.
func watchEnds(ctx context.Context, fetcher *consumers.Fetcher) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery):
		}
		fetcher.Ends(ctx, faultpoint.Now().Add(-lookEvery))
	}
}

// follow runs a loop for ever: a partition in trouble stops no other.
func (r *reading) follow(ctx context.Context, loop *ingest.Loop, p consumers.Partition) error {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		began := time.Now()
		err := loop.Run(ctx)
		if time.Since(began) > time.Minute {
			wait = time.Second // this is another trouble than the last one
		}
		if err == nil || ctx.Err() != nil {
			return nil //nolint:nilerr // the generation has ended, and that is no failure
		}
		r.log.Error().Err(err).Str("topic", p.Topic).Int32("partition", p.Partition).Dur("retry_in", wait).Msg("reading a partition")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

func (r *reading) loop(fetcher *consumers.Fetcher, a consumers.Assignment, p consumers.Partition) (*ingest.Loop, error) {
	format, start := r.registry.topic(p.Topic)
	decoder, err := formats.New(format, decode.DefaultConfig())
	if err != nil {
		return nil, fmt.Errorf("reading topic %s: %w", p.Topic, err)
	}
	at := consumers.TopicPartition{Topic: p.Topic, Partition: p.Partition}
	// Where reading begins is the loop's decision: it seeks before it fetches.
	source := fetcher.Add(consumers.Position{Topic: p.Topic, ID: p.ID, Partition: p.Partition, Offset: max(p.Committed, 0), LeaderEpoch: -1})
	return ingest.New(ingest.DefaultConfig(), ingest.Partition{Topic: p.Topic, TopicID: p.ID, Partition: p.Partition}, ingest.Deps{
		Source: source, Committed: p.Committed, Store: ingestStore{r.store}, Decoder: decoder, DeadLetters: r.letters,
		Specs: r.registry.current, Privacy: r.registry.privacy.Load, OnlyModel: func() string { return r.registry.onlyModel(p.Topic) },
		Bounds: func(ctx context.Context) (b ingest.Bounds, err error) {
			if b.Start, err = r.client.ListOffset(ctx, p.Topic, p.Partition, consumers.LogStart); err != nil {
				return b, err
			}
			b.End, err = r.client.ListOffset(ctx, p.Topic, p.Partition, consumers.LogEnd)
			return b, err
		},
		EpochEnd: func(ctx context.Context, epoch int32) (int64, error) {
			end, err := r.client.OffsetForLeaderEpoch(ctx, p.Topic, p.Partition, epoch)
			return end.End, err
		},
		First: func(ctx context.Context, b ingest.Bounds) (int64, error) {
			switch {
			case start.latest:
				// A partition that was added later begins where the topic did.
				since, err := r.store.EpochSince(ctx, p.Topic, p.ID)
				if err != nil || since.IsZero() {
					return b.End, err
				}
				return r.offsetAt(ctx, at, since, b)
			case start.back > 0:
				return r.offsetAt(ctx, at, time.Now().Add(-start.back), b)
			}
			return b.Start, nil
		},
		Commit: func(_ context.Context, offset int64) error {
			return a.Commit(map[consumers.TopicPartition]int64{at: offset})
		},
		Rewinds: partitionRewinds{r.rewinds, ingest.Partition{Topic: p.Topic, TopicID: p.ID, Partition: p.Partition}},
		Wrote:   r.wrote, Now: faultpoint.Now, Stats: r.stats,
		Log: r.log.With().Str("topic", p.Topic).Int32("partition", p.Partition).Logger(),
	}), nil
}

// offsetAt finds the first record of that time or later, the log's end where there is none.
func (r *reading) offsetAt(ctx context.Context, p consumers.TopicPartition, since time.Time, b ingest.Bounds) (int64, error) {
	offset, err := r.client.ListOffset(ctx, p.Topic, p.Partition, since.UnixMilli())
	if offset < 0 {
		offset = b.End
	}
	return offset, err
}

// ingestStore is the store as a partition's loop sees it.
type ingestStore struct{ *store.Store }

// Resume implements ingest.Store.
func (s ingestStore) Resume(ctx context.Context, topic string, id [16]byte, partition int32) (schemas.Resume, error) {
	known, err := s.Store.Resume(ctx, topic, id)
	if err != nil {
		return schemas.Resume{}, err
	}
	out := schemas.Resume{PartialsEnd: -1}
	if k, ok := known[partition]; ok {
		out.Last, out.PartialsEnd = k.Progress, k.PartialsEnd
	}
	if out.Last == nil {
		epochs, err := s.Epochs(ctx, topic)
		if err != nil {
			return out, err
		}
		out.Recreated = len(epochs) > 0 && !slices.Contains(epochs, id)
	}
	return out, nil
}

// ChunkForSpecs implements ingest.Store.
func (s ingestStore) ChunkForSpecs(ctx context.Context, last schemas.Progress, records []schemas.SpecRecord, from int64) (schemas.Progress, bool, error) {
	out, ok := last, false
	for _, r := range records {
		if r.Seq <= last.SpecSeq {
			continue
		}
		p, err := s.EarliestChunkForSpec(ctx, last.Chunk, r.Spec.Model, r.Seq, r.EffectiveFrom, from, r.History)
		if err != nil {
			return out, false, err
		}
		if p != nil && (!ok || p.Start < out.Start) {
			out, ok = *p, true
		}
	}
	return out, ok, nil
}
