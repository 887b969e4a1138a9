package testkit

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/modelwatch/modelwatch/schemas"
)

// Traffic makes events of several models from a seed: what it makes for a
// stretch of event time does not depend on how the stretches were cut.
//
// Every request of a model gives an event of features, one of a prediction
// a little later, and one of a label after LabelDelay, all with the request's
// id. The features are amount (normal, mean 100, sd 20), age (whole numbers of
// 18 to 80, one in fifty null), ratio (uniform in [0,1)), country (six, DE most
// often) and channel (three); they are independent of one another, of time and
// of the prediction (yes or no, with its score).
type Traffic struct {
	Seed   uint64
	Start  time.Time     // of the first request of every model
	Every  time.Duration // between two requests of a model
	Models []TrafficModel
	Faults []TrafficFault
	Noise  Noise
}

// TrafficModel is one model of the traffic.
type TrafficModel struct {
	Name        string
	Version     string
	Features    string // topics
	Predictions string
	Labels      string // "" for no labels
	LabelDelay  time.Duration
}

// TrafficFault is something wrong with the requests whose event time is in
// [From, To). In their order:
//
//   - wrong_type: Share of the values of Column are texts
//   - nulls: Share of the values of Column are null
//   - missing_column: Share of the events lack Column
//   - drift: Size is added to every value of Column, a number
//   - unparsable: on Share of the requests another event of features comes, cut off
type TrafficFault struct {
	Model  string
	Fault  schemas.Fault
	Column string
	From   time.Time
	To     time.Time
	Share  float64
	Size   float64
}

// Noise are the shares of requests at which something odd happens that is no
// fault of the model while it is rare.
type Noise struct {
	Late      float64 // the events come up to ten minutes late
	TooLate   float64 // the events come a day late
	Future    float64 // an event is stamped an hour ahead of its record
	Duplicate float64 // an event comes twice
	Malformed float64 // another record comes that is no event: see Malformed
}

// any says whether there is any.
func (n Noise) any() bool { return n != Noise{} }

// Record is a Kafka record to be produced.
type Record struct {
	Topic string
	Key   string
	Value []byte // nil is a tombstone
	Time  time.Time
	Pin   int32 // 1 more than the partition it must go to; 0: to that of its key
}

// Malformed lists values that are no usable event of the model, with the
// reason by which each is counted.
func Malformed(model string) []struct{ Value, Reason string } {
	name, _ := json.Marshal(model) // a text has JSON
	event := func(rest string) string { return `{"model":` + string(name) + rest }
	return []struct{ Value, Reason string }{
		{"", "empty"},
		{" \n\t", "empty"},
		{"no JSON at all", "unparsable"},
		{event(`,"id":"x","features":{"amount":1`), "unparsable"},
		{event(`,"features":{"amount":1}} trailing`), "unparsable"},
		{event(`,"features":{"amount":01}}`), "unparsable"},
		{event(`,"features":{"country":"` + "\xff\xfe" + `"}}`), "invalid_utf8"},
		{event(`,"ts":"2026-13-01T00:00:00Z","features":{}}`), "bad_time"},
		{event(`,"ts":"2026-01-01T00:00:00","features":{}}`), "bad_time"},
		{event(`,"id":{"a":1},"features":{}}`), "bad_id"},
		{event(`,"version":[3],"features":{}}`), "bad_version"},
		{event(`,"features":[1,2]}`), "bad_features"},
		{event(`,"id":"x"}`), "no_part"},
		{`{"features":{"amount":1}}`, "no_model"},
		{`{"model":"nobody watches this","features":{"amount":1}}`, "unknown_model"},
		{event(`,"features":{"deep":` + nested(100) + `}}`), "too_deep"},
	}
}

// nested is a list of lists, n levels deep.
func nested(n int) string {
	out := make([]byte, 0, 2*n)
	for range n {
		out = append(out, '[')
	}
	for range n {
		out = append(out, ']')
	}
	return string(out)
}

// column is one feature of the traffic.
type column struct {
	name  string
	value func(r *rand.Rand) any
}

var countries = []string{"AT", "CH", "DE", "FR", "IT", "PL"}

