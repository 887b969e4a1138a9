package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// Kind says which part of a request the events carry.
type Kind string

// The kinds of events.
const (
	Features    Kind = "features"
	Predictions Kind = "predictions"
)

// Shape is what the rows of a workload look like.
type Shape struct {
	Kind     Kind
	Features int     // four in five are numbers, the rest categories
	Slices   int     // category columns by which the rows are split
	Models   int     // on the topic, in turns by chance
	Sample   float64 // share of the ids of predictions whose narrow rows are kept; 0 for all
}

// SliceValues is how many values of a slice column are told apart; the rest is
// the slice of all others.
const SliceValues = 20

// Of the model a profile would learn.
const (
	bins       = 40
	categories = 100
)

// Pace is the event time between two rows of a workload: ten thousand a second.
const Pace = 100 * time.Microsecond

// start is the event time of the first row.
var start = time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)

// Workload makes the rows of a shape from a seed.
type Workload struct {
	Shape
	columns []column
	rng     *rand.Rand
	row     int
	skipped time.Duration
	model   int // of the last row
}

type form uint8

const (
	integer form = iota
	short
	long
	category
)

// column is one feature: how its values are drawn and written.
type column struct {
	name   string
	form   form
	mean   float64
	sd     float64
	nulls  float64
	values []string  // of a category
	least  []float64 // cumulative share of each value
}

// New returns the workload of a shape. Equal seeds give equal rows.
func New(s Shape, seed uint64) *Workload {
	w := &Workload{Shape: s, rng: rand.New(rand.NewPCG(seed, 0x6d6f64656c)), columns: make([]column, s.Features)}
	numbers := s.Features * 4 / 5
	for i := range w.columns {
		c := &w.columns[i]
		c.name = fmt.Sprintf("feat_%03d", i)
		c.nulls = 0.01 + 0.01*w.rng.Float64()
		if i < numbers {
			c.form = form(i % 3)
			c.mean, c.sd = math.Round(1000*w.rng.Float64()), 10+200*w.rng.Float64()
			continue
		}
		// From 10 to 5000 values, evenly on the scale of logarithms.
		share := 1.0
		if n := s.Features - numbers; n > 1 {
			share = float64(i-numbers) / float64(n-1)
		}
		c.form = category
		c.fill(int(math.Round(10 * math.Pow(500, share))))
	}
	return w
}

// fill makes n values, of which the k-th comes in proportion to 1/(k+3).
func (c *column) fill(n int) {
	var sum float64
	for k := range n {
		c.values = append(c.values, fmt.Sprintf("value_%06d", k))
		sum += 1 / float64(k+3)
		c.least = append(c.least, sum)
	}
	for k := range c.least {
		c.least[k] /= sum
	}
}

// draw returns a number of the column.
func (c *column) draw(r *rand.Rand) float64 {
	x := c.mean + c.sd*r.NormFloat64()
	switch c.form {
	case integer:
		return math.Round(x)
	case short:
		return math.Round(x*100) / 100
	}
	return x
}

// ModelName is the name of the i-th model.
func ModelName(i int) string { return "bench-classifier-" + strconv.Itoa(i) }

// Specs returns the specs of the workload's models, with edges at the
// quantiles of each column as a profile would choose them.
func (w *Workload) Specs() []schemas.SpecRecord {
	out := make([]schemas.SpecRecord, w.Models)
	for i := range out {
		s := w.spec(ModelName(i))
		out[i] = schemas.SpecRecord{Seq: uint64(i + 1), EffectiveFrom: math.MinInt64, Hash: s.Hash(), Spec: s}
	}
	return out
}

