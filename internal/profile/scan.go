package profile

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// maxTexts bounds the distinct texts of a column that are counted.
const maxTexts = 50_000

// maxTextBytes is the longest text that may be kept as a category.
const maxTextBytes = 256

// columnScan is what the first reading learns of a column.
type columnScan struct {
	Column
	kinds [int(schemas.KindNested) + 1]int64

	// Of numbers: all values, or a sample of them, and exact extremes.
	values   []float64
	seen     int64
	random   *rand.Rand
	min, max float64
	mean, m2 float64 // Welford
	whole    bool    // every number is an integer

	// Of everything that could be a category.
	texts    map[string]uint64
	overflow uint64 // values that found no room in texts

	role    schemas.Role
	skipped string
	notes   []string
	form    schemas.BaselineColumn
}

// scan is the first reading.
type scan struct {
	src Source
	o   *Options

	columns   []*columnScan
	pairs     []map[[2]string]uint64 // for each slice that is a pair
	pairAt    [][2]int               // columns of those, -1 for none; as are the next two
	predictAt int
	scoreAt   int
	rows      int64
	malformed int64
	examples  []Malformed
	warnings  []string

	timeColumn int // -1 for none
	from, to   int64
	starts     map[int64]struct{} // windows with rows, at most one more than maxWindows
	timed      bool               // rows have a time
	positive   map[string]*scoreSum
}

// scoreSum tells which class goes with high scores.
type scoreSum struct {
	sum float64
	n   int
}

// maxWindows bounds the windows that healthy behaviour is learnt from.
const maxWindows = 200_000

func newScan(src Source, o *Options) *scan {
	return &scan{
		src: src, o: o, timeColumn: -1, from: math.MaxInt64, to: math.MinInt64,
		starts: map[int64]struct{}{}, positive: map[string]*scoreSum{}, pairs: make([]map[[2]string]uint64, len(o.Slices)), pairAt: make([][2]int, len(o.Slices)), predictAt: -1, scoreAt: -1,
	}
}

var errEnough = errors.New("enough rows")

// read is the first reading.
func (s *scan) read(ctx context.Context) error {
	if err := s.findTime(ctx); err != nil {
		return err
	}
	err := s.each(ctx, 1, func(r *Row) error {
		t, ok, reason := s.timeOf(r)
		if reason != "" {
			s.bad(r.Number, reason)
			return nil
		}
		if ok {
			s.timed = true
			s.from, s.to = min(s.from, t), max(s.to, t)
			if len(s.starts) <= maxWindows {
				s.starts[start(t, s.o.Window)] = struct{}{}
			}
		}
		s.rows++
		s.grow()
		for i, v := range r.Values {
			s.columns[i].add(v, s.o)
		}
		s.addPairs(r)
		s.addScore(r)
		return nil
	})
	if err != nil {
		return err
	}
	s.grow()
	if s.rows == 0 {
		if s.malformed > 0 {
			return fmt.Errorf("none of its %d rows can be read; row %d: %s", s.malformed, s.examples[0].Row, s.examples[0].Reason)
		}
		return errors.New("it has no rows")
	}
	if float64(s.malformed) > maxMalformedShare*float64(s.rows+s.malformed) {
		return fmt.Errorf("%d of %d rows cannot be read, more than a tenth; row %d: %s", s.malformed, s.rows+s.malformed, s.examples[0].Row, s.examples[0].Reason)
	}
	if j, ok := s.src.(*jsonFile); ok && len(j.models) > 0 {
		if !j.models[s.o.Model] {
			known := make([]string, 0, len(j.models))
			for m := range j.models {
				known = append(known, m)
			}
			slices.Sort(known)
			return fmt.Errorf("it has no event of model %q, but of %s", s.o.Model, strings.Join(known[:min(10, len(known))], ", "))
		}
		if len(j.models) > 1 && j.model == "" {
			return s.again(ctx, j)
		}
	}
	return nil
}

// again reads a file of several models once more, for the one that is asked for.
func (s *scan) again(ctx context.Context, j *jsonFile) error {
	j.model = s.o.Model
	j.columns, j.index = nil, nil
	fresh := newScan(s.src, s.o)
	if err := fresh.read(ctx); err != nil {
		return err
	}
	*s = *fresh
	return nil
}

