package store

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// Write stores what one partition has to hand over: its partials and id rows,
// samples, trips and panes, and only when all of that is durable its
// progress: as a place to resume from, unless it is ahead of its partials, and
// as how far events have come. Calls that come within Config.Tick, or while a commit is under
// way, share one insert per table.
//
// It returns when everything is durable. An error that may pass is waited out;
// one that cannot pass is returned to every caller of the commit, and so is
// the end of the context to its own caller: then all, a part or nothing is
// stored, and writing the same again, or a longer prefix, is safe. Nothing of
// the arguments is kept after the return.
func (s *Store) Write(ctx context.Context, partials []summary.Partial, rows schemas.Rows) error {
	return s.commits.write(ctx, partials, rows)
}

// write is one caller's part of a commit.
type write struct {
	partials []summary.Partial
	rows     schemas.Rows
	size     int
	commit   *commit // set when it has been taken from the queue; under committer.mu
	done     chan error
	copied   chan struct{} // closed when nothing refers to the arguments any more
}

// commit is a group of writes that share their inserts.
type commit struct {
	writes []*write
	live   int // callers that still wait; under committer.mu
	cancel context.CancelCauseFunc
}

// committer makes commits, one after the other, on a goroutine of its own.
type committer struct {
	store *Store

	mu     sync.Mutex
	queue  []*write
	closed bool
	wake   chan struct{} // holds one signal
	stop   context.CancelCauseFunc
	ctx    context.Context
	ended  chan struct{}

	buffers buffers // of the goroutine
}

func newCommitter(s *Store) *committer {
	ctx, stop := context.WithCancelCause(context.Background())
	c := &committer{store: s, wake: make(chan struct{}, 1), ctx: ctx, stop: stop, ended: make(chan struct{})}
	go c.run()
	return c
}

func (c *committer) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.stop(ErrClosed)
	<-c.ended
}

func (c *committer) write(ctx context.Context, partials []summary.Partial, rows schemas.Rows) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("writing rows: %w", context.Cause(ctx))
	}
	w := &write{partials: partials, rows: rows, done: make(chan error, 1), copied: make(chan struct{})}
	w.size = len(partials) + len(rows.IDs)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return fmt.Errorf("writing rows: %w", ErrClosed)
	}
	c.queue = append(c.queue, w)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		c.leave(w)
		return fmt.Errorf("writing rows: %w", context.Cause(ctx))
	}
}

// leave takes a write out of the queue, or out of its commit, which ends when
// nobody waits for it any more.
func (c *committer) leave(w *write) {
	c.mu.Lock()
	if w.commit == nil {
		for i, other := range c.queue {
			if other == w {
				c.queue = append(c.queue[:i], c.queue[i+1:]...)
				break
			}
		}
		c.mu.Unlock()
		return
	}
	w.commit.live--
	if w.commit.live == 0 {
		w.commit.cancel(context.Canceled)
	}
	c.mu.Unlock()
	<-w.copied
}

func (c *committer) run() {
	defer close(c.ended)
	for {
		select {
		case <-c.ctx.Done():
			c.drain()
			return
		case <-c.wake:
		}
		if tick := c.store.cfg.Tick; tick > 0 {
			timer := time.NewTimer(tick)
			select {
			case <-c.ctx.Done():
				timer.Stop()
				c.drain()
				return
			case <-timer.C:
			}
		}
		ctx, cancel := context.WithCancelCause(c.ctx)
		if group := c.take(cancel); group != nil {
			c.commit(ctx, group)
		}
		cancel(nil)
	}
}

// drain answers everyone who still waits when the store closes.
func (c *committer) drain() {
	c.mu.Lock()
	queue := c.queue
	c.queue = nil
	c.mu.Unlock()
	for _, w := range queue {
		close(w.copied)
		w.done <- fmt.Errorf("writing rows: %w", ErrClosed)
	}
}

