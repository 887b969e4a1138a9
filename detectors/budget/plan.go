package budget

import (
	"cmp"
	"math"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// Budget is the number of false pages and tickets that a period may have.
type Budget struct {
	Pages, Tickets float64
	Per            time.Duration
}

// Plan shares a budget out over streams and windows. It is fixed before the
// windows it is used for, and read-only once made.
type Plan struct {
	budget  Budget
	window  time.Duration
	shock   float64
	lowered float64 // by the governor; 1: not at all
	shares  map[Key]shares
	ref     *Reference
	table   []planned               // by the streams of ref
	spend   map[schemas.Part]shares // of one window of a part, shares of the budget of a window
}

// planned is what Judge needs of one stream of the plan's reference.
type planned struct {
	law    law
	shares shares
	sound  bool // the numbers of the law can be judged by
}

// tableOf lists laws and shares by the streams of a reference; the plan has
// that of its own at hand.
func (p *Plan) tableOf(ref *Reference, par *Parameters) []planned {
	if p.ref == ref && ref != nil {
		return p.table
	}
	out := make([]planned, len(ref.streams))
	for i := range ref.streams {
		s := &ref.streams[i]
		out[i] = planned{law: newLaw(s.Key, &s.Healthy, par), shares: p.shares[s.Key]}
		out[i].sound = out[i].law.sound()
	}
	return out
}

// shares are a stream's parts of the pages and the tickets of a window.
type shares struct{ page, ticket float64 }

// Weight is what a stream may spend in one window, in expected false alarms.
type Weight struct {
	Page, PageShock     float64
	Ticket, TicketShock float64
}

// NewPlan shares a budget out over the streams of a reference whose columns
// the spec has (nil: all): Spend says how, importance how much a feature
// matters (nil: all alike; negative and NaN count as 0; columns that are no
// features matter as the mean feature does). What a kind of stream would get
// that the model does not have goes to the others, but for the shares of the
// pages, which stay unspent.
//
// The parameters are those that Judge is called with.
//
// Over any time, the weights that Judge uses add up to at most the budget for
// that time: in each window of a part the share of the part is divided among
// the streams that have data in it, and each part has one window at a time.
func NewPlan(b Budget, window time.Duration, spec *schemas.Spec, ref *Reference, importance func(feature string) float64, p Parameters) *Plan {
	plan := &Plan{budget: b, window: window, shock: p.Spend.Shock, lowered: 1, shares: map[Key]shares{}, spend: map[schemas.Part]shares{}}
	var keys []Key
	for _, k := range ref.Keys() {
		if spec == nil || k.Role == schemas.RoleRows || spec.Column(k.Role, k.Feature) != nil {
			keys = append(keys, k)
		}
	}
	matter := matters(keys, importance)
	type shelf struct {
		slice bool
		group int
	}
	type place struct {
		shelf
		columnKey
	}
	streams := map[place]float64{} // of one column on one shelf
	columns := map[shelf]float64{} // how many
	weighty := map[shelf]float64{} // their importance together
	for _, k := range keys {
		at := place{shelf{k.Slice != "", channelGroup(k)}, columnKey{k.Role, k.Feature}}
		if streams[at] == 0 {
			columns[at.shelf]++
			weighty[at.shelf] += matter[at.columnKey]
		}
		streams[at]++
	}
	raw := make([]float64, len(keys))
	sum := 0.0
	byClass := [classes]float64{}
	for i, k := range keys {
		at := place{shelf{k.Slice != "", channelGroup(k)}, columnKey{k.Role, k.Feature}}
		f := p.Spend.half(at.slice) * p.Spend.group(at.group)
		even := 1 / columns[at.shelf]
		if total := weighty[at.shelf]; total > 0 {
			even = (1-p.Spend.Importance)*even + p.Spend.Importance*matter[at.columnKey]/total
		}
		raw[i] = f * even / streams[at]
		sum += raw[i]
		byClass[classOf(k)] += raw[i]
	}
	for i, k := range keys {
		var s shares
		if sum > 0 {
			s.ticket = raw[i] / sum
		}
		if c := classOf(k); byClass[c] > 0 {
			s.page = p.Spend.class(c) * raw[i] / byClass[c]
		}
		plan.shares[k] = s
		part := partOf(k)
		all := plan.spend[part]
		all.page += s.page
		all.ticket += s.ticket
		plan.spend[part] = all
	}
	if ref != nil {
		plan.table = plan.tableOf(ref, &p)
		plan.ref = ref
	}
	return plan
}

// partOf returns the part of an event whose windows show a stream.
func partOf(k Key) schemas.Part {
	if k.Role == schemas.RoleRows {
		return schemas.PartOf(k.Feature)
	}
	return k.Role.Part()
}

// matters returns the importance of every column.
func matters(keys []Key, importance func(string) float64) map[columnKey]float64 {
	out := map[columnKey]float64{}
	sum, n := 0.0, 0.0
	for _, k := range keys {
		c := columnKey{k.Role, k.Feature}
		if _, ok := out[c]; ok || k.Role != schemas.RoleFeature {
			continue
		}
		x := 1.0
		if importance != nil {
			x = importance(k.Feature)
			if !(x > 0) || math.IsInf(x, 1) {
				x = 0
			}
		}
		out[c] = x
		sum += x
		n++
	}
	mean := 1.0
	if n > 0 {
		mean = sum / n
	}
	for _, k := range keys {
		c := columnKey{k.Role, k.Feature}
		if _, ok := out[c]; !ok {
			out[c] = mean
		}
	}
	return out
}

// The channel groups of Spend.
const (
	groupShift = iota
	groupRates
	groupRest
)

func channelGroup(k Key) int {
	switch k.Channel {
	case Location, Spread:
		if k.Role == schemas.RoleLatency {
			return groupRest
		}
		return groupShift
	case NullRate, NaNRate, AbsentRate, UnseenRate:
		return groupRates
	}
	return groupRest
}

func (s *Spend) group(g int) float64 {
	switch g {
	case groupShift:
		return s.Shift
	case groupRates:
		return s.Rates
	}
	return math.Max(0, 1-s.Shift-s.Rates)
}

func (s *Spend) half(slice bool) float64 {
	if slice {
		return s.Slices
	}
	return 1 - s.Slices
}

// The classes of Spend's shares of the pages.
const (
	classRates = iota
	classVolume
	classPrediction
	classFeatures
	classes
)

func classOf(k Key) int {
	switch {
	case channelGroup(k) == groupRates:
		return classRates
	case k.Role == schemas.RoleRows:
		return classVolume
	case k.Role == schemas.RolePrediction, k.Role == schemas.RoleScore:
		return classPrediction
	}
	return classFeatures
}

func (s *Spend) class(c int) float64 {
	switch c {
	case classRates:
		return s.PageRates
	case classVolume:
		return s.PageVolume
	case classPrediction:
		return s.PagePrediction
	}
	return s.PageFeatures
}

// perWindow returns what one window may spend of the whole budget.
func (p *Plan) perWindow() shares {
	if p.budget.Per <= 0 {
		return shares{}
	}
	f := p.lowered * float64(p.window) / float64(p.budget.Per)
	return shares{p.budget.Pages * f, p.budget.Tickets * f}
}

// Weight returns what a stream may spend in a window in which all streams have data.
func (p *Plan) Weight(k Key) Weight {
	return weigh(p.perWindow(), p.shares[k], shares{1, 1}, p.shock)
}

// weigh turns shares of what a window may spend into a weight; scale is what
// the streams without data leave over.
func weigh(perWindow, s, scale shares, shock float64) Weight {
	page, ticket := perWindow.page*s.page*scale.page, perWindow.ticket*s.ticket*scale.ticket
	return Weight{
		Page: page * (1 - shock), PageShock: page * shock,
		Ticket: ticket * (1 - shock), TicketShock: ticket * shock,
	}
}

// Budget returns what is shared out.
func (p *Plan) Budget() Budget { return p.budget }

// Governed returns the plan with all weights times factor, which is taken
// between 0 and 1: the governor only lowers.
func (p *Plan) Governed(factor float64) *Plan {
	out := *p
	out.lowered = math.Min(1, math.Max(0, factor))
	return &out
}

// Spends returns the false pages and tickets that the plan allows for in the
// given time with all streams: the share of the budget that is spent here.
func (p *Plan) Spends(d time.Duration) (pages, tickets float64) {
	if p.window <= 0 {
		return 0, 0
	}
	var all shares
	for _, part := range schemas.Parts {
		all.page += p.spend[part].page
		all.ticket += p.spend[part].ticket
	}
	n := float64(d) / float64(p.window)
	b := p.perWindow()
	return n * b.page * all.page, n * b.ticket * all.ticket
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Slice, b.Slice), cmp.Compare(a.Channel, b.Channel))
}
