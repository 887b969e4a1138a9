package backtest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/internal/evaluate"
	"github.com/modelwatch/modelwatch/internal/profile"
	"github.com/modelwatch/modelwatch/schemas"
)

// FileOptions say how a file is judged.
type FileOptions struct {
	Options
	Source profile.Source
	// Baseline of the monitor; nil to learn one from the beginning of the file.
	Baseline *schemas.Baseline
	// Profile says how a baseline is learnt, and names the columns of a flat
	// file. Model, Slices, Window and what the monitor says of types are set
	// from the monitor.
	Profile profile.Options
	// Reference is how much of the beginning becomes the baseline.
	Reference time.Duration
}

// File tells what the service would have said of the rows of a file.
func File(ctx context.Context, o FileOptions) (*Report, error) {
	m := o.Monitor
	rows, err := profile.Order(ctx, o.Source, m.Model, o.Profile.Time, time.Duration(m.Lateness), func(n int64) { o.tell("looking at the times of %d rows", n) })
	if err != nil {
		return nil, err
	}
	r := o.report(rows.Name())
	baseline := o.Baseline
	from := o.firstBorder(rows.From)
	if baseline == nil {
		if baseline, from, err = o.learn(ctx, rows, r); err != nil {
			return nil, err
		}
	}
	from, to := o.bounds(from, math.MaxInt64)
	from = ceil(from, time.Duration(m.Window))
	if from > rows.To {
		return nil, fmt.Errorf("judging %s: it ends at %s, before the first window that could be judged, which is at %s; take more data, or a shorter --reference", rows.Name(), moment(rows.To), moment(from))
	}
	spec, _, err := schemas.BuildSpec(m, baseline)
	if err != nil {
		return nil, fmt.Errorf("judging %s: %w", rows.Name(), err)
	}
	record := schemas.SpecRecord{Seq: 1, EffectiveFrom: math.MinInt64, Hash: spec.Hash(), Spec: *spec}
	r.Spec, r.Baseline = record.Hash, baseline.Hash
	feed := &profile.Feed{
		Source: rows, Spec: &record, ID: o.Profile.ID,
		Prediction: o.Profile.Prediction, Score: o.Profile.Score, Label: o.Profile.Label, Latency: o.Profile.Latency,
		Hide: func(feature string) bool { return m.Features[feature].Sensitive },
	}
	var fed *profile.Fed
	known := func(hash string) *schemas.Baseline {
		if hash == baseline.Hash {
			return baseline
		}
		return nil
	}
	err = judge(ctx, &o.Options, []schemas.SpecRecord{record}, known, rows.Name(), func(ctx context.Context, each func(*profile.Stretch) error) (err error) {
		fed, err = feed.Run(ctx, from, to, func(s *profile.Stretch) error {
			o.tell("judged %d of %d rows", s.Rows, rows.Count)
			return each(s)
		})
		return err
	}, r)
	if err != nil {
		return nil, fmt.Errorf("judging %s: %w", rows.Name(), err)
	}
	o.notes(rows, fed, r)
	return r, nil
}

// learn makes the beginning of the file the baseline, and returns where the
// rest begins.
func (o *FileOptions) learn(ctx context.Context, rows *profile.Ordered, r *Report) (*schemas.Baseline, int64, error) {
	m := o.Monitor
	window := time.Duration(m.Window)
	if o.Reference < 3*window {
		return nil, 0, fmt.Errorf("learning from %s: a reference of %s holds no three windows of %s", rows.Name(), o.Reference, m.Window)
	}
	cut := ceil(rows.From+o.Reference.Milliseconds(), window)
	if rows.To < cut+window.Milliseconds() {
		return nil, 0, fmt.Errorf("learning from %s: it holds %s, from %s to %s, and the first %s are to be learnt from, which leaves nothing to judge; give more data, a shorter --reference, or a monitor with a baseline", rows.Name(), days(rows.To-rows.From), moment(rows.From), moment(rows.To), days(o.Reference.Milliseconds()))
	}
	p := o.Profile
	p.Model, p.Positive, p.Window, p.Time = m.Model, m.Positive, window, "-"
	if t := rows.TimeColumn(); t != "" {
		p.Skip = append(p.Skip, t)
	}
	p.Slices = nil
	for _, s := range m.Slices {
		p.Slices = append(p.Slices, s)
	}
	for name, f := range m.Features {
		switch f.Type {
		case schemas.TypeNumber:
			p.Numbers = append(p.Numbers, name)
		case schemas.TypeCategory:
			p.Categories = append(p.Categories, name)
		}
	}
	columns := map[string]bool{}
	for _, c := range rows.Columns() {
		columns[c.Name] = true
	}
	p.Calendar = evaluate.ModelOf(m, nil).Calendar
	p.Numbers, p.Categories = only(p.Numbers, columns), only(p.Categories, columns)
	p.Progress = func(reading int, n int64) { o.tell("learning, reading %d of 3: %d rows", reading, n) }
	made, err := profile.Profile(ctx, rows.Between(math.MinInt64, cut), p)
	if err != nil {
		return nil, 0, err
	}
	r.Reference = &schemas.Interval{Start: time.UnixMilli(rows.From).UTC(), End: time.UnixMilli(cut).UTC()}
	for _, w := range made.Report.Warnings {
		r.Notes = append(r.Notes, "learning: "+w)
	}
	r.learnt(made.Report.Learnt)
	return made.Baseline, cut, nil
}

