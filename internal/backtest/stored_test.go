package backtest_test

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/backtest"
	"github.com/modelwatch/modelwatch/internal/profile"
	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }

// database returns a migrated store in a database of its own.
func database(t *testing.T) *store.Store {
	t.Helper()
	server := testkit.ClickHouse(t)
	cfg := store.DefaultConfig()
	cfg.Addr, cfg.Database, cfg.Tick = []string{server.Addr}, server.Database(t), time.Millisecond
	s, err := store.Open(cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// What is stored of rows is judged as the rows themselves are.
func TestStoredWindowsAreJudgedAsTheirRows(t *testing.T) {
	db := database(t)
	body := csvOf(flights{seed: 7, days: 14, hour: 80, spoil: func(at time.Time, x *flight, p float64) {
		switch d := at.Sub(start).Hours() / 24; {
		case d >= 9 && d < 10:
			x.distance += " mi"
		case d >= 11 && d < 12 && p < .5:
			x.humidity = ""
		}
	}}.rows())
	o := options(t, "flights.csv", body)
	baseline := baselineOf(t, o, 8)
	o.Baseline = baseline
	o.From = start.AddDate(0, 0, 8)
	want := file(t, o)
	if len(want.Runs[0].Alerts) < 2 {
		t.Fatalf("alerts %+v", want.Runs[0].Alerts)
	}

	spec, _, err := schemas.BuildSpec(o.Monitor, baseline)
	if err != nil {
		t.Fatal(err)
	}
	record, err := db.RegisterSpec(t.Context(), *spec, func(*schemas.SpecRecord) int64 { return math.MinInt64 })
	if err != nil {
		t.Fatal(err)
	}
	rows, err := profile.Order(t.Context(), o.Source, "flights", "", time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	stretches := int64(0)
	feed := profile.Feed{Source: rows, Spec: &record}
	_, err = feed.Run(t.Context(), o.From.UnixMilli(), math.MaxInt64, func(s *profile.Stretch) error {
		for _, w := range s.Windows {
			entries := make([]store.Entry, len(w.Entries))
			for i, e := range w.Entries {
				entries[i] = store.Entry(e)
			}
			id := store.WindowID{SpecSeq: record.Seq, Part: w.Part, Start: w.Start}
			if err := db.WriteSummaries(t.Context(), "flights", []store.Closed{{WindowID: id, Revision: w.Revision, Entries: entries}}); err != nil {
				return err
			}
		}
		if len(s.Trips) == 0 {
			return nil
		}
		stretches++
		chunk := schemas.Chunk{Topic: "flights", Start: stretches}
		return db.Write(t.Context(), nil, schemas.Rows{Chunk: chunk, End: s.Rows, Trips: s.Trips, Progress: &schemas.Progress{Chunk: chunk, End: s.Rows}})
	})
	if err != nil {
		t.Fatal(err)
	}

	stored := backtest.StoredOptions{Options: o.Options, History: db, Baselines: map[string]*schemas.Baseline{baseline.Hash: baseline}}
	got, err := backtest.Stored(t.Context(), stored)
	if err != nil {
		t.Fatal(err)
	}
	if !got.From.Equal(want.From) || !got.To.Equal(want.To) || !reflect.DeepEqual(got.Windows, want.Windows) || got.Rows < want.Rows*9/10 {
		t.Errorf("judged %v to %v, %v, %d rows, want %v to %v, %v, %d rows", got.From, got.To, got.Windows, got.Rows, want.From, want.To, want.Windows, want.Rows)
	}
	if a, b := saidBy(t, got), saidBy(t, want); a != b {
		t.Errorf("of what is stored another thing is said: %s", difference(b, a))
	}

	// A part of it, and what cannot be had.
	stored.From, stored.To = start.AddDate(0, 0, 12), start.AddDate(0, 0, 13)
	if part, err := backtest.Stored(t.Context(), stored); err != nil || part.Days != 1 || part.Windows["features"] != 24 {
		t.Errorf("%+v %v", part, err)
	}
	stored.From, stored.To = start.AddDate(1, 0, 0), time.Time{}
	if _, err := backtest.Stored(t.Context(), stored); err == nil || !strings.Contains(err.Error(), "no window") {
		t.Errorf("of a year without windows: %v", err)
	}
	stored.Options.Monitor = monitor(t, strings.Replace(monitorYAML, "model: flights", "model: other", 1))
	if _, err := backtest.Stored(t.Context(), stored); err == nil || !strings.Contains(err.Error(), "never watched") {
		t.Errorf("of a model that is not there: %v", err)
	}
	stored.Options, stored.Baselines = o.Options, nil
	if r, err := backtest.Stored(t.Context(), stored); err != nil || !strings.Contains(strings.Join(r.Notes, " "), "not that of the monitor now") {
		t.Errorf("without its baseline: %v", err)
	}
}

// baselineOf profiles the first days.
func baselineOf(t *testing.T, o backtest.FileOptions, days int) *schemas.Baseline {
	t.Helper()
	p := o.Profile
	p.Model, p.Positive, p.Slices, p.Time = "flights", "late", [][]string{{"origin"}}, "-"
	p.Skip = []string{"ts", "id"}
	rows, err := profile.Order(t.Context(), o.Source, "flights", "", time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	made, err := profile.Profile(t.Context(), rows.Between(math.MinInt64, start.AddDate(0, 0, days).UnixMilli()), p)
	if err != nil {
		t.Fatal(err)
	}
	return made.Baseline
}

// saidBy is what a report says, without where in the log it was seen.
func saidBy(t *testing.T, r *backtest.Report) string {
	t.Helper()
	alerts := r.Runs[0].Alerts
	for i := range alerts {
		alerts[i].Offsets = nil
	}
	body, err := json.MarshalIndent(alerts, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
