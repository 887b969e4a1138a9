package schemas

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Bounds of a spec's slices.
const (
	MaxSliceValues     = 50  // told apart of one column
	MaxPairSliceValues = 200 // told apart of a pair of columns
	// MaxStreams is how many (column, slice) streams one model may have.
	MaxStreams = 200_000
)

// BuildSpec compiles a monitor and its baseline, nil where it has none, to
// the spec and the layout that rows are counted by. It is a pure function:
// the same inputs give the same hash on every machine.
//
// Features are those of the YAML and those of the baseline together. What the
// baseline knows of a column (edges, kept categories, anchor, unit) is taken
// from it; a number without it is counted by the fixed edges of DefaultEdges,
// a category without it has no kept values, so each counts as unseen.
// Prediction, score, label and latency are always there. All that cannot be
// compiled is reported at once.
func BuildSpec(m *Monitor, b *Baseline) (*Spec, *Layout, error) {
	s := &Spec{
		Model:       m.Model,
		RowFunction: RowFunction,
		Window:      time.Duration(m.Window),
		Lateness:    time.Duration(m.Lateness),
		LateHorizon: time.Duration(m.LateHorizon),
		MaxFuture:   time.Duration(m.MaxFuture),
		Positive:    m.Positive,
	}
	if m.Predictions.Sample < 1 {
		s.Sample = m.Predictions.Sample // a spec of before the key was there keeps all, and its hash
	}
	names := sortedKeys(m.Features)
	if b != nil {
		if err := b.Validate(); err != nil {
			return nil, nil, err
		}
		if b.Model != m.Model {
			return nil, nil, fmt.Errorf("the baseline is of model %q, the monitor of %q", b.Model, m.Model)
		}
		s.Baseline = b.Hash
		names = append(names, b.Names(RoleFeature)...)
		slices.Sort(names)
		names = slices.Compact(names)
	}
	if len(names) == 0 {
		return nil, nil, fmt.Errorf("model %s has neither features nor a baseline that knows them; list them under `features`, or run `modelwatch profile DATA` on a sample of its rows and name the result under `baseline`", m.Model)
	}
	if len(names) > MaxFeatures {
		return nil, nil, fmt.Errorf("model %s has %d features; at most %d are watched", m.Model, len(names), MaxFeatures)
	}
	var errs []error
	textual := make(map[string]bool, len(names))
	for _, name := range names {
		f := m.Features[name]
		c, err := featureColumn(name, &f, b.column(RoleFeature, name))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		textual[name] = c.Type == TypeCategory
		s.Columns = append(s.Columns, c)
	}
	for _, role := range []Role{RolePrediction, RoleScore, RoleLabel, RoleLatency} {
		c, err := roleColumn(role, m, b.column(role, role.String()))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.Columns = append(s.Columns, c)
	}
	s.SortColumns()
	if err := s.addSlices(m, b); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}
	return s, NewLayout(m.Model, m.Positive, names, textual), nil
}

// column is Column, for a baseline that may be missing.
func (b *Baseline) column(role Role, name string) *BaselineColumn {
	if b == nil {
		return nil
	}
	return b.Column(role, name)
}

// takeBaseline copies what the baseline knows of a column's form.
func (c *SpecColumn) takeBaseline(bc *BaselineColumn) {
	c.Type = bc.Type
	c.Edges = slices.Clone(bc.Edges)
	c.Categories = slices.Clone(bc.Categories)
	c.Anchor, c.Unit = bc.Anchor, bc.Unit
	if c.Type == TypeCategory {
		c.Anchor, c.Unit = 0, 0
	}
}

