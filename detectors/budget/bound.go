package budget

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/modelwatch/modelwatch/schemas"
)

// Bound returns the median delay, in windows, of a detector that no other can
// beat by much: it spends the same weight a window on a lasting shift, with
// the same dead zone and tails, but knows the true parameters of the noise,
// the size and sign of the shift, and when it begins:
//
//	M ← (M + w)·t_ν(z; δc/√F) / t_ν(z; Δc/√F) from the onset on, alarm at M >= 1
//
// found by simulating 999 streams from a fixed seed. sampling is the known
// variance of a window; a shift within the dead zone, and one that is not
// found within limit windows, give limit.
func Bound(h schemas.Healthy, weight, shift, sampling float64, limit int) int {
	l := law{Healthy: &h, dead: h.Dead, nu: h.Tail, power: int(h.Tail) + 1, tau2: h.Noise * h.Noise}
	l.q = l.tau2 * (1 - h.Phi*h.Phi)
	oracle := func(s *state, z, c, sd float64) bool {
		zero, at := l.dead*c/sd, math.Abs(shift)*c/sd
		d, b := z-zero, z-at
		s.ticket[0] = (s.ticket[0] + weight) * power((l.nu+d*d)/(l.nu+b*b), l.power)
		return s.ticket[0] >= 1
	}
	if math.Abs(shift) <= l.dead || !(weight > 0) {
		return limit
	}
	return l.median(math.Abs(shift), sampling, limit, 1, oracle)
}

// Delay returns the median number of windows to the first alarm of the
// detector itself after a shift, at these weights, by simulating 199 streams
// of Gaussian noise from a fixed seed, warmed up over two days' worth of
// windows. More than limit gives limit.
func Delay(k Key, h schemas.Healthy, w Weight, shift, sampling float64, limit int, p Parameters) int {
	l := newLaw(k, &h, &p)
	if !l.sound() || math.Abs(shift) <= l.dead && w.TicketShock == 0 && w.PageShock == 0 {
		return limit
	}
	ws := weights{w.Page, w.PageShock, w.Ticket, w.TicketShock}
	rng := rand.New(rand.NewPCG(1, 2))
	delays := make([]int, 199)
	for i := range delays {
		s := newState(&l)
		a := math.Sqrt(l.tau2) * rng.NormFloat64()
		delays[i] = limit
		for t := -warm; t < limit; t++ {
			a = l.Phi*a + math.Sqrt(l.q)*rng.NormFloat64()
			u := a + math.Sqrt(sampling)*rng.NormFloat64()
			if t >= 0 {
				u += shift
			}
			if o := l.step(&s, u, sampling, l.dead, ws); t >= 0 && (o.page || o.ticket) {
				delays[i] = t + 1
				break
			}
		}
		if i == 20 && !slices.ContainsFunc(delays[:21], func(d int) bool { return d < limit }) {
			return limit // hopeless, and costly to be sure of
		}
	}
	slices.Sort(delays)
	return delays[len(delays)/2]
}

const warm = 48

// median simulates streams with a shift of known size from the first window on.
func (l *law) median(shift, sampling float64, limit, scale int, alarm func(s *state, z, c, sd float64) bool) int {
	rng := rand.New(rand.NewPCG(1, uint64(scale)))
	delays := make([]int, 999)
	// The filter has settled when the shift comes.
	settled := l.tau2
	for range warm {
		f := math.Max(settled+sampling, least)
		settled = l.Phi*l.Phi*settled*(1-settled/f) + l.q
	}
	for i := range delays {
		s := state{p: settled}
		// The error of the filter's forecast is all that counts of the past.
		a := math.Sqrt(settled) * rng.NormFloat64()
		delays[i] = limit
		for t := range limit {
			u := a + math.Sqrt(sampling)*rng.NormFloat64() + shift
			f := math.Max(s.p+sampling, least)
			sd, c, v := math.Sqrt(f), 1-s.bias, u-s.a
			if alarm(&s, v/sd, c, sd) {
				delays[i] = t + 1
				break
			}
			gain := s.p / f
			s.a = l.Phi * (s.a + gain*v)
			s.bias = l.Phi * (s.bias + gain*c)
			s.p = l.Phi*l.Phi*s.p*(1-gain) + l.q
			a = l.Phi*a + math.Sqrt(l.q)*rng.NormFloat64()
		}
	}
	slices.Sort(delays)
	return delays[len(delays)/2]
}

// expectedDelay estimates Delay without simulating: the expected
// log-likelihood ratio of the bet whose size is nearest to the shift is added
// up, window by window, with what the filter leaves of the shift,
//
//	Σ_t E[ln e_t] ≥ ln (J/w) - ln (1 + 1/Σ)
//
// the last term standing for the recursion's many possible onsets.
func (l *law) expectedDelay(w weights, shift, sampling float64, limit int) int {
	shift = math.Abs(shift)
	weight := math.Max(w.ticket, w.page)
	shocks := math.Max(w.ticketShock, w.pageShock)
	if shift <= l.dead || !(weight > 0 || shocks > 0) {
		return limit
	}
	s := state{p: l.tau2}
	for range warm {
		f := math.Max(s.p+sampling, least)
		gain := s.p / f
		s.p = l.Phi*l.Phi*s.p*(1-gain) + l.q
	}
	size := sizes[0]
	for _, x := range sizes {
		if math.Abs(math.Log(x*l.dead/shift)) < math.Abs(math.Log(size*l.dead/shift)) {
			size = x
		}
	}
	have := 0.0
	// In its first window a shift shows in full, and the bets know that; then
	// they stand at what the settled filter leaves of it.
	c := l.settledResponse(s.p, sampling)
	for t := range limit {
		f := math.Max(s.p+sampling, least)
		sd := l.Scale * math.Sqrt(f)
		z := shift * (1 - s.bias) / sd
		if t == 0 {
			have = math.Max(0, l.gain(z, l.dead/sd, size*l.dead/sd))
			if have+math.Log(shocks/float64(2*len(sizes))) >= 0 {
				return 1
			}
		} else {
			have += l.gain(z, l.dead*c/sd, size*l.dead*c/sd)
		}
		if have+math.Log(weight/float64(bets))+math.Log(1+1/math.Max(have, .05)) >= 0 {
			return t + 1
		}
		gain := s.p / f
		s.bias = l.Phi * (s.bias + gain*(1-s.bias))
		s.p = l.Phi*l.Phi*s.p*(1-gain) + l.q
	}
	return limit
}

// settledResponse is what of a lasting unit shift the innovations go on to show.
func (l *law) settledResponse(p, sampling float64) float64 {
	gain := p / math.Max(p+sampling, least)
	return (1 - l.Phi) / (1 - l.Phi + l.Phi*gain)
}

// gain is the mean log-likelihood ratio of a bet at `at` against `zero` when z
// is normal about its mean, by Gauss–Hermite's three points.
func (l *law) gain(z, zero, at float64) float64 {
	sum := 0.0
	for i, w := range [...]float64{1. / 6, 2. / 3, 1. / 6} {
		x := z + math.Sqrt(3)*float64(i-1)/l.Scale
		d, b := x-zero, x-at
		sum += w * (l.nu + 1) / 2 * math.Log((l.nu+d*d)/(l.nu+b*b))
	}
	return sum
}
