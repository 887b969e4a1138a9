package detection

import (
	"math"
	"time"
)

// Hours of the two stretches of every model, and the first of them.
const (
	ReferenceWindows = 28 * 24
	TestWindows      = 30 * 24
	allWindows       = ReferenceWindows + TestWindows
)

// epoch is a Monday without holidays near.
var epoch = time.Date(2024, time.March, 4, 0, 0, 0, 0, time.UTC)

// World is how healthy data behave. Locations and scales are in standard
// deviations of a column's rows around their hourly mean.
type World struct {
	Name  string `json:"name"`
	Gated bool   `json:"gated"` // its budget is a promise; others are told
	About string `json:"about"`

	Rows     float64 `json:"rows"`  // mean of a window; it swings by 70 % over the day
	Floor    int     `json:"floor"` // added to the rows of each window
	Seasonal bool    `json:"seasonal"`
	// Level noise: an AR(1) process with its coefficient and sd drawn evenly
	// for each column; the logarithm of the scale has another, of 0.4 × the sd.
	PhiLow, PhiHigh float64
	SDLow, SDHigh   float64
	Heavy           bool    // innovations are Student's t with 4 degrees of freedom
	Shared          float64 // share of the level noise's variance that all columns have in common
	Wander          float64 // random walk, sd in a day
	Amplitude       float64 // sd by which a season's amplitude differs in the test from the reference

	Storms   float64 // clusters of bad hours in a month, each over a third of the columns
	Mondays  float64 // sd of the level of a Monday
	Holidays bool    // two in the reference, two in the test, with Sunday's profile and half the rows
	Growth   float64 // of the rows in a week
	Clumped  float64 // rows come in clumps of so many like ones; 0 for rows on their own
	Rounded  bool    // values are whole numbers, and a share of them is 0
	Coming   bool    // slices come and go
	Incident float64 // share of the columns that had a day at 1 sd in the reference, that nobody told of
}

// standard is the world that the others differ from.
func standard() World {
	return World{
		Name: "standard", Gated: true, About: "seasons of day and week, level noise with AR(1) of .3 to .9, 2000 rows an hour",
		Rows: 2000, Floor: 20, Seasonal: true, PhiLow: .3, PhiHigh: .9, SDLow: .03, SDHigh: .12,
	}
}

// Worlds lists all worlds: those whose budget is promised first.
func Worlds() []World {
	var out []World
	add := func(name, about string, gated bool, change func(*World)) {
		w := standard()
		w.Name, w.About, w.Gated = name, about, gated
		change(&w)
		out = append(out, w)
	}
	add("standard", standard().About, true, func(*World) {})
	add("heavy", "innovations of the level are t with 4 degrees of freedom", true, func(w *World) { w.Heavy = true })
	add("iid", "no season and no level noise", true, func(w *World) {
		w.Seasonal, w.PhiLow, w.PhiHigh, w.SDLow, w.SDHigh = false, 0, 0, 0, 0
	})
	add("small", "150 rows an hour", true, func(w *World) { w.Rows = 150 })
	add("big", "100 000 rows an hour", true, func(w *World) { w.Rows = 100_000 })
	add("shared", "30 % of the level noise is common to all columns", true, func(w *World) { w.Shared = .3 })
	add("walk", "the level walks .01 sd in a day", false, func(w *World) { w.Wander = .01 })
	add("amplitude", "the season's amplitude changes by 15 % (sd) with the first day of the test", false, func(w *World) { w.Amplitude = .15 })
	add("storms", "two clusters of bad hours a month, over a third of the columns", false, func(w *World) { w.Storms = 2 })
	add("mondays", "each Monday has a level of its own, sd .1", false, func(w *World) { w.Mondays = .1 })
	add("holidays", "two holidays in the reference and two in the test", false, func(w *World) { w.Holidays = true })
	add("growth", "2 % more rows each week", false, func(w *World) { w.Growth = .02 })
	add("clumped", "rows come in clumps of ten, tighter at night", false, func(w *World) { w.Clumped = 10 })
	add("sparse", "3 rows an hour", false, func(w *World) { w.Rows, w.Floor = 3, 0 })
	add("rounded", "whole numbers, a third of them 0", false, func(w *World) { w.Rounded = true })
	add("coming", "slices come and go", false, func(w *World) { w.Coming = true })
	add("incident", "a day at 1 sd in the reference that nobody told of", false, func(w *World) { w.Incident = .05 })
	return out
}

// Named returns the world of that name.
func Named(name string) (World, bool) {
	for _, w := range Worlds() {
		if w.Name == name {
			return w, true
		}
	}
	return World{}, false
}

// Constants of the season and the rows, of every world that has them.
const (
	dailyLow, dailySpan = .05, .45 // amplitude of the day's first harmonic
	secondSpan          = .15      // of its second
	weekendSpan         = .3       // of the weekend, either way
	scaleSpan           = .15      // of the day in the logarithm of the scale
	scaleShare          = .4       // sd of the scale's noise, of that of the level
	rowsSwing           = .7       // of the rows over the day
	rowsNoise           = .1       // sd of their logarithm
	commonPhi           = .7       // of the noise that columns share
)

// weekday is 0 on Mondays; it and the hour are those of window t.
func weekday(t int) int { return t / 24 % 7 }

func hourOf(t int) int { return t % 24 }

