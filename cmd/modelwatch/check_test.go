package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// object reads the one JSON object that a run printed.
func object(t *testing.T, got result, into any) {
	t.Helper()
	if strings.Count(got.out, "\n") != 1 || !strings.HasSuffix(got.out, "\n") {
		t.Errorf("not one line: %s%s", got.out, got.err)
	}
	if err := json.Unmarshal([]byte(got.out), into); err != nil {
		t.Fatalf("%v: %s%s", err, got.out, got.err)
	}
}

func TestCheck(t *testing.T) {
	got := modelwatch(t, "check", "testdata/check")
	golden(t, "check/folder.golden", got.out)
	if got.code != 1 || got.err != "" {
		t.Errorf("exit %d, %s", got.code, got.err)
	}
	got = modelwatch(t, "check", "testdata/check/wrong.yaml", "testdata/check/absent.yaml", "--json")
	golden(t, "check/files.golden", got.out)
	if got.code != 1 || got.err != "" {
		t.Errorf("exit %d, %s", got.code, got.err)
	}
	// What only a warning is said of can be put in force.
	if got := modelwatch(t, "check", "testdata/check/good.yaml"); got.code != 0 || !strings.Contains(got.out, "\n1 monitor sound: 0 errors, 1 warning, 2 notes\n") {
		t.Errorf("%+v", got)
	}
	if got := modelwatch(t, "check", t.TempDir()); got.code != 1 || !strings.Contains(got.out, "there is no monitor file") {
		t.Errorf("an empty folder: %+v", got)
	}
}

func TestCheck_EscapesWhatTheFileSays(t *testing.T) {
	path := file(t, t.TempDir(), "m.yaml", "model: m\ntopics: [t]\n\"a\\e[2Jb\": 1\n")
	got := modelwatch(t, "check", path)
	if got.code != 1 || !strings.Contains(got.out, `a\x1b[2Jb`) || strings.Contains(got.out, "\x1b") {
		t.Errorf("%q", got.out)
	}
}

func TestCheckConfig(t *testing.T) {
	good, err := os.ReadFile("testdata/check/good.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := setup{dir: t.TempDir(), env: []string{"GROUP=g"}}
	file(t, s.dir, "monitors/good.yaml", string(good))
	if got := s.modelwatch(t, "run", "--check-config"); got.code != 0 || !strings.Contains(got.out, "1 monitor sound: 0 errors") {
		t.Errorf("without a file: %+v", got)
	}
	var r struct {
		OK       bool
		Settings string
		Monitors []struct{ Model string }
		Problems []struct{ Severity, File, Path, Message string }
	}
	file(t, s.dir, "modelwatch.yaml", "kafka: {brokers: [k:9092], group: '${GROUP}'}\n")
	object(t, s.modelwatch(t, "run", "--check-config", "--json"), &r)
	if !r.OK || r.Settings != "modelwatch.yaml" || len(r.Monitors) != 1 || r.Monitors[0].Model != "flight-delay" {
		t.Errorf("%+v", r)
	}
	// The file that lies there is read; another one is, when it is named; flags go before both.
	file(t, s.dir, "modelwatch.yaml", "kafka: {isolation: some}\n")
	got := s.modelwatch(t, "run", "--check-config")
	if want := "modelwatch.yaml:1:20: error: $.kafka.isolation: `some` is not known"; got.code != 1 || !strings.HasPrefix(got.out, want) {
		t.Errorf("got %+v, want %s", got, want)
	}
	other := file(t, s.dir, "other/settings.yaml", "monitors: ../monitors\n")
	if got := s.modelwatch(t, "run", "--check-config", "--config", other); got.code != 0 {
		t.Errorf("another file: %+v", got)
	}
	if got := s.modelwatch(t, "run", "--check-config", "--kafka.isolation", "read_uncommitted"); got.code != 0 {
		t.Errorf("a flag over the file: %+v", got)
	}
	if got := s.modelwatch(t, "run", "--check-config", "--config", other, "--http.listen", "0.0.0.0:80"); got.code != 1 || !strings.Contains(got.out, "--http.listen: error: $.http.listen: 0.0.0.0:80 can be reached from other machines") {
		t.Errorf("a wrong flag: %+v", got)
	}
	file(t, s.dir, "monitors/wrong.yaml", "model: x\n")
	object(t, s.modelwatch(t, "run", "--check-config", "--json", "--config", other), &r)
	if r.OK || len(r.Problems) == 0 || r.Problems[0].Severity != "error" || r.Problems[0].Path != "$" || !strings.HasSuffix(r.Problems[0].File, filepath.Join("monitors", "wrong.yaml")) {
		t.Errorf("%+v", r)
	}
}

// TestRun_NothingIsStartedForWrongFiles also shows that the service says so
// itself, not only --check-config.
func TestRun_NothingIsStartedForWrongFiles(t *testing.T) {
	s := setup{dir: t.TempDir()}
	f := func(want string, args ...string) {
		t.Helper()
		got := s.modelwatch(t, append([]string{"run"}, args...)...)
		if got.code != 1 || !strings.Contains(got.err, want) {
			t.Errorf("%v: exit %d, %s, want %s", args, got.code, got.err, want)
		}
		if _, err := os.Stat(filepath.Join(s.dir, "data")); err == nil {
			t.Errorf("%v: servers were started", args)
		}
	}
	f("`modelwatch profile` writes a first one")
	f("$.log.level: `loud` is not known", "--log.level", "loud")
	file(t, s.dir, "monitors/wrong.yaml", "model: x\n")
	f("key `topics` is missing")
}
