package store

import (
	"context"
	"slices"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/schemas"
)

// Views reads what the pages, the API and the commands show. Times that
// nothing is known of are zero, numbers that nothing was measured of nil or 0.
type Views struct{ s *Store }

// Views returns the reads of the pages.
func (s *Store) Views() Views { return Views{s} }

// Windows returns rows of the view windows.
func (v Views) Windows(ctx context.Context, f schemas.WindowFilter) ([]schemas.WindowRow, error) {
	var w filter
	w.where("model = {model:String}", "model", f.Model)
	w.stream(f.Role, f.Features, f.Slice, f.AnySlice, f.Version)
	w.between("window_start", f.From, f.To)
	order := "window_start"
	if f.From.IsZero() {
		order += " DESC"
	}
	rows, err := v.s.windowRows(ctx, &w, f.Histograms, order+", version, role, feature, slice"+w.limit(f.Limit))
	slices.SortStableFunc(rows, func(a, b schemas.WindowRow) int { return a.Start.Compare(b.Start) })
	return rows, err
}

func (s *Store) windowRows(ctx context.Context, w *filter, histograms bool, order string) ([]schemas.WindowRow, error) {
	fields := `model, version, window_start, window_end, role, feature, slice, rows, present, absent, nulls, nans, infs, bad, unseen,
		min, max, mean, sd, ifNull(distinct, 0), late, revision, closed`
	if histograms {
		fields += ", edges, bins, top"
	}
	var out []schemas.WindowRow
	err := s.read(ctx, "reading windows to show", "SELECT "+fields+" FROM window_rows WHERE "+w.String()+" ORDER BY "+order, w.values,
		func() { out = nil },
		func(row driver.Rows) error {
			var r schemas.WindowRow
			var start, end int64
			var role, closed uint8
			to := []any{
				&r.Model, &r.Version, &start, &end, &role, &r.Feature, &r.Slice, &r.Rows, &r.Present, &r.Absent, &r.Nulls, &r.NaNs, &r.Infs, &r.Bad, &r.Unseen,
				&r.Min, &r.Max, &r.Mean, &r.SD, &r.Distinct, &r.Late, &r.Revision, &closed,
			}
			if histograms {
				to = append(to, &r.Edges, &r.Bins, &r.Top)
			}
			if err := row.Scan(to...); err != nil {
				return err
			}
			r.Start, r.End, r.Role, r.Closed = moment(start), moment(end), schemas.Role(role).String(), closed != 0
			out = append(out, r)
			return nil
		})
	return out, err
}

// Verdicts returns the last judgement of each channel of each stream.
func (v Views) Verdicts(ctx context.Context, f schemas.VerdictFilter) ([]schemas.Verdict, error) {
	var w filter
	w.where("model = {model:String}", "model", f.Model)
	w.stream(f.Role, f.Features, f.Slice, f.AnySlice, f.Version)
	if f.Channel != "" {
		w.where("channel = {channel:String}", "channel", f.Channel)
	}
	w.between("window_start", f.From, f.To)
	found, err := v.s.verdicts(ctx, &w, "window_start DESC, version, role, feature, slice, channel"+w.limit(f.Limit))
	out := make([]schemas.Verdict, len(found))
	for i := range found {
		out[i] = found[i].Verdict
	}
	slices.SortStableFunc(out, func(a, b schemas.Verdict) int { return int(min(max(a.Start-b.Start, -1), 1)) })
	return out, err
}

type modelVerdict struct {
	model string
	schemas.Verdict
}

// verdicts reads verdicts without the figures that JSON cannot say.
func (s *Store) verdicts(ctx context.Context, w *filter, order string) ([]modelVerdict, error) {
	var out []modelVerdict
	err := s.read(ctx, "reading verdicts", `SELECT model, version, role, feature, slice, window_start, channel,
			last.1, last.2, last.3, last.4, last.5, last.6, last.7, last.8, last.9 FROM (
			SELECT model, version, role, feature, slice, window_start, channel, argMax((verdict,
				if(isFinite(effect), effect, 0), if(isFinite(low), low, 0), if(isFinite(expected), expected, 0), if(isFinite(high), high, 0),
				if(isFinite(p), p, 1), n, revision, reason), (step, ordinal)) AS last
			FROM journal WHERE kind = 'verdict' AND `+w.String()+`
			GROUP BY model, version, role, feature, slice, window_start, channel)
		ORDER BY `+order, w.values,
		func() { out = nil },
		func(row driver.Rows) error {
			var m modelVerdict
			var role uint8
			var state string
			v := &m.Verdict
			err := row.Scan(&m.model, &v.Version, &role, &v.Feature, &v.Slice, &v.Start, &v.Channel,
				&state, &v.Effect, &v.Low, &v.Expected, &v.High, &v.P, &v.N, &v.Revision, &v.Reason)
			v.Role, v.State = schemas.Role(role), schemas.State(state)
			out = append(out, m)
			return err
		})
	return out, err
}

// Violations returns sampled bad rows.
func (v Views) Violations(ctx context.Context, f schemas.ViolationFilter) ([]schemas.ViolationRow, error) {
	var w, when filter
	w.where("model = {model:String}", "model", f.Model)
	if f.Fault != "" {
		w.where("fault = {fault:String}", "fault", string(f.Fault))
	}
	if len(f.Features) > 0 {
		w.where("feature IN {features:Array(String)}", "features", f.Features)
	}
	when.values = w.values
	when.between("time", f.From, f.To)
	var out []schemas.ViolationRow
	err := v.s.read(ctx, "reading bad rows", `SELECT model, version, fault, feature, value, reason, time, topic, partition, offset FROM (
			SELECT * FROM violation_samples FINAL WHERE `+w.String()+`
			ORDER BY model, fault, feature, topic, topic_id, truncation, partition, chunk_start, rank, offset
			LIMIT 8 BY model, fault, feature, topic, topic_id, truncation, partition, chunk_start)
		WHERE `+when.String()+` ORDER BY time, topic, partition, offset, fault, feature`+when.limit(f.Limit), when.values,
		func() { out = nil },
		func(row driver.Rows) error {
			var r schemas.ViolationRow
			var fault string
			var at int64
			err := row.Scan(&r.Model, &r.Version, &fault, &r.Feature, &r.Value, &r.Reason, &at, &r.Topic, &r.Partition, &r.Offset)
			r.Fault, r.Time = schemas.Fault(fault), moment(at)
			out = append(out, r)
			return err
		})
	return out, err
}

// Progress returns the rows of the view progress, by topic and partition.
func (v Views) Progress(ctx context.Context) ([]schemas.ProgressRow, error) {
	var out []schemas.ProgressRow
	err := v.s.read(ctx, "reading progress to show", `SELECT topic, epoch, partition, offset, high_watermark,
			if(watermark IS NULL, NULL, toUnixTimestamp64Milli(watermark)), rows, rejected, late, toUnixTimestamp64Milli(at)
		FROM progress ORDER BY topic, partition`, nil,
		func() { out = nil },
		func(row driver.Rows) error {
			var r schemas.ProgressRow
			var watermark *int64
			var at int64
			err := row.Scan(&r.Topic, &r.Epoch, &r.Partition, &r.Offset, &r.HighWatermark, &watermark, &r.Rows, &r.Rejected, &r.Late, &at)
			if watermark != nil {
				r.Watermark = moment(*watermark)
			}
			r.At = moment(at)
			out = append(out, r)
			return err
		})
	return out, err
}
