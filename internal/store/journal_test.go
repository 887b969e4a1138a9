package store_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

func step(model string, number uint64, writer string) schemas.Step {
	st := schemas.Step{
		Model: model, Step: number, Writer: writer, At: time.UnixMilli(1_000_000).UTC(),
		Inputs: []byte(`{"windows":[1]}`), Parameters: []byte(`{"alpha":0.05}`), State: []byte("state of " + writer + "\x00\xff"),
		Incidents: []schemas.Incident{{Incident: "i-" + model, Model: model, Severity: schemas.SeverityWarning, State: schemas.IncidentFiring, Fault: schemas.FaultNulls, Title: writer}},
	}
	for i := range 100 {
		st.Verdicts = append(st.Verdicts, schemas.Verdict{Stream: schemas.Stream{Version: "1", Role: schemas.RoleFeature, Feature: fmt.Sprint("f", i)}, Channel: "location", State: schemas.StateOK, Reason: writer})
	}
	for i := range 3 {
		st.Outbox = append(st.Outbox, schemas.Message{
			ID: fmt.Sprintf("%s-%d-%d", model, number, i), Stream: "MODELWATCH_ALERTS", Subject: "s", Headers: map[string]string{"ce-id": writer},
			Body: []byte(fmt.Sprintf(`{"incident":"i-%s","seq":%d,"transition":"firing","severity":"warning","model":"x"}`, model, i+1)), Incident: "i-" + model, Seq: i + 1,
		})
	}
	return st
}

