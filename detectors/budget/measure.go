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
	groups := yardsticksOf(w.Baseline).groups(w)
	for i := range groups {
		all, err := groups[i].measure(w)
		if err != nil {
			return nil, err
		}
		for _, x := range all {
			out = append(out, x.Observation)
		}
	}
	return out, nil
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

// group is one column of one version in a window.
type group struct {
	*yardstick
	role     schemas.Role
	feature  string
	version  string
	whole    *detectors.Entry // nil: the window has slices only
	slices   []*detectors.Entry
	rows     uint64 // of RoleRows: events, over all versions
	channels []string
}

// reading is one statistic of a window; group and entry are what it was made from.
type reading struct {
	Observation
	group *group
	entry *detectors.Entry
}

// groups gathers the columns of a window that can be judged, in its order.
func (ys yardsticks) groups(w *detectors.Window) []group {
	var out []group
	rows := -1
	for i := range w.Entries {
		e := &w.Entries[i]
		if e.Role == schemas.RoleRows {
			if e.Feature != w.Part.String() || e.Slice != "" || e.Rows == 0 {
				continue
			}
			if rows < 0 {
				rows = len(out)
				out = append(out, group{role: e.Role, feature: e.Feature, channels: []string{volumeOf(w.Part)}})
			}
			out[rows].rows += e.Rows
			continue
		}
		if e.Role.Part() != w.Part {
			continue
		}
		names := channelsOf(e.Role)
		y := ys[columnKey{e.Role, e.Feature}]
		if names == nil || y == nil {
			continue
		}
		last := len(out) - 1
		if last < 0 || out[last].role != e.Role || out[last].feature != e.Feature || out[last].version != e.Version || out[last].yardstick == nil {
			out = append(out, group{yardstick: y, role: e.Role, feature: e.Feature, version: e.Version, channels: names})
			last++
		}
		if e.Slice == "" {
			out[last].whole = e
		} else {
			out[last].slices = append(out[last].slices, e)
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

func channelsOf(r schemas.Role) []string {
	switch r {
	case schemas.RoleFeature, schemas.RolePrediction, schemas.RoleScore:
		return order[:]
	case schemas.RoleLatency:
		return order[:1]
	}
	return nil
}

// measure returns the readings of all channels of the column.
func (g *group) measure(w *detectors.Window) ([]reading, error) {
	if g.yardstick == nil {
		x := reading{group: g, Observation: Observation{
			Key: Key{Role: g.role, Feature: g.feature, Channel: g.channels[0]},
			Y:   math.Log(float64(g.rows)), R: 1 / float64(g.rows), N: g.rows,
		}}
		return []reading{x}, nil
	}
	var out []reading
	add := func(e *detectors.Entry, channel string, m measured) error {
		x := reading{group: g, entry: e, Observation: Observation{
			Key: Key{g.role, g.feature, e.Slice, channel}, Version: g.version, Y: m.y, R: m.r, N: m.n,
		}}
		if !finite(m.y) || !finite(m.r) || m.r < 0 {
			return fmt.Errorf("measuring %s of %s in the window of %d: %v with variance %v", x.Key, w.Model, w.Start, m.y, m.r)
		}
		out = append(out, x)
		return nil
	}
	if g.whole == nil {
		return nil, nil // nothing to hold a slice against
	}
	whole := countsOf(g.whole.Summary)
	for _, channel := range g.channels {
		m, ok := g.channel(channel, &whole, &g.yardstick.whole, g.shape)
		if channel == Distinct {
			m, ok = g.distinct(g.whole.Summary)
		}
		if !ok {
			continue
		}
		if err := add(g.whole, channel, m); err != nil {
			return nil, err
		}
	}
	for _, e := range g.slices {
		mine, rest := g.split(&whole, e, nil)
		for _, channel := range g.channels {
			m, ok := g.difference(channel, e.Slice, &mine, &rest, nil)
			if !ok {
				continue
			}
			if err := add(e, channel, m); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// split returns the counts of a slice, and of the whole without it and
// without the slices that were found out already.
func (g *group) split(whole *counts, e *detectors.Entry, found []*detectors.Entry) (mine, rest counts) {
	mine = countsOf(e.Summary)
	rest = whole.without(&mine)
	for _, f := range found {
		if f.Slice != e.Slice {
			k := countsOf(f.Summary)
			rest = rest.without(&k)
		}
	}
	return mine, rest
}

// difference measures a slice against the rest of the rows. What the rest
// lacks by the slices found out already is corrected by how it differs in the
// reference, so that the healthy difference stays the one that was learnt.
func (g *group) difference(channel, slice string, mine, rest *counts, found []*detectors.Entry) (measured, bool) {
	ref, ok := g.yardstick.slices[slice]
	if !ok || channel == Distinct {
		return measured{}, false
	}
	restRef := g.yardstick.whole.without(&ref)
	a, ok := g.channel(channel, mine, &ref, g.shapes[slice])
	if !ok {
		return measured{}, false
	}
	left := restRef
	for _, f := range found {
		if k, known := g.yardstick.slices[f.Slice]; known && f.Slice != slice {
			left = left.without(&k)
		}
	}
	b, ok := g.channel(channel, rest, &left, g.shape)
	if !ok {
		return measured{}, false
	}
	correction := 0.0
	if len(found) > 0 {
		was, ok1 := g.channel(channel, &restRef, &restRef, g.shape)
		is, ok2 := g.channel(channel, &left, &left, g.shape)
		if ok1 && ok2 {
			correction = was.y - is.y
		}
	}
	return measured{a.y - b.y - correction, a.r + b.r, a.n}, true
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
