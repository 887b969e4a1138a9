package detection

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/gonum/mathext"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// Shape is how large a model is.
type Shape struct {
	Features   int     `json:"features"`
	Categories float64 `json:"categories"` // share of the features that are categories, the last ones
	Nulls      float64 `json:"nulls"`      // share of the features that have nulls, every so many
	Slices     int     `json:"slices"`     // of one column; one of them has 3 % of the rows
	Registers  bool    `json:"registers"`  // distinct values of numbers are counted, as the service does; else "more than 64"
}

const (
	numberBins = 40
	sliceName  = "region" // the column that rows are split by
	thinShare  = .03
	thinSlice  = 7
)

// Model is a model in a world: all random numbers that do not depend on the
// window are drawn.
type Model struct {
	World World
	Shape Shape
	Seed  uint64

	Spec     *schemas.SpecRecord
	Baseline *schemas.Baseline

	counts  []int // rows, by window
	columns []column
	slices  []slice
	region  column
}

type slice struct {
	name   string
	share  float64
	absent []bool // by window; nil for never
}

// column is one feature.
type column struct {
	wave
	index    int
	name     string
	category bool
	edges    []float64 // of numbers in their units; of categories cuts of the level
	ref      []float64 // edges less base, in units of unit
	zero     int       // bin of 0 where values are rounded
	null     float64   // healthy share, 0 for none
	nullWave []float64 // AR noise of its logit
	unseen   float64
	hashes   []hashed  // of the categories, in order of the hash
	offset   []float64 // of each slice
	own      [][]float32
}

type hashed struct {
	hash uint64
	bin  int
}

// What random numbers are drawn for.
const (
	drawRows = 1 + iota
	drawCommon
	drawStorms
	drawColumn
	drawSlice
	drawComing
	drawCell
	drawMix
)

// NewModel draws a model.
func NewModel(w World, shape Shape, seed uint64) (*Model, error) {
	if shape.Features < 1 || shape.Slices < 0 || shape.Slices == 1 {
		return nil, fmt.Errorf("making a model of %d features and %d slices: at least one feature is needed, and no or at least two slices", shape.Features, shape.Slices)
	}
	m := &Model{World: w, Shape: shape, Seed: seed}
	s := newSource()
	m.counts = w.rows(s.at(seed, drawRows))
	common, storms := w.common(s.at(seed, drawCommon)), w.storms(s.at(seed, drawStorms))
	m.cut()
	numbers := shape.Features - int(math.Round(float64(shape.Features)*shape.Categories))
	for i := range shape.Features {
		m.columns = append(m.columns, m.column(i, i >= numbers, common, storms))
	}
	m.region = column{index: len(m.columns), name: sliceName, category: true}
	for i := range m.slices {
		m.region.edges = append(m.region.edges, 0)
		m.region.hashes = append(m.region.hashes, hashed{schemas.Hash([]byte(value(i))), i})
	}
	m.spec()
	return m, nil
}

func value(slice int) string { return fmt.Sprintf("s%02d", slice) }

// cut draws the slices: one of 3 %, the others as 1/k.
func (m *Model) cut() {
	rest := 0.0
	for i := range m.Shape.Slices {
		if i != thinSlice {
			rest += 1 / float64(i+1)
		}
	}
	for i := range m.Shape.Slices {
		sl := slice{name: schemas.SliceName([]string{sliceName}, []string{value(i)}), share: (1 - thinShare) / float64(i+1) / rest}
		if m.Shape.Slices <= thinSlice {
			sl.share /= 1 - thinShare
		} else if i == thinSlice {
			sl.share = thinShare
		}
		if m.World.Coming && i%3 == 2 {
			s := newSource().at(m.Seed, drawComing, uint64(i))
			sl.absent = make([]bool, allWindows)
			for t, gone := 0, false; t < allWindows; gone = !gone {
				for range 24 * (3 + s.IntN(8)) {
					if t < allWindows {
						sl.absent[t] = gone
						t++
					}
				}
			}
		}
		m.slices = append(m.slices, sl)
	}
}

