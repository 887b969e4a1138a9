package hard

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// maxExtras is how many unknown features of one chunk are followed by name;
// the others are followed together under the name "".
const maxExtras = 64

// Checker follows the rules of one spec over the rows of one chunk that count
// under it. It is used by one goroutine.
type Checker struct {
	chunk   schemas.Chunk
	model   string
	seq     uint64
	columns []column
	repeats [len(schemas.Parts)]rule
	rejects []*rule          // by order of their first reject
	extras  map[string]*rule // by name of the feature
	pending []Reject         // by offset, not yet passed
	changes uint64

	rows [len(schemas.Parts)]int64 // of the present view, by part
}

// rule is one CUSUM with its sample of bad rows.
type rule struct {
	cusum
	sample
	fault   schemas.Fault
	feature string
	reason  string
	next    int64 // rows of the present view it has passed
}

// column is the rules that apply to one column.
type column struct {
	part  int // index into schemas.Parts, -1 for a column that no event carries
	rules []columnRule
	live  bool // a rule stands above 0
}

type columnRule struct {
	rule
	classes uint8 // bad ones
	flag    summary.Flag
}

// NewChecker returns the checker of the rows of chunk that count under spec.
func NewChecker(chunk schemas.Chunk, spec *schemas.SpecRecord) *Checker {
	c := &Checker{chunk: chunk, model: spec.Spec.Model, seq: spec.Seq, extras: map[string]*rule{}}
	for i := range spec.Spec.Columns {
		c.columns = append(c.columns, newColumn(&spec.Spec.Columns[i]))
	}
	for i, p := range schemas.Parts {
		c.repeats[i] = rule{fault: schemas.FaultDuplicates, feature: p.String(), reason: "its id was there before"}
	}
	return c
}

func newColumn(s *schemas.SpecColumn) column {
	col := column{part: slices.Index(schemas.Parts[:], s.Role.Part())}
	if col.part < 0 {
		return col
	}
	add := func(fault schemas.Fault, reason string, flag summary.Flag, classes ...summary.Class) {
		r := columnRule{rule: rule{fault: fault, feature: s.Name, reason: reason}, flag: flag}
		for _, k := range classes {
			r.classes |= 1 << k
		}
		col.rules = append(col.rules, r)
	}
	add(schemas.FaultWrongType, "not a "+string(s.Type), 0, summary.Bad)
	if s.Required {
		add(schemas.FaultMissingColumn, "the column is not there", 0, summary.Absent)
	}
	if s.Min != nil || s.Max != nil {
		add(schemas.FaultOutOfRange, "outside "+span(s.Min, s.Max), summary.Outside)
	}
	if len(s.Set) > 0 {
		add(schemas.FaultUnexpectedValue, fmt.Sprintf("not one of the %d declared values", len(s.Set)), summary.Unexpected)
	}
	if s.Role == schemas.RolePrediction || s.Role == schemas.RoleScore {
		add(schemas.FaultNotFinite, "not a finite number", 0, summary.NaN, summary.PosInf, summary.NegInf)
	}
	return col
}

func span(low, high *float64) string {
	switch {
	case high == nil:
		return fmt.Sprintf("%v and above", *low)
	case low == nil:
		return fmt.Sprintf("%v and below", *high)
	}
	return fmt.Sprintf("%v to %v", *low, *high)
}

// Check passes the rows of v. Rejects of lower offsets that came before are
// passed in their place.
func (c *Checker) Check(v *View) {
	if v.Rows == 0 {
		return
	}
	c.passRejects(v)
	for p, part := range schemas.Parts {
		c.rows[p] = 0
		for _, has := range v.Parts[:v.Rows] {
			if has&part != 0 {
				c.rows[p]++
			}
		}
	}
	for i := range c.columns {
		c.checkColumn(v, i)
	}
	c.checkDuplicates(v)
	c.checkExtras(v)
}

func (c *Checker) checkColumn(v *View, i int) {
	col := &c.columns[i]
	if col.part < 0 || c.rows[col.part] == 0 {
		return
	}
	values := &v.Columns[i]
	part, all := schemas.Parts[col.part], c.rows[col.part] == int64(v.Rows)
	suspect := values.Classes == 0
	for k := range col.rules {
		r := &col.rules[k]
		suspect = suspect || values.Classes&r.classes != 0 || values.AnyFlags&r.flag != 0
	}
	if !suspect && !col.live {
		return
	}
	col.live = false
	for k := range col.rules {
		r := &col.rules[k]
		if values.Classes == 0 || values.Classes&r.classes != 0 || values.AnyFlags&r.flag != 0 {
			c.scan(v, i, r, values, part, all)
		} else {
			r.good(c.rows[col.part])
		}
		col.live = col.live || r.level > 0
	}
}

