package budget

import (
	"math"
	"slices"

	"github.com/modelwatch/modelwatch/schemas"
)

// sizes are the shifts that the e-values bet on, in dead zones.
var sizes = [...]float64{2, 4, 8, 16, 32}

// bets is how many likelihood ratios are mixed: each size up and down, and
// one on what the windows before have shown, which follows ramps.
const bets = 2*len(sizes) + 1

// damping is the time, in days, over which a trend of the volume is believed.
const damping = 28

const dayMS = 24 * hourMS

// law is how one stream behaves while all is well.
type law struct {
	*schemas.Healthy
	upOnly   bool // only an increase is a fault
	pageDown bool // only a decrease is worth a page
	dead     float64
	tickets  bool // long enough a reference for tickets
	pages    bool // … and for pages
	nu       float64
	power    int // ν+1
	tau2, q  float64
}

func newLaw(k Key, h *schemas.Healthy, p *Parameters) law {
	l := law{
		Healthy: h, dead: h.Dead, nu: h.Tail, power: int(h.Tail) + 1, tau2: h.Noise * h.Noise,
		tickets: h.Days >= p.TicketDays, pages: h.Days >= p.FullDays,
	}
	l.q = l.tau2 * (1 - h.Phi*h.Phi)
	switch k.Channel {
	case NullRate, NaNRate, AbsentRate, UnseenRate:
		l.upOnly = true
	case LabelRate:
		l.upOnly = true
	case Volume:
		l.pageDown = true // twice the traffic wakes nobody
	}
	if l.tickets && !l.pages {
		l.dead *= p.Widen
	}
	return l
}

// sound says whether the numbers of a law can be judged by.
func (l *law) sound() bool {
	return l.dead > 0 && finite(l.dead) && finite(l.Level) && l.Phi >= 0 && l.Phi < 1 && l.Noise >= 0 && finite(l.Noise) &&
		l.Scale > 0 && finite(l.Scale) && l.nu >= 2 && l.nu == math.Trunc(l.nu) && (len(l.Season) == 0 || len(l.Season) == seasonSize)
}

// expected returns the healthy mean of a window, and by how much the doubt
// about the trend widens the dead zone there.
func (l *law) expected(at []cell, end int64) (m, doubt float64) {
	m = l.Level + seasonAt(l.Season, at)
	if l.Slope != 0 || l.SlopeSE != 0 {
		days := damped(l.Until, end)
		m += l.Slope * days
		doubt = 2 * l.SlopeSE * days
	}
	return m, doubt
}

// damped returns the days between two times as a damped trend counts them.
func damped(from, to int64) float64 {
	return damping * -math.Expm1(-math.Max(0, float64(to-from))/dayMS/damping)
}

// state is what is remembered of one stream of one version.
type state struct {
	a, p, bias float64 // AR(1) component, its variance, its response to a lasting unit shift
	level      float64 // smoothed distance from the expected mean
	page       [bets]float64
	ticket     [bets]float64
	run        [2 * len(sizes)]float32 // likelihood ratio of "it began at age", by bet; at least 1
	age        [2 * len(sizes)]uint32  // windows since then
	idle       uint32                  // windows in a row without data
	flags      uint8
	ok         uint8 // measured ok in a row, while open
	onset      int64 // of the open finding, Unix milliseconds
}

const (
	isOpen  = 1 << iota // a finding is open
	isPaged             // … and the page-spend detector has fired
	isDown              // … and the shift was down
)

func newState(l *law) state { return state{p: l.tau2} }

// weights are what one stream may spend in one window.
type weights struct{ page, pageShock, ticket, ticketShock float64 }

// outcome is what a step says.
type outcome struct {
	z, sd, shift float64 // standardised innovation, its sd, distance from the expected mean
	dead         float64
	page, ticket bool
	strength     float64 // of the alarm: what M or w·e came to
	best         int     // the bet that won most
}