func featureColumn(name string, f *Feature, bc *BaselineColumn) (SpecColumn, error) {
	c := SpecColumn{Name: name, Role: RoleFeature, Type: f.Type, Min: f.Min, Max: f.Max}
	if bc != nil {
		if f.Type != "" && f.Type != bc.Type {
			return c, fmt.Errorf("feature %q is a %s in the monitor and a %s in the baseline; change the monitor, or profile again with --%s %s", name, f.Type, bc.Type, f.Type, name)
		}
		c.takeBaseline(bc)
		// A value in every row of a good stretch means that a row without
		// one is a fault; fewer than minRequired rows do not show it.
		if w := bc.Stream(""); w != nil && w.Rows >= minRequired && w.Absent == 0 && w.Nulls == 0 {
			c.Required = true
		}
	}
	if f.Required != nil {
		c.Required = *f.Required
	}
	if c.Type == "" {
		switch {
		case len(f.Set) > 0:
			c.Type = TypeCategory
		case f.Min != nil || f.Max != nil:
			c.Type = TypeNumber
		default:
			return c, fmt.Errorf("feature %q has no type, and no baseline knows it; write `type: number` or `type: category`", name)
		}
	}
	switch c.Type {
	case TypeNumber:
		if len(f.Set) > 0 {
			return c, fmt.Errorf("feature %q is a number in the baseline, `set` is a rule for categories", name)
		}
		if bc == nil {
			c.Edges = DefaultEdges()
			c.Unit = UnitFor(reach(f))
		}
	case TypeCategory:
		if f.Min != nil || f.Max != nil {
			return c, fmt.Errorf("feature %q is a category in the baseline, `min` and `max` are rules for numbers", name)
		}
		c.Set = slices.Clone(f.Set)
		slices.Sort(c.Set)
		if bc == nil {
			c.Categories = slices.Clone(c.Set)
		}
	}
	return c, nil
}

// minRequired is the least number of baseline rows that show a column to be always there.
const minRequired = 100

// reach is the greatest distance from 0 that the rules allow, 0 where they leave it open.
func reach(f *Feature) float64 {
	if f.Min == nil || f.Max == nil {
		return 0
	}
	return max(-*f.Min, *f.Max)
}

func roleColumn(role Role, m *Monitor, bc *BaselineColumn) (SpecColumn, error) {
	c := SpecColumn{Name: role.String(), Role: role, Type: TypeNumber}
	answer := role == RolePrediction || role == RoleLabel
	if answer && m.Task != TaskRegression {
		c.Type = TypeCategory
	}
	if bc != nil {
		if bc.Type != c.Type && !(answer && m.Task == TaskNone) {
			return c, fmt.Errorf("the %s is a %s in the baseline, but the task is %s; correct `task`, or profile again", role, bc.Type, m.Task)
		}
		c.takeBaseline(bc)
	} else {
		c.defaults(m)
	}
	if c.Type == TypeCategory && len(m.Classes) > 0 {
		c.Set = slices.Clone(m.Classes)
		slices.Sort(c.Set)
	}
	return c, nil
}

// defaults gives a column of the model's answer its form where no baseline knows it.
func (c *SpecColumn) defaults(m *Monitor) {
	switch {
	case c.Role == RoleScore:
		c.Edges = scoreEdges()
		c.Anchor = 0.5
		c.Unit = UnitFor(0.5)
	case c.Role == RoleLatency:
		c.Edges = latencyEdges()
		c.Unit = UnitFor(0)
	case c.Type == TypeNumber:
		c.Edges = DefaultEdges()
		c.Unit = UnitFor(0)
	default:
		c.Categories = slices.Clone(m.Classes)
		slices.Sort(c.Categories)
	}
}

// DefaultEdges returns the edges of a number that no baseline knows: 0 and
// ±{1, 2, 5}·10ᵏ for k from -3 to 6, 61 edges in all.
func DefaultEdges() []float64 {
	positive := [...]float64{
		1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 1e-1, 2e-1, 5e-1,
		1, 2, 5, 1e1, 2e1, 5e1, 1e2, 2e2, 5e2,
		1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6,
	}
	out := make([]float64, 0, 2*len(positive)+1)
	for _, e := range slices.Backward(positive[:]) {
		out = append(out, -e)
	}
	out = append(out, 0)
	return append(out, positive[:]...)
}

// scoreEdges are k/40 for k from 1 to 39: 40 equal bins of a probability.
func scoreEdges() []float64 {
	out := make([]float64, 39)
	for i := range out {
		out[i] = float64(i+1) / 40
	}
	return out
}

// latencyEdges are six to a decade, from a tenth of a millisecond to 70 seconds.
func latencyEdges() []float64 {
	return []float64{
		0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70,
		100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000,
		10_000, 15_000, 20_000, 30_000, 50_000, 70_000,
	}
}

