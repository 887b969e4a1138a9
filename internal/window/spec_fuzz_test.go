package window

import (
	"encoding/json"
	"testing"

	"github.com/modelwatch/modelwatch/schemas"
)

// FuzzSpec compiles specs as a database that somebody else writes to may hold
// them.
func FuzzSpec(f *testing.F) {
	m, err := schemas.ParseMonitor("m.yaml", []byte("model: m\ntopics: [t]\nslices: [city]\nfeatures: {a: {type: number, min: 0}, city: {type: category, set: [x, y]}}"))
	if err != nil {
		f.Fatal(err)
	}
	spec, _, err := schemas.BuildSpec(m, nil)
	if err != nil {
		f.Fatal(err)
	}
	body, err := json.Marshal(spec)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"model":"m","window":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var s schemas.Spec
		if json.Unmarshal(body, &s) != nil {
			return
		}
		ms, err := Compile([]schemas.SpecRecord{{Seq: 1, Spec: s}})
		if (ms == nil) == (err == nil) {
			t.Fatalf("%v with error %v", ms, err)
		}
		if err == nil && ms.Model([]byte(s.Model)) == nil {
			t.Fatal("the model is not there")
		}
	})
}
