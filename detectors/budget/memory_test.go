package budget_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/modelwatch/modelwatch/detectors/budget"
)

// The form that journals hold now, and the one before it, are read as the same
// memory: the files are of one memory, with open findings, a stream that had no
// data, and evidence on either side.
func TestMemoryOfBothForms(t *testing.T) {
	read := func(name string) ([]byte, budget.Memory) {
		body, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		var m budget.Memory
		if err := json.Unmarshal(body, &m); err != nil {
			t.Fatal(err)
		}
		return bytes.TrimSpace(body), m
	}
	_, before := read("memory_form1.json")
	want, now := read("memory_form2.json")
	if before.Streams() != now.Streams() || now.Streams() != 10 {
		t.Fatalf("%d and %d streams", before.Streams(), now.Streams())
	}
	for _, m := range []budget.Memory{before, now} {
		got, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("written as\n%s\nand not as\n%s", got, want)
		}
	}
	body, err := now.AppendBinary([]byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	var back budget.Memory
	if err := back.UnmarshalBinary(body[len("before"):]); err != nil {
		t.Fatal(err)
	}
	for n := range body[len("before"):] {
		var cut budget.Memory
		if cut.UnmarshalBinary(body[len("before"):len("before")+n]) == nil {
			t.Fatalf("%d of %d bytes are a memory", n, len(body)-len("before"))
		}
	}
}