func (w *Workload) spec(model string) schemas.Spec {
	s := schemas.Spec{
		Model: model, RowFunction: schemas.RowFunction, Window: time.Hour, Lateness: 5 * time.Minute,
		LateHorizon: 72 * time.Hour, MaxFuture: 5 * time.Minute, Sample: w.Sample,
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range w.columns {
		s.Columns = append(s.Columns, w.columns[i].spec(r))
	}
	s.Columns = append(s.Columns,
		schemas.SpecColumn{Name: schemas.RolePrediction.String(), Role: schemas.RolePrediction, Type: schemas.TypeCategory, Categories: []string{"no", "yes"}},
		schemas.SpecColumn{Name: schemas.RoleScore.String(), Role: schemas.RoleScore, Type: schemas.TypeNumber, Edges: evenly(0, 1, bins), Unit: schemas.UnitFor(1)})
	s.SortColumns()
	for i := range w.columns {
		if c := &w.columns[i]; len(s.Slices) < w.Slices && len(c.values) >= SliceValues {
			slice := schemas.SpecSlice{Columns: []string{c.name}}
			for _, v := range c.values[:SliceValues] {
				slice.Values = append(slice.Values, []string{v})
			}
			s.Slices = append(s.Slices, slice)
		}
	}
	return s
}

func (c *column) spec(r *rand.Rand) schemas.SpecColumn {
	out := schemas.SpecColumn{Name: c.name, Role: schemas.RoleFeature, Required: true}
	if c.form == category {
		out.Type, out.Categories = schemas.TypeCategory, slices.Clone(c.values[:min(len(c.values), categories)])
		slices.Sort(out.Categories)
		return out
	}
	out.Type, out.Anchor = schemas.TypeNumber, c.mean
	sample := make([]float64, 4000)
	for i := range sample {
		sample[i] = c.draw(r)
	}
	slices.Sort(sample)
	for k := 1; k < bins; k++ {
		if e := sample[k*len(sample)/bins]; len(out.Edges) == 0 || e > out.Edges[len(out.Edges)-1] {
			out.Edges = append(out.Edges, e)
		}
	}
	out.Unit = schemas.UnitFor(5 * c.sd)
	lo, hi := c.mean-20*c.sd, c.mean+20*c.sd
	out.Min, out.Max = &lo, &hi
	return out
}

// evenly returns the n-1 inner borders of n equal bins of [lo, hi].
func evenly(lo, hi float64, n int) []float64 {
	out := make([]float64, n-1)
	for i := range out {
		out[i] = lo + (hi-lo)*float64(i+1)/float64(n)
	}
	return out
}

// keep makes the next row one of so long after the first, whatever rows there
// were before.
func (w *Workload) keep(gone time.Duration) {
	w.row = int(gone / Pace)
}

// Skip lets event time go on without rows.
func (w *Workload) Skip(d time.Duration) {
	w.skipped += d
}

// Append writes the next row behind to and returns it with the row's time.
func (w *Workload) Append(to []byte) ([]byte, time.Time) {
	r := w.rng
	at := start.Add(time.Duration(w.row)*Pace + w.skipped)
	w.row++
	to = append(to, `{"id":"`...)
	to = hex16(hex16(to, r.Uint64()), r.Uint64())
	to = append(to, `","model":"`...)
	w.model = r.IntN(w.Models)
	to = append(to, ModelName(w.model)...)
	to = append(to, `","version":"2026.01","ts":"`...)
	to = at.AppendFormat(to, "2006-01-02T15:04:05.000Z")
	if w.Kind == Predictions {
		score := r.Float64()
		to = append(to, `","prediction":"`...)
		to = append(to, [...]string{"no", "yes"}[int(math.Round(score))]...)
		to = append(to, `","score":`...)
		to = strconv.AppendFloat(to, score, 'g', 17, 64)
		return append(to, '}'), at
	}
	to = append(to, `","features":{`...)
	for i := range w.columns {
		c := &w.columns[i]
		if i > 0 {
			to = append(to, ',')
		}
		to = append(to, '"')
		to = append(to, c.name...)
		to = append(to, `":`...)
		to = c.append(to, r)
	}
	return append(to, '}', '}'), at
}

func (c *column) append(to []byte, r *rand.Rand) []byte {
	if r.Float64() < c.nulls {
		return append(to, "null"...)
	}
	switch c.form {
	case category:
		k, _ := slices.BinarySearch(c.least, r.Float64())
		to = append(to, '"')
		to = append(to, c.values[min(k, len(c.values)-1)]...)
		return append(to, '"')
	case long:
		return strconv.AppendFloat(to, c.draw(r), 'g', 17, 64)
	}
	return strconv.AppendFloat(to, c.draw(r), 'f', -1, 64)
}

// hex16 appends the 16 hexadecimal digits of v.
func hex16(to []byte, v uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		to = append(to, "0123456789abcdef"[v>>shift&15])
	}
	return to
}

// Rows makes the next n rows, one after the other in one piece of memory.
func (w *Workload) Rows(n int) [][]byte {
	var text []byte
	ends := make([]int, n)
	for i := range n {
		text, _ = w.Append(text)
		ends[i] = len(text)
	}
	rows := make([][]byte, n)
	from := 0
	for i, end := range ends {
		rows[i] = text[from:end:end]
		from = end
	}
	return rows
}
