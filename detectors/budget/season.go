package budget

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// seasonSize is 24 hours, 24 weekend hours, 7 weekdays.
const seasonSize = 24 + 24 + 7

// shrink holds the ridge of hours, weekend hours and weekdays, in windows of
// an hour: that many healthy hours would be needed to take half an effect in.
var shrink = [3]float64{.01, 2, 8}

// seasonAt returns the season of a window.
func seasonAt(season []float64, at []cell) float64 {
	if len(season) == 0 {
		return 0
	}
	sum := 0.0
	for i := range at {
		c := &at[i]
		x := season[c.hour] + season[48+c.day]
		if c.day >= 5 {
			x += season[24+c.hour]
		}
		sum += c.share * x
	}
	return sum
}

// design is the season's side of a set of windows: which may be learnt from,
// and the inverse of the ridge's normal matrix. It does not depend on a
// stream, so all share it; a stream's own missing windows are filled in with
// what is expected there.
type design struct {
	cells   [][]cell
	use     []bool
	n       float64
	ridge   [seasonSize]float64 // windows at 0 that shrink each entry
	inverse *mat.SymDense       // nil: windows of a week or longer have no season
}

func newDesign(cells [][]cell, use []bool, window int64) *design {
	d := &design{cells: cells, use: use}
	for _, u := range use {
		if u {
			d.n++
		}
	}
	if window >= 7*dayMS || d.n < 24 && window < dayMS || d.n < 7 {
		return d
	}
	g := mat.NewSymDense(seasonSize, nil)
	var row [seasonSize]float64
	for t, at := range cells {
		if !use[t] {
			continue
		}
		fill(&row, at)
		for i, x := range row {
			if x == 0 {
				continue
			}
			for j := i; j < seasonSize; j++ {
				if row[j] != 0 {
					g.SetSym(i, j, g.At(i, j)+x*row[j])
				}
			}
		}
	}
	perHour := hourMS / float64(window) // shrinkage is worth so many hours of data, whatever their windows
	for i := range seasonSize {
		k := 0
		if i >= 48 {
			k = 2
		} else if i >= 24 {
			k = 1
		}
		d.ridge[i] = shrink[k] * perHour
		g.SetSym(i, i, g.At(i, i)+d.ridge[i])
	}
	var ch mat.Cholesky
	if !ch.Factorize(g) {
		return d
	}
	var inv mat.SymDense
	if ch.InverseTo(&inv) == nil {
		d.inverse = &inv
	}
	return d
}

func fill(row *[seasonSize]float64, at []cell) {
	*row = [seasonSize]float64{}
	for i := range at {
		c := &at[i]
		row[c.hour] += c.share
		row[48+c.day] += c.share
		if c.day >= 5 {
			row[24+c.hour] += c.share
		}
	}
}

// rounds of reweighting; the fit hardly moves after five.
const rounds = 8

// fit returns level and season of a stream by Huber's M-estimate, as repeated
// ridge fits to what is left when each distance is cut at twice its robust
// sd. good says which windows have data.
func (d *design) fit(y []float64, good []bool) (level float64, season []float64) {
	var vals []float64
	for t, u := range d.use {
		if u && good[t] {
			vals = append(vals, y[t])
		}
	}
	if len(vals) == 0 {
		return 0, nil
	}
	level = median(vals)
	if d.inverse != nil {
		season = d.start(y, good, level)
	}
	left := make([]float64, len(y))
	for round := range rounds {
		vals = vals[:0]
		for t, u := range d.use {
			if u && good[t] {
				left[t] = y[t] - level - seasonAt(season, d.cells[t])
				vals = append(vals, math.Abs(left[t]))
			} else {
				left[t] = 0
			}
		}
		limit := 2 * 1.4826 * median(vals)
		if limit == 0 && round > 0 {
			break
		}
		if limit == 0 {
			limit = 2 * rms(vals)
		}
		d.refine(left, limit, &level, season)
	}
	return level, season
}

// start returns the season that the reweighting begins with: the medians of
// the hours of the day and of the days of the week, each of what the other
// leaves (Tukey's median polish, two sweeps). From nothing it would take what
// is far from all others for outliers, as nights without traffic are, or the
// one day of a week on which a category is the most frequent one, and move to
// it by little more than the spread of a calm hour in each round. Windows of
// several hours begin with the days alone, those of several days with nothing.
func (d *design) start(y []float64, good []bool, level float64) []float64 {
	season := make([]float64, seasonSize)
	for range 2 {
		d.polish(y, good, level, season, 0, 24, func(at []cell) int {
			if len(at) != 1 {
				return -1
			}
			return at[0].hour
		})
		d.polish(y, good, level, season, 48, 7, func(at []cell) int {
			for i := range at {
				if at[i].day != at[0].day {
					return -1
				}
			}
			return at[0].day
		})
	}
	return season
}

// polish adds to n entries of the season, from the given one on, the median of
// what is left of the windows that belong to each; of says to which, -1 for none.
func (d *design) polish(y []float64, good []bool, level float64, season []float64, from, n int, of func(at []cell) int) {
	vals := make([][]float64, n)
	for t, u := range d.use {
		if u && good[t] {
			if k := of(d.cells[t]); k >= 0 {
				vals[k] = append(vals[k], y[t]-level-seasonAt(season, d.cells[t]))
			}
		}
	}
	for k, v := range vals {
		if len(v) >= 3 {
			season[from+k] += median(v)
		}
	}
}

// refine moves level and season to the ridge fit of what they are plus the cut distances.
func (d *design) refine(left []float64, limit float64, level *float64, season []float64) {
	mean, n := 0.0, 0.0
	for t, u := range d.use {
		if u {
			left[t] = math.Min(limit, math.Max(-limit, left[t]))
			mean += left[t]
			n++
		}
	}
	mean /= n
	*level += mean
	if season == nil {
		return
	}
	// The target is season + left - mean; ridge towards 0 of the whole.
	var xty [seasonSize]float64
	for t, u := range d.use {
		if !u {
			continue
		}
		v := seasonAt(season, d.cells[t]) + left[t] - mean
		for i := range d.cells[t] {
			c := &d.cells[t][i]
			x := c.share * v
			xty[c.hour] += x
			xty[48+c.day] += x
			if c.day >= 5 {
				xty[24+c.hour] += x
			}
		}
	}
	// Shrinkage is as many windows seen at 0, and like all others they pull by
	// no more than the limit: what is far from 0 for certain is not pulled back.
	for i, x := range season {
		xty[i] += d.ridge[i] * (x - math.Min(limit, math.Max(-limit, x)))
	}
	for i := range season {
		sum := 0.0
		for j, x := range xty {
			sum += d.inverse.At(i, j) * x
		}
		season[i] = sum
	}
	*level += centre(season)
}

// centre makes a season add up to 0 over the week and returns what it took off.
func centre(season []float64) float64 {
	sum := 0.0
	for day := range 7 {
		for hour := range 24 {
			sum += season[hour] + season[48+day]
			if day >= 5 {
				sum += season[24+hour]
			}
		}
	}
	mean := sum / 168
	for hour := range 24 {
		season[hour] -= mean
	}
	return mean
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	s := slices.Clone(x)
	slices.Sort(s)
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

func rms(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v * v
	}
	return math.Sqrt(sum / math.Max(1, float64(len(x))))
}
