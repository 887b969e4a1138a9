package main_test

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modelwatch/modelwatch/internal/testkit"
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
	if got := modelwatch(t, "check", "testdata/check/good.yaml"); got.code != 0 || !strings.Contains(got.out, "\n1 monitor sound: 0 errors, 1 warning, 1 note\n") {
		t.Errorf("%+v", got)
	}
	if got := modelwatch(t, "check", t.TempDir()); got.code != 1 || !strings.Contains(got.out, "there is no monitor file") {
		t.Errorf("an empty folder: %+v", got)
	}
}

func TestCheck_WarnsOfRulesThatAreOver(t *testing.T) {
	path := file(t, t.TempDir(), "m.yaml", "model: m\ntopics: [t]\nfeatures: {x: {type: number}}\nrules:\n- {severity: mute, reason: storm, until: 2001-02-03}\n- {severity: info, reason: fine, until: 2999-01-01}\n")
	got := modelwatch(t, "check", path)
	if got.code != 0 || !strings.Contains(got.out, `warning: $.rules: the rule to mute "storm" is over since 2001-02-03`) || strings.Contains(got.out, "fine") {
		t.Errorf("%+v", got)
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

// finding is one thing that --connect tried.
type finding struct{ State, Subject, Message, Hint string }

func TestCheck_Connect(t *testing.T) {
	kafka, house, bus := testkit.Kafka(t), testkit.ClickHouse(t), testkit.NATS(t)
	topic := kafka.CreateTopic(t, testkit.Name(t, "flights"), 1, nil)
	monitor := file(t, t.TempDir(), "m.yaml", "model: flight-delay\ntopics: ["+topic+"]\nfeatures: {distance: {type: number}}\n")
	f := func(code int, want []finding, args ...string) {
		t.Helper()
		got := modelwatch(t, append([]string{"check", monitor, "--connect", "--json"}, args...)...)
		var r struct {
			OK          bool
			Connections []finding
		}
		object(t, got, &r)
		if got.code != code || r.OK != (code == 0) || len(r.Connections) != len(want) {
			t.Fatalf("%+v", got)
		}
		for i, w := range want {
			if c := r.Connections[i]; c.State != w.State || c.Subject != w.Subject || !strings.Contains(c.Message, w.Message) || !strings.Contains(c.Hint, w.Hint) {
				t.Errorf("got %+v, want %+v", c, w)
			}
		}
	}
	embedded := "is embedded: it starts with the service and was not tried"
	f(0, []finding{{"note", "clickhouse", embedded, ""}, {"note", "nats", embedded, ""}, {"note", "kafka", embedded, ""}})
	f(0, []finding{
		{"ok", "clickhouse", house.Addr + " answers", ""},
		{"warn", "clickhouse", "its user may do more than is needed: ", "docs/security.md"},
		{"ok", "nats", bus.URL + " answers", ""},
		{"warn", "nats", "its user may do more than is needed: publish >, subscribe >", "docs/security.md"},
		{"ok", "kafka", kafka.Addr + " answers", ""},
		{"warn", "kafka", "its brokers keep no access lists", "docs/security.md"},
		{"warn", "topic " + topic, "no events", ""},
		{"warn", "model flight-delay", "none of its events", ""},
	}, "--clickhouse.addr", house.Addr, "--clickhouse.database", "not_there_yet", "--nats.url", bus.URL, "--kafka.brokers", kafka.Addr)
	if dbs := house.Query(t, "SELECT count() FROM system.databases WHERE name = 'not_there_yet'"); strings.TrimSpace(dbs) != "0" {
		t.Error("a check made a database")
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := closed.Addr().String()
	closed.Close()
	f(1, []finding{
		{"error", "clickhouse", "does not answer: ", "`clickhouse.addr`"},
		{"error", "nats", "does not answer: ", "`nats.url`"},
		{"error", "kafka", "does not answer: ", "`kafka.brokers`"},
	}, "--clickhouse.addr", addr, "--nats.url", "nats://"+addr, "--kafka.brokers", addr)
}
