package schemas

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Bounds of a baseline.
const (
	MaxEdges      = 512  // of one column
	MaxCategories = 1000 // kept of one column
)

// Validate reports everything in a baseline that the program could not count
// by: its form, edges that do not increase, categories that are not sorted,
// bins that do not fit them, a unit that is not a power of two. It does not
// check the hash; Verify does.
func (b *Baseline) Validate() error {
	if b.Format != BaselineFormat {
		return fmt.Errorf("baseline has form %q, this program reads %q; write it anew with `modelwatch profile`", b.Format, BaselineFormat)
	}
	if len(b.Columns) > MaxFeatures+10 {
		return fmt.Errorf("baseline of %s has %d columns; at most %d are watched", b.Model, len(b.Columns), MaxFeatures)
	}
	type key struct {
		role Role
		name string
	}
	var errs []error
	seen := map[key]bool{}
	for i := range b.Columns {
		c := &b.Columns[i]
		k := key{c.Role, c.Name}
		err := c.validate()
		if err == nil && seen[k] {
			err = errors.New("is there twice")
		}
		seen[k] = true
		if err != nil {
			errs = append(errs, fmt.Errorf("baseline of %s, %s %q: %w", b.Model, c.Role, c.Name, err))
		}
	}
	return errors.Join(errs...)
}

func (c *BaselineColumn) validate() error {
	switch c.Role {
	case RoleFeature:
		if why := BadColumnName(c.Name); why != "" {
			return errors.New("the name " + why)
		}
	case RolePrediction, RoleScore, RoleLabel, RoleLatency:
		if c.Name != c.Role.String() {
			return fmt.Errorf("a column of that role is named %q", c.Role)
		}
	case RoleRows:
		if PartOf(c.Name) == 0 {
			return fmt.Errorf("counts of events are named after their part, not %q", c.Name)
		}
	default:
		return fmt.Errorf("role %d is not one of a column", c.Role)
	}
	var bins int
	switch c.Type {
	case TypeNumber:
		if err := c.validateNumber(); err != nil {
			return err
		}
		bins = len(c.Edges) + 1
	case TypeCategory:
		if len(c.Categories) > MaxCategories {
			return fmt.Errorf("%d categories; at most %d are kept", len(c.Categories), MaxCategories)
		}
		for i := 1; i < len(c.Categories); i++ {
			if c.Categories[i-1] >= c.Categories[i] {
				return fmt.Errorf("categories are not sorted at %q", c.Categories[i])
			}
		}
		bins = len(c.Categories) + 1
	default:
		return fmt.Errorf("type %q is not known", c.Type)
	}
	for i := range c.Streams {
		if s := &c.Streams[i]; len(s.Bins) != bins {
			return fmt.Errorf("slice %q has %d bins, not %d", s.Slice, len(s.Bins), bins)
		}
	}
	if len(c.Streams) == 0 || c.Streams[0].Slice != "" {
		return errors.New("the stream of the whole is missing")
	}
	return nil
}

func (c *BaselineColumn) validateNumber() error {
	if len(c.Edges) > MaxEdges {
		return fmt.Errorf("%d edges; at most %d are counted by", len(c.Edges), MaxEdges)
	}
	for i, e := range c.Edges {
		if math.IsNaN(e) || math.IsInf(e, 0) {
			return fmt.Errorf("edge %d is not finite", i)
		}
		if i > 0 && c.Edges[i-1] >= e {
			return fmt.Errorf("edges do not increase at %g", e)
		}
	}
	if f, _ := math.Frexp(c.Unit); f != 0.5 || math.IsInf(c.Unit, 0) {
		return fmt.Errorf("unit %g is not a power of two", c.Unit)
	}
	if math.IsNaN(c.Anchor) || math.IsInf(c.Anchor, 0) {
		return errors.New("the anchor is not finite")
	}
	return nil
}

// Names returns the names of the columns of a role, sorted.
func (b *Baseline) Names(role Role) []string {
	var out []string
	for i := range b.Columns {
		if b.Columns[i].Role == role {
			out = append(out, b.Columns[i].Name)
		}
	}
	slices.Sort(out)
	return out
}
