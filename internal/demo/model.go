package demo

import (
	"math"
	"math/rand/v2"
	"time"
)

// lateAfter is the delay in minutes from which a flight counts as late.
const lateAfter = 15

// features is what the model sees of a flight.
type features struct {
	distance            float64 // miles
	origin, destination uint16
	hour, weekday       uint8
	originDelay         float64 // mean delay at the origin in the hour before, minutes
	networkDelay        float64 // mean delay everywhere in the hour before
	quiet               bool    // no flight left the origin in the hour before: originDelay is not known
}

// lookback follows the delays of the hour before, at each airport and in the network.
type lookback struct {
	rows  []flight
	from  int // first row of the hour
	to    int
	sum   []int64
	count []int64
	all   int64
	n     int64
}

func newLookback(f *flights) *lookback {
	return &lookback{rows: f.rows, sum: make([]int64, len(f.airports)), count: make([]int64, len(f.airports))}
}

// of returns the features of row i; rows must be asked for in order. A delay is
// known once the flight has left: its minutes after the scheduled time.
func (l *lookback) of(i int) features {
	r := &l.rows[i]
	for l.to < i && l.rows[l.to].at < r.at {
		l.add(l.to, 1)
		l.to++
	}
	for l.from < l.to && l.rows[l.from].at < r.at-time.Hour.Milliseconds() {
		l.add(l.from, -1)
		l.from++
	}
	t := time.UnixMilli(r.at).UTC()
	f := features{
		distance: float64(r.distance), origin: r.origin, destination: r.destination,
		hour: uint8(t.Hour()), weekday: uint8(t.Weekday()),
	}
	if l.n > 0 {
		f.networkDelay = float64(l.all) / float64(l.n)
	}
	if c := l.count[r.origin]; c > 0 {
		f.originDelay = float64(l.sum[r.origin]) / float64(c)
	} else {
		f.quiet = true
	}
	return f
}

func (l *lookback) add(i int, sign int64) {
	r := &l.rows[i]
	d := sign * int64(r.delay)
	l.sum[r.origin] += d
	l.count[r.origin] += sign
	l.all += d
	l.n += sign
}

// model is a logistic regression: one weight for each airport as origin and as
// destination, each hour and each weekday, and one for each number.
type model struct {
	bias                float64
	origin, destination []float64
	hour                [24]float64
	weekday             [7]float64
	number              [3]float64 // distance, delay at the origin, delay in the network
}

// train fits the model to rows [0, n) by stochastic gradient descent, two
// passes in a seeded random order with a falling step.
func train(f *flights, n int, seed uint64) *model {
	m := &model{origin: make([]float64, len(f.airports)), destination: make([]float64, len(f.airports))}
	seen := newLookback(f)
	all := make([]features, n)
	for i := range all {
		all[i] = seen.of(i)
	}
	order := rand.New(rand.NewPCG(seed, 28)).Perm(n)
	const passes = 2
	for pass := range passes {
		for k, i := range order {
			step := 0.05 / (1 + 4*float64(pass*n+k)/float64(passes*n))
			x := &all[i]
			y := 0.0
			if f.rows[i].delay > lateAfter {
				y = 1
			}
			g := step * (y - m.score(x))
			m.bias += g
			m.origin[x.origin] += g
			m.destination[x.destination] += g
			m.hour[x.hour] += g
			m.weekday[x.weekday] += g
			for j, v := range numbers(x) {
				m.number[j] += g * v
			}
		}
	}
	return m
}

// numbers scales the numeric features to about one.
func numbers(x *features) [3]float64 {
	return [3]float64{x.distance/1000 - 0.7, math.Tanh(x.originDelay / 30), math.Tanh(x.networkDelay / 30)}
}

// score is the probability that the flight will be late.
func (m *model) score(x *features) float64 {
	z := m.bias + m.origin[x.origin] + m.destination[x.destination] + m.hour[x.hour] + m.weekday[x.weekday]
	for j, v := range numbers(x) {
		z += m.number[j] * v
	}
	return 1 / (1 + math.Exp(-z))
}

// auc is the area under the ROC curve of the model on rows [from, to), with
// scores in a thousand bins.
func (m *model) auc(f *flights, from, to int) float64 {
	const bins = 1000
	var late, onTime [bins]float64
	seen := newLookback(f)
	for i := range to {
		x := seen.of(i)
		if i < from {
			continue
		}
		b := min(int(m.score(&x)*bins), bins-1)
		if f.rows[i].delay > lateAfter {
			late[b]++
		} else {
			onTime[b]++
		}
	}
	var below, pairs, nLate, nOnTime float64
	for b := range bins {
		pairs += late[b] * (below + onTime[b]/2)
		below += onTime[b]
		nLate += late[b]
		nOnTime += onTime[b]
	}
	return pairs / (nLate * nOnTime)
}
