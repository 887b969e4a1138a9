package stat

import (
	"math"
	"slices"
)

// Holm returns the p-values adjusted so that rejecting those at most α makes
// any false rejection with probability at most α, whatever their dependence:
// with p_(1) <= … <= p_(k),
//
//	adjusted_(i) = max_{j<=i} min(1, (k-j+1)·p_(j))
//
// in the order of the argument, which is left as it is. None gives none. A
// NaN makes every result NaN: the family cannot be judged without it.
//
// Source: Holm 1979.
func Holm(p []float64) []float64 {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case p[i] < p[j]:
			return -1
		case p[i] > p[j]:
			return 1
		}
		return 0
	})
	out := make([]float64, len(p))
	if slices.ContainsFunc(p, math.IsNaN) {
		for i := range out {
			out[i] = math.NaN()
		}
		return out
	}
	least := 0.0
	for j, i := range order {
		least = max(least, min(1, float64(len(p)-j)*p[i]))
		out[i] = least
	}
	return out
}
