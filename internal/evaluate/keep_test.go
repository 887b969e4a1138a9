package evaluate

import (
	"context"
	"errors"
	"testing"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/schemas"
)

// taken is a journal in which every number is taken by another.
type taken struct{ *kept }

func (taken) Append(context.Context, schemas.Step) (bool, error) { return false, nil }

// A step that is lost keeps nothing: a window kept by the loser, with a row
// that came after the winner had read it, would look judged with that row.
func TestALoserKeepsNoWindow(t *testing.T) {
	k, e := newKept("m")
	k.reach(5*hour, 100, "m")
	e.deps.Journal = taken{k}
	if err := e.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(k.written) != 0 {
		t.Errorf("windows %v were kept without a step", k.written)
	}
}

// cut is a store whose writer ends before windows are kept.
type cut struct {
	*kept
	away bool
}

func (c *cut) WriteSummaries(ctx context.Context, model string, windows []Closed) error {
	if c.away {
		return errors.New("it has ended")
	}
	return c.kept.WriteSummaries(ctx, model, windows)
}

// Whoever goes on after a writer that ended between its step and the windows
// of it keeps them.
func TestTheNextKeepsWhatAStepHasJudged(t *testing.T) {
	k, e := newKept("m")
	e.deps.Log = zerolog.Nop()
	k.reach(5*hour, 100, "m")
	c := &cut{kept: k, away: true}
	e.deps.Windows = c
	if err := e.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(k.steps["m"]) != 1 || len(k.written) != 0 {
		t.Fatalf("%d steps, windows %v kept; want one step and none", len(k.steps["m"]), k.written)
	}
	c.away = false
	if err := e.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for start := int64(0); start < 4*hour; start += hour {
		if k.written[start] == 0 {
			t.Errorf("the window at %d h was judged and is not kept", start/hour)
		}
	}
}
