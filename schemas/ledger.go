package schemas

import "time"

// MarkVerdict is what a person says of an incident.
type MarkVerdict string

// The marks of an incident.
const (
	MarkTrue  MarkVerdict = "true"  // it was worth being told
	MarkFalse MarkVerdict = "false" // it was not
)

// IncidentMark is what somebody has said of an incident; of several the last counts.
type IncidentMark struct {
	Incident string      `json:"incident"`
	Model    string      `json:"model"`
	Verdict  MarkVerdict `json:"verdict"`
	By       string      `json:"by,omitempty"`
	At       time.Time   `json:"at"` // wall clock
	Note     string      `json:"note,omitempty"`
}

// BudgetRow is one row of the view budget: what was stated beside what was sent.
type BudgetRow struct {
	Model       string    `json:"model"`
	Severity    Severity  `json:"severity"` // critical: pages, warning: tickets
	PeriodStart time.Time `json:"period_start"`
	Stated      float64   `json:"stated"` // false ones per period
	Factor      float64   `json:"factor"` // of the governor on all weights, now; 1: as stated
	Sent        uint64    `json:"sent"`
	MarkedTrue  uint64    `json:"marked_true"`
	MarkedFalse uint64    `json:"marked_false"`
	Unmarked    uint64    `json:"unmarked"`
}

// StreamRow is one row of the view streams: what is expected of a stream.
type StreamRow struct {
	Role    Role   `json:"role"`
	Feature string `json:"feature"`
	Slice   string `json:"slice"`
	Channel string `json:"channel"`
	// Noise is the standard deviation of a healthy window around its season,
	// on the channel's scale, and Phi the part of it that the next window keeps.
	Noise         float64 `json:"noise"`
	Phi           float64 `json:"phi"`
	SmallestAlarm float64 `json:"smallest_alarm"` // on the channel's scale
	TimeToDetect  float64 `json:"time_to_detect"` // windows to a lasting shift of a half, on the channel's scale; 0: not within 30 days
	HonestyP      float64 `json:"honesty_p"`
	State         string  `json:"state"` // ok, noisy, learning, blind
}
