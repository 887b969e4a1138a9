package evaluate

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/schemas"
)

// A state is read from the form that journals hold now, and from JSON as they
// held it before; nothing that was cut short is one.
func TestStateOfBothForms(t *testing.T) {
	memory, err := os.ReadFile("../../detectors/budget/testdata/memory_form1.json")
	if err != nil {
		t.Fatal(err)
	}
	was := newState()
	was.Next["features"], was.Parts, was.Labels = 7_200_000, schemas.PartFeatures, 3
	if err := json.Unmarshal(memory, &was.Budget); err != nil {
		t.Fatal(err)
	}
	want, err := was.encode()
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(struct {
		*state
		Budget budget.Memory `json:"budget"`
	}{was, was.Budget})
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range [][]byte{want, body} {
		back := newState()
		if err := back.decode(form); err != nil {
			t.Fatal(err)
		}
		if back.Budget.Streams() != was.Budget.Streams() || back.Budget.Streams() == 0 {
			t.Errorf("%d streams of %d", back.Budget.Streams(), was.Budget.Streams())
		}
		if got, err := back.encode(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("a state changes when it is read and written: %v", err)
		}
	}
	for n := range want {
		if newState().decode(want[:n]) == nil {
			t.Errorf("%d of %d bytes are a state", n, len(want))
		}
	}
	if newState().decode([]byte{9}) == nil {
		t.Error("a form that is not known was read")
	}
}