// grow adds columns that the source has found since.
func (s *scan) grow() {
	if len(s.columns) == len(s.src.Columns()) {
		return
	}
	for _, c := range s.src.Columns()[len(s.columns):] {
		s.columns = append(s.columns, &columnScan{
			Column: c, min: math.Inf(1), max: math.Inf(-1), whole: true, texts: map[string]uint64{},
			random: rand.New(rand.NewPCG(schemas.HashString(c.Name), uint64(c.Role))),
		})
	}
	for i, names := range s.o.Slices {
		s.pairAt[i] = [2]int{-1, -1}
		if len(names) == 2 {
			s.pairAt[i] = [2]int{s.feature(names[0]), s.feature(names[1])}
		}
	}
	s.predictAt, s.scoreAt = s.answer(schemas.RolePrediction), s.answer(schemas.RoleScore)
}

var timeNames = []string{"ts", "time", "timestamp", "event_time", "datetime", "date", "created_at", "event_timestamp"}

// findTime finds the column of event time: the one asked for, or one of a
// usual name whose first thousand values are times.
func (s *scan) findTime(ctx context.Context) error {
	want := s.o.Time
	if want == "-" {
		return nil
	}
	var rows, events int64
	good := map[int]int64{}
	err := s.src.Rows(ctx, func(r *Row) error {
		if rows++; rows > 1000 {
			return errEnough
		}
		if r.Parts != 0 {
			events++
		}
		for i, v := range r.Values {
			if _, ok := eventTime(v); ok {
				good[i]++
			}
		}
		return nil
	}, func(int64, string) {})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	rows = min(rows, 1000)
	index := func(name string) int {
		return slices.IndexFunc(s.src.Columns(), func(c Column) bool { return c.Role == 0 && c.Name == name })
	}
	if want != "" {
		i := index(want)
		if i < 0 {
			return unknownColumn(want, "time", s.src.Columns())
		}
		if good[i] == 0 && rows > 0 {
			return fmt.Errorf("column %q has no time among its first %d values; write RFC 3339 or Unix time", want, rows)
		}
		s.timeColumn = i
		return nil
	}
	if events > 0 {
		return nil
	}
	for _, name := range timeNames {
		if i := index(name); i >= 0 && float64(good[i]) >= .95*float64(rows) {
			s.timeColumn = i
			return nil
		}
	}
	return nil
}

func unknownColumn(name, what string, columns []Column) error {
	known := make([]string, len(columns))
	for i, c := range columns {
		known[i] = c.Name
	}
	hint := schemas.DidYouMean(name, known)
	if hint != "" {
		hint = "; " + hint
	}
	return fmt.Errorf("there is no column %q for the %s%s", name, what, hint)
}

// timeOf returns the event time of a row. A row without one, where others
// have it, is malformed.
func (s *scan) timeOf(r *Row) (t int64, ok bool, reason string) {
	switch {
	case r.HasTime:
		t, ok = r.Time, true
	case s.timeColumn >= 0:
		if s.timeColumn < len(r.Values) {
			t, ok = eventTime(r.Values[s.timeColumn])
		}
		if !ok {
			return 0, false, fmt.Sprintf("column %q has no time", s.src.Columns()[s.timeColumn].Name)
		}
	default:
		return 0, false, ""
	}
	if t < minTime || t > maxTime {
		return 0, false, "its time is outside the years 1 to 9999"
	}
	return t, ok, ""
}

const (
	minTime = -62_135_596_800_000 // year 1
	maxTime = 253_402_300_799_999 // year 9999
)

// start returns the start of the window that holds t.
func start(t int64, window time.Duration) int64 {
	s := schemas.Spec{Window: window}
	return s.WindowStart(t)
}

func (c *columnScan) add(v Value, o *Options) {
	c.kinds[v.Kind]++
	switch v.Kind {
	case schemas.KindNumber:
		c.addNumber(v.Num+0, o)
		c.addText(v.Text)
	case schemas.KindText, schemas.KindBool:
		c.addText(v.Text)
	}
}

