package replay

import (
	"context"
	"errors"
	"fmt"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// key names a row of the view windows.
type key struct {
	start int64
	spec  uint64
	schemas.Stream
}

// rowKey names a partial within its chunk.
type rowKey struct {
	key
	part schemas.Part
}

// errGone ends a reading of which a part cannot be had.
var errGone = errors.New("the log cannot be read")

// recorder is the store of a reading: it keeps the summaries of the span in
// memory, and answers as if nothing else had ever been stored.
type recorder struct {
	model    string
	from, to int64 // of the windows that are kept, by their start
	cap      int   // streams held at a time

	begin   schemas.Progress // where the reading begins
	resumed bool

	sums   map[key]*summary.Summary
	chunk  int64 // that open is of
	open   map[rowKey]*summary.Summary
	states map[int64]uint64 // by the start of a chunk: what has come of it
	state  func(*schemas.Progress) uint64
}

// Resume implements ingest.Store: reading begins where the run does, and
// nothing has been read of it.
func (r *recorder) Resume(context.Context, string, [16]byte, int32) (schemas.Resume, error) {
	if r.resumed {
		return schemas.Resume{}, errGone // for a second time only when something is in the way
	}
	r.resumed = true
	begin := r.begin
	begin.End, begin.LeaderEpoch = begin.Start, -1
	return schemas.Resume{Last: &begin, PartialsEnd: -1}, nil
}

// ChunkForSpecs implements ingest.Store: no chunk was read under other specs.
func (r *recorder) ChunkForSpecs(context.Context, schemas.Progress, []schemas.SpecRecord, int64) (schemas.Progress, bool, error) {
	return schemas.Progress{}, false, nil
}

// Write implements ingest.Store: of the rows of a chunk the latest count.
func (r *recorder) Write(_ context.Context, partials []summary.Partial, rows schemas.Rows) error {
	if rows.Chunk.Start != r.chunk {
		r.seal()
		r.chunk = rows.Chunk.Start
	}
	for i := range partials {
		p := &partials[i]
		if p.Model != r.model || p.WindowStart < r.from || p.WindowStart >= r.to {
			continue
		}
		k := rowKey{key{p.WindowStart, p.SpecSeq, p.Stream}, p.Part}
		if r.open[k] == nil && len(r.open)+len(r.sums) >= r.cap {
			r.narrow()
			if p.WindowStart >= r.to {
				continue
			}
		}
		kept := summary.New(len(p.Bins))
		if p.Slice == "" {
			kept.Distinct.KeepRegisters()
		}
		kept.Merge(p.Summary)
		r.open[k] = kept
	}
	if p := rows.Progress; p != nil {
		r.states[p.Start] = r.state(p)
	}
	return nil
}

// narrow lets the later half of the windows go: they have a reading of their
// own later. A single window is kept, however much it holds.
func (r *recorder) narrow() {
	first, last := r.to, r.from
	look := func(start int64) { first, last = min(first, start), max(last, start) }
	for k := range r.sums {
		look(k.start)
	}
	for k := range r.open {
		look(k.start)
	}
	if first >= last {
		return
	}
	r.to = first + (last-first+1)/2
	for k := range r.sums {
		if k.start >= r.to {
			delete(r.sums, k)
		}
	}
	for k := range r.open {
		if k.start >= r.to {
			delete(r.open, k)
		}
	}
}

// seal adds the rows of the chunk to those of the chunks before.
func (r *recorder) seal() {
	for k, s := range r.open {
		if sum := r.sums[k.key]; sum != nil {
			sum.Merge(s)
		} else {
			r.sums[k.key] = s
		}
	}
	clear(r.open)
}

// Put implements ingest.DeadLetters: events that cannot be used are where they
// were put when they were read first. A batch is another matter.
func (r *recorder) Put(_ context.Context, l consumers.DeadLetter) error {
	if l.Last > l.Offset {
		return fmt.Errorf("%w: offsets %d to %d: %s", errGone, l.Offset, l.Last, l.Reason)
	}
	return nil
}

// Flush implements ingest.DeadLetters.
func (r *recorder) Flush(context.Context) error { return nil }
