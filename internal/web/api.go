package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// Bounds of answers of the API.
const (
	apiWindowsUsual   = 500
	apiWindowsMost    = 5000
	apiIncidentsUsual = 200
	apiIncidentsMost  = 1000
)

// failure is the body of every answer of the API that is an error.
type failure struct {
	Error string `json:"error"`
	Hint  string `json:"hint"` // what to do
}

// api answers with what read returns as JSON, or with the trouble it met.
func (s *Server) api(read func(ctx context.Context, r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readTime)
		defer cancel()
		value, err := read(ctx, r)
		var no *refusal
		switch {
		case err == nil:
			s.json(w, http.StatusOK, value)
		case errors.As(err, &no):
			s.json(w, no.status, failure{Error: no.What, Hint: no.hint()})
		default:
			s.log.Warn().Err(err).Str("path", r.URL.Path).Msg("reading for the API")
			w.Header().Set("Retry-After", "5")
			s.json(w, http.StatusServiceUnavailable, failure{Error: "The store does not answer.", Hint: "Try again; /readyz tells what is missing."})
		}
	}
}

// hint is the hint of a refusal with the names that may have been meant.
func (r *refusal) hint() string {
	if len(r.Near) == 0 {
		return r.Hint
	}
	names := make([]string, len(r.Near))
	for i := range r.Near {
		names[i] = r.Near[i].Incident
	}
	return r.Hint + " Nearest: " + strings.Join(names, ", ") + "."
}

func badRequest(what, hint string) error {
	return &refusal{http.StatusBadRequest, trouble{What: what, Hint: hint}}
}

// known refuses parameters that an address does not have, so that a slip of
// the pen does not widen the answer.
func known(r *http.Request, names ...string) error {
	for name := range r.URL.Query() {
		found := false
		for _, n := range names {
			found = found || n == name
		}
		if !found {
			hint := "Parameters are " + strings.Join(names, ", ") + "."
			if near := schemas.Nearest(name, names); near != "" {
				hint = "Did you mean " + near + "? " + hint
			}
			return badRequest("There is no parameter "+strconv.Quote(name)+".", hint)
		}
	}
	return nil
}

// limit reads ?limit=.
func limit(r *http.Request, usual, most int) (int, error) {
	raw := r.URL.Query().Get("limit")
	if raw == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(raw)
	if err != nil || n < 1 || n > most {
		return 0, badRequest("limit is not a number that is possible.", "Give 1 to "+strconv.Itoa(most)+".")
	}
	return n, nil
}

// instant reads a time in RFC 3339.
func instant(r *http.Request, name string) (time.Time, error) {
	raw := r.URL.Query().Get(name)
	if raw == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, raw)
	if err != nil {
		return t, badRequest(name+" is not a time.", "Write it as RFC 3339, 2026-11-20T14:05:00Z; a + in the zone as %2B.")
	}
	return t, nil
}

// modelsAnswer is the body of /api/v1/models.
type modelsAnswer struct {
	Models []modelAnswer `json:"models"` // worst first
}

// modelAnswer is one model with the judgement that the overview shows.
type modelAnswer struct {
	Model  string                 `json:"model"`
	Owner  string                 `json:"owner,omitempty"`
	State  schemas.State          `json:"state"`
	Reason string                 `json:"reason,omitempty"`
	Worst  string                 `json:"incident,omitempty"` // its worst open incident
	Partly bool                   `json:"partly_judged"`      // healthy, but some of it was not judged
	Seen   *schemas.ModelOverview `json:"seen,omitempty"`     // missing before the first row
}

func (s *Server) apiModels(ctx context.Context, r *http.Request) (any, error) {
	if err := known(r); err != nil {
		return nil, err
	}
	all, err := s.deps.Store.Models(ctx)
	if err != nil {
		return nil, err
	}
	open, err := s.deps.Store.Incidents(ctx, schemas.IncidentFilter{State: schemas.IncidentFiring, Limit: overviewOpen})
	if err != nil {
		return nil, err
	}
	answer := modelsAnswer{Models: []modelAnswer{}}
	for _, st := range standings(all, open, s.monitors()) {
		m := modelAnswer{Model: st.Model, Owner: st.Owner, State: st.State, Reason: st.Why, Partly: st.Partly, Seen: st.seen}
		if st.Incident != nil {
			m.Worst = st.Incident.Incident
		}
		answer.Models = append(answer.Models, m)
	}
	return answer, nil
}