func (c *columnScan) addNumber(x float64, o *Options) {
	c.seen++
	c.min, c.max = min(c.min, x), max(c.max, x)
	d := x - c.mean
	c.mean += d / float64(c.seen)
	c.m2 += d * (x - c.mean)
	c.whole = c.whole && x == math.Trunc(x)
	if len(c.values) < o.MaxValues {
		c.values = append(c.values, x)
	} else if i := c.random.Int64N(c.seen); i < int64(len(c.values)) {
		c.values[i] = x // algorithm R: each value is in the sample with equal chance
	}
}

func (c *columnScan) addText(s string) {
	if _, ok := c.texts[s]; ok {
		c.texts[s]++
		return
	}
	if len(s) > maxTextBytes || len(c.texts) >= maxTexts {
		c.overflow++
		return
	}
	c.texts[strings.Clone(s)] = 1
}

// addPairs counts the pairs of values of slices over two columns.
func (s *scan) addPairs(r *Row) {
	for i, at := range s.pairAt {
		a, b := at[0], at[1]
		if a < 0 || b < 0 || max(a, b) >= len(r.Values) {
			continue
		}
		x, y := r.Values[a], r.Values[b]
		if !textual(x.Kind) || !textual(y.Kind) {
			continue
		}
		if s.pairs[i] == nil {
			s.pairs[i] = map[[2]string]uint64{}
		}
		key := [2]string{x.Text, y.Text}
		if n, ok := s.pairs[i][key]; ok {
			s.pairs[i][key] = n + 1
		} else if len(s.pairs[i]) < maxTexts {
			s.pairs[i][[2]string{strings.Clone(x.Text), strings.Clone(y.Text)}] = 1
		}
	}
}

func textual(k schemas.Kind) bool {
	return k == schemas.KindText || k == schemas.KindBool || k == schemas.KindNumber
}

// feature returns the index of the column that may be a feature of that name, -1 for none.
func (s *scan) feature(name string) int {
	return slices.IndexFunc(s.columns, func(c *columnScan) bool {
		return c.Name == name && (c.Column.Role == 0 || c.Column.Role == schemas.RoleFeature)
	})
}

// addScore sums scores by predicted class, to find the positive one.
func (s *scan) addScore(r *Row) {
	p, sc := s.predictAt, s.scoreAt
	if p < 0 || sc < 0 || max(p, sc) >= len(r.Values) || r.Values[sc].Kind != schemas.KindNumber || !textual(r.Values[p].Kind) {
		return
	}
	class := r.Values[p].Text
	sum := s.positive[class]
	if sum == nil {
		if len(s.positive) > 2 {
			return
		}
		sum = &scoreSum{}
		s.positive[strings.Clone(class)] = sum
	}
	sum.sum += r.Values[sc].Num
	sum.n++
}

var usualNames = map[schemas.Role][]string{
	schemas.RolePrediction: {"prediction", "predicted", "y_pred", "pred"},
	schemas.RoleScore:      {"score", "probability", "proba", "y_score"},
	schemas.RoleLabel:      {"label", "target", "y_true", "actual", "ground_truth"},
	schemas.RoleLatency:    {"latency_ms"},
}

func (o *Options) named(role schemas.Role) string {
	switch role {
	case schemas.RolePrediction:
		return o.Prediction
	case schemas.RoleScore:
		return o.Score
	case schemas.RoleLabel:
		return o.Label
	case schemas.RoleLatency:
		return o.Latency
	}
	return ""
}

// answer returns the index of the column of a role other than feature, -1 for none.
func (s *scan) answer(role schemas.Role) int {
	if i := slices.IndexFunc(s.columns, func(c *columnScan) bool { return c.Column.Role == role }); i >= 0 {
		return i
	}
	names := usualNames[role]
	switch want := s.o.named(role); want {
	case "":
	case "-":
		return -1
	default:
		names = []string{want}
	}
	for _, n := range names {
		if i := slices.IndexFunc(s.columns, func(c *columnScan) bool { return c.Column.Role == 0 && c.Name == n }); i >= 0 && i != s.timeColumn {
			return i
		}
	}
	return -1
}

var idName = regexp.MustCompile(`(?i)^(id|uuid|guid|key|index|row|.*[_.-](id|uuid|guid|key))$`)
