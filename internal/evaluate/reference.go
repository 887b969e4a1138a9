package evaluate

import (
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
)

// planKey is what a plan depends on, beside the monitor in force.
type planKey struct {
	reference *budget.Reference
	spec      uint64
	window    time.Duration
}

// reference returns what healthy behaviour of the window's model is known by;
// nil where it has no baseline.
func (m *model) reference(w *detectors.Window) *budget.Reference {
	if w.Baseline == nil {
		return nil
	}
	r, ok := m.references[w.Baseline.Hash]
	if !ok {
		r = budget.NewReference(w.Baseline)
		if m.references == nil {
			m.references = map[string]*budget.Reference{}
		}
		m.references[w.Baseline.Hash] = r
	}
	return r
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
