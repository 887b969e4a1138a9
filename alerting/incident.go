package alerting

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// member is what one track has brought into an incident.
type member struct {
	key
	sighting

	First   int64  `json:"first"` // start of the first bad window
	Last    int64  `json:"last"`  // start of the last
	Ended   int64  `json:"ended,omitempty"`
	Lead    bool   `json:"lead,omitempty"`
	Live    bool   `json:"live,omitempty"` // its episode goes on
	Unknown int    `json:"unknown,omitempty"`
	Since   int64  `json:"since,omitempty"` // of being unknown
	Mute    string `json:"mute,omitempty"`
}

// said is what the last message told; the next one must differ from it.
type said struct {
	Fault    schemas.Fault    `json:"fault"`
	Severity schemas.Severity `json:"severity"`
	Columns  []string         `json:"columns"`
	Slices   []string         `json:"slices"`
	Effect   schemas.Effect   `json:"effect"`
}

// incident is the state behind a schemas.Incident.
type incident struct {
	ID        string        `json:"id"`
	Model     string        `json:"model"`
	Fault     schemas.Fault `json:"fault"`
	Members   []*member     `json:"members"` // sorted
	Born      int64         `json:"born"`    // start of the window that showed its cause
	Seq       int           `json:"seq"`     // of the last message
	Updates   int           `json:"updates,omitempty"`
	Resolved  bool          `json:"resolved,omitempty"`
	Over      int64         `json:"over,omitempty"` // event time at which it was resolved
	Updated   int64         `json:"updated"`
	Muted     bool          `json:"muted,omitempty"`     // "cannot tell" has been said
	Withdrawn bool          `json:"withdrawn,omitempty"` // a revision has shown that it was not there
	Reason    string        `json:"reason,omitempty"`
	Said      said          `json:"said"`
}

func (i *incident) member(k key) *member {
	n, found := slices.BinarySearchFunc(i.Members, k, func(m *member, k key) int { return m.compare(k) })
	if !found {
		i.Members = slices.Insert(i.Members, n, &member{key: k})
	}
	return i.Members[n]
}

// take copies the episode of a track into the incident.
func (i *incident) take(k key, e *episode) {
	m := i.member(k)
	*m = member{
		key: k, sighting: e.sighting, First: e.First, Last: e.Last, Lead: e.Lead, Live: true,
		Unknown: e.Unknown, Since: e.UnknownFrom, Mute: e.Mute,
	}
}

func (i *incident) leads(yield func(*member) bool) {
	for _, m := range i.Members {
		if m.Lead && !yield(m) {
			return
		}
	}
}

// first is the start of the first bad window of its causes.
func (i *incident) first() int64 {
	first := int64(math.MaxInt64)
	for m := range i.leads {
		first = min(first, m.First)
	}
	return first
}

// nameOutput names an incident of what the model says by what moved first, as its
// leads may come and go.
func (i *incident) nameOutput() {
	if tierOf(i.Fault) != tierOutput {
		return
	}
	first := int64(math.MaxInt64)
	for m := range i.leads {
		if m.First < first {
			first, i.Fault = m.First, m.Fault
		}
	}
}

// last is the start of the last bad window of its causes.
func (i *incident) last() int64 {
	last := int64(math.MinInt64)
	for m := range i.leads {
		last = max(last, m.Last)
	}
	return last
}

// columns of its causes, sorted.
func (i *incident) columns() []string {
	out := []string{}
	for m := range i.leads {
		out = union(out, m.Columns)
	}
	return out
}

// running says whether a cause still goes on.
func (i *incident) running() bool {
	for m := range i.leads {
		if m.Live {
			return true
		}
	}
	return false
}

// unknown returns since when and why nothing of it can be judged any more,
// after that many windows.
func (i *incident) unknown(hold int) (since int64, why string, ok bool) {
	since = math.MaxInt64
	for m := range i.leads {
		if !m.Live {
			continue
		}
		if m.Unknown < hold {
			return 0, "", false
		}
		since = min(since, m.Since)
		if why == "" {
			why = m.Mute
		}
	}
	return since, why, since != math.MaxInt64
}

// sum joins the sightings of the causes.
func (i *incident) sum() sighting {
	var s sighting
	begun := false
	for m := range i.leads {
		if !begun {
			s, begun = m.sighting, true
			continue
		}
		s.add(m.sighting)
	}
	if s.Whole {
		s.Slices = nil
	}
	return s
}

