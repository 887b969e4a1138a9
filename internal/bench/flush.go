package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Flush is what it costs ClickHouse to keep the open windows of a wide model
// fresh while rows come.
type Flush struct {
	Features   int     `json:"features"`
	Slices     int     `json:"slice_values"`
	Partitions int     `json:"partitions"`
	Seconds    float64 `json:"seconds"`
	Rows       int     `json:"rows"`
	Partials   int     `json:"partials"`
	PerInsert  float64 `json:"partials_per_insert"`
	BytesPer   float64 `json:"stored_bytes_per_partial"`
	EngineCPU  float64 `json:"engine_cpu_seconds_per_second"`
	EngineIdle float64 `json:"engine_cpu_seconds_per_second_idle"` // of the same engine before
	OwnCPU     float64 `json:"own_cpu_seconds_per_second"`         // of this process, with making and decoding rows
	NotRun     string  `json:"not_run,omitempty"`
}

const (
	wideFeatures   = 1000
	widePartitions = 6
	wideRate       = 300 // rows a second over all partitions, of 23 kB each
	// Summaries of open windows are stored every 15 s. What is measured begins
	// between the first time and the second, and is two such turns long.
	wideFrom, wideFor, wideMore = 22 * time.Second, 30 * time.Second, 3 * time.Second
	// idleFor is how long the engine is watched without work.
	idleFor = 4 * time.Second
)

// flush lets rows of a wide model flow at a low rate and takes the engine's
// time: what is stored then depends on the streams and not on the rows.
func (b *Bench) flush(ctx context.Context) (out *Flush, err error) {
	out = &Flush{Features: wideFeatures, Slices: SliceValues, Partitions: widePartitions}
	if b.engine == nil {
		out.NotRun = "needs a ClickHouse of our own: " + b.cfg.Servers.NoEngine
		return out, nil
	}
	servers := *b.cfg.Servers
	servers.ClickHouse = servers.Engine
	own := &Bench{cfg: b.cfg, conn: b.engine.conn, engine: b.engine}
	own.cfg.Servers = &servers
	c := Case{Shape: Shape{Kind: Features, Features: wideFeatures, Slices: 1, Models: 1}, Codec: "lz4", Partitions: widePartitions}
	w := New(c.Shape, b.cfg.Seed)
	client, t, err := own.pacedTopic(ctx, c)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	defer func() { err = errors.Join(err, remove(context.WithoutCancel(ctx), servers.Kafka, t.name)) }()
	r, err := own.open(ctx, t, w.Specs())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, own.drop(r.db)) }()
	if out.EngineIdle, err = own.idle(ctx); err != nil {
		return nil, err
	}
	r.start(ctx)
	p := &paced{at: map[int32][]time.Time{}}
	measured := make(chan error, 1)
	go func() { measured <- out.measure(r, b.engine.pid) }()
	err = p.produce(r.ctx, client, t, w, wideRate, wideFrom+wideFor+wideMore)
	failed := <-measured
	t.rows, out.Rows = p.rows, p.rows
	if err == nil {
		err = until(r.ctx, p.rows, 10*time.Millisecond, func() int { return int(r.stats.Records.Load()) })
	}
	if err = errors.Join(r.close(), err, failed); err != nil {
		return nil, fmt.Errorf("keeping a wide model fresh: %w", err)
	}
	// Each feature as a whole, in each slice and in all others.
	if turns := 2 * widePartitions * wideFeatures * (SliceValues + 2); out.Partials < turns {
		out.NotRun = fmt.Sprintf("the machine is too busy: %d partials of %d were stored in time", out.Partials, turns)
	}
	s, err := own.space(ctx, r.db, "partials")
	if err != nil {
		return nil, err
	}
	out.PerInsert, out.BytesPer = s.rowsPerInsert, s.bytesPerRow
	return out, own.verify(ctx, r.db, t)
}

// measure takes the time of two turns.
func (f *Flush) measure(r *reading, pid int) error {
	wait := func(d time.Duration) error {
		select {
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		case <-time.After(d):
			return nil
		}
	}
	partials := func() int {
		r.into.mu.Lock()
		defer r.into.mu.Unlock()
		return r.into.partials
	}
	if err := wait(wideFrom); err != nil {
		return err
	}
	began, stored, own := time.Now(), partials(), used()
	before, err := cpuOf(pid)
	if err != nil {
		return err
	}
	if err := wait(wideFor); err != nil {
		return err
	}
	after, err := cpuOf(pid)
	f.Seconds, f.Partials = time.Since(began).Seconds(), partials()-stored
	f.EngineCPU, f.OwnCPU = (after-before).Seconds()/f.Seconds, used().since(own).cpu.Seconds()/f.Seconds
	return err
}

// idle is the engine's time, for each second, while nobody asks for anything.
func (b *Bench) idle(ctx context.Context) (float64, error) {
	before, err := cpuOf(b.engine.pid)
	if err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	case <-time.After(idleFor):
	}
	after, err := cpuOf(b.engine.pid)
	return (after - before).Seconds() / idleFor.Seconds(), err
}
