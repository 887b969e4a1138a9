package budget

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzMemory reads memories from a journal that somebody else may have written
// to: what is read is written again to the byte.
func FuzzMemory(f *testing.F) {
	empty, err := json.Marshal(&Memory{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(empty)
	f.Add([]byte(`"AA=="`))
	f.Add([]byte(`"AQAAAA=="`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m := &Memory{}
		if m.UnmarshalJSON(body) != nil {
			return
		}
		first, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again := &Memory{}
		if err := json.Unmarshal(first, again); err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, first)
		}
		if second, err := json.Marshal(again); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%v\n%s\n%s", err, first, second)
		}
	})
}
