package retrain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/modelwatch/modelwatch/alerting"
	"github.com/modelwatch/modelwatch/schemas"
)

// The kinds of a cause, as they stand in a request and in its identity.
const (
	KindDrift    = "drift"
	KindSchedule = "schedule"
)

// Policy says when to ask. The zero value never asks.
type Policy struct {
	Drift     bool          `json:"drift"`
	Lasting   time.Duration `json:"lasting"`    // how long a drift must have been open; 0: from its firing
	Schedule  time.Duration `json:"schedule"`   // 0: never
	Cooldown  time.Duration `json:"cooldown"`   // between two requests
	MinLabels uint64        `json:"min_labels"` // before any request; 0: none are needed
}

// DefaultPolicy asks on drift, at most once a day.
func DefaultPolicy() Policy { return Policy{Drift: true, Cooldown: 24 * time.Hour} }

// Validate says everything that is wrong with the policy.
func (p Policy) Validate() error {
	var errs []error
	for _, d := range []struct {
		name string
		is   time.Duration
	}{{"lasting", p.Lasting}, {"schedule", p.Schedule}, {"cooldown", p.Cooldown}} {
		if d.is < 0 {
			errs = append(errs, fmt.Errorf("%s is %s; it must not be negative", d.name, d.is))
		}
	}
	return errors.Join(errs...)
}

// Input is what one step knows of a model.
type Input struct {
	Model     string
	Version   string             // that serves
	At        time.Time          // event time of the step
	Incidents []schemas.Incident // all open ones; resolved ones are passed over
	Data      schemas.RetrainData
	Baseline  string // content hash, "" for none
}

// Held is a need that is not asked for yet.
type Held struct {
	Request   string // the identity it would have
	Kind      string
	Reason    string
	Incidents []string
}

// Result is what a step has to say.
type Result struct {
	Requests []schemas.RetrainRequest
	Messages []schemas.Message // one for each request
	Held     []Held
}

// State is what is remembered of one model's requests. The zero value is a
// model that was never seen.
type State struct {
	First  time.Time `json:"first,omitzero"` // event time of the first step
	Last   time.Time `json:"last,omitzero"`  // of the latest request
	Asked  []string  `json:"asked"`          // open incidents that were a cause, sorted
	Issued []string  `json:"issued"`         // identities of the latest requests
}

// maxIssued is how many identities are remembered; more than can be asked for in a day.
const maxIssued = 64

// Step decides. The same inputs in the same order give the same requests. A
// step whose event time is before the latest request asks for nothing.
func (s *State) Step(in Input, p Policy) Result {
	in.At = in.At.UTC()
	if s.First.IsZero() || in.At.Before(s.First) {
		s.First = in.At
	}
	s.forget(in.Incidents)

	var r Result
	var causes []schemas.Cause
	var incidents []string
	held := func(kind, reason string, ids ...string) {
		r.Held = append(r.Held, Held{Request: s.identity(in, kind), Kind: kind, Reason: reason, Incidents: ids})
	}
	kind := ""
	if p.Drift {
		for i := range in.Incidents {
			d := &in.Incidents[i]
			if !isDrift(d) || slices.Contains(s.Asked, d.Incident) || in.At.Sub(d.Onset) < p.Lasting {
				continue
			}
			if fault := dataFault(d, in.Incidents); fault != nil {
				held(KindDrift, "wrong data are no reason to retrain: "+fault.Title, d.Incident, fault.Incident)
				continue
			}
			kind = KindDrift
			causes = append(causes, driftCauses(d)...)
			incidents = append(incidents, d.Incident)
		}
	}
	since := s.First
	if !s.Last.IsZero() {
		since = s.Last
	}
	if p.Schedule > 0 && in.At.Sub(since) >= p.Schedule {
		if kind == "" {
			kind = KindSchedule
		}
		causes = append(causes, schemas.Cause{Kind: KindSchedule, Detail: fmt.Sprintf("%s since %s", schemas.Duration(p.Schedule), since.Format(time.RFC3339))})
	}
	if kind == "" {
		return r
	}
	if until := s.Last.Add(p.Cooldown); !s.Last.IsZero() && in.At.Before(until) {
		held(kind, "cooling down until "+until.Format(time.RFC3339), incidents...)
		return r
	}
	if in.Data.Labels < p.MinLabels {
		held(kind, fmt.Sprintf("waiting for labels: %d of %d", in.Data.Labels, p.MinLabels), incidents...)
		return r
	}

	request := schemas.RetrainRequest{
		Request: s.identity(in, kind), Model: in.Model, Version: in.Version, Causes: causes, Incidents: slices.Concat([]string{}, incidents),
		Data: in.Data, Baseline: in.Baseline, Requested: in.At, CooldownUntil: in.At.Add(p.Cooldown),
	}
	s.Last = in.At
	s.Asked = append(s.Asked, incidents...)
	slices.Sort(s.Asked)
	s.Issued = append(s.Issued, request.Request)
	s.Issued = s.Issued[max(0, len(s.Issued)-maxIssued):]
	r.Requests = append(r.Requests, request)
	r.Messages = append(r.Messages, Message(&request))
	return r
}

