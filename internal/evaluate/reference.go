package evaluate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/schemas"
)

// planKey is what a plan depends on, beside the monitor in force.
type planKey struct {
	reference *budget.Reference
	spec      uint64
	window    time.Duration
}

// lesson is what a part has learnt from its own windows.
type lesson struct {
	Baseline string `json:"baseline"`       // that the windows were measured by
	Hash     string `json:"hash,omitempty"` // of what was learnt last; "" for nothing yet
	Next     int64  `json:"next"`           // event time from which on it learns again
}

const (
	learnEvery = 7 * 24 * time.Hour
	learnFrom  = 28 * 24 * time.Hour
	// learnWindows and learnStreams bound what is read to learn from: windows,
	// and windows times streams.
	learnWindows = 45_000
	learnStreams = 20_000_000
)

// reference returns what healthy behaviour of the window's part is known by:
// what was learnt last, else the baseline; nil where there is none.
func (d *decision) reference(ctx context.Context, w *detectors.Window) (*budget.Reference, error) {
	m := d.m
	if w.Baseline == nil {
		return nil, nil
	}
	base, ok := m.references[w.Baseline.Hash]
	if !ok {
		base = budget.NewReference(w.Baseline)
		m.remember(w.Baseline.Hash, base)
	}
	l, ok := d.state.Lessons[w.Part.String()]
	if !ok || l.Hash == "" || l.Baseline != w.Baseline.Hash {
		return base, nil
	}
	if r, ok := m.references[l.Hash]; ok {
		return r, nil
	}
	if m.e.deps.Learnt == nil {
		return nil, fmt.Errorf("reading what was learnt: %s is gone", l.Hash)
	}
	body, err := m.e.deps.Learnt.Reference(ctx, m.Name, l.Hash)
	if err != nil {
		return nil, err
	}
	if body == nil {
		return nil, fmt.Errorf("reading what was learnt: %s is not in the store", l.Hash)
	}
	fitted, err := budget.ReadFitted(body, w.Baseline)
	if err != nil {
		return nil, err
	}
	r := fitted.Over(base)
	m.remember(l.Hash, r)
	return r, nil
}

// keptReferences bounds what is kept at hand: the present one of each part,
// and of the spec before.
const keptReferences = 8

func (m *model) remember(hash string, r *budget.Reference) {
	if m.references == nil || len(m.references) >= keptReferences {
		m.references, m.plans = map[string]*budget.Reference{}, nil
	}
	m.references[hash] = r
}

// plan returns how the budget is shared out in windows like this one.
func (m *model) plan(w *detectors.Window, ref *budget.Reference) *budget.Plan {
	if ref == nil {
		return nil
	}
	key := planKey{ref, w.Spec.Seq, w.Spec.Spec.Window}
	p, ok := m.plans[key]
	if !ok {
		p = budget.NewPlan(m.Budget, key.window, &w.Spec.Spec, ref, m.importance, m.e.cfg.Statistics)
		if m.plans == nil {
			m.plans = map[planKey]*budget.Plan{}
		}
		m.plans[key] = p
	}
	return p
}

func (m *model) importance(feature string) float64 {
	if x, ok := m.Importance[feature]; ok {
		return x
	}
	return 1
}

// learn learns from the part's own windows, once a week of event time: a
// reference shorter than four weeks is replaced by a longer one of them; one
// that is long enough keeps its levels, and its noise grows by little.
func (d *decision) learn(ctx context.Context, r *ref, w *detectors.Window) error {
	if w.Baseline == nil {
		return nil
	}
	part := r.part.String()
	l, ok := d.state.Lessons[part]
	if !ok || l.Baseline != w.Baseline.Hash {
		l = lesson{Baseline: w.Baseline.Hash, Next: r.end + learnEvery.Milliseconds()}
	}
	defer func() { d.state.Lessons[part] = l }()
	if r.end < l.Next {
		return nil
	}
	l.Next = r.end + learnEvery.Milliseconds()
	before, err := d.reference(ctx, w)
	if err != nil {
		return err
	}
	full := before.DaysOf(r.part) >= d.m.e.cfg.Statistics.FullDays
	fewest := learnEvery
	if full {
		fewest = time.Duration(d.m.e.cfg.Statistics.FullDays * 24 * float64(time.Hour))
	}
	history, err := d.history(ctx, r, w, fewest)
	if err != nil || history == nil {
		return err
	}
	fit := history.Fit
	if full {
		fit = func() (*budget.Fitted, error) { return history.Refit(before) }
	}
	fitted, err := fit()
	if err != nil {
		return fmt.Errorf("learning from the %s windows up to %s: %w", part, time.UnixMilli(r.end).UTC().Format(time.RFC3339), err)
	}
	after := fitted.Over(before)
	if !full && after.DaysOf(r.part) <= before.DaysOf(r.part) {
		return nil
	}
	body, err := json.Marshal(fitted)
	if err != nil {
		return fmt.Errorf("writing what was learnt: %w", err)
	}
	sum := sha256.Sum256(body)
	l.Hash = "sha256:" + hex.EncodeToString(sum[:])
	if d.m.e.deps.Learnt != nil {
		if err := d.m.e.deps.Learnt.SaveReference(ctx, d.m.Name, l.Hash, body); err != nil {
			return err
		}
	}
	d.m.remember(l.Hash, after)
	d.m.e.deps.Log.Info().Str("model", d.m.Name).Str("part", part).Int("windows", fitted.Windows).Int("streams", len(fitted.Streams)).
		Int("cut", len(fitted.Cuts)).Msg("learnt healthy behaviour again")
	return nil
}

