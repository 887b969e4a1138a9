package schemas

// State is a verdict in one word. Unknown is a state of its own: nothing that
// could not be judged is ever shown as healthy.
type State string

// The states of a stream.
const (
	StateOK      State = "ok"
	StateWarn    State = "warn" // outside once; not yet a finding
	StateError   State = "error"
	StateUnknown State = "unknown"
)

// Stream names what is judged.
type Stream struct {
	Version string
	Role    Role
	Feature string // the role's own name for roles other than feature and rows
	Slice   string // "" the whole
}

// Verdict is the judgement of one channel of one stream in one window.
type Verdict struct {
	Stream
	Start    int64  // of the window, Unix milliseconds
	Channel  string // location, null_rate, absent_rate, unseen_rate, volume, …
	State    State
	Effect   float64 // in reference standard deviations, or a share for rates; 0 when unknown
	Low      float64 // healthy range of the statistic
	Expected float64
	High     float64
	P        float64 // of the null hypothesis "as in the reference"; 1 when there is no test
	N        uint64  // rows behind it
	Revision uint64  // of the window
	Reason   string  // why unknown, or what decided
}
