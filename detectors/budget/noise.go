package budget

import (
	"math"
)

// track is one stream's distances from its expected mean over a reference,
// one value a window of time; good says where there are data.
type track struct {
	u, r []float64
	good []bool
}

// filter runs the Kalman filter of an AR(1) process of autocorrelation phi and
// stationary variance tau2, seen with the known variances r, over the track,
// and gives each innovation v, its variance F, and the response c to a
// lasting unit shift. Where there are no data, and where out says so, it
// predicts only.
func (t *track) filter(phi, tau2 float64, out []bool, see func(i int, v, f, c float64)) {
	q := tau2 * (1 - phi*phi)
	a, p, bias := 0.0, tau2, 0.0
	for i, u := range t.u {
		if !t.good[i] || out != nil && out[i] {
			a *= phi
			bias *= phi
			p = phi*phi*p + q
			continue
		}
		f := math.Max(p+t.r[i], least)
		v, c := u-a, 1-bias
		if see != nil {
			see(i, v, f, c)
		}
		gain := p / f
		a = phi * (a + gain*v)
		bias = phi * (bias + gain*c)
		p = phi*phi*p*(1-gain) + q
	}
}

// likelihood returns minus twice the log-likelihood of (phi, tau2), each
// squared innovation beyond 3 sd growing only linearly (Huber). The
// logarithms of eight variances are taken as one.
func (t *track) likelihood(phi, tau2 float64, out []bool) float64 {
	q := tau2 * (1 - phi*phi)
	p, a := tau2, 0.0
	sum, product, n := 0.0, 1.0, 0
	for i, u := range t.u {
		if !t.good[i] || out != nil && out[i] {
			a *= phi
			p = phi*phi*p + q
			continue
		}
		f := math.Max(p+t.r[i], least)
		v := u - a
		z2 := v * v / f
		if z2 > 9 {
			z2 = 6*math.Sqrt(z2) - 9
		}
		sum += z2
		product *= f
		if n++; n&7 == 0 {
			sum += math.Log(product)
			product = 1
		}
		gain := p / f
		a = phi * (a + gain*v)
		p = phi*phi*p*(1-gain) + q
	}
	return sum + math.Log(product)
}

// The grid over which the likelihood is looked at first.
var (
	gridPhi   = [...]float64{0, .3, .55, .75, .88, .95}
	gridShare = [...]float64{.02, .15, .4, .75, 1.1}
)

// maxPhi bounds the autocorrelation: beyond it a level and noise are one.
const maxPhi = .98

// noise returns the autocorrelation and variance of the AR(1) component by
// maximum likelihood: a grid, then a pattern search around its best point.
func (t *track) noise(out []bool) (phi, tau2 float64) {
	var vals []float64
	for i, u := range t.u {
		if t.good[i] && (out == nil || !out[i]) {
			vals = append(vals, math.Abs(u))
		}
	}
	if len(vals) < 3 {
		return 0, 0
	}
	limit := 3 * 1.4826 * median(vals)
	v := 0.0
	for _, x := range vals {
		if limit > 0 {
			x = math.Min(x, limit)
		}
		v += x * x
	}
	v /= float64(len(vals))
	if v < least {
		return 0, 0
	}
	best := t.likelihood(0, 0, out)
	try := func(p, share float64) bool {
		if p < 0 || p > maxPhi || share < 1e-3 || share > 3 {
			return false
		}
		l := t.likelihood(p, share*v, out)
		if l < best-1e-9 {
			best, phi, tau2 = l, p, share
			return true
		}
		return false
	}
	for _, p := range gridPhi {
		for _, s := range gridShare {
			try(p, s)
		}
	}
	if tau2 == 0 {
		return 0, 0
	}
	// Steps in the logarithms of 1-φ and of the share.
	for step := .4; step > .04; step /= 2 {
		for moved, n := true, 0; moved && n < 4; n++ {
			g := 1 - phi
			up := math.Exp(step)
			moved = try(1-g*up, tau2) || try(1-g/up, tau2) || try(phi, tau2*up) || try(phi, tau2/up)
		}
	}
	return phi, tau2 * v
}

// standardised returns the innovations over their sd, where there are data.
func (t *track) standardised(phi, tau2 float64, out []bool) []float64 {
	z := make([]float64, 0, len(t.u))
	t.filter(phi, tau2, out, func(_ int, v, f, _ float64) { z = append(z, v/math.Sqrt(f)) })
	return z
}

// tScale returns the maximum-likelihood scale s of z ~ s·t_ν,
//
//	s² = (1/n)·Σ (ν+1)·z²/(ν+z²/s²)
//
// by iteration from the mean square; 0 for none.
func tScale(z []float64, nu float64) float64 {
	if len(z) == 0 {
		return 0
	}
	s2 := rms(z)
	s2 *= s2
	for range 25 {
		if s2 <= 0 {
			return 0
		}
		sum := 0.0
		for _, x := range z {
			x *= x
			sum += x / (nu + x/s2)
		}
		next := (nu + 1) * sum / float64(len(z))
		done := math.Abs(next-s2) < 1e-4*s2
		s2 = next
		if done {
			break
		}
	}
	return math.Sqrt(s2)
}

// tLikelihood returns the log-likelihood of z ~ s·t_ν.
func tLikelihood(z []float64, nu, s float64) float64 {
	a, _ := math.Lgamma((nu + 1) / 2)
	b, _ := math.Lgamma(nu / 2)
	sum, product := 0.0, 1.0
	for i, x := range z {
		x /= s
		product *= 1 + x*x/nu
		if i&7 == 7 {
			sum += math.Log(product)
			product = 1
		}
	}
	sum += math.Log(product)
	return float64(len(z))*(a-b-.5*math.Log(nu*math.Pi)-math.Log(s)) - (nu+1)/2*sum
}

// scaleLimit returns the upper 95 % limit of a scale fitted on n values of
// t_ν: its logarithm has variance (ν+3)/(2νn).
func scaleLimit(s, nu float64, n int) float64 {
	return s * math.Exp(1.6449*math.Sqrt((nu+3)/(2*nu*float64(max(n, 1)))))
}

// gridTail holds the degrees of freedom that a pool is fitted by.
var gridTail = [...]float64{2.5, 3, 4, 5, 6, 8, 10, 13, 17, 22, 30, 42}

// pooledTail returns the degrees of freedom under which the standardised
// innovations of many streams, each with its own scale, are likeliest; 10
// where there is none to tell by.
func pooledTail(zs [][]float64) float64 {
	if len(zs) == 0 {
		return 10
	}
	best, nu := math.Inf(-1), gridTail[0]
	for _, n := range gridTail {
		sum := 0.0
		for _, z := range zs {
			if s := tScale(z, n); s > 0 {
				sum += tLikelihood(z, n, s)
			}
		}
		if sum > best {
			best, nu = sum, n
		}
	}
	return nu
}
