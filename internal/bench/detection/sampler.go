package detection

import (
	"math"
	"math/rand/v2"
)

// source is a random source that can be set to the draws of one cell (of a
// column, a slice and a window), so that changing one cell leaves all others
// as they are.
type source struct {
	pcg *rand.PCG
	*rand.Rand
}

func newSource() *source {
	pcg := rand.NewPCG(0, 0)
	return &source{pcg, rand.New(pcg)}
}

// at sets the source to the draws that belong to the keys.
func (s *source) at(keys ...uint64) *source {
	a, b := uint64(0x9e3779b97f4a7c15), uint64(0xd1b54a32d192ed03)
	for _, k := range keys {
		a = mix(a ^ k)
		b = mix(b + a)
	}
	s.pcg.Seed(a, b)
	return s
}

// mix is the finaliser of SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// binomial draws from Binomial(n, p): by inversion where the mean is below 10,
// else by transformed rejection (BTRS). n below 1 or p not above 0 give 0, p
// of at least 1 gives n; p that is not a number gives 0.
//
// Source: Hörmann 1993.
func (s *source) binomial(n int, p float64) int {
	switch {
	case n < 1 || !(p > 0):
		return 0
	case p >= 1:
		return n
	case p > .5:
		return n - s.binomial(n, 1-p)
	case float64(n)*p < 10:
		return s.invert(n, p)
	}
	return s.reject(n, p)
}

func (s *source) invert(n int, p float64) int {
	odds := p / (1 - p)
	a := float64(n+1) * odds
	f := math.Exp(float64(n) * math.Log1p(-p))
	u := s.Float64()
	for x := 0; ; {
		if u <= f {
			return x
		}
		u -= f
		if x++; x > n {
			return n
		}
		f *= a/float64(x) - odds
	}
}

func (s *source) reject(n int, p float64) int {
	mean := float64(n) * p
	sd := math.Sqrt(mean * (1 - p))
	b := 1.15 + 2.53*sd
	a := -.0873 + .0248*b + .01*p
	c := mean + .5
	squeeze := .92 - 4.2/b
	m := math.Floor(float64(n+1) * p)
	for {
		u, v := s.Float64()-.5, s.Float64()
		us := .5 - math.Abs(u)
		k := math.Floor((2*a/us+b)*u + c)
		if k < 0 || k > float64(n) {
			continue
		}
		if us >= .07 && v <= squeeze {
			return int(k)
		}
		alpha := (2.83 + 5.1/b) * sd
		v = math.Log(v * alpha / (a/(us*us) + b))
		h := logFactorial(m) + logFactorial(float64(n)-m)
		if v <= h-logFactorial(k)-logFactorial(float64(n)-k)+(k-m)*math.Log(p/(1-p)) {
			return int(k)
		}
	}
}

// logFactorial is ln k!, by Stirling's series from 10 on (error below 1e-10).
func logFactorial(k float64) float64 {
	if k < 10 {
		f := 1.0
		for i := 2.0; i <= k; i++ {
			f *= i
		}
		return math.Log(f)
	}
	r := 1 / (k * k)
	return (k+.5)*math.Log(k) - k + .9189385332046727 + (1.0/12-(1.0/360-(1.0/1260-r/1680)*r)*r)/k
}

// spread shares n out among the cells in the proportions of p, which sum to
// about 1, by conditional binomials, adding to counts.
func (s *source) spread(n int, p []float64, counts []uint64) {
	left := 1.0
	for i, q := range p[:len(p)-1] {
		if n == 0 {
			return
		}
		k := 0
		if left > 1e-12 {
			k = s.binomial(n, min(1, q/left))
		}
		counts[i] += uint64(k)
		n -= k
		left -= q
	}
	counts[len(p)-1] += uint64(n)
}

// innovation is of unit variance: normal, or Student's t with 4 degrees of
// freedom.
func (s *source) innovation(heavy bool) float64 {
	z := s.NormFloat64()
	if !heavy {
		return z
	}
	g := 0.0
	for range 4 {
		x := s.NormFloat64()
		g += x * x
	}
	return z / math.Sqrt(g/4) / math.Sqrt2
}
