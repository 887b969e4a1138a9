package schemas

import (
	"encoding/json"
	"time"
)

// IncidentState is whether an incident is open.
type IncidentState string

// The states of an incident.
const (
	IncidentFiring   IncidentState = "firing"
	IncidentResolved IncidentState = "resolved"
)

// Incident is an incident as the store and the pages show it.
type Incident struct {
	Incident string        `json:"incident"`
	Model    string        `json:"model"`
	Version  string        `json:"version"`
	Severity Severity      `json:"severity"`
	State    IncidentState `json:"state"`
	Fault    Fault         `json:"fault"`
	RunnerUp *RunnerUp     `json:"runner_up,omitempty"`
	Columns  []string      `json:"columns"`
	Slices   []string      `json:"slices"`
	Title    string        `json:"title"`
	Onset    time.Time     `json:"onset"`
	Detected time.Time     `json:"detected"`
	Resolved time.Time     `json:"resolved,omitzero"`
	Updated  time.Time     `json:"updated"`
	Messages int           `json:"messages"` // sent so far; the last one's seq
	Effect   Effect        `json:"effect"`
	Evidence []Evidence    `json:"evidence"`
	Window   Interval      `json:"window"`
	Reason   string        `json:"reason,omitempty"`
}

// Step is one decision about a model: what was read, what was found, what
// state it leaves and what is to be said. It is written as one insert.
type Step struct {
	Model      string
	Step       uint64          // from 1, without holes
	Writer     string          // who wrote it; tells two evaluators of one step apart
	At         time.Time       // wall clock
	Inputs     json.RawMessage // windows with their revisions and end offsets, trips
	Parameters json.RawMessage // of every decision in it
	Verdicts   []Verdict
	State      []byte // of detectors, incidents and policies after the step
	Incidents  []Incident
	Requests   []RetrainRequest
	Outbox     []Message
}

// RetrainState is where a retrain request stands.
type RetrainState string

// The states of a retrain request.
const (
	RetrainRequested RetrainState = "requested"
	RetrainHeld      RetrainState = "held"
	RetrainClaimed   RetrainState = "claimed"
	RetrainSucceeded RetrainState = "succeeded"
	RetrainFailed    RetrainState = "failed"
	RetrainExpired   RetrainState = "expired"
)
