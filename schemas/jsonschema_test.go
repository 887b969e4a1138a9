package schemas_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/modelwatch/modelwatch/schemas"
	"github.com/modelwatch/modelwatch/schemas/jsonschema/generate"
)

func TestJSONSchemas(t *testing.T) {
	folders := map[string]string{"schemas": "."}
	f := func(name, title, tag string, open bool, v any) {
		t.Helper()
		o := generate.Options{Title: title, Tag: tag, Open: open, Folders: folders}
		if tag == "yaml" {
			o.Map, o.Change = monitorTypes, monitorChange
		}
		got, err := generate.Generate(name, v, o)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("jsonschema", name+".json"), string(got))
	}
	f("monitor", "Monitor of one model", "yaml", false, &schemas.Monitor{})
	f("baseline", "Baseline of one model", "json", false, &schemas.Baseline{})
	f("event", "Event of a model", "json", true, &schemas.Event{})
	f("alert", "Transition of an incident", "json", true, &schemas.Alert{})
	f("retrain_request", "Request for a new version of a model", "json", true, &schemas.RetrainRequest{})
	f("retrain_status", "What a job says of a retrain request", "json", true, &schemas.RetrainStatus{})
	f("fallback", "Advice to return to a version of a model", "json", true, &schemas.Fallback{})
}

// monitorTypes are the types of a monitor that may be written in more than one form.
func monitorTypes(t reflect.Type) *jsonschema.Schema {
	text := &jsonschema.Schema{Type: "string"}
	if t == reflect.TypeFor[schemas.Slice]() {
		two := uint64(2)
		return &jsonschema.Schema{OneOf: []*jsonschema.Schema{text, {Type: "array", Items: text, MinItems: new(uint64(1)), MaxItems: &two}}}
	}
	return nil
}

// monitorChange lets values of the stream be written without quotes.
func monitorChange(name string, s *jsonschema.Schema) {
	value := func(of *jsonschema.Schema) {
		of.Type = ""
		of.AnyOf = []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}
	}
	property := func(key string) *jsonschema.Schema {
		p, ok := s.Properties.Get(key)
		if !ok {
			panic("no property " + key + " in " + name)
		}
		return p
	}
	switch name {
	case "Monitor":
		value(property("positive"))
		value(property("classes").Items)
	case "Feature":
		value(property("set").Items)
	}
}

