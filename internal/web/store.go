package web

import (
	"context"

	"github.com/modelwatch/modelwatch/schemas"
)

// Store is what pages and API read. Every method may be called from any number
// of goroutines and returns when its context ends. Order and bounds of each
// result are those that its filter promises.
type Store interface {
	Models
	Incidents
	Series
	Ledger
}

// Models reads what the overview shows of all models.
type Models interface {
	// Models returns every model of which a row is stored, by name.
	Models(ctx context.Context) ([]schemas.ModelOverview, error)
	// Progress returns every partition that is read, by topic and partition.
	Progress(ctx context.Context) ([]schemas.ProgressRow, error)
}

// Incidents reads incidents and what was sent of them.
type Incidents interface {
	Incidents(ctx context.Context, f schemas.IncidentFilter) ([]schemas.Incident, error)
	// Incident returns one incident; false when there is none of that id.
	Incident(ctx context.Context, id string) (schemas.Incident, bool, error)
	Transitions(ctx context.Context, f schemas.TransitionFilter) ([]schemas.TransitionRow, error)
}

// Series reads windows and what was found in them.
type Series interface {
	Windows(ctx context.Context, f schemas.WindowFilter) ([]schemas.WindowRow, error)
	Verdicts(ctx context.Context, f schemas.VerdictFilter) ([]schemas.Verdict, error)
	Violations(ctx context.Context, f schemas.ViolationFilter) ([]schemas.ViolationRow, error)
}

// Ledger reads what was stated beside what was sent.
type Ledger interface {
	// Budget returns the periods of a model, "" for all, the latest first.
	Budget(ctx context.Context, model string, limit int) ([]schemas.BudgetRow, error)
	// Marks returns the last mark of each incident of a model.
	Marks(ctx context.Context, model string) ([]schemas.IncidentMark, error)
}