// skip predicts over a window without data: nothing is learnt, nothing spent.
func (l *law) skip(s *state) {
	s.a *= l.Phi
	s.bias *= l.Phi
	s.p = l.Phi*l.Phi*s.p + l.q
	for i := range s.age {
		if s.run[i] > 1 {
			s.age[i]++
		}
	}
}

// least is the smallest variance of an innovation: below it digits decide.
const least = 1e-10

// step takes one window into the state: u is the distance from the expected
// mean, r its known variance, dead the dead zone.
//
//	F = P + r, z = (u-a)/(s·√F), c = 1 - bias
//	e_j(c) = t_ν(z; ±m_j·Δc/(s√F)) / t_ν(z; ±Δc/(s√F))
//	M_j ← M_j·e_j(c) + w/J·e_j(1)
//
// with the likelihoods of Student's t, of which the powers are taken by
// multiplication: (ν+1)/2 is a whole number of halves. A shift that begins
// with this window shows in full (c = 1), of one that began before the filter
// has taken its part; both are e-values, so E[M] grows by at most w. A reset to
// 0 follows an alarm. The rule for one window is Markov's: the mean of the
// e_j(1) times its own weight reaches 1.
func (l *law) step(s *state, u, r, dead float64, w weights) outcome {
	f := math.Max(s.p+r, least)
	sd := l.Scale * math.Sqrt(f)
	inv := 1 / sd
	c := 1 - s.bias
	v := u - s.a
	o := outcome{z: v * inv, sd: sd, shift: u, dead: dead, best: -1}
	l.bet(s, &o, dead*c*inv, dead*inv, w)

	gain := s.p / f
	s.a = l.Phi * (s.a + gain*v)
	s.bias = l.Phi * (s.bias + gain*c)
	s.p = l.Phi*l.Phi*s.p*(1-gain) + l.q
	if d := u - s.level; math.Abs(d) > jump*sd {
		s.level = u // no noise does that: a fault has begun, or has been mended
	} else {
		s.level += l.smooth(dead, r) * d
	}
	return o
}

// jump is by how many standard deviations of a window the level may be off
// before it is taken anew instead of smoothed.
const jump = 4

// smooth returns how much of a window goes into the level: so much that its
// standard error is half the dead zone, at least a twelfth.
func (l *law) smooth(dead, r float64) float64 {
	x := dead * dead / 4 / math.Max(l.tau2+r, least)
	return math.Min(1, math.Max(1./12, 2*x/(1+x)))
}

// bet moves the recursions. zero is the border of the dead zone as it shows in
// z once the filter has settled, fresh as it shows in the first window.
func (l *law) bet(s *state, o *outcome, zero, fresh float64, w weights) {
	sides := 2
	if l.upOnly {
		sides = 1
	}
	each := 1 / float64(sides*len(sizes)+1)
	wp, wt := w.page*each, w.ticket*each
	var pages, tickets, shock, pageShock float64
	z := o.z
	j := 0
	for side := range sides {
		if side == 1 {
			z = -z
		}
		if s.mutes(side) {
			s.clear(side)
			j += len(sizes)
			continue
		}
		pw := wp
		if l.pageDown && side == 0 {
			pw = 0
		}
		d := z - zero
		null := l.nu + d*d
		d = z - fresh
		nullFresh := l.nu + d*d
		var x, lasts, begins [len(sizes)]float64
		for i, size := range sizes {
			d = z - size*zero
			x[i] = null / (l.nu + d*d)
		}
		powers(&lasts, &x, l.power)
		if fresh == zero {
			begins = lasts // the filter has taken nothing
		} else {
			for i, size := range sizes {
				d = z - size*fresh
				x[i] = nullFresh / (l.nu + d*d)
			}
			powers(&begins, &x, l.power)
		}
		first := 0.0
		for i, e := range lasts {
			began := begins[i]
			first += began
			s.page[j] = s.page[j]*e + pw*began
			s.ticket[j] = s.ticket[j]*e + wt*began
			pages += s.page[j]
			tickets += s.ticket[j]
			run := float64(s.run[j]) * e
			switch {
			case run >= began && run > 1:
				s.age[j]++
				s.run[j] = float32(min(run, 1e30))
			case began > 1:
				s.age[j] = 1
				s.run[j] = float32(min(began, 1e30))
			default:
				s.run[j], s.age[j] = 0, 0
			}
			j++
		}
		shock += first
		if !l.pageDown || side == 1 {
			pageShock += first
		}
	}
	last := bets - 1
	e := l.follow(s, o, zero)
	pw, pe := wp, e
	if l.pageDown && s.level > 0 {
		pw, pe = 0, 1 // what was staked before must not win on an increase either
	}
	s.page[last] = (s.page[last] + pw) * pe
	s.ticket[last] = (s.ticket[last] + wt) * e
	pages += s.page[last]
	tickets += s.ticket[last]
	shocks := 1 / float64(sides*len(sizes))
	shock *= shocks * w.ticketShock
	pageShock *= shocks * w.pageShock
	if pages < 1 && tickets < 1 && shock < 1 && pageShock < 1 {
		return
	}
	l.alarm(s, o, [...]float64{pages, tickets, pageShock, shock})
}

