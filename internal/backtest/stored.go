package backtest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/internal/profile"
	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/schemas"
)

// History is what the store keeps of the past. *store.Store is it.
type History interface {
	Specs(ctx context.Context, after uint64) ([]schemas.SpecRecord, error)
	Closed(ctx context.Context, model string, spec uint64, part schemas.Part, from, to int64) (map[int64]uint64, error)
	ReadSummaries(ctx context.Context, model string, spec uint64, part schemas.Part, starts []int64) (map[int64]store.MergedWindow, error)
	Trips(ctx context.Context, since time.Time) ([]schemas.Trip, time.Time, error)
}

// StoredOptions say how what is stored is judged.
type StoredOptions struct {
	Options
	History   History
	Baselines map[string]*schemas.Baseline // by hash
}

// batch is how many windows of each part are read at a time.
const batch = 48

// storedWindow is a window that the service has judged.
type storedWindow struct {
	part  schemas.Part
	spec  *schemas.SpecRecord
	start int64
	end   int64
}

// Stored tells what the service would have said of the windows of a model
// that are stored and closed. They are read as they were judged last, late rows
// included, under the specs that they were counted by.
func Stored(ctx context.Context, o StoredOptions) (*Report, error) {
	model := o.Monitor.Model
	all, err := o.History.Specs(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("judging what is stored of %s: %w", model, err)
	}
	specs := slices.DeleteFunc(all, func(r schemas.SpecRecord) bool { return r.Spec.Model != model })
	if len(specs) == 0 {
		return nil, fmt.Errorf("nothing is stored of model %s: it was never watched by the service of this database", model)
	}
	s := &stored{StoredOptions: &o, specs: specs}
	if err := s.list(ctx); err != nil {
		return nil, fmt.Errorf("judging what is stored of %s: %w", model, err)
	}
	if len(s.windows) == 0 {
		return nil, fmt.Errorf("no window of model %s is closed in that stretch; the service closes one when event time has passed its end", model)
	}
	r := o.report("stored windows")
	last := &specs[len(specs)-1]
	r.Spec, r.Baseline, r.Window = last.Hash, last.Spec.Baseline, schemas.Duration(last.Spec.Window)
	baseline := func(hash string) *schemas.Baseline { return o.Baselines[hash] }
	missing := map[string]bool{}
	for _, w := range s.windows {
		if h := w.spec.Spec.Baseline; h != "" && o.Baselines[h] == nil {
			missing[h] = true
		}
	}
	for _, h := range slices.Sorted(maps.Keys(missing)) {
		r.Notes = append(r.Notes, fmt.Sprintf("windows were counted under the baseline %s, which is not that of the monitor now: what compares with it is unknown", h))
	}
	if err := judge(ctx, &o.Options, specs, baseline, model, s.each, r); err != nil {
		return nil, fmt.Errorf("judging what is stored of %s: %w", model, err)
	}
	r.Rows = s.rows
	return r, nil
}

// stored is one reading of what is stored.
type stored struct {
	*StoredOptions
	specs   []schemas.SpecRecord
	windows []storedWindow // by end and part
	rows    int64
}

// list finds the windows that are closed, each under the spec in force then.
func (s *stored) list(ctx context.Context) error {
	for i := range s.specs {
		spec := &s.specs[i]
		from, until := spec.EffectiveFrom, int64(math.MaxInt64)
		if i+1 < len(s.specs) {
			until = s.specs[i+1].EffectiveFrom
		}
		from, until = s.bounds(from, until)
		if from >= until {
			continue
		}
		for _, part := range schemas.Parts {
			closed, err := s.History.Closed(ctx, s.Monitor.Model, spec.Seq, part, from, until)
			if err != nil {
				return err
			}
			for start := range closed {
				end := start + spec.Spec.Window.Milliseconds()
				if !s.To.IsZero() && end > s.To.UnixMilli() {
					continue
				}
				s.windows = append(s.windows, storedWindow{part, spec, start, end})
			}
		}
	}
	slices.SortFunc(s.windows, func(a, b storedWindow) int {
		return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(a.part, b.part))
	})
	return nil
}

// each hands out the windows with the trips up to their ends.
func (s *stored) each(ctx context.Context, each func(*profile.Stretch) error) error {
	trips, _, err := s.History.Trips(ctx, time.Time{})
	if err != nil {
		return err
	}
	first, last := s.windows[0].start, s.windows[len(s.windows)-1].end
	trips = slices.DeleteFunc(trips, func(t schemas.Trip) bool {
		return t.Model != s.Monitor.Model || t.WindowStart < first || t.WindowStart >= last
	})
	slices.SortStableFunc(trips, func(a, b schemas.Trip) int {
		return cmp.Or(cmp.Compare(a.WindowStart, b.WindowStart), cmp.Compare(a.Time, b.Time), cmp.Compare(a.Offset, b.Offset))
	})
	marks := map[schemas.Part]int64{}
	for from := 0; from < len(s.windows); {
		to := min(from+batch, len(s.windows))
		for to < len(s.windows) && s.windows[to].end == s.windows[to-1].end {
			to++ // the parts of one window stay together
		}
		out := &profile.Stretch{}
		if out.Windows, err = s.read(ctx, s.windows[from:to]); err != nil {
			return err
		}
		for _, w := range s.windows[from:to] {
			marks[w.part] = max(marks[w.part], w.end+w.spec.Spec.Lateness.Milliseconds())
		}
		for _, part := range slices.Sorted(maps.Keys(marks)) {
			out.Marks = append(out.Marks, schemas.Mark{Model: s.Monitor.Model, Part: part, Max: marks[part]})
		}
		n := 0
		for n < len(trips) && trips[n].WindowStart < s.windows[to-1].end {
			n++
		}
		out.Trips, trips = trips[:n:n], trips[n:]
		s.tell("judged windows up to %s", moment(s.windows[to-1].end))
		if err := each(out); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// read reads windows, one query for each part and spec.
func (s *stored) read(ctx context.Context, want []storedWindow) ([]*detectors.Window, error) {
	type of struct {
		part schemas.Part
		seq  uint64
	}
	starts := map[of][]int64{}
	for _, w := range want {
		k := of{w.part, w.spec.Seq}
		starts[k] = append(starts[k], w.start)
	}
	got := map[of]map[int64]store.MergedWindow{}
	for k, at := range starts {
		w, err := s.History.ReadSummaries(ctx, s.Monitor.Model, k.seq, k.part, at)
		if err != nil {
			return nil, err
		}
		got[k] = w
	}
	var out []*detectors.Window
	for _, w := range want {
		m, ok := got[of{w.part, w.spec.Seq}][w.start]
		if !ok {
			continue // it was judged as empty
		}
		d := &detectors.Window{Model: s.Monitor.Model, Part: w.part, Spec: w.spec, Start: w.start, End: w.end, Revision: m.Revision, Coverage: 1, Offsets: m.Offsets}
		for _, e := range m.Entries {
			d.Entries = append(d.Entries, detectors.Entry(e))
			if e.Role == schemas.RoleRows && e.Feature == w.part.String() && w.part == schemas.PartFeatures {
				s.rows += int64(e.Rows)
			}
		}
		out = append(out, d)
	}
	return out, nil
}
