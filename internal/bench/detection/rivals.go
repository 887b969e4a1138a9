package detection

import (
	"math"

	"github.com/modelwatch/modelwatch/detectors/drift"
	"github.com/modelwatch/modelwatch/detectors/stat"
)

// series is the bins of one column in all windows of a model.
type series [][]uint64

// follower looks at one column window by window.
type follower interface {
	// alarm takes the bins of window t and says whether it raises an alarm in it.
	alarm(t int, bins []uint64) bool
}

// measurer is a follower whose alarm is a statistic above its limit, so that
// one pass serves all limits.
type measurer interface {
	// measure takes the bins of window t; NaN where there is nothing to say.
	measure(t int, bins []uint64) float64
}

// rival is a rule that others use.
type rival struct {
	name  string
	about string
	limit float64 // by default; a greater one alarms less
	rows  bool    // looks at single rows, which takes long
	// fit learns a column from its reference. matched: by hour of the week.
	fit func(ref series, limit float64, matched bool) follower
}

func rivals() []rival {
	return []rival{
		{name: "ks", about: "Kolmogorov-Smirnov, p < .05", limit: -math.Log(.05), fit: fitKS},
		{name: "psi", about: "PSI on tenths > .2", limit: .2, fit: fitPSI},
		{name: "js_hour", about: "Jensen-Shannon > mean + 3 sd, by hour (NannyML's rule)", limit: 3, fit: fitJS(1)},
		{name: "js_day", about: "Jensen-Shannon > mean + 3 sd, by day", limit: 3, fit: fitJS(24)},
		{name: "page_hinkley", about: "Page-Hinkley on window means (river)", limit: 50, fit: fitMeans(pageHinkleyAt)},
		{name: "adwin", about: "ADWIN on window means (river)", limit: -math.Log(.002), fit: fitMeans(adwinAt)},
		{name: "page_hinkley_rows", about: "Page-Hinkley on rows (river)", limit: 50, rows: true, fit: fitRows(pageHinkleyAt)},
		{name: "adwin_rows", about: "ADWIN on rows (river)", limit: -math.Log(.002), rows: true, fit: fitRows(adwinAt)},
	}
}

// sum merges windows.
func (s series) sum(take func(t int) bool) []uint64 {
	out := make([]uint64, len(s[0]))
	for t, bins := range s {
		if take(t) {
			for b, n := range bins {
				out[b] += n
			}
		}
	}
	return out
}

func everything(int) bool { return true }

// references are what a window is held against: the whole reference, or with
// matched that of the same hour of the week.
type references struct {
	of [][]uint64
}

func newReferences(ref series, matched bool) references {
	if !matched {
		return references{[][]uint64{ref.sum(everything)}}
	}
	var r references
	for h := range 168 {
		r.of = append(r.of, ref.sum(func(t int) bool { return t%168 == h }))
	}
	return r
}

func (r references) at(t int) []uint64 { return r.of[t%len(r.of)] }

// rule alarms where a statistic of the window exceeds the limit.
type rule struct {
	references
	limit     float64
	statistic func(ref, window []uint64) float64
}

func (r *rule) measure(t int, bins []uint64) float64 { return r.statistic(r.at(t), bins) }

func (r *rule) alarm(t int, bins []uint64) bool { return r.measure(t, bins) > r.limit }

// pOfKS is the p-value of two-sample Kolmogorov-Smirnov on bins.
func pOfKS(ref, win []uint64) float64 {
	return stat.KolmogorovSmirnov(drift.KS(ref, win), total(ref), total(win))
}

func total(bins []uint64) (n uint64) {
	for _, k := range bins {
		n += k
	}
	return n
}

func fitKS(ref series, limit float64, matched bool) follower {
	return &rule{newReferences(ref, matched), limit, func(ref, win []uint64) float64 {
		if total(win) == 0 {
			return 0
		}
		return -math.Log(max(pOfKS(ref, win), 1e-300))
	}}
}

func fitPSI(ref series, limit float64, matched bool) follower {
	return &rule{newReferences(ref, matched), limit, func(ref, win []uint64) float64 {
		if total(win) == 0 {
			return 0
		}
		return drift.PSI(tenths(ref), tenths(win))
	}}
}

// tenths joins forty bins to ten; fewer stay as they are.
func tenths(bins []uint64) []uint64 {
	if len(bins) != numberBins {
		return bins
	}
	out := make([]uint64, 10)
	for b, n := range bins {
		out[b*10/numberBins] += n
	}
	return out
}

// chunks is NannyML's rule: a chunk alerts when its Jensen-Shannon distance to
// the whole reference exceeds the mean of the reference's own chunks by three
// of their standard deviations (of the population), and so too where it is
// above 1, the most the distance can be.
type chunks struct {
	references
	mean, sd float64
}

func newChunks(ref series) *chunks { return fitChunks(ref, newReferences(ref, false)) }

func fitChunks(ref series, of references) *chunks {
	c := &chunks{references: of}
	n, square := 0.0, 0.0
	for t, bins := range ref {
		if total(bins) == 0 {
			continue
		}
		d := drift.JensenShannon(c.at(t), bins)
		n++
		c.mean += d
		square += d * d
	}
	c.mean /= n
	c.sd = math.Sqrt(max(0, square/n-c.mean*c.mean))
	return c
}