func (m *Model) column(i int, category bool, common, storms []float64) column {
	s := newSource().at(m.Seed, drawColumn, uint64(i))
	c := column{wave: m.World.wave(s, common, storms), index: i, name: fmt.Sprintf("f%04d", i), category: category}
	if period := 1 / max(m.Shape.Nulls, 1e-9); math.Mod(float64(i), period) < 1 && m.Shape.Nulls > 0 {
		c.null = math.Exp(math.Log(.002) + s.Float64()*math.Log(25))
		c.nullWave = make([]float64, allWindows)
		x := 0.0
		for t := range c.nullWave {
			x = c.phi*x + c.sd*math.Sqrt(1-c.phi*c.phi)*s.innovation(m.World.Heavy)
			c.nullWave[t] = x
		}
	}
	m.divide(&c)
	switch {
	case category:
		k := 5 + s.IntN(8)
		if i%2 == 0 {
			c.unseen = .001 + .003*s.Float64()
		}
		total, cum := 0.0, 0.0
		for j := range k {
			total += 1 / float64(j+1)
		}
		for j := range k {
			if cum += 1 / float64(j+1) / total; j < k-1 {
				c.ref = append(c.ref, mathext.NormalQuantile(cum))
			}
			c.hashes = append(c.hashes, hashed{schemas.Hash([]byte(categoryName(j))), j})
		}
	case m.World.Rounded:
		for j := -8; j < 8; j++ {
			c.ref = append(c.ref, (float64(j)+.5)/3)
		}
		c.zero = 8
		for j := range len(c.ref) + 1 {
			c.hashes = append(c.hashes, hashed{summary.HashNumber(float64(j - 8)), j})
		}
	default:
		for b := 1; b < numberBins; b++ {
			c.ref = append(c.ref, mathext.NormalQuantile(float64(b)/numberBins))
		}
	}
	for _, e := range c.ref {
		c.edges = append(c.edges, c.base+c.unit*e)
	}
	slices.SortFunc(c.hashes, func(a, b hashed) int {
		if a.hash < b.hash {
			return -1
		}
		return 1
	})
	return c
}

func categoryName(i int) string { return fmt.Sprintf("c%02d", i) }

// divide gives the slices of a column levels of their own, whose mean over
// the rows is 0, and noise of half the column's sd.
func (m *Model) divide(c *column) {
	if len(m.slices) == 0 {
		return
	}
	s := newSource().at(m.Seed, drawSlice, uint64(c.index))
	mean, square := 0.0, 0.0
	for i := range m.slices {
		c.offset = append(c.offset, .3*s.NormFloat64())
		mean += m.slices[i].share * c.offset[i]
	}
	for i := range m.slices {
		c.offset[i] -= mean
		square += m.slices[i].share * c.offset[i] * c.offset[i]
		own, x := make([]float32, allWindows), 0.0
		for t := range own {
			x = c.phi*x + c.sd/2*math.Sqrt(1-c.phi*c.phi)*s.innovation(m.World.Heavy)
			own[t] = float32(x)
		}
		c.own = append(c.own, own)
	}
	c.unit = math.Sqrt(c.unit*c.unit + square)
}

// bins is how many counts the column has; the last of a category is of
// values that the baseline does not know.
func (c *column) bins() int {
	if c.category {
		return len(c.edges) + 2
	}
	return len(c.edges) + 1
}

// all are the columns in the order of their names, with the one that rows are
// split by.
func (m *Model) all() []*column {
	var out []*column
	for i := range m.columns {
		out = append(out, &m.columns[i])
	}
	if len(m.slices) > 0 {
		out = append(out, &m.region)
	}
	return out
}

func (c *column) form() schemas.SpecColumn {
	sc := schemas.SpecColumn{Name: c.name, Role: schemas.RoleFeature, Type: schemas.TypeNumber, Edges: c.edges, Anchor: c.base, Unit: schemas.UnitFor(8 * max(c.unit, 1))}
	if c.category {
		sc = schemas.SpecColumn{Name: c.name, Role: schemas.RoleFeature, Type: schemas.TypeCategory}
		for i := range c.bins() - 1 {
			sc.Categories = append(sc.Categories, categoryName(i))
		}
	}
	return sc
}

