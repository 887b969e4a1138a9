package budget

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// Shifts are the sizes that a diagnosis tells the time to detect of, on the
// scale of the channel.
var shifts = [...]float64{.1, .25, .5, 1}

// Shifts returns the sizes, in the order of Health.Detect.
func Shifts() []float64 { return slices.Clone(shifts[:]) }

// Never is the delay of what would not be found within 30 days.
const Never = time.Duration(-1)

// Health is what is known of one stream before it is relied on.
type Health struct {
	Key
	Windows  int
	Rows     float64 // a window
	Noise    float64 // sd of one window about its expectation
	Season   float64 // share of the variance that is season
	Dead     float64
	Honesty  float64
	Noisy    bool            // the dead zone had to grow to more than three times the least
	Detect   []time.Duration // by Shifts: expected, Never for none
	Pages    bool            // has page spend
	PerMonth float64         // false tickets in 30 days that it may raise by the plan
}

// BlindSpot is what cannot be seen, with the reason.
type BlindSpot struct {
	What string
	Why  string
}

// Remedy is what would help a noisy stream, as a piece of the monitor's YAML.
type Remedy struct {
	Key
	Dead float64
	Why  string
	YAML string
}

// Offer is what another budget would buy: the median time to detect, by
// Shifts, over the location streams of whole columns.
type Offer struct {
	Budget Budget
	Detect []time.Duration
}

// Stage is one step on the way of learning.
type Stage struct {
	After   time.Duration
	Reached bool
	Sees    string
}

// Diagnosis is what `doctor` tells of a model.
type Diagnosis struct {
	Budget   Budget
	Streams  []Health // by key
	Blind    []BlindSpot
	Noisiest []Remedy // worst first, at most ten
	Offers   []Offer
	Stages   []Stage
	Days     float64 // of reference
}

// Examine tells what the plan can see with the reference: sizes are those of
// Shifts, times are expected ones at all streams' weights.
func Examine(ref *Reference, plan *Plan, p Parameters) Diagnosis {
	d := Diagnosis{Budget: plan.budget, Streams: StreamsOf(ref, plan, p)}
	for _, k := range ref.Keys() {
		h, _ := ref.Healthy(k)
		d.Days = math.Max(d.Days, h.Days)
	}
	d.Stages = Stages(d.Days)
	d.Blind = ref.blind(&p)
	d.Noisiest = remedies(d.Streams, plan.window)
	for _, f := range []float64{.25, 1, 4} {
		other := *plan
		other.budget.Pages *= f
		other.budget.Tickets *= f
		d.Offers = append(d.Offers, other.offer(ref, &p))
	}
	return d
}

// StreamsOf tells what is known of each stream of the reference, by key: the
// part of a diagnosis that the view of streams shows.
func StreamsOf(ref *Reference, plan *Plan, p Parameters) []Health {
	var out []Health
	for _, k := range ref.Keys() {
		h, _ := ref.Healthy(k)
		out = append(out, plan.health(k, &h, &p))
	}
	return out
}

func (p *Plan) health(k Key, h *schemas.Healthy, par *Parameters) Health {
	l := newLaw(k, h, par)
	w := p.Weight(k)
	if !l.pages {
		w.Page, w.PageShock = 0, 0
	}
	if !l.tickets {
		w = Weight{}
	}
	out := Health{
		Key: k, Windows: h.Fitted, Rows: h.Rows, Noise: h.Scale * math.Sqrt(h.Noise*h.Noise+h.Sampling), Season: h.Share,
		Dead: l.dead, Honesty: h.Honesty, Noisy: l.dead > 3*par.DeadZone, Pages: w.Page > 0,
	}
	if p.window > 0 {
		out.PerMonth = (w.Ticket + w.TicketShock) * 30 * 24 * float64(time.Hour) / float64(p.window)
	}
	limit := p.month()
	for _, s := range shifts {
		out.Detect = append(out.Detect, p.delay(l.expectedDelay(weights{w.Page, w.PageShock, w.Ticket, w.TicketShock}, s, h.Sampling, limit), limit))
	}
	return out
}

func (p *Plan) month() int {
	if p.window <= 0 {
		return 0
	}
	return max(1, int(30*24*time.Hour/p.window))
}

func (p *Plan) delay(windows, limit int) time.Duration {
	if windows >= limit {
		return Never
	}
	return time.Duration(windows) * p.window
}

func (p *Plan) offer(ref *Reference, par *Parameters) Offer {
	o := Offer{Budget: p.budget}
	by := make([][]time.Duration, len(shifts))
	for _, k := range ref.Keys() {
		if k.Channel != Location || k.Slice != "" {
			continue
		}
		h, _ := ref.Healthy(k)
		for i, d := range p.health(k, &h, par).Detect {
			if d == Never {
				d = math.MaxInt64
			}
			by[i] = append(by[i], d)
		}
	}
	for _, ds := range by {
		slices.Sort(ds)
		m := Never
		if n := len(ds); n > 0 && ds[n/2] != math.MaxInt64 {
			m = ds[n/2]
		}
		o.Detect = append(o.Detect, m)
	}
	return o
}