func columns() []column {
	return []column{
		{"amount", func(r *rand.Rand) any { return math.Round((100+20*r.NormFloat64())*1000) / 1000 }},
		{"age", func(r *rand.Rand) any {
			if r.IntN(50) == 0 {
				return nil
			}
			return 18 + r.IntN(63)
		}},
		{"ratio", func(r *rand.Rand) any { return r.Float64() }},
		{"country", func(r *rand.Rand) any { return countries[[]int{0, 1, 2, 2, 2, 3, 3, 4, 4, 5}[r.IntN(10)]] }},
		{"channel", func(r *rand.Rand) any { return []string{"app", "shop", "web"}[r.IntN(3)] }},
	}
}

// request is one request of a model with all its events.
type request struct {
	id       string
	at       time.Time
	features map[string]any
	answer   string
	score    float64
	label    string
}

// random is the source of the n-th request of a model: of nothing else.
func (t *Traffic) random(model string, n int64, purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(t.Seed^schemas.HashString(model), uint64(n)<<8|purpose))
}

func (t *Traffic) request(m *TrafficModel, n int64) request {
	r := t.random(m.Name, n, 0)
	q := request{id: fmt.Sprintf("%s-%d", m.Name, n), at: t.Start.Add(time.Duration(n) * t.Every), features: map[string]any{}}
	for _, c := range columns() {
		q.features[c.name] = c.value(r)
	}
	q.score = math.Round(r.Float64()*1000) / 1000
	yes := func(chance bool) string {
		if chance {
			return "yes"
		}
		return "no"
	}
	q.answer, q.label = yes(q.score > .5), yes(r.Float64() < q.score)
	broken := t.random(m.Name, n, 1)
	for i := range t.Faults {
		f := &t.Faults[i]
		if f.Model != m.Name || q.at.Before(f.From) || !q.at.Before(f.To) || f.Share > 0 && broken.Float64() >= f.Share {
			continue
		}
		switch f.Fault {
		case schemas.FaultWrongType:
			q.features[f.Column] = fmt.Sprint("about ", q.features[f.Column])
		case schemas.FaultNulls:
			q.features[f.Column] = nil
		case schemas.FaultMissingColumn:
			delete(q.features, f.Column)
		case schemas.FaultDrift:
			if x, ok := q.features[f.Column].(float64); ok {
				q.features[f.Column] = x + f.Size
			}
		}
	}
	return q
}

