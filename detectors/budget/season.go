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
	inverse *mat.SymDense // nil: windows of a week or longer have no season
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
	perHour := math.Max(1, hourMS/float64(window)) // windows within an hour are nearly one observation
	for i := range seasonSize {
		k := 0
		if i >= 48 {
			k = 2
		} else if i >= 24 {
			k = 1
		}
		g.SetSym(i, i, g.At(i, i)+shrink[k]*perHour)
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
		season = d.hours(y, good, level)
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

// hours returns the season that the reweighting begins with: the median of
// each hour of the day less the level. From nothing it would take hours that
// are far from all others, as nights without traffic are, for outliers, and
// move to them by little more than the spread of a calm hour in each round.
// Windows of several hours begin with nothing.
func (d *design) hours(y []float64, good []bool, level float64) []float64 {
	season := make([]float64, seasonSize)
	var of [24][]float64
	for t, u := range d.use {
		if u && good[t] {
			if len(d.cells[t]) != 1 {
				return season
			}
			h := d.cells[t][0].hour
			of[h] = append(of[h], y[t])
		}
	}
	for h, vals := range of {
		if len(vals) >= 3 {
			season[h] = median(vals) - level
		}
	}
	return season
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
