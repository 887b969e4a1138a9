package detectors

import (
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// Entry is the summary of one stream in one window.
type Entry struct {
	schemas.Stream
	*summary.Summary
}

// Window is one closed window of one part of a model, merged over all
// partitions. Entries are sorted by version, role, feature and slice; among
// them are the counts of events (RoleRows): feature = the part's name holds
// the number of events in Rows and of late ones in Late, feature = a fault's
// name (duplicates, unparsable, future_events, late_data, extra_column) the
// number of events that showed it.
type Window struct {
	Model    string
	Part     schemas.Part
	Spec     *schemas.SpecRecord
	Baseline *schemas.Baseline // nil: there is none, drift is unknown
	Start    int64             // Unix milliseconds, event time
	End      int64
	Revision uint64  // sum of the end offsets read
	Coverage float64 // share of the partitions that had delivered up to End
	Entries  []Entry
	Offsets  []schemas.OffsetRange
}

// Finding is something wrong with one or more columns in one window, or the
// word that it is right again or cannot be told. Alerting turns findings into
// incidents.
type Finding struct {
	Fault    schemas.Fault
	Severity schemas.Severity
	State    schemas.State // error: it is there; ok: measured, and not there; unknown: cannot tell
	Version  string
	Columns  []string // sorted; empty when it is no column's fault
	Slices   []string // sorted slice names it is seen in; empty for the whole
	Onset    int64    // Unix milliseconds of event time: when it began, as far as is known
	Detected int64    // Unix milliseconds of event time of what showed it
	Start    int64    // of the window or pane
	End      int64
	Effect   schemas.Effect
	Evidence []schemas.Evidence
	Reason   string
}
