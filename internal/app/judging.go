package app

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/internal/evaluate"
	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/schemas"
)

// judgeStore is the store as the evaluator sees it.
type judgeStore struct {
	*store.Store

	mu      sync.Mutex
	revised map[string]look // by model
	touched touch
}

// touch is which models may have revised windows: one question for all of them.
type touch struct {
	mu         sync.Mutex
	asked      time.Time
	models     map[string]bool
	from, next store.Cursor
}

// How long an answer is good, and how far it reaches back: further than a
// model's own look, which begins at the one before the last.
const (
	touchedFor  = time.Second
	touchedBack = time.Minute
)

// revisions is the store's, asked only for a model that has been touched.
func (s *judgeStore) revisions(ctx context.Context, model string, since store.Cursor) ([]store.Revised, store.Cursor, error) {
	t := &s.touched
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := time.Now(); now.Sub(t.asked) > touchedFor {
		var err error
		if t.models, t.from, t.next, err = s.Touched(ctx, touchedBack); err != nil {
			return nil, since, err
		}
		t.asked = now
	}
	if t.from.Covers(since) && !t.models[model] {
		return nil, t.next, nil
	}
	return s.Revisions(ctx, model, since)
}

// look is how far revised windows of a model were looked for.
type look struct {
	since  store.Cursor // where to look from
	until  store.Cursor // where the last look came to
	handed []evaluate.WindowID
}

// ReadWindows implements evaluate.Windows.
func (s *judgeStore) ReadWindows(ctx context.Context, model string, spec uint64, part schemas.Part, starts []int64) (map[int64]evaluate.Merged, error) {
	got, err := s.Store.ReadWindows(ctx, model, spec, part, starts)
	return merged(got), err
}

func merged(got map[int64]store.MergedWindow) map[int64]evaluate.Merged {
	out := make(map[int64]evaluate.Merged, len(got))
	for start, w := range got {
		m := evaluate.Merged{Entries: make([]detectors.Entry, len(w.Entries)), Revision: w.Revision, Offsets: w.Offsets}
		for i, e := range w.Entries {
			m.Entries[i] = detectors.Entry(e)
		}
		out[start] = m
	}
	return out
}

// Judged implements evaluate.Windows.
func (s *judgeStore) Judged(ctx context.Context, model string, spec uint64, part schemas.Part, from, to int64) ([]int64, error) {
	return s.JudgedStarts(ctx, model, spec, part, from, to)
}

// ReadJudged implements evaluate.Windows.
func (s *judgeStore) ReadJudged(ctx context.Context, model string, spec uint64, part schemas.Part, starts []int64) (map[int64]evaluate.Merged, error) {
	windows, err := s.ReadSummaries(ctx, model, spec, part, starts)
	return merged(windows), err
}

// WriteSummaries implements evaluate.Windows.
func (s *judgeStore) WriteSummaries(ctx context.Context, model string, windows []evaluate.Closed) error {
	out := make([]store.Closed, len(windows))
	for i, w := range windows {
		out[i] = store.Closed{WindowID: store.WindowID{SpecSeq: w.SpecSeq, Part: w.Part, Start: w.Start}, Revision: w.Revision, Entries: make([]store.Entry, len(w.Entries))}
		for j, e := range w.Entries {
			out[i].Entries[j] = store.Entry(e)
		}
	}
	return s.Store.WriteSummaries(ctx, model, out)
}

// Revised implements evaluate.Windows. The place to look from goes on only
// when nothing is found again of what was handed out: a step that was lost has
// not judged it, and nobody else would look for it any more.
func (s *judgeStore) Revised(ctx context.Context, model string, most int) ([]evaluate.WindowID, error) {
	s.mu.Lock()
	l := s.revised[model]
	s.mu.Unlock()
	got, next, err := s.revisions(ctx, model, l.since)
	if err != nil {
		return nil, err
	}
	out := make([]evaluate.WindowID, len(got))
	for i, r := range got {
		out[i] = evaluate.WindowID{Part: r.Part, SpecSeq: r.SpecSeq, Start: r.Start}
	}
	if !slices.ContainsFunc(out, func(id evaluate.WindowID) bool { return slices.Contains(l.handed, id) }) {
		l.since = l.until
	}
	l.until = next
	if len(out) > most {
		out, l.until = out[:most], l.since // what is left out must be found again
	}
	l.handed = out
	s.mu.Lock()
	s.revised[model] = l
	s.mu.Unlock()
	return out, nil
}

// owner says which replica judges a model: the one that reads partition
// hash(model) mod P of the model's first topic that exists.
type owner struct {
	group    *consumers.Group
	registry *registry
}

func (o *owner) owns(model string) bool {
	m := o.group.Snapshot()
	if !m.Known || m.Generation < 0 && len(m.Topics) > 0 {
		return false
	}
	monitor := o.registry.snapshot()[model]
	if monitor == nil {
		return false
	}
	topics := slices.Clone(monitor.Topics)
	slices.Sort(topics)
	for _, name := range topics {
		if t, ok := m.Topic(name); ok && t.Partitions > 0 {
			return m.Owns(name, int32(schemas.HashString(model)%uint64(t.Partitions)))
		}
	}
	if len(m.Topics) > 0 {
		return m.Owns(m.Topics[0].Name, 0)
	}
	return true // nothing is assigned to anybody: all judge, and the journal decides
}

func (o *owner) partitions(topic string) int {
	t, ok := o.group.Snapshot().Topic(topic)
	if !ok {
		return 0
	}
	return t.Partitions
}
