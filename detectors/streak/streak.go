package streak

import (
	"cmp"
	"slices"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/schemas"
)

// Memory is what is remembered between windows. The zero value remembers
// nothing. Its entries are sorted; only streams that have alarmed and are not
// forgotten are in it.
type Memory struct {
	Entries []Entry `json:"entries,omitempty"`
}

// Entry is one channel of one stream that has alarmed.
type Entry struct {
	Part     schemas.Part  `json:"part"`
	Fault    schemas.Fault `json:"fault"`
	Version  string        `json:"version,omitempty"`
	Role     schemas.Role  `json:"role"`
	Feature  string        `json:"feature"`
	Slice    string        `json:"slice,omitempty"`
	Channel  string        `json:"channel"`
	Onset    int64         `json:"onset"`             // start of the window that alarmed, Unix milliseconds
	Detected int64         `json:"detected"`          // end of it
	Idle     int           `json:"idle,omitempty"`    // windows since the last that judged it
	Cleared  bool          `json:"cleared,omitempty"` // measured ok since it alarmed
	OK       int           `json:"ok,omitempty"`      // measured ok in a row, while Cleared
}

func (e *Entry) stream() schemas.Stream {
	return schemas.Stream{Version: e.Version, Role: e.Role, Feature: e.Feature, Slice: e.Slice}
}

// Observation is what one window says of one channel of one stream. The State
// of its verdict is StateOK, StateUnknown, or StateWarn for outside.
type Observation struct {
	schemas.Verdict
	Fault    schemas.Fault
	Severity schemas.Severity // of a finding, should it come to that
	Alarm    bool             // outside enough to be told
	Effect   schemas.Effect
	Evidence schemas.Evidence
}

// Rule says how long a stream that has alarmed is remembered.
type Rule struct {
	Clear  int // ok in a row that are told before it is forgotten; at least 1
	Forget int // windows without a judgement after which a stream is forgotten
}

// maxEvidence bounds the evidence of one finding.
const maxEvidence = 16

type key struct {
	schemas.Stream
	fault   schemas.Fault
	channel string
}

type group struct {
	fault            schemas.Fault
	version, feature string
	role             schemas.Role
}

// member is one channel of one stream that has alarmed.
type member struct {
	Entry
	state schemas.State // error, unknown, or ok
	seen  *Observation  // nil when it did not occur in this window
}

// Step takes the observations of one window and returns its verdicts, its
// findings and the memory after it; m stays as it is. Windows of one part
// must come in order; parts share a memory.
//
// A finding stands for one fault of one column of one version: it is an error
// while any of its streams is outside, unknown while none is but some cannot
// be judged, and ok once all that had alarmed are measured as ok. That is said
// for as many windows in a row as the rule asks for, because whoever holds the
// finding may want more than one of them; then they are forgotten. A stream
// that was ok alarms again as one that never did, and is unknown until then.
// The slices of a finding are those in which it is seen, none when the whole
// is among them.
func (m Memory) Step(w *detectors.Window, seen []Observation, r Rule) ([]schemas.Verdict, []detectors.Finding, Memory) {
	var next Memory
	old := map[key]Entry{}
	for _, e := range m.Entries {
		if e.Part == w.Part {
			old[key{e.stream(), e.Fault, e.Channel}] = e
		} else {
			next.Entries = append(next.Entries, e)
		}
	}
	groups := map[group][]member{}
	alarm := func(e Entry, state schemas.State, o *Observation) {
		g := group{e.Fault, e.Version, e.Feature, e.Role}
		groups[g] = append(groups[g], member{e, state, o})
	}
	verdicts := make([]schemas.Verdict, 0, len(seen))
	for i := range seen {
		o := &seen[i]
		k := key{o.Stream, o.Fault, o.Channel}
		e, known := old[k]
		delete(old, k)
		v := o.Verdict
		switch {
		case o.State == schemas.StateWarn && (known || o.Alarm):
			if o.Alarm && (!known || e.Cleared) {
				e = Entry{
					Part: w.Part, Fault: o.Fault, Version: o.Version, Role: o.Role, Feature: o.Feature, Slice: o.Slice,
					Channel: o.Channel, Onset: w.Start, Detected: w.End,
				}
			}
			e.Idle, e.OK = 0, 0
			if e.Cleared {
				alarm(e, schemas.StateUnknown, o) // neither ok nor an alarm
			} else {
				v.State = schemas.StateError
				alarm(e, schemas.StateError, o)
			}
			next.Entries = append(next.Entries, e)
		case o.State == schemas.StateUnknown && known:
			next.hold(e, r, func(e Entry) { alarm(e, schemas.StateUnknown, o) })
		case o.State == schemas.StateOK && known:
			e.Idle, e.Cleared = 0, true
			e.OK++
			alarm(e, schemas.StateOK, o)
			if e.OK < r.Clear {
				next.Entries = append(next.Entries, e)
			}
		}
		verdicts = append(verdicts, v)
	}
	for _, e := range old {
		next.hold(e, r, func(e Entry) { alarm(e, schemas.StateUnknown, nil) })
	}
	slices.SortFunc(next.Entries, compare)
	return verdicts, findings(w, groups), next
}

