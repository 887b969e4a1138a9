package budget

import (
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// Calendar holds what is known beforehand of the days.
type Calendar struct {
	Zone      *time.Location     // of hours and days; nil is UTC
	Days      []Holiday          // sorted or not
	Announced []schemas.Interval // changes that were announced: windows that touch one are not judged
}

// Holiday is a day that does not go like its weekday. It uses Sunday's
// season, with four times the variance until two such days were in a reference.
type Holiday struct {
	Date string // 2006-01-02, in the calendar's zone
	Name string
}

// hourMS is one hour in milliseconds.
const hourMS = 3_600_000

// cell is a share of a window that lies in one cell of the season.
type cell struct {
	hour    int // 0 … 23
	day     int // 0 Monday … 6 Sunday
	share   float64
	holiday bool
}

// cells cuts a window into hours of the week, at most a week's worth; a
// window within one hour is one cell. Longer windows are looked at every
// hour from half an hour after their start.
func (c *Calendar) cells(start, end int64) []cell {
	n := min(max(1, int((end-start)/hourMS)), 168)
	out := make([]cell, n)
	step := (end - start) / int64(n)
	for i := range out {
		t := time.UnixMilli(start + int64(i)*step + step/2).UTC()
		if c.Zone != nil {
			t = t.In(c.Zone)
		}
		k := cell{hour: t.Hour(), day: (int(t.Weekday()) + 6) % 7, share: 1 / float64(n)}
		if c.holiday(t) {
			k.day, k.holiday = 6, true
		}
		out[i] = k
	}
	return out
}

func (c *Calendar) holiday(t time.Time) bool {
	if len(c.Days) == 0 {
		return false
	}
	date := t.Format(time.DateOnly)
	for _, d := range c.Days {
		if d.Date == date {
			return true
		}
	}
	return false
}

// announced says which announced change the window touches.
func (c *Calendar) announced(start, end int64) bool {
	for _, i := range c.Announced {
		if i.Start.UnixMilli() < end && i.End.UnixMilli() > start {
			return true
		}
	}
	return false
}