// spec writes down how the rows are counted.
func (m *Model) spec() {
	spec := schemas.Spec{Model: "bench", RowFunction: schemas.RowFunction, Window: time.Hour, LateHorizon: 72 * time.Hour, Baseline: "bench"}
	for _, c := range m.all() {
		f := c.form()
		if c == &m.region {
			f.Categories = nil
			for i := range m.slices {
				f.Categories = append(f.Categories, value(i))
			}
		}
		spec.Columns = append(spec.Columns, f)
	}
	if len(m.slices) > 0 {
		sl := schemas.SpecSlice{Columns: []string{sliceName}}
		for i := range m.slices {
			sl.Values = append(sl.Values, []string{value(i)})
		}
		spec.Slices = append(spec.Slices, sl)
		m.region.edges = m.region.edges[:len(m.slices)-1]
	}
	spec.SortColumns()
	m.Spec = &schemas.SpecRecord{Seq: 1, EffectiveFrom: math.MinInt64, Hash: spec.Hash(), Spec: spec}
}

// Start is when window t begins.
func Start(t int) time.Time { return epoch.Add(time.Duration(t) * time.Hour) }

// Window is closed window t of the features, with the fault if there is one.
func (m *Model) Window(t int, f *Fault) *detectors.Window {
	w := &detectors.Window{
		Model: "bench", Part: schemas.PartFeatures, Spec: m.Spec, Baseline: m.Baseline, Start: Start(t).UnixMilli(), End: Start(t + 1).UnixMilli(),
		Revision: uint64(t + 1), Coverage: 1,
	}
	rows := m.split(t, f)
	n := 0
	for _, k := range rows {
		n += k
	}
	if n == 0 {
		return w
	}
	counted := summary.New(0)
	counted.Rows = uint64(n)
	w.Entries = make([]detectors.Entry, 0, 2+len(m.columns)*(len(m.slices)+1))
	w.Entries = append(w.Entries, detectors.Entry{Stream: schemas.Stream{Version: "1", Role: schemas.RoleRows, Feature: w.Part.String()}, Summary: counted})
	s := newSource()
	for i := range m.columns {
		w.Entries = m.entries(w.Entries, s, t, &m.columns[i], rows, f)
	}
	if len(m.slices) > 0 {
		r := summary.New(len(m.slices) + 1)
		r.Rows, r.Present = counted.Rows, counted.Rows
		for i, k := range rows {
			r.Bins[i] = uint64(k)
		}
		for _, h := range m.region.hashes {
			if r.Bins[h.bin] > 0 {
				r.Distinct.Add(h.hash)
			}
		}
		w.Entries = append(w.Entries, detectors.Entry{Stream: schemas.Stream{Version: "1", Role: schemas.RoleFeature, Feature: sliceName}, Summary: r})
	}
	return w
}

// With is window t with the fault; entries of columns that it does not touch
// are those of the clean window.
func (m *Model) With(t int, clean *detectors.Window, f *Fault) *detectors.Window {
	if f.Traffic() {
		return m.Window(t, f)
	}
	touched := map[string]*column{}
	for _, c := range f.Columns {
		touched[m.columns[c].name] = &m.columns[c]
	}
	out := *clean
	out.Entries = make([]detectors.Entry, 0, len(clean.Entries))
	rows, s := m.split(t, f), newSource()
	for i := 0; i < len(clean.Entries); {
		e := &clean.Entries[i]
		j := i + 1
		for j < len(clean.Entries) && clean.Entries[j].Feature == e.Feature {
			j++
		}
		if c := touched[e.Feature]; c != nil && e.Role == schemas.RoleFeature {
			out.Entries = m.entries(out.Entries, s, t, c, rows, f)
		} else {
			out.Entries = append(out.Entries, clean.Entries[i:j]...)
		}
		i = j
	}
	return &out
}

// split is the number of rows of each slice; of the whole where there is none.
func (m *Model) split(t int, f *Fault) []int {
	n := m.counts[t]
	n = int(float64(n) * f.volume(t))
	if len(m.slices) == 0 {
		return []int{n}
	}
	p := make([]float64, len(m.slices))
	for i, sl := range m.slices {
		if p[i] = sl.share; sl.absent != nil && sl.absent[t] {
			p[i] = 0
		}
	}
	f.mix(t, p)
	counts := make([]uint64, len(p))
	newSource().at(m.Seed, drawMix, uint64(t)).spread(n, p, counts)
	out := make([]int, len(p))
	for i, k := range counts {
		if out[i] = int(k); p[i] == 0 {
			out[i] = 0 // rounding of the shares left a few for the last
		}
	}
	return out
}

