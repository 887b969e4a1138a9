package budget_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"gonum.org/v1/gonum/mathext"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

const (
	hourMS    = 3_600_000
	simBins   = 40
	reference = 672 // hours
)

// monday is the start of the simulated worlds: a Monday, 00:00 UTC.
var monday = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

// simWorld is the standard world of the benchmarks in small: numbers with a
// season, an AR(1) level and scale, and traffic that follows the day.
type simWorld struct {
	seed     uint64
	features int
	heavy    bool    // t4 innovations
	shared   float64 // share of the noise that all features have in common
	iid      bool
	rows     float64
	shift    func(f, t int) float64 // in sd, from without
	slices   []float64              // shares of the slices; nil for none
	inSlice  func(f, s, t int) float64

	rng      *rand.Rand
	traffic  *rand.Rand
	feats    []simFeature
	common   float64
	baseline *schemas.Baseline
}

type simFeature struct {
	rng                           *rand.Rand
	ad, ph, a2, ph2, wk, phi, tau float64
	x, y                          float64
	edges                         []float64
}

func (w *simWorld) init() {
	w.rng = rand.New(rand.NewPCG(w.seed, 1))
	w.traffic = rand.New(rand.NewPCG(w.seed, 2))
	if w.rows == 0 {
		w.rows = 2000
	}
	b := &schemas.Baseline{Format: schemas.BaselineFormat, Model: "sim", Hash: "h", Window: schemas.Duration(time.Hour)}
	w.feats = make([]simFeature, w.features)
	for i := range w.feats {
		f := &w.feats[i]
		f.rng = rand.New(rand.NewPCG(w.seed, uint64(i)+100))
		r := f.rng
		if !w.iid {
			f.ad, f.ph = .05+.45*r.Float64(), 2*math.Pi*r.Float64()
			f.a2, f.ph2 = .15*r.Float64(), 2*math.Pi*r.Float64()
			f.wk = .6 * (r.Float64() - .5)
			f.phi, f.tau = .3+.6*r.Float64(), .03+.09*r.Float64()
		}
		f.x, f.y = f.tau*r.NormFloat64(), .4*f.tau*r.NormFloat64()
		sd := math.Sqrt(1 + f.ad*f.ad/2 + f.a2*f.a2/2 + f.wk*f.wk*10/49)
		c := schemas.BaselineColumn{Name: fmt.Sprintf("f%04d", i), Role: schemas.RoleFeature, Type: schemas.TypeNumber, Unit: 1}
		for k := 1; k < simBins; k++ {
			c.Edges = append(c.Edges, f.wk*2/7+sd*mathext.NormalQuantile(float64(k)/simBins))
		}
		f.edges = c.Edges
		bins := make([]uint64, simBins)
		for k := range bins {
			bins[k] = 25_000
		}
		c.Streams = append(c.Streams, schemas.BaselineStream{Rows: 1_000_000, Present: 1_000_000, Bins: bins})
		for s := range w.slices {
			c.Streams = append(c.Streams, schemas.BaselineStream{Slice: sliceOf(s), Rows: 1_000_000, Present: 1_000_000, Bins: bins})
		}
		b.Columns = append(b.Columns, c)
	}
	w.baseline = b
}

func sliceOf(s int) string { return fmt.Sprintf("s=%02d", s) }

func (w *simWorld) innovation(r *rand.Rand) float64 {
	z := r.NormFloat64()
	if !w.heavy {
		return z
	}
	g := 0.0
	for range 4 {
		x := r.NormFloat64()
		g += x * x
	}
	return z / math.Sqrt(g/4) / math.Sqrt2
}

