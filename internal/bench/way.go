package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/consumers/decode/native"
	"github.com/modelwatch/modelwatch/internal/ingest"
	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// stall is how long a reading may stand still before it is given up.
const stall = 2 * time.Minute

// watched is the store as a loop sees it: it tells when all rows have been
// read and written, and counts what was written.
type watched struct {
	*store.Store
	mu       sync.Mutex
	end      map[int32]int64 // by partition
	partials int
	writing  time.Duration // of the callers, waiting included
}

// Resume knows nothing: each run begins anew.
func (w *watched) Resume(context.Context, string, [16]byte, int32) (schemas.Resume, error) {
	return schemas.Resume{PartialsEnd: -1}, nil
}

// ChunkForSpecs finds nothing, because nothing was read before.
func (w *watched) ChunkForSpecs(context.Context, schemas.Progress, []schemas.SpecRecord, int64) (schemas.Progress, bool, error) {
	return schemas.Progress{}, false, nil
}

// Write stores the rows and remembers how far they go.
func (w *watched) Write(ctx context.Context, partials []summary.Partial, rows schemas.Rows) error {
	began := time.Now()
	// A write that is cut off makes the loop leave its chunk to the next reading,
	// which never comes here.
	err := w.Store.Write(context.WithoutCancel(ctx), partials, rows)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing += time.Since(began)
	if err == nil {
		w.partials += len(partials)
		w.end[rows.Chunk.Partition] = rows.End
	}
	return err
}

// stored is a run of the way from Kafka to stored windows.
type stored struct {
	usage
	wall     time.Duration
	partials int
	steady   usage // of the rows after the first quarter, without the last flush
	rows     int   // of the steady stretch
}

// read passes a topic through the service's parts into an empty database.
func (b *Bench) read(ctx context.Context, t *topic, specs []schemas.SpecRecord) (out stored, err error) {
	s, err := b.database(ctx)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, b.drop(s)) }()
	models, err := window.Compile(specs)
	if err != nil {
		return out, fmt.Errorf("compiling the specs: %w", err)
	}
	client, err := consumers.NewClient(b.kafka(), new(consumers.Stats), zerolog.Nop())
	if err != nil {
		return out, err
	}
	defer client.Close()
	var stats ingest.Stats
	into := &watched{Store: s.Store, end: map[int32]int64{}}
	compiled := &ingest.Specs{Records: specs, Models: models}

	before, began := used(), time.Now()
	fetching, stop := context.WithCancel(ctx)
	defer stop()
	fetcher := consumers.NewFetcher(client)
	reading, done := context.WithCancel(ctx)
	defer done()
	g, reading := errgroup.WithContext(reading)
	for p := range t.partitions {
		source := fetcher.Add(consumers.Position{Topic: t.name, ID: t.id, Partition: int32(p), LeaderEpoch: -1})
		loop := ingest.New(ingest.DefaultConfig(), ingest.Partition{Topic: t.name, TopicID: t.id, Partition: int32(p)}, ingest.Deps{
			Source: source, Store: into, Decoder: native.New(decode.DefaultConfig()), DeadLetters: noLetters{},
			Specs: func() *ingest.Specs { return compiled }, OnlyModel: func() string { return "" },
			Bounds: func(ctx context.Context) (b ingest.Bounds, err error) {
				b.End, err = client.ListOffset(ctx, t.name, int32(p), consumers.LogEnd)
				return b, err
			},
			First: func(context.Context, ingest.Bounds) (int64, error) { return 0, nil },
			Now:   time.Now, Stats: &stats, Log: zerolog.Nop(),
		})
		g.Go(func() error { return loop.Run(reading) })
	}
	fetched := make(chan error, 1)
	go func() { fetched <- fetcher.Run(fetching) }()

	var early, late usage
	from := 0
	err = until(reading, t.rows, func() int {
		n := int(stats.Records.Load())
		if from == 0 && n >= t.rows/4 {
			early, from = used(), n
		}
		return n
	})
	late, out.rows = used(), int(stats.Records.Load())-from
	done()
	err = errors.Join(g.Wait(), err)
	stop()
	err = errors.Join(err, <-fetched)
	out.usage, out.wall, out.steady, out.partials = used().since(before), time.Since(began), late.since(early), into.partials
	if err != nil {
		return out, fmt.Errorf("reading %s: %w", t.name, err)
	}
	return out, b.verify(ctx, s, t)
}

// until waits for count to reach n.
func until(ctx context.Context, n int, count func() int) error {
	last, moved := 0, time.Now()
	for {
		now := count()
		if now >= n {
			return nil
		}
		if now != last {
			last, moved = now, time.Now()
		}
		if time.Since(moved) > stall {
			return fmt.Errorf("standing still at row %d of %d", now, n)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
}

// noLetters refuses dead letters: no row of a workload is unusable.
type noLetters struct{}

// Put implements ingest.DeadLetters.
func (noLetters) Put(_ context.Context, l consumers.DeadLetter) error {
	return fmt.Errorf("the row at offset %d could not be used: %s", l.Offset, l.Reason)
}

// Flush implements ingest.DeadLetters.
func (noLetters) Flush(context.Context) error { return nil }
