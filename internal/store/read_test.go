package store_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// hostile is a name as a producer could send it.
const hostile = "m'\"`\\; DROP TABLE journal --\n\t{x:String}\x00 名前 \\N"

func ms(v int64) time.Time { return time.UnixMilli(v).UTC() }

// counts returns the partial of a count of events.
func counts(model, version, feature string, window int64, rows uint64) summary.Partial {
	s := summary.New(0)
	s.Rows = rows
	return summary.Partial{
		Model: model, SpecSeq: 1, WindowStart: window, Part: schemas.PartFeatures,
		Stream: schemas.Stream{Version: version, Role: schemas.RoleRows, Feature: feature}, Summary: s,
	}
}

func alert(incident string, seq int, transition schemas.Transition, at int64) schemas.Message {
	return schemas.Message{
		ID: fmt.Sprintf("%s/%d", incident, seq), Stream: "MODELWATCH_ALERTS", Incident: incident, Seq: seq,
		Body: fmt.Appendf(nil, `{"incident":%q,"seq":%d,"transition":%q,"severity":"warning","detected":%q,"window":{"start":%q,"end":%q},"reason":"because"}`,
			strings.ToValidUTF8(incident, ""), seq, transition, ms(at).Format(time.RFC3339Nano), ms(at-hour).Format(time.RFC3339Nano), ms(at).Format(time.RFC3339Nano)),
	}
}

// filled is a store with one model of everything, under a hostile name.
func filled(t *testing.T) *store.Store {
	t.Helper()
	s, _ := open(t)
	ctx := background(t)
	register(t, s, testSpec(hostile), math.MinInt64)
	chunk := schemas.Chunk{Topic: hostile, Epoch: epoch(3), Partition: 1, Start: 10}
	var partials []summary.Partial
	for w := range int64(4) {
		partials = append(partials, counts(hostile, "1", "features", w*hour, 10), counts(hostile, hostile, "features", w*hour, uint64(w)))
	}
	rows := schemas.Rows{
		Chunk: chunk, End: 99,
		Progress: &schemas.Progress{
			Chunk: chunk, End: 99, Rows: 46, Late: 2, Clock: 4 * hour, HighWatermark: 120, At: 5, SpecSeq: 1,
			Rejected: []schemas.RejectCount{{Reason: hostile, Count: 3}}, Marks: []schemas.Mark{{Model: hostile, Part: schemas.PartFeatures, Max: 4*hour - 1}},
		},
		Trips: []schemas.Trip{{Model: hostile, SpecSeq: 1, Version: hostile, Fault: schemas.FaultWrongType, Feature: hostile, WindowStart: hour, Onset: 1, Time: 2, Offset: 50, OnsetOffset: 40, Bad: 7, Rows: 9, Value: hostile, Reason: "r"}},
	}
	for i := range 12 {
		rows.Violations = append(rows.Violations, schemas.Violation{
			Model: hostile, Version: "1", Fault: schemas.FaultWrongType, Feature: hostile, Value: fmt.Sprint(i), Reason: "r", Time: int64(i) * 1000, Offset: int64(i), Rank: uint64(100 - i),
		})
	}
	if err := s.Write(ctx, partials, rows); err != nil {
		t.Fatal(err)
	}
	firing := schemas.Incident{
		Incident: hostile + "1", Model: hostile, Version: "1", Severity: schemas.SeverityWarning, State: schemas.IncidentFiring, Fault: schemas.FaultNulls,
		Columns: []string{hostile}, Slices: []string{}, Title: hostile, Onset: ms(hour), Detected: ms(2 * hour), Updated: ms(2 * hour), Messages: 1,
		Evidence: []schemas.Evidence{{Column: hostile, Statistic: "null_rate", Value: 0.5, Rows: 9}},
	}
	resolved := firing
	resolved.State, resolved.Resolved, resolved.Messages = schemas.IncidentResolved, ms(4*hour), 2
	other := firing
	other.Incident, other.Severity = hostile+"2", schemas.SeverityCritical
	verdict := func(window int64, channel string, state schemas.State, effect float64, reason string) schemas.Verdict {
		return schemas.Verdict{
			Stream: schemas.Stream{Version: "1", Role: schemas.RoleFeature, Feature: hostile}, Start: window, Channel: channel, State: state,
			Effect: effect, Low: math.NaN(), Expected: 1, High: math.Inf(1), P: math.NaN(), N: 7, Revision: 1, Reason: reason,
		}
	}
	for _, step := range []schemas.Step{
		{
			Incidents: []schemas.Incident{firing, other}, Outbox: []schemas.Message{alert("one", 1, schemas.TransitionFiring, 2*hour)},
			Verdicts: []schemas.Verdict{verdict(2*hour, "location", schemas.StateOK, 0, ""), verdict(2*hour, "volume", schemas.StateOK, 0, "")},
			Requests: []schemas.RetrainRequest{{Request: hostile + "r", Model: hostile, Version: "1", Requested: ms(3 * hour), Causes: []schemas.Cause{{Kind: "drift"}}}},
		},
		{
			Incidents: []schemas.Incident{resolved}, Outbox: []schemas.Message{alert("one", 2, schemas.TransitionResolved, 4*hour)},
			Verdicts: []schemas.Verdict{
				verdict(3*hour, "location", schemas.StateWarn, -2, ""), verdict(3*hour, "null_rate", schemas.StateUnknown, 0, "few rows"),
				verdict(3*hour, "absent_rate", schemas.StateUnknown, 0, "few rows"), verdict(3*hour, "unseen_rate", schemas.StateUnknown, 0, "baseline"),
				verdict(2*hour, "location", schemas.StateError, 3, "revised"), verdict(3*hour, "volume", schemas.StateOK, 0, ""),
			},
		},
	} {
		step.Model, step.Writer, step.At = hostile, hostile, ms(7)
		last, err := s.LastStep(ctx, hostile)
		if err != nil {
			t.Fatal(err)
		}
		step.Step = 1
		if last != nil {
			step.Step = last.Step + 1
		}
		if won, err := s.Append(ctx, step); err != nil || !won {
			t.Fatal(won, err)
		}
	}
	return s
}

