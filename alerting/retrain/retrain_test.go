package retrain_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/alerting/retrain"
	"github.com/modelwatch/modelwatch/schemas"
)

var noon = time.Date(2008, 11, 4, 12, 0, 0, 0, time.UTC)

func incident(id string, fault schemas.Fault, columns ...string) schemas.Incident {
	return schemas.Incident{
		Incident: id, Model: "flight-delay", Fault: fault, Columns: columns, State: schemas.IncidentFiring,
		Severity: schemas.SeverityWarning, Onset: noon, Title: id + " is open",
	}
}

func input(after time.Duration, open ...schemas.Incident) retrain.Input {
	return retrain.Input{Model: "flight-delay", Version: "3", At: noon.Add(after), Incidents: open, Data: schemas.RetrainData{From: noon, To: noon.Add(after), Labels: 100}}
}

func TestOneRequestForALastingDrift(t *testing.T) {
	var s retrain.State
	p := retrain.DefaultPolicy()
	p.Lasting = 2 * time.Hour
	was := 3.0
	drift := incident("i1", schemas.FaultDrift, "distance")
	drift.Evidence = []schemas.Evidence{{Column: "distance", Statistic: "wasserstein", Value: 4, Expected: &was}}

	if r := s.Step(input(time.Hour, drift), p); len(r.Requests) != 0 {
		t.Fatalf("asked after an hour: %+v", r)
	}
	r := s.Step(input(2*time.Hour, drift), p)
	if len(r.Requests) != 1 || len(r.Messages) != 1 {
		t.Fatalf("%d requests, %d messages", len(r.Requests), len(r.Messages))
	}
	q, m := r.Requests[0], r.Messages[0]
	if q.Request != "flight-delay-3-20081104-drift" || m.ID != q.Request || m.Stream != schemas.StreamRetrain ||
		m.Subject != "modelwatch.retrain.flight-delay.flight-delay-3-20081104-drift" {
		t.Errorf("request %q, message %+v", q.Request, m)
	}
	if c := q.Causes[0]; c.Kind != "drift" || c.Column != "distance" || *c.Was != 3 || *c.Is != 4 {
		t.Errorf("cause %+v", c)
	}
	if !q.CooldownUntil.Equal(noon.Add(26*time.Hour)) || len(q.Incidents) != 1 || m.Headers["ce-type"] != "modelwatch.retrain.requested" {
		t.Errorf("%+v", q)
	}
	for after := 3 * time.Hour; after < 72*time.Hour; after += time.Hour {
		if r := s.Step(input(after, drift), p); len(r.Requests)+len(r.Held) != 0 {
			t.Fatalf("asked again for the same need after %s: %+v", after, r)
		}
	}
}

func TestWrongDataAreNoReason(t *testing.T) {
	f := func(drift, fault schemas.Incident, want bool) {
		t.Helper()
		var s retrain.State
		r := s.Step(input(time.Hour, drift, fault), retrain.DefaultPolicy())
		if got := len(r.Requests) == 1; got != want {
			t.Errorf("%s beside %s: asked %v", drift.Fault, fault.Fault, got)
		}
		if !want && (len(r.Held) != 1 || !strings.Contains(r.Held[0].Reason, fault.Title)) {
			t.Errorf("held %+v", r.Held)
		}
		if !want {
			fault.State = schemas.IncidentResolved
			if r := s.Step(input(2*time.Hour, drift, fault), retrain.DefaultPolicy()); len(r.Requests) != 1 {
				t.Errorf("%s was not asked for when %s was over", drift.Fault, fault.Fault)
			}
		}
	}
	f(incident("d", schemas.FaultDrift, "a", "b"), incident("h", schemas.FaultWrongType, "b"), false)
	f(incident("d", schemas.FaultDrift, "a"), incident("h", schemas.FaultNulls, "a"), false)
	f(incident("d", schemas.FaultDrift, "a"), incident("h", schemas.FaultWrongType, "b"), true)
	f(incident("d", schemas.FaultPredictionDrift, "prediction"), incident("h", schemas.FaultUnitChange, "b"), false)
	f(incident("d", schemas.FaultScoreDrift, "score"), incident("h", schemas.FaultVolume), true)
}

