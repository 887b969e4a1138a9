package backtest

import (
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// Format names the form of a report. Keys may be added to it.
const Format = "modelwatch.backtest/1"

// Report is what a backtest found. Its JSON form is documented in
// docs/backtest.md.
type Report struct {
	Format    string            `json:"format"`
	Model     string            `json:"model"`
	Source    string            `json:"source"` // file, or "stored windows"
	Window    schemas.Duration  `json:"window"` // length of a window
	Spec      string            `json:"spec"`   // hash
	Baseline  string            `json:"baseline,omitempty"`
	Reference *schemas.Interval `json:"reference,omitempty"` // what the baseline was learnt from, where it is not the monitor's
	From      time.Time         `json:"from"`                // of what was judged
	To        time.Time         `json:"to"`
	Days      float64           `json:"days"`
	Rows      int64             `json:"rows"` // of a file: that were counted
	Windows   map[string]int    `json:"windows"`
	Streams   int               `json:"streams"` // that were judged at least once
	Unjudged  []Unjudged        `json:"unjudged"`
	Notes     []string          `json:"notes"`
	Known     []Known           `json:"known"`
	Runs      []Run             `json:"runs"` // the monitor's own budget first
}

// Unjudged counts verdicts that could not be given, by reason.
type Unjudged struct {
	Reason   string `json:"reason"`
	Verdicts int    `json:"verdicts"`
	Streams  int    `json:"streams"`
}

// Run is the past at one budget.
type Run struct {
	Budget  Budget    `json:"budget"`
	Pages   Tally     `json:"pages"`
	Tickets Tally     `json:"tickets"`
	Alerts  []Alert   `json:"alerts"` // in order of time
	Known   []Outcome `json:"known"`  // by place in Report.Known
	Retrain int       `json:"retrain_requests"`

	days   []day
	series map[series][]point
}

// Budget is what the owner accepts.
type Budget struct {
	Pages   float64          `json:"pages"`
	Tickets float64          `json:"tickets"`
	Per     schemas.Duration `json:"per"`
}

// Tally compares what was sent with what is stated. An alert is not true
// where it fits no known incident; without known incidents nothing is shown to
// be true, and all that were sent count.
type Tally struct {
	Sent     int     `json:"sent"`
	NotTrue  int     `json:"not_true"`
	Stated   float64 `json:"stated_per_30d"`
	Realised float64 `json:"realised_per_30d"` // NotTrue over the days that were judged
}

// Kind is what an alert does to people.
type Kind string

// The kinds of an alert.
const (
	Page   Kind = "page"   // critical
	Ticket Kind = "ticket" // warning
	Note   Kind = "note"   // info
)

// Mark says whether an alert fits what is known.
type Mark string

// The marks of an alert; "" where no incidents are known.
const (
	Hit   Mark = "hit"   // the first to find a known incident
	Again Mark = "known" // of a known incident that was found already
	False Mark = "false" // of none
)

// Alert is one time that somebody would have been told: a firing, or the
// escalation of one to a page.
type Alert struct {
	At         time.Time             `json:"at"` // event time of what showed it
	Kind       Kind                  `json:"kind"`
	Escalation bool                  `json:"escalation,omitempty"`
	Incident   string                `json:"incident"`
	Fault      schemas.Fault         `json:"fault"`
	Title      string                `json:"title"`
	Version    string                `json:"version,omitempty"`
	Columns    []string              `json:"columns"`
	Slices     []string              `json:"slices"`
	Onset      time.Time             `json:"onset"`
	Resolved   *time.Time            `json:"resolved,omitempty"` // null: it was open at the end
	Effect     schemas.Effect        `json:"effect"`
	RunnerUp   *schemas.RunnerUp     `json:"runner_up,omitempty"`
	Evidence   []schemas.Evidence    `json:"evidence"`
	Reason     string                `json:"reason,omitempty"`
	Offsets    []schemas.OffsetRange `json:"offsets"`
	Mark       Mark                  `json:"mark,omitempty"`
	Fits       []int                 `json:"fits,omitempty"` // places in Report.Known
}

// Known is an incident that its owner knows of.
type Known struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to,omitzero"` // zero: it went on
	Columns []string  `json:"columns"`     // empty: of no column, or of any
	Note    string    `json:"note,omitempty"`
}

// Outcome is what became of a known incident.
type Outcome struct {
	State    string    `json:"state"` // found, missed, or outside: of the stretch that was judged
	Kind     Kind      `json:"kind,omitempty"`
	Incident string    `json:"incident,omitempty"`
	At       time.Time `json:"at,omitzero"`
	Delay    *float64  `json:"delay_seconds,omitempty"` // from its From to At
}

// The states of an outcome.
const (
	Found   = "found"
	Missed  = "missed"
	Outside = "outside"
)

// series names what a small drawing shows.
type series struct {
	schemas.Stream
	Channel string
}

// point is one window of a series.
type point struct {
	start     int64
	value     float32
	low, high float32
	state     schemas.State
}

// day counts what was judged within one day of event time, for the timeline.
type day struct {
	start            int64
	ok, out, unknown int
}
