package store

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/modelwatch/modelwatch/schemas"
)

// How far back from a model's last event the overview goes: the longer of
// two days and two weeks of daily windows' worth of its own windows.
const (
	shownTime    = 48 * time.Hour
	shownWindows = 14
)

// overview gathers what Models returns.
type overview struct {
	models  []schemas.ModelOverview // by name
	index   map[string]int
	lengths map[string]int64 // of windows, milliseconds, by model
}

// at returns a model's place, nil for one that is not listed.
func (o *overview) at(model string) *schemas.ModelOverview {
	if i, ok := o.index[model]; ok {
		return &o.models[i]
	}
	return nil
}

// recent narrows a query to the listed models and what is shown of them.
func (o *overview) recent(w *filter) {
	models, from := make([]string, len(o.models)), make([]int64, len(o.models))
	least := int64(math.MaxInt64)
	for i := range o.models {
		m := &o.models[i]
		models[i] = m.Model
		from[i] = math.MaxInt64
		if !m.LastEvent.IsZero() {
			from[i] = m.LastEvent.UnixMilli() - max(shownTime.Milliseconds(), shownWindows*o.lengths[m.Model])
		}
		least = min(least, from[i])
	}
	w.where("model IN {models:Array(String)}", "models", models)
	w.where("window_start >= {least:Int64}", "least", least) // this one can skip marks
	w.where("window_start >= transform(model, {models:Array(String)}, {froms:Array(Int64)}, toInt64(9223372036854775807))", "froms", from)
}

// Models returns every model of which a row is stored, by name.
func (v Views) Models(ctx context.Context) ([]schemas.ModelOverview, error) {
	lengths, err := v.s.windowLengths(ctx)
	if err != nil {
		return nil, err
	}
	o := &overview{lengths: lengths}
	for _, read := range []func(context.Context, *overview) error{
		v.s.overviewModels, v.s.overviewRows, v.s.overviewJudged, v.s.overviewVolume, v.s.overviewFiring,
	} {
		if err := read(ctx, o); err != nil {
			return nil, err
		}
		if len(o.models) == 0 {
			return nil, nil
		}
	}
	return o.models, nil
}

func (s *Store) overviewModels(ctx context.Context, o *overview) error {
	return s.read(ctx, "listing models", `SELECT m, max(t) FROM (
			SELECT mark.1 AS m, mark.2 AS t FROM progress_heads FINAL ARRAY JOIN arrayZip(mark_models, mark_maxima) AS mark
			UNION ALL SELECT DISTINCT model, toInt64(-9223372036854775808) FROM journal WHERE kind = 'step')
		GROUP BY m ORDER BY m`, nil,
		func() { o.models, o.index = nil, make(map[string]int) },
		func(row driver.Rows) error {
			var m schemas.ModelOverview
			var last int64
			err := row.Scan(&m.Model, &last)
			if last != math.MinInt64 {
				m.LastEvent = moment(last)
			}
			o.index[m.Model] = len(o.models)
			o.models = append(o.models, m)
			return err
		})
}

// overviewRows fills in versions and rows per window.
func (s *Store) overviewRows(ctx context.Context, o *overview) error {
	var w filter
	o.recent(&w)
	w.where("role = {role:UInt8} AND slice = ''", "role", uint8(schemas.RoleRows))
	w.where("feature IN {features:Array(String)}", "features", []string{schemas.PartFeatures.String(), schemas.PartPrediction.String()})
	rows, err := s.windowRows(ctx, &w, false, "model, window_start, version, feature")
	if err != nil {
		return err
	}
	for i := range o.models {
		m := &o.models[i]
		var own []schemas.WindowRow
		for _, feature := range []schemas.Part{schemas.PartFeatures, schemas.PartPrediction} {
			for _, r := range rows {
				if r.Model == m.Model && r.Feature == feature.String() {
					own = append(own, r)
				}
			}
			if len(own) > 0 {
				break
			}
		}
		m.Versions, m.Rows = versions(own), allVersions(own)
	}
	return nil
}

// versions sums rows by version, the latest event first.
func versions(rows []schemas.WindowRow) []schemas.VersionSeen {
	out := []schemas.VersionSeen{}
	for _, r := range rows {
		i := slices.IndexFunc(out, func(v schemas.VersionSeen) bool { return v.Version == r.Version })
		if i < 0 {
			i = len(out)
			out = append(out, schemas.VersionSeen{Version: r.Version})
		}
		out[i].Rows += r.Rows
		if r.Rows > 0 && r.End.After(out[i].Last) {
			out[i].Last = r.End
		}
	}
	slices.SortStableFunc(out, func(a, b schemas.VersionSeen) int { return b.Last.Compare(a.Last) })
	return out
}

// allVersions adds up the rows of each window, which are sorted by start.
func allVersions(rows []schemas.WindowRow) []schemas.WindowRow {
	out := []schemas.WindowRow{}
	for _, r := range rows {
		r.Version = ""
		if n := len(out); n > 0 && out[n-1].Start.Equal(r.Start) {
			last := &out[n-1]
			last.Rows += r.Rows
			last.Late += r.Late
			last.Bad += r.Bad
			last.Revision += r.Revision
			last.Closed = last.Closed && r.Closed
			continue
		}
		out = append(out, r)
	}
	return out
}