func TestScheduleCountsFromTheLastRequest(t *testing.T) {
	var s retrain.State
	p := retrain.Policy{Drift: true, Schedule: 168 * time.Hour, Cooldown: 24 * time.Hour}
	var at []int // days
	for after := time.Duration(0); after < 30*24*time.Hour; after += time.Hour {
		in := input(after)
		if after == 10*24*time.Hour {
			in.Incidents = append(in.Incidents, incident("d", schemas.FaultDrift, "a"))
		}
		for range s.Step(in, p).Requests {
			at = append(at, int(after/(24*time.Hour)))
		}
	}
	if len(at) != 4 || at[0] != 7 || at[1] != 10 || at[2] != 17 || at[3] != 24 {
		t.Errorf("asked on days %v", at)
	}
}

func TestCooldownAndLabelsHold(t *testing.T) {
	var s retrain.State
	p := retrain.Policy{Drift: true, Cooldown: 6 * time.Hour, MinLabels: 50}
	one, two := incident("i1", schemas.FaultDrift, "a"), incident("i2", schemas.FaultDrift, "b")
	in := input(0, one)
	in.Data.Labels = 49
	if r := s.Step(in, p); len(r.Requests) != 0 || len(r.Held) != 1 || !strings.Contains(r.Held[0].Reason, "49 of 50") {
		t.Fatalf("%+v", r)
	}
	if r := s.Step(input(0, one), p); len(r.Requests) != 1 {
		t.Fatalf("%+v", r)
	}
	if r := s.Step(input(5*time.Hour, one, two), p); len(r.Requests) != 0 || len(r.Held) != 1 || !strings.Contains(r.Held[0].Reason, "cooling down") {
		t.Fatalf("%+v", r)
	}
	r := s.Step(input(6*time.Hour, one, two), p)
	if len(r.Requests) != 1 || r.Requests[0].Request != "flight-delay-3-20081104-drift-2" || len(r.Requests[0].Incidents) != 1 {
		t.Fatalf("%+v", r)
	}
}

// Law: requests are never closer than the cool-down, have distinct identities,
// name no incident twice while it is open, and survive a restart.
func TestRequestsKeepTheirDistance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s retrain.State
		p := retrain.Policy{
			Drift: rapid.Bool().Draw(t, "drift"), Cooldown: time.Duration(rapid.IntRange(0, 30).Draw(t, "cooldown")) * time.Hour,
			Schedule: time.Duration(rapid.IntRange(0, 50).Draw(t, "schedule")) * time.Hour,
		}
		ids, asked := map[string]bool{}, map[string]bool{}
		var last time.Time
		var open []schemas.Incident
		for h := range 100 {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				open = append(open, incident(strings.Repeat("i", h+1), schemas.FaultDrift, "a"))
			case 1:
				open = nil
			}
			body, err := json.Marshal(&s)
			if err != nil {
				t.Fatal(err)
			}
			s = retrain.State{}
			if err := json.Unmarshal(body, &s); err != nil {
				t.Fatal(err)
			}
			for _, q := range s.Step(input(time.Duration(h)*time.Hour, open...), p).Requests {
				if ids[q.Request] {
					t.Fatalf("%s is asked twice", q.Request)
				}
				ids[q.Request] = true
				if !last.IsZero() && q.Requested.Sub(last) < p.Cooldown {
					t.Fatalf("%s comes %s after the one before", q.Request, q.Requested.Sub(last))
				}
				last = q.Requested
				for _, i := range q.Incidents {
					if asked[i] {
						t.Fatalf("%s is a cause twice", i)
					}
					asked[i] = true
				}
			}
		}
	})
}
