package soft

import "errors"

// Parameters are those of one decision; they are recorded with it.
type Parameters struct {
	Clear         int     `json:"clear"`           // ok windows in a row that are told after any finding; at least as many as clear an incident
	MinCoverage   float64 `json:"min_coverage"`    // share of the partitions that must have delivered
	NoDataWindows int     `json:"no_data_windows"` // empty windows in a row
	NoDataRows    float64 `json:"no_data_rows"`    // expected of a window, below which an empty one says nothing
	CaptureGap    float64 `json:"capture_gap"`     // difference of the counts of features and predictions, as a share of the larger
	CaptureRows   uint64  `json:"capture_rows"`    // larger count that is needed
}

// DefaultParameters returns the parameters in use where none are given.
func DefaultParameters() Parameters {
	return Parameters{Clear: 3, MinCoverage: 1, NoDataWindows: 2, NoDataRows: 10, CaptureGap: .05, CaptureRows: 50}
}

// Validate reports what cannot be.
func (p Parameters) Validate() error {
	switch {
	case p.Clear < 1, p.NoDataWindows < 1, p.CaptureRows == 0:
		return errors.New("clear, no_data_windows and capture_rows must be at least 1")
	case !(p.MinCoverage >= 0 && p.MinCoverage <= 1), !(p.CaptureGap > 0), !(p.NoDataRows >= 0):
		return errors.New("min_coverage must be a share, capture_gap positive, no_data_rows not negative")
	}
	return nil
}
