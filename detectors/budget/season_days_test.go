package budget

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// A category that is the most frequent one on one day of the week only, as the
// name of the day is, has a share of 1 there and of 0 else.
func TestSeasonReachesOneDayOfTheWeek(t *testing.T) {
	for _, window := range []time.Duration{time.Hour, 24 * time.Hour} {
		const weeks = 4
		n := int(weeks * 7 * 24 * time.Hour / window)
		var c Calendar
		cells := make([][]cell, n)
		y, use := make([]float64, n), make([]bool, n)
		rng := rand.New(rand.NewPCG(1, 5))
		for i := range n {
			start := int64(i) * window.Milliseconds()
			cells[i] = c.cells(start, start+window.Milliseconds())
			use[i] = true
			y[i] = .02 * rng.NormFloat64()
			if cells[i][0].day == 2 {
				y[i] += math.Pi
			}
		}
		d := newDesign(cells, use, window.Milliseconds())
		level, season := d.fit(y, use)
		worst := 0.0
		for i := range n {
			worst = math.Max(worst, math.Abs(y[i]-level-seasonAt(season, cells[i])))
		}
		// What shrinkage takes of four such days is left; nothing like the day itself.
		limit := .5
		if window > time.Hour {
			limit = 2.3
		}
		if worst > limit {
			t.Errorf("windows of %s: a window is %.2f off its season", window, worst)
		}
	}
}
