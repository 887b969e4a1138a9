package budget

import (
	"math"
	"testing"
)

// Nights without traffic are far from all other hours, every night: they are
// the season, and not outliers.
func TestSeasonReachesHoursFarFromOthers(t *testing.T) {
	var cells [][]cell
	var y []float64
	use, good := make([]bool, 672), make([]bool, 672)
	for i := range 672 {
		cells = append(cells, []cell{{hour: i % 24, day: i / 24 % 7, share: 1}})
		x := 6.9 + .05*float64(i%5-2)
		if h := i % 24; h >= 2 && h <= 4 {
			x = .3 * float64(i%3)
		}
		y = append(y, x)
		use[i], good[i] = true, true
	}
	level, season := newDesign(cells, use, hourMS).fit(y, good)
	for _, at := range []int{3, 27, 10, 90} {
		if got := level + seasonAt(season, cells[at]); math.Abs(got-y[at]) > .5 {
			t.Errorf("hour %d: %.2f is expected, %.2f is usual", at%24, got, y[at])
		}
	}
}
