package budget

import (
	"math"

	"github.com/modelwatch/modelwatch/schemas"
)

// sizes are the shifts that the e-values bet on, in dead zones; impulses those
// of the one-window rule.
var (
	sizes    = [...]float64{2, 4, 8, 16, 32}
	impulses = [...]float64{5, 10, 20, 40}
)

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
	why      string // not judged, because
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
	case Volume, LabelRate:
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
)

func newState(l *law) state { return state{p: l.tau2} }

// weights are what one stream may spend in one window.
type weights struct{ page, pageShock, ticket, ticketShock float64 }

// outcome is what a step says.
type outcome struct {
	z, sd, shift float64 // standardised innovation, its sd, distance from the expected mean
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
//	e_j = t_ν(z; ±m_j·Δc/(s√F)) / t_ν(z; ±Δc/(s√F)),   M_j ← (M_j + w/J)·e_j
//
// with the likelihoods of Student's t, of which the powers are taken by
// multiplication: (ν+1)/2 is a whole number of halves. A reset to 0 follows an alarm.
func (l *law) step(s *state, u, r, dead float64, w weights) outcome {
	f := math.Max(s.p+r, least)
	sd := l.Scale * math.Sqrt(f)
	inv := 1 / sd
	c := 1 - s.bias
	v := u - s.a
	o := outcome{z: v * inv, sd: sd, shift: u, best: -1}
	l.bet(s, &o, dead*c*inv, w)
	l.shock(&o, dead*inv, w)

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

// bet moves the recursions for what lasts. zero is the border of the dead
// zone as it shows in z.
func (l *law) bet(s *state, o *outcome, zero float64, w weights) {
	wp, wt := w.page/float64(bets), w.ticket/float64(bets)
	sides := 2
	if l.upOnly {
		wp, wt, sides = w.page/float64(len(sizes)+1), w.ticket/float64(len(sizes)+1), 1
	}
	var pages, tickets float64
	z := o.z
	j := 0
	for side := range sides {
		if side == 1 {
			z = -z
		}
		d := z - zero
		null := l.nu + d*d
		pw := wp
		if l.pageDown && side == 0 {
			pw = 0
		}
		for _, size := range sizes {
			d = z - size*zero
			e := power(null/(l.nu+d*d), l.power)
			s.page[j] = (s.page[j] + pw) * e
			s.ticket[j] = (s.ticket[j] + wt) * e
			pages += s.page[j]
			tickets += s.ticket[j]
			if run := math.Max(1, float64(s.run[j])) * e; run > 1 {
				s.run[j] = float32(math.Min(run, 1e30))
				s.age[j]++
			} else {
				s.run[j], s.age[j] = 0, 0
			}
			j++
		}
	}
	last := bets - 1
	e := l.follow(s, o, zero)
	pw := wp
	if l.pageDown && s.level > 0 {
		pw = 0
	}
	s.page[last] = (s.page[last] + pw) * e
	s.ticket[last] = (s.ticket[last] + wt) * e
	pages += s.page[last]
	tickets += s.ticket[last]
	if pages < 1 && tickets < 1 {
		return
	}
	o.strength = math.Max(pages, tickets)
	most := 0.0
	for i := range 2 * len(sizes) {
		if m := math.Max(s.page[i], s.ticket[i]); m > most {
			o.best, most = i, m
		}
	}
	if pages >= 1 {
		o.page = true
		s.page = [bets]float64{}
	}
	if tickets >= 1 {
		o.ticket = true
		s.ticket = [bets]float64{}
	}
}

// follow is the bet on the level that the windows before have shown. It was
// known before this window, so it is as good a bet as any; within one and a
// half dead zones it abstains.
func (l *law) follow(s *state, o *outcome, zero float64) float64 {
	at, z := s.level/l.dead, o.z
	if at < 0 && !l.upOnly {
		at, z = -at, -z
	}
	if !(at > 1.5) {
		return 1
	}
	d, b := z-zero, z-at*zero
	return power((l.nu+d*d)/(l.nu+b*b), l.power)
}

// shock is the rule for one window: Markov's inequality for the mean of the
// likelihood ratios of a single window that is off.
func (l *law) shock(o *outcome, zero float64, w weights) {
	if w.pageShock <= 0 && w.ticketShock <= 0 {
		return
	}
	up := l.impulse(o.z, zero)
	down := 0.0
	if l.upOnly {
		up *= 2
	} else {
		down = l.impulse(-o.z, zero)
	}
	e := (up + down) / 2
	pe := e
	if l.pageDown {
		pe = down / 2
	}
	if pe*w.pageShock >= 1 {
		o.page = true
	}
	if e*w.ticketShock >= 1 {
		o.ticket = true
	}
	o.strength = math.Max(o.strength, math.Max(pe*w.pageShock, e*w.ticketShock))
}

func (l *law) impulse(z, zero float64) float64 {
	d := z - zero
	if d <= 0 {
		return 0 // each ratio is below 1 there, and what is left out only makes the rule stricter
	}
	null := l.nu + d*d
	sum := 0.0
	for _, size := range impulses {
		d = z - size*zero
		sum += power(null/(l.nu+d*d), l.power)
	}
	return sum / float64(len(impulses))
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
