package schemas_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/modelwatch/modelwatch/schemas"
)

// testdata/baseline.former.json was written by a program whose baselines told
// the spread of simple statistics beside what is fitted to them.
func TestParseBaseline_OfAFormerProgram(t *testing.T) {
	body := read(t, "testdata/baseline.former.json")
	b, err := schemas.ParseBaseline(body)
	if err != nil {
		t.Fatal(err)
	}
	if h := b.Column(schemas.RoleFeature, "amount").Streams[0].Healthy["location"]; b.Validate() != nil || h.Fitted == 0 || h.Scale == 0 {
		t.Errorf("read %+v", h)
	}
	for what, changed := range map[string]string{
		"a count":    strings.Replace(string(body), `"rows":768`, `"rows":769`, 1),
		"an old one": strings.Replace(string(body), `"windows":`, `"windows":1`, 1),
		"the hash":   strings.Replace(string(body), `"hash":"sha256:`, `"hash":"sha256:0`, 1),
		"the end":    strings.TrimSpace(string(body)) + "{}",
	} {
		if changed == string(body) {
			t.Fatalf("%s: nothing was changed", what)
		}
		if _, err := schemas.ParseBaseline([]byte(changed)); err == nil {
			t.Errorf("%s was changed, and it was read", what)
		}
	}
}

func TestParseBaseline_Form(t *testing.T) {
	b := flights(t)
	body, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got, err := schemas.ParseBaseline(append(body, '\n'))
	if err != nil || got.Hash != b.Hash {
		t.Errorf("with other white space: %v", err)
	}
	if _, err := schemas.ParseBaseline(bytes.Replace(body, []byte("{"), []byte(`{"extra": 1,`), 1)); err == nil || !strings.Contains(err.Error(), "extra") {
		t.Errorf("a key that is not known: %v", err)
	}
	if _, err := schemas.ParseBaseline(bytes.Replace(body, []byte(b.Hash), nil, 1)); err == nil || !strings.Contains(err.Error(), "was changed") {
		t.Errorf("without a hash: %v", err)
	}
}