// overviewJudged fills in the last window with a verdict and what it was.
func (s *Store) overviewJudged(ctx context.Context, o *overview) error {
	starts := make(map[string]int64)
	find := func(w *filter) error {
		return s.read(ctx, "reading which window was judged last", `SELECT model, max(window_start) FROM journal
			WHERE kind = 'verdict' AND `+w.String()+` GROUP BY model`, w.values, func() {},
			func(row driver.Rows) error {
				var model string
				var start int64
				err := row.Scan(&model, &start)
				starts[model] = start
				return err
			})
	}
	var recent filter
	o.recent(&recent)
	if err := find(&recent); err != nil {
		return err
	}
	var late []string // judged long before their last event, or never
	for i := range o.models {
		if _, ok := starts[o.models[i].Model]; !ok {
			late = append(late, o.models[i].Model)
		}
	}
	if len(late) > 0 {
		var w filter
		w.where("model IN {models:Array(String)}", "models", late)
		if err := find(&w); err != nil {
			return err
		}
	}
	return s.overviewVerdicts(ctx, o, starts)
}

func (s *Store) overviewVerdicts(ctx context.Context, o *overview, starts map[string]int64) error {
	if len(starts) == 0 {
		return nil
	}
	var models []string
	var at []int64
	least, most := int64(math.MaxInt64), int64(math.MinInt64)
	for model, start := range starts {
		models, at = append(models, model), append(at, start)
		least, most = min(least, start), max(most, start)
		m := o.at(model)
		m.Judged = schemas.Interval{Start: moment(start), End: moment(start + o.lengths[model])}
	}
	var w filter
	w.where("window_start >= {least:Int64}", "least", least)
	w.where("window_start <= {most:Int64}", "most", most)
	w.where("model IN {models:Array(String)}", "models", models)
	w.where("window_start = transform(model, {models:Array(String)}, {starts:Array(Int64)}, toInt64(-9223372036854775808))", "starts", at)
	found, err := s.verdicts(ctx, &w, "model, version, role, feature, slice, channel")
	if err != nil {
		return err
	}
	for i := range found {
		count(o.at(found[i].model), &found[i].Verdict)
	}
	for i := range o.models {
		slices.SortStableFunc(o.models[i].Unknown, func(a, b schemas.UnknownReason) int {
			if a.Count != b.Count {
				return int(min(max(int64(b.Count)-int64(a.Count), -1), 1))
			}
			return strings.Compare(a.Reason, b.Reason)
		})
	}
	return nil
}

// count adds one verdict of the last window to a model.
func count(m *schemas.ModelOverview, v *schemas.Verdict) {
	switch v.State {
	case schemas.StateOK:
		m.States.OK++
	case schemas.StateWarn:
		m.States.Warn++
	case schemas.StateError:
		m.States.Error++
	default:
		m.States.Unknown++
		i := slices.IndexFunc(m.Unknown, func(u schemas.UnknownReason) bool { return u.Reason == v.Reason })
		if i < 0 {
			i = len(m.Unknown)
			m.Unknown = append(m.Unknown, schemas.UnknownReason{Reason: v.Reason})
		}
		m.Unknown[i].Count++
		return
	}
	if v.State != schemas.StateOK && (m.Worst == nil || math.Abs(v.Effect) > math.Abs(m.Worst.Effect)) {
		worst := *v
		m.Worst = &worst
	}
}

// windowLengths returns the window length of each model's last spec in milliseconds.
func (s *Store) windowLengths(ctx context.Context) (map[string]int64, error) {
	out := make(map[string]int64)
	err := s.read(ctx, "reading lengths of windows", "SELECT model, argMax(window_ms, seq) FROM specs GROUP BY model", nil,
		func() { clear(out) },
		func(row driver.Rows) error {
			var model string
			var length int64
			err := row.Scan(&model, &length)
			out[model] = length
			return err
		})
	return out, err
}

// overviewVolume fills in the verdicts of the volume channel.
func (s *Store) overviewVolume(ctx context.Context, o *overview) error {
	var w filter
	o.recent(&w)
	w.where("channel = {channel:String} AND slice = ''", "channel", "volume")
	found, err := s.verdicts(ctx, &w, "model, window_start, version, role, feature")
	if err != nil {
		return err
	}
	for i := range found {
		m := o.at(found[i].model)
		m.Volume = append(m.Volume, found[i].Verdict)
	}
	return nil
}

// overviewFiring fills in the numbers of open incidents.
func (s *Store) overviewFiring(ctx context.Context, o *overview) error {
	return s.read(ctx, "counting open incidents", "SELECT model, count() FROM incidents WHERE state = 'firing' GROUP BY model", nil,
		func() {},
		func(row driver.Rows) error {
			var model string
			var n uint64
			err := row.Scan(&model, &n)
			if m := o.at(model); m != nil {
				m.Firing = int(n)
			}
			return err
		})
}
