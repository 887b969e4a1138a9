package alerting

import (
	"cmp"
	"slices"
	"strings"

	"github.com/modelwatch/modelwatch/schemas"
)

// key names a track.
type key struct {
	Fault   schemas.Fault `json:"fault"`
	Columns []string      `json:"columns"` // sorted
}

// compare orders tracks from causes to consequences.
func (k key) compare(o key) int {
	return cmp.Or(
		cmp.Compare(tierOf(k.Fault), tierOf(o.Fault)),
		cmp.Compare(k.Fault, o.Fault),
		slices.Compare(k.Columns, o.Columns),
	)
}

// episode is a stretch of event time in which a track is not known to be ok.
type episode struct {
	sighting

	First       int64  `json:"first"` // start of the first bad window
	Last        int64  `json:"last"`  // start and end of the last bad window
	LastEnd     int64  `json:"last_end"`
	OK          int    `json:"ok,omitempty"` // consecutive ok windows since
	OKEnd       int64  `json:"ok_end,omitempty"`
	Unknown     int    `json:"unknown,omitempty"` // consecutive unknown windows
	UnknownFrom int64  `json:"unknown_from,omitempty"`
	Mute        string `json:"mute,omitempty"` // why it is unknown

	Incident string `json:"incident,omitempty"` // "" only between two lines of code or over the cap
	Lead     bool   `json:"lead,omitempty"`     // a cause of the incident, not a consequence

	// Starts of the latest bad windows of what may be a consequence: which of
	// them its cause explains is known when the cause is over.
	Bad []int64 `json:"bad,omitempty"`
}

// track is the state of one fault of one set of columns. It exists while it
// has an episode.
type track struct {
	key

	Settled int64      `json:"settled"`         // end of the last closed window that said something
	Now     *episode   `json:"now,omitempty"`   // opened by closed windows
	Early   *episode   `json:"early,omitempty"` // opened by what lies ahead of them; only while Now is nil
	Ahead   []sighting `json:"ahead,omitempty"` // bad windows not closed yet, by start
}

// live is the episode that an incident of the track shows.
func (t *track) live() *episode {
	if t.Now != nil {
		return t.Now
	}
	return t.Early
}

// expect notes a bad window that is not closed yet.
func (t *track) expect(s sighting) {
	i, found := slices.BinarySearchFunc(t.Ahead, s.Start, func(a sighting, start int64) int { return cmp.Compare(a.Start, start) })
	switch {
	case found:
		t.Ahead[i].add(s)
	case len(t.Ahead) >= maxAhead:
		// The windows stay distinct as long as the log is followed at all; so far
		// ahead it only matters that it is still bad.
		s.Start, s.End = t.Ahead[len(t.Ahead)-1].Start, t.Ahead[len(t.Ahead)-1].End
		t.Ahead[len(t.Ahead)-1].add(s)
	default:
		t.Ahead = slices.Insert(t.Ahead, i, s)
	}
}

// foresee makes the early episode from what lies ahead, keeping the incident it has.
func (t *track) foresee() *episode {
	e := &episode{sighting: t.Ahead[0], First: t.Ahead[0].Start}
	for _, s := range t.Ahead[1:] {
		e.add(s)
	}
	e.Last, e.LastEnd = e.Start, e.End
	if t.Early != nil {
		e.Incident, e.Lead = t.Early.Incident, t.Early.Lead
	}
	return e
}

// reading is what one closed window says of one track.
type reading struct {
	sighting // Start and End always; the rest when State is error

	State schemas.State
}

// bad takes a bad window into the current episode and says whether it opened one.
func (t *track) bad(s sighting) (opened bool) {
	if t.Now == nil {
		t.Now = &episode{sighting: s, First: s.Start}
		opened = true
		if t.Early != nil {
			// The incident was fired by a later window; it began here. Should the
			// two turn out to be apart, the later one is fired anew.
			t.Now.Incident, t.Now.Lead = t.Early.Incident, t.Early.Lead
			t.Early = nil
			opened = false
		}
	} else {
		t.Now.add(s)
	}
	if tierOf(t.Fault).follows() {
		t.Now.Bad = append(t.Now.Bad, s.Start)
		t.Now.Bad = t.Now.Bad[max(0, len(t.Now.Bad)-maxAhead):]
	}
	t.Now.Last, t.Now.LastEnd = s.Start, s.End
	t.Now.OK, t.Now.Unknown, t.Now.Mute = 0, 0, ""
	return opened
}

// good counts an ok window and says whether the episode is over.
func (e *episode) good(start, end int64, clear int) bool {
	e.Unknown, e.Mute = 0, ""
	if e.OK > 0 && e.OKEnd != start {
		e.OK = 0
	}
	e.OK++
	e.OKEnd = end
	return e.OK >= clear
}

// dark counts an unknown window: it clears nothing and breaks a row of ok ones.
func (e *episode) dark(start int64, why string) {
	if e.Unknown == 0 {
		e.UnknownFrom = start
	}
	e.Unknown++
	e.OK = 0
	e.Mute = why
}

// beyond returns the first bad window after last.
func (e *episode) beyond(last int64) (start int64, ok bool) {
	for _, w := range e.Bad {
		if w > last {
			return w, true
		}
	}
	return 0, false
}

// detach makes a consequence begin with that bad window, on its own. What it
// had shown before is not told apart window by window and stays in the picture.
func (e *episode) detach(start int64) {
	e.First, e.Incident = start, ""
	e.Onset = max(e.Onset, start)
	e.Detected = max(e.Detected, e.Onset)
}

// name writes columns for hashing; distinct lists give distinct texts.
func name(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(p, `\`, `\\`), "\x00", `\0`))
		b.WriteByte(0)
	}
	return b.String()
}
