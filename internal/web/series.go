package web

import (
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// point is one window of a series, measured and judged as far as it was.
type point struct {
	start, end time.Time
	value      float64
	known      bool   // value was measured; else why says what is missing
	why        string // why value is not known, or not judged
	judged     bool   // the band below holds for this window
	low, high  float64
	outside    bool
	open       bool // the window is still filling
	n          uint64
	late       uint64
	revision   uint64
}

// statistic is what of a window a channel looks at.
type statistic struct {
	channel string
	name    string // in a sentence: "rows", "share of nulls"
	format  func(float64) string
	zero    bool // counts and shares: the axis begins at 0
	// of takes the value from a window; false where there are no rows to take
	// it from. nil: the verdict's effect is the value.
	of func(w *schemas.WindowRow) (float64, bool)
}

// statistics are the channels whose value stands in the windows themselves.
// Any other channel is shown by the effect that its verdicts hold, which for
// drift is the distance that its healthy range speaks of.
func statistics(channel string) statistic {
	share := func(part func(*schemas.WindowRow) uint64) func(*schemas.WindowRow) (float64, bool) {
		return func(w *schemas.WindowRow) (float64, bool) {
			if w.Rows == 0 {
				return 0, false
			}
			return float64(part(w)) / float64(w.Rows), true
		}
	}
	s := statistic{channel: channel, format: percent, zero: true}
	switch channel {
	case "volume":
		s.name, s.format = "rows per window", number
		s.of = func(w *schemas.WindowRow) (float64, bool) { return float64(w.Rows), true }
	case "null_rate":
		s.name, s.of = "share of nulls", share(func(w *schemas.WindowRow) uint64 { return w.Nulls })
	case "absent_rate":
		s.name, s.of = "share of rows without it", share(func(w *schemas.WindowRow) uint64 { return w.Absent })
	case "unseen_rate":
		s.name, s.of = "share of unseen values", share(func(w *schemas.WindowRow) uint64 { return w.Unseen })
	case "bad_rate":
		s.name, s.of = "share of values that break a rule", share(func(w *schemas.WindowRow) uint64 { return w.Bad })
	case "not_finite_rate":
		s.name, s.of = "share of NaN and infinite values", share(func(w *schemas.WindowRow) uint64 { return w.NaNs + w.Infs })
	case "mean":
		s.name, s.format, s.zero = "mean", number, false
		s.of = func(w *schemas.WindowRow) (float64, bool) {
			if w.Mean == nil {
				return 0, false
			}
			return *w.Mean, true
		}
	default:
		s.name, s.format = "distance from healthy", sd
	}
	return s
}

// ofFault is the channel that shows a fault where no verdict says which.
func ofFault(f schemas.Fault) string {
	switch f {
	case schemas.FaultNulls:
		return "null_rate"
	case schemas.FaultMissingColumn:
		return "absent_rate"
	case schemas.FaultUnseenValues, schemas.FaultUnexpectedValue:
		return "unseen_rate"
	case schemas.FaultWrongType, schemas.FaultOutOfRange, schemas.FaultUnparsable:
		return "bad_rate"
	case schemas.FaultNotFinite:
		return "not_finite_rate"
	case schemas.FaultVolume, schemas.FaultNoData, schemas.FaultDuplicates, schemas.FaultFutureEvents,
		schemas.FaultLateData, schemas.FaultExtraColumn, schemas.FaultCaptureGap, schemas.FaultRetentionGap:
		return "volume"
	}
	return "location"
}

// loudest returns the channel with the most verdicts outside, the earliest in
// the alphabet of several; "" where none is.
func loudest(verdicts []schemas.Verdict) string {
	outside := map[string]int{}
	for i := range verdicts {
		if v := &verdicts[i]; v.State == schemas.StateError || v.State == schemas.StateWarn {
			outside[v.Channel]++
		}
	}
	best := ""
	for channel, n := range outside {
		if m := outside[best]; best == "" || n > m || n == m && channel < best {
			best = channel
		}
	}
	return best
}

// series joins the windows of one stream with the verdicts of one channel
// into points, oldest first. Windows of several versions are summed; several
// verdicts of one window are represented by the worst.
func series(s statistic, windows []schemas.WindowRow, verdicts []schemas.Verdict) []point {
	byStart := map[int64]schemas.Verdict{}
	for _, v := range verdicts {
		if v.Channel != s.channel {
			continue
		}
		if old, ok := byStart[v.Start]; !ok || worse(v.State, old.State) {
			byStart[v.Start] = v
		}
	}
	var points []point
	for _, w := range merged(windows) {
		p := point{start: w.Start, end: w.End, n: w.Rows, late: w.Late, revision: w.Revision, open: !w.Closed}
		v, found := byStart[w.Start.UnixMilli()]
		delete(byStart, w.Start.UnixMilli())
		if s.of != nil {
			p.value, p.known = s.of(&w)
		}
		switch {
		case !found && p.open:
			p.why = "still open"
		case !found:
			p.why = "not judged"
		case v.State == schemas.StateUnknown:
			p.known, p.why = false, v.Reason
		default:
			if s.of == nil {
				p.value, p.known = v.Effect, true
			}
			p.judged = v.High > v.Low
			p.low, p.high = v.Low, v.High
			p.outside = v.State != schemas.StateOK
		}
		if !p.known && p.why == "" {
			p.why = "no rows"
		}
		if !finite(p.value) || p.judged && (!finite(p.low) || !finite(p.high)) {
			p.known, p.judged, p.why = false, false, "not a number"
		}
		points = append(points, p)
	}
	// A window of which there is no row was still judged: an empty one is a finding.
	for start, v := range byStart {
		p := point{start: time.UnixMilli(start).UTC(), why: v.Reason, judged: v.High > v.Low, low: v.Low, high: v.High}
		if s.channel == "volume" && v.State != schemas.StateUnknown {
			p.known, p.outside = true, v.State != schemas.StateOK
		}
		if p.why == "" {
			p.why = "no rows"
		}
		points = append(points, p)
	}
	slices.SortFunc(points, func(a, b point) int { return a.start.Compare(b.start) })
	width := step(points)
	for i := range points {
		if points[i].end.IsZero() {
			points[i].end = points[i].start.Add(width)
		}
	}
	return points
}

// merged sums the windows of all versions and orders them.
func merged(windows []schemas.WindowRow) []schemas.WindowRow {
	var out []schemas.WindowRow
	at := map[int64]int{}
	for _, w := range windows {
		i, ok := at[w.Start.UnixMilli()]
		if !ok {
			at[w.Start.UnixMilli()] = len(out)
			out = append(out, w)
			continue
		}
		sum := &out[i]
		sum.Rows += w.Rows
		sum.Present += w.Present
		sum.Absent += w.Absent
		sum.Nulls += w.Nulls
		sum.NaNs += w.NaNs
		sum.Infs += w.Infs
		sum.Bad += w.Bad
		sum.Unseen += w.Unseen
		sum.Late += w.Late
		sum.Revision = max(sum.Revision, w.Revision)
		sum.Closed = sum.Closed && w.Closed
	}
	slices.SortFunc(out, func(a, b schemas.WindowRow) int { return a.Start.Compare(b.Start) })
	return out
}

// step is the length of the windows: of the first one that knows its end, else
// the least distance of two.
func step(points []point) time.Duration {
	least := time.Duration(0)
	for i, p := range points {
		if !p.end.IsZero() {
			return p.end.Sub(p.start)
		}
		if i > 0 {
			if d := p.start.Sub(points[i-1].start); least == 0 || d < least {
				least = d
			}
		}
	}
	return max(least, time.Minute)
}

func worse(a, b schemas.State) bool { return rank(a) < rank(b) }

// rank orders states, worst first.
func rank(s schemas.State) int {
	switch s {
	case schemas.StateError:
		return 0
	case schemas.StateWarn:
		return 1
	case schemas.StateUnknown:
		return 2
	}
	return 3
}

// gap is a stretch of which nothing is known.
type gap struct {
	from, to time.Time
	why      string
}

// gaps returns the stretches between and over points that are not known:
// windows that are missing altogether and windows without a value. Touching
// stretches with one reason are one.
func gaps(points []point) []gap {
	var out []gap
	add := func(g gap) {
		if n := len(out); n > 0 && out[n-1].why == g.why && !g.from.After(out[n-1].to) {
			out[n-1].to = g.to
			return
		}
		out = append(out, g)
	}
	for i, p := range points {
		if i > 0 && p.start.After(points[i-1].end) {
			add(gap{points[i-1].end, p.start, "no data"})
		}
		if !p.known {
			add(gap{p.start, p.end, p.why})
		}
	}
	return out
}

// joined says whether a line may lead from a to b, the next point: both known,
// neither open, nothing missing between.
func joined(a, b point) bool {
	return a.known && b.known && !a.open && !b.open && !b.start.After(a.end)
}

// thin keeps at most about most points: of each stretch the least and the
// greatest value, and every point that is outside, open, not known, or at the
// border of a line, because those carry the meaning.
func thin(points []point, most int) []point {
	if len(points) <= most {
		return points
	}
	keep := make([]bool, len(points))
	for i, p := range points {
		border := i == 0 || i == len(points)-1 || !joined(points[i-1], p) || !joined(p, points[i+1])
		keep[i] = p.outside || p.open || border
	}
	size := (2*len(points) + most - 1) / most
	for from := 0; from < len(points); from += size {
		least, greatest := -1, -1
		for i := from; i < min(from+size, len(points)); i++ {
			if !points[i].known {
				continue
			}
			if least < 0 || points[i].value < points[least].value {
				least = i
			}
			if greatest < 0 || points[i].value > points[greatest].value {
				greatest = i
			}
		}
		if least >= 0 {
			keep[least], keep[greatest] = true, true
		}
	}
	out := make([]point, 0, most)
	for i, p := range points {
		if keep[i] {
			if n := len(out); n > 0 && joined(points[i-1], p) {
				out[n-1].end = p.start // what lies between was measured and is left out of the drawing only
			}
			out = append(out, p)
		}
	}
	return out
}
