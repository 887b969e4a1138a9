package house

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"

	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/schemas"
)

// The page of all keys is made from the JSON Schemas, which are made from the
// Go types: `make docs` writes it, and this test keeps it in step.

var update = flag.Bool("update", false, "write the generated pages anew")

var (
	configurationHead = filepath.Join(root, "docs", "configuration.head.md")
	configurationPage = filepath.Join(root, "docs", "configuration.md")
)

func TestConfigurationPageIsInStep(t *testing.T) {
	head, err := os.ReadFile(configurationHead)
	if err != nil {
		t.Fatal(err)
	}
	got := append([]byte("<!-- Made by `make docs` from configuration.head.md and the JSON Schemas: edit those. -->\n\n"), head...)
	got = append(got, "\n## Settings, key by key\n\n"+
		"The file of the service. A key with a flag can be given on the command line too, which goes before the file.\n\n"...)
	got = append(got, table(settingsKeys(t), "Flag")...)
	got = append(got, "\n## Monitor, key by key\n\n"+
		"One file per model. A key marked *not yet* is accepted and checked, and this version does not act on it;\n"+
		"`modelwatch check` says so of each such key in a file.\n\n"...)
	got = append(got, table(monitorKeys(t), "Acted on")...)
	if *update {
		if err := os.WriteFile(configurationPage, got, 0o644); err != nil { //nolint:gosec // shipped with the source
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(configurationPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is out of step with the types; run `make docs`", configurationPage)
	}
}

// key is one line of a table.
type key struct {
	path, kind, usual, meaning, more string
}

func table(keys []key, more string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "| Key | Type | Default | Meaning | %s |\n|---|---|---|---|---|\n", more)
	for _, k := range keys {
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s | %s |\n", k.path, k.kind, k.usual, k.meaning, k.more)
	}
	return out.String()
}

func settingsKeys(t *testing.T) []key {
	flags := map[string]bool{}
	for _, k := range config.Keys() {
		flags[k.Name] = true
	}
	keys := walk(t, "settings")
	for i := range keys {
		if flags[keys[i].path] {
			keys[i].more = "`--" + keys[i].path + "`"
			delete(flags, keys[i].path)
		}
	}
	for name := range flags {
		t.Errorf("flag --%s has no key in the schema", name)
	}
	return keys
}

// Two monitors, as some keys exclude each other, in which every key is given.
var everyKey = []string{`
model: m
owner: o
task: binary
positive: a
classes: [a, b]
topics: [t]
format: native
start: earliest
window: 1h
lateness: 10m
late_horizon: 3d
max_future: 5m
naive_time: UTC
cadence: 24h
budget: {pages: 1, tickets: 4, per: 30d}
predictions: {sample: 0.5}
features:
  x: {type: number, min: 0, max: 1, unit: mi, required: true, sensitive: true, importance: 1}
  y: {type: category, set: [c, d]}
slices: [y]
entity: y
learn: 28d
depends_on: [n]
rules: [{severity: info, features: [x], slices: [y=c], faults: [drift], below: 2, above: .1, hours: "22:00-06:00", reason: r, until: 2026-12-31}]
calendar: {holidays: [2026-12-25], changes: [{from: 2026-11-27, to: 2026-11-30T12:00:00Z, features: [x], reason: r}]}
retrain: {when: {drift: true, performance: {metric: auc, drop: .1}, schedule: 4w, labels: 1}, cooldown: 1d, min_labels: 1}
runbook: https://wiki.example/m
`, `
model: m
topics: [t]
baseline: m.baseline.json
`}

func monitorKeys(t *testing.T) []key {
	keys := walk(t, "monitor")
	given := map[string]bool{}
	unserved := map[string]bool{}
	name := strings.NewReplacer("$.", "", "features.x.", "features.NAME.", "features.y.", "features.NAME.")
	for _, body := range everyKey {
		m, err := schemas.ParseMonitor("m.yaml", []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range m.Unserved() {
			unserved[name.Replace(path)] = true
		}
		for _, k := range keys {
			at := strings.Replace(k.path, ".NAME", ".x", 1)
			if n := m.Place(strings.Split(at, ".")...); n != nil && (n.Path == "$."+at || k.path == "features.NAME.set") {
				given[k.path] = true
			}
		}
	}
	for i := range keys {
		k := &keys[i]
		if !given[k.path] {
			t.Errorf("key %s is new: give it in everyKey of this test", k.path)
		}
		k.more = "yes"
		for path := k.path; path != ""; path = path[:max(0, strings.LastIndexByte(path, '.'))] {
			if unserved[path] {
				k.more = "*not yet*"
			}
		}
	}
	return keys
}

// walk lists the keys of a shipped schema in the order of its types.
func walk(t *testing.T, name string) []key {
	t.Helper()
	body, err := schemas.JSONSchema(name)
	if err != nil {
		t.Fatal(err)
	}
	s := new(jsonschema.Schema)
	if err := json.Unmarshal(body, s); err != nil {
		t.Fatal(err)
	}
	w := walker{definitions: s.Definitions}
	w.object("", s)
	if len(w.keys) < 20 {
		t.Fatalf("schema %s has %d keys only", name, len(w.keys))
	}
	return w.keys
}

type walker struct {
	definitions jsonschema.Definitions
	keys        []key
}

// resolve follows a reference; the description beside it goes first.
func (w *walker) resolve(s *jsonschema.Schema) *jsonschema.Schema {
	name, ok := strings.CutPrefix(s.Ref, "#/$defs/")
	if !ok {
		return s
	}
	to := *w.definitions[name]
	// What a type says of itself begins with its name, in the manner of Go.
	to.Description = strings.TrimPrefix(to.Description, name+" ")
	if s.Description != "" {
		to.Description = s.Description
	}
	return &to
}

func (w *walker) object(prefix string, s *jsonschema.Schema) {
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		w.property(prefix+p.Key, w.resolve(p.Value), slices.Contains(s.Required, p.Key))
	}
}

func (w *walker) property(path string, s *jsonschema.Schema, required bool) {
	k := key{path: path, kind: w.kind(s), usual: "–", meaning: cell(s.Description)}
	if s.Default != nil {
		k.usual = fmt.Sprintf("`%v`", s.Default)
	}
	if required {
		k.usual = "required"
	}
	if k.meaning == "" {
		k.meaning = "–"
	}
	w.keys = append(w.keys, k)
	for _, form := range append(slices.Clone(s.OneOf), s) {
		if form.Properties != nil {
			w.object(path+".", form)
		}
	}
	if s.AdditionalProperties != nil {
		if of := w.resolve(s.AdditionalProperties); of.Properties != nil {
			w.object(path+".NAME.", of)
		}
	}
}

// kind says in a few words what may be written.
func (w *walker) kind(s *jsonschema.Schema) string {
	s = w.resolve(s)
	switch {
	case s.Const != nil:
		return fmt.Sprintf("`%v`", s.Const)
	case len(s.Enum) > 0:
		var words []string
		for _, e := range s.Enum {
			words = append(words, fmt.Sprintf("`%v`", e))
		}
		return strings.Join(words, ", ")
	case len(s.OneOf) > 0:
		return w.either(s.OneOf)
	case len(s.AnyOf) > 0:
		return w.either(s.AnyOf)
	case s.Type == "array" && s.Items != nil:
		return "list of " + w.kind(s.Items)
	case s.Type == "object" && s.AdditionalProperties != nil && w.resolve(s.AdditionalProperties).Properties != nil:
		return "blocks by name"
	case s.Type == "object":
		return "block"
	case s.Type == "string" && strings.Contains(s.Pattern, "ns|us"):
		return "duration"
	case s.Type == "string":
		return "text"
	case s.Type == "integer":
		return "whole number" + bounds(s)
	case s.Type == "number":
		return "number" + bounds(s)
	case s.Type == "boolean":
		return "true or false"
	}
	return "anything"
}

func (w *walker) either(forms []*jsonschema.Schema) string {
	var kinds []string
	for _, f := range forms {
		kinds = append(kinds, w.kind(f))
	}
	return strings.Join(kinds, " or ")
}

func bounds(s *jsonschema.Schema) string {
	switch {
	case s.Minimum != "" && s.Maximum != "":
		return fmt.Sprintf(", %s to %s", s.Minimum, s.Maximum)
	case s.Minimum != "":
		return fmt.Sprintf(" from %s", s.Minimum)
	}
	return ""
}

// cell makes a text fit into a table.
func cell(s string) string {
	s = strings.ReplaceAll(strings.TrimSpace(s), "|", "\\|")
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
