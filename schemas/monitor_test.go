package schemas_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/schemas"
)

var update = flag.Bool("update", false, "write golden files and generated schemas anew")

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", path, got, want)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestParseMonitor(t *testing.T) {
	m, err := schemas.ParseMonitor("flight-delay.yaml", read(t, "testdata/monitors/flight-delay.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Model != "flight-delay" || m.Task != schemas.TaskBinary || m.Positive != "late" || len(m.Topics) != 3 {
		t.Errorf("got %+v", m)
	}
	if time.Duration(m.Window) != time.Hour || time.Duration(m.LateHorizon) != 72*time.Hour || time.Duration(m.MaxFuture) != 5*time.Minute {
		t.Errorf("times %v %v %v", m.Window, m.LateHorizon, m.MaxFuture)
	}
	d := m.Features["distance"]
	if d.Type != schemas.TypeNumber || d.Min == nil || *d.Min != 0 || d.Max != nil || d.Unit != "mi" || d.Required != nil {
		t.Errorf("distance %+v", d)
	}
	if m.Budget.Pages != 1 || time.Duration(m.Budget.Per) != 30*24*time.Hour {
		t.Errorf("budget %+v", m.Budget)
	}
	if r := m.Retrain; !r.When.Drift || r.When.Performance.Drop != 0.03 || time.Duration(r.When.Schedule) != 168*time.Hour || r.When.Labels != 50000 || r.MinLabels != 5000 {
		t.Errorf("retrain %+v", r)
	}
	want := []string{"$.retrain.when.labels", "$.retrain.when.performance"}
	if got := m.Unserved(); !slices.Equal(got, want) {
		t.Errorf("unserved %v, want %v", got, want)
	}
}

