package alerting

import (
	"slices"

	"github.com/modelwatch/modelwatch/schemas"
)

// tier orders faults from cause to consequence.
type tier uint8

const (
	tierHard   tier = iota // the events themselves are wrong
	tierSoft               // rates of a column are wrong
	tierDrift              // a feature's distribution has moved
	tierOutput             // what the model says has moved
	tierOther              // neither a cause nor a consequence of columns
)

func tierOf(f schemas.Fault) tier {
	switch f {
	case schemas.FaultUnparsable, schemas.FaultWrongType, schemas.FaultMissingColumn, schemas.FaultExtraColumn,
		schemas.FaultOutOfRange, schemas.FaultUnexpectedValue, schemas.FaultRule, schemas.FaultNotFinite,
		schemas.FaultDuplicates, schemas.FaultFutureEvents, schemas.FaultLateData,
		schemas.FaultSwap, schemas.FaultMixedRows, schemas.FaultShiftedCols, schemas.FaultUnitChange,
		schemas.FaultStuck, schemas.FaultDefaultSpike, schemas.FaultTruncation, schemas.FaultEncoding,
		schemas.FaultPrecisionLoss, schemas.FaultClockShift, schemas.FaultSkew:
		return tierHard
	case schemas.FaultNulls, schemas.FaultUnseenValues:
		return tierSoft
	case schemas.FaultDrift, schemas.FaultMultivariateDrift:
		return tierDrift
	case schemas.FaultPredictionDrift, schemas.FaultScoreDrift:
		return tierOutput
	}
	return tierOther
}

// follows says whether a fault of this tier can be the consequence of another.
func (t tier) follows() bool { return t == tierSoft || t == tierDrift || t == tierOutput }

// IsDataFault says whether the fault is one of wrong data: nothing that a new
// version of the model would cure.
func IsDataFault(f schemas.Fault) bool {
	t := tierOf(f)
	return t == tierHard || t == tierSoft
}

// overlap says whether two sorted lists share a name.
func overlap(a, b []string) bool {
	for _, n := range a {
		if _, ok := slices.BinarySearch(b, n); ok {
			return true
		}
	}
	return false
}