// Sixty evaluators race for each step; one wins it whole and all know who.
func TestOneWriterWinsAStep(t *testing.T) {
	s, database := open(t)
	ctx := background(t)
	const model = `m'/1\`
	for number := uint64(1); number <= 3; number++ {
		var mu sync.Mutex
		var winners []string
		var g errgroup.Group
		for w := range 60 {
			g.Go(func() error {
				writer := fmt.Sprintf("w%d", w)
				won, err := s.Append(ctx, step(model, number, writer))
				if won {
					mu.Lock()
					winners = append(winners, writer)
					mu.Unlock()
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if len(winners) != 1 {
			t.Fatalf("step %d was won by %v", number, winners)
		}
		last, err := s.LastStep(ctx, model)
		if err != nil {
			t.Fatal(err)
		}
		want := step(model, number, winners[0])
		if last.Step != number || last.Writer != winners[0] || string(last.State) != string(want.State) || string(last.Inputs) != string(want.Inputs) || !last.At.Equal(want.At) {
			t.Errorf("last step is %+v", last)
		}
		got := testkit.ClickHouse(t).Query(t, fmt.Sprintf("SELECT count(), uniqExact(writer) FROM %s.journal WHERE step = %d", database, number))
		if got != "105\t1" {
			t.Errorf("step %d has %s rows and writers, want 105 of 1", number, got)
		}
		if won, err := s.Append(ctx, step(model, number, winners[0])); err != nil || !won {
			t.Errorf("the winner does not know its step again: %v, %v", won, err)
		}
		other := step(model, number, winners[0])
		other.State = []byte("another")
		if won, err := s.Append(ctx, other); err != nil || won {
			t.Errorf("other work of the winner counts for its step: %v, %v", won, err)
		}
	}
	if won, err := s.Append(ctx, step(model, 1, "late")); err != nil || won {
		t.Errorf("a step of the past: %v, %v", won, err)
	}
	if _, err := s.Append(ctx, step(model, 5, "early")); !errors.Is(err, store.ErrHole) {
		t.Errorf("a step too far: %v", err)
	}
	if last, err := s.LastStep(ctx, "unknown"); err != nil || last != nil {
		t.Errorf("a model without steps: %v, %v", last, err)
	}
}

// Killing the engine must neither lose a step that was acknowledged nor let a
// second writer in afterwards.
func TestJournalSurvivesKill(t *testing.T) {
	server := testkit.NewClickHouse(t)
	ctx := background(t)
	s := openAt(t, server.Addr, "modelwatch")
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	winners := make(map[uint64][]string)
	var g errgroup.Group
	for w := range 4 {
		g.Go(func() error {
			writer := fmt.Sprintf("w%d", w)
			for number := uint64(1); number <= 60; number++ {
				won, err := s.Append(ctx, step("m", number, writer))
				for errors.Is(err, store.ErrHole) || err != nil && ctx.Err() == nil {
					time.Sleep(20 * time.Millisecond)
					won, err = s.Append(ctx, step("m", number, writer))
				}
				if err != nil {
					return err
				}
				if won {
					mu.Lock()
					winners[number] = append(winners[number], writer)
					mu.Unlock()
				}
			}
			return nil
		})
	}
	killed := make(chan int, 1)
	go func() {
		last, _ := s.LastStep(ctx, "m")
		for last == nil && ctx.Err() == nil { // on a busy machine the first step takes a while
			time.Sleep(10 * time.Millisecond)
			last, _ = s.LastStep(ctx, "m")
		}
		server.Kill(t)
		server.Start(t)
		if last == nil {
			killed <- 0
			return
		}
		killed <- int(last.Step)
	}()
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if at := <-killed; at == 0 || at >= 60 {
		t.Fatalf("the engine was killed at step %d, not in the middle", at)
	}
	for number := uint64(1); number <= 60; number++ {
		if len(winners[number]) != 1 {
			t.Errorf("step %d was won by %v", number, winners[number])
			continue
		}
		st, err := s.Step(ctx, "m", number)
		if err != nil || st == nil || st.Writer != winners[number][0] {
			t.Errorf("step %d: %+v, %v; want that of %v", number, st, err, winners[number])
		}
	}
	got := server.Query(t, "SELECT count() FROM (SELECT step, count() AS rows, uniqExact(writer) AS writers FROM modelwatch.journal GROUP BY step) WHERE rows != 105 OR writers != 1")
	if got != "0" {
		t.Errorf("%s steps are not whole", got)
	}
}

func ids(messages []schemas.Message) (out []string) {
	for _, m := range messages {
		out = append(out, m.ID)
	}
	return out
}

func TestOutboxComesInOrderUntilSent(t *testing.T) {
	s, _ := open(t)
	ctx := background(t)
	if got, err := s.Unsent(ctx); err != nil || len(got) != 0 {
		t.Fatalf("empty journal: %v, %v", got, err)
	}
	for number := uint64(1); number <= 2; number++ {
		if won, err := s.Append(ctx, step("m", number, "w")); err != nil || !won {
			t.Fatal(won, err)
		}
	}
	got, err := s.Unsent(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"m-1-0", "m-1-1", "m-1-2", "m-2-0", "m-2-1", "m-2-2"}; !slices.Equal(ids(got), want) {
		t.Fatalf("outbox %v, want %v", ids(got), want)
	}
	want := step("m", 1, "w").Outbox[1]
	if m := got[1]; string(m.Body) != string(want.Body) || m.Headers["ce-id"] != "w" || m.Seq != 2 || m.Incident != "i-m" || m.Stream != want.Stream {
		t.Errorf("message %+v, want %+v", m, want)
	}
	if err := s.MarkSent(ctx, []string{"m-1-0", "m-1-1", "m-2-2"}); err != nil {
		t.Fatal(err)
	}
	if err := s.MarkSent(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if got, err = s.Unsent(ctx); err != nil || !slices.Equal(ids(got), []string{"m-1-2", "m-2-0", "m-2-1"}) {
		t.Errorf("outbox %v, %v", ids(got), err)
	}

	final := store.Status{
		RetrainStatus: schemas.RetrainStatus{Request: "r", Model: "m", State: "succeeded", By: "job"}, Sequence: 9, Time: time.UnixMilli(9),
		Message: schemas.Message{ID: "status-9", Stream: "MODELWATCH_ALERTS", Subject: "st", Body: []byte("{}")},
	}
	claimed := final
	claimed.State, claimed.Sequence, claimed.Time, claimed.Message.ID = "claimed", 8, time.UnixMilli(8), "status-8"
	for _, status := range []store.Status{final, claimed, final} {
		if err := s.SaveStatus(ctx, status); err != nil {
			t.Fatal(err)
		}
	}
	again, err := s.Resend(ctx, "MODELWATCH_ALERTS", time.Now().Add(-time.Hour))
	if err != nil || !slices.Equal(ids(again), []string{"status-9", "m-1-0", "m-1-1", "m-1-2", "m-2-0", "m-2-1", "m-2-2"}) {
		t.Errorf("to publish again: %v, %v", ids(again), err)
	}
	if again, err = s.Resend(ctx, "OTHER", time.Now().Add(-time.Hour)); err != nil || len(again) != 0 {
		t.Errorf("of another stream: %v, %v", ids(again), err)
	}
	if again, err = s.Resend(ctx, "MODELWATCH_ALERTS", time.Now().Add(time.Hour)); err != nil || len(again) != 0 {
		t.Errorf("nothing is so young: %v, %v", ids(again), err)
	}
}

func TestBusCreationIsRemembered(t *testing.T) {
	s, _ := open(t)
	ctx := background(t)
	if at, err := s.BusCreated(ctx, "S"); err != nil || !at.IsZero() {
		t.Fatal(at, err)
	}
	first := time.Now().UTC()
	for _, at := range []time.Time{first.Add(time.Second), first} {
		if err := s.SetBusCreated(ctx, "S", at); err != nil {
			t.Fatal(err)
		}
	}
	if at, err := s.BusCreated(ctx, "S"); err != nil || !at.Equal(first.Add(time.Second)) {
		t.Errorf("created %v, %v", at, err)
	}
}

// Replicas that register different specs at one moment get different numbers,
// and a spec that is there already is found.
func TestSpecsRace(t *testing.T) {
	s, _ := open(t)
	ctx := background(t)
	var g errgroup.Group
	for w := range 24 {
		g.Go(func() error {
			spec := testSpec(fmt.Sprintf("m%d'", w%6))
			_, err := s.RegisterSpec(ctx, spec, func(last *schemas.SpecRecord) int64 {
				if last == nil {
					return math.MinInt64
				}
				return hour
			})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	all, err := s.Specs(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	models := make(map[string]int)
	for i, r := range all {
		if r.Seq != uint64(i+1) || r.Hash != r.Spec.Hash() {
			t.Errorf("spec %d: %+v", i, r)
		}
		models[r.Spec.Model]++
	}
	if len(all) != 6 || len(models) != 6 {
		t.Errorf("%d specs of %d models, want 6 of 6", len(all), len(models))
	}
	if rest, err := s.Specs(ctx, 4); err != nil || len(rest) != 2 {
		t.Errorf("after 4: %d, %v", len(rest), err)
	}
	changed := testSpec("m0'")
	changed.Window = 2 * time.Hour
	r, err := s.RegisterSpec(ctx, changed, func(last *schemas.SpecRecord) int64 {
		if last == nil || last.EffectiveFrom != math.MinInt64 {
			t.Errorf("last spec is %+v", last)
		}
		return hour
	})
	if err != nil || r.Seq != 7 || r.EffectiveFrom != hour {
		t.Errorf("a changed spec: %+v, %v", r, err)
	}
	if got, err := s.RegisterSpec(ctx, changed, func(*schemas.SpecRecord) int64 { panic("asked for a spec that is there") }); err != nil || got.Seq != 7 {
		t.Errorf("the same again: %+v, %v", got, err)
	}
}
