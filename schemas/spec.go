package schemas

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"sort"
	"time"
)

// RowFunction is the version of the program's way from an event to stored
// rows. It is part of every spec: a program that counts differently must not
// write under the same key.
const RowFunction = 1

// ColumnType says how the values of a column are summarised.
type ColumnType string

// The types of a column.
const (
	TypeNumber   ColumnType = "number"
	TypeCategory ColumnType = "category"
)

// Spec is the row function of one model: together with the log it determines
// every stored row. It is written once and never changes; a change makes a
// new spec.
type Spec struct {
	Model       string        `json:"model"`
	RowFunction int           `json:"row_function"`
	Window      time.Duration `json:"window"`
	Lateness    time.Duration `json:"lateness"`     // how long a window waits, in event time, before it closes
	LateHorizon time.Duration `json:"late_horizon"` // how late a row may be and still be counted in its window
	MaxFuture   time.Duration `json:"max_future"`   // how far an event's time may be past its record's
	Positive    string        `json:"positive,omitempty"`
	Baseline    string        `json:"baseline,omitempty"` // content hash of the baseline, "" for none
	Sample      float64       `json:"sample,omitempty"`   // share of the ids whose narrow rows are kept, see Keeps; 0 for all
	Columns     []SpecColumn  `json:"columns"`            // sorted by role and name
	Slices      []SpecSlice   `json:"slices,omitempty"`
}

// SpecColumn is how one column is checked and summarised.
type SpecColumn struct {
	Name     string     `json:"name"`
	Role     Role       `json:"role"`
	Type     ColumnType `json:"type"`
	Required bool       `json:"required,omitempty"` // absence is the fault missing_column

	// Edges are strictly increasing; value x of a number is counted in bin i
	// where edges[i-1] < x <= edges[i], so there are len(Edges)+1 bins.
	Edges []float64 `json:"edges,omitempty"`
	// Sums are kept in whole multiples of Unit (a power of two) about Anchor.
	Anchor float64 `json:"anchor,omitempty"`
	Unit   float64 `json:"unit,omitempty"`
	// Categories are sorted; a value outside them is unseen and counted in
	// the last bin, so there are len(Categories)+1 bins.
	Categories []string `json:"categories,omitempty"`

	Min *float64 `json:"min,omitempty"` // out_of_range below it
	Max *float64 `json:"max,omitempty"` // out_of_range above it
	Set []string `json:"set,omitempty"` // sorted; unexpected_value outside it; empty for no rule
}

// SpecSlice is a way to split rows: by one column or by a pair. Values lists
// the slices that are told apart, sorted; every other row counts as `other`.
type SpecSlice struct {
	Columns []string   `json:"columns"`
	Values  [][]string `json:"values"` // each as long as Columns
}

// Hash returns the content hash of the spec: 16 hex digits of the SHA-256 of
// its JSON form. Equal specs have equal hashes on every machine.
func (s *Spec) Hash() string {
	body, err := json.Marshal(s)
	if err != nil {
		// Only NaN or Inf in an edge could do this; specs are built from validated numbers.
		panic("schemas: spec of " + s.Model + " has a number that is not finite: " + err.Error())
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}

// Column returns the column of that role and name, nil when there is none.
func (s *Spec) Column(role Role, name string) *SpecColumn {
	i := sort.Search(len(s.Columns), func(i int) bool {
		c := &s.Columns[i]
		return c.Role > role || c.Role == role && c.Name >= name
	})
	if i < len(s.Columns) && s.Columns[i].Role == role && s.Columns[i].Name == name {
		return &s.Columns[i]
	}
	return nil
}

// SortColumns puts the columns in the order that Column and the layout rely on.
func (s *Spec) SortColumns() {
	sort.Slice(s.Columns, func(i, j int) bool {
		a, b := &s.Columns[i], &s.Columns[j]
		if a.Role != b.Role {
			return a.Role < b.Role
		}
		return a.Name < b.Name
	})
}

// Keeps returns the bound of the ids whose narrow rows are kept: an id is kept
// when its Hash is below it, and always where all is set. It depends on nothing
// but the id, so that of a request either all parts are kept or none, and a
// smaller share is part of a larger one.
func (s *Spec) Keeps() (below uint64, all bool) {
	if !(s.Sample > 0 && s.Sample < 1) {
		return 0, true
	}
	return uint64(math.Ldexp(s.Sample, 64)), false
}

// WindowStart returns the start of the window that holds event time ms, both
// Unix milliseconds. Windows are aligned to the epoch; times before it count too.
func (s *Spec) WindowStart(ms int64) int64 {
	w := s.Window.Milliseconds()
	r := ms % w
	if r < 0 {
		r += w
	}
	return ms - r
}

// SpecRecord is a spec as the store knows it. A row counts under the last
// record of its model whose EffectiveFrom is not after the row's event time.
type SpecRecord struct {
	Seq           uint64 // order in which specs were registered, over all models; from 1
	EffectiveFrom int64  // Unix milliseconds of event time, a window border; math.MinInt64 for a model's first
	Hash          string
	Spec          Spec

	// History says that the spec was registered to read the past again: windows
	// that had been judged by then are shown under it, and nobody is told of
	// them; of a part that had never been judged, those that start before
	// HistoryUntil, in Unix milliseconds.
	History      bool
	HistoryUntil int64
}

// SliceName names the slice of those columns and values, as in
// "origin=ORD" or "dest=LAX,origin=ORD". The characters `\`, `,` and `=` in a
// name or value are escaped by `\`, so distinct slices have distinct names.
func SliceName(columns, values []string) string {
	var out []byte
	esc := func(s string) {
		for i := 0; i < len(s); i++ {
			if s[i] == '\\' || s[i] == ',' || s[i] == '=' {
				out = append(out, '\\')
			}
			out = append(out, s[i])
		}
	}
	for i, c := range columns {
		if i > 0 {
			out = append(out, ',')
		}
		esc(c)
		out = append(out, '=')
		esc(values[i])
	}
	return string(out)
}

// OtherValue is the value of a slice's rows whose own value the spec does not list.
const OtherValue = "other"
