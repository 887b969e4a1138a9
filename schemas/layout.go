package schemas

import "sort"

// LayoutColumn is one column that events of a model may carry.
type LayoutColumn struct {
	Name    string // of the feature; of the role for the other roles
	Role    Role
	Textual bool // numbers are kept as text too, because they may be categories
}

// Layout lists the columns of a model's events: the features by name, then
// prediction, score, label and latency. It says where a value goes, not
// whether it is right; that is the spec's matter. It is read-only once made.
type Layout struct {
	Model    string
	Positive string // the class whose entry of `scores` is the score; "" when there is none
	Columns  []LayoutColumn

	Prediction, Score, Label, Latency int // indexes into Columns

	index map[string]int
}

// NewLayout returns the layout of a model's features; textual[name] says
// which of them may be categories. Names are put in order, repeats dropped.
func NewLayout(model, positive string, features []string, textual map[string]bool) *Layout {
	names := append([]string(nil), features...)
	sort.Strings(names)
	l := &Layout{Model: model, Positive: positive, index: make(map[string]int, len(names))}
	for _, n := range names {
		if _, ok := l.index[n]; ok {
			continue
		}
		l.index[n] = len(l.Columns)
		l.Columns = append(l.Columns, LayoutColumn{Name: n, Role: RoleFeature, Textual: textual[n]})
	}
	add := func(r Role, textual bool) int {
		l.Columns = append(l.Columns, LayoutColumn{Name: r.String(), Role: r, Textual: textual})
		return len(l.Columns) - 1
	}
	l.Prediction = add(RolePrediction, true)
	l.Score = add(RoleScore, false)
	l.Label = add(RoleLabel, true)
	l.Latency = add(RoleLatency, false)
	return l
}

// Feature returns the column of a feature, -1 when the layout has none of that name.
func (l *Layout) Feature(name []byte) int {
	if i, ok := l.index[string(name)]; ok {
		return i
	}
	return -1
}

// Features is the number of features; they are the first columns.
func (l *Layout) Features() int { return l.Prediction }
