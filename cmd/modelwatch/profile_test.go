package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// week is hourly data of two airports.
func week() string {
	var b strings.Builder
	b.WriteString("ts,distance,origin,prediction\n")
	for i := range 7 * 24 * 10 {
		fmt.Fprintf(&b, "2001-01-%02dT%02d:00:00Z,%d,%s,%s\n", 1+i/240, i/10%24, 100+i*37%900, []string{"ORD", "LAX"}[i%2], []string{"late", "ontime"}[i%3/2])
	}
	return b.String()
}

func TestProfile(t *testing.T) {
	s := setup{dir: t.TempDir()}
	file(t, s.dir, "week.csv", week())
	got := s.modelwatch(t, "profile", "week.csv", "--model", "flight-delay", "--slice", "origin", "--skip", "unknown")
	if got.code == 0 {
		t.Error("a column to skip that is not there passes")
	}
	got = s.modelwatch(t, "profile", "week.csv", "--model", "flight-delay", "--slice", "origin")
	if got.code != 0 || !strings.HasPrefix(got.out, "week.csv: 1680 rows from 2001-01-01 00:00:00Z to 2001-01-07 23:00:00Z, 168 windows\n") {
		t.Fatalf("%+v", got)
	}
	if got := s.modelwatch(t, "check", "flight-delay.yaml"); got.code != 0 || !strings.Contains(got.out, "1 monitor sound: 0 errors, 0 warnings") {
		t.Errorf("what was written is not sound: %+v", got)
	}
	before, err := os.ReadFile(filepath.Join(s.dir, "flight-delay.baseline.json"))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.modelwatch(t, "profile", "week.csv", "--model", "flight-delay"); got.code != 1 || !strings.Contains(got.err, "--force") {
		t.Errorf("files that are there: %+v", got)
	}
	after, _ := os.ReadFile(filepath.Join(s.dir, "flight-delay.baseline.json"))
	if string(before) != string(after) {
		t.Error("a baseline was overwritten unasked")
	}
	var r struct {
		Baseline, Monitor, Hash string
		Rows                    int
		Columns                 []struct{ Name, Role string }
	}
	object(t, s.modelwatch(t, "profile", "week.csv", "--model", "flight-delay", "--force", "--json"), &r)
	after, _ = os.ReadFile(filepath.Join(s.dir, r.Baseline))
	if r.Rows != 1680 || len(r.Columns) != 4 || string(after) == string(before) || !strings.Contains(string(after), r.Hash) {
		t.Errorf("%+v", r)
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir, ".modelwatch-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if got := s.modelwatch(t, "profile", "week.csv", "--model", "../up"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	if out, _ := filepath.Glob(filepath.Join(s.dir, "model-*.yaml")); len(out) != 1 {
		t.Errorf("a name that is a path: %v", out)
	}
}
