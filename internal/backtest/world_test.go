package backtest_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// start is the first moment of the seeded flights.
var start = time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) // a Monday

// flights is seeded traffic with a season of the day: what a table of a
// service's own log looks like.
type flights struct {
	seed  uint64
	days  int
	hour  float64                                  // rows of an hour at noon
	spoil func(at time.Time, r *flight, p float64) // puts faults in; p is uniform in [0, 1) for each row
}

type flight struct {
	at                       time.Time
	id                       int
	distance, temp, humidity string
	origin, prediction       string
	score, label             string
}

var origins = []string{"ATL", "DFW", "JFK", "LAX", "ORD"}

// rows returns the flights in order of time.
func (f flights) rows() []flight {
	r := rand.New(rand.NewPCG(f.seed, 1))
	var out []flight
	for h := range f.days * 24 {
		hour := start.Add(time.Duration(h) * time.Hour)
		rate := f.hour * (0.55 - 0.45*math.Cos(2*math.Pi*float64(hour.Hour())/24))
		n := int(rate + math.Sqrt(rate)*r.NormFloat64())
		for i := range max(n, 1) {
			x := flight{at: hour.Add(time.Duration(i) * time.Hour / time.Duration(max(n, 1))).Truncate(time.Second), id: len(out)}
			temp := 12 + 8*math.Sin(2*math.Pi*float64(hour.Hour()-9)/24) + 3*r.NormFloat64()
			distance := math.Exp(6.4 + 0.6*r.NormFloat64())
			late := 1 / (1 + math.Exp(-(-1 + 0.4*r.NormFloat64() + distance/4000)))
			x.distance, x.temp = strconv.Itoa(int(distance)), fmt.Sprintf("%.1f", temp)
			x.humidity, x.origin = fmt.Sprintf("%.2f", 0.5+0.15*r.NormFloat64()), origins[r.IntN(len(origins))]
			x.score, x.prediction, x.label = fmt.Sprintf("%.3f", late), "on time", "on time"
			if late > 0.5 {
				x.prediction = "late"
			}
			if r.Float64() < late {
				x.label = "late"
			}
			if p := r.Float64(); f.spoil != nil {
				f.spoil(x.at, &x, p)
			}
			out = append(out, x)
		}
	}
	return out
}

func csvOf(rows []flight) []byte {
	var b bytes.Buffer
	b.WriteString("ts,id,distance,temp,humidity,origin,prediction,score,label\n")
	for _, x := range rows {
		fmt.Fprintf(&b, "%s,%d,%s,%s,%s,%s,%s,%s,%s\n", x.at.Format(time.RFC3339), x.id, x.distance, x.temp, x.humidity, x.origin, x.prediction, x.score, x.label)
	}
	return b.Bytes()
}

// faults are what the seeded traffic of the tests breaks, from the fifth week on.
func faults(at time.Time, x *flight, p float64) {
	day := func(d, h int) time.Time { return start.AddDate(0, 0, d).Add(time.Duration(h) * time.Hour) }
	within := func(from, to time.Time) bool { return !at.Before(from) && at.Before(to) }
	if within(day(31, 9), day(32, 9)) {
		x.distance = x.distance + " mi" // text where numbers were
	}
	if within(day(35, 0), day(37, 0)) {
		t, _ := strconv.ParseFloat(x.temp, 64)
		x.temp = fmt.Sprintf("%.1f", t*1.8+32) // degrees Fahrenheit
	}
	if within(day(39, 6), day(40, 6)) && p < 0.4 {
		x.humidity = ""
	}
}

const monitorYAML = `model: flights
task: binary
positive: late
topics: [flights]
window: 1h
budget: {pages: 1, tickets: 4, per: 30d}
features:
  distance: {type: number, min: 0}
  temp: {type: number}
  humidity: {type: number}
  origin: {type: category}
slices: [origin]
`

const knownCSV = `from,to,columns,note
2026-04-02T09:00:00Z,2026-04-03T09:00:00Z,distance,"with its unit"
2026-04-06,2026-04-08,temp,Fahrenheit
2026-04-10T06:00:00Z,2026-04-11T06:00:00Z,humidity,40 % empty
2026-04-12,2026-04-13,origin,nothing was changed
`
