package evaluate

import (
	"math"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

func TestWatermark(t *testing.T) {
	now := time.UnixMilli(1_000_000_000)
	c := Closing{Stale: 30 * time.Second, MaxHold: 15 * time.Minute}
	two := func(string) int { return 2 }
	m := &Model{Name: "m", Topics: []string{"t"}}
	since := now.Add(-time.Hour)
	row := func(p int32, mark, idleFor, age int64) schemas.Progress {
		r := schemas.Progress{Chunk: schemas.Chunk{Topic: "t", Partition: p}, SpecSeq: 7, Clock: mark, At: now.UnixMilli() - age}
		if idleFor > 0 {
			r.IdleSince = now.UnixMilli() - idleFor
		}
		r.Marks = []schemas.Mark{{Model: "m", Part: schemas.PartFeatures, Max: mark}}
		return r
	}
	f := func(name string, rows []schemas.Progress, want watermark) {
		t.Helper()
		if got := watermarkOf(rows, m, schemas.PartFeatures, two, since, now, c); got != want {
			t.Errorf("%s: want %+v, got %+v", name, want, got)
		}
	}
	f("never delivered", []schemas.Progress{{Chunk: schemas.Chunk{Topic: "t"}}}, watermark{})
	f("the least of both", []schemas.Progress{row(0, 500, 0, 10), row(1, 400, 0, 10)}, watermark{at: 400, known: true, coverage: 1, specSeq: 7})
	f("an idle one does not hold", []schemas.Progress{row(0, 500, 0, 10), row(1, 400, 5000, 10)}, watermark{at: 500, known: true, coverage: 1, specSeq: 7})
	f("all idle: event time goes on", []schemas.Progress{row(0, 500, 3000, 10), row(1, 400, 5000, 10)}, watermark{at: 3500, known: true, coverage: 1, specSeq: 7})
	f("idle but not heard of lately", []schemas.Progress{row(0, 500, 0, 10), row(1, 400, 100_000, 60_000)}, watermark{at: 400, known: true, coverage: 1, specSeq: 7})
	f("not heard of for long", []schemas.Progress{row(0, 500, 0, 10), row(1, 400, 0, 16*60_000)}, watermark{at: 500, known: true, coverage: .5, specSeq: 7})
	f("one not read yet", []schemas.Progress{row(0, 500, 0, 10)}, watermark{at: math.MinInt64, known: true, coverage: .5, specSeq: 7})
	silent := row(1, 400, 0, 10)
	silent.Marks[0].Silent = schemas.Silence + 50
	f("silent while the partition goes on", []schemas.Progress{row(0, 500, 0, 10), silent}, watermark{at: 450, known: true, coverage: 1, specSeq: 7})
	other := row(1, 300, 0, 10)
	other.Marks = nil
	f("a partition of other models", []schemas.Progress{row(0, 500, 0, 10), other}, watermark{at: 300, known: true, coverage: 1, specSeq: 7})

	// What the model does not read any more says nothing of it, whatever it says.
	gone := row(0, 100, 0, 17*60_000)
	gone.Topic, gone.SpecSeq = "left", 3
	f("a topic it has left", []schemas.Progress{row(0, 500, 0, 10), row(1, 400, 0, 10), gone}, watermark{at: 400, known: true, coverage: 1, specSeq: 7})
	// One that is not heard of cannot hold up a new spec for ever.
	old := row(1, 400, 0, 16*60_000)
	old.SpecSeq = 3
	f("an old spec not heard of for long", []schemas.Progress{row(0, 500, 0, 10), old}, watermark{at: 500, known: true, coverage: .5, specSeq: 7})

	// After a long stop nothing was heard of for long, but nobody listened either.
	since = now.Add(-time.Second)
	f("just begun to listen", []schemas.Progress{row(0, 500, 0, 60*60_000), row(1, 400, 0, 60*60_000)}, watermark{at: 400, known: true, coverage: 1, specSeq: 7})
	f("just begun to listen, with one not read yet", []schemas.Progress{row(0, 500, 0, 60*60_000)}, watermark{at: math.MinInt64, known: true, coverage: .5, specSeq: 7})
	f("just begun to listen, idle before the stop", []schemas.Progress{row(0, 500, 0, 10), row(1, 400, 61*60_000, 60*60_000)}, watermark{at: 400, known: true, coverage: 1, specSeq: 7})
}
