package schemas

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// FuzzBaseline reads baselines as anybody may hand them in, and builds a spec
// and a check of each that is sound. Its hash is not looked at here: whoever
// makes a file can make that too.
func FuzzBaseline(f *testing.F) {
	files, err := filepath.Glob("../internal/profile/testdata/*baseline*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte(`{"model":"m","columns":[{"name":"a","role":2,"type":"number","edges":[0,1],"unit":1,"streams":[{"rows":3,"bins":[1,1,1]}]}]}`))
	f.Add([]byte(`{"model":"m","columns":[{"name":"c","role":2,"type":"category","categories":["x"],"streams":[{"rows":3,"bins":[1,2]}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = ParseBaseline(body) // it may say anything
		b := new(Baseline)
		if json.Unmarshal(body, b) != nil {
			return
		}
		if b.Validate() != nil {
			return
		}
		m := DefaultMonitor()
		m.Model, m.Topics, m.Task = b.Model, []string{"t"}, TaskNone
		for i := range b.Columns {
			if b.Columns[i].Role == RoleFeature && b.Columns[i].Type == TypeCategory && len(m.Slices) < 2 {
				m.Slices = append(m.Slices, Slice{b.Columns[i].Name})
			}
		}
		if s, l, err := BuildSpec(m, b); err == nil && (s.Hash() == "" || l == nil) {
			t.Fatal("a spec without a hash or a layout")
		}
	})
}