// window makes the next window; times must come in order.
func (w *simWorld) window(t int) *detectors.Window {
	if w.feats == nil {
		w.init()
	}
	start := monday + int64(t)*hourMS
	out := &detectors.Window{
		Model: "sim", Part: schemas.PartFeatures, Baseline: w.baseline, Start: start, End: start + hourMS, Coverage: 1, Revision: 1,
		Spec: &schemas.SpecRecord{Spec: schemas.Spec{Baseline: "h"}},
	}
	h, d := t%24, t/24%7
	n := int(w.rows)
	if !w.iid {
		n = int(w.rows*(1+.7*math.Sin(2*math.Pi*(float64(h)-9)/24))*math.Exp(.1*w.traffic.NormFloat64())) + 20
	}
	rows := summary.New(0)
	rows.Rows = uint64(n)
	out.Entries = append(out.Entries, detectors.Entry{Stream: schemas.Stream{Version: "1", Role: schemas.RoleRows, Feature: "features"}, Summary: rows})
	w.common = .7*w.common + math.Sqrt(1-.49)*w.rng.NormFloat64()
	for i := range w.feats {
		f := &w.feats[i]
		f.x = f.phi*f.x + f.tau*math.Sqrt(1-f.phi*f.phi)*w.innovation(f.rng)
		f.y = f.phi*f.y + .4*f.tau*math.Sqrt(1-f.phi*f.phi)*w.innovation(f.rng)
		m := f.ad*math.Sin(2*math.Pi*float64(h)/24+f.ph) + f.a2*math.Sin(4*math.Pi*float64(h)/24+f.ph2) +
			math.Sqrt(1-w.shared)*f.x + math.Sqrt(w.shared)*f.tau*w.common
		if d >= 5 {
			m += f.wk
		}
		if w.shift != nil {
			m += w.shift(i, t)
		}
		e := detectors.Entry{Stream: schemas.Stream{Version: "1", Role: schemas.RoleFeature, Feature: w.baseline.Columns[i].Name}}
		if w.slices == nil {
			e.Summary = f.draw(n, m, math.Exp(f.y))
			out.Entries = append(out.Entries, e)
			continue
		}
		whole := summary.New(simBins)
		e.Summary = whole
		out.Entries = append(out.Entries, e)
		for s, share := range w.slices {
			x := 0.0
			if w.inSlice != nil {
				x = w.inSlice(i, s, t)
			}
			e.Slice = sliceOf(s)
			e.Summary = f.draw(int(float64(n)*share), m+x, math.Exp(f.y))
			whole.Merge(e.Summary)
			out.Entries = append(out.Entries, e)
		}
	}
	return out
}

// draw counts n normal values by the feature's bins.
func (f *simFeature) draw(n int, mean, sd float64) *summary.Summary {
	s := summary.New(simBins)
	s.Rows, s.Present = uint64(n), uint64(n)
	left, pl, prev := n, 1.0, 0.0
	for b, e := range f.edges {
		c := .5 * math.Erfc(-(e-mean)/sd/math.Sqrt2)
		k := 0
		if pl > 1e-12 {
			k = binomial(f.rng, left, math.Min(1, (c-prev)/pl))
		}
		s.Bins[b] = uint64(k)
		left -= k
		pl -= c - prev
		prev = c
	}
	s.Bins[simBins-1] = uint64(left)
	return s
}

// binomial draws by inversion where the mean is small, else by a rounded
// normal, which is close enough for a world.
func binomial(r *rand.Rand, n int, p float64) int {
	switch {
	case n <= 0 || p <= 0:
		return 0
	case p >= 1:
		return n
	case p > .5:
		return n - binomial(r, n, 1-p)
	}
	if float64(n)*p > 30 {
		k := math.Round(float64(n)*p + math.Sqrt(float64(n)*p*(1-p))*r.NormFloat64())
		return int(math.Min(float64(n), math.Max(0, k)))
	}
	q := p / (1 - p)
	a, f := float64(n+1)*q, math.Exp(float64(n)*math.Log1p(-p))
	u := r.Float64()
	x := 0
	for u > f && x <= n {
		u -= f
		x++
		f *= a/float64(x) - q
	}
	return min(x, n)
}

// learn runs the reference of a world and fits it.
func (w *simWorld) learn(t testing.TB, p budget.Parameters, hours int) *budget.Fitted {
	t.Helper()
	if w.feats == nil {
		w.init()
	}
	h := budget.NewHistory(w.baseline, time.Hour, p)
	for i := range hours {
		if err := h.Add(w.window(i)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := h.Fit()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// run judges windows from … to-1 and gives each one's findings.
func (w *simWorld) run(t testing.TB, f *budget.Fitted, b budget.Budget, p budget.Parameters, from, to int, see func(t int, f []detectors.Finding)) budget.Memory {
	t.Helper()
	ref := f.Reference()
	plan := budget.NewPlan(b, time.Hour, nil, ref, nil, p)
	var m budget.Memory
	for i := from; i < to; i++ {
		_, findings, next, err := budget.Judge(w.window(i), ref, plan, budget.Calendar{}, p, m)
		if err != nil {
			t.Fatal(err)
		}
		m = next
		see(i, findings)
	}
	return m
}