// mutes says that a side is not bet on: while a shift is open the filter has
// taken part of it in, and its way back looks like a shift the other way.
func (s *state) mutes(side int) bool {
	return s.flags&isOpen != 0 && (side == 0) == (s.flags&isDown != 0)
}

// clear forgets the evidence of one side. Less of it always keeps the bound.
func (s *state) clear(side int) {
	for i := side * len(sizes); i < (side+1)*len(sizes); i++ {
		s.page[i], s.ticket[i], s.run[i], s.age[i] = 0, 0, 0, 0
	}
}

// settle takes the filter back to what it knows of a stream it has not seen.
func (s *state) settle(l *law) { s.a, s.p, s.bias = 0, l.tau2, 0 }

// alarm takes the sums that have reached 1.
func (l *law) alarm(s *state, o *outcome, sums [4]float64) {
	o.strength = slices.Max(sums[:])
	most := 0.0
	for i := range 2 * len(sizes) {
		if m := math.Max(s.page[i], s.ticket[i]); m > most {
			o.best, most = i, m
		}
	}
	if sums[0] >= 1 {
		s.page = [bets]float64{}
	}
	if sums[1] >= 1 {
		s.ticket = [bets]float64{}
	}
	o.page = sums[0] >= 1 || sums[2] >= 1
	o.ticket = sums[1] >= 1 || sums[3] >= 1
}

// follow is the bet on the level that the windows before have shown. It was
// known before this window, so it is as good a bet as any; within one and a
// half dead zones it abstains.
func (l *law) follow(s *state, o *outcome, zero float64) float64 {
	at, z := s.level/o.dead, o.z
	if at < 0 && !l.upOnly {
		at, z = -at, -z
	}
	if !(at > 1.5) {
		return 1
	}
	d, b := z-zero, z-at*zero
	return power((l.nu+d*d)/(l.nu+b*b), l.power)
}

// power returns x^(n/2).
func power(x float64, n int) float64 {
	out := 1.0
	if n&1 == 1 {
		out = math.Sqrt(x)
	}
	for n >>= 1; n > 0; n >>= 1 {
		if n&1 == 1 {
			out *= x
		}
		x *= x
	}
	return out
}

// powers sets out to power of each, side by side: the processor need not wait
// for one product before it begins the next.
func powers(out, x *[len(sizes)]float64, n int) {
	a, b, c, d, e := x[0], x[1], x[2], x[3], x[4]
	p, q, r, s, t := 1.0, 1.0, 1.0, 1.0, 1.0
	if n&1 == 1 {
		p, q, r, s, t = math.Sqrt(a), math.Sqrt(b), math.Sqrt(c), math.Sqrt(d), math.Sqrt(e)
	}
	for n >>= 1; n > 0; n >>= 1 {
		if n&1 == 1 {
			p, q, r, s, t = p*a, q*b, r*c, s*d, t*e
		}
		a, b, c, d, e = a*a, b*b, c*c, d*d, e*e
	}
	*out = [...]float64{p, q, r, s, t}
}
