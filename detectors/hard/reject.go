package hard

import (
	"strings"

	"github.com/modelwatch/modelwatch/schemas"
)

// Reject is one event that could not be used although its model was known.
type Reject struct {
	Fault   schemas.Fault // unparsable, future_events, late_data
	Part    schemas.Part  // of the event, 0 where it is not known or there are several
	Offset  int64
	Time    int64  // of the record, Unix milliseconds: that of the event is not to be trusted
	Start   int64  // of the window that holds Time
	Version string // "" where it is not known
	Value   string
	Reason  string
}

// Reject passes an event that could not be used. It must come before any
// checked row of a higher offset; rows of lower offsets may still come, and
// it is passed in its place among them. Its strings are copied.
//
// Events that could be used are the good rows of these rules; a reject for
// one reason leaves the other reasons alone.
func (c *Checker) Reject(j Reject) {
	r := c.rejected(j.Fault, j.Part)
	rank := c.rank(j.Offset)
	j.Value, j.Reason, j.Version = cut(j.Value), strings.Clone(j.Reason), strings.Clone(j.Version)
	if r.wants(rank) {
		r.keep(schemas.Violation{
			Model: c.model, Version: j.Version, Fault: j.Fault, Feature: r.feature, Value: j.Value, Reason: j.Reason,
			Time: j.Time, Offset: j.Offset, Rank: rank,
		})
	}
	c.changes++
	c.pending = append(c.pending, j)
}

func (c *Checker) rejected(f schemas.Fault, p schemas.Part) *rule {
	for _, r := range c.rejects {
		if r.fault == f && r.feature == p.String() {
			return r
		}
	}
	r := &rule{fault: f, feature: p.String()}
	c.rejects = append(c.rejects, r)
	return r
}

// passRejects passes the pending rejects in their place among the rows of v,
// and all that are pending when v is nil.
func (c *Checker) passRejects(v *View) {
	rows := 0
	if v != nil {
		rows = v.Rows
	}
	for _, r := range c.rejects {
		r.next = 0
	}
	n, row := 0, 0
	for _, j := range c.pending {
		for row < rows && v.Offset[row] < j.Offset {
			row++
		}
		if v != nil && row == rows {
			break // rows of the next view may come before it
		}
		n++
		r := c.rejected(j.Fault, j.Part)
		r.good(int64(row) - r.next)
		r.next = int64(row)
		if t := r.hit(mark{j.Offset, j.Time}, j.Start); t != nil {
			c.describe(t, r, j.Version, j.Value, j.Reason)
		}
	}
	c.pending = append(c.pending[:0], c.pending[n:]...)
	for _, r := range c.rejects {
		r.good(int64(rows) - r.next)
	}
}
