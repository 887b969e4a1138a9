package ingest

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// written keeps the progress that a loop tells; nothing else of it is asked for.
type written struct {
	Store
	progress []schemas.Progress
}

func (w *written) Write(_ context.Context, _ []summary.Partial, rows schemas.Rows) error {
	w.progress = append(w.progress, *rows.Progress)
	return nil
}

type noLetters struct{}

func (noLetters) Put(context.Context, consumers.DeadLetter) error { return nil }
func (noLetters) Flush(context.Context) error                     { return nil }

// TestIdleNeedsAnAnswer: a log that has been read to its end is idle as long as
// the broker says so, and not because nothing is heard of it.
func TestIdleNeedsAnAnswer(t *testing.T) {
	models, err := window.Compile(nil)
	if err != nil {
		t.Fatal(err)
	}
	now := time.UnixMilli(1_000_000)
	store := &written{}
	l := New(DefaultConfig(), Partition{Topic: "t"}, Deps{
		Store: store, DeadLetters: noLetters{}, Now: func() time.Time { return now }, Stats: &Stats{}, Log: zerolog.Nop(),
	})
	l.specs = &Specs{Models: models}
	l.begin(window.Start{Chunk: schemas.Chunk{Topic: "t"}, Previous: -1, Clock: window.NoTime}, [2]int64{})
	l.stored = -1
	pass := func(d time.Duration, answers bool) {
		t.Helper()
		for end := now.Add(d); now.Before(end); {
			now = now.Add(l.cfg.Tick)
			if answers {
				l.answered = now
				if l.caughtUp.IsZero() {
					l.caughtUp = now
				}
			}
			if err := l.tick(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	last := func() schemas.Progress { return store.progress[len(store.progress)-1] }

	pass(5*time.Second, true)
	if p := last(); p.IdleSince == 0 || p.At < now.Add(-2*time.Second).UnixMilli() {
		t.Fatalf("with answers: idle since %d, written at %d", p.IdleSince, p.At)
	}
	gone := now
	pass(5*time.Minute, false)
	if p := last(); p.IdleSince != 0 || p.At > gone.Add(5*time.Second).UnixMilli() {
		t.Fatalf("without answers: idle since %d, written %s after the last one", p.IdleSince, time.UnixMilli(p.At).Sub(gone))
	}
	pass(3*time.Second, true)
	if p := last(); p.IdleSince == 0 {
		t.Error("with answers again it is not idle")
	}
	if err := l.stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := last(); p.IdleSince != 0 {
		t.Error("stopped, it is idle: whoever goes on has not looked at the log yet")
	}
}
