package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	exampleRows    = "../../examples/flights.parquet"
	exampleMonitor = "../../examples/monitors/flight-delay.yaml"
	exampleKnown   = "../../examples/incidents.csv"
)

func TestBacktestOfAFile(t *testing.T) {
	page := filepath.Join(t.TempDir(), "report.html")
	args := []string{"backtest", "--data", exampleRows, "--monitor", exampleMonitor, "--incidents", exampleKnown, "--budget", ".25,4"}
	r := setup{}.modelwatch(t, append(args, "--html", page)...)
	if r.code != 0 {
		t.Fatalf("exit %d: %s", r.code, r.err)
	}
	for _, want := range []string{
		"14 days of flights.parquet", "WHEN", "`origin` has values outside the allowed set", "weather feed sends Fahrenheit", "3 of 3",
		"0.25 pages, 1 ticket per 30d", "At most 1 false page and 4 false tickets are expected per 30d if healthy behaviour stays inside the range learnt", page,
	} {
		if !strings.Contains(strings.Replace(r.out, "13.96", "14", 1), want) {
			t.Errorf("the output lacks %q:\n%s", want, r.out)
		}
	}
	body, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(body), "Had this been running") {
		t.Errorf("the report: %v %.100s", err, body)
	}
	first := setup{}.modelwatch(t, append(args, "--json")...).out
	var report struct {
		Format string
		Runs   []struct {
			Budget struct{ Pages float64 }
			Alerts []struct{ Mark string }
			Known  []struct{ State string }
		}
	}
	if err := json.Unmarshal([]byte(first), &report); err != nil || report.Format != "modelwatch.backtest/1" || len(report.Runs) != 3 || len(report.Runs[0].Known) != 3 || report.Runs[0].Known[0].State != "found" {
		t.Errorf("%v %+v", err, report)
	}
	if again := (setup{}).modelwatch(t, append(args, "--json")...).out; again != first {
		t.Error("the second time the report differs")
	}
}

func TestBacktest_WrongUse(t *testing.T) {
	f := func(code int, want string, args ...string) {
		t.Helper()
		r := setup{}.modelwatch(t, append([]string{"backtest"}, args...)...)
		if r.code != code || !strings.Contains(r.err, want) || r.out != "" {
			t.Errorf("backtest %s: exit %d, %q, want %d with %q", strings.Join(args, " "), r.code, r.err, code, want)
		}
	}
	known := filepath.Join(t.TempDir(), "known.csv")
	if err := os.WriteFile(known, []byte("from,to\nsoon,\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f(2, "--data FILE --monitor FILE")
	f(2, "--monitor is missing", "--data", exampleRows)
	f(2, "--monitor goes with --data", "--monitor", exampleMonitor, "--model", "m", "--data", "")
	f(2, "a budget is a number", "--data", exampleRows, "--monitor", exampleMonitor, "--budget", "few")
	f(2, "--from", "--data", exampleRows, "--monitor", exampleMonitor, "--from", "yesterday-ish")
	f(2, "--html does not go with --verify", "--verify", "--model", "m", "--html", "x.html")
	f(1, "no such file", "--data", "none.csv", "--monitor", exampleMonitor)
	f(1, "its form is not known", "--data", "../../go.mod", "--monitor", exampleMonitor)
	f(1, "no such file", "--data", exampleRows, "--monitor", "none.yaml")
	f(1, "which is no time", "--data", exampleRows, "--monitor", exampleMonitor, "--incidents", known)
	f(1, "shorter --reference", "--data", exampleRows, "--monitor", exampleMonitor, "--reference", "60d")
}
