package budget

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// breach is the e-value against "at most budget a month": 1000 proves it.
func breach(counts []int, budget float64) float64 {
	sum := 0.0
	for _, l := range []float64{.1, .3, .6} {
		w := 1.0
		for _, n := range counts {
			w *= 1 + l*(float64(n)/budget-1)
		}
		sum += w / 3
	}
	return sum
}

// With true parameters the expected number of false alarms is at most what
// was spent, whatever streams have to do with one another.
func TestKnownNullKeepsTheBound(t *testing.T) {
	const streams, windows, months, spend = 300, 720, 3, 20.0
	student := func(r *rand.Rand, nu int) float64 {
		z, g := r.NormFloat64(), 0.0
		for range nu {
			x := r.NormFloat64()
			g += x * x
		}
		return z / math.Sqrt(g/float64(nu))
	}
	f := func(name string, phi, nu, shared float64, draw func(*rand.Rand) float64) {
		t.Helper()
		h := schemas.Healthy{Phi: phi, Noise: .1, Tail: nu, Scale: 1, Dead: .05}
		if phi == 0 {
			h.Noise = 0
		}
		p := DefaultParameters()
		l := newLaw(Key{Role: schemas.RoleFeature, Channel: Location}, &h, &p)
		const r = .001
		w := spend / windows / streams
		var counts []int
		for month := range months {
			rng := rand.New(rand.NewPCG(uint64(month), 77))
			ss := make([]state, streams)
			level := make([]float64, streams)
			for i := range ss {
				ss[i] = newState(&l)
				level[i] = math.Sqrt(l.tau2) * rng.NormFloat64()
			}
			n := 0
			for range windows {
				common := draw(rng)
				for i := range ss {
					// The innovations of the filter have the law of the likelihood, so the null is exact.
					z := draw(rng)
					if rng.Float64() < shared {
						z = common
					}
					u := ss[i].a + z*math.Sqrt(math.Max(ss[i].p+r, least))
					o := l.step(&ss[i], u, r, l.dead, weights{ticket: .75 * w, ticketShock: .25 * w, page: .075 * w, pageShock: .025 * w})
					if o.ticket {
						n++
					}
				}
			}
			counts = append(counts, n)
		}
		if e := breach(counts, spend); e >= 1000 {
			t.Errorf("%s: %v alarms a month where %v are stated: e-value %.3g of a breach", name, counts, spend, e)
		}
	}
	t20 := func(r *rand.Rand) float64 { return student(r, 20) }
	t4 := func(r *rand.Rand) float64 { return student(r, 4) }
	f("independent", 0, 20, 0, t20)
	f("autocorrelated", .8, 20, 0, t20)
	f("heavy tails", .5, 4, 0, t4)
	f("lighter than thought", .5, 4, 0, t20)
	f("half of the noise shared", .5, 20, .5, t20)

	// The test can fail: likelihoods with lighter tails than the noise break the bound.
	h := schemas.Healthy{Tail: 20, Scale: .8, Dead: .01}
	p := DefaultParameters()
	l := newLaw(Key{}, &h, &p)
	rng, wrong := rand.New(rand.NewPCG(1, 1)), make([]int, 3)
	for month := range wrong {
		ss := make([]state, streams)
		for range windows {
			for i := range ss {
				if o := l.step(&ss[i], .1*t4(rng), .01, l.dead, weights{ticket: spend / windows / streams}); o.ticket {
					wrong[month]++
				}
			}
		}
	}
	if breach(wrong, spend) < 1000 {
		t.Errorf("wrong tails give %v alarms only", wrong)
	}
}