// addSlices lists the slice values that are told apart: of one column the
// most frequent of the baseline, or all of its `set`; of a pair those that
// come together most often, or would if the columns were independent, where
// the baseline was not made for the pair. The value `other` is never listed,
// because it names the rest.
func (s *Spec) addSlices(m *Monitor, b *Baseline) error {
	var errs []error
	streams := len(s.Columns)
	for _, columns := range m.Slices {
		weights := make([][]weighted, len(columns))
		bad := false
		for i, name := range columns {
			c := s.Column(RoleFeature, name)
			switch {
			case c == nil:
				bad = true
				errs = append(errs, fmt.Errorf("slice column %q is neither in the monitor nor in the baseline%s", name, maybe(name, s)))
			case m.Features[name].Sensitive:
				bad = true
				errs = append(errs, fmt.Errorf("slice column %q is sensitive, and the names of slices hold its values; drop the slice, or `sensitive`", name))
			case c.Type != TypeCategory:
				bad = true
				errs = append(errs, fmt.Errorf("slice column %q is a number; slice by a category, or profile again with --category %s", name, name))
			default:
				weights[i] = sliceWeights(c, b.column(RoleFeature, name))
			}
		}
		if bad {
			continue
		}
		sl := SpecSlice{Columns: slices.Clone([]string(columns)), Values: [][]string{}}
		if len(columns) == 1 {
			for _, w := range top(weights[0], MaxSliceValues) {
				sl.Values = append(sl.Values, []string{w.values[0]})
			}
		} else {
			for _, w := range top(pairWeights(columns, weights, b), MaxPairSliceValues) {
				sl.Values = append(sl.Values, w.values)
			}
		}
		slices.SortFunc(sl.Values, slices.Compare[[]string])
		streams += len(s.Columns) * (len(sl.Values) + 1)
		s.Slices = append(s.Slices, sl)
	}
	if streams > MaxStreams {
		errs = append(errs, fmt.Errorf("model %s would have %d streams of columns and slices; at most %d are kept: list fewer slices or features", s.Model, streams, MaxStreams))
	}
	return errors.Join(errs...)
}

func maybe(name string, s *Spec) string {
	var known []string
	for i := range s.Columns {
		if s.Columns[i].Role == RoleFeature {
			known = append(known, s.Columns[i].Name)
		}
	}
	if n := Nearest(name, known); n != "" {
		return "; did you mean " + n + "?"
	}
	return ""
}

// weighted is a slice's values with how often they come.
type weighted struct {
	values []string
	weight float64
}

func sliceWeights(c *SpecColumn, bc *BaselineColumn) []weighted {
	var out []weighted
	var counts []uint64
	if bc != nil && len(bc.Streams) > 0 {
		counts = bc.Streams[0].Bins
	}
	for i, v := range c.Categories {
		if v == OtherValue {
			continue
		}
		w := weighted{values: []string{v}, weight: 1}
		if counts != nil {
			w.weight = float64(counts[i])
		}
		out = append(out, w)
	}
	return out
}

// pairWeights counts pairs by the baseline's own streams of that pair where
// it has them, else by the product of the shares.
func pairWeights(columns []string, each [][]weighted, b *Baseline) []weighted {
	rows := pairRows(b)
	var seen, guessed []weighted
	for _, x := range top(each[0], MaxSliceValues) {
		for _, y := range top(each[1], MaxSliceValues) {
			values := []string{x.values[0], y.values[0]}
			if n, ok := rows[SliceName(columns, values)]; ok {
				seen = append(seen, weighted{values, float64(n)})
			}
			guessed = append(guessed, weighted{values, x.weight * y.weight})
		}
	}
	if len(seen) > 0 {
		return seen
	}
	return guessed
}

// pairRows returns the rows of every slice that the baseline knows.
func pairRows(b *Baseline) map[string]uint64 {
	rows := map[string]uint64{}
	if b == nil {
		return rows
	}
	for i := range b.Columns {
		if b.Columns[i].Role != RoleFeature {
			continue
		}
		for j := range b.Columns[i].Streams {
			if st := &b.Columns[i].Streams[j]; st.Slice != "" {
				rows[st.Slice] = max(rows[st.Slice], st.Rows)
			}
		}
	}
	return rows
}

// top returns the n of greatest weight; of equal weights the first by name.
func top(w []weighted, n int) []weighted {
	w = slices.Clone(w)
	slices.SortFunc(w, func(a, b weighted) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), slices.Compare(a.values, b.values))
	})
	return w[:min(n, len(w))]
}
