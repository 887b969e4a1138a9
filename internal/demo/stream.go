package demo

import (
	"container/heap"
	"math/rand/v2"
	"strconv"
	"time"
)

// The model's name and topics.
const (
	modelName       = "flight-delay"
	featuresTopic   = "flights.features"
	predictionTopic = "flights.predictions"
	labelsTopic     = "flights.labels"
)

var weekdays = [...]string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

// message is one event as it goes to Kafka.
type message struct {
	topic string
	at    time.Time // of the event and of its record
	id    int       // of the flight
	value []byte
}

// stream turns flights into events in order of event time: features and
// prediction at departure, the label when the flight has landed.
type stream struct {
	flights *flights
	model   *model
	faults  []injected
	rng     *rand.Rand
	seen    *lookback
	next    int
	labels  landings
}

// newStream goes on at a moment: with the flights that depart from then on
// and the labels of those that are in the air.
func newStream(f *flights, m *model, at time.Time, faults []injected, seed uint64) *stream {
	s := &stream{flights: f, model: m, faults: faults, rng: rand.New(rand.NewPCG(seed, 3)), seen: newLookback(f), next: f.before(at.UnixMilli())}
	for i := range s.next {
		s.seen.of(i)
		if l := s.landing(i); l.at >= at.UnixMilli() && f.rows[i].at >= at.Add(-48*time.Hour).UnixMilli() {
			heap.Push(&s.labels, l)
		}
	}
	return s
}

// delay is how late flight i leaves, in minutes.
func (s *stream) delay(i int) float64 {
	r := &s.flights.rows[i]
	if active(s.faults, "shift", time.UnixMilli(r.at)) {
		return float64(r.delay) + 20
	}
	return float64(r.delay)
}

// landing is when the label of flight i is due, and what it says: a flight of
// so many miles at 450 miles an hour, and half an hour on the ground.
func (s *stream) landing(i int) landing {
	r := &s.flights.rows[i]
	delay := s.delay(i)
	air := time.Duration(float64(r.distance) / 450 * float64(time.Hour))
	return landing{r.at + (time.Duration(delay)*time.Minute + air + 30*time.Minute).Milliseconds(), i, delay > lateAfter}
}

// landing is a label that is due.
type landing struct {
	at   int64
	id   int
	late bool
}

type landings []landing

func (l landings) Len() int { return len(l) }
func (l landings) Less(i, j int) bool {
	return l[i].at < l[j].at || l[i].at == l[j].at && l[i].id < l[j].id
}
func (l landings) Swap(i, j int) { l[i], l[j] = l[j], l[i] }
func (l *landings) Push(x any)   { *l = append(*l, x.(landing)) }
func (l *landings) Pop() any {
	old := *l
	x := old[len(old)-1]
	*l = old[:len(old)-1]
	return x
}

// each hands out the events until departure time until, in order of time. The
// values are new; emit may keep them. It stops when emit returns an error.
func (s *stream) each(until time.Time, emit func(message) error) error {
	for ; s.next < len(s.flights.rows) && s.flights.rows[s.next].at < until.UnixMilli(); s.next++ {
		r := &s.flights.rows[s.next]
		if err := s.land(r.at, emit); err != nil {
			return err
		}
		if err := s.depart(s.next, r, emit); err != nil {
			return err
		}
	}
	return s.land(until.UnixMilli(), emit)
}

// land emits the labels due before t.
func (s *stream) land(t int64, emit func(message) error) error {
	for len(s.labels) > 0 && s.labels[0].at < t {
		l := heap.Pop(&s.labels).(landing)
		at := time.UnixMilli(l.at).UTC()
		v := head(l.id, at)
		v = append(v, `,"label":`...)
		v = strconv.AppendQuote(v, class(l.late))
		v = append(v, '}')
		if err := emit(message{labelsTopic, at, l.id, v}); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) depart(id int, r *flight, emit func(message) error) error {
	at := time.UnixMilli(r.at).UTC()
	x := s.seen.of(id)
	if active(s.faults, "shift", at) {
		x.networkDelay += 20
		x.originDelay += 20
	}
	f := s.features(x, at)
	score := s.model.score(&f.features)
	if err := emit(message{featuresTopic, at, id, s.cut(f.append(head(id, at), s.flights), at)}); err != nil {
		return err
	}
	v := head(id, at)
	v = append(v, `,"prediction":`...)
	v = strconv.AppendQuote(v, class(score > 0.5))
	v = append(v, `,"score":`...)
	v = strconv.AppendFloat(v, score, 'g', 6, 64)
	v = append(v, `,"latency_ms":`...)
	v = strconv.AppendFloat(v, 0.2+0.1*s.rng.ExpFloat64(), 'f', 3, 64)
	v = append(v, '}')
	if err := emit(message{predictionTopic, at, id, v}); err != nil {
		return err
	}
	heap.Push(&s.labels, s.landing(id))
	return nil
}

// written is the features as the event has them, right or wrong.
type written struct {
	features
	text    bool // distance as text
	unknown bool // origin_delay is null
}

func (s *stream) features(x features, at time.Time) written {
	f := written{features: x, unknown: x.quiet}
	origin := s.flights.airports[x.origin]
	f.text = active(s.faults, "type_change", at)
	if origin == kilometresAt && active(s.faults, "kilometres", at) {
		f.distance *= 1.609344
	}
	if origin == nullsAt && s.rng.Float64() < 0.05 && active(s.faults, "nulls", at) {
		f.unknown, f.originDelay = true, 0
	}
	return f
}

// cut leaves some events without their end while they are to be malformed.
func (s *stream) cut(v []byte, at time.Time) []byte {
	if s.rng.Float64() < 0.03 && active(s.faults, "malformed", at) {
		return v[:len(v)*2/3]
	}
	return v
}

// The classes of the model.
const (
	classLate   = "late"
	classOnTime = "on_time"
)

func class(late bool) string {
	if late {
		return classLate
	}
	return classOnTime
}

// head begins an event.
func head(id int, at time.Time) []byte {
	v := make([]byte, 0, 256)
	v = append(v, `{"id":"f-`...)
	v = strconv.AppendInt(v, int64(id), 10)
	v = append(v, `","model":"`+modelName+`","version":"1","ts":"`...)
	v = at.AppendFormat(v, "2006-01-02T15:04:05.000Z07:00")
	return append(v, '"')
}

func (f *written) append(v []byte, fs *flights) []byte {
	v = append(v, `,"features":{"distance":`...)
	if f.text {
		v = strconv.AppendQuote(v, strconv.FormatFloat(f.distance, 'f', -1, 64))
	} else {
		v = strconv.AppendFloat(v, f.distance, 'f', -1, 64)
	}
	v = append(v, `,"origin":`...)
	v = strconv.AppendQuote(v, fs.airports[f.origin])
	v = append(v, `,"destination":`...)
	v = strconv.AppendQuote(v, fs.airports[f.destination])
	v = append(v, `,"hour":`...)
	v = strconv.AppendInt(v, int64(f.hour), 10)
	v = append(v, `,"weekday":"`...)
	v = append(v, weekdays[f.weekday]...)
	v = append(v, `","origin_delay":`...)
	if f.unknown {
		v = append(v, "null"...)
	} else {
		v = strconv.AppendFloat(v, f.originDelay, 'f', 2, 64)
	}
	v = append(v, `,"network_delay":`...)
	v = strconv.AppendFloat(v, f.networkDelay, 'f', 2, 64)
	return append(v, "}}"...)
}