// Records returns the records of event time [from, to), in order of their
// time, which is that of the event but for the late ones.
func (t *Traffic) Records(from, to time.Time) []Record {
	var out []Record
	for i := range t.Models {
		m := &t.Models[i]
		// Late events and labels are of requests from before.
		reach := max(m.LabelDelay, 0) + time.Second
		if t.Noise.any() {
			reach += 25 * time.Hour
		}
		last := int64(to.Sub(t.Start) / t.Every)
		for n := max(0, int64(from.Add(-reach).Sub(t.Start)/t.Every)); n <= last; n++ {
			for _, r := range t.events(m, n) {
				if !r.Time.Before(from) && r.Time.Before(to) {
					out = append(out, r)
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Record) int { return a.Time.Compare(b.Time) })
	return out
}

// events returns the records of one request.
func (t *Traffic) events(m *TrafficModel, n int64) []Record {
	q := t.request(m, n)
	r := t.random(m.Name, n, 2)
	var lag time.Duration
	switch odd := r.Float64(); {
	case odd < t.Noise.Late:
		lag = time.Duration(r.Int64N(int64(10 * time.Minute)))
	case odd < t.Noise.Late+t.Noise.TooLate:
		lag = 24*time.Hour + time.Duration(r.Int64N(int64(time.Hour)))
	}
	stamp := q.at
	if r.Float64() < t.Noise.Future {
		stamp = stamp.Add(time.Hour)
	}
	var out []Record
	add := func(topic string, after time.Duration, body map[string]any) {
		body["id"], body["model"] = q.id, m.Name
		if r.IntN(2) == 0 {
			body["ts"] = stamp.Add(after).UnixMilli()
		} else {
			body["ts"] = stamp.Add(after).UTC().Format("2006-01-02T15:04:05.000Z")
		}
		value, err := json.Marshal(body)
		if err != nil {
			panic("testkit: an event has no JSON: " + err.Error()) // of numbers and texts made here
		}
		out = append(out, Record{Topic: topic, Key: q.id, Value: value, Time: q.at.Add(after + lag)})
	}
	add(m.Features, 0, map[string]any{"version": m.Version, "features": q.features})
	add(m.Predictions, 5*time.Millisecond, map[string]any{"version": m.Version, "prediction": q.answer, "score": q.score, "latency_ms": 3 + float64(r.IntN(40))/8})
	if m.Labels != "" {
		add(m.Labels, m.LabelDelay, map[string]any{"label": q.label})
	}
	if r.Float64() < t.Noise.Duplicate {
		again := out[r.IntN(len(out))]
		again.Time = again.Time.Add(time.Millisecond)
		out = append(out, again)
	}
	if r.Float64() < t.Noise.Malformed {
		list := Malformed(m.Name)
		bad := Record{Topic: m.Features, Key: q.id, Time: q.at}
		if i := r.IntN(len(list) + 1); i < len(list) {
			bad.Value = []byte(list[i].Value)
		}
		out = append(out, bad)
	}
	for i := range t.Faults {
		f := &t.Faults[i]
		if f.Model == m.Name && f.Fault == schemas.FaultUnparsable && !q.at.Before(f.From) && q.at.Before(f.To) && r.Float64() < f.Share {
			out = append(out, Record{Topic: m.Features, Key: q.id, Value: out[0].Value[:len(out[0].Value)-2], Time: q.at})
		}
	}
	return out
}

// Produce sends records to Kafka and waits until all are acknowledged.
func Produce(tb testing.TB, broker string, records []Record) {
	tb.Helper()
	if err := Send(tb.Context(), broker, records); err != nil {
		tb.Fatal(err)
	}
}

// Send is Produce for goroutines, which may not end a test. Records go out
// uncompressed: to the partition of their key's hash, or to the one they name.
func Send(ctx context.Context, broker string, records []Record) error {
	byKey := kgo.StickyKeyPartitioner(nil)
	pinned := kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		keyed := byKey.ForTopic(topic)
		return func(r *kgo.Record, n int) int {
			if r.Partition >= 0 {
				return int(r.Partition)
			}
			return keyed.Partition(r, n)
		}
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchMaxBytes(150<<20),
		kgo.MaxBufferedRecords(20_000), kgo.BrokerMaxWriteBytes(200<<20), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RecordPartitioner(pinned))
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	all := make([]*kgo.Record, len(records))
	for i, r := range records {
		all[i] = &kgo.Record{Topic: r.Topic, Value: r.Value, Timestamp: r.Time, Partition: -1}
		if r.Pin != 0 {
			all[i].Partition = r.Pin - 1
		}
		if r.Key != "" {
			all[i].Key = []byte(r.Key)
		}
	}
	if err := client.ProduceSync(ctx, all...).FirstErr(); err != nil {
		return fmt.Errorf("producing %d records: %w", len(records), err)
	}
	return nil
}

// Baseline returns what the healthy traffic of any model looks like, named for
// one: from rows requests of another seed, for windows of that length. The
// numbers have bins of equal share.
func (t *Traffic) Baseline(tb testing.TB, model string, rows int, window time.Duration) *schemas.Baseline {
	tb.Helper()
	healthy := Traffic{Seed: ^t.Seed, Start: t.Start, Every: t.Every}
	m := &TrafficModel{Name: model}
	requests := make([]request, rows)
	for n := range requests {
		requests[n] = healthy.request(m, int64(n))
	}
	b := &schemas.Baseline{
		Format: schemas.BaselineFormat, Model: model, Source: "healthy traffic", Window: schemas.Duration(window), Rows: uint64(rows),
	}
	add := func(role schemas.Role, name string, value func(*request) any) {
		b.Columns = append(b.Columns, baselineColumn(tb, role, name, requests, value))
	}
	for _, c := range columns() {
		add(schemas.RoleFeature, c.name, func(q *request) any { return q.features[c.name] })
	}
	add(schemas.RolePrediction, "prediction", func(q *request) any { return q.answer })
	add(schemas.RoleScore, "score", func(q *request) any { return q.score })
	add(schemas.RoleLabel, "label", func(q *request) any { return q.label })
	slices.SortFunc(b.Columns, func(a, b schemas.BaselineColumn) int {
		return cmp.Or(cmp.Compare(a.Role, b.Role), cmp.Compare(a.Name, b.Name))
	})
	perWindow := float64(window / t.Every)
	for i := range b.Columns {
		steady(&b.Columns[i], perWindow)
	}
	counts := schemas.BaselineColumn{
		Name: schemas.PartFeatures.String(), Role: schemas.RoleRows, Type: schemas.TypeNumber, Unit: schemas.UnitFor(1),
		Streams: []schemas.BaselineStream{{Rows: uint64(rows), Bins: []uint64{0}, Healthy: map[string]schemas.Healthy{"volume": law(math.Log(perWindow), perWindow)}}},
	}
	b.Columns = append([]schemas.BaselineColumn{counts}, b.Columns...)
	if err := b.Seal(); err != nil {
		tb.Fatal(err)
	}
	return b
}

// steady says of a column that it behaved for four weeks as the requests do:
// without season, each window a sample of the same distribution.
func steady(c *schemas.BaselineColumn, perWindow float64) {
	s := &c.Streams[0]
	angle := func(k, n uint64) float64 { return 2 * math.Asin(math.Sqrt(float64(k)/float64(max(n, 1)))) }
	s.Healthy = map[string]schemas.Healthy{
		"location": law(0, perWindow), "scale": law(0, perWindow), "shape": law(0, perWindow),
		"null_rate": law(angle(s.Nulls, s.Rows), perWindow), "nan_rate": law(0, perWindow), "absent_rate": law(0, perWindow),
		"top_share": law(angle(slices.Max(s.Bins), s.Present), perWindow),
	}
	if c.Type == schemas.TypeCategory {
		delete(s.Healthy, "location")
		delete(s.Healthy, "scale")
		s.Healthy["unseen_rate"] = law(0, perWindow)
	}
}

func law(level, perWindow float64) schemas.Healthy {
	return schemas.Healthy{
		Fitted: 672, Days: 28, Rows: perWindow, Sampling: 1 / perWindow, Level: level, Phi: .2, Noise: .02, Tail: 20, Scale: 1.1,
		LevelSD: .01, LevelSE: .005, Dead: .1, Honesty: 1,
	}
}

// baselineColumn counts one column of healthy requests.
func baselineColumn(tb testing.TB, role schemas.Role, name string, requests []request, value func(*request) any) schemas.BaselineColumn {
	tb.Helper()
	c := schemas.SpecColumn{Name: name, Role: role, Type: schemas.TypeNumber}
	var numbers []float64
	for i := range requests {
		switch v := value(&requests[i]).(type) {
		case string:
			c.Type = schemas.TypeCategory
			if !slices.Contains(c.Categories, v) {
				c.Categories = append(c.Categories, v)
			}
		case int:
			numbers = append(numbers, float64(v))
		case float64:
			numbers = append(numbers, v)
		}
	}
	slices.Sort(c.Categories)
	if c.Type == schemas.TypeNumber {
		sort.Float64s(numbers)
		const bins = 20
		for i := 1; i < bins; i++ {
			if e := numbers[len(numbers)*i/bins]; len(c.Edges) == 0 || e > c.Edges[len(c.Edges)-1] {
				c.Edges = append(c.Edges, e)
			}
		}
		c.Anchor = math.Round(numbers[len(numbers)/2])
		c.Unit = schemas.UnitFor(max(numbers[len(numbers)-1]-c.Anchor, c.Anchor-numbers[0]))
	}
	w := (&recount{want: &Expected{Windows: map[WindowKey]*WindowCounts{}}}).window(WindowKey{}, &c)
	for i := range requests {
		raw, err := json.Marshal(value(&requests[i]))
		if err != nil {
			tb.Fatal(err)
		}
		w.add(valueOf(raw, textual(&c)), false)
	}
	w.finish()
	s := schemas.BaselineStream{Rows: w.Rows, Present: w.Present, Nulls: w.Nulls, Bins: w.Bins}
	if len(numbers) > 0 {
		var squares float64
		for _, x := range numbers {
			squares += (x - w.Mean) * (x - w.Mean)
		}
		sd := math.Sqrt(squares / float64(len(numbers)-1))
		s.Mean, s.SD, s.Min, s.Max = &w.Mean, &sd, &w.Min, &w.Max
	}
	return schemas.BaselineColumn{
		Name: name, Role: role, Type: c.Type, Edges: c.Edges, Categories: c.Categories, Anchor: c.Anchor, Unit: c.Unit,
		Streams: []schemas.BaselineStream{s},
	}
}
