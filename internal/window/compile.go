package window

import (
	"fmt"
	"math"
	"sort"

	"github.com/modelwatch/modelwatch/schemas"
)

// Models is the set of models a partition's rows are read under. It is
// read-only: a reload makes a new one.
type Models struct {
	byName map[string]*Model
	seq    uint64
}

// Model is one model with all its specs, in the order in which they take effect.
type Model struct {
	Name   string
	Layout *schemas.Layout // the columns of all its specs together
	specs  []*compiled
}

// compiled is a spec made ready for rows of the model's layout.
type compiled struct {
	record      *schemas.SpecRecord
	window      int64 // milliseconds
	lateness    int64
	lateHorizon int64
	maxFuture   int64
	keepsBelow  uint64 // hashes of ids whose narrow rows are kept
	keepsAll    bool
	columns     []column
	layout      []int                  // by column: where its values stand in a block
	byPart      map[schemas.Part][]int // indexes into columns
	slices      []slicing
}

// column is one column of a spec, and where its values stand in a block.
type column struct {
	*schemas.SpecColumn
	layout int
	part   schemas.Part
	codes  codes           // of categories
	bins   edges           // of numbers
	set    map[uint64]bool // hashes of allowed values; nil for no rule
}

// slicing tells which slice a row belongs to, from the codes of one or two
// category columns.
type slicing struct {
	columns []int    // indexes into compiled.columns
	width   int      // codes of the second column, other included; 1 when there is none
	code    []uint16 // by code of the first column times width plus code of the second
	names   []string // by slice code; the last is the slice of all others
}

// Compile makes the specs of any number of models ready. Records of one model
// must have distinct Seq and agree on nothing else.
func Compile(records []schemas.SpecRecord) (*Models, error) {
	ms := &Models{byName: map[string]*Model{}}
	byModel := map[string][]*schemas.SpecRecord{}
	for i := range records {
		r := &records[i]
		byModel[r.Spec.Model] = append(byModel[r.Spec.Model], r)
		ms.seq = max(ms.seq, r.Seq)
	}
	for name, rs := range byModel {
		sort.Slice(rs, func(i, j int) bool { return rs[i].Seq < rs[j].Seq })
		m := &Model{Name: name}
		var features []string
		textual := map[string]bool{}
		for _, r := range rs {
			for i := range r.Spec.Columns {
				if c := &r.Spec.Columns[i]; c.Role == schemas.RoleFeature {
					features = append(features, c.Name)
					textual[c.Name] = textual[c.Name] || c.Type == schemas.TypeCategory
				}
			}
		}
		m.Layout = schemas.NewLayout(name, rs[len(rs)-1].Spec.Positive, features, textual)
		for _, r := range rs {
			c, err := compile(r, m.Layout)
			if err != nil {
				return nil, fmt.Errorf("compiling spec %d of model %s: %w", r.Seq, name, err)
			}
			m.specs = append(m.specs, c)
		}
		ms.byName[name] = m
	}
	return ms, nil
}

// Seq is the greatest Seq of the set: what schemas.Progress.SpecSeq records.
func (ms *Models) Seq() uint64 { return ms.seq }

// Model returns a model by name, nil when no spec speaks of it.
func (ms *Models) Model(name []byte) *Model { return ms.byName[string(name)] }

// at returns the spec whose interval holds event time t: the last registered
// one that takes effect at or before it.
func (m *Model) at(t int64) *compiled {
	for i := len(m.specs) - 1; i > 0; i-- {
		if m.specs[i].record.EffectiveFrom <= t {
			return m.specs[i]
		}
	}
	return m.specs[0]
}

func compile(r *schemas.SpecRecord, l *schemas.Layout) (*compiled, error) {
	s := &r.Spec
	c := &compiled{
		record: r, window: s.Window.Milliseconds(), lateness: s.Lateness.Milliseconds(),
		lateHorizon: s.LateHorizon.Milliseconds(), maxFuture: s.MaxFuture.Milliseconds(),
		byPart: map[schemas.Part][]int{},
	}
	c.keepsBelow, c.keepsAll = s.Keeps()
	if c.window <= 0 {
		return nil, fmt.Errorf("window %s is not at least a millisecond", s.Window)
	}
	feature := map[string]int{}
	for i := range s.Columns {
		sc := &s.Columns[i]
		if len(sc.Categories) >= math.MaxUint16 || len(sc.Edges) >= math.MaxUint16 {
			return nil, fmt.Errorf("column %s has more than %d bins", sc.Name, math.MaxUint16)
		}
		col := column{SpecColumn: sc, part: sc.Role.Part()}
		switch sc.Role {
		case schemas.RoleFeature:
			col.layout = l.Feature([]byte(sc.Name))
			feature[sc.Name] = len(c.columns)
		case schemas.RolePrediction:
			col.layout = l.Prediction
		case schemas.RoleScore:
			col.layout = l.Score
		case schemas.RoleLabel:
			col.layout = l.Label
		case schemas.RoleLatency:
			col.layout = l.Latency
		default:
			return nil, fmt.Errorf("column %s has role %q, which no event carries", sc.Name, sc.Role)
		}
		if sc.Type == schemas.TypeCategory {
			col.codes = newCodes(sc.Categories)
		} else {
			col.bins = newEdges(sc.Edges)
		}
		if len(sc.Set) > 0 {
			col.set = make(map[uint64]bool, len(sc.Set))
			for _, v := range sc.Set {
				col.set[schemas.HashString(v)] = true
			}
		}
		c.byPart[col.part] = append(c.byPart[col.part], len(c.columns))
		c.columns = append(c.columns, col)
		c.layout = append(c.layout, col.layout)
	}
	for i := range s.Slices {
		sl, err := c.slicing(&s.Slices[i], feature)
		if err != nil {
			return nil, err
		}
		c.slices = append(c.slices, sl)
	}
	return c, nil
}

func (c *compiled) slicing(s *schemas.SpecSlice, feature map[string]int) (slicing, error) {
	sl := slicing{width: 1}
	if len(s.Columns) < 1 || len(s.Columns) > 2 {
		return sl, fmt.Errorf("slice %v is not of one or two columns", s.Columns)
	}
	size := 1
	for i, name := range s.Columns {
		at, ok := feature[name]
		if !ok || c.columns[at].Type != schemas.TypeCategory {
			return sl, fmt.Errorf("slice column %s is not a category feature of the spec", name)
		}
		sl.columns = append(sl.columns, at)
		n := len(c.columns[at].Categories) + 1
		size *= n
		if i == 1 {
			sl.width = n
		}
	}
	other := uint16(len(s.Values))
	sl.code = make([]uint16, size)
	for i := range sl.code {
		sl.code[i] = other
	}
	for v, values := range s.Values {
		at := 0
		for i, value := range values {
			codes := &c.columns[sl.columns[i]].codes
			code := codes.of(schemas.HashString(value))
			if code == codes.other {
				return sl, fmt.Errorf("slice value %s=%q is not among the column's categories", s.Columns[i], value)
			}
			if i == 1 {
				at *= sl.width
			}
			at += int(code)
		}
		sl.code[at] = uint16(v)
		sl.names = append(sl.names, schemas.SliceName(s.Columns, values))
	}
	others := make([]string, len(s.Columns))
	for i := range others {
		others[i] = schemas.OtherValue
	}
	sl.names = append(sl.names, schemas.SliceName(s.Columns, others))
	return sl, nil
}
