package schemas

// Part says which parts of an event a message carries; one message may carry several.
type Part uint8

// The parts of an event. A window closes per part, because each may come on
// topics of its own.
const (
	PartFeatures Part = 1 << iota
	PartPrediction
	PartLabel
)

// Parts lists the single parts in their stable order.
var Parts = [...]Part{PartFeatures, PartPrediction, PartLabel}

// String returns the name of a single part as it stands in the store.
func (p Part) String() string {
	switch p {
	case PartFeatures:
		return "features"
	case PartPrediction:
		return "prediction"
	case PartLabel:
		return "label"
	}
	return ""
}

// PartOf is the inverse of Part.String; it returns 0 for any other text.
func PartOf(name string) Part {
	for _, p := range Parts {
		if p.String() == name {
			return p
		}
	}
	return 0
}

// Role says what a summary summarises. Its values are stored.
type Role uint8

// The roles of a summary.
const (
	RoleRows Role = iota + 1 // counts of events, by part or by fault
	RoleFeature
	RolePrediction
	RoleScore
	RoleLabel
	RoleLatency
	RoleJoined
)

var roleNames = [...]string{"", "rows", "feature", "prediction", "score", "label", "latency", "joined"}

// String returns the name of the role as the windows view shows it.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return ""
}

// RoleOf is the inverse of Role.String; it returns 0 for any other text.
func RoleOf(name string) Role {
	for i, n := range roleNames {
		if i > 0 && n == name {
			return Role(i)
		}
	}
	return 0
}

// Part returns the part of an event that carries columns of this role, 0 for RoleRows and RoleJoined.
func (r Role) Part() Part {
	switch r {
	case RoleFeature:
		return PartFeatures
	case RolePrediction, RoleScore, RoleLatency:
		return PartPrediction
	case RoleLabel:
		return PartLabel
	}
	return 0
}

// Fault is the name of what is wrong. There is one vocabulary for findings,
// alerts, pages and benchmarks.
type Fault string

// The faults of product.md.
const (
	FaultUnparsable      Fault = "unparsable"
	FaultWrongType       Fault = "wrong_type"
	FaultMissingColumn   Fault = "missing_column"
	FaultExtraColumn     Fault = "extra_column"
	FaultOutOfRange      Fault = "out_of_range"
	FaultUnexpectedValue Fault = "unexpected_value"
	FaultRule            Fault = "rule"
	FaultNotFinite       Fault = "not_finite"
	FaultDuplicates      Fault = "duplicates"
	FaultFutureEvents    Fault = "future_events"
	FaultLateData        Fault = "late_data"

	FaultSwap          Fault = "swap"
	FaultMixedRows     Fault = "mixed_rows"
	FaultShiftedCols   Fault = "shifted_columns"
	FaultUnitChange    Fault = "unit_change"
	FaultStuck         Fault = "stuck"
	FaultDefaultSpike  Fault = "default_spike"
	FaultTruncation    Fault = "truncation"
	FaultEncoding      Fault = "encoding"
	FaultPrecisionLoss Fault = "precision_loss"
	FaultClockShift    Fault = "clock_shift"
	FaultSkew          Fault = "skew"

	FaultNulls        Fault = "nulls"
	FaultUnseenValues Fault = "unseen_values"
	FaultVolume       Fault = "volume"
	FaultNoData       Fault = "no_data"
	FaultCaptureGap   Fault = "capture_gap"
	FaultRetentionGap Fault = "retention_gap"

	FaultDrift             Fault = "drift"
	FaultPredictionDrift   Fault = "prediction_drift"
	FaultScoreDrift        Fault = "score_drift"
	FaultMultivariateDrift Fault = "multivariate_drift"
	FaultPerformanceDrop   Fault = "performance_drop"
	FaultCalibration       Fault = "calibration"
	FaultLabelGap          Fault = "label_gap"
	FaultLatency           Fault = "latency"
	FaultStaleVersion      Fault = "stale_version"
	FaultVersionWorse      Fault = "version_worse"
)

// Faults lists every fault in its stable order.
var Faults = [...]Fault{
	FaultUnparsable, FaultWrongType, FaultMissingColumn, FaultExtraColumn, FaultOutOfRange,
	FaultUnexpectedValue, FaultRule, FaultNotFinite, FaultDuplicates, FaultFutureEvents, FaultLateData,
	FaultSwap, FaultMixedRows, FaultShiftedCols, FaultUnitChange, FaultStuck, FaultDefaultSpike,
	FaultTruncation, FaultEncoding, FaultPrecisionLoss, FaultClockShift, FaultSkew, FaultNulls,
	FaultUnseenValues, FaultVolume, FaultNoData, FaultCaptureGap, FaultRetentionGap, FaultDrift,
	FaultPredictionDrift, FaultScoreDrift, FaultMultivariateDrift, FaultPerformanceDrop, FaultCalibration,
	FaultLabelGap, FaultLatency, FaultStaleVersion, FaultVersionWorse,
}

// Severity says who is woken: critical a person now, warning a person in
// working hours, info nobody.
type Severity string

// The severities of an incident.
const (
	SeverityCritical Severity = "critical"
	SeverityWarning  Severity = "warning"
	SeverityInfo     Severity = "info"
)

// Rank orders severities: critical 3, warning 2, info 1, anything else 0.
func (s Severity) Rank() int {
	switch s {
	case SeverityCritical:
		return 3
	case SeverityWarning:
		return 2
	case SeverityInfo:
		return 1
	}
	return 0
}

// Transition is a step in the life of an incident that is told to the outside.
type Transition string

// The transitions of an incident.
const (
	TransitionFiring   Transition = "firing"
	TransitionUpdated  Transition = "updated"
	TransitionResolved Transition = "resolved"
	TransitionRevised  Transition = "revised"
)