// Stages returns the way of learning, as far as so many days of reference have come.
func Stages(days float64) []Stage {
	const day = 24 * time.Hour
	out := []Stage{
		{After: time.Hour, Sees: "rules on single events, and no data"},
		{After: day, Sees: "the same; bins and categories settle"},
		{After: 7 * day, Sees: "shifts, rates and volume as tickets, with a wider dead zone"},
		{After: 28 * day, Sees: "everything, with pages"},
	}
	for i := range out {
		out[i].Reached = days*24*float64(time.Hour) >= float64(out[i].After)*.98
	}
	return out
}

// mostPairs bounds the blind pairs that are listed.
const mostPairs = 20

// blind lists what the reference cannot show.
func (r *Reference) blind(p *Parameters) []BlindSpot {
	if r == nil || r.baseline == nil {
		return []BlindSpot{{"everything but rules and missing data", "there is no baseline"}}
	}
	var out []BlindSpot
	labels := false
	tiny := 0
	var numbers []*schemas.BaselineColumn
	for i := range r.baseline.Columns {
		c := &r.baseline.Columns[i]
		labels = labels || c.Role == schemas.RoleLabel
		if c.Role == schemas.RoleFeature && c.Type == schemas.TypeNumber && len(c.Edges) > 1 {
			numbers = append(numbers, c)
		}
		for _, s := range c.Streams {
			if _, ok := r.healthy[Key{c.Role, c.Name, s.Slice, NullRate}]; !ok && s.Slice != "" && c.Role == schemas.RoleFeature {
				tiny++
			}
		}
	}
	if !labels {
		out = append(out, BlindSpot{"a change of what is true given the features", "the baseline has no labels"})
	}
	if tiny > 0 {
		out = append(out, BlindSpot{
			fmt.Sprintf("%d slices of columns", tiny), fmt.Sprintf("fewer than %.0f rows in %.0f days", p.SliceRows, p.SliceDays),
		})
	}
	pairs := 0
	for i, a := range numbers {
		for _, b := range numbers[i+1:] {
			if alike(a, b) {
				if pairs++; pairs <= mostPairs {
					out = append(out, BlindSpot{a.Name + " and " + b.Name + " exchanged", "they have nearly the same distribution"})
				}
			}
		}
	}
	if pairs > mostPairs {
		out = append(out, BlindSpot{fmt.Sprintf("%d more pairs of columns exchanged", pairs-mostPairs), "they have nearly the same distribution"})
	}
	return out
}

// alike says whether two numbers have nearly one distribution: the shares up
// to the edges of either differ by less than a twentieth, which is what their
// exchange would have to show.
func alike(a, b *schemas.BaselineColumn) bool {
	return below(a, b) && below(b, a)
}

func below(a, b *schemas.BaselineColumn) bool {
	na, nb := total(a.Streams[0].Bins), total(b.Streams[0].Bins)
	if na == 0 || nb == 0 || len(a.Streams[0].Bins) != len(a.Edges)+1 || len(b.Streams[0].Bins) != len(b.Edges)+1 {
		return false
	}
	ca, cb, j := 0.0, 0.0, 0
	for i, e := range a.Edges {
		ca += float64(a.Streams[0].Bins[i]) / na
		for j < len(b.Edges) && b.Edges[j] <= e {
			cb += float64(b.Streams[0].Bins[j]) / nb
			j++
		}
		// Within b's next bin anything is possible.
		next := 0.0
		if j < len(b.Streams[0].Bins) {
			next = float64(b.Streams[0].Bins[j]) / nb
		}
		if ca < cb-.05 || ca > cb+next+.05 {
			return false
		}
	}
	return true
}

// remedies names the noisiest streams and what would help.
func remedies(all []Health, window time.Duration) []Remedy {
	noisy := slices.DeleteFunc(slices.Clone(all), func(h Health) bool { return !h.Noisy })
	slices.SortStableFunc(noisy, func(a, b Health) int { return cmp.Compare(b.Dead, a.Dead) })
	var out []Remedy
	for _, h := range noisy[:min(len(noisy), 10)] {
		r := Remedy{Key: h.Key, Dead: h.Dead}
		switch {
		case h.Rows < 100 && window < 24*time.Hour:
			r.Why = fmt.Sprintf("%.0f rows in a window are few", h.Rows)
			r.YAML = "window: " + longer(window)
		case h.Honesty < .05:
			r.Why = "the reference itself has shifts of that size; cut them out, or take another one"
			r.YAML = "baseline: # of a healthier time"
		default:
			r.Why = "its level wanders that far while all is well"
			if h.Role == schemas.RoleFeature {
				r.YAML = fmt.Sprintf("rules:\n  - {severity: info, features: [%q], faults: [%s], below: %.2g, reason: its level wanders}", h.Feature, faultOf(h.Key), 2*h.Dead)
			} else {
				r.YAML = "window: " + longer(window)
			}
		}
		out = append(out, r)
	}
	return out
}

func longer(w time.Duration) string {
	if w < time.Hour {
		return "1h"
	}
	if w < 6*time.Hour {
		return "6h"
	}
	return "24h"
}
