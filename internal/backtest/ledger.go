package backtest

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/modelwatch/modelwatch/internal/evaluate"
	"github.com/modelwatch/modelwatch/internal/profile"
	"github.com/modelwatch/modelwatch/schemas"
)

// ledger is the windows, trips and progress that the evaluators read. Windows
// are held until every evaluator has judged them.
type ledger struct {
	topic   string
	readers int
	seq     uint64 // of the last spec

	mu      sync.Mutex
	windows map[evaluate.WindowID]*held
	trips   []schemas.Trip
	marks   []schemas.Mark
	now     int64 // greatest mark
}

// held is a window that is not judged by all.
type held struct {
	evaluate.Merged
	judged int
}

func newLedger(topic string, seq uint64, readers int) *ledger {
	return &ledger{topic: topic, seq: seq, readers: readers, windows: map[evaluate.WindowID]*held{}, now: math.MinInt64}
}

// take makes a stretch of the past known.
func (l *ledger) take(s *profile.Stretch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range s.Windows {
		l.windows[evaluate.WindowID{Part: w.Part, SpecSeq: w.Spec.Seq, Start: w.Start}] = &held{Merged: evaluate.Merged{Entries: w.Entries, Revision: w.Revision, Offsets: w.Offsets}}
	}
	l.trips, l.marks = s.Trips, s.Marks
	for _, m := range s.Marks {
		l.now = max(l.now, m.Max)
	}
}

// clock stands at the event time that has been reached: what the evaluators
// would take as the wall clock is nothing but the past that is told.
func (l *ledger) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == math.MinInt64 {
		return time.UnixMilli(0).UTC()
	}
	return time.UnixMilli(l.now).UTC()
}

// Starts implements evaluate.Windows.
func (l *ledger) Starts(_ context.Context, _ string, spec uint64, part schemas.Part, from, to int64) ([]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []int64
	for id := range l.windows {
		if id.Part == part && id.SpecSeq == spec && id.Start >= from && id.Start < to {
			out = append(out, id.Start)
		}
	}
	slices.Sort(out)
	return out, nil
}

// ReadWindows implements evaluate.Windows.
func (l *ledger) ReadWindows(_ context.Context, _ string, spec uint64, part schemas.Part, starts []int64) (map[int64]evaluate.Merged, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[int64]evaluate.Merged{}
	for _, start := range starts {
		if w := l.windows[evaluate.WindowID{Part: part, SpecSeq: spec, Start: start}]; w != nil {
			out[start] = w.Merged
		}
	}
	return out, nil
}

// Judged implements evaluate.Windows: judged windows are not kept, so nothing
// is learnt again from them.
func (l *ledger) Judged(context.Context, string, uint64, schemas.Part, int64, int64) ([]int64, error) {
	return nil, nil
}

// ReadJudged implements evaluate.Windows.
func (l *ledger) ReadJudged(context.Context, string, uint64, schemas.Part, []int64) (map[int64]evaluate.Merged, error) {
	return nil, nil
}

// WriteSummaries implements evaluate.Windows: a window that everybody has
// judged is not needed any more.
func (l *ledger) WriteSummaries(_ context.Context, _ string, windows []evaluate.Closed) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range windows {
		if w := l.windows[c.WindowID]; w != nil {
			if w.judged++; w.judged == l.readers {
				delete(l.windows, c.WindowID)
			}
		}
	}
	return nil
}

// Revised implements evaluate.Windows: the past is told as it ended.
func (l *ledger) Revised(context.Context, string, int) ([]evaluate.WindowID, error) { return nil, nil }

// Progress implements evaluate.Signals.
func (l *ledger) Progress(context.Context) ([]schemas.Progress, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return []schemas.Progress{{
		Chunk: schemas.Chunk{Topic: l.topic}, SpecSeq: l.seq, Clock: l.now, At: l.now, Marks: slices.Clone(l.marks),
	}}, nil
}

// Trips implements evaluate.Signals.
func (l *ledger) Trips(_ context.Context, since time.Time) ([]schemas.Trip, time.Time, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.trips), since, nil
}
