package evaluate

import (
	"time"

	"github.com/modelwatch/modelwatch/alerting/retrain"
	"github.com/modelwatch/modelwatch/alerting/severity"
	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/schemas"
)

// ModelOf returns what the evaluator needs of a monitor: its specs, by Seq, of
// records that may be of others too.
func ModelOf(m *schemas.Monitor, records []schemas.SpecRecord) Model {
	out := Model{
		Name: m.Model, Topics: m.Topics, Runbook: m.Runbook, Retrain: retrainPolicy(m), Severity: severity.Of(m),
		Budget:     budget.Budget{Pages: m.Budget.Pages, Tickets: m.Budget.Tickets, Per: time.Duration(m.Budget.Per)},
		Importance: map[string]float64{},
	}
	for name, f := range m.Features {
		if f.Importance != nil {
			out.Importance[name] = *f.Importance
		}
	}
	if m.Calendar != nil {
		out.Calendar = calendar(m.Calendar)
	}
	for _, r := range records {
		if r.Spec.Model == m.Model {
			out.Specs = append(out.Specs, r)
		}
	}
	return out
}

// calendar is what healthy behaviour takes from a monitor's calendar. Changes
// of single features are the matter of severities alone.
func calendar(c *schemas.Calendar) budget.Calendar {
	var out budget.Calendar
	for _, d := range c.Holidays {
		out.Days = append(out.Days, budget.Holiday{Date: d.Format(time.DateOnly)})
	}
	for _, ch := range c.Changes {
		if len(ch.Features) == 0 {
			out.Announced = append(out.Announced, schemas.Interval{Start: ch.From.Time, End: ch.To.Time})
		}
	}
	return out
}

// retrainPolicy is what a monitor says of retraining. Drift counts when it
// has lasted for three windows.
func retrainPolicy(m *schemas.Monitor) retrain.Policy {
	if m.Retrain == nil {
		return retrain.Policy{}
	}
	return retrain.Policy{
		Drift: m.Retrain.When.Drift, Lasting: 3 * time.Duration(m.Window), Schedule: time.Duration(m.Retrain.When.Schedule),
		Cooldown: time.Duration(m.Retrain.Cooldown), MinLabels: uint64(max(0, m.Retrain.MinLabels)),
	}
}