func TestPagesReadWhatIsStored(t *testing.T) {
	s := filled(t)
	v := s.Views()
	ctx := background(t)

	t.Run("windows", func(t *testing.T) {
		rows, err := v.Windows(ctx, schemas.WindowFilter{Model: hostile, Role: schemas.RoleRows, Features: []string{"features"}, Version: hostile, Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != 2 || !rows[0].Start.Equal(ms(2*hour)) || rows[0].Rows != 2 || !rows[1].Start.Equal(ms(3*hour)) || !rows[1].End.Equal(ms(4*hour)) || rows[1].Version != hostile {
			t.Errorf("the last two windows: %+v", rows)
		}
		rows, err = v.Windows(ctx, schemas.WindowFilter{Model: hostile, From: ms(hour), To: ms(2 * hour), AnySlice: true, Histograms: true, Limit: 10})
		if err != nil || len(rows) != 2 || rows[0].Mean != nil || rows[0].Closed {
			t.Errorf("one hour: %+v, %v", rows, err)
		}
		if rows, err = v.Windows(ctx, schemas.WindowFilter{Model: "none", Limit: 10}); err != nil || len(rows) != 0 {
			t.Errorf("an unknown model: %+v, %v", rows, err)
		}
	})
	t.Run("verdicts", func(t *testing.T) {
		found, err := v.Verdicts(ctx, schemas.VerdictFilter{Model: hostile, Channel: "location", Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != 2 || found[0].State != schemas.StateError || found[0].Reason != "revised" || found[1].Start != 3*hour || found[1].Effect != -2 {
			t.Errorf("%+v", found)
		}
		if found[0].Low != 0 || found[0].High != 0 || found[0].P != 1 {
			t.Errorf("figures that are not finite are shown: %+v", found[0])
		}
		found, err = v.Verdicts(ctx, schemas.VerdictFilter{Model: hostile, Features: []string{hostile}, AnySlice: true, From: ms(3 * hour), Limit: 2})
		if err != nil || len(found) != 2 {
			t.Errorf("%+v, %v", found, err)
		}
	})
	t.Run("incidents", func(t *testing.T) {
		all, err := v.Incidents(ctx, schemas.IncidentFilter{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != 2 || all[0].Incident != hostile+"2" || all[1].State != schemas.IncidentResolved || all[1].Messages != 2 || !all[1].Resolved.Equal(ms(4*hour)) {
			t.Errorf("%+v", all)
		}
		for want, f := range map[string]schemas.IncidentFilter{
			hostile + "2": {State: schemas.IncidentFiring, Model: hostile, Limit: 10},
			hostile + "1": {Severity: schemas.SeverityWarning, Limit: 10},
		} {
			if got, err := v.Incidents(ctx, f); err != nil || len(got) != 1 || got[0].Incident != want {
				t.Errorf("%+v: %+v, %v", f, got, err)
			}
		}
		one, found, err := v.Incident(ctx, hostile+"1")
		if err != nil || !found || !reflect.DeepEqual(one, all[1]) {
			t.Errorf("%+v, %v, %v", one, found, err)
		}
		if _, found, err = v.Incident(ctx, "none"); err != nil || found {
			t.Errorf("an unknown incident is found: %v", err)
		}
	})
	t.Run("transitions", func(t *testing.T) {
		if err := s.MarkSent(ctx, []string{"one/1"}); err != nil {
			t.Fatal(err)
		}
		all, err := v.Transitions(ctx, schemas.TransitionFilter{Incident: "one", Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != 2 || all[0].Seq != 2 || !all[0].Sent.IsZero() || !all[0].At.Equal(ms(4*hour)) || all[1].Sent.IsZero() || all[1].Transition != schemas.TransitionFiring || all[1].Reason != "because" {
			t.Errorf("%+v", all)
		}
		if all, err = v.Transitions(ctx, schemas.TransitionFilter{Since: ms(3 * hour), Limit: 10}); err != nil || len(all) != 1 || all[0].Seq != 2 {
			t.Errorf("since: %+v, %v", all, err)
		}
	})
	t.Run("violations", func(t *testing.T) {
		rows, err := v.Violations(ctx, schemas.ViolationFilter{Model: hostile, Fault: schemas.FaultWrongType, Features: []string{hostile}, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		var offsets []int64
		for _, r := range rows {
			offsets = append(offsets, r.Offset)
		}
		if !slices.Equal(offsets, []int64{4, 5, 6, 7, 8, 9, 10, 11}) || rows[0].Topic != hostile || rows[0].Partition != 1 || rows[0].Value != "4" {
			t.Errorf("%v: %+v", offsets, rows)
		}
		if rows, err = v.Violations(ctx, schemas.ViolationFilter{Model: hostile, From: ms(5000), To: ms(7000), Limit: 1}); err != nil || len(rows) != 1 || rows[0].Offset != 5 {
			t.Errorf("bounded: %+v, %v", rows, err)
		}
	})
	t.Run("progress", func(t *testing.T) {
		rows, err := v.Progress(ctx)
		if err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		want := schemas.ProgressRow{Topic: hostile, Epoch: rows[0].Epoch, Partition: 1, Offset: 99, HighWatermark: 120, Watermark: ms(4 * hour), Rows: 46, Rejected: 3, Late: 2, At: ms(5)}
		if rows[0] != want || rows[0].Epoch == "" {
			t.Errorf("%+v, want %+v", rows[0], want)
		}
	})
	t.Run("retrain requests", func(t *testing.T) {
		read := func() store.RetrainRow {
			t.Helper()
			rows, err := v.RetrainRequests(ctx, hostile, 10)
			if err != nil || len(rows) != 1 {
				t.Fatal(rows, err)
			}
			return rows[0]
		}
		if r := read(); r.State != schemas.RetrainRequested || r.Request != hostile+"r" || !r.ClaimedAt.IsZero() || r.Causes[0].Kind != "drift" {
			t.Errorf("%+v", r)
		}
		for i, state := range []string{"claimed", "succeeded"} {
			status := store.Status{RetrainStatus: schemas.RetrainStatus{Request: hostile + "r", Model: hostile, State: state, By: "job'1"}, Sequence: uint64(i), Time: ms(int64(i+1) * 1000)}
			if err := s.SaveStatus(ctx, status); err != nil {
				t.Fatal(err)
			}
		}
		if r := read(); r.State != schemas.RetrainSucceeded || r.ClaimedBy != "job'1" || !r.ClaimedAt.Equal(ms(1000)) || !r.Finished.Equal(ms(2000)) || !strings.Contains(string(r.Outcome), "succeeded") {
			t.Errorf("%+v", r)
		}
	})
	t.Run("models", func(t *testing.T) {
		models, err := v.Models(ctx)
		if err != nil || len(models) != 1 {
			t.Fatal(models, err)
		}
		m := models[0]
		if m.Model != hostile || !m.LastEvent.Equal(ms(4*hour-1)) || m.Firing != 1 {
			t.Errorf("%+v", m)
		}
		if m.Judged != (schemas.Interval{Start: ms(3 * hour), End: ms(4 * hour)}) || m.States != (schemas.StateCounts{OK: 1, Warn: 1, Unknown: 3}) {
			t.Errorf("judged %+v: %+v", m.Judged, m.States)
		}
		if !slices.Equal(m.Unknown, []schemas.UnknownReason{{Reason: "few rows", Count: 2}, {Reason: "baseline", Count: 1}}) || m.Worst == nil || m.Worst.Effect != -2 {
			t.Errorf("unknown %+v, worst %+v", m.Unknown, m.Worst)
		}
		if len(m.Rows) != 4 || m.Rows[3].Rows != 13 || m.Rows[0].Rows != 10 || len(m.Volume) != 2 || m.Volume[0].Start != 2*hour {
			t.Errorf("rows %+v, volume %+v", m.Rows, m.Volume)
		}
		if len(m.Versions) != 2 || m.Versions[0].Rows+m.Versions[1].Rows != 46 {
			t.Errorf("versions %+v", m.Versions)
		}
	})
	t.Run("trips", func(t *testing.T) {
		trips, next, err := s.Trips(ctx, time.Time{})
		if err != nil || len(trips) != 1 {
			t.Fatal(trips, err)
		}
		want := schemas.Trip{Model: hostile, SpecSeq: 1, Version: hostile, Fault: schemas.FaultWrongType, Feature: hostile, WindowStart: hour, Onset: 1, Time: 2, Topic: hostile, Partition: 1, Offset: 50, OnsetOffset: 40, Bad: 7, Rows: 9, Value: hostile, Reason: "r"}
		if trips[0] != want {
			t.Errorf("%+v, want %+v", trips[0], want)
		}
		if again, _, err := s.Trips(ctx, next); err != nil || len(again) != 1 {
			t.Errorf("what came just now must come again: %+v, %v", again, err)
		}
	})
}

func TestEmptyStoreIsReadable(t *testing.T) {
	s, _ := open(t)
	v, ctx := s.Views(), background(t)
	if models, err := v.Models(ctx); err != nil || len(models) != 0 {
		t.Error(models, err)
	}
	if rows, err := v.Progress(ctx); err != nil || len(rows) != 0 {
		t.Error(rows, err)
	}
	if rows, err := v.RetrainRequests(ctx, "", 0); err != nil || len(rows) != 0 {
		t.Error(rows, err)
	}
	if trips, _, err := s.Trips(ctx, time.Time{}); err != nil || len(trips) != 0 {
		t.Error(trips, err)
	}
	if epochs, err := s.Epochs(ctx, "t"); err != nil || len(epochs) != 0 {
		t.Error(epochs, err)
	}
	if chunk, err := s.Chunk(ctx, schemas.Chunk{Topic: "t"}); err != nil || chunk != nil {
		t.Error(chunk, err)
	}
	if windows, err := s.ReadWindows(ctx, "m", 1, schemas.PartLabel, nil); err != nil || len(windows) != 0 {
		t.Error(windows, err)
	}
}

// A week goes when all its models are past it, and never before.
func TestRetainDropsWholeWeeksOfThePast(t *testing.T) {
	s, database := open(t)
	ctx := background(t)
	const week = 7 * 24 * hour
	var partials []summary.Partial
	for _, w := range []int64{-2 * week, 0, week, 2 * week} {
		partials = append(partials, counts("a", "", "features", w+hour, 1))
	}
	partials = append(partials, counts("b", "", "features", week, 1))
	if err := s.Write(ctx, partials, schemas.Rows{Chunk: schemas.Chunk{Topic: "t"}, End: 1}); err != nil {
		t.Fatal(err)
	}
	left := func() string {
		return testkit.ClickHouse(t).Query(t, "SELECT groupArray(model || ' ' || toString(intDiv(window_start, 604800000))) FROM (SELECT * FROM "+database+".partials ORDER BY model, window_start)")
	}
	if n, err := s.Retain(ctx, nil); err != nil || n != 0 {
		t.Errorf("without cutoffs: %d, %v", n, err)
	}
	if n, err := s.Retain(ctx, map[string]int64{"a": 2 * week}); err != nil || n != 2 {
		t.Errorf("of a alone: %d, %v", n, err)
	}
	if got := left(); got != "['a 1','a 2','b 1']" {
		t.Errorf("left: %s", got)
	}
	if n, err := s.Retain(ctx, map[string]int64{"a": 2 * week, "b": week}); err != nil || n != 0 {
		t.Errorf("b is not past its week: %d, %v", n, err)
	}
	if n, err := s.Retain(ctx, map[string]int64{"a": 2 * week, "b": week + 1}); err != nil || n != 1 {
		t.Errorf("both are past: %d, %v", n, err)
	}
	if got := left(); got != "['a 2']" {
		t.Errorf("left: %s", got)
	}
}

// Many partitions flush at once; the server must not get an insert from each.
func TestWritesShareInserts(t *testing.T) {
	s, database := open(t, func(c *store.Config) { c.Tick = 50 * time.Millisecond })
	ctx := background(t)
	server := testkit.ClickHouse(t)
	server.Query(t, "SYSTEM STOP MERGES "+database+".partials")
	var g errgroup.Group
	for p := range int32(100) {
		g.Go(func() error {
			return s.Write(ctx, []summary.Partial{counts("m", "", "features", 0, 1)}, schemas.Rows{Chunk: schemas.Chunk{Topic: "t", Partition: p}, End: 1})
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := server.Query(t, "SELECT count() <= 5, sum(rows) FROM system.parts WHERE active AND table = 'partials' AND database = '"+database+"'"); got != "1\t100" {
		t.Errorf("a hundred writes made more than five inserts, or lost rows: %s", got)
	}
}

// One producer with wild timestamps makes rows for hundreds of weeks at once.
func TestRowsOfAnyYearAreStored(t *testing.T) {
	s, _ := open(t)
	ctx := background(t)
	var partials []summary.Partial
	var starts []int64
	for year := 1; year < 9999; year += 25 {
		start := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
		starts = append(starts, start)
		partials = append(partials, counts("m", "", "features", start, 1))
	}
	rows := schemas.Rows{Chunk: schemas.Chunk{Topic: "t"}, End: 1, IDs: []schemas.IDRow{
		{Model: "m", ID: 1, Part: schemas.PartLabel, Time: starts[0]}, {Model: "m", ID: 2, Part: schemas.PartLabel, Time: starts[len(starts)-1]},
	}}
	if err := s.Write(ctx, partials, rows); err != nil {
		t.Fatal(err)
	}
	windows, err := s.ReadWindows(ctx, "m", 1, schemas.PartFeatures, starts)
	if err != nil || len(windows) != len(starts) {
		t.Errorf("%d windows of %d, %v", len(windows), len(starts), err)
	}
}
