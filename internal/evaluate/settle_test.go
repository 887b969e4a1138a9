package evaluate

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/schemas"
)

// faltering is a store whose every second write of a step and every third
// reading of windows fails.
type faltering struct {
	*kept
	appends, reads int
}

var errAway = errors.New("the store is away")

func (f *faltering) Append(ctx context.Context, s schemas.Step) (bool, error) {
	if f.appends++; f.appends%2 == 1 {
		return false, errAway
	}
	return f.kept.Append(ctx, s)
}

func (f *faltering) ReadWindows(ctx context.Context, model string, spec uint64, part schemas.Part, starts []int64) (map[int64]Merged, error) {
	if f.reads++; f.reads%3 == 1 {
		return nil, errAway
	}
	return f.kept.ReadWindows(ctx, model, spec, part, starts)
}

// A step that came to nothing leaves nothing behind: what is decided in the
// end is what a store that never fails would have seen.
func TestFailedStepsLeaveNothing(t *testing.T) {
	setUp := func() (*kept, *Evaluator) {
		k, e := newKept("m")
		e.cfg.MaxWindows, e.deps.Log = 2, zerolog.Nop()
		k.trips = []schemas.Trip{trip(2*hour, 7), trip(5*hour, 9)}
		k.reach(14*hour+5, 100, "m")
		return k, e
	}
	sound, e := setUp()
	if err := e.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	k, e := setUp()
	f := &faltering{kept: k}
	e.deps.Windows, e.deps.Journal = f, f
	failed := 0
	for e.Settle(t.Context()) != nil {
		if failed++; failed > 200 {
			t.Fatal("it never settles")
		}
	}
	if failed == 0 {
		t.Fatal("nothing has failed")
	}
	want, got := sound.steps["m"], k.steps["m"]
	if len(want) < 5 || len(got) != len(want) {
		t.Fatalf("%d steps, want %d", len(got), len(want))
	}
	same := func(a, b schemas.Step) bool {
		return string(a.State) == string(b.State) && string(a.Inputs) == string(b.Inputs)
	}
	if !slices.EqualFunc(got, want, same) {
		t.Error("the steps differ from those of a store that never fails")
	}
	if told := k.told("m"); !slices.Equal(told, sound.told("m")) || len(told) == 0 {
		t.Errorf("told %v, want %v", told, sound.told("m"))
	}
}

func TestSettle_Trouble(t *testing.T) {
	k, e := newKept("m")
	e.deps.Log = zerolog.Nop()
	k.steps["m"] = []schemas.Step{{Model: "m", Step: 1, State: []byte(`{"next": "?"}`)}}
	k.reach(3*hour, 100, "m")
	if err := e.Settle(t.Context()); err == nil {
		t.Error("a state that cannot be read is no trouble")
	}
}
