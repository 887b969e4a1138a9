package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/consumers/decode/native"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// kept is a store and a topic of dead letters that remember what they are given.
type kept struct {
	written
	rows    []schemas.Rows
	letters []consumers.DeadLetter
}

func (k *kept) Write(_ context.Context, _ []summary.Partial, rows schemas.Rows) error {
	rows.Violations = append([]schemas.Violation(nil), rows.Violations...)
	k.rows = append(k.rows, rows)
	return nil
}

func (k *kept) Put(_ context.Context, l consumers.DeadLetter) error {
	k.letters = append(k.letters, l)
	return nil
}

func (k *kept) Flush(context.Context) error { return nil }

const loanMonitor = `
model: loan
topics: [loans]
features:
  ssn: {type: category, set: ["078-05-1120"], sensitive: true}
  income: {type: number, min: 0, max: 100, sensitive: true}
  purpose: {type: category, set: [car]}
`

// passed reads the values as records of a topic and stores the whole chunk.
func passed(t *testing.T, key, topic string, values ...string) *kept {
	t.Helper()
	m, err := schemas.ParseMonitor("m.yaml", []byte(loanMonitor))
	if err != nil {
		t.Fatal(err)
	}
	spec, _, err := schemas.BuildSpec(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	records := []schemas.SpecRecord{{Seq: 1, Hash: spec.Hash(), EffectiveFrom: -1 << 62, Spec: *spec}}
	models, err := window.Compile(records)
	if err != nil {
		t.Fatal(err)
	}
	privacy := schemas.NewPrivacy([]byte(key), []*schemas.Monitor{m})
	into := &kept{}
	l := New(DefaultConfig(), Partition{Topic: topic}, Deps{
		Store: into, DeadLetters: into, Decoder: native.New(decode.DefaultConfig()), OnlyModel: func() string { return "" },
		Privacy: func() *schemas.Privacy { return privacy }, Now: time.Now, Stats: &Stats{}, Log: zerolog.Nop(),
	})
	l.specs = &Specs{Records: records, Models: models}
	l.begin(window.Start{Chunk: schemas.Chunk{Topic: topic}, Previous: -1, Clock: window.NoTime}, [2]int64{})
	for i, v := range values {
		l.record = consumers.Record{Offset: int64(i), Timestamp: 1_000_000_000_000 + int64(i), Value: []byte(v)}
		if err := l.pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	l.addBlocks()
	if err := l.flush(t.Context(), sealed); err != nil {
		t.Fatal(err)
	}
	return into
}

// TestSensitiveValuesAreNotKept looks for values of sensitive features in all
// that a partition's loop stores and sends on.
func TestSensitiveValuesAreNotKept(t *testing.T) {
	const ssn, other = "999-12-3456", "888-12-3456"
	event := func(ssn string, income any, purpose string) string {
		body, err := json.Marshal(map[string]any{"model": "loan", "features": map[string]any{"ssn": ssn, "income": income, "purpose": purpose}})
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	var values []string
	for range 30 { // enough of them for trips, which quote a value
		values = append(values, event(ssn, 77123456.5, "boat"))
	}
	values = append(values, event(other, ssn, "car"), event(ssn, true, "car"),
		`{"model":"loan","features":{"ssn":"`+ssn+`"`,                                          // cannot be parsed
		`{"model":"ship","features":{"ssn":"`+ssn+`"}}`,                                        // of an unknown model
		`{"model":"loan","ts":"9999-01-01T00:00:00Z","features":{"ssn":"`+ssn+`"}}`,            // of the future
		`{"model":"loan","features":{"ssn":"`+ssn+`","income":"`+strings.Repeat(ssn, 50)+`"}}`, // long
	)
	for _, key := range []string{"", "a key of this installation"} {
		got := passed(t, key, "loans", values...)
		everything, err := json.Marshal(struct {
			Rows string
		}{fmt.Sprintf("%+v", got.rows)})
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{ssn, other, "77123456", "7.71234565e+07"} {
			if strings.Contains(string(everything), secret) {
				t.Errorf("key %q: %s is stored", key, secret)
			}
		}
		if !strings.Contains(string(everything), "boat") {
			t.Error("the value of a feature that is not sensitive is missing")
		}
		hashes := map[string]int{}
		trips := map[string]bool{}
		for _, rows := range got.rows {
			for _, v := range rows.Violations {
				if v.Fault == schemas.FaultUnexpectedValue && v.Feature == "ssn" {
					hashes[v.Value]++
				}
			}
			for _, trip := range rows.Trips {
				if trip.Feature == "ssn" || trip.Feature == "income" {
					trips[trip.Feature] = schemas.IsHidden(trip.Value)
				}
			}
			if len(rows.Panes) == 0 || len(rows.Panes[0].Samples) == 0 {
				t.Error("no row was sampled")
			}
		}
		if !trips["ssn"] || !trips["income"] {
			t.Errorf("key %q: trips that quote a hidden value: %v", key, trips)
		}
		for v := range hashes {
			if key == "" && v != schemas.Hidden || key != "" && !strings.HasPrefix(v, schemas.HiddenPrefix) {
				t.Errorf("key %q: a value is shown as %q", key, v)
			}
		}
		if len(got.letters) != 3 {
			t.Errorf("%d dead letters, want 3", len(got.letters))
		}
		for _, l := range got.letters {
			if !l.Withheld {
				t.Errorf("the dead letter %s shows the event", l.Reason)
			}
		}
	}
	// A topic that no such model is read from: only events that name the model are withheld.
	for _, l := range passed(t, "", "ships", values...).letters {
		if want := l.Reason != "unknown_model"; l.Withheld != want {
			t.Errorf("%s on another topic: withheld %v", l.Reason, l.Withheld)
		}
	}
}