// entries appends those of one column: the whole, then its slices.
func (m *Model) entries(to []detectors.Entry, s *source, t int, c *column, rows []int, f *Fault) []detectors.Entry {
	at := len(to)
	add := func(slice string, sum *summary.Summary) {
		to = append(to, detectors.Entry{Stream: schemas.Stream{Version: "1", Role: schemas.RoleFeature, Feature: c.name, Slice: slice}, Summary: sum})
	}
	if len(m.slices) == 0 {
		add("", m.cell(s, t, c, -1, rows[0], f))
		return to
	}
	whole := summary.New(c.bins())
	add("", whole)
	for i := range m.slices {
		if rows[i] == 0 {
			continue
		}
		sum := m.cell(s, t, c, i, rows[i], f)
		add(m.slices[i].name, sum)
		whole.Rows += sum.Rows
		whole.Present += sum.Present
		whole.Null += sum.Null
		for b, n := range sum.Bins {
			whole.Bins[b] += n
		}
	}
	whole.Min, whole.Max = c.reach()
	m.distinct(s.at(m.Seed, drawCell, uint64(c.index), 1<<20, uint64(t)), whole, c, true)
	order := to[at+1:]
	slices.SortFunc(order, func(a, b detectors.Entry) int { return strings.Compare(a.Slice, b.Slice) })
	return to
}

func (c *column) reach() (low, high float64) {
	if c.category {
		return math.Inf(1), math.Inf(-1)
	}
	return c.base - 4*c.unit, c.base + 4*c.unit
}

