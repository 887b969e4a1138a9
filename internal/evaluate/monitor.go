package evaluate

import (
	"time"

	"github.com/modelwatch/modelwatch/alerting/retrain"
	"github.com/modelwatch/modelwatch/schemas"
)

// ModelOf returns what the evaluator needs of a monitor: its specs, by Seq, of
// records that may be of others too.
func ModelOf(m *schemas.Monitor, records []schemas.SpecRecord) Model {
	out := Model{Name: m.Model, Topics: m.Topics, Runbook: m.Runbook, Retrain: retrainPolicy(m)}
	for _, r := range records {
		if r.Spec.Model == m.Model {
			out.Specs = append(out.Specs, r)
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
