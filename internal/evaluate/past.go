package evaluate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// past is the stretch of windows of one part that a spec counts again, or for
// the first time, although they were over when it was registered: they are kept
// with their verdicts, and nobody is told of them.
type past struct {
	Seq   uint64 `json:"seq"`  // of the spec
	From  int64  `json:"from"` // first and last border
	Until int64  `json:"until"`
	Next  int64  `json:"next"` // what starts before it has been seen to
}

// lookBack takes notice of a spec that reads the past again: of a part that was
// judged before all judged windows are past, of another one those before the
// border that the record names. It is a function of state and specs, so
// that it does not matter which step remembers it first.
func (m *model) lookBack() {
	i := len(m.Specs) - 1
	for ; i >= 0 && !m.Specs[i].History; i-- {
	}
	if i < 0 {
		return
	}
	spec := &m.Specs[i]
	for _, part := range schemas.Parts {
		name := part.String()
		if m.state.Past[name].Seq >= spec.Seq {
			continue
		}
		until := spec.HistoryUntil
		if next, judged := m.state.Next[name]; judged {
			until = next
		}
		if m.state.Past == nil {
			m.state.Past = map[string]past{}
		}
		m.state.Past[name] = past{spec.Seq, spec.EffectiveFrom, until, spec.EffectiveFrom}
	}
}

// isPast says whether nobody is told of a window. Without a part it is asked of any.
func (s *state) isPast(part schemas.Part, start int64) bool {
	for name, p := range s.Past {
		if (part == 0 || name == part.String()) && start >= p.From && start < p.Until {
			return true
		}
	}
	return false
}

// pastUntil is where the past of a part ends, math.MinInt64 where it has none.
func (s *state) pastUntil(part schemas.Part) int64 {
	if p, ok := s.Past[part.String()]; ok {
		return p.Until
	}
	return math.MinInt64
}

// passed remembers that a window of the past was seen to.
func (s *state) passed(r *ref) {
	p := s.Past[r.part.String()]
	p.Next = max(p.Next, r.end)
	s.Past[r.part.String()] = p
}

// before lists windows of the past that are to be kept, in order, once all
// partitions have been read again.
func (m *model) before(ctx context.Context, marks map[schemas.Part]watermark) ([]ref, error) {
	now := m.e.deps.Now()
	if len(m.state.Past) == 0 || now.Sub(m.lookedBack) < m.e.cfg.Revise {
		return nil, nil
	}
	m.lookedBack = now
	var out []ref
	for _, part := range schemas.Parts {
		refs, err := m.beforePart(ctx, part, marks[part])
		if err != nil {
			return nil, err
		}
		out = append(out, refs...)
	}
	if len(out) > 0 {
		m.lookedBack = time.Time{} // there may be more
	}
	return out, nil
}

func (m *model) beforePart(ctx context.Context, part schemas.Part, w watermark) ([]ref, error) {
	p, ok := m.state.Past[part.String()]
	spec := m.spec(p.Seq)
	if !ok || spec == nil || p.Next >= p.Until {
		return nil, nil
	}
	if !w.known || w.specSeq < p.Seq {
		return nil, nil
	}
	length, lateness := spec.Spec.Window.Milliseconds(), spec.Spec.Lateness.Milliseconds()
	starts, err := m.e.deps.Windows.Starts(ctx, m.Name, p.Seq, part, p.Next, min(p.Until, m.until(spec)))
	if err != nil {
		return nil, fmt.Errorf("looking for windows of the past: %w", err)
	}
	slices.Sort(starts)
	var out []ref
	for _, start := range starts[:min(len(starts), m.e.cfg.MaxWindows)] {
		if start+length+lateness > w.at {
			return out, nil
		}
		out = append(out, ref{part, spec, start, start + length, w.coverage, true})
	}
	if len(starts) == 0 && w.at >= p.Until+lateness {
		p.Next = p.Until // nothing is left, and nothing can come but late rows
		m.state.Past[part.String()] = p
	}
	return out, nil
}
