package decode

import "github.com/modelwatch/modelwatch/schemas"

// Reason is why an event cannot be used. Its name is stable: it stands in the
// headers of dead letters and in the labels of metrics. Its number is not.
type Reason uint8

// The reasons. Where several hold for one event, syntax comes before meaning,
// and within meaning the order is the one below.
const (
	OK Reason = iota
	// Tombstone is a record without a value.
	Tombstone
	// Empty is a value of no bytes, or of white space alone.
	Empty
	// TooLarge is a value of more than Config.MaxBytes.
	TooLarge
	// Unparsable is a value that does not follow the syntax of its format.
	Unparsable
	// InvalidUTF8 is text that is not UTF-8. It is refused rather than replaced:
	// replaced, two different texts could become one category.
	InvalidUTF8
	// TooDeep is an event of more than MaxDepth levels.
	TooDeep
	// NoModel is an event that names no model, or not by a text or number.
	NoModel
	// UnknownModel is an event of a model that no monitor watches.
	UnknownModel
	// BadTime is a time that is not one, has no zone, or is outside MinTime … MaxTime.
	BadTime
	// BadID is an id that is no text or number, or longer than MaxText.
	BadID
	// BadVersion is a version that is no text or number, or longer than MaxText.
	BadVersion
	// BadFeatures is a set of features that is not one value by name.
	BadFeatures
	// NoPart is an event with neither features nor prediction nor label.
	NoPart

	reasons
)

// names must never change; new reasons are added.
var names = [reasons]string{
	OK: "ok", Tombstone: "tombstone", Empty: "empty", TooLarge: "too_large", Unparsable: "unparsable",
	InvalidUTF8: "invalid_utf8", TooDeep: "too_deep", NoModel: "no_model", UnknownModel: "unknown_model",
	BadTime: "bad_time", BadID: "bad_id", BadVersion: "bad_version", BadFeatures: "bad_features", NoPart: "no_part",
}

// String returns the stable name of the reason, "" for a number that is none.
func (r Reason) String() string {
	if r < reasons {
		return names[r]
	}
	return ""
}

// Reasons returns every reason but OK, for metrics that are to start at zero.
func Reasons() []Reason {
	all := make([]Reason, 0, reasons-1)
	for r := OK + 1; r < reasons; r++ {
		all = append(all, r)
	}
	return all
}

// Fault returns the fault that such an event is of its model, or of the only
// model of its topic. It is "" where no model is at fault: a tombstone is
// Kafka's way to delete a key, and an unknown model is watched by nobody.
func (r Reason) Fault() schemas.Fault {
	switch r {
	case OK, Tombstone, UnknownModel:
		return ""
	}
	return schemas.FaultUnparsable
}
