package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/schemas"
)

// Incidents returns incidents as their last step left them.
func (v Views) Incidents(ctx context.Context, f schemas.IncidentFilter) ([]schemas.Incident, error) {
	var inner, outer filter
	if f.Model != "" {
		inner.where("model = {model:String}", "model", f.Model)
	}
	outer.values = inner.values
	if f.State != "" {
		outer.where("JSONExtractString(last, 'state') = {state:String}", "state", string(f.State))
	}
	if f.Severity != "" {
		outer.where("JSONExtractString(last, 'severity') = {severity:String}", "severity", string(f.Severity))
	}
	return v.s.incidents(ctx, &inner, outer.String()+` ORDER BY JSONExtractString(last, 'state') = 'firing' DESC,
		transform(JSONExtractString(last, 'severity'), ['critical', 'warning', 'info'], [3, 2, 1], 0) DESC,
		parseDateTime64BestEffortOrZero(JSONExtractString(last, 'onset'), 3, 'UTC') DESC, incident`+outer.limit(f.Limit), outer.values)
}

// Incident returns one incident; false when there is none of that id.
func (v Views) Incident(ctx context.Context, id string) (schemas.Incident, bool, error) {
	var w filter
	w.where("subject = {incident:String}", "incident", id)
	found, err := v.s.incidents(ctx, &w, "1", w.values)
	if err != nil || len(found) == 0 {
		return schemas.Incident{}, false, err
	}
	return found[0], true, nil
}

func (s *Store) incidents(ctx context.Context, inner *filter, outer string, values bound) ([]schemas.Incident, error) {
	var out []schemas.Incident
	err := s.read(ctx, "reading incidents", `SELECT last FROM (
			SELECT model, subject AS incident, argMax(body, (step, ordinal)) AS last
			FROM journal WHERE kind = 'incident' AND `+inner.String()+` GROUP BY model, subject)
		WHERE `+outer, values,
		func() { out = nil },
		func(row driver.Rows) error {
			var body []byte
			if err := row.Scan(&body); err != nil {
				return err
			}
			var incident schemas.Incident
			err := json.Unmarshal(body, &incident)
			out = append(out, incident)
			return err
		})
	return out, err
}

// Transitions returns the messages of incidents, the latest first.
func (v Views) Transitions(ctx context.Context, f schemas.TransitionFilter) ([]schemas.TransitionRow, error) {
	var inner, outer filter
	if f.Incident != "" {
		inner.where("JSONExtractString(body, 'incident') = {incident:String}", "incident", f.Incident)
	}
	outer.values = inner.values
	if !f.Since.IsZero() {
		outer.where("decided >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')", "since", f.Since.UnixMilli())
	}
	var out []schemas.TransitionRow
	err := v.s.read(ctx, "reading transitions", `SELECT body, sent FROM (
			SELECT j.body AS body, if(s.id = '', 0, toUnixTimestamp64Milli(s.first)) AS sent, j.model AS model, j.step AS step, j.ordinal AS ordinal,
				parseDateTime64BestEffortOrZero(if(JSONExtractString(j.body, 'transition') = 'firing',
					JSONExtractString(j.body, 'detected'), JSONExtractString(j.body, 'window', 'end')), 3, 'UTC') AS decided
			FROM (SELECT model, step, ordinal, subject, body FROM journal WHERE kind = 'message' AND JSONHas(body, 'transition') AND `+inner.String()+`) AS j
			LEFT JOIN (SELECT id, min(at) AS first FROM sent GROUP BY id) AS s ON j.subject = s.id)
		WHERE `+outer.String()+` ORDER BY decided DESC, model, step DESC, ordinal DESC`+outer.limit(f.Limit), outer.values,
		func() { out = nil },
		func(row driver.Rows) error {
			var body []byte
			var sent int64
			if err := row.Scan(&body, &sent); err != nil {
				return err
			}
			var r schemas.TransitionRow
			if err := json.Unmarshal(body, &r.Alert); err != nil {
				return fmt.Errorf("reading an alert: %w", err)
			}
			a := &r.Alert
			r.Incident, r.Seq, r.Transition, r.Reason, r.At = a.Incident, a.Seq, a.Transition, a.Reason, a.Window.End
			if a.Transition == schemas.TransitionFiring {
				r.At = a.Detected
			}
			if sent != 0 {
				r.Sent = moment(sent)
			}
			out = append(out, r)
			return nil
		})
	return out, err
}

// RetrainRow is a retrain request with what became of it.
type RetrainRow struct {
	schemas.RetrainRequest
	State     schemas.RetrainState `json:"state"`
	ClaimedAt time.Time            `json:"claimed_at,omitzero"` // wall clock
	ClaimedBy string               `json:"claimed_by,omitempty"`
	Finished  time.Time            `json:"finished_at,omitzero"` // wall clock
	Outcome   json.RawMessage      `json:"outcome,omitempty"`    // the job's last word
}

// RetrainRequests returns the requests of a model, or of all where model is
// "", the latest first, at most limit.
func (v Views) RetrainRequests(ctx context.Context, model string, limit int) ([]RetrainRow, error) {
	var w filter
	if model != "" {
		w.where("model = {model:String}", "model", model)
	}
	var out []RetrainRow
	err := v.s.read(ctx, "reading retrain requests", `SELECT body, state, toUnixTimestamp64Milli(ifNull(claimed_at, toDateTime64(0, 3))), claimed_by,
			toUnixTimestamp64Milli(ifNull(finished_at, toDateTime64(0, 3))), outcome
		FROM retrain_requests WHERE `+w.String()+` ORDER BY requested_at DESC, request`+w.limit(limit), w.values,
		func() { out = nil },
		func(row driver.Rows) error {
			var r RetrainRow
			var body, outcome []byte
			var state string
			var claimed, finished int64
			if err := row.Scan(&body, &state, &claimed, &r.ClaimedBy, &finished, &outcome); err != nil {
				return err
			}
			if err := json.Unmarshal(body, &r.RetrainRequest); err != nil {
				return fmt.Errorf("reading a retrain request: %w", err)
			}
			r.State, r.Outcome = schemas.RetrainState(state), clone(outcome)
			if claimed != 0 {
				r.ClaimedAt = moment(claimed)
			}
			if finished != 0 {
				r.Finished = moment(finished)
			}
			out = append(out, r)
			return nil
		})
	return out, err
}
