package schemas

import "time"

// Alert is the message of one transition of an incident.
type Alert struct {
	Incident   string     `json:"incident"`
	Seq        int        `json:"seq"` // from 1
	Transition Transition `json:"transition"`
	Severity   Severity   `json:"severity"`
	Model      string     `json:"model"`
	Version    string     `json:"version"`
	Fault      Fault      `json:"fault"`
	Title      string     `json:"title"`
	Columns    []string   `json:"columns"`
	Slices     []string   `json:"slices"`
	Onset      time.Time  `json:"onset"`    // event time
	Detected   time.Time  `json:"detected"` // event time of what showed it
	Window     Interval   `json:"window"`
	Effect     Effect     `json:"effect"`
	Evidence   []Evidence `json:"evidence"`
	RunnerUp   *RunnerUp  `json:"runner_up,omitempty"`
	Replay     Replay     `json:"replay"`
	Links      Links      `json:"links"`
	Reason     string     `json:"reason,omitempty"` // why it resolved or was revised
}

// Interval is a half-open stretch of event time.
type Interval struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// Effect is the size of a fault. SD is in reference standard deviations,
// Share in parts of the rows; a fault has one of them or both.
type Effect struct {
	SD    *float64 `json:"sd,omitempty"`
	Share *float64 `json:"share,omitempty"`
}

// Evidence is one observation behind a finding.
type Evidence struct {
	Column    string   `json:"column,omitempty"`
	Slice     string   `json:"slice,omitempty"`
	Statistic string   `json:"statistic"`
	Value     float64  `json:"value"`
	Expected  *float64 `json:"expected,omitempty"`
	P         *float64 `json:"p,omitempty"`
	Rows      uint64   `json:"rows"`
	Window    Interval `json:"window"`
	Detail    string   `json:"detail,omitempty"`
}

// RunnerUp is the second best explanation.
type RunnerUp struct {
	Fault Fault   `json:"fault"`
	Score float64 `json:"score"`
}

// Replay says from what the finding can be computed again.
type Replay struct {
	Spec    string        `json:"spec"`
	Offsets []OffsetRange `json:"offsets"`
}

// OffsetRange is a half-open range of a Kafka partition.
type OffsetRange struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"`
}

// Links leads the reader on.
type Links struct {
	Incident string `json:"incident,omitempty"`
	Runbook  string `json:"runbook,omitempty"`
}

// RetrainRequest asks a job for a new version of a model.
type RetrainRequest struct {
	Request       string      `json:"request"` // also the idempotency key
	Model         string      `json:"model"`
	Version       string      `json:"version"`
	Causes        []Cause     `json:"causes"`
	Incidents     []string    `json:"incidents"`
	Data          RetrainData `json:"data"`
	Baseline      string      `json:"baseline,omitempty"`
	Requested     time.Time   `json:"requested"`      // event time
	CooldownUntil time.Time   `json:"cooldown_until"` // event time
}

// Cause is one reason to retrain.
type Cause struct {
	Kind     string      `json:"kind"` // drift | performance | schedule | labels | manual
	Column   string      `json:"column,omitempty"`
	Fault    Fault       `json:"fault,omitempty"`
	Metric   string      `json:"metric,omitempty"`
	Was      *float64    `json:"was,omitempty"`
	Is       *float64    `json:"is,omitempty"`
	Interval *[2]float64 `json:"interval,omitempty"`
	Detail   string      `json:"detail,omitempty"`
}

// RetrainData is the stretch of event time whose data show the need.
type RetrainData struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Rows   uint64    `json:"rows"`
	Labels uint64    `json:"labels"`
}

// RetrainStatus is what a job says of its request.
type RetrainStatus struct {
	Request string             `json:"request"`
	Model   string             `json:"model"`
	State   string             `json:"state"` // claimed | succeeded | failed
	By      string             `json:"by"`
	Version string             `json:"version,omitempty"`
	Run     string             `json:"run,omitempty"`
	Error   string             `json:"error,omitempty"`
	Metrics map[string]float64 `json:"metrics,omitempty"`
}

// Fallback advises to return to a named version.
type Fallback struct {
	Incident string    `json:"incident"`
	Model    string    `json:"model"`
	Version  string    `json:"version"`
	To       string    `json:"to"`
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
}

// Message is one entry of the outbox: what is to be published, once.
type Message struct {
	ID       string            `json:"id"` // unique; also Nats-Msg-Id and ce-id
	Stream   string            `json:"stream"`
	Subject  string            `json:"subject"` // ends in the message's identity: it is stored at most once
	Headers  map[string]string `json:"headers"`
	Body     []byte            `json:"body"`
	Incident string            `json:"incident,omitempty"` // messages of one incident go out in order of Seq
	Seq      int               `json:"seq,omitempty"`
}
