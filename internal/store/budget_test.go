package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// said is a message of an incident.
func said(model, incident string, seq int, severity schemas.Severity, transition schemas.Transition, detected time.Time) schemas.Message {
	return schemas.Message{
		ID: fmt.Sprintf("%s.%d", incident, seq), Stream: "MODELWATCH_ALERTS", Subject: "s", Incident: incident, Seq: seq,
		Body: fmt.Appendf(nil, `{"incident":%q,"seq":%d,"transition":%q,"severity":%q,"model":%q,"detected":%q}`,
			incident, seq, transition, severity, model, detected.Format(time.RFC3339)),
	}
}

func TestBudgetView(t *testing.T) {
	s, _ := open(t)
	ctx := background(t)
	const model = `it's`
	day := func(n int) time.Time { return time.Date(1970, 1, 1+n, 0, 0, 0, 0, time.UTC) }
	st := schemas.Step{Model: model, Step: 1, Writer: "w", At: day(0), Parameters: []byte(`{"budget":{"pages":9,"tickets":9,"per_ms":1}}`)}
	for _, n := range []int{1, 64} {
		st.Verdicts = append(st.Verdicts, schemas.Verdict{Stream: schemas.Stream{Role: schemas.RoleFeature, Feature: "x"}, Start: day(n).UnixMilli(), Channel: "location", State: schemas.StateOK})
	}
	st.Outbox = []schemas.Message{
		said(model, "a", 1, schemas.SeverityWarning, schemas.TransitionFiring, day(3)),
		said(model, "a", 2, schemas.SeverityCritical, schemas.TransitionUpdated, day(29)), // a ticket that became a page
		said(model, "a", 3, schemas.SeverityCritical, schemas.TransitionUpdated, day(31)), // and is counted once
		said(model, "b", 1, schemas.SeverityWarning, schemas.TransitionFiring, day(4)),
		said(model, "c", 1, schemas.SeverityWarning, schemas.TransitionFiring, day(62)),
		said(model, "d", 1, schemas.SeverityInfo, schemas.TransitionFiring, day(62)),
		said(model, "e", 1, schemas.SeverityCritical, schemas.TransitionFiring, day(62)),
		said(model, "e", 2, schemas.SeverityCritical, schemas.TransitionResolved, day(62)),
	}
	append1 := func(st schemas.Step) {
		t.Helper()
		if won, err := s.Append(ctx, st); err != nil || !won {
			t.Fatal(won, err)
		}
	}
	append1(st)
	// What is stated is what was stated last.
	append1(schemas.Step{Model: model, Step: 2, Writer: "w", At: day(0), Parameters: fmt.Appendf(nil, `{"budget":{"pages":0.25,"tickets":4,"per_ms":%d,"factor":0.5}}`, 30*24*time.Hour.Milliseconds())})
	for _, m := range []schemas.IncidentMark{
		{Incident: "b", Verdict: schemas.MarkTrue, By: "ann"},
		{Incident: "b", Verdict: schemas.MarkFalse, By: "ben", Note: `changed "my" mind`},
		{Incident: "a", Verdict: schemas.MarkTrue},
	} {
		m.Model = model
		if err := s.Mark(ctx, m); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Millisecond) // marks are told apart by the server's milliseconds
	}
	got, err := s.Views().Budget(ctx, model, 100)
	if err != nil {
		t.Fatal(err)
	}
	want := []schemas.BudgetRow{
		{Severity: "critical", PeriodStart: day(60), Stated: .25, Sent: 1, Unmarked: 1},
		{Severity: "warning", PeriodStart: day(60), Stated: 4, Sent: 1, Unmarked: 1},
		{Severity: "critical", PeriodStart: day(30), Stated: .25},
		{Severity: "warning", PeriodStart: day(30), Stated: 4},
		{Severity: "critical", PeriodStart: day(0), Stated: .25, Sent: 1, MarkedTrue: 1},
		{Severity: "warning", PeriodStart: day(0), Stated: 4, Sent: 2, MarkedTrue: 1, MarkedFalse: 1},
	}
	for i := range want {
		want[i].Model, want[i].Factor = model, .5
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows: %+v", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("row %d is %+v, want %+v", i, got[i], want[i])
		}
	}
	marks, err := s.Views().Marks(ctx, model)
	if err != nil {
		t.Fatal(err)
	}
	if len(marks) != 2 || marks[0].Incident != "b" || marks[0].Verdict != schemas.MarkFalse || marks[0].By != "ben" || marks[0].Note != `changed "my" mind` ||
		marks[0].At.IsZero() || marks[1].Incident != "a" {
		t.Errorf("marks %+v", marks)
	}
}

func TestStreamsViewShowsTheLastFit(t *testing.T) {
	s, database := open(t)
	ctx := background(t)
	row := func(feature string, noise float64) schemas.StreamRow {
		return schemas.StreamRow{Role: schemas.RoleFeature, Feature: feature, Slice: "o=A", Channel: "location", Noise: noise, Phi: .5, SmallestAlarm: .05, TimeToDetect: 3, HonestyP: 1, State: "ok"}
	}
	if err := s.Fits(ctx, "m", "first", []schemas.StreamRow{row("x", 1), row("gone", 1)}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Millisecond)
	if err := s.Fits(ctx, "m", "second", []schemas.StreamRow{row("x", 2)}); err != nil {
		t.Fatal(err)
	}
	got := testkit.ClickHouse(t).Query(t, "SELECT model, role, feature, slice, channel, noise, phi, smallest_alarm, time_to_detect, honesty_p, state, fit FROM "+database+".streams")
	if want := "m\tfeature\tx\to=A\tlocation\t2\t0.5\t0.05\t3\t1\tok\tsecond"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestReferencesAreKeptByTheirHash(t *testing.T) {
	s, _ := open(t)
	ctx := background(t)
	for range 2 {
		if err := s.SaveReference(ctx, "m", "sha256:1", []byte("{\"a\":\"\x00\"}")); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ model, hash, want string }{{"m", "sha256:1", "{\"a\":\"\x00\"}"}, {"m", "sha256:2", ""}, {"n", "sha256:1", ""}} {
		if got, err := s.Reference(ctx, c.model, c.hash); err != nil || string(got) != c.want {
			t.Errorf("%s %s: %q, %v", c.model, c.hash, got, err)
		}
	}
}