// Over all streams of a window the weights are what the part may spend, no
// matter which of them have data, and over a period at most the budget.
func TestWeightsAddUpToTheBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &schemas.Baseline{Hash: "h", Window: schemas.Duration(time.Hour)}
		fit := schemas.Healthy{Fitted: 600, Days: 28, Dead: .05, Scale: 1, Tail: 10}
		slices := rapid.IntRange(0, 3).Draw(t, "slices")
		add := func(role schemas.Role, name string, kind schemas.ColumnType) {
			c := schemas.BaselineColumn{Role: role, Name: name, Type: kind, Edges: []float64{0, 1}}
			for s := range slices + 1 {
				st := schemas.BaselineStream{Bins: []uint64{300, 400, 300}, Rows: 1000, Present: 1000, Healthy: map[string]schemas.Healthy{}}
				if s > 0 {
					st.Slice = fmt.Sprintf("s=%d", s)
				}
				for _, ch := range order {
					if rapid.IntRange(0, 4).Draw(t, "fitted") > 0 {
						st.Healthy[ch] = fit
					}
				}
				c.Streams = append(c.Streams, st)
			}
			b.Columns = append(b.Columns, c)
		}
		b.Columns = append(b.Columns, schemas.BaselineColumn{
			Role: schemas.RoleRows, Name: "features", Type: schemas.TypeNumber,
			Streams: []schemas.BaselineStream{{Bins: []uint64{0}, Healthy: map[string]schemas.Healthy{Volume: fit}}},
		})
		for i := range rapid.IntRange(1, 4).Draw(t, "features") {
			add(schemas.RoleFeature, fmt.Sprint("f", i), schemas.TypeNumber)
		}
		add(schemas.RolePrediction, "prediction", schemas.TypeCategory)
		add(schemas.RoleScore, "score", schemas.TypeNumber)
		ref := NewReference(b)
		p := DefaultParameters()
		importance := rapid.SliceOfN(rapid.Float64Range(0, 3), 4, 4).Draw(t, "importance")
		budget := Budget{Pages: 2, Tickets: 5, Per: 30 * 24 * time.Hour}
		plan := NewPlan(budget, time.Hour, nil, ref, func(f string) float64 { return importance[f[1]-'0'] }, p)

		var pages, tickets float64
		for _, part := range []schemas.Part{schemas.PartFeatures, schemas.PartPrediction} {
			w := detectors.Window{Model: "m", Part: part, Start: 0, End: hourMS, Coverage: 1, Baseline: b}
			for _, version := range []string{"1", "2"}[:rapid.IntRange(1, 2).Draw(t, "versions")] {
				for i := range b.Columns {
					c := &b.Columns[i]
					for _, st := range c.Streams {
						if c.Role.Part() != part && c.Name != part.String() || rapid.IntRange(0, 3).Draw(t, "data") == 0 {
							continue
						}
						s := summary.New(3)
						s.Rows, s.Present, s.Bins = 60, 60, []uint64{20, 20, 20}
						w.Entries = append(w.Entries, detectors.Entry{Stream: schemas.Stream{Version: version, Role: c.Role, Feature: c.Name, Slice: st.Slice}, Summary: s})
					}
				}
			}
			j := newJudging(&w, ref, plan, &p, &Memory{})
			if err := j.read(&Calendar{}); err != nil {
				t.Fatal(err)
			}
			j.share()
			for i := range j.groups {
				for _, it := range j.load(&j.groups[i]) {
					pages += it.weights.page + it.weights.pageShock
					tickets += it.weights.ticket + it.weights.ticketShock
				}
			}
		}
		const perMonth = 720
		if tickets*perMonth > budget.Tickets*(1+1e-9) || pages*perMonth > budget.Pages*(1+1e-9) {
			t.Fatalf("%v pages and %v tickets a month are spent of %v and %v", pages*perMonth, tickets*perMonth, budget.Pages, budget.Tickets)
		}
		all, some := plan.Spends(budget.Per)
		if all > budget.Pages*(1+1e-9) || some > budget.Tickets*(1+1e-9) || math.Abs(some-budget.Tickets) > 1e-9 {
			t.Fatalf("the plan spends %v and %v", all, some)
		}
		if g := plan.Governed(3); g.Weight(Key{schemas.RoleScore, "score", "", Location}).Ticket > plan.Weight(Key{schemas.RoleScore, "score", "", Location}).Ticket {
			t.Fatal("the governor raised a weight")
		}
	})
}

// What doctor says of the time to detect is what the detector takes.
func TestExpectedDelay(t *testing.T) {
	p := DefaultParameters()
	for _, h := range []schemas.Healthy{
		{Phi: .6, Noise: .07, Tail: 20, Scale: 1.03, Dead: .05, Days: 28},
		{Phi: .85, Noise: .1, Tail: 6, Scale: 1.03, Dead: .06, Days: 28},
		{Phi: 0, Noise: .02, Tail: 10, Scale: 1, Dead: .05, Days: 28},
	} {
		for _, weight := range []float64{1e-5, 1e-7} {
			k := Key{Role: schemas.RoleFeature, Feature: "f", Channel: Location}
			l := newLaw(k, &h, &p)
			w := Weight{Ticket: .75 * weight, TicketShock: .25 * weight}
			for _, shift := range []float64{.25, .5, 1} {
				const limit, sampling = 720, .001
				is := Delay(k, h, w, shift, sampling, limit, p)
				says := l.expectedDelay(weights{ticket: w.Ticket, ticketShock: w.TicketShock}, shift, sampling, limit)
				bound := Bound(h, w.Ticket, shift, sampling, limit)
				if float64(says) > 1.6*float64(is)+3 || float64(is) > 1.6*float64(says)+3 {
					t.Errorf("φ %v, weight %v, shift %v: doctor says %d windows, it takes %d", h.Phi, weight, shift, says, is)
				}
				if float64(is) > 2*float64(bound)+2 || bound > is+1 {
					t.Errorf("φ %v, weight %v, shift %v: it takes %d windows, the oracle %d", h.Phi, weight, shift, is, bound)
				}
			}
			if d := l.expectedDelay(weights{ticket: w.Ticket}, h.Dead, .001, 720); d != 720 {
				t.Errorf("a shift within the dead zone is found after %d windows", d)
			}
		}
	}
}
