package budget

import (
	"math"
	"slices"

	"github.com/modelwatch/modelwatch/schemas"
)

// fewestKin is how many slices of a column tell how much their noise differs.
const fewestKin = 5

// kin are the streams of one channel of one column in its slices.
type kin struct {
	role    schemas.Role
	feature string
	channel string
}

// relate takes the noise of a slice at the upper 95 % limit of what the slices
// of its column show. Four weeks are one draw: how far the noise of a slice
// will be from that of its reference cannot be told from the slice alone, but
// how far the slices are from one another bounds it, as a quiet month at one
// airport is no promise that it has no storms. With x = ln τ and y = the
// logarithm of the noise's memory 1/(1-φ), each normal over the slices with a
// variance that is what the estimates show less what their errors explain,
//
//	x ← max(x, mean + 1.645·sd),   y ← max(y, mean + 1.645·sd)
//
// so slices that are alike keep their own. Fewer than five slices, or noise
// in less than half of them, change nothing.
func (f *fitter) relate() {
	groups := map[kin][]*fitting{}
	var order []kin
	for _, s := range f.all {
		if s.Slice == "" {
			continue
		}
		k := kin{s.Role, s.Feature, s.Channel}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], s)
	}
	for _, k := range order {
		all := groups[k]
		noisy := all[:0:0]
		for _, s := range all {
			if s.tau2 > 0 && s.used > 3 {
				noisy = append(noisy, s)
			}
		}
		if len(all) < fewestKin || 2*len(noisy) < len(all) {
			continue
		}
		size, memory := limitOf(noisy, (*fitting).size), limitOf(noisy, (*fitting).memory)
		for _, s := range all {
			s.phi = math.Max(s.phi, math.Min(maxPhi, 1-math.Exp(-memory)))
			s.tau2 = math.Max(s.tau2, math.Exp(2*size))
			n := math.Max(1, float64(s.used))
			s.levelSE = math.Sqrt(s.tau2*(1+s.phi)/(1-s.phi)/n + s.meanR/n)
		}
	}
}

// size returns ln τ and the variance of its estimate: the n squares of an AR(1)
// process tell as much as n·(1-φ²)/(1+φ²) independent ones.
func (s *fitting) size() (x, v float64) {
	n := float64(s.used) * (1 - s.phi*s.phi) / (1 + s.phi*s.phi)
	seen := (s.tau2 + s.meanR) / s.tau2
	return .5 * math.Log(s.tau2), seen * seen / (2 * math.Max(n, 1))
}

// memory returns -ln(1-φ) and the variance of its estimate: that of φ is
// (1-φ²)/n where the noise stands out of the sampling.
func (s *fitting) memory() (x, v float64) {
	seen := (s.tau2 + s.meanR) / s.tau2
	return -math.Log(1 - s.phi), seen * seen * (1 + s.phi) / (1 - s.phi) / float64(s.used)
}

// limitOf returns the upper 95 % limit of a normal quantity over streams, of
// which each is known with an error.
func limitOf(all []*fitting, of func(*fitting) (x, v float64)) float64 {
	xs, errs := make([]float64, len(all)), make([]float64, len(all))
	mean := 0.0
	for i, s := range all {
		xs[i], errs[i] = of(s)
		mean += xs[i] / float64(len(all))
	}
	v := 0.0
	for _, x := range xs {
		v += (x - mean) * (x - mean) / float64(len(xs)-1)
	}
	slices.Sort(errs)
	return mean + 1.6449*math.Sqrt(math.Max(0, v-errs[len(errs)/2]))
}
