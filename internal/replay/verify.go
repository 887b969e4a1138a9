package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/internal/ingest"
	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// Store is what a verification reads of the database.
type Store interface {
	Chunk(ctx context.Context, c schemas.Chunk) (*schemas.Progress, error)
	Chunks(ctx context.Context, topics []string, fresh func(), each func(schemas.Progress) error) error
	Heads(ctx context.Context, topics []string) ([]schemas.Progress, error)
	StoredStarts(ctx context.Context, model string, from, to int64) (starts []int64, rows []int, err error)
	StoredWindows(ctx context.Context, model string, from, to int64) ([]store.StoredWindow, error)
	Revisions(ctx context.Context, model string, since store.Cursor) ([]store.Revised, store.Cursor, error)
}

// Log is one partition of a topic as it is now.
type Log struct {
	Part   ingest.Partition
	Bounds ingest.Bounds
	Format string // of its events
	// Source returns the records of the partition; end lets it go.
	Source func() (source ingest.Source, end func())
	// OnlyModel is the model that an event without one is counted against.
	OnlyModel string
}

// Deps is what a verification works with.
type Deps struct {
	Store   Store
	Logs    func(context.Context) ([]Log, error) // of the model's topics, as they are now
	Specs   *ingest.Specs                        // of all models that are watched
	Formats decode.Formats
	Now     func() time.Time
	Log     zerolog.Logger
	// Told hears of the records read so far and of those that are to be read,
	// once a while; nil for nobody.
	Told func(read, of int64)
}

// Config says what is verified.
type Config struct {
	Model    string
	Topics   []string
	From, To time.Time // the windows that start in [From, To); zero for no bound
	// Settle is how long windows that differ are looked at again while rows of
	// them may be under way.
	Settle time.Duration
	// Streams is how many summaries are held at a time.
	Streams int
	// Shown is how many differences are listed.
	Shown int
}

// DefaultConfig returns the settings of the command.
func DefaultConfig() Config { return Config{Settle: 30 * time.Second, Streams: 200_000, Shown: 20} }

// Difference is one value that is not stored as the log has it.
type Difference struct {
	Model      string    `json:"model"`
	Window     time.Time `json:"window"` // its start; zero where it is about a chunk of the log
	Version    string    `json:"version,omitempty"`
	Role       string    `json:"role,omitempty"`
	Feature    string    `json:"feature,omitempty"`
	Slice      string    `json:"slice,omitempty"`
	Column     string    `json:"column"`
	Stored     string    `json:"stored"`
	Recomputed string    `json:"recomputed"`
	Where      string    `json:"where,omitempty"` // topic, partition and offset of a chunk
}

// Left is a stretch of windows that was not compared, and why.
type Left struct {
	From    time.Time `json:"from"` // start of the first window
	To      time.Time `json:"to"`   // start of the last one
	Windows int       `json:"windows"`
	Reason  string    `json:"reason"`
}

// Result is what came of a verification.
type Result struct {
	Model       string       `json:"model"`
	Equal       bool         `json:"equal"`   // something was compared, and nothing differs
	Windows     int          `json:"windows"` // compared, by their start
	Streams     int          `json:"streams"` // rows of the view windows compared
	Rows        uint64       `json:"rows"`    // events that the compared windows hold, by part
	Chunks      int          `json:"chunks"`  // of the log whose state was compared
	Passes      int          `json:"passes"`  // readings of the log
	Records     int64        `json:"records"` // read from Kafka
	Differing   int          `json:"differing"`
	Differences []Difference `json:"differences"` // the first of them
	NotCompared []Left       `json:"not_compared"`
	Seconds     float64      `json:"seconds"`
}

// Verifier recomputes windows.
type Verifier struct {
	cfg     Config
	deps    Deps
	logs    []Log
	specs   map[uint64]*schemas.SpecRecord // of the model
	first   uint64                         // the number of its first
	horizon int64                          // how late a row may be, at most
	length  int64                          // of its longest window
	stats   ingest.Stats
	total   int64 // records to be read in the present pass, and read before it
}

// New returns a verifier; Verify runs it.
func New(cfg Config, deps Deps) *Verifier { return &Verifier{cfg: cfg, deps: deps} }

