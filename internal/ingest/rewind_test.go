package ingest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// chunksAgain is a partition of which chunks are wanted again.
type chunksAgain struct {
	seq    uint64
	chunks []schemas.Progress // by start
	done   map[int64]bool
}

func (c *chunksAgain) Seq() uint64 { return c.seq }

func (c *chunksAgain) Chunk(_ context.Context, _ schemas.Chunk, from int64) (*schemas.Progress, error) {
	for i := range c.chunks {
		if p := c.chunks[i]; p.Start >= from && !c.done[p.Start] {
			return &p, nil
		}
	}
	return nil, nil //nolint:nilnil // as the interface says
}

func (c *chunksAgain) Next(_ context.Context, of schemas.Chunk) (int64, error) {
	for i := range c.chunks {
		if c.chunks[i].Start > of.Start {
			return c.chunks[i].Start, nil
		}
	}
	return NoOffset, nil
}

// keeps is a store that knows how far a partition is, and keeps what is written.
type keeps struct {
	stands
	again    *chunksAgain
	partials []int // of each write
	writes   []schemas.Progress
}

func (k *keeps) Write(_ context.Context, partials []summary.Partial, rows schemas.Rows) error {
	k.partials = append(k.partials, len(partials))
	k.writes = append(k.writes, *rows.Progress)
	for i := range k.again.chunks {
		if p := &k.again.chunks[i]; p.Start == rows.Progress.Start && rows.Progress.End >= p.End && !rows.Ahead {
			k.again.done[p.Start] = rows.Progress.RewindSeq >= k.again.seq
		}
	}
	return nil
}

// unread decodes nothing: what is read again is no matter here.
type unread struct{ decode.Decoder }

func (unread) Decode(*decode.Record, decode.Target) decode.Reject {
	return decode.Reject{Reason: decode.UnknownModel}
}

// A chunk that was left at a gap is read further when it is read again, and no
// further than the chunk that was begun behind the gap: its records are not
// counted for a second time. Summaries wait until the chunk ends.
func TestReadingAgainEndsAtTheNextChunk(t *testing.T) {
	store := &keeps{again: &chunksAgain{seq: 4, chunks: []schemas.Progress{at(100, 120), at(150, 200)}, done: map[int64]bool{}}}
	store.last = at(150, 200)
	l, source := loopAt(t, &store.stands, Bounds{0, 250}, 250, nil)
	l.deps.Store, l.deps.Rewinds, l.deps.Decoder = store, store.again, unread{}
	l.rewound = l.rewinds()
	step := func() error {
		t.Helper()
		if err := l.resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		for offset := source.offset; offset < 210; offset++ {
			l.record = consumers.Record{Offset: offset, Timestamp: offset}
			if err := l.pass(t.Context()); err != nil {
				return err
			}
			if offset%10 == 0 {
				if err := l.flush(t.Context(), small); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := step(); !errors.Is(err, errAgain) {
		t.Fatalf("reading again past the next chunk: %v", err)
	}
	last := store.writes[len(store.writes)-1]
	if last.Start != 100 || last.End != 150 || last.RewindSeq != 4 || source.offset != 100 {
		t.Errorf("the chunk is stored as %+v", last)
	}
	if err := step(); err != nil {
		t.Fatal(err)
	}
	if source.offset != 150 || l.asm.Chunk().Start != 150 || l.asm.End() != 210 {
		t.Errorf("reading went on at %d in chunk %d up to %d", source.offset, l.asm.Chunk().Start, l.asm.End())
	}
	if err := l.flush(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	// All is read again: a new start goes on where it stood.
	store.last = store.writes[len(store.writes)-1]
	if err := l.resume(t.Context()); err != nil || source.offset != 150 || l.hold != 0 {
		t.Errorf("reading goes on at %d, %v", source.offset, err)
	}
}

// A request that comes while a partition is read is seen to at once.
func TestANewRewindEndsAReading(t *testing.T) {
	store := &keeps{again: &chunksAgain{done: map[int64]bool{}}}
	store.last = at(150, 200)
	l, _ := loopAt(t, &store.stands, Bounds{0, 250}, 250, nil)
	specs := l.specs
	l.deps.Specs = func() *Specs { return specs }
	l.deps.Store, l.deps.Rewinds = store, store.again
	if err := l.resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	store.again.seq = 1
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := l.follow(ctx); !errors.Is(err, errAgain) {
		t.Error(err)
	}
}
