package hard

import (
	"slices"

	"github.com/modelwatch/modelwatch/schemas"
)

// The rule by which broken rows become a trip. These are part of what the
// stored rows are, so they are constants of the row function and no settings:
// five bad rows in a row trip, and so does any lasting share above one bad row
// for a hundred good ones; a share below that wanders about 0.
const (
	badStep   = 100 // added by a bad row
	goodStep  = 1   // taken off by a good row, down to 0
	tripLevel = 500
	// maxWindows bounds the windows of one chunk in which one rule may trip.
	maxWindows = 64
)

// mark is where a row stands.
type mark struct {
	offset int64
	time   int64
}

// cusum follows one rule over the rows it applies to, in the order of the log.
type cusum struct {
	level int64
	onset mark
	bad   uint64
	rows  uint64
	trips []schemas.Trip // by order of the log, at most one a window
}

// good passes n good rows at once; it is the same as n times one.
func (c *cusum) good(n int64) {
	if c.level == 0 || n == 0 {
		return
	}
	if n*goodStep >= c.level {
		c.reset()
		return
	}
	c.level -= n * goodStep
	c.rows += uint64(n)
}

func (c *cusum) reset() {
	c.level, c.bad, c.rows = 0, 0, 0
}

// hit passes one bad row of the window that starts at start. It returns the
// trip to be described, nil unless this row tripped the rule for the first
// time in that window.
func (c *cusum) hit(at mark, start int64) *schemas.Trip {
	if c.level == 0 {
		c.onset = at
	}
	c.level += badStep
	c.bad++
	c.rows++
	if c.level < tripLevel {
		return nil
	}
	t := schemas.Trip{
		WindowStart: start, Onset: c.onset.time, OnsetOffset: c.onset.offset,
		Time: at.time, Offset: at.offset, Bad: c.bad, Rows: c.rows,
	}
	c.reset()
	known := slices.ContainsFunc(c.trips, func(o schemas.Trip) bool { return o.WindowStart == start })
	if known || len(c.trips) == maxWindows {
		return nil
	}
	c.trips = append(c.trips, t)
	return &c.trips[len(c.trips)-1]
}
