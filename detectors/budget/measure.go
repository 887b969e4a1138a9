package budget

import (
	"fmt"
	"math"
	"strings"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/schemas"
)

// Key names one judged stream: one channel of one column in one slice.
// Versions share it, and with it the reference.
type Key struct {
	Role    schemas.Role
	Feature string
	Slice   string // "" the whole
	Channel string
}

// String names the key for people.
func (k Key) String() string {
	s := k.Channel + " of " + k.Role.String()
	if k.Feature != k.Role.String() {
		s += " " + k.Feature
	}
	if k.Slice != "" {
		s += " in " + k.Slice
	}
	return s
}

// Observation is what one window says of one Key. The unit of Y stands with
// the channel's name.
type Observation struct {
	Key
	Version string
	Y       float64 // the statistic
	R       float64 // its known sampling variance
	N       uint64  // values, or rows, behind it
}

// Measure returns the statistics of a window in the order of its entries, and
// in a fixed order of channels: of the whole as they are, of a slice as the
// difference to the rest of the whole's rows without it, variances added. A
// stream that cannot be measured (no value, other bins than the baseline's,
// not in the baseline) is left out. No baseline gives nothing; NaN is an error.
func Measure(w *detectors.Window, _ Parameters) ([]Observation, error) {
	if w.Baseline == nil {
		return nil, nil
	}
	var out []Observation
	all, err := yardsticksOf(w.Baseline).measure(w)
	for i := range all {
		out = append(out, all[i].Observation)
	}
	return out, err
}

type columnKey struct {
	role    schemas.Role
	feature string
}

type yardsticks map[columnKey]*yardstick

func yardsticksOf(b *schemas.Baseline) yardsticks {
	out := yardsticks{}
	for i := range b.Columns {
		c := &b.Columns[i]
		out[columnKey{c.Role, c.Name}] = newYardstick(c)
	}
	return out
}

