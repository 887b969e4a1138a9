package schemas

import "time"

// The types below are rows of the store's views as the API and the pages show
// them. Times are event time in UTC unless a comment says otherwise, and the
// zero time means "none". A pointer is nil where nothing was measured; no
// field is ever NaN or infinite.

// ModelOverview is one model with what tells whether it needs a person. A
// model is listed as soon as any row of it is stored, also before the first
// decision.
type ModelOverview struct {
	Model     string          `json:"model"`
	Versions  []VersionSeen   `json:"versions"`            // of the last 48 hours before LastEvent, or 14 windows where that is longer; latest event first
	LastEvent time.Time       `json:"last_event,omitzero"` // greatest event time stored of any part
	Judged    Interval        `json:"judged"`              // the last window with a verdict; zero when there is none
	States    StateCounts     `json:"states"`              // of the verdicts in that window
	Unknown   []UnknownReason `json:"unknown,omitempty"`   // why its unknown verdicts are unknown, most frequent first
	Worst     *Verdict        `json:"worst,omitempty"`     // the error or warn verdict of greatest absolute effect in that window
	Firing    int             `json:"firing"`              // open incidents
	Rows      []WindowRow     `json:"rows"`                // windows of role rows, feature features (or prediction where there are none), whole, all versions summed (Version ""), of the same stretch, oldest first
	Volume    []Verdict       `json:"volume,omitempty"`    // verdicts of the volume channel of the same windows, oldest first
}

// VersionSeen is one version of a model in the traffic.
type VersionSeen struct {
	Version string    `json:"version"`
	Rows    uint64    `json:"rows"`
	Last    time.Time `json:"last"` // end of the last window that has rows of it
}

// StateCounts counts verdicts by state.
type StateCounts struct {
	OK      uint64 `json:"ok"`
	Warn    uint64 `json:"warn"`
	Error   uint64 `json:"error"`
	Unknown uint64 `json:"unknown"`
}

// Total is the number of verdicts counted.
func (c StateCounts) Total() uint64 { return c.OK + c.Warn + c.Error + c.Unknown }

// UnknownReason counts the verdicts that are unknown for one reason.
type UnknownReason struct {
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

// WindowFilter selects windows of one model. Start times are compared with
// the half-open [From, To); a zero bound is open. Where From is zero and Limit
// cuts, the latest windows stay. The result is oldest first.
type WindowFilter struct {
	Model      string   // required
	Role       Role     // 0 any
	Features   []string // any of; empty is all
	Slice      string
	AnySlice   bool   // Slice does not matter; without it "" is the whole
	Version    string // "" any
	From       time.Time
	To         time.Time
	Histograms bool // Edges, Bins and Top are filled in
	Limit      int  // required, at least 1
}

// WindowRow is one row of the view windows.
type WindowRow struct {
	Model    string            `json:"model"`
	Version  string            `json:"version"`
	Start    time.Time         `json:"window_start"`
	End      time.Time         `json:"window_end"`
	Role     string            `json:"role"`
	Feature  string            `json:"feature"`
	Slice    string            `json:"slice"`
	Rows     uint64            `json:"rows"`
	Present  uint64            `json:"present"`
	Absent   uint64            `json:"absent"`
	Nulls    uint64            `json:"nulls"`
	NaNs     uint64            `json:"nans"`
	Infs     uint64            `json:"infs"`
	Bad      uint64            `json:"bad"`
	Unseen   uint64            `json:"unseen"`
	Min      *float64          `json:"min,omitempty"`
	Max      *float64          `json:"max,omitempty"`
	Mean     *float64          `json:"mean,omitempty"`
	SD       *float64          `json:"sd,omitempty"`
	Distinct uint64            `json:"distinct"`
	Edges    []float64         `json:"edges,omitempty"`
	Bins     []uint64          `json:"bins,omitempty"`
	Top      map[string]uint64 `json:"top,omitempty"`
	Late     uint64            `json:"late"`
	Revision uint64            `json:"revision"`
	Closed   bool              `json:"closed"`
}

// VerdictFilter selects verdicts of one model. Start times are compared with
// the half-open [From, To); a zero bound is open. Of several revisions of one
// verdict the last counts. The result is oldest first; where Limit cuts, the
// latest stay.
type VerdictFilter struct {
	Model    string   // required
	Role     Role     // 0 any
	Features []string // any of; empty is all
	Slice    string
	AnySlice bool
	Version  string // "" any
	Channel  string // "" any
	From     time.Time
	To       time.Time
	Limit    int // required, at least 1
}

// IncidentFilter selects incidents; an empty field selects all. The result is
// firing first, then the most severe, then the latest onset.
type IncidentFilter struct {
	State    IncidentState
	Model    string
	Severity Severity
	Limit    int // required, at least 1
}

// TransitionFilter selects transitions; an empty field selects all. The
// result is the latest first.
type TransitionFilter struct {
	Incident string
	Since    time.Time // of At, inclusive
	Limit    int       // required, at least 1
}

// TransitionRow is one row of the view transitions: a message of an incident.
type TransitionRow struct {
	Incident   string     `json:"incident"`
	Seq        int        `json:"seq"`
	Transition Transition `json:"transition"`
	At         time.Time  `json:"at"`            // event time that decided it: Detected when firing, else the end of the alert's window
	Sent       time.Time  `json:"sent,omitzero"` // wall clock; zero while the bus has not acknowledged it
	Reason     string     `json:"reason"`
	Alert      Alert      `json:"alert"` // the message itself
}

// ViolationFilter selects sampled bad rows of one model. From and To bound
// the half-open event time; a zero bound is open. Features is any of; empty
// is all. The result is oldest first.
type ViolationFilter struct {
	Model    string // required
	Fault    Fault  // "" any
	Features []string
	From     time.Time
	To       time.Time
	Limit    int // required, at least 1
}

// ViolationRow is one row of the view violations.
type ViolationRow struct {
	Model     string    `json:"model"`
	Version   string    `json:"version"`
	Fault     Fault     `json:"fault"`
	Feature   string    `json:"feature"`
	Value     string    `json:"value"`
	Reason    string    `json:"reason"`
	Time      time.Time `json:"ts"`
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
}

// ProgressRow is one row of the view progress: a partition of the topic's
// present id, summed over its chunks.
type ProgressRow struct {
	Topic         string    `json:"topic"`
	Epoch         string    `json:"epoch"`
	Partition     int32     `json:"partition"`
	Offset        int64     `json:"offset"` // after the last record stored
	HighWatermark int64     `json:"high_watermark"`
	Watermark     time.Time `json:"watermark,omitzero"` // greatest record time stored
	Rows          uint64    `json:"rows"`
	Rejected      uint64    `json:"rejected"`
	Late          uint64    `json:"late"`
	At            time.Time `json:"at"` // wall clock of the last write
}

// Behind is the number of records that are in Kafka and not yet stored, as of At.
func (p ProgressRow) Behind() int64 { return max(0, p.HighWatermark-p.Offset) }