// learnt says what of the reference was not taken as healthy.
func (r *Report) learnt(l *profile.Learnt) {
	if l == nil {
		return
	}
	const most = 5
	for i, c := range l.Cuts {
		if i == most {
			r.Notes = append(r.Notes, fmt.Sprintf("learning: %d more stretches of the reference stand out", len(l.Cuts)-most))
			break
		}
		r.Notes = append(r.Notes, "learning: "+c.Sentence())
	}
	if l.Level != nil {
		r.Notes = append(r.Notes, "learning: "+l.Level.Question())
	}
}

// only keeps the names that are columns, sorted: a monitor may know more than
// a file has.
func only(names []string, columns map[string]bool) []string {
	var out []string
	for _, n := range names {
		if columns[n] {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// firstBorder is where the first window begins that the data do not cut.
func (o *FileOptions) firstBorder(first int64) int64 {
	return ceil(first, time.Duration(o.Monitor.Window))
}

// ceil returns the first border of windows that is not before t.
func ceil(t int64, window time.Duration) int64 {
	s := schemas.Spec{Window: window}
	if start := s.WindowStart(t); start < t {
		return start + window.Milliseconds()
	}
	return t
}

// notes says what of the file was not judged.
func (o *FileOptions) notes(rows *profile.Ordered, fed *profile.Fed, r *Report) {
	note := func(format string, values ...any) { r.Notes = append(r.Notes, fmt.Sprintf(format, values...)) }
	r.Rows = fed.Rows
	if rows.Malformed > 0 {
		note("%d rows cannot be used and were left out; row %d: %s", rows.Malformed, rows.Examples[0].Row, rows.Examples[0].Reason)
	}
	if rows.Sorted {
		note("the rows do not stand in the order of their time, so they were sorted; the service would have taken them as they came")
	}
	if len(fed.Unused) > 0 {
		note("columns that the monitor does not know were left out: %s", names(fed.Unused))
	}
	if len(fed.Missing) > 0 {
		note("features of the monitor that the file does not have: %s", names(fed.Missing))
	}
	if end := time.UnixMilli(rows.To).UTC(); r.To.Before(end) && (o.To.IsZero() || o.To.After(r.To)) {
		note("the window from %s is cut short by the end of the data and was not judged", moment(r.To.UnixMilli()))
	}
	if o.Baseline == nil {
		note("the baseline is the first %s of the same file: what is wrong all through it is taken as healthy", days(o.Reference.Milliseconds()))
	}
}

// names lists a few names.
func names(all []string) string {
	const most = 8
	out := ""
	for i, n := range all {
		if i == most {
			return fmt.Sprintf("%s and %d more", out, len(all)-most)
		}
		if i > 0 {
			out += ", "
		}
		out += n
	}
	return out
}

func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05Z") }

// days writes a length of time in days, hours or seconds.
func days(ms int64) string {
	d := schemas.Duration(time.Duration(ms) * time.Millisecond)
	switch t := time.Duration(d); {
	case t >= 48*time.Hour:
		return fmt.Sprintf("%.4g days", t.Hours()/24)
	case t >= time.Hour:
		return fmt.Sprintf("%.4g hours", t.Hours())
	}
	return d.String()
}