// measure returns the readings of a window.
func (ys yardsticks) measure(w *detectors.Window) ([]reading, error) {
	groups := ys.groups(w, nil)
	out := make([]reading, 0, 8*len(w.Entries))
	var err error
	for i := range groups {
		if out, err = groups[i].measure(w, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// group is one column of one version in a window.
type group struct {
	*yardstick
	role    schemas.Role
	feature string
	version string
	whole   *detectors.Entry // nil: the window has slices only
	slices  []detectors.Entry
	rows    uint64 // of RoleRows: events, over all versions
	volume  string // of RoleRows: the channel
	first   int    // of its entries in the window

	from, to int // its streams among those of the window
}

// reading is one statistic of a window, and what it was made from.
type reading struct {
	Observation
	rank  int
	group *group
	entry *detectors.Entry
	by    *standard
}

// groups appends the columns of a window that can be judged, in its order.
func (ys yardsticks) groups(w *detectors.Window, out []group) []group {
	rows := -1
	for i := 0; i < len(w.Entries); i++ {
		e := &w.Entries[i]
		if e.Role == schemas.RoleRows {
			if e.Feature != w.Part.String() || e.Slice != "" || e.Rows == 0 {
				continue
			}
			if rows < 0 {
				rows = len(out)
				out = append(out, group{role: e.Role, feature: e.Feature, volume: volumeOf(w.Part)})
			}
			out[rows].rows += e.Rows
			continue
		}
		if e.Role.Part() != w.Part || !judged(e.Role) {
			continue
		}
		g := group{role: e.Role, feature: e.Feature, version: e.Version, first: i}
		end := i + 1
		for end < len(w.Entries) && w.Entries[end].Role == e.Role && w.Entries[end].Feature == e.Feature && w.Entries[end].Version == e.Version {
			end++
		}
		g.slices = w.Entries[i:end]
		if e.Slice == "" {
			g.whole, g.slices = e, g.slices[1:]
		}
		i = end - 1
		if g.yardstick = ys[columnKey{e.Role, e.Feature}]; g.yardstick != nil {
			out = append(out, g)
		}
	}
	return out
}

func volumeOf(p schemas.Part) string {
	if p == schemas.PartLabel {
		return LabelRate
	}
	return Volume
}

func judged(r schemas.Role) bool {
	return r == schemas.RoleFeature || r == schemas.RolePrediction || r == schemas.RoleScore || r == schemas.RoleLatency
}

// measure appends the readings of all channels of the column.
func (g *group) measure(w *detectors.Window, out []reading) ([]reading, error) {
	if g.yardstick == nil {
		y, r := g.count()
		return append(out, reading{group: g, Observation: Observation{
			Key: Key{Role: g.role, Feature: g.feature, Channel: g.volume}, Y: y, R: r, N: g.rows,
		}}), nil
	}
	err := g.visit(w, func(entry int, by *standard, r *readings) {
		e := &w.Entries[entry]
		for _, rank := range g.ranks {
			if r.has&(1<<rank) == 0 {
				continue
			}
			m := &r.of[rank]
			out = append(out, reading{rank: rank, group: g, entry: e, by: by, Observation: Observation{
				Key: Key{g.role, g.feature, e.Slice, order[rank]}, Version: g.version, Y: m.y, R: m.r, N: m.n,
			}})
		}
	})
	return out, err
}

// count returns the statistic of a number of events, and its variance.
func (g *group) count() (y, r float64) {
	return math.Log(float64(g.rows)) * sign(g.volume), 1 / float64(g.rows)
}

// visit measures the whole, then one slice after the other. f is told which
// entry of the window it is; what it is given holds until it returns.
func (g *group) visit(w *detectors.Window, f func(entry int, by *standard, r *readings)) error {
	if g.whole == nil {
		return nil // nothing to hold a slice against
	}
	whole := countsOf(g.whole.Summary)
	r := g.yardstick.measure(&whole, g.yardstick.whole)
	if g.column.Type == schemas.TypeCategory && g.column.Role != schemas.RoleLatency {
		m, ok := g.distinct(g.whole.Summary)
		r.put(rankDistinct, m, ok)
	}
	if err := g.check(w, g.whole, &r); err != nil {
		return err
	}
	f(g.first, g.yardstick.whole, &r)
	for i := range g.slices {
		e := &g.slices[i]
		by, ok := g.yardstick.slices[e.Slice]
		if !ok {
			continue
		}
		r = g.difference(&whole, e, by, nil)
		if err := g.check(w, e, &r); err != nil {
			return err
		}
		f(g.first+1+i, by, &r)
	}
	return nil
}

// check reports a statistic that is not a number.
func (g *group) check(w *detectors.Window, e *detectors.Entry, r *readings) error {
	for _, rank := range g.ranks {
		if r.has&(1<<rank) == 0 {
			continue
		}
		if m := &r.of[rank]; !finite(m.y) || !finite(m.r) || m.r < 0 {
			return fmt.Errorf("measuring %s of %s in the window of %d: %v with variance %v", Key{g.role, g.feature, e.Slice, order[rank]}, w.Model, w.Start, m.y, m.r)
		}
	}
	return nil
}

// difference measures a slice against the rest of the rows: the whole without
// it, and without the slices that were found out already. What the rest lacks
// by those is corrected by how it differs in the reference, so that the
// healthy difference stays the one that was learnt.
func (g *group) difference(whole *counts, e *detectors.Entry, by *standard, found []*detectors.Entry) readings {
	mine := countsOf(e.Summary)
	var room [128]uint64
	rest := whole.without(&mine, room[:])
	left := by.rest
	for _, f := range found {
		if f.Slice == e.Slice {
			continue
		}
		k := countsOf(f.Summary)
		rest = rest.without(&k, rest.bins)
		if known, ok := g.yardstick.slices[f.Slice]; ok {
			left = &standard{counts: left.counts.without(&known.counts, nil)}
		}
	}
	var correction readings
	if left != by.rest {
		g.prepare(left)
		left.shape = g.yardstick.whole.shape
		was, is := g.yardstick.measure(&by.rest.counts, by.rest), g.yardstick.measure(&left.counts, left)
		for rank := range correction.of {
			correction.of[rank].y = was.of[rank].y - is.of[rank].y
		}
	}
	a, b := g.yardstick.measure(&mine, by), g.yardstick.measure(&rest, left)
	a.has &= b.has
	for rank := range a.of {
		a.of[rank].y -= b.of[rank].y + correction.of[rank].y
		a.of[rank].r += b.of[rank].r
	}
	return a
}

// leave measures the whole without some of its slices, and by how much it
// differs from the whole in the reference.
func (g *group) leave(found []*detectors.Entry) (left, correction readings) {
	rest := countsOf(g.whole.Summary)
	by := &standard{counts: g.yardstick.whole.counts}
	for _, f := range found {
		k := countsOf(f.Summary)
		rest = rest.without(&k, nil)
		if known, ok := g.yardstick.slices[f.Slice]; ok {
			by.counts = by.counts.without(&known.counts, nil)
		}
	}
	g.prepare(by)
	by.shape = g.yardstick.whole.shape
	correction = g.yardstick.measure(&by.counts, by)
	was := g.yardstick.measure(&g.yardstick.whole.counts, g.yardstick.whole)
	for rank := range correction.of {
		correction.of[rank].y -= was.of[rank].y
	}
	return g.yardstick.measure(&rest, by), correction
}

// dimension names the columns that a slice splits by: slices of one dimension
// have no row in common.
func dimension(slice string) string {
	var out strings.Builder
	value, escaped := false, false
	for i := range len(slice) {
		ch := slice[i]
		switch {
		case escaped:
			escaped = false
		case ch == '\\':
			escaped = true
		case ch == '=' && !value:
			value = true
			out.WriteByte(',')
			continue
		case ch == ',' && value:
			value = false
			continue
		}
		if !value {
			out.WriteByte(ch)
		}
	}
	return out.String()
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