// checked is what came of one window.
type checked struct {
	streams   int
	rows      uint64
	open      bool
	differing int
	shown     []Difference
	left      string // why it was not compared
}

// findings gathers windows over passes; a window that is looked at again
// replaces what was found before.
type findings struct {
	windows map[int64]*checked
	chunks  map[string]*Difference // by place and start, nil for one that is as stored
}

// Verify recomputes the windows of the model and compares them. The error says
// why it could not be done; differences are no error.
func (v *Verifier) Verify(ctx context.Context) (*Result, error) {
	began := v.deps.Now()
	v.specs = map[uint64]*schemas.SpecRecord{}
	for i := range v.deps.Specs.Records {
		if r := &v.deps.Specs.Records[i]; r.Spec.Model == v.cfg.Model {
			v.specs[r.Seq] = r
			if v.first == 0 {
				v.first = r.Seq
			}
			v.horizon = max(v.horizon, r.Spec.LateHorizon.Milliseconds())
			v.length = max(v.length, r.Spec.Window.Milliseconds())
		}
	}
	if len(v.specs) == 0 {
		return nil, fmt.Errorf("nothing of model %s was ever counted: the database knows no spec of it", v.cfg.Model)
	}
	found := &findings{map[int64]*checked{}, map[string]*Difference{}}
	from, to := v.bounds()
	out := &Result{Model: v.cfg.Model, Differences: []Difference{}, NotCompared: []Left{}}
	var last []int64
	same := began
	for {
		before, err := v.heads(ctx)
		if err != nil {
			return nil, err
		}
		n, err := v.span(ctx, from, to, found)
		out.Passes += n
		if err != nil {
			return nil, err
		}
		bad := found.differing()
		if len(bad) == 0 {
			break
		}
		after, err := v.heads(ctx)
		if err != nil {
			return nil, err
		}
		now := v.deps.Now()
		moving := !slices.Equal(before, after)
		if moving || !slices.Equal(bad, last) {
			same = now
		}
		if last = bad; now.Sub(same) >= steady || now.Sub(began) >= v.cfg.Settle {
			if err := v.settle(ctx, found, now.Sub(same) < steady); err != nil {
				return nil, err
			}
			break
		}
		from, to = bad[0], bad[len(bad)-1]+1
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	v.tell(out, found)
	out.Seconds = v.deps.Now().Sub(began).Seconds()
	return out, nil
}

// steady is how long the same windows must differ, while no partition goes on,
// until that is not a matter of rows under way: the service takes about three
// seconds to show late rows in a closed window.
const steady = 6 * time.Second

func (v *Verifier) bounds() (from, to int64) {
	from, to = math.MinInt64, math.MaxInt64
	if !v.cfg.From.IsZero() {
		from = v.cfg.From.UnixMilli()
	}
	if !v.cfg.To.IsZero() {
		to = v.cfg.To.UnixMilli()
	}
	return from, to
}

// heads tells how far the partitions are stored.
func (v *Verifier) heads(ctx context.Context) ([]int64, error) {
	heads, err := v.deps.Store.Heads(ctx, v.cfg.Topics)
	out := make([]int64, 0, len(heads))
	for i := range heads {
		out = append(out, heads[i].End)
	}
	return out, err
}

// span verifies the windows that start in [from, to), in as many passes as
// memory asks for, and returns their number.
func (v *Verifier) span(ctx context.Context, from, to int64, found *findings) (passes int, err error) {
	for start := range found.windows {
		if start >= from && start < to {
			delete(found.windows, start)
		}
	}
	for from < to {
		if v.logs, err = v.deps.Logs(ctx); err != nil {
			return passes, err
		}
		p, err := v.plan(ctx)
		if err != nil {
			return passes, err
		}
		passes++
		r, err := v.read(ctx, p, from, to, found)
		if err != nil {
			return passes, err
		}
		if err := v.compare(ctx, p, r, from, found); err != nil {
			return passes, err
		}
		from = r.to
	}
	return passes, nil
}

// read recomputes the windows that start in [from, to), or as many of the
// first of them as memory allows.
func (v *Verifier) read(ctx context.Context, p *plan, from, to int64, found *findings) (*recorder, error) {
	r := &recorder{model: v.cfg.Model, from: from, to: to, cap: v.cfg.Streams, sums: map[key]*summary.Summary{}, state: v.state}
	until := func() int64 {
		if r.to > math.MaxInt64-v.length {
			return math.MaxInt64
		}
		return r.to + v.length
	}
	var runs []run
	for _, part := range p.partitions {
		runs = append(runs, part.runs(from, until())...)
	}
	for _, one := range runs {
		v.total += one.until() - one.chunks[0].start
	}
	for _, one := range runs {
		if one.chunks[0].from >= until() {
			v.total -= one.until() - one.chunks[0].start
			continue // of windows that were let go
		}
		r.open, r.states, r.chunk, r.resumed = map[rowKey]*summary.Summary{}, map[int64]uint64{}, math.MinInt64, false
		err := v.follow(ctx, one, r)
		switch {
		case errors.Is(err, errGone):
			v.deps.Log.Warn().Err(err).Str("partition", one.String()).Msg("a part of the log cannot be read again")
			l := lost{math.MaxInt64, math.MinInt64, fmt.Sprintf("%s: %v", one.partition, err)}
			for i, c := range one.chunks {
				if i+1 == len(one.chunks) || one.chunks[i+1].start > r.chunk {
					l.from, l.to = min(l.from, c.from), max(l.to, c.to)
				}
			}
			p.lost = append(p.lost, l)
		case err != nil:
			return nil, err
		default:
			v.states(one, r, found)
		}
		r.seal()
	}
	return r, nil
}

// states compares what has come of the chunks with what is stored of them.
func (v *Verifier) states(one run, r *recorder, found *findings) {
	for _, c := range one.chunks {
		where := fmt.Sprintf("%s@%d", one.partition, c.start)
		found.chunks[where] = nil
		got, ok := r.states[c.start]
		delete(r.states, c.start)
		switch {
		case !ok:
			found.chunks[where] = &Difference{Model: v.cfg.Model, Column: "chunk", Stored: "a chunk begins here", Recomputed: "none does", Where: where}
		case got != c.state:
			found.chunks[where] = &Difference{Model: v.cfg.Model, Column: "progress", Stored: "other counts or times of the model", Recomputed: "those of the log", Where: where}
		}
	}
	for start := range r.states {
		where := fmt.Sprintf("%s@%d", one.partition, start)
		found.chunks[where] = &Difference{Model: v.cfg.Model, Column: "chunk", Stored: "no chunk begins here", Recomputed: "one does", Where: where}
	}
}

// follow reads one run by the loop of the service.
func (v *Verifier) follow(ctx context.Context, one run, r *recorder) error {
	i := slices.IndexFunc(v.logs, func(l Log) bool { return l.Part.Topic == one.topic && l.Part.Partition == one.partition.partition })
	l := v.logs[i]
	c := schemas.Chunk{Topic: one.topic, Epoch: schemas.Epoch{TopicID: one.id, Truncation: one.truncation}, Partition: one.partition.partition, Start: one.chunks[0].start}
	begin, err := v.begin(ctx, c)
	if err != nil {
		return err
	}
	r.begin = *begin
	r.begin.SpecSeq = v.deps.Specs.Models.Seq()
	decoder, err := v.deps.Formats.New(l.Format, decode.DefaultConfig())
	if err != nil {
		return fmt.Errorf("reading topic %s: %w", one.topic, err)
	}
	cfg := ingest.DefaultConfig()
	cfg.Fresh, cfg.IdleAfter, cfg.Heartbeat = time.Hour, time.Hour, time.Hour // nobody waits for its rows
	source, end := l.Source()
	defer end()
	loop := ingest.New(cfg, l.Part, ingest.Deps{
		Source: &patient{source, v, v.deps.Now()}, Store: r, Decoder: decoder, DeadLetters: r,
		Specs:     func() *ingest.Specs { return v.deps.Specs },
		OnlyModel: func() string { return l.OnlyModel },
		Bounds:    func(context.Context) (ingest.Bounds, error) { return l.Bounds, nil },
		EpochEnd:  func(context.Context, int32) (int64, error) { return -1, nil },
		Now:       v.deps.Now, Stats: &v.stats, Until: one.until(), Log: zerolog.Nop(),
	})
	if err := loop.Run(ctx); err != nil {
		return fmt.Errorf("reading %s from offset %d: %w", one.partition, c.Start, err)
	}
	return ctx.Err()
}

// begin returns the progress of the chunk where a run begins. That of the open
// chunk may be known by its partition's head only.
func (v *Verifier) begin(ctx context.Context, c schemas.Chunk) (*schemas.Progress, error) {
	p, err := v.deps.Store.Chunk(ctx, c)
	if err != nil || p != nil {
		return p, err
	}
	heads, err := v.deps.Store.Heads(ctx, []string{c.Topic})
	for i := range heads {
		if heads[i].Chunk == c {
			return &heads[i], err
		}
	}
	if err == nil {
		err = fmt.Errorf("the chunk at offset %d of %s/%d is no longer stored", c.Start, c.Topic, c.Partition)
	}
	return nil, err
}

// patient is a source that tells how far it is, and does not wait for ever.
type patient struct {
	ingest.Source
	v     *Verifier
	since time.Time // when something came last
}

// Fetch implements ingest.Source.
func (p *patient) Fetch(ctx context.Context) (*fetched, error) {
	f, err := p.Source.Fetch(ctx)
	now := p.v.deps.Now()
	switch {
	case err == nil:
		p.since = now
		if told := p.v.deps.Told; told != nil {
			told(p.v.stats.Records.Load(), p.v.total)
		}
	case errors.Is(err, context.DeadlineExceeded) && now.Sub(p.since) > silence:
		return nil, fmt.Errorf("nothing has come from Kafka for %s", silence)
	}
	return f, err
}

// silence is how long Kafka may leave a reading waiting for records that are there.
const silence = time.Minute

// differing lists the windows that are not as stored, by start.
func (f *findings) differing() []int64 {
	var out []int64
	for start, w := range f.windows {
		if w.differing > 0 {
			out = append(out, start)
		}
	}
	slices.Sort(out)
	return out
}

// settle takes back what was found of windows that are not settled: closed
// ones of which rows came late that are not shown yet, and open ones while rows
// of them may be under way.
func (v *Verifier) settle(ctx context.Context, f *findings, moving bool) error {
	late, _, err := v.deps.Store.Revisions(ctx, v.cfg.Model, store.Cursor{})
	if err != nil {
		return err
	}
	for _, r := range late {
		if w := f.windows[r.Start]; w != nil && w.differing > 0 && r.Is > r.Was {
			*w = checked{left: "rows of it came late, and the service has yet to show them"}
		}
	}
	for _, w := range f.windows {
		if moving && w.open && w.differing > 0 {
			*w = checked{left: "open: rows of it are still being written"}
		}
	}
	return nil
}

// tell puts everything together.
func (v *Verifier) tell(out *Result, found *findings) {
	starts := make([]int64, 0, len(found.windows))
	for start := range found.windows {
		starts = append(starts, start)
	}
	slices.Sort(starts)
	for _, start := range starts {
		w := found.windows[start]
		if w.left != "" {
			at := time.UnixMilli(start).UTC()
			if n := len(out.NotCompared); n > 0 && out.NotCompared[n-1].Reason == w.left {
				out.NotCompared[n-1].To = at
				out.NotCompared[n-1].Windows++
			} else {
				out.NotCompared = append(out.NotCompared, Left{at, at, 1, w.left})
			}
			continue
		}
		out.Windows++
		out.Streams += w.streams
		out.Rows += w.rows
		out.Differing += w.differing
		out.Differences = append(out.Differences, w.shown[:min(len(w.shown), v.cfg.Shown-len(out.Differences))]...)
	}
	var chunks []*Difference
	for _, d := range found.chunks {
		out.Chunks++
		if d != nil {
			chunks = append(chunks, d)
		}
	}
	slices.SortFunc(chunks, func(a, b *Difference) int { return cmp.Compare(a.Where, b.Where) })
	out.Differing += len(chunks)
	for _, d := range chunks[:min(len(chunks), v.cfg.Shown-len(out.Differences))] {
		out.Differences = append(out.Differences, *d)
	}
	out.Records = v.stats.Records.Load()
	out.Equal = out.Windows > 0 && out.Differing == 0
}
