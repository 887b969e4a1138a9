package ingest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// sought notes where a loop wants to read.
type sought struct{ offset int64 }

func (s *sought) Fetch(ctx context.Context) (*consumers.Fetched, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (s *sought) SeekTo(offset int64, _ int32) { s.offset = offset }

// stands is a store that knows how far a partition is.
type stands struct {
	written
	last    schemas.Progress
	earlier map[int64]schemas.Progress // chunks that new specs change, by start
	ahead   bool                       // what the last write said
}

func (s *stands) Write(ctx context.Context, partials []summary.Partial, rows schemas.Rows) error {
	s.ahead = rows.Ahead
	return s.written.Write(ctx, partials, rows)
}

func (s *stands) Resume(context.Context, string, [16]byte, int32) (schemas.Resume, error) {
	return schemas.Resume{Last: &s.last, PartialsEnd: s.last.End}, nil
}

func (s *stands) ChunkForSpecs(_ context.Context, _ schemas.Progress, _ []schemas.SpecRecord, from int64) (out schemas.Progress, ok bool, err error) {
	for start, p := range s.earlier {
		if start >= from && (!ok || start < out.Start) {
			out, ok = p, true
		}
	}
	return out, ok, nil
}

// loopAt returns a loop of a partition whose log holds [log.Start, log.End),
// and whose records of epoch 3 end at epochEnd.
func loopAt(t *testing.T, store *stands, log Bounds, epochEnd int64, records []schemas.SpecRecord) (*Loop, *sought) {
	t.Helper()
	models, err := window.Compile(records)
	if err != nil {
		t.Fatal(err)
	}
	source := &sought{}
	l := New(DefaultConfig(), Partition{Topic: "t"}, Deps{
		Source: source, Store: store, DeadLetters: noLetters{}, Now: time.Now, Stats: &Stats{}, Log: zerolog.Nop(),
		Bounds: func(context.Context) (Bounds, error) { return log, nil },
		EpochEnd: func(_ context.Context, epoch int32) (int64, error) {
			if epoch != 3 {
				t.Errorf("asked for epoch %d", epoch)
			}
			return epochEnd, nil
		},
	})
	l.specs = &Specs{Records: records, Models: models}
	return l, source
}

// resumed resumes such a partition.
func resumed(t *testing.T, store *stands, log Bounds, epochEnd int64, records []schemas.SpecRecord) (chunk schemas.Chunk, offset int64) {
	t.Helper()
	l, source := loopAt(t, store, log, epochEnd, records)
	if err := l.resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l.asm.Chunk(), source.offset
}

func at(start, end int64) schemas.Progress {
	return schemas.Progress{Chunk: schemas.Chunk{Topic: "t", Start: start}, Previous: -1, End: end, Clock: window.NoTime, ClockStart: window.NoTime, LeaderEpoch: 3}
}

// A log that was cut and has grown beyond the reading is known by its epochs.
func TestResumeKnowsACutLog(t *testing.T) {
	f := func(name string, log Bounds, epochEnd int64, wantStart int64, wantTruncation uint32) {
		t.Helper()
		chunk, offset := resumed(t, &stands{last: at(100, 200)}, log, epochEnd, nil)
		if chunk.Start != wantStart || offset != wantStart || chunk.Epoch.Truncation != wantTruncation {
			t.Errorf("%s: reading goes on at %d in the chunk %d of truncation %d", name, offset, chunk.Start, chunk.Epoch.Truncation)
		}
	}
	f("as it was", Bounds{0, 250}, 250, 100, 0)
	f("another leader since", Bounds{0, 250}, 200, 100, 0)
	f("nobody knows the epoch", Bounds{0, 250}, -1, 100, 0)
	f("shorter", Bounds{0, 150}, 150, 150, 1)
	f("cut, and longer by now", Bounds{0, 250}, 170, 170, 1)
	f("cut, and not as long again", Bounds{0, 180}, 150, 150, 1)
}

// What new specs change is read again from the first chunk that is still there.
func TestRewindPassesOverWhatIsGone(t *testing.T) {
	spec := schemas.Spec{Model: "m", Window: time.Hour}
	records := []schemas.SpecRecord{{Seq: 1, Spec: spec}, {Seq: 2, Spec: spec}}
	store := &stands{last: at(300, 400), earlier: map[int64]schemas.Progress{100: at(100, 200), 200: at(200, 300), 300: at(300, 400)}}
	for _, log := range []struct{ begins, want int64 }{{0, 100}, {150, 200}, {201, 300}} {
		if chunk, offset := resumed(t, store, Bounds{log.begins, 400}, 400, records); chunk.Start != log.want || offset != log.want {
			t.Errorf("the log begins at %d: reading goes on at %d in the chunk %d, want %d", log.begins, offset, chunk.Start, log.want)
		}
	}
}

// What new specs change and nobody can read again is a gap.
func TestRewindLeavesAGap(t *testing.T) {
	spec := schemas.Spec{Model: "m", Window: time.Hour}
	records := []schemas.SpecRecord{{Seq: 1, Spec: spec}, {Seq: 2, Spec: spec}}
	f := func(name string, begins int64, want [2]int64) {
		t.Helper()
		store := &stands{last: at(300, 400), earlier: map[int64]schemas.Progress{100: at(100, 200), 200: at(200, 300), 300: at(300, 400)}}
		l, _ := loopAt(t, store, Bounds{begins, 400}, 400, records)
		if err := l.resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if l.gap != want {
			t.Errorf("%s: the gap is %v, want %v", name, l.gap, want)
		}
	}
	f("all of it is there", 0, [2]int64{})
	f("the first chunk is cut", 150, [2]int64{100, 200})
	f("the open chunk is cut", 310, [2]int64{100, 400})
}

// A chunk that is read for the second time when its records are deleted, or
// cannot be had, goes on behind what is stored of it: a chunk that began where
// the log begins now would count again what is between.
func TestLeavingGoesOnBehindWhatIsStored(t *testing.T) {
	f := func(name string, trouble error, begins, want int64) {
		t.Helper()
		store := &stands{last: at(100, 200)}
		log := Bounds{0, 250}
		l, source := loopAt(t, store, log, 250, nil)
		l.deps.Bounds = func(context.Context) (Bounds, error) { return log, nil }
		if err := l.resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.asm.Observe(119, 0)
		log.Start = begins
		if err := l.trouble(t.Context(), trouble); !errors.Is(err, errAgain) {
			t.Fatalf("%s: %v", name, err)
		}
		if err := l.resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := l.asm.Chunk().Start; got != want || source.offset != want || l.gap != [2]int64{200, want} {
			t.Errorf("%s: reading goes on at %d in chunk %d behind the gap %v, want %d", name, source.offset, got, l.gap, want)
		}
	}
	f("deleted up to the middle of what is stored", &consumers.OutOfRange{Wanted: 120, Start: 150, End: 250}, 150, 200)
	f("deleted beyond it", &consumers.OutOfRange{Wanted: 120, Start: 210, End: 250}, 210, 210)
	f("a broken batch in what is stored", &consumers.BatchError{From: 120, Next: 130}, 0, 200)
}

// A flush that holds back rows of open windows is no place to resume from.
func TestFlushesSayWhenTheyAreAhead(t *testing.T) {
	spec := schemas.Spec{Model: "m", Window: time.Hour, LateHorizon: time.Hour, MaxFuture: time.Hour}
	store := &stands{last: at(100, 100)}
	l, _ := loopAt(t, store, Bounds{0, 250}, 250, []schemas.SpecRecord{{Seq: 1, Spec: spec}})
	if err := l.resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := func(name string, ext extent, want bool) {
		t.Helper()
		if err := l.flush(t.Context(), ext); err != nil {
			t.Fatal(err)
		}
		if store.ahead != want {
			t.Errorf("%s: it says %t, want %t", name, store.ahead, want)
		}
	}
	f("nothing to store", small, false)
	b := l.blocks.Block([]byte("m"))
	b.N, b.Parts[0], b.Offset[0] = 1, schemas.PartFeatures, 100
	l.asm.Observe(100, 0)
	if fault := l.asm.Admit(b); fault != "" {
		t.Fatal(fault)
	}
	f("a row of an open window", small, true)
	f("everything", all, false)
}
