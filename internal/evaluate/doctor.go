package evaluate

import (
	"time"

	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/schemas"
)

// Diagnose tells what a monitor can see with its baseline and budget, before
// it has judged anything. A monitor without a baseline sees nothing but rules
// and missing data.
func Diagnose(m *schemas.Monitor, spec *schemas.Spec, b *schemas.Baseline, p budget.Parameters) budget.Diagnosis {
	model := model{Model: ModelOf(m, nil)}
	ref := budget.NewReference(b)
	plan := budget.NewPlan(model.Budget, time.Duration(m.Window), spec, ref, model.importance, p)
	return budget.Examine(ref, plan, p)
}
