package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/schemas"
	"github.com/modelwatch/modelwatch/schemas/jsonschema/generate"
)

var update = flag.Bool("update", false, "write the generated schema anew")

const schemaFile = "../../schemas/jsonschema/settings.json"

func TestJSONSchema(t *testing.T) {
	o := generate.Options{
		Title: "Settings of the service", Tag: "yaml",
		Folders: map[string]string{"internal/config": "."},
		Map: func(t reflect.Type) *jsonschema.Schema {
			switch t {
			case reflect.TypeFor[config.Secret]():
				return &jsonschema.Schema{Type: "string", Description: "A secret; better in a file of its own."}
			case reflect.TypeFor[config.Bytes]():
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "integer"}, {Type: "string"}}}
			}
			return nil
		},
		Change: func(name string, s *jsonschema.Schema) {
			switch name {
			case "Kafka", "ClickHouse", "NATS":
				block := *s
				block.Description = ""
				*s = jsonschema.Schema{Description: s.Description, OneOf: []*jsonschema.Schema{{Const: config.Embedded}, &block}}
			}
		},
	}
	got, err := generate.Generate("settings", &config.Settings{}, o)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(schemaFile, got, 0o644); err != nil { //nolint:gosec // shipped with the source
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is out of step; run `go generate ./schemas`. It should be:\n%s", schemaFile, got)
	}
}

// What the program reads is what the schema says, and the other way round.
func TestJSONSchema_Settings(t *testing.T) {
	body, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("s", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("s")
	if err != nil {
		t.Fatal(err)
	}
	f := func(body string, want bool) {
		t.Helper()
		var p schemas.Problems
		root := schemas.ParseYAML("s.yaml", []byte(body), &p)
		if root == nil {
			t.Fatal(&p)
		}
		text, err := json.Marshal(root.Interface())
		if err != nil {
			t.Fatal(err)
		}
		v, err := validator.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); (err == nil) != want {
			t.Errorf("%q: valid is %v, want %v: %v", body, err == nil, want, err)
		}
		if _, err := config.Load(settings(t, body), nil, nothing); (err == nil) != want {
			t.Errorf("%q: loaded is %v, want %v: %v", body, err == nil, want, err)
		}
	}
	f("", true)
	f("kafka: embedded\nnats: {url: nats://n:1, replicas: 3}\nlimits: {memory: 1GiB}", true)
	f("kafka: {brokers: [a:1], sasl: {mechanism: plain, user: u, password: p}, tls: {}}", true)
	f("clickhouse: {addr: [a:1], database: d, cluster: c}\nlog: {level: debug, format: console}", true)
	f("kafka: elsewhere", false)
	f("kafka: {broker: [a:1]}", false)
	f("kafka: {brokers: a:1}", false)
	f("kafka: {isolation: none}", false)
	f("nats: {replicas: 9}", false)
	f("log: {level: loud}", false)
	f("htp: {}", false)
	f("http: {tls: {cert: a}}", false)
}
