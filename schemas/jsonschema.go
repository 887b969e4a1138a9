package schemas

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:generate go test -run ^TestJSONSchemas$ . -update
//go:generate go test -run ^TestJSONSchema$ ../internal/config -update

//go:embed jsonschema/*.json
var jsonSchemas embed.FS

// JSONSchema returns the JSON Schema (2020-12) of that name: monitor,
// settings, baseline, event, alert, retrain_request, retrain_status or
// fallback. They are generated from the Go types.
func JSONSchema(name string) ([]byte, error) {
	if names := JSONSchemaNames(); !slices.Contains(names, name) {
		return nil, fmt.Errorf("there is no JSON Schema %q; there are %s", name, strings.Join(names, ", "))
	}
	return jsonSchemas.ReadFile("jsonschema/" + name + ".json")
}

// JSONSchemaNames lists the names that JSONSchema knows, sorted.
func JSONSchemaNames() []string {
	entries, err := jsonSchemas.ReadDir("jsonschema")
	if err != nil {
		panic("schemas: the folder is part of the program: " + err.Error())
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".json")
	}
	return names
}