func compile(t testing.TB, name string) *validator.Schema {
	t.Helper()
	body, err := schemas.JSONSchema(name)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(generate.ID+name, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(generate.ID + name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func plain(t testing.TB, v any) any {
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := validator.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestJSONSchema_Names(t *testing.T) {
	want := []string{"alert", "baseline", "event", "fallback", "monitor", "retrain_request", "retrain_status", "settings"}
	if got := schemas.JSONSchemaNames(); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	for _, name := range want {
		compile(t, name)
	}
	if _, err := schemas.JSONSchema("monitr"); err == nil {
		t.Error("an unknown name is an error")
	}
}

// The messages of the documentation and of the program are what the schemas say.
func TestJSONSchema_Messages(t *testing.T) {
	now := time.Date(2008, 11, 4, 14, 5, 0, 0, time.UTC)
	sd, is := 1.9, .74
	f := func(name string, v any, want bool) {
		t.Helper()
		err := compile(t, name).Validate(plain(t, v))
		if (err == nil) != want {
			t.Errorf("%s: valid is %v, want %v: %v", name, err == nil, want, err)
		}
	}
	raw := func(s string) any { return json.RawMessage(s) }
	f("event", raw(`{"id":"8f1c","model":"flight-delay","version":"3","ts":"2026-11-20T12:00:00.123Z","features":{"distance":733,"origin":"ORD","temp":null}}`), true)
	f("event", raw(`{"id":"8f1c","model":"flight-delay","version":"3","ts":1763640000130,"prediction":"late","score":0.83,"latency_ms":3.2}`), true)
	f("event", raw(`{"id":"8f1c","model":"flight-delay","label":true,"more":1}`), true)
	f("event", raw(`{"id":"8f1c","features":{}}`), false)
	f("event", raw(`{"model":"m","features":[1]}`), false)
	f("event", raw(`{"model":"m","prediction":{"class":1}}`), false)
	alert := schemas.Alert{
		Incident: "flight-delay-20081104T1405-7c1e", Seq: 1, Transition: schemas.TransitionFiring, Severity: schemas.SeverityCritical, Model: "flight-delay", Version: "3",
		Fault: schemas.FaultSwap, Title: "`temp` and `dewpoint` are swapped since 14:05", Columns: []string{"temp", "dewpoint"}, Slices: []string{}, Onset: now, Detected: now,
		Window: schemas.Interval{Start: now, End: now.Add(time.Hour)}, Effect: schemas.Effect{SD: &sd}, Evidence: []schemas.Evidence{{Statistic: "wasserstein_sd", Value: 1.9, Rows: 10, Window: schemas.Interval{Start: now, End: now}}},
		RunnerUp: &schemas.RunnerUp{Fault: schemas.FaultDrift, Score: .1}, Replay: schemas.Replay{Spec: "sha256:1", Offsets: []schemas.OffsetRange{{Topic: "t", To: 2}}},
	}
	f("alert", alert, true)
	alert.Severity = "loud"
	f("alert", alert, false)
	f("retrain_request", schemas.RetrainRequest{
		Request: "flight-delay-3-20081104-drift", Model: "flight-delay", Version: "3", Incidents: []string{"i"}, Requested: now, CooldownUntil: now, Data: schemas.RetrainData{From: now, To: now},
		Causes: []schemas.Cause{{Kind: "performance", Metric: "auc", Was: &sd, Is: &is, Interval: &[2]float64{.73, .75}}},
	}, true)
	f("retrain_request", raw(`{"request":"r"}`), false)
	f("retrain_status", schemas.RetrainStatus{Request: "r", Model: "m", State: "claimed", By: "job"}, true)
	f("fallback", schemas.Fallback{Incident: "i", Model: "m", Version: "4", To: "3", Reason: "worse", At: now}, true)
	f("baseline", flights(t), true)
	counted := flights(t) // with what is learnt of the number of events
	counted.Columns = append(counted.Columns, schemas.BaselineColumn{
		Name: "features", Role: schemas.RoleRows, Type: schemas.TypeNumber, Unit: 1,
		Streams: []schemas.BaselineStream{{Bins: []uint64{0}, Healthy: map[string]schemas.Healthy{"volume": {Fitted: 9}}}},
	})
	f("baseline", counted, true)
	f("baseline", raw(`{"format":"modelwatch.baseline/1","colums":[]}`), false)
}

// Files that the program reads are what the schemas say, and the other way round.
func TestJSONSchema_Monitors(t *testing.T) {
	s := compile(t, "monitor")
	f := func(body string, want bool) {
		t.Helper()
		var p schemas.Problems
		root := schemas.ParseYAML("m.yaml", []byte(body), &p)
		if root == nil {
			t.Fatal(&p)
		}
		if err := s.Validate(plain(t, root.Interface())); (err == nil) != want {
			t.Errorf("%q: valid is %v, want %v: %v", body, err == nil, want, err)
		}
		if _, err := schemas.ParseMonitor("m.yaml", []byte(body)); (err == nil) != want {
			t.Errorf("%q: parsed is %v, want %v: %v", body, err == nil, want, err)
		}
	}
	f(string(read(t, "testdata/monitors/flight-delay.yaml")), true)
	const head = "model: m\ntopics: [t]\n"
	f(head, true)
	f(head+"positive: true\nfeatures: {a: {type: category, set: [1, x, true], required: false}}\nslices: [a]", true)
	f(head+"features: {a: {type: category}, b: {type: category}}\nslices: [a, [a, b]]", true)
	f(head+"window: 15m\nretrain: {when: {schedule: 4w}}", true)
	f(head+"predictions: {sample: 0.1}", true)
	f(head+"predictions: {sample: 0}", false)
	f(head+"predictions: {sample: 1.01}", false)
	f("topics: [t]", false)
	f(head+"windw: 1h", false)
	f(head+"window: 3600", false)
	f(head+"window: soon", false)
	f(head+"task: classify", false)
	f(head+"features: {a: {type: numbr}}", false)
	f(head+"features: {a: {min: low}}", false)
	f(head+"slices: [[a, b, c]]\nfeatures: {a: {type: category}, b: {type: category}, c: {type: category}}", false)
	f("model: m\ntopics: []", false)
	f(head+"retrain: {when: {performance: {metric: auc}}}\ntask: binary", false)
}

// Every key of the monitor is described, so that an editor can explain it.
func TestJSONSchema_MonitorIsDescribed(t *testing.T) {
	body, err := os.ReadFile("jsonschema/monitor.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Properties map[string]struct{ Description string }
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	for key, p := range doc.Properties {
		if p.Description == "" || strings.Contains(p.Description, "\n") {
			t.Errorf("%s is described as %q", key, fmt.Sprint(p.Description))
		}
	}
	if len(doc.Properties) < 20 {
		t.Errorf("%d keys", len(doc.Properties))
	}
}