// record is the incident as it stands.
func (i *incident) record() schemas.Incident {
	s := i.sum()
	r := schemas.Incident{
		Incident: i.ID, Model: i.Model, Version: s.version(), Severity: i.severity(s), State: schemas.IncidentFiring,
		Fault: i.Fault, Columns: i.columns(), Slices: append([]string{}, s.Slices...),
		Onset: moment(s.Onset), Detected: moment(s.Detected), Updated: moment(i.Updated), Messages: i.Seq,
		Effect: s.Effect, Evidence: i.evidence(), Window: schemas.Interval{Start: moment(s.Start), End: moment(s.End)}, Reason: i.Reason,
	}
	end := time.Time{}
	if i.Resolved {
		r.State, r.Resolved = schemas.IncidentResolved, moment(i.Over)
		end = r.Window.End
	}
	r.Title = Title(r, end)
	return r
}

// severity is the gravest that was seen of anything in it; it never falls
// below what was said.
func (i *incident) severity(s sighting) schemas.Severity {
	worst := s.Severity
	for _, m := range i.Members {
		if m.Severity.Rank() > worst.Rank() {
			worst = m.Severity
		}
	}
	if i.Said.Severity.Rank() > worst.Rank() {
		worst = i.Said.Severity
	}
	return worst
}

// evidence of the causes, a share for each, and after it one line for each consequence.
func (i *incident) evidence() []schemas.Evidence {
	const most = 2 * maxEvidence
	out := []schemas.Evidence{}
	count := 0
	for range i.leads {
		count++
	}
	each := max(1, most/max(1, count))
	for m := range i.leads {
		out = append(out, m.Evidence[:min(len(m.Evidence), each, max(0, most-len(out)))]...)
	}
	for _, m := range i.Members {
		if m.Lead || len(out) >= most+maxEvidence {
			continue
		}
		e := schemas.Evidence{Statistic: string(m.Fault)}
		if len(m.Evidence) > 0 {
			e = m.Evidence[0]
		}
		if e.Column == "" && len(m.Columns) > 0 {
			e.Column = m.Columns[0]
		}
		e.Window = schemas.Interval{Start: moment(m.Start), End: moment(m.End)}
		e.Detail = fmt.Sprintf("consequence: %s since %s", m.Fault, clock(moment(m.Onset), moment(m.Detected)))
		out = append(out, e)
	}
	return out
}

// news says what of a record deserves a message after what was said, "" for nothing.
func (s said) news(r *schemas.Incident) string {
	var news []string
	if r.Fault != s.Fault {
		news = append(news, fmt.Sprintf("the cause is %s, not %s", r.Fault, s.Fault))
	}
	if r.Severity != s.Severity {
		news = append(news, fmt.Sprintf("%s now, it was %s", r.Severity, s.Severity))
	}
	if !slices.Equal(r.Columns, s.Columns) {
		news = append(news, "on "+list(quoted(r.Columns)))
	}
	if !slices.Equal(r.Slices, s.Slices) {
		if len(r.Slices) == 0 {
			news = append(news, "everywhere now")
		} else {
			news = append(news, "for "+list(plain(r.Slices)))
		}
	}
	if doubled(s.Effect.SD, r.Effect.SD) || doubled(s.Effect.Share, r.Effect.Share) {
		news = append(news, "at least twice as large")
	}
	return strings.Join(news, "; ")
}

func doubled(was, is *float64) bool {
	return was != nil && is != nil && *was != 0 && math.Abs(*is) >= 2*math.Abs(*was)
}

func saidOf(r *schemas.Incident) said {
	return said{Fault: r.Fault, Severity: r.Severity, Columns: r.Columns, Slices: r.Slices, Effect: r.Effect}
}

// byOrder sorts incidents as they began, for choosing among several. Their ids
// play no part: they hold what was known of the onset when they were fired.
func byOrder(a, b *incident) int {
	return cmp.Or(cmp.Compare(a.first(), b.first()), cmp.Compare(tierOf(a.Fault), tierOf(b.Fault)), cmp.Compare(a.Fault, b.Fault), slices.Compare(a.columns(), b.columns()))
}
