package backtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/backtest"
	"github.com/modelwatch/modelwatch/internal/profile"
	"github.com/modelwatch/modelwatch/schemas"
)

// monitor reads the monitor of the tests.
func monitor(t testing.TB, yaml string) *schemas.Monitor {
	t.Helper()
	m, err := schemas.ParseMonitor("flights.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// options are those of a file with the given content.
func options(t testing.TB, name string, body []byte) backtest.FileOptions {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := profile.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return backtest.FileOptions{
		Options:   backtest.Options{Monitor: monitor(t, monitorYAML)},
		Source:    src,
		Profile:   profile.DefaultOptions(),
		Reference: 28 * 24 * time.Hour,
	}
}

func file(t testing.TB, o backtest.FileOptions) *backtest.Report {
	t.Helper()
	r, err := backtest.File(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// both is a report as JSON and as a page.
func both(t testing.TB, r *backtest.Report) []byte {
	t.Helper()
	body, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	page, err := backtest.HTML(r)
	if err != nil {
		t.Fatal(err)
	}
	return append(body, page...)
}

func TestFaultsOfAFileAreFound(t *testing.T) {
	o := options(t, "flights.csv", csvOf(flights{seed: 7, days: 42, hour: 300, spoil: faults}.rows()))
	var err error
	if o.Known, err = backtest.ReadKnown("known.csv", []byte(knownCSV)); err != nil {
		t.Fatal(err)
	}
	if o.Budgets, err = backtest.ParseBudgets("0.25,4,1", o.Monitor); err != nil {
		t.Fatal(err)
	}
	r := file(t, o)
	if len(r.Runs) != 3 || r.Runs[0].Budget.Pages != 1 || r.Runs[1].Budget.Tickets != 1 || r.Runs[2].Budget.Tickets != 16 {
		t.Fatalf("%d runs", len(r.Runs))
	}
	if r.Reference == nil || !r.From.Equal(r.Reference.End) || r.Days < 13 || r.Days > 14 || r.Windows["features"] != r.Windows["label"] || r.Streams < 30 {
		t.Errorf("judged %v to %v, reference %+v, windows %v, %d streams", r.From, r.To, r.Reference, r.Windows, r.Streams)
	}
	for i := range r.Runs {
		run := &r.Runs[i]
		for n, within := range []float64{600, 6 * 3600, 6 * 3600} {
			if k := run.Known[n]; k.State != backtest.Found || *k.Delay > within {
				t.Errorf("at %s: incident %d is %+v", backtest.BudgetName(run.Budget), n, k)
			}
		}
		if run.Known[3].State != backtest.Missed {
			t.Errorf("an incident that was none is %+v", run.Known[3])
		}
		for _, a := range run.Alerts {
			if a.Mark == backtest.False || a.Title == "" || len(a.Evidence) == 0 || a.Resolved == nil && a.At.Before(r.To.AddDate(0, 0, -5)) {
				t.Errorf("alert %+v", a)
			}
		}
		if run.Pages.NotTrue != 0 || run.Pages.Realised != 0 || run.Pages.Stated != run.Budget.Pages {
			t.Errorf("pages %+v", run.Pages)
		}
	}
	if first := r.Runs[0].Alerts[0]; first.Kind != backtest.Page || first.Fault != schemas.FaultWrongType || first.Mark != backtest.Hit || !slices.Equal(first.Columns, []string{"distance"}) {
		t.Errorf("the first alert is %+v", first)
	}
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "cut short by the end of the data") || !strings.Contains(notes, "the first 28 days of the same file") {
		t.Errorf("notes %q", r.Notes)
	}
}

// A month in which nothing is wrong wakes nobody.
func TestCleanMonthHasNoPage(t *testing.T) {
	r := file(t, options(t, "flights.csv", csvOf(flights{seed: 3, days: 58, hour: 120}.rows())))
	if r.Days < 29 || r.Runs[0].Pages.Sent != 0 || r.Runs[0].Tickets.Sent > 4 {
		t.Errorf("%.1f days, alerts %+v", r.Days, r.Runs[0].Alerts)
	}
	if r.Streams < 30 {
		t.Errorf("only %d streams were judged, of others: %+v", r.Streams, r.Unjudged)
	}
}

// The same rows give the same bytes, in whatever order they stand.
func TestSameRowsSameReport(t *testing.T) {
	rows := flights{seed: 7, days: 12, hour: 60, spoil: func(at time.Time, x *flight, _ float64) {
		if d := at.Sub(start).Hours() / 24; d > 9 && d < 10 {
			x.temp = "-999"
		}
	}}.rows()
	report := func(rows []flight) *backtest.Report {
		o := options(t, "flights.csv", csvOf(rows))
		o.Reference = 8 * 24 * time.Hour
		var err error
		if o.Budgets, err = backtest.ParseBudgets(".25,4", o.Monitor); err != nil {
			t.Fatal(err)
		}
		return file(t, o)
	}
	first := report(rows)
	if len(first.Runs[0].Alerts) == 0 {
		t.Fatal("nothing was said")
	}
	want := both(t, first)
	if !bytes.Equal(both(t, report(rows)), want) {
		t.Error("the second time the report differs")
	}
	shuffled := slices.Clone(rows)
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	// Where no id comes twice, the order of rows of one second is all that is lost.
	sorted := report(shuffled)
	if i := slices.IndexFunc(sorted.Notes, func(n string) bool { return strings.Contains(n, "were sorted") }); i < 0 {
		t.Errorf("notes %q", sorted.Notes)
	} else {
		sorted.Notes = slices.Delete(sorted.Notes, i, i+1)
	}
	if got := both(t, sorted); !bytes.Equal(got, want) {
		t.Errorf("shuffled rows give another report: %s", difference(string(want), string(got)))
	}
}

// difference shows where two texts part.
func difference(a, b string) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	from := max(0, i-80)
	return fmt.Sprintf("…%s… against …%s…", a[from:min(len(a), i+80)], b[from:min(len(b), i+80)])
}

// A budget of more alerts finds a small shift sooner, never later.
func TestMoreBudgetIsNotSlower(t *testing.T) {
	o := options(t, "flights.csv", csvOf(flights{seed: 11, days: 42, hour: 60, spoil: func(at time.Time, x *flight, _ float64) {
		if at.Sub(start) >= 30*24*time.Hour {
			h, _ := strconv.ParseFloat(x.humidity, 64)
			x.humidity = fmt.Sprintf("%.2f", h+0.045) // 0.3 sd
		}
	}}.rows()))
	o.Known = []backtest.Known{{From: start.AddDate(0, 0, 30), Columns: []string{"humidity"}}}
	o.Budgets = []backtest.Budget{{Pages: .001, Tickets: .004, Per: o.Monitor.Budget.Per}, {Pages: 50, Tickets: 200, Per: o.Monitor.Budget.Per}}
	r := file(t, o)
	little, much := r.Runs[1].Known[0], r.Runs[2].Known[0]
	if much.State != backtest.Found || little.State != backtest.Found || *much.Delay >= *little.Delay {
		t.Errorf("much finds %+v, little %+v", much, little)
	}
}

func TestFile_StretchAndColumns(t *testing.T) {
	body := csvOf(flights{seed: 5, days: 12, hour: 30}.rows())
	body = bytes.Replace(body, []byte("humidity,"), []byte("damp,"), 1)
	o := options(t, "flights.csv", body)
	o.Reference = 8 * 24 * time.Hour
	o.From, o.To = start.AddDate(0, 0, 9).Add(30*time.Minute), start.AddDate(0, 0, 10)
	r := file(t, o)
	if !r.From.Equal(start.AddDate(0, 0, 9).Add(time.Hour)) || !r.To.Equal(o.To) || r.Windows["features"] != 23 {
		t.Errorf("judged %v to %v in %v windows", r.From, r.To, r.Windows)
	}
	if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes, "does not have: humidity") {
		t.Errorf("notes %q", notes)
	}
}

func TestFile_Refuses(t *testing.T) {
	whole := csvOf(flights{seed: 5, days: 3, hour: 10}.rows())
	f := func(what string, change func(o *backtest.FileOptions), body []byte, want string) {
		t.Helper()
		o := options(t, "flights.csv", body)
		o.Reference = 24 * time.Hour
		change(&o)
		if _, err := backtest.File(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", what, err, want)
		}
	}
	nothing := func(*backtest.FileOptions) {}
	f("too short", func(o *backtest.FileOptions) { o.Reference = 28 * 24 * time.Hour }, whole, "shorter --reference")
	f("reference of two windows", func(o *backtest.FileOptions) { o.Reference = 2 * time.Hour }, whole, "no three windows")
	f("behind the end", func(o *backtest.FileOptions) { o.From = start.AddDate(1, 0, 0) }, whole, "before the first window that could be judged")
	f("no time", nothing, bytes.Replace(whole, []byte("ts,"), []byte("when,"), 1), "--time")
	f("no rows", nothing, []byte("ts,a\n"), "no rows")
	f("no such column", func(o *backtest.FileOptions) { o.Profile.Score = "scoer" }, whole, "did you mean")
	f("a slice that is a number", func(o *backtest.FileOptions) { o.Monitor.Slices = []schemas.Slice{{"temp"}} }, whole, "temp")
	f("an empty stretch", func(o *backtest.FileOptions) {
		o.From, o.To = start.AddDate(0, 0, 2).Add(time.Minute), start.AddDate(0, 0, 2).Add(30*time.Minute)
	}, whole, "no window could be judged")
}
