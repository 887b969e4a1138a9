package profile

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/modelwatch/modelwatch/schemas"
)

// decide gives every column its role and form, or a reason to leave it out.
func (s *scan) decide() error {
	for _, c := range s.columns {
		c.role = c.Column.Role
	}
	if s.timeColumn >= 0 {
		s.columns[s.timeColumn].skipped = "it is the time of the row"
	}
	var errs []error
	for _, role := range []schemas.Role{schemas.RolePrediction, schemas.RoleScore, schemas.RoleLabel, schemas.RoleLatency} {
		i := s.answer(role)
		if want := s.o.named(role); i < 0 && want != "" && want != "-" {
			errs = append(errs, unknownColumn(want, role.String(), s.src.Columns()))
		}
		if i >= 0 {
			s.columns[i].role = role
		}
	}
	if s.o.ID != "" && s.o.ID != "-" {
		if i := s.feature(s.o.ID); i >= 0 {
			s.columns[i].skipped = "it is the id of the row"
		} else {
			errs = append(errs, unknownColumn(s.o.ID, "id", s.src.Columns()))
		}
	}
	for _, list := range [][]string{s.o.Numbers, s.o.Categories, s.o.Skip} {
		for _, name := range list {
			if !slices.ContainsFunc(s.columns, func(c *columnScan) bool { return c.Name == name }) {
				errs = append(errs, unknownColumn(name, "list of columns", s.src.Columns()))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.decideForms()
	features := 0
	for _, c := range s.columns {
		if c.role == schemas.RoleFeature && c.skipped == "" {
			features++
		}
	}
	if features == 0 {
		return errors.New("no column can be used as a feature; the report of each says why: " + s.why())
	}
	if features > schemas.MaxFeatures {
		return fmt.Errorf("%d columns are features; at most %d are watched: leave some out with --skip", features, schemas.MaxFeatures)
	}
	return nil
}

func (s *scan) why() string {
	out := ""
	for i, c := range s.columns {
		if i == 5 {
			return out + ", …"
		}
		if i > 0 {
			out += ", "
		}
		reason := c.skipped
		if reason == "" {
			reason = "it is the " + c.role.String()
		}
		out += c.Name + ": " + reason
	}
	return out
}

func (s *scan) decideForms() {
	for _, c := range s.columns {
		if c.role == 0 {
			c.role = schemas.RoleFeature
		}
		if c.skipped != "" {
			continue
		}
		if slices.Contains(s.o.Skip, c.Name) {
			c.skipped = "it was asked to be left out"
			continue
		}
		if why := schemas.BadColumnName(c.Name); why != "" {
			c.skipped = "its name " + why
			continue
		}
		t := c.typeOf(s.o)
		if t == "" {
			continue
		}
		c.form = schemas.BaselineColumn{Name: c.Name, Role: c.role, Type: t}
		if c.role != schemas.RoleFeature {
			c.form.Name = c.role.String()
		}
	}
	// A class is a class on both sides.
	p, l := s.used(schemas.RolePrediction), s.used(schemas.RoleLabel)
	if p != nil && l != nil && p.form.Type != l.form.Type {
		p.form.Type, l.form.Type = schemas.TypeCategory, schemas.TypeCategory
	}
	for _, c := range s.columns {
		switch {
		case c.skipped != "":
		case c.form.Type == schemas.TypeNumber:
			c.decideNumber(s.o)
		default:
			c.decideCategory(s.o)
		}
	}
}

// used returns the column of a role other than feature, nil where there is none in the baseline.
func (s *scan) used(role schemas.Role) *columnScan {
	for _, c := range s.columns {
		if c.role == role && c.skipped == "" {
			return c
		}
	}
	return nil
}

// maxClasses is how many whole numbers a prediction or label may have and be taken for a class.
const maxClasses = 20

// typeOf says what a column is; "" after it was skipped.
func (c *columnScan) typeOf(o *Options) schemas.ColumnType {
	numbers, texts := c.kinds[schemas.KindNumber], c.kinds[schemas.KindText]+c.kinds[schemas.KindBool]
	switch {
	case slices.Contains(o.Numbers, c.Name):
		if numbers == 0 {
			c.skipped = "it was said to be a number and has none"
			return ""
		}
		return schemas.TypeNumber
	case slices.Contains(o.Categories, c.Name):
		return schemas.TypeCategory
	case numbers+texts == 0:
		c.skipped = "it has no value"
		if c.kinds[schemas.KindNested] > 0 {
			c.skipped = "its values are objects or lists"
		}
		return ""
	case c.role == schemas.RoleScore || c.role == schemas.RoleLatency:
		if numbers == 0 {
			c.skipped = "it has no number"
			return ""
		}
		return schemas.TypeNumber
	case c.role != schemas.RoleFeature:
		if texts > 0 || c.whole && len(c.texts) <= maxClasses && c.overflow == 0 {
			return schemas.TypeCategory
		}
		return schemas.TypeNumber
	case numbers >= 99*texts:
		if idName.MatchString(c.Name) && c.whole && c.nearlyUnique() {
			c.skipped = "it looks like an id: almost every number is there once"
			return ""
		}
		if texts > 0 {
			c.notes = append(c.notes, fmt.Sprintf("%d of its values are text; they count as bad", texts))
		}
		return schemas.TypeNumber
	case c.nearlyUnique():
		c.skipped = "almost every text is there once"
		return ""
	}
	return schemas.TypeCategory
}

// nearlyUnique says whether more than half of at least a hundred values are distinct.
func (c *columnScan) nearlyUnique() bool {
	n := float64(c.kinds[schemas.KindNumber] + c.kinds[schemas.KindText])
	distinct := float64(len(c.texts))
	if c.overflow > 0 { // texts is full: judge by those that came while it was not
		n -= float64(c.overflow)
		var again float64
		for _, k := range c.texts {
			again += float64(k)
		}
		n = min(n, again)
	}
	return n >= 100 && distinct > n/2
}

func (c *columnScan) decideNumber(o *Options) {
	sd := 0.0
	if c.seen > 1 {
		sd = math.Sqrt(c.m2 / float64(c.seen-1))
	}
	slices.Sort(c.values)
	c.form.Edges = edges(c.values, c.min, c.max, o.Bins)
	c.form.Anchor, c.form.Unit = anchor(c.mean, sd, c.min, c.max, c.whole)
	if c.min == c.max {
		c.notes = append(c.notes, fmt.Sprintf("every value is %g", c.min))
	}
	if c.seen > int64(len(c.values)) {
		c.notes = append(c.notes, fmt.Sprintf("quantiles are from a sample of %d of %d values", len(c.values), c.seen))
	}
}

func (c *columnScan) decideCategory(o *Options) {
	type text struct {
		s string
		n uint64
	}
	all := make([]text, 0, len(c.texts))
	var total, kept uint64
	for s, n := range c.texts {
		all = append(all, text{s, n})
		total += n
	}
	total += c.overflow
	slices.SortFunc(all, func(a, b text) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.s, b.s)) })
	for _, t := range all[:min(len(all), o.MaxCategories)] {
		c.form.Categories = append(c.form.Categories, t.s)
		kept += t.n
	}
	slices.Sort(c.form.Categories)
	if kept < total {
		more := ""
		if c.overflow > 0 {
			more = "more than "
		}
		c.notes = append(c.notes, fmt.Sprintf("the %d most frequent of %s%d values are kept, they cover %.1f %% of the rows with one; the others count as unseen", len(c.form.Categories), more, len(all), 100*float64(kept)/float64(total)))
	}
	if len(all) == 1 && c.overflow == 0 {
		c.notes = append(c.notes, fmt.Sprintf("every value is %q", all[0].s))
	}
}