// shape is the level and the scale of the rows of a slice (-1: no slices),
// the share of nulls and of unseen values, with the noise or without.
func (m *Model) shape(t int, c *column, slice int, noise bool, f *Fault) (level, scale, null, unseen float64) {
	level, scale, null, unseen = c.season[t], c.known[t], c.null, c.unseen
	if noise {
		level, scale = c.level[t], c.scale[t]
		if c.null > 0 {
			null = logistic(math.Log(c.null/(1-c.null)) + c.nullWave[t])
		}
	}
	if slice >= 0 {
		level += c.offset[slice]
		if noise {
			level += float64(c.own[slice][t])
		}
	}
	if m.World.Clumped > 0 && (hourOf(t) < 6 || hourOf(t) > 21) {
		scale += math.Log(.6)
	}
	ch := f.change(t, c.index, slice)
	return level + ch.shift*c.unit, scale + ch.scale, null + (1-null)*ch.null, unseen + (1-unseen)*ch.unseen
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// shares are those of the bins among the values.
func (m *Model) shares(t int, c *column, level, scale, unseen float64) []float64 {
	p := make([]float64, c.bins())
	sd := math.Exp(scale)
	before := 0.0
	for b, e := range c.edges {
		cum := normal((e - level) / sd)
		p[b], before = cum-before, cum
	}
	p[len(c.edges)] = 1 - before
	if c.category {
		for b := range p {
			p[b] *= 1 - unseen
		}
		p[len(p)-1] = unseen
	} else if m.World.Rounded {
		spike := 1./3 + .05*math.Sin(2*math.Pi*float64(hourOf(t))/24)
		for b := range p {
			p[b] *= 1 - spike
		}
		p[c.zero] += spike
	}
	return p
}

func normal(x float64) float64 { return .5 * math.Erfc(-x/math.Sqrt2) }

// cell is what is counted of one column in one slice (-1: no slices) in one
// window.
func (m *Model) cell(s *source, t int, c *column, slice, n int, f *Fault) *summary.Summary {
	s.at(m.Seed, drawCell, uint64(c.index), uint64(slice+1), uint64(t))
	level, scale, null, unseen := m.shape(t, c, slice, true, f)
	o := summary.New(c.bins())
	o.Rows = uint64(n)
	o.Null = uint64(s.binomial(n, null))
	o.Present = o.Rows - o.Null
	if o.Present > 0 {
		o.Min, o.Max = c.reach()
	}
	m.fill(s, o, m.shares(t, c, level, scale, unseen))
	m.distinct(s, o, c, len(m.slices) == 0)
	return o
}

// fill counts the values of o by bins of those shares.
func (m *Model) fill(s *source, o *summary.Summary, p []float64) {
	clump := uint64(m.World.Clumped)
	if clump < 2 {
		s.spread(int(o.Present), p, o.Bins)
		return
	}
	s.spread(int(o.Present/clump), p, o.Bins)
	for b := range o.Bins {
		o.Bins[b] *= clump
	}
	s.spread(int(o.Present%clump), p, o.Bins)
}

// distinct counts the different values of o.
func (m *Model) distinct(s *source, o *summary.Summary, c *column, whole bool) {
	d := &o.Distinct
	if len(c.hashes) > 0 {
		for _, h := range c.hashes {
			if o.Bins[h.bin] > 0 {
				d.Small = append(d.Small, h.hash)
			}
		}
		if c.category {
			// Values that the baseline does not know are of three kinds.
			for i := range min(3, o.Bins[len(o.Bins)-1]) {
				d.Add(mix(uint64(c.index)<<8 + i))
			}
		}
		return
	}
	switch {
	case o.Present <= summary.SmallDistinct:
		for range o.Present {
			d.Small = append(d.Small, s.Uint64())
		}
		slices.Sort(d.Small)
	case whole && m.Shape.Registers:
		d.Registers = make([]uint8, 1<<summary.Precision)
		each := float64(o.Present) / float64(len(d.Registers))
		for i := range d.Registers {
			// The greatest rank of a Poisson number of hashes is at most r with
			// probability exp(-each/2^r).
			if _, e := math.Frexp(each / s.ExpFloat64()); e > 0 {
				d.Registers[i] = uint8(min(e, 64-summary.Precision))
			}
		}
	default:
		d.Full = true
	}
}

// Expected is the whole of a column in window t as it is without noise, as
// counts of very many rows.
func (m *Model) Expected(t, col int, f *Fault) *summary.Summary {
	c := &m.columns[col]
	o := summary.New(c.bins())
	rows := m.split(t, f)
	total := 0.0
	for _, n := range rows {
		total += float64(n)
	}
	add := func(slice int, share float64) {
		level, scale, null, unseen := m.shape(t, c, slice, false, f)
		for b, p := range m.shares(t, c, level, scale, unseen) {
			o.Bins[b] += uint64(1e9 * share * (1 - null) * p)
		}
		o.Null += uint64(1e9 * share * null)
	}
	if len(m.slices) == 0 {
		add(-1, 1)
	}
	for i := range m.slices {
		add(i, float64(rows[i])/total)
	}
	for _, n := range o.Bins {
		o.Present += n
	}
	o.Rows = o.Present + o.Null
	o.Distinct.Full = true
	o.Min, o.Max = c.reach()
	return o
}

// Reference makes the healthy windows and the baseline from them, in which
// each window then stands.
func (m *Model) Reference() ([]*detectors.Window, error) {
	b := &schemas.Baseline{
		Format: schemas.BaselineFormat, Model: "bench", Source: "a world of the bench", From: Start(0), To: Start(ReferenceWindows),
		Window: schemas.Duration(time.Hour), Hash: "bench",
	}
	windows := make([]*detectors.Window, ReferenceWindows)
	type key struct{ feature, slice string }
	sums := map[key]*summary.Summary{}
	for t := range windows {
		windows[t] = m.Window(t, nil)
		for _, e := range windows[t].Entries {
			if e.Role == schemas.RoleRows {
				b.Rows += e.Rows
				continue
			}
			k := key{e.Feature, e.Slice}
			if sums[k] == nil {
				sums[k] = summary.New(len(e.Bins))
			}
			sums[k].Merge(e.Summary)
		}
	}
	for _, c := range m.all() {
		f := m.Spec.Spec.Column(schemas.RoleFeature, c.name)
		bc := schemas.BaselineColumn{Name: f.Name, Role: f.Role, Type: f.Type, Edges: f.Edges, Categories: f.Categories, Anchor: f.Anchor, Unit: f.Unit}
		add := func(slice string) {
			o := sums[key{c.name, slice}]
			if o == nil {
				return
			}
			st := schemas.BaselineStream{Slice: slice, Rows: o.Rows, Present: o.Present, Nulls: o.Null, Bins: o.Bins}
			if !c.category {
				mean, sd, low, high := c.base, c.unit, o.Min, o.Max
				st.Mean, st.SD, st.Min, st.Max = &mean, &sd, &low, &high
			}
			bc.Streams = append(bc.Streams, st)
		}
		add("")
		if c != &m.region {
			for i := range m.slices {
				add(m.slices[i].name)
			}
		}
		b.Columns = append(b.Columns, bc)
	}
	if err := b.Validate(); err != nil {
		return nil, fmt.Errorf("making the baseline of world %s: %w", m.World.Name, err)
	}
	m.Baseline = b
	for _, w := range windows {
		w.Baseline = b
	}
	return windows, nil
}
