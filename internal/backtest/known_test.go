package backtest_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/backtest"
	"github.com/modelwatch/modelwatch/schemas"
)

func TestReadKnown(t *testing.T) {
	want := []backtest.Known{
		{From: time.Date(2026, 4, 2, 9, 0, 0, 0, time.UTC), To: time.Date(2026, 4, 3, 0, 0, 0, 0, time.UTC), Columns: []string{"distance", "temp"}, Note: "with, its unit"},
		{From: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC), Columns: []string{}},
	}
	for name, body := range map[string]string{
		"k.csv":  "From,to,columns,note\n2026-05-01,,,\n2026-04-02T09:00:00Z,2026-04-03,temp distance,\"with, its unit\"\n",
		"b.csv":  "\ufeffnote,columns,to,from\n\"with, its unit\",\"distance,temp\",2026-04-03,2026-04-02 09:00:00\n,,,2026-05-01\n",
		"k.yaml": "- {from: 2026-04-02T09:00:00Z, to: 2026-04-03, columns: [temp, distance], note: \"with, its unit\"}\n- from: 2026-05-01\n",
		"k.yml":  "- {from: 2026-05-01, to: null}\n- {from: 2026-04-02T09:00:00Z, to: 2026-04-03, columns: temp distance, note: \"with, its unit\"}\n",
	} {
		got, err := backtest.ReadKnown(name, []byte(body))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

func TestReadKnown_Problem(t *testing.T) {
	f := func(name, body string, want ...string) {
		t.Helper()
		_, err := backtest.ReadKnown(name, []byte(body))
		if err == nil {
			t.Errorf("%s is taken: %q", name, body)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", name, err, w)
			}
		}
	}
	f("k.txt", "", ".csv or .yaml")
	f("k.csv", "", "no header line")
	f("k.csv", "from,to,colums\n", "k.csv:1", "did you mean", "columns")
	f("k.csv", "to,note\n", "`from` is missing")
	f("k.csv", "from,to\nsoon,2026-01-01\n2026-01-02,2026-01-01\n", "k.csv:2", "no time", "k.csv:3", "not after it began")
	f("k.csv", "from,to\n2026-01-01,2026-01-02,a,b\n", "4 fields")
	f("k.yaml", "from: 2026-01-01\n", "not a list")
	f("k.yaml", "- 2026-01-01\n", "not a mapping")
	f("k.yaml", "- {from: 2026-01-01, till: 2026-01-02}\n", `no key "till"`)
	f("k.yaml", "- {to: 2026-01-01}\n", "`from` is")
}

func TestParseBudgets(t *testing.T) {
	m := schemas.DefaultMonitor()
	got, err := backtest.ParseBudgets(" .25, 2/3,", m)
	per := m.Budget.Per
	if want := []backtest.Budget{{Pages: .25, Tickets: 1, Per: per}, {Pages: 2, Tickets: 3, Per: per}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v", got, err)
	}
	for _, wrong := range []string{"x", "-1", "1/x", "NaN", "1e9", "1;2", strings.Repeat("1,", 17)} {
		if got, err := backtest.ParseBudgets(wrong, m); err == nil {
			t.Errorf("%q is taken as %+v", wrong, got)
		}
	}
	m.Budget.Pages = 0
	if _, err := backtest.ParseBudgets("1", m); err == nil || !strings.Contains(err.Error(), "pages/tickets") {
		t.Errorf("tickets cannot be scaled by no pages, but: %v", err)
	}
}