// history reads the last four weeks of judged windows of the spec; nil where
// there are fewer than so much time's worth, or more than can be read.
func (d *decision) history(ctx context.Context, r *ref, w *detectors.Window, fewest time.Duration) (*budget.History, error) {
	length := r.spec.Spec.Window
	windows := int64(learnFrom / length)
	windows = min(windows, learnWindows, int64(learnStreams/max(1, len(w.Entries))))
	from := max(r.end-windows*length.Milliseconds(), r.spec.EffectiveFrom)
	if windows*int64(length) < int64(fewest) || r.end-from < fewest.Milliseconds() {
		return nil, nil
	}
	starts, err := d.m.e.deps.Windows.Judged(ctx, d.m.Name, r.spec.Seq, r.part, from, r.end)
	if err != nil {
		return nil, fmt.Errorf("looking for windows to learn from: %w", err)
	}
	fresh := d.fresh(r, from) // those of this step are kept after it
	starts = slices.DeleteFunc(starts, func(start int64) bool { _, ok := fresh[start]; return ok })
	if int64(len(starts)+len(fresh))*int64(length) < int64(fewest)*9/10 {
		return nil, nil // too many have no rows
	}
	h := budget.NewHistory(w.Baseline, length, d.m.e.cfg.Statistics)
	h.Calendar = d.m.Calendar
	add := func(start int64, entries []detectors.Entry) error {
		return h.Add(&detectors.Window{
			Model: d.m.Name, Part: r.part, Spec: r.spec, Baseline: w.Baseline, Start: start, End: start + length.Milliseconds(),
			Coverage: 1, Entries: entries,
		})
	}
	for len(starts) > 0 {
		n := min(len(starts), max(1, 100_000/max(1, len(w.Entries))), 500)
		read, err := d.m.e.deps.Windows.ReadJudged(ctx, d.m.Name, r.spec.Seq, r.part, starts[:n])
		if err != nil {
			return nil, fmt.Errorf("reading windows to learn from: %w", err)
		}
		for _, start := range starts[:n] {
			if err := add(start, read[start].Entries); err != nil {
				return nil, err
			}
		}
		starts = starts[n:]
	}
	for _, start := range slices.Sorted(maps.Keys(fresh)) {
		if err := add(start, fresh[start]); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// fresh gathers the windows from a moment on that this step has judged of the
// part so far. They are later than all that are kept.
func (d *decision) fresh(r *ref, from int64) map[int64][]detectors.Entry {
	out := map[int64][]detectors.Entry{}
	for _, k := range d.keep {
		if k.Part == r.part && k.SpecSeq == r.spec.Seq && k.Start >= from && len(k.Entries) > 0 {
			out[k.Start] = k.Entries
		}
	}
	return out
}

// expected writes down what the streams of a reference are expected to do,
// once for each reference and plan.
func (d *decision) expected(ctx context.Context, w *detectors.Window, ref *budget.Reference, plan *budget.Plan) error {
	if d.m.e.deps.Learnt == nil || plan == nil || d.m.written[plan] {
		return nil
	}
	streams := budget.StreamsOf(ref, plan, d.m.e.cfg.Statistics)
	rows := make([]schemas.StreamRow, 0, len(streams))
	for _, s := range streams {
		h, _ := ref.Healthy(s.Key)
		row := schemas.StreamRow{
			Role: s.Role, Feature: s.Feature, Slice: s.Slice, Channel: s.Channel,
			Noise: s.Noise, Phi: h.Phi, SmallestAlarm: s.Dead, HonestyP: s.Honesty, State: "ok",
		}
		if t := s.Detect[len(s.Detect)-2]; t != budget.Never {
			row.TimeToDetect = float64(t) / float64(w.Spec.Spec.Window)
		}
		switch {
		case h.Days < d.m.e.cfg.Statistics.FullDays:
			row.State = "learning"
		case s.Noisy:
			row.State = "noisy"
		}
		rows = append(rows, row)
	}
	fit := fmt.Sprintf("%s/%d", w.Baseline.Hash, w.Spec.Seq)
	if l := d.state.Lessons[w.Part.String()]; l.Hash != "" {
		fit = l.Hash
	}
	if err := d.m.e.deps.Learnt.Fits(ctx, d.m.Name, fit, rows); err != nil {
		return err
	}
	if d.m.written == nil {
		d.m.written = map[*budget.Plan]bool{}
	}
	d.m.written[plan] = true
	return nil
}
