package retrain

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/modelwatch/modelwatch/alerting"
	"github.com/modelwatch/modelwatch/schemas"
)

// Policy says when a model wants a new version. It is recorded with every step.
type Policy struct {
	Drift    bool          `json:"drift"`              // on lasting drift of features, prediction or score
	Lasting  int           `json:"lasting"`            // windows that drift must have been open for after it was found
	Schedule time.Duration `json:"schedule,omitempty"` // since the last request, or the first data; 0 for none
	Cooldown time.Duration `json:"cooldown"`           // least time between two requests
}

// DefaultPolicy asks for nothing until Drift or Schedule is set.
func DefaultPolicy() Policy { return Policy{Lasting: 2, Cooldown: 24 * time.Hour} }

// Validate reports everything that is wrong with the policy.
func (p Policy) Validate() error {
	var errs []error
	if p.Lasting < 0 {
		errs = append(errs, fmt.Errorf("lasting is %d; it must not be negative", p.Lasting))
	}
	if p.Schedule < 0 || p.Cooldown < 0 {
		errs = append(errs, errors.New("schedule and cooldown must not be negative"))
	}
	return errors.Join(errs...)
}

// maxAnswered bounds the incidents that are remembered as asked for.
const maxAnswered = 256

// State is what the policy remembers of a model. The zero value is a model
// of which no window was judged.
type State struct {
	First    int64    `json:"first,omitempty"` // end of the first window judged, Unix milliseconds
	Last     int64    `json:"last,omitempty"`  // time of the last request
	Requests []string `json:"requests,omitempty"`
	Answered []string `json:"answered,omitempty"` // incidents that a request was made for
	Held     string   `json:"held,omitempty"`     // why a need is not asked for, "" when none is held
}

// Input is what is known after a window was judged.
type Input struct {
	Model     string
	At        int64 // end of the window, Unix milliseconds of event time
	Window    time.Duration
	Baseline  string
	Incidents []schemas.Incident // open ones, as they are now
}

// Step says whether a new version is asked for now. Windows must come in
// order of their end.
func (s *State) Step(in Input, p Policy) (requests []schemas.RetrainRequest, messages []schemas.Message) {
	if s.First == 0 {
		s.First = in.At
	}
	s.Held = ""
	if s.Last != 0 && in.At < s.Last+p.Cooldown.Milliseconds() {
		return nil, nil
	}
	r, cause := s.drift(in, p)
	if r == nil {
		r, cause = s.schedule(in, p)
	}
	if r == nil {
		return nil, nil
	}
	r.Model, r.Baseline = in.Model, in.Baseline
	r.Requested, r.CooldownUntil = utc(in.At), utc(in.At+p.Cooldown.Milliseconds())
	r.Data.To = utc(in.At)
	r.Request = s.name(r, cause)
	s.Last = in.At
	s.Requests = append(s.Requests, r.Request)
	s.Requests = s.Requests[max(0, len(s.Requests)-maxAnswered):]
	s.Answered = append(s.Answered, r.Incidents...)
	s.Answered = s.Answered[max(0, len(s.Answered)-maxAnswered):]
	return []schemas.RetrainRequest{*r}, []schemas.Message{Message(r)}
}

// drift finds the drift that has lasted and was not asked for yet.
func (s *State) drift(in Input, p Policy) (*schemas.RetrainRequest, string) {
	if !p.Drift {
		return nil, ""
	}
	r := &schemas.RetrainRequest{}
	lasting := int64(p.Lasting) * in.Window.Milliseconds()
	for _, i := range in.Incidents {
		if !isDrift(i.Fault) || slices.Contains(s.Answered, i.Incident) || in.At < i.Detected.UnixMilli()+lasting {
			continue
		}
		if wrong := wrongData(in.Incidents, i.Columns); wrong != "" {
			s.Held = "wrong data are not a reason to retrain: " + wrong + " is open"
			continue
		}
		r.Incidents = append(r.Incidents, i.Incident)
		r.Causes = append(r.Causes, causes(i)...)
		if r.Version == "" {
			r.Version = i.Version
		}
		if r.Data.From.IsZero() || i.Onset.Before(r.Data.From) {
			r.Data.From = i.Onset
		}
	}
	if len(r.Incidents) == 0 {
		return nil, ""
	}
	return r, "drift"
}

// schedule finds out whether a new version is due by its age.
func (s *State) schedule(in Input, p Policy) (*schemas.RetrainRequest, string) {
	since := max(s.First, s.Last)
	if p.Schedule <= 0 || in.At < since+p.Schedule.Milliseconds() {
		return nil, ""
	}
	return &schemas.RetrainRequest{
		Causes:    []schemas.Cause{{Kind: "schedule", Detail: "every " + schemas.Duration(p.Schedule).String()}},
		Incidents: []string{},
		Data:      schemas.RetrainData{From: utc(since)},
	}, "schedule"
}

func isDrift(f schemas.Fault) bool {
	switch f {
	case schemas.FaultDrift, schemas.FaultPredictionDrift, schemas.FaultScoreDrift, schemas.FaultMultivariateDrift:
		return true
	}
	return false
}

// wrongData names an open incident of wrong data that touches the columns: a
// model that learns from such data learns the fault.
func wrongData(open []schemas.Incident, columns []string) string {
	for _, i := range open {
		switch i.Fault {
		case schemas.FaultVolume, schemas.FaultNoData, schemas.FaultCaptureGap, schemas.FaultRetentionGap, schemas.FaultLateData, schemas.FaultDuplicates, schemas.FaultFutureEvents:
			continue
		}
		if isDrift(i.Fault) {
			continue
		}
		if len(i.Columns) == 0 || slices.ContainsFunc(i.Columns, func(c string) bool { return slices.Contains(columns, c) }) {
			return i.Incident
		}
	}
	return ""
}

// causes carries the evidence of an incident over, one for each column.
func causes(i schemas.Incident) []schemas.Cause {
	var out []schemas.Cause
	for _, column := range i.Columns {
		c := schemas.Cause{Kind: "drift", Column: column, Fault: i.Fault, Detail: i.Title}
		for _, e := range i.Evidence {
			if e.Column == column {
				is := e.Value
				c.Metric, c.Is, c.Was = e.Statistic, &is, e.Expected
				break
			}
		}
		out = append(out, c)
	}
	if len(out) == 0 {
		out = append(out, schemas.Cause{Kind: "drift", Fault: i.Fault, Detail: i.Title})
	}
	return out
}

// name makes the request's id: model, version, day and cause, and a number
// where that is taken.
func (s *State) name(r *schemas.RetrainRequest, cause string) string {
	base := r.Model
	if r.Version != "" {
		base += "-" + r.Version
	}
	base += "-" + r.Requested.Format("20060102") + "-" + cause
	id := base
	for n := 2; slices.Contains(s.Requests, id); n++ {
		id = base + "-" + strconv.Itoa(n)
	}
	return id
}

// Message writes a request as an entry of the outbox.
func Message(r *schemas.RetrainRequest) schemas.Message {
	return schemas.Message{
		ID: "retrain." + r.Request, Stream: schemas.StreamRetrain,
		Subject: schemas.SubjectRetrain + "." + schemas.SubjectToken(r.Model) + "." + schemas.SubjectToken(r.Request),
		Headers: alerting.CloudEvent{
			ID: r.Request, Type: "modelwatch.retrain.requested", Model: r.Model, Subject: r.Request, Schema: "retrain_request", Time: r.Requested,
		}.Headers(),
		Body: alerting.Body(r),
	}
}

func utc(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
