package drift

import (
	"math"

	"github.com/modelwatch/modelwatch/detectors/stat"
	"github.com/modelwatch/modelwatch/schemas"
)

// Effect returns the effect on the one scale and its p-value for the counts
// of a window against one stream of a baseline: WassersteinSD with the
// p-value of KS for numbers, CohenW with that of stat.ChiSquare for
// categories. A number's sd is the stream's own, at least a hundredth of the
// whole column's; where neither varies, any unit gives the same effect.
// Counts of another length than the reference's, or none, give NaN.
func Effect(c *schemas.BaselineColumn, s *schemas.BaselineStream, win []uint64) (effect, p float64) {
	if c.Type == schemas.TypeCategory {
		if len(win) != len(s.Bins) {
			return math.NaN(), math.NaN()
		}
		_, _, p = stat.ChiSquare(s.Bins, win)
		return CohenW(s.Bins, win), p
	}
	sd := number(s.SD, 0)
	if whole := c.Stream(""); whole != nil {
		sd = max(sd, number(whole.SD, 0)/100)
	}
	if sd == 0 {
		sd = 1
	}
	var low, high float64
	if len(c.Edges) > 0 {
		low, high = number(s.Min, c.Edges[0]), number(s.Max, c.Edges[len(c.Edges)-1])
	}
	effect = WassersteinSD(c.Edges, low, high, sd, s.Bins, win)
	return effect, stat.KolmogorovSmirnov(KS(s.Bins, win), uint64(total(s.Bins)), uint64(total(win)))
}

func number(x *float64, otherwise float64) float64 {
	if x == nil {
		return otherwise
	}
	return *x
}
