package alerting

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// FuzzState reads the memory of incidents from a journal that somebody else
// may have written to, and takes a step from it.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"features":0,"judged":true,"tracks":[],"incidents":[],"waiting":[]}`))
	f.Add([]byte(`{"tracks":[null],"incidents":[null],"waiting":[{"start":1,"end":2,"findings":[{}]}]}`))
	f.Add([]byte(`{"tracks":[{"fault":"nulls","columns":["a"],"recent":[{}]}],"incidents":[{"incident":"m-1","columns":["a"],"state":"firing"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := &State{}
		if err := json.Unmarshal(body, s); err != nil {
			return
		}
		first, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again := &State{}
		if err := json.Unmarshal(first, again); err != nil {
			t.Fatalf("what was written cannot be read: %v\n%s", err, first)
		}
		second, err := json.Marshal(again)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%v\n%s\n%s", err, first, second)
		}
		start := time.Unix(0, 0).UTC()
		again.Step(Input{Model: "m", Part: schemas.PartFeatures, Window: schemas.Interval{Start: start, End: start.Add(time.Hour)}}, DefaultConfig(time.Hour, schemas.PartFeatures))
	})
}
