package detection

import (
	"math"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// oracle is what nobody can beat by much: it spends what the detector's
// location stream may spend in lasting tickets, with the same dead zone and
// tails, but knows season and noise without estimating them, and the size, the
// sign and the onset of the fault.
//
//	M ← (M + w)·t_ν(z; Δ·c/√F)/t_ν(z; Δmin·c/√F), from the onset on, alarm at M >= 1
//
// with z, F and c of the Kalman filter that has the true parameters.
type oracle struct {
	m        *Model
	fault    Fault
	column   int
	baseline *schemas.Baseline // of the column alone

	weight, dead, nu float64
	phi, variance    float64 // of the level's noise, on the statistic's scale
	a, p, bias       float64
	sum              float64
}

// newOracle returns nil where the column has no location.
func newOracle(m *Model, ref *budget.Reference, plan *budget.Plan, f Fault) *oracle {
	c := &m.columns[f.Columns[0]]
	k := budget.Key{Role: schemas.RoleFeature, Feature: c.name, Channel: budget.Location}
	h, ok := ref.Healthy(k)
	if !ok || c.category {
		return nil
	}
	o := &oracle{
		m: m, fault: f, column: c.index, weight: plan.Weight(k).Ticket, dead: h.Dead, nu: h.Tail, phi: c.phi,
		baseline: &schemas.Baseline{Window: m.Baseline.Window, Columns: []schemas.BaselineColumn{*m.Baseline.Column(schemas.RoleFeature, c.name)}},
	}
	sd := c.sd / c.unit
	if len(m.slices) > 0 { // the slices' own noise adds to the whole's
		share := 0.0
		for _, s := range m.slices {
			share += s.share * s.share
		}
		sd *= math.Sqrt(1 + share/4)
	}
	o.variance = sd * sd
	o.p = o.variance
	return o
}

// location measures the whole of the column.
func (o *oracle) location(t int, sum *summary.Summary) (y, r float64) {
	w := detectors.Window{
		Model: "bench", Part: schemas.PartFeatures, Baseline: o.baseline, Start: Start(t).UnixMilli(), End: Start(t + 1).UnixMilli(), Coverage: 1,
		Entries: []detectors.Entry{{Stream: schemas.Stream{Version: "1", Role: schemas.RoleFeature, Feature: o.m.columns[o.column].name}, Summary: sum}},
	}
	all, err := budget.Measure(&w, budget.DefaultParameters())
	if err != nil {
		return math.NaN(), math.NaN()
	}
	for _, x := range all {
		if x.Channel == budget.Location {
			return x.Y, x.R
		}
	}
	return math.NaN(), math.NaN()
}

// step takes the window of the detector and reports whether the oracle alarms.
func (o *oracle) step(t int, w *detectors.Window) bool {
	for i := range w.Entries {
		e := &w.Entries[i]
		if e.Role == schemas.RoleFeature && e.Slice == "" && e.Feature == o.m.columns[o.column].name {
			return o.take(t, e.Summary)
		}
	}
	return false
}

func (o *oracle) take(t int, sum *summary.Summary) bool {
	y, r := o.location(t, sum)
	healthy, _ := o.location(t, o.m.Expected(t, o.column, nil))
	shifted, _ := o.location(t, o.m.Expected(t, o.column, &o.fault))
	if math.IsNaN(y) || math.IsNaN(healthy) || math.IsNaN(shifted) {
		return false
	}
	f := o.p + r
	sd := math.Sqrt(f)
	c := 1 - o.bias
	v := y - healthy - o.a
	delta := shifted - healthy
	z := v / sd
	border := math.Copysign(o.dead, delta)
	e := math.Exp(logT(z-delta*c/sd, o.nu) - logT(z-border*c/sd, o.nu))
	o.sum = (o.sum + o.weight) * e
	gain := o.p / f
	o.a = o.phi * (o.a + gain*v)
	o.bias = o.phi * (o.bias + gain*c)
	o.p = o.phi*o.phi*o.p*(1-gain) + o.variance*(1-o.phi*o.phi)
	return o.sum >= 1
}

// logT is the logarithm of Student's density but for its constant.
func logT(x, nu float64) float64 { return -(nu + 1) / 2 * math.Log1p(x*x/nu) }
