package detectors

import (
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// State is a verdict in one word. Unknown is a state of its own: nothing that
// could not be judged is ever shown as healthy.
type State string

// The states of a stream.
const (
	OK      State = "ok"
	Warn    State = "warn" // outside once; not yet a finding
	Error   State = "error"
	Unknown State = "unknown"
)

// Stream names what is judged.
type Stream struct {
	Version string
	Role    schemas.Role
	Feature string // '' never; the role's own name for roles other than feature and rows
	Slice   string // '' the whole
}

// Entry is the summary of one stream in one window.
type Entry struct {
	Stream
	*summary.Summary
}

// Window is one closed window of one part of a model, merged over all
// partitions. Entries are sorted by version, role, feature and slice.
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

// Verdict is the judgement of one channel of one stream in one window.
type Verdict struct {
	Stream
	Channel  string // location, null_rate, absent_rate, unseen_rate, volume, …
	State    State
	Effect   float64 // in reference standard deviations, or a share for rates; 0 when unknown
	Low      float64 // healthy range of the statistic
	Expected float64
	High     float64
	P        float64 // of the null hypothesis "as in the reference", 1 when there is no test
	N        uint64  // rows behind it
	Reason   string  // why unknown, or what decided
}

// Finding is something wrong with one or more columns in one window, or the
// word that it is right again or cannot be told. Alerting turns findings into
// incidents.
type Finding struct {
	Fault    schemas.Fault
	Severity schemas.Severity
	State    State // Error: it is there; OK: measured, and not there; Unknown: cannot tell
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