// take forms a commit of the writes that wait, up to Config.MaxRows.
func (c *committer) take(cancel context.CancelCauseFunc) *commit {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, size := 0, 0
	for n < len(c.queue) && (n == 0 || size+c.queue[n].size <= c.store.cfg.MaxRows) {
		size += c.queue[n].size
		n++
	}
	if n == 0 {
		return nil
	}
	group := &commit{writes: append([]*write(nil), c.queue[:n]...), live: n, cancel: cancel}
	c.queue = append(c.queue[:0], c.queue[n:]...)
	for _, w := range group.writes {
		w.commit = group
	}
	if len(c.queue) > 0 {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
	return group
}

func (c *committer) commit(ctx context.Context, group *commit) {
	for _, w := range group.writes {
		c.buffers.add(w)
		w.partials, w.rows = nil, schemas.Rows{}
		close(w.copied)
	}
	err := c.store.commit(ctx, &c.buffers)
	if err != nil {
		err = fmt.Errorf("writing rows: %w", err)
	}
	c.buffers.reset()
	for _, w := range group.writes {
		w.done <- err
	}
}

// buffers hold the rows of one commit, by table.
type buffers struct {
	partials   partialTable
	ids        idTable
	violations violationTable
	trips      tripTable
	panes      paneTable
	samples    sampleTable
	chunks     progressTable // places to resume from
	heads      progressTable
	epochs     map[epochKey]struct{}
}

func (b *buffers) add(w *write) {
	r := &w.rows
	for i := range w.partials {
		b.partials.add(r.Chunk, r.End, &w.partials[i])
	}
	for i := range r.IDs {
		b.ids.add(r.Chunk, &r.IDs[i])
	}
	for i := range r.Violations {
		b.violations.add(r.Chunk, &r.Violations[i])
	}
	for i := range r.Trips {
		b.trips.add(r.Chunk, r.End, &r.Trips[i])
	}
	for i := range r.Panes {
		b.panes.add(r.Chunk, &r.Panes[i])
		for j := range r.Panes[i].Samples {
			b.samples.add(r.Chunk, &r.Panes[i], &r.Panes[i].Samples[j])
		}
	}
	if p := r.Progress; p != nil {
		b.heads.add(p)
		if !r.Ahead {
			b.chunks.add(p)
		}
		if b.epochs == nil {
			b.epochs = make(map[epochKey]struct{})
		}
		b.epochs[epochKey{p.Topic, p.Epoch.TopicID}] = struct{}{}
	}
}

// reset empties the buffers, and gives them up after a commit far above the
// usual, whose memory would otherwise stay.
func (b *buffers) reset() {
	const usual = 200_000
	if b.partials.model.size() > usual || b.ids.model.size() > usual {
		*b = buffers{}
		return
	}
	b.ids.reset()
	for _, c := range []columns{
		b.partials.columns(), b.violations.columns(), b.trips.columns(), b.panes.columns(), b.samples.columns(), b.chunks.columns(), b.heads.columns(),
	} {
		c.reset()
	}
	clear(b.epochs)
}

// commit makes all rows durable, then the progress that speaks of them.
func (s *Store) commit(ctx context.Context, b *buffers) error {
	if faultpoint.Broken(faultpoint.ProgressFirst) {
		if err := s.commitProgress(ctx, b); err != nil {
			return err
		}
		return s.commitRows(ctx, b)
	}
	if err := s.commitRows(ctx, b); err != nil {
		return err
	}
	return s.commitProgress(ctx, b)
}

func (s *Store) commitRows(ctx context.Context, b *buffers) error {
	if b.partials.columns().rows() > 0 {
		faultpoint.Reach(faultpoint.Storing)
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, t := range []struct {
		table string
		rows  columns
	}{
		{"partials", b.partials.columns()},
		{"ids", b.ids.columns()},
		{"violation_samples", b.violations.columns()},
		{"trips", b.trips.columns()},
		{"pane_samples", b.samples.columns()},
		{"panes", b.panes.columns()},
	} {
		if t.rows.rows() == 0 {
			continue
		}
		g.Go(func() error {
			return s.forever(gctx, "storing rows", func(ctx context.Context) error { return s.insert(ctx, t.table, t.rows) })
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	faultpoint.Reach(faultpoint.Partials)
	return nil
}

func (s *Store) commitProgress(ctx context.Context, b *buffers) error {
	if b.heads.columns().rows() == 0 {
		return nil
	}
	if err := s.seeEpochs(ctx, b.epochs); err != nil {
		return err
	}
	for _, t := range []struct {
		table string
		rows  columns
	}{{"progress_chunks", b.chunks.columns()}, {"progress_heads", b.heads.columns()}} {
		if t.rows.rows() == 0 {
			continue
		}
		err := s.forever(ctx, "storing progress", func(ctx context.Context) error { return s.insert(ctx, t.table, t.rows) })
		if err != nil {
			return err
		}
	}
	faultpoint.Reach(faultpoint.Progress)
	if b.partials.columns().rows() > 0 && b.chunks.columns().rows() > 0 {
		faultpoint.Reach(faultpoint.Place)
	}
	return nil
}

// seeEpochs records epochs when they are first seen by anyone.
func (s *Store) seeEpochs(ctx context.Context, epochs map[epochKey]struct{}) error {
	for e := range epochs {
		s.epochs.Lock()
		_, known := s.epochs.known[e]
		s.epochs.Unlock()
		if known {
			continue
		}
		row := columns{{"topic", &list[string]{e.topic}}, {"topic_id", &list[string]{string(e.id[:])}}}
		token := fmt.Sprintf("epoch/%x/%s", e.id, e.topic)
		err := s.forever(ctx, "storing an epoch", func(ctx context.Context) error { return s.insertOnce(ctx, "epochs", token, row) })
		if err != nil {
			return err
		}
		s.epochs.Lock()
		s.epochs.known[e] = struct{}{}
		s.epochs.Unlock()
	}
	return nil
}
