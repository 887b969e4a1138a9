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

// watched is the store as a loop sees it: it tells when rows have been
// written, and counts them.
type watched struct {
	*store.Store
	mu       sync.Mutex
	partials int
	writes   []written
}

// written is the end of one write.
type written struct {
	partition int32
	end       int64
	at        time.Time
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
	// A write that is cut off makes the loop leave its chunk to the next reading,
	// which never comes here.
	err := w.Store.Write(context.WithoutCancel(ctx), partials, rows)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.partials += len(partials)
		w.writes = append(w.writes, written{rows.Chunk.Partition, rows.End, time.Now()})
	}
	return err
}

// reading is a topic on its way into a database of its own, through the
// service's parts.
type reading struct {
	topic   *topic
	specs   *ingest.Specs
	into    *watched
	db      *database
	client  *consumers.Client
	stats   ingest.Stats
	loops   *errgroup.Group
	ctx     context.Context //nolint:containedctx // of the loops, which end together
	end     context.CancelFunc
	stop    context.CancelFunc
	fetched chan error
}

// open prepares to read a topic; start begins. The reading must be ended with
// close, and its database dropped.
func (b *Bench) open(ctx context.Context, t *topic, specs []schemas.SpecRecord) (*reading, error) {
	s, err := b.database(ctx)
	if err != nil {
		return nil, err
	}
	models, err := window.Compile(specs)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("compiling the specs: %w", err), b.drop(s))
	}
	client, err := consumers.NewClient(b.kafka(), new(consumers.Stats), zerolog.Nop())
	if err != nil {
		return nil, errors.Join(err, b.drop(s))
	}
	return &reading{
		topic: t, db: s, client: client, into: &watched{Store: s.Store}, fetched: make(chan error, 1),
		specs: &ingest.Specs{Records: specs, Models: models},
	}, nil
}

func (r *reading) start(ctx context.Context) {
	t, client := r.topic, r.client
	fetching, stop := context.WithCancel(ctx)
	r.stop = stop
	fetcher := consumers.NewFetcher(client)
	looping, end := context.WithCancel(ctx)
	r.end = end
	r.loops, r.ctx = errgroup.WithContext(looping)
	for p := range t.partitions {
		source := fetcher.Add(consumers.Position{Topic: t.name, ID: t.id, Partition: int32(p), LeaderEpoch: -1})
		loop := ingest.New(ingest.DefaultConfig(), ingest.Partition{Topic: t.name, TopicID: t.id, Partition: int32(p)}, ingest.Deps{
			Source: source, Store: r.into, Decoder: native.New(decode.DefaultConfig()), DeadLetters: noLetters{},
			Specs: func() *ingest.Specs { return r.specs }, OnlyModel: func() string { return "" },
			// Nothing was deleted, and the end only says what can be seen: a busy
			// broker is not asked.
			Bounds: func(context.Context) (ingest.Bounds, error) { return ingest.Bounds{}, nil },
			First:  func(context.Context, ingest.Bounds) (int64, error) { return 0, nil },
			Now:    time.Now, Stats: &r.stats, Log: zerolog.Nop(),
		})
		r.loops.Go(func() error { return loop.Run(r.ctx) })
	}
	go func() { r.fetched <- fetcher.Run(fetching) }()
}

// close ends the loops, which store what they hold.
func (r *reading) close() error {
	r.end()
	err := r.loops.Wait()
	r.stop()
	err = errors.Join(err, <-r.fetched)
	r.client.Close()
	return err
}

// stored is a run of the way from Kafka to stored windows.
type stored struct {
	usage
	wall     time.Duration
	partials int
	steady   usage // of the rows after the first quarter, without the last flush
	rows     int   // of the steady stretch
	space    space
}

// read passes a topic through the service's parts into an empty database.
func (b *Bench) read(ctx context.Context, t *topic, specs []schemas.SpecRecord) (out stored, err error) {
	r, err := b.open(ctx, t, specs)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, b.drop(r.db)) }()
	before, began := used(), time.Now()
	r.start(ctx)
	var early, late usage
	from := 0
	err = until(r.ctx, t.rows, time.Millisecond, func() int {
		n := int(r.stats.Records.Load())
		if from == 0 && n >= t.rows/4 {
			early, from = used(), n
		}
		return n
	})
	late, out.rows = used(), int(r.stats.Records.Load())-from
	err = errors.Join(r.close(), err)
	out.usage, out.wall, out.steady, out.partials = used().since(before), time.Since(began), late.since(early), r.into.partials
	if err != nil {
		return out, fmt.Errorf("reading %s: %w", t.name, err)
	}
	if out.space, err = b.space(ctx, r.db, "partials"); err != nil {
		return out, err
	}
	return out, b.verify(ctx, r.db, t)
}

// until waits for count to reach n, and looks so often.
func until(ctx context.Context, n int, every time.Duration, count func() int) error {
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
		case <-time.After(every):
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