// windowsAnswer is the body of /api/v1/windows.
type windowsAnswer struct {
	Windows []schemas.WindowRow `json:"windows"` // oldest first
}

func (s *Server) apiWindows(ctx context.Context, r *http.Request) (any, error) {
	if err := known(r, "model", "role", "feature", "slice", "version", "from", "to", "limit"); err != nil {
		return nil, err
	}
	q := r.URL.Query()
	f := schemas.WindowFilter{Model: q.Get("model"), Version: q.Get("version"), Slice: q.Get("slice"), Histograms: true}
	if f.Model == "" {
		return nil, badRequest("model is missing.", "Give model=; /api/v1/models lists them.")
	}
	if f.Slice == "*" {
		f.Slice, f.AnySlice = "", true
	}
	if q.Has("feature") {
		f.Features = q["feature"]
	}
	if name := q.Get("role"); name != "" {
		if f.Role = schemas.RoleOf(name); f.Role == 0 {
			return nil, badRequest("There is no such role.", "role is rows, feature, prediction, score, label, latency or joined.")
		}
	}
	var err error
	if f.From, err = instant(r, "from"); err != nil {
		return nil, err
	}
	if f.To, err = instant(r, "to"); err != nil {
		return nil, err
	}
	if f.Limit, err = limit(r, apiWindowsUsual, apiWindowsMost); err != nil {
		return nil, err
	}
	rows, err := s.deps.Store.Windows(ctx, f)
	if err != nil {
		return nil, err
	}
	if rows == nil {
		rows = []schemas.WindowRow{}
	}
	return windowsAnswer{rows}, nil
}

// incidentsAnswer is the body of /api/v1/incidents.
type incidentsAnswer struct {
	Incidents []schemas.Incident `json:"incidents"`
}

func (s *Server) apiIncidents(ctx context.Context, r *http.Request) (any, error) {
	if err := known(r, "state", "model", "severity", "limit"); err != nil {
		return nil, err
	}
	n, err := limit(r, apiIncidentsUsual, apiIncidentsMost)
	if err != nil {
		return nil, err
	}
	f, err := incidentFilter(r, n)
	if err != nil {
		return nil, err
	}
	list, err := s.deps.Store.Incidents(ctx, f)
	if err != nil {
		return nil, err
	}
	if list == nil {
		list = []schemas.Incident{}
	}
	return incidentsAnswer{list}, nil
}

// incidentAnswer is the body of /api/v1/incidents/{incident}.
type incidentAnswer struct {
	schemas.Incident
	Transitions []schemas.TransitionRow `json:"transitions"` // latest first
	Samples     []schemas.ViolationRow  `json:"samples"`     // of bad rows; values of sensitive features are hashed or left out
	Mark        *schemas.IncidentMark   `json:"mark,omitempty"`
}

func (s *Server) apiIncident(ctx context.Context, r *http.Request) (any, error) {
	if err := known(r); err != nil {
		return nil, err
	}
	id := r.PathValue("incident")
	in, found, err := s.deps.Store.Incident(ctx, id)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, s.unknownIncident(ctx, id)
	}
	answer := incidentAnswer{Incident: in, Transitions: []schemas.TransitionRow{}, Samples: []schemas.ViolationRow{}}
	transitions, err := s.deps.Store.Transitions(ctx, schemas.TransitionFilter{Incident: id, Limit: apiIncidentsMost})
	if err != nil {
		return nil, err
	}
	answer.Transitions = append(answer.Transitions, transitions...)
	violations, err := s.deps.Store.Violations(ctx, samplesOf(&in))
	if err != nil {
		return nil, err
	}
	if answer.Mark, err = s.markOf(ctx, &in); err != nil {
		return nil, err
	}
	rules := s.monitorOf(in.Model)
	for _, v := range violations {
		if exposed(&v, rules) {
			v.Value, v.Reason = "", ""
		}
		answer.Samples = append(answer.Samples, v)
	}
	return answer, nil
}
