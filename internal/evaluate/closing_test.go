package evaluate

import (
	"math"
	"slices"
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
		l := newListener(since)
		before := slices.Clone(rows)
		for i := range before {
			before[i].At--
		}
		l.hear(before, m, two, now, c)
		if got := l.hear(rows, m, two, now, c)[schemas.PartFeatures]; got != want {
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

// In a burst one partition may be far ahead before another, that was idle, has
// been asked again: what it said before does not reach further than what the
// others had read by then.
func TestWatermarkOfABurst(t *testing.T) {
	now := time.UnixMilli(1_000_000_000)
	m := &Model{Name: "m", Topics: []string{"t"}}
	row := func(p int32, mark, said int64, idle bool) schemas.Progress {
		r := schemas.Progress{Chunk: schemas.Chunk{Topic: "t", Partition: p}, Clock: mark, At: now.UnixMilli() - 1000 + said}
		if idle {
			r.IdleSince = now.UnixMilli() - 3000
		}
		r.Marks = []schemas.Mark{{Model: "m", Part: schemas.PartFeatures, Max: mark}}
		return r
	}
	l := newListener(now.Add(-time.Hour))
	hear := func(what string, want int64, rows ...schemas.Progress) {
		t.Helper()
		w := l.hear(rows, m, func(string) int { return 2 }, now, Closing{Stale: 10 * time.Second, MaxHold: time.Minute})
		if got := w[schemas.PartFeatures].at; got != want {
			t.Errorf("%s: watermark %d, want %d", what, got, want)
		}
	}
	hear("at the first look nobody vouches", 90, row(0, 100, 1, true), row(1, 90, 1, true))
	hear("nothing new was said", 90, row(0, 100, 1, true), row(1, 90, 1, true))
	hear("both have said so again: event time goes on", 100+3000, row(0, 100, 2, true), row(1, 90, 2, true))
	hear("one is far ahead, the other was not asked since", 100, row(0, 9000, 3, false), row(1, 90, 2, true))
	hear("it has been asked since, and has nothing", 9000, row(0, 9000, 3, false), row(1, 90, 3, true))
	hear("it has got its part of the burst", 8000, row(0, 9500, 4, false), row(1, 8000, 4, false))
}