// forget drops incidents that are over: should the drift come back, it is a new need.
func (s *State) forget(open []schemas.Incident) {
	s.Asked = slices.DeleteFunc(s.Asked, func(id string) bool {
		return !slices.ContainsFunc(open, func(i schemas.Incident) bool { return i.Incident == id && i.State == schemas.IncidentFiring })
	})
}

func isDrift(i *schemas.Incident) bool {
	if i.State != schemas.IncidentFiring || i.Severity == schemas.SeverityInfo {
		return false
	}
	switch i.Fault {
	case schemas.FaultDrift, schemas.FaultPredictionDrift, schemas.FaultScoreDrift, schemas.FaultMultivariateDrift:
		return true
	}
	return false
}

// dataFault finds an open fault of the data that may be what the drift shows:
// one of the same columns, or any of columns where the drift is of what the
// model says.
func dataFault(d *schemas.Incident, all []schemas.Incident) *schemas.Incident {
	output := d.Fault == schemas.FaultPredictionDrift || d.Fault == schemas.FaultScoreDrift || d.Fault == schemas.FaultMultivariateDrift
	for n := range all {
		f := &all[n]
		if f.State != schemas.IncidentFiring || !alerting.IsDataFault(f.Fault) || len(f.Columns) == 0 {
			continue
		}
		if output || slices.ContainsFunc(f.Columns, func(c string) bool { return slices.Contains(d.Columns, c) }) {
			return f
		}
	}
	return nil
}

// driftCauses carries what was seen: the figures of each column where there
// are any, else the incident's size.
func driftCauses(i *schemas.Incident) []schemas.Cause {
	const most = 16
	var out []schemas.Cause
	for _, e := range i.Evidence {
		if len(out) == most {
			break
		}
		is := e.Value
		out = append(out, schemas.Cause{Kind: KindDrift, Column: e.Column, Fault: i.Fault, Metric: e.Statistic, Was: e.Expected, Is: &is, Detail: e.Detail})
	}
	if len(out) > 0 {
		return out
	}
	columns := i.Columns
	if len(columns) == 0 {
		columns = []string{""}
	}
	for _, c := range columns[:min(len(columns), most)] {
		cause := schemas.Cause{Kind: KindDrift, Column: c, Fault: i.Fault, Detail: i.Title}
		if i.Effect.SD != nil {
			cause.Metric, cause.Is = "sd", i.Effect.SD
		}
		out = append(out, cause)
	}
	return out
}

// identity names a request by its need: model, version, day and kind. A second
// of one day has a number.
func (s *State) identity(in Input, kind string) string {
	model, version := alerting.Slug(in.Model), alerting.Slug(in.Version)
	id := strings.Join([]string{model, version, in.At.Format("20060102"), kind}, "-")
	if model != in.Model || version != in.Version {
		id += "-" + alerting.Fingerprint(in.Model, schemas.Fault(kind), []string{in.Version})[:8]
	}
	for n, base := 2, id; slices.Contains(s.Issued, id); n++ {
		id = base + "-" + strconv.Itoa(n)
	}
	return id
}

// Message writes a request as an entry of the outbox. Its identity is the
// request's, which is also the job's idempotency key.
func Message(r *schemas.RetrainRequest) schemas.Message {
	return schemas.Message{
		ID: r.Request, Stream: schemas.StreamRetrain,
		Subject: schemas.SubjectRetrain + "." + schemas.SubjectToken(r.Model) + "." + schemas.SubjectToken(r.Request),
		Headers: alerting.CloudEvent{
			ID: r.Request, Type: "modelwatch.retrain.requested", Model: r.Model, Subject: r.Request, Schema: "retrain_request", Time: r.Requested,
		}.Headers(),
		Body: alerting.Body(r),
	}
}