// scan passes the rows of v that carry part by one rule.
func (c *Checker) scan(v *View, i int, r *columnRule, values *summary.Classified, part schemas.Part, all bool) {
	var good int64
	for row := range int32(v.Rows) {
		if !all && v.Parts[row]&part == 0 {
			continue
		}
		bad := r.classes&(1<<values.Class[row]) != 0 ||
			r.flag != 0 && values.Class[row] == summary.Value && values.Flags[row]&r.flag != 0
		if !bad {
			good++
			continue
		}
		r.good(good)
		good = 0
		c.hit(&r.rule, v, row, i)
	}
	r.good(good)
}

func (c *Checker) checkDuplicates(v *View) {
	for p, part := range schemas.Parts {
		r := &c.repeats[p]
		if v.Duplicate == nil {
			r.good(c.rows[p])
			continue
		}
		for row := range int32(v.Rows) {
			switch {
			case v.Parts[row]&part == 0:
			case v.Duplicate[row]&part == 0:
				r.good(1)
			default:
				c.hit(r, v, row, -1)
			}
		}
	}
}

func (c *Checker) checkExtras(v *View) {
	const features = 0 // index of PartFeatures
	if len(v.Extra) == 0 && len(c.extras) == 0 {
		return
	}
	for _, r := range c.extras {
		r.next = 0
	}
	row, passed := int32(0), int64(0) // passed counts the rows with features before row
	for _, e := range v.Extra {
		for ; row < e.Row; row++ {
			if v.Parts[row]&schemas.PartFeatures != 0 {
				passed++
			}
		}
		if v.Parts[row]&schemas.PartFeatures == 0 {
			continue
		}
		r := c.extra(e.Name)
		if r.next > passed {
			continue // twice in one row
		}
		r.good(passed - r.next)
		c.hit(r, v, row, -1)
		r.next = passed + 1
	}
	for _, r := range c.extras {
		r.good(c.rows[features] - r.next)
	}
}

func (c *Checker) extra(name string) *rule {
	r := c.extras[name]
	if r == nil && len(c.extras) >= maxExtras {
		name = ""
		r = c.extras[name]
	}
	if r == nil {
		name = strings.Clone(name)
		r = &rule{fault: schemas.FaultExtraColumn, feature: name, reason: "the monitor does not know it"}
		c.extras[name] = r
	}
	return r
}

// hit passes a bad row; col is the index of its column, -1 for none.
func (c *Checker) hit(r *rule, v *View, row int32, col int) {
	rank := c.rank(v.Offset[row])
	t := r.hit(mark{v.Offset[row], v.Time[row]}, v.Start[row])
	kept := r.wants(rank)
	if t == nil && !kept {
		return
	}
	c.changes++
	value := ""
	if col >= 0 && v.Value != nil {
		value = cut(v.Value(col, row))
	}
	version := strings.Clone(v.Versions[v.Version[row]])
	if t != nil {
		c.describe(t, r, version, value, r.reason)
	}
	if kept {
		r.keep(schemas.Violation{
			Model: c.model, Version: version, Fault: r.fault, Feature: r.feature, Value: value, Reason: r.reason,
			Time: v.Time[row], Offset: v.Offset[row], Rank: rank,
		})
	}
}

func (c *Checker) describe(t *schemas.Trip, r *rule, version, value, reason string) {
	t.Model, t.SpecSeq, t.Version = c.model, c.seq, version
	t.Fault, t.Feature, t.Value, t.Reason = r.fault, r.feature, value, reason
}

// rank orders the bad rows of all chunks by chance, the same for every reader.
func (c *Checker) rank(offset int64) uint64 {
	var b [28]byte
	copy(b[:], c.chunk.Epoch.TopicID[:])
	binary.LittleEndian.PutUint32(b[16:], uint32(c.chunk.Partition))
	binary.LittleEndian.PutUint64(b[20:], uint64(offset))
	return schemas.Hash(b[:])
}

// Changes grows whenever Snapshot would return something else.
func (c *Checker) Changes() uint64 { return c.changes }

// Snapshot returns the trips and the sampled bad rows of the chunk so far:
// trips by offset, fault and feature, samples by fault, feature and rank.
// Every row before the last reject must have been checked.
func (c *Checker) Snapshot() ([]schemas.Trip, []schemas.Violation) {
	c.passRejects(nil)
	var trips []schemas.Trip
	var bad []schemas.Violation
	take := func(r *rule) {
		trips = append(trips, r.trips...)
		bad = append(bad, r.sample...)
	}
	for i := range c.columns {
		for k := range c.columns[i].rules {
			take(&c.columns[i].rules[k].rule)
		}
	}
	for i := range c.repeats {
		take(&c.repeats[i])
	}
	for _, r := range c.rejects {
		take(r)
	}
	for _, r := range c.extras {
		take(r)
	}
	slices.SortFunc(trips, func(a, b schemas.Trip) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Fault, b.Fault), cmp.Compare(a.Feature, b.Feature))
	})
	slices.SortFunc(bad, func(a, b schemas.Violation) int {
		return cmp.Or(cmp.Compare(a.Fault, b.Fault), cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Rank, b.Rank))
	})
	return trips, bad
}