// holidays are the days, from the first, that are holidays where a world has
// them: a Wednesday and a Friday of the reference, and the same of the test.
var holidays = [...]int{9, 18, 37, 46}

func (w *World) holiday(t int) bool {
	if w.Holidays {
		for _, d := range holidays {
			if t/24 == d {
				return true
			}
		}
	}
	return false
}

// like is the window whose season window t has: a holiday's is a Sunday's.
func (w *World) like(t int) int {
	if w.holiday(t) {
		return 6*24 + hourOf(t)
	}
	return t
}

// rows draws the number of rows of each window.
func (w *World) rows(s *source) []int {
	out := make([]int, allWindows)
	for t := range out {
		mean := w.Rows * (1 + rowsSwing*math.Sin(2*math.Pi*(float64(hourOf(t))-9)/24)) * math.Exp(rowsNoise*s.NormFloat64())
		mean *= math.Pow(1+w.Growth, float64(t)/168)
		if w.holiday(t) {
			mean /= 2
		}
		if w.Rows < 20 {
			out[t] = w.Floor + s.binomial(1000, mean/1000)
		} else {
			out[t] = w.Floor + int(mean)
		}
	}
	return out
}

// wave is the season and noise of one column: what the random numbers of the
// column make of the world.
type wave struct {
	phi, sd    float64 // of the level's AR(1)
	level      []float64
	season     []float64 // the part of level that is known in advance
	scale      []float64 // logarithm
	known      []float64 // the season of the scale
	base, unit float64   // mean of level over the reference, and sd of the rows there
}

// wave draws the column; storms has the strength of the storm in each window,
// and common the noise that columns share.
func (w *World) wave(s *source, common, storms []float64) wave {
	o := wave{level: make([]float64, allWindows), season: make([]float64, allWindows), scale: make([]float64, allWindows), known: make([]float64, allWindows)}
	var first, phase, second, phase2, weekend, swing float64
	if w.Seasonal {
		first, phase = dailyLow+dailySpan*s.Float64(), 2*math.Pi*s.Float64()
		second, phase2 = secondSpan*s.Float64(), 2*math.Pi*s.Float64()
		weekend = weekendSpan * 2 * (s.Float64() - .5)
		swing = scaleSpan * s.Float64()
	}
	o.phi = w.PhiLow + (w.PhiHigh-w.PhiLow)*s.Float64()
	o.sd = w.SDLow + (w.SDHigh-w.SDLow)*s.Float64()
	x, y := o.sd*s.NormFloat64(), scaleShare*o.sd*s.NormFloat64()
	step := math.Sqrt(1 - o.phi*o.phi)
	change := w.Amplitude * s.NormFloat64()
	stormy := 0.0
	if w.Storms > 0 && s.Float64() < 1./3 {
		stormy = .5 + s.Float64()
	}
	var walk, monday float64
	incident := s.Float64() < w.Incident
	for t := range allWindows {
		x = o.phi*x + o.sd*step*s.innovation(w.Heavy)
		y = o.phi*y + scaleShare*o.sd*step*s.innovation(w.Heavy)
		walk += w.Wander / math.Sqrt(24) * s.NormFloat64()
		if hourOf(t) == 0 {
			monday = 0
			if weekday(t) == 0 && w.Mondays > 0 {
				monday = w.Mondays * s.NormFloat64()
			}
		}
		at := w.like(t)
		h := 2 * math.Pi * float64(hourOf(at)) / 24
		season := first*math.Sin(h+phase) + second*math.Sin(2*h+phase2)
		if weekday(at) >= 5 {
			season += weekend
		}
		if t >= ReferenceWindows {
			season *= 1 + change
		}
		o.season[t], o.known[t] = season, swing*math.Sin(h+phase2)
		o.level[t] = season + math.Sqrt(1-w.Shared)*x + math.Sqrt(w.Shared)*o.sd*common[t] + walk + monday + stormy*storms[t]
		if incident && t >= 15*24 && t < 16*24 {
			o.level[t]++
		}
		o.scale[t] = o.known[t] + y
	}
	for _, l := range o.level[:ReferenceWindows] {
		o.base += l / ReferenceWindows
	}
	v := 0.0
	for _, l := range o.level[:ReferenceWindows] {
		v += (l - o.base) * (l - o.base) / ReferenceWindows
	}
	o.unit = math.Sqrt(1 + v)
	return o
}

// common draws the noise that columns share, of unit variance.
func (w *World) common(s *source) []float64 {
	out := make([]float64, allWindows)
	x := s.NormFloat64()
	for t := range out {
		x = commonPhi*x + math.Sqrt(1-commonPhi*commonPhi)*s.NormFloat64()
		out[t] = x
	}
	return out
}

// storms draws how strong the storm of each window is: they begin by chance,
// grow for hours and die down.
func (w *World) storms(s *source) []float64 {
	out := make([]float64, allWindows)
	if w.Storms <= 0 {
		return out
	}
	for t := range out {
		if s.Float64() >= w.Storms/TestWindows {
			continue
		}
		hours := 6 + s.IntN(30)
		peak := .3 + .7*s.Float64()
		for i := range min(2*hours, allWindows-t) {
			out[t+i] += peak * math.Sin(math.Pi*float64(i)/float64(2*hours))
		}
	}
	return out
}
