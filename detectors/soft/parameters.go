package soft

import "fmt"

// Parameters are those of one decision; they are recorded with it.
type Parameters struct {
	Alpha         float64 `json:"alpha"`          // chance of any false rejection among the rates of one window
	MinExcess     float64 `json:"min_excess"`     // of a rate over the reference's, as a share
	AtOnceExcess  float64 `json:"at_once_excess"` // lower 95 % limit of the excess at which one window is enough
	HealthyFactor float64 `json:"healthy_factor"` // times the largest rate of a healthy window
	MinHealthy    int     `json:"min_healthy"`    // healthy windows that are needed for that, and for the volume
	MinRows       uint64  `json:"min_rows"`       // rows of a stream in the window, and in the reference
	Windows       int     `json:"windows"`        // outside in a row, before it is a finding
	Clear         int     `json:"clear"`          // ok windows in a row that are told after any finding; at least as many as clear an incident
	Forget        int     `json:"forget"`         // windows without a judgement after which a stream is forgotten
	MinCoverage   float64 `json:"min_coverage"`   // share of the partitions that must have delivered
	CriticalShare float64 `json:"critical_share"` // rate of the whole above which a finding is critical

	VolumeSD     float64 `json:"volume_sd"`     // healthy sd of the log of the rows
	VolumeFactor float64 `json:"volume_factor"` // at least so many times more or fewer rows

	NoDataWindows int `json:"no_data_windows"` // empty windows in a row

	CaptureGap  float64 `json:"capture_gap"`  // difference of the counts of features and predictions, as a share of the larger
	CaptureRows uint64  `json:"capture_rows"` // larger count that is needed
}

// DefaultParameters returns the parameters in use where none are given.
func DefaultParameters() Parameters {
	return Parameters{
		Alpha: .01, MinExcess: .02, AtOnceExcess: .2, HealthyFactor: 1.25, MinHealthy: 10, MinRows: 30, Windows: 2, Clear: 3, Forget: 2000,
		MinCoverage: 1, CriticalShare: .5, VolumeSD: 4, VolumeFactor: 2, NoDataWindows: 2, CaptureGap: .05, CaptureRows: 50,
	}
}

// Validate reports what cannot be.
func (p Parameters) Validate() error {
	switch {
	case !(p.Alpha > 0 && p.Alpha < 1):
		return fmt.Errorf("alpha is %v, it must be between 0 and 1", p.Alpha)
	case !(p.MinExcess >= 0 && p.AtOnceExcess >= p.MinExcess):
		return fmt.Errorf("min_excess is %v and at_once_excess %v: the first must not be negative, nor above the second", p.MinExcess, p.AtOnceExcess)
	case !(p.HealthyFactor >= 1 && p.VolumeFactor >= 1):
		return fmt.Errorf("healthy_factor is %v and volume_factor %v: both must be at least 1", p.HealthyFactor, p.VolumeFactor)
	case p.MinRows == 0, p.Windows < 1, p.Clear < 1, p.Forget < 1, p.MinHealthy < 1, p.NoDataWindows < 1, p.CaptureRows == 0:
		return fmt.Errorf("min_rows, windows, clear, forget, min_healthy, no_data_windows and capture_rows must be at least 1")
	case !(p.MinCoverage >= 0 && p.MinCoverage <= 1), !(p.CriticalShare >= 0), !(p.CaptureGap > 0), !(p.VolumeSD > 0):
		return fmt.Errorf("min_coverage must be a share, critical_share not negative, capture_gap and volume_sd positive")
	}
	return nil
}