// sliceValues returns the values of a slice that are told apart, by the rule
// of schemas.BuildSpec.
func (s *scan) sliceValues(at int) ([][]string, error) {
	names := s.o.Slices[at]
	var counted []weighted
	kept := make([]map[string]bool, len(names))
	for i, name := range names {
		j := s.feature(name)
		if j < 0 || s.columns[j].skipped != "" || s.columns[j].role != schemas.RoleFeature {
			reason := "there is none"
			if j >= 0 && s.columns[j].skipped != "" {
				reason = s.columns[j].skipped
			} else if j >= 0 {
				reason = "it is the " + s.columns[j].role.String()
			}
			return nil, fmt.Errorf("slicing by column %q: %s", name, reason)
		}
		c := s.columns[j]
		if c.form.Type != schemas.TypeCategory {
			return nil, fmt.Errorf("slicing by column %q: it is a number; say --category %s, or slice by another", name, name)
		}
		kept[i] = map[string]bool{}
		one := make([]weighted, 0, len(c.form.Categories))
		for _, v := range c.form.Categories {
			if v != schemas.OtherValue {
				one = append(one, weighted{[]string{v}, c.texts[v]})
			}
		}
		for _, w := range most(one, schemas.MaxSliceValues) {
			kept[i][w.values[0]] = true
			if len(names) == 1 {
				counted = append(counted, w)
			}
		}
	}
	if len(names) == 2 {
		for pair, n := range s.pairs[at] {
			if kept[0][pair[0]] && kept[1][pair[1]] {
				counted = append(counted, weighted{[]string{pair[0], pair[1]}, n})
			}
		}
		counted = most(counted, schemas.MaxPairSliceValues)
	}
	out := make([][]string, len(counted))
	for i, w := range counted {
		out[i] = w.values
	}
	slices.SortFunc(out, slices.Compare[[]string])
	return out, nil
}

// weighted is a slice's values with their rows.
type weighted struct {
	values []string
	rows   uint64
}

func most(w []weighted, n int) []weighted {
	slices.SortFunc(w, func(a, b weighted) int {
		return cmp.Or(cmp.Compare(b.rows, a.rows), slices.Compare(a.values, b.values))
	})
	return w[:min(n, len(w))]
}
