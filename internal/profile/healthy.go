package profile

import (
	"maps"
	"math"
	"slices"

	"github.com/modelwatch/modelwatch/schemas"
)

// The channels of Healthy, by the names that the detectors know them by.
const (
	location   = "location"    // effect of the window's bins against the stream's
	nullRate   = "null_rate"   // of the rows
	nanRate    = "nan_rate"    // of the rows, with the infinities
	absentRate = "absent_rate" // of the rows
	unseenRate = "unseen_rate" // of the values; categories only
	volume     = "volume"      // natural logarithm of the rows
)

// spread collects the mean, sd and greatest of one statistic over windows.
type spread struct {
	n             int
	mean, m2, max float64
}

func (s *spread) add(x float64) {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return // a window in which the statistic is not defined
	}
	if s.n == 0 || x > s.max {
		s.max = x
	}
	s.n++
	d := x - s.mean
	s.mean += d / float64(s.n)
	s.m2 += d * (x - s.mean)
}

func (s *spread) healthy() schemas.Healthy {
	h := schemas.Healthy{Windows: s.n, Mean: s.mean, Max: s.max}
	if s.n > 1 {
		h.SD = math.Sqrt(s.m2 / float64(s.n-1))
	}
	return h
}

// measure fills Healthy of the streams that were followed by window. The
// first and the last window are cut by the ends of the data, so they do not
// count for the volume, nor, where there are more than two, for the others.
func (c *count) measure(k *counted, col *schemas.BaselineColumn) {
	if c.follow == 0 {
		return
	}
	order := slices.Sorted(maps.Keys(c.windows))
	if len(order) < 3 {
		return
	}
	order = order[1 : len(order)-1]
	cell := map[string]int{}
	for _, st := range k.streams {
		cell[st.name] = st.cell
	}
	for i := range col.Streams {
		st := &col.Streams[i]
		if at := cell[st.Slice]; at >= 0 {
			st.Healthy = c.healthy(k, col, st, order, at)
		}
	}
}

func (c *count) healthy(k *counted, col *schemas.BaselineColumn, st *schemas.BaselineStream, order []int64, at int) map[string]schemas.Healthy {
	all := map[string]*spread{nullRate: {}, nanRate: {}, absentRate: {}, volume: {}, location: {}}
	if col.Type == schemas.TypeCategory {
		all[unseenRate] = &spread{}
	}
	bins := make([]uint64, k.bins())
	for _, start := range order {
		w := c.windows[start][at : at+cellBins+k.bins()]
		rows := float64(w[cellRows])
		if rows > 0 {
			all[volume].add(math.Log(rows))
		}
		if w[cellRows] == 0 || uint64(w[cellRows]) < c.s.o.MinWindowRows {
			continue
		}
		all[nullRate].add(float64(w[cellNull]) / rows)
		all[nanRate].add(float64(w[cellNotFinite]) / rows)
		all[absentRate].add(float64(w[cellAbsent]) / rows)
		var present uint64
		for b, n := range w[cellBins:] {
			bins[b] = uint64(n)
			present += uint64(n)
		}
		if present == 0 || present < c.s.o.MinWindowRows {
			continue
		}
		if u := all[unseenRate]; u != nil {
			u.add(float64(bins[len(bins)-1]) / float64(present))
		}
		effect, _ := c.s.o.Effect(col, st, bins)
		all[location].add(effect)
	}
	out := map[string]schemas.Healthy{}
	for channel, s := range all {
		if s.n > 0 {
			out[channel] = s.healthy()
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