func (c *chunks) distance(bins []uint64) float64 { return drift.JensenShannon(c.at(0), bins) }

func (c *chunks) upper(sds float64) float64 { return c.mean + sds*c.sd }

// days is the rule on chunks of several windows.
type days struct {
	chunks
	windows int // of a chunk
	limit   float64
	sum     []uint64
}

func fitJS(windows int) func(series, float64, bool) follower {
	return func(ref series, limit float64, matched bool) follower {
		if windows > 1 {
			var joined series
			for t := 0; t+windows <= len(ref); t += windows {
				joined = append(joined, ref[t:t+windows].sum(everything))
			}
			ref = joined
		}
		of := newReferences(ref, false)
		if matched && windows == 1 {
			of = newReferences(ref, true)
		} else if matched {
			of.of = nil
			for d := range 7 {
				of.of = append(of.of, ref.sum(func(t int) bool { return t%7 == d }))
			}
		}
		return &days{chunks: *fitChunks(ref, of), windows: windows, limit: limit}
	}
}

func (d *days) alarm(t int, bins []uint64) bool { return d.measure(t, bins) > d.limit }

// measure is the distance in sd of the reference's chunks from their mean.
func (d *days) measure(t int, bins []uint64) float64 {
	sum, at := bins, t
	if d.windows > 1 {
		if t%d.windows == 0 || d.sum == nil {
			d.sum = make([]uint64, len(bins))
		}
		for b, n := range bins {
			d.sum[b] += n
		}
		if t%d.windows != d.windows-1 {
			return math.NaN() // the day is not over
		}
		sum, at = d.sum, t/d.windows
	}
	if total(sum) == 0 {
		return math.NaN()
	}
	return (drift.JensenShannon(d.at(at), sum) - d.mean) / max(d.sd, 1e-12)
}

// updater is ADWIN or Page-Hinkley.
type updater interface{ Update(x float64) bool }

func adwinAt(limit float64) updater { return NewADWIN(limit) }

func pageHinkleyAt(limit float64) updater {
	p := NewPageHinkley()
	p.Threshold = limit
	return p
}

// means feeds window means in sd of the reference's rows, or with matched
// their distance from the mean of the same hour of the week in sd of the
// reference's distances.
type means struct {
	score  []float64 // value of a bin
	season []float64 // by hour of the week; one entry for none
	unit   float64
	to     updater
}

func fitMeans(make func(limit float64) updater) func(series, float64, bool) follower {
	return func(ref series, limit float64, matched bool) follower {
		m := newMeans(ref, matched)
		if matched {
			square := 0.0
			for t, bins := range ref {
				x := m.value(t, bins)
				square += x * x / float64(len(ref))
			}
			m.unit = max(math.Sqrt(square), 1e-9)
		}
		m.to = make(limit)
		for t, bins := range ref { // it has seen the reference
			m.to.Update(m.value(t, bins))
		}
		return m
	}
}

func newMeans(ref series, matched bool) *means {
	m := &means{score: binScores(ref.sum(everything)), unit: 1}
	of := newReferences(ref, matched)
	for _, bins := range of.of {
		m.season = append(m.season, mean(m.score, bins))
	}
	return m
}

func (m *means) value(t int, bins []uint64) float64 {
	if total(bins) == 0 {
		return 0
	}
	return (mean(m.score, bins) - m.season[t%len(m.season)]) / m.unit
}

func (m *means) alarm(t int, bins []uint64) bool { return m.to.Update(m.value(t, bins)) }

func mean(score []float64, bins []uint64) float64 {
	sum, n := 0.0, 0.0
	for b, k := range bins {
		sum += float64(k) * score[b]
		n += float64(k)
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

// binScores are the normal quantiles of the middles of the bins.
func binScores(ref []uint64) []float64 {
	out := make([]float64, len(ref))
	n, cum := float64(total(ref))+float64(len(ref))/2, 0.0
	for b, k := range ref {
		p := (float64(k) + .5) / n
		out[b] = math.Sqrt2 * math.Erfinv(2*(cum+p/2)-1)
		cum += p
	}
	return out
}

// lines feeds the single rows of a window in an order drawn for it.
type lines struct {
	means
	s *source
	x []float64
}

// warmWindows of the reference are read row by row before the test.
const warmWindows = 168

func fitRows(make func(limit float64) updater) func(series, float64, bool) follower {
	return func(ref series, limit float64, matched bool) follower {
		l := &lines{means: *newMeans(ref, matched), s: newSource()}
		l.to = make(limit)
		for t := len(ref) - warmWindows; t < len(ref); t++ {
			l.alarm(t, ref[t])
		}
		return l
	}
}

func (l *lines) alarm(t int, bins []uint64) (found bool) {
	l.x = l.x[:0]
	for b, n := range bins {
		for range n {
			l.x = append(l.x, l.score[b]-l.season[t%len(l.season)])
		}
	}
	l.s.at(uint64(t), total(bins)).Shuffle(len(l.x), func(i, j int) { l.x[i], l.x[j] = l.x[j], l.x[i] })
	for _, x := range l.x {
		found = l.to.Update(x) || found
	}
	return found
}