func TestParseMonitor_Defaults(t *testing.T) {
	m, err := schemas.ParseMonitor("m.yaml", []byte("model: m\ntopics: [t]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Task != schemas.TaskNone || m.Format != "native" || m.Start != "earliest" || m.Retrain != nil || m.StartBack() != 0 {
		t.Errorf("got %+v", m)
	}
	m, err = schemas.ParseMonitor("m.yaml", []byte("model: m\ntopics: [t]\npositive: true\nstart: 72h\nretrain: {cooldown: 1h}\nslices: [a, [a, b]]\nfeatures: {a: {type: category, set: [1, x, true]}, b: {set: [\"1\"]}}"))
	if err != nil {
		t.Fatal(err)
	}
	if m.Task != schemas.TaskBinary || m.Positive != "true" || m.StartBack() != 72*time.Hour || !m.Retrain.When.Drift {
		t.Errorf("got %+v", m)
	}
	if got := m.Features["a"].Set; !slices.Equal(got, []string{"1", "x", "true"}) {
		t.Errorf("set %v", got)
	}
	if len(m.Slices) != 2 || !slices.Equal(m.Slices[1], schemas.Slice{"a", "b"}) {
		t.Errorf("slices %v", m.Slices)
	}
}

func TestParseMonitor_AllProblemsAtOnce(t *testing.T) {
	_, err := schemas.ParseMonitor("wrong.yaml", read(t, "testdata/monitors/wrong.yaml"))
	var p *schemas.Problems
	if !errors.As(err, &p) {
		t.Fatalf("got %T %v", err, err)
	}
	golden(t, "testdata/monitors/wrong.golden", err.Error()+"\n")
}

func TestParseMonitor_Problem(t *testing.T) {
	f := func(body, line string) {
		t.Helper()
		_, err := schemas.ParseMonitor("m.yaml", []byte(body))
		if err == nil {
			t.Errorf("%q: no problem", body)
		} else if !strings.Contains(err.Error(), line) {
			t.Errorf("%q:\ngot  %v\nwant %s", body, err, line)
		}
	}
	const head = "model: m\ntopics: [t]\n"
	f("", "key `model` is missing")
	f("", "key `topics` is missing")
	f("- a\n- b", "m.yaml:1:1: $: expected a mapping, got a list")
	f("model: [a", "not valid YAML")
	f("a: b: c", "not valid YAML")
	f(head+"---\nmodel: n\n", "more than one document")
	f(head+"windw: 1h", "m.yaml:3:1: $.windw: unknown key `windw`; did you mean `window`?")
	f(head+"window: true", "m.yaml:3:9: $.window: expected a duration, got true or false (true)")
	f(head+"window: 3600", "write it with its unit, like 3600s")
	f(head+"window: 500ms", "too short")
	f(head+"window: 8d", "too long")
	f(head+"window: 36h", "do not fit into a day")
	f(head+"positive: a\ntask: none", "`positive` belongs to a binary task, but the task is none")
	f(head+"positive: a\nclasses: [b, c]", "not among the classes")
	f(head+"features: {x: {type: number, min: .nan}}", "$.features.x.min: .nan is not a finite number")
	f(head+"features: {x: {min: 2, max: 1}}", "m.yaml:3:21: $.features.x.min: min 2 is greater than max 1")
	f(head+"features:\n  'a.b': {typ: number}", "m.yaml:4:11: $.features['a.b'].typ: unknown key `typ`; did you mean `type`?")
	f(head+"features: {x: {type: category, set: []}}", "an empty set would forbid every value")
	f(head+"predictions: {sample: 0}", "m.yaml:3:23: $.predictions.sample: a share of 0 of the ids cannot be kept")
	f(head+"predictions: {sample: 1.5}", "more than 0 and at most 1")
	f(head+"predictions: {sample: .nan}", "$.predictions.sample: .nan is not a finite number")
	f(head+"predictions: {smple: .1}", "did you mean `sample`?")
	f(head+"slices: [x]", "`x` is not among the features")
	f(head+"rules: [{severity: mut, reason: r}]", "m.yaml:3:20: $.rules[0].severity: severity `mut` is not known; did you mean `mute`?")
	f(head+"rules: [{reason: r}]", "does not say what it does")
	f(head+"rules: [{severity: info}]", "a rule needs a reason")
	f(head+"rules: [{severity: mute, reason: r}]", "a rule that mutes needs `until`")
	f(head+"rules: [{severity: info, reason: r, faults: [drif]}]", "fault `drif` is not known; did you mean `drift`?")
	f(head+"rules: [{severity: info, reason: r, features: [x]}]", "`x` is not among the features")
	f(head+"rules: [{severity: info, reason: r, slices: [ORD]}]", "write the column and its value, as in origin=ORD")
	f(head+"rules: [{severity: info, reason: r, above: 1, below: .5}]", "no effect is at least 1 and below 0.5")
	f(head+"rules: [{severity: info, reason: r, hours: 6-25}]", "is not a time of day")
	f(head+"rules: [{severity: info, reason: r, until: soon}]", "m.yaml:3:44: $.rules[0].until: expected a date")
	f(head+"calendar: {holidays: [2026-12-25T08:00:00Z]}", "a holiday is a whole day")
	f(head+"calendar: {holidays: [2026-02-30]}", "$.calendar.holidays[0]: expected a date")
	f(head+"calendar: {changes: [{from: 2026-12-02, to: 2026-12-01, reason: r}]}", "over before it begins")
	f(head+"calendar: {changes: [{from: 2026-12-02, reason: r}]}", "has `from` and `to`")
	f(head+"calendar: {changes: [{from: 2026-12-01, to: 2026-12-02}]}", "needs a reason")
	f(head+"slices: [x]\nfeatures: {x: {type: number}}", "cannot be sliced by")
	f(head+"retrain: {when: {labels: 5}}", "whose task is none")
	f("model: m\ntopics: t", "m.yaml:2:9: $.topics: expected a list, got text (t); write it as [t]")
	f("model: m\nmodel: n\ntopics: [t]", "m.yaml:2:1: $.model: key `model` is there twice; it first stands on line 1")
	f("model: 2024\ntopics: [t]", "expected text, got a whole number (2024); write it in quotes")
	f(head+"depends_on: [m]", "cannot depend on itself")
	f(head+"owner: *x", "nothing before this line is anchored")
	f(head+strings.Repeat("x", 1<<20), "at most 1 MiB")
	f("model: \xff", "not UTF-8")
	f("a: "+strings.Repeat("[", 50_000), "nested more than")
	f(strings.Repeat("- ", 30_000), "nested more than")
	f(strings.Repeat("- ", 100_000), "bytes")
	f(strings.Repeat("a: b\n", 30_000), "lines")
	f("~:", "unknown key ``")
}

func TestParseMonitor_AliasesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 12; i++ {
		name, before := string(rune('a'+i)), "*a0"
		if i > 1 {
			before = "*" + string(rune('a'+i-1))
		}
		b.WriteString(name + ": &" + name + " [" + strings.Repeat(before+", ", 9) + before + "]\n")
	}
	start := time.Now()
	_, err := schemas.ParseMonitor("bomb.yaml", []byte(b.String()))
	if err == nil || !strings.Contains(err.Error(), "aliases filled in") {
		t.Errorf("got %v", err)
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestParseMonitor_AnchorsAndMergeKeys(t *testing.T) {
	m, err := schemas.ParseMonitor("m.yaml", []byte(`
model: m
topics: [t]
features:
  a: &n {type: number, min: 0, max: 5}
  b: *n
  c: {<<: *n, max: 7}
`))
	if err != nil {
		t.Fatal(err)
	}
	if b, c := m.Features["b"], m.Features["c"]; *b.Max != 5 || *c.Max != 7 || *c.Min != 0 {
		t.Errorf("b %+v c %+v", b, c)
	}
}

func TestParseYAML_ColonInsideFlow(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		var p schemas.Problems
		root := schemas.ParseYAML("f.yaml", []byte(body), &p)
		if len(p.List) > 0 {
			t.Errorf("%q: %v", body, &p)
			return
		}
		got, err := json.Marshal(root.Interface())
		if err != nil || string(got) != want {
			t.Errorf("%q: got %s, want %s", body, got, want)
		}
	}
	f("{a: [b:1, 127.0.0.1:9092, c]}", `{"a":["b:1","127.0.0.1:9092","c"]}`)
	f("{a: [12:30:00]}", `{"a":["12:30:00"]}`)
	f("{a: [b: 1, {c: 2}]}", `{"a":[{"b":1},{"c":2}]}`)
	f(`{a: ["b":1]}`, `{"a":[{"b":1}]}`)
	f("{a: nats://h:1, b: h:2}", `{"a":"nats://h:1","b":"h:2"}`)
	f("a: [b:1]", `{"a":["b:1"]}`)
}

func TestNearest(t *testing.T) {
	known := []string{"window", "lateness", "topics", "owner"}
	f := func(name, want string) {
		t.Helper()
		if got := schemas.Nearest(name, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
	f("windw", "window")
	f("wnidow", "window")
	f("Window", "window")
	f("latenes", "lateness")
	f("x", "")
	f("budget", "")
}

// A key misspelt by one character is always led back to a known key.
func TestNearest_OneSlip(t *testing.T) {
	known := []string{"model", "owner", "task", "positive", "topics", "window", "lateness", "late_horizon", "budget", "features"}
	rapid.Check(t, func(t *rapid.T) {
		k := []byte(rapid.SampledFrom(known).Draw(t, "key"))
		i := rapid.IntRange(0, len(k)-1).Draw(t, "at")
		c := rapid.ByteRange('a', 'z').Draw(t, "letter")
		if k[i] == c {
			t.Skip()
		}
		k[i] = c
		if got := schemas.Nearest(string(k), known); got == "" {
			t.Fatalf("nothing near %q", k)
		}
	})
}

func FuzzParseMonitor(f *testing.F) {
	files, err := filepath.Glob("testdata/monitors/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range files {
		f.Add(read(f, name))
	}
	for _, s := range []string{"a: &a [*a]", "<<: {a: b}", "? [a]\n: b", "!!str 3", "a: |\n  b", "- - - a", "model: !x y", "%YAML 1.2\n---\n", "\"", "{a: [}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := schemas.ParseMonitor("f.yaml", body)
		if (m == nil) == (err == nil) {
			t.Fatalf("monitor %v with error %v", m, err)
		}
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without a message")
			}
			return
		}
		if s, _, err := schemas.BuildSpec(m, nil); err == nil && s.Hash() == "" {
			t.Fatal("no hash")
		}
	})
}

// YAML 1.2 has floats without a point.
func TestParseMonitor_ExponentsAreNumbers(t *testing.T) {
	m, err := schemas.ParseMonitor("m.yaml", []byte("model: m\ntopics: [t]\nfeatures:\n  x: {type: number, min: -2E3, max: 1e15}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if x := m.Features["x"]; x.Min == nil || *x.Min != -2000 || x.Max == nil || *x.Max != 1e15 {
		t.Errorf("%+v", x)
	}
}

func TestPast(t *testing.T) {
	m, err := schemas.ParseMonitor("m.yaml", []byte("model: m\ntopics: [t]\nrules: [{severity: info, reason: a}, {severity: mute, reason: b, until: 2026-11-20}]"))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	if got := m.Past(at.Add(-time.Second)); len(got) != 0 {
		t.Errorf("before: %+v", got)
	}
	if got := m.Past(at); len(got) != 1 || got[0].String() != `the rule to mute "b"` {
		t.Errorf("after: %+v", got)
	}
}
