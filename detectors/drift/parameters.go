package drift

import "fmt"

// Parameters are those of one decision; they are recorded with it.
type Parameters struct {
	Alpha         float64 `json:"alpha"`          // chance of any false rejection among the streams of one window
	MinEffect     float64 `json:"min_effect"`     // in reference sd
	HealthyFactor float64 `json:"healthy_factor"` // times the largest effect of a healthy window
	MinHealthy    int     `json:"min_healthy"`    // healthy windows that are needed for that
	MinRows       uint64  `json:"min_rows"`       // values of a stream in the window, and in the reference
	Windows       int     `json:"windows"`        // in a row, before it is a finding
	Clear         int     `json:"clear"`          // ok windows in a row that are told after that; at least as many as clear an incident
	Forget        int     `json:"forget"`         // windows without a judgement after which a stream is forgotten
	MinCoverage   float64 `json:"min_coverage"`   // share of the partitions that must have delivered
}

// DefaultParameters returns the parameters in use where none are given.
func DefaultParameters() Parameters {
	return Parameters{
		Alpha: .01, MinEffect: .25, HealthyFactor: 1.25, MinHealthy: 10, MinRows: 100, Windows: 2, Clear: 3, Forget: 2000, MinCoverage: 1,
	}
}

// Validate reports what cannot be.
func (p Parameters) Validate() error {
	switch {
	case !(p.Alpha > 0 && p.Alpha < 1):
		return fmt.Errorf("alpha is %v, it must be between 0 and 1", p.Alpha)
	case !(p.MinEffect >= 0):
		return fmt.Errorf("min_effect is %v, it must not be negative", p.MinEffect)
	case !(p.HealthyFactor >= 1):
		return fmt.Errorf("healthy_factor is %v, it must be at least 1", p.HealthyFactor)
	case p.MinRows == 0, p.Windows < 1, p.Clear < 1, p.Forget < 1, p.MinHealthy < 1:
		return fmt.Errorf("min_rows, windows, clear, forget and min_healthy must be at least 1")
	case !(p.MinCoverage >= 0 && p.MinCoverage <= 1):
		return fmt.Errorf("min_coverage is %v, it must be between 0 and 1", p.MinCoverage)
	}
	return nil
}
