package store

import (
	"context"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/schemas"
)

// Mark keeps what somebody has said of an incident. Its At is set by the server.
func (s *Store) Mark(ctx context.Context, m schemas.IncidentMark) error {
	row := columns{
		{"incident", &list[string]{m.Incident}},
		{"model", &list[string]{m.Model}},
		{"verdict", &list[string]{string(m.Verdict)}},
		{"by", &list[string]{m.By}},
		{"note", &list[string]{m.Note}},
	}
	return s.briefly(ctx, "storing a mark", func(ctx context.Context) error { return s.insert(ctx, "incident_marks", row) })
}

// Marks returns the last mark of each incident of a model, by time and incident.
func (v Views) Marks(ctx context.Context, model string) ([]schemas.IncidentMark, error) {
	var out []schemas.IncidentMark
	err := v.s.read(ctx, "reading marks", `SELECT incident, argMax(verdict, at), argMax(by, at), argMax(note, at), toUnixTimestamp64Milli(max(at)) AS time
		FROM incident_marks WHERE model = {model:String} GROUP BY incident ORDER BY time, incident`, bound{"model": model},
		func() { out = nil },
		func(row driver.Rows) error {
			m := schemas.IncidentMark{Model: model}
			var verdict string
			var at int64
			if err := row.Scan(&m.Incident, &verdict, &m.By, &m.Note, &at); err != nil {
				return err
			}
			m.Verdict, m.At = schemas.MarkVerdict(verdict), time.UnixMilli(at).UTC()
			out = append(out, m)
			return nil
		})
	return out, err
}

// SaveReference keeps what was learnt from windows of a model, by its content
// hash; saving it again changes nothing.
func (s *Store) SaveReference(ctx context.Context, model, hash string, body []byte) error {
	return s.briefly(ctx, "storing what was learnt", func(ctx context.Context) error {
		return s.insert(ctx, "references_learnt", columns{
			{"model", &list[string]{model}}, {"hash", &list[string]{hash}}, {"body", &list[string]{string(body)}},
		})
	})
}

// Reference returns what was learnt, by its hash; nil when there is none.
func (s *Store) Reference(ctx context.Context, model, hash string) ([]byte, error) {
	var out []byte
	err := s.read(ctx, "reading what was learnt", "SELECT body FROM references_learnt WHERE model = {model:String} AND hash = {hash:String} LIMIT 1",
		bound{"model": model, "hash": hash},
		func() { out = nil },
		func(row driver.Rows) error {
			var body []byte
			err := row.Scan(&body)
			out = clone(body)
			return err
		})
	return out, err
}

// Fits replaces what is expected of the streams of a model; fit names the
// reference and the plan that it comes from.
func (s *Store) Fits(ctx context.Context, model, fit string, rows []schemas.StreamRow) error {
	var models, fits, features, slices, channels, states list[string]
	var roles list[uint8]
	var noise, phi, smallest, detect, honesty list[float64]
	for _, r := range rows {
		models.add(model)
		fits.add(fit)
		roles.add(uint8(r.Role))
		features.add(r.Feature)
		slices.add(r.Slice)
		channels.add(r.Channel)
		noise.add(r.Noise)
		phi.add(r.Phi)
		smallest.add(r.SmallestAlarm)
		detect.add(r.TimeToDetect)
		honesty.add(r.HonestyP)
		states.add(r.State)
	}
	return s.briefly(ctx, "storing what is expected of streams", func(ctx context.Context) error {
		return s.insert(ctx, "stream_fits", columns{
			{"model", &models},
			{"fit", &fits},
			{"role", &roles},
			{"feature", &features},
			{"slice", &slices},
			{"channel", &channels},
			{"noise", &noise},
			{"phi", &phi},
			{"smallest_alarm", &smallest},
			{"time_to_detect", &detect},
			{"honesty_p", &honesty},
			{"state", &states},
		})
	})
}

// Budget returns stated and realised alerts of a model, "" for all, the
// latest period first.
func (v Views) Budget(ctx context.Context, model string, limit int) ([]schemas.BudgetRow, error) {
	var f filter
	if model != "" {
		f.where("model = {model:String}", "model", model)
	}
	text := f.String()
	tail := f.limit(limit)
	var out []schemas.BudgetRow
	err := v.s.read(ctx, "reading the budget", `SELECT model, severity, toUnixTimestamp64Milli(period_start), stated, factor, sent, marked_true, marked_false, unmarked
		FROM budget WHERE `+text+` ORDER BY period_start DESC, model, severity`+tail, f.values,
		func() { out = nil },
		func(row driver.Rows) error {
			var r schemas.BudgetRow
			var severity string
			var at int64
			if err := row.Scan(&r.Model, &severity, &at, &r.Stated, &r.Factor, &r.Sent, &r.MarkedTrue, &r.MarkedFalse, &r.Unmarked); err != nil {
				return err
			}
			r.Severity, r.PeriodStart = schemas.Severity(severity), time.UnixMilli(at).UTC()
			out = append(out, r)
			return nil
		})
	return out, err
}