// hold keeps e although this window says nothing of it.
func (m *Memory) hold(e Entry, r Rule, alarm func(Entry)) {
	e.Idle++
	e.OK = 0
	if e.Idle > r.Forget {
		return
	}
	m.Entries = append(m.Entries, e)
	alarm(e)
}

func compare(a, b Entry) int {
	return cmp.Or(cmp.Compare(a.Part, b.Part), cmp.Compare(a.Fault, b.Fault), cmp.Compare(a.Version, b.Version),
		cmp.Compare(a.Role, b.Role), cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Slice, b.Slice), cmp.Compare(a.Channel, b.Channel))
}

func findings(w *detectors.Window, groups map[group][]member) []detectors.Finding {
	var out []detectors.Finding
	for g, all := range groups {
		slices.SortFunc(all, func(a, b member) int { return compare(a.Entry, b.Entry) })
		out = append(out, finding(w, g, all))
	}
	slices.SortFunc(out, func(a, b detectors.Finding) int {
		return cmp.Or(cmp.Compare(a.Fault, b.Fault), cmp.Compare(a.Version, b.Version), slices.Compare(a.Columns, b.Columns))
	})
	return out
}

func finding(w *detectors.Window, g group, all []member) detectors.Finding {
	f := detectors.Finding{
		Fault: g.fault, Version: g.version, Columns: []string{g.feature}, Start: w.Start, End: w.End, State: schemas.StateOK,
	}
	for _, m := range all {
		if m.state == schemas.StateError || m.state == schemas.StateUnknown && f.State == schemas.StateOK {
			f.State = m.state
		}
	}
	whole := false
	for _, m := range all {
		if f.State == schemas.StateError && m.Cleared {
			continue // that was another time
		}
		if f.Detected == 0 || m.Onset < f.Onset {
			f.Onset = m.Onset
		}
		if f.Detected == 0 || m.Detected < f.Detected {
			f.Detected = m.Detected
		}
		if m.state == schemas.StateOK && f.State != schemas.StateOK {
			continue // it is right again there
		}
		if m.Slice == "" {
			whole = true
		} else if !slices.Contains(f.Slices, m.Slice) {
			f.Slices = append(f.Slices, m.Slice)
		}
		if m.seen == nil {
			f.Reason = "no rows of it in this window"
			continue
		}
		f.Evidence = append(f.Evidence, m.seen.Evidence)
		if m.seen.Severity.Rank() > f.Severity.Rank() {
			f.Severity = m.seen.Severity
		}
		f.Effect.SD = larger(f.Effect.SD, m.seen.Effect.SD)
		f.Effect.Share = larger(f.Effect.Share, m.seen.Effect.Share)
		if m.state == f.State {
			f.Reason = m.seen.Reason
		}
	}
	slices.Sort(f.Slices)
	if whole {
		f.Slices = nil
	}
	slices.SortStableFunc(f.Evidence, func(a, b schemas.Evidence) int {
		// The whole first, then what is furthest out.
		if (a.Slice == "") != (b.Slice == "") {
			return cmp.Compare(a.Slice, b.Slice)
		}
		return cmp.Compare(b.Value, a.Value)
	})
	if len(f.Evidence) > maxEvidence {
		f.Evidence = f.Evidence[:maxEvidence]
	}
	return f
}

func larger(a, b *float64) *float64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}
