package ingest

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/consumers"
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

// resumed resumes a partition whose log holds [log.Start, log.End), and whose
// records of epoch 3 end at epochEnd.
func resumed(t *testing.T, store *stands, log Bounds, epochEnd int64, records []schemas.SpecRecord) (chunk schemas.Chunk, offset int64) {
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
