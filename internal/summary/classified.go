package summary

// Classified is one column of a stretch of rows as one spec reads them: a
// struct of arrays, all as long as the stretch.
type Classified struct {
	Class []Class
	Flags []Flag    // valid where Class is Value
	Code  []uint16  // bin of the value, valid where Class is Value; below the number of bins of the column
	Num   []float64 // the value where Class is Value, finite; numbers only
	Hash  []uint64  // schemas.Hash of the category where Class is Value; categories only, numbers are hashed from Num

	// Classes and AnyFlags are the union over the rows that could have
	// carried the column: bit c of Classes is set when class c occurs. They
	// may say too much, never too little; both zero means not known.
	Classes  uint8
	AnyFlags Flag

	scratch []float64
}

// room returns memory for n values.
func (c *Classified) room(n int) []float64 {
	c.scratch = grow(c.scratch, n)
	return c.scratch
}

// Has says whether one of the classes may occur in the stretch.
func (c *Classified) Has(classes ...Class) bool {
	if c.Classes == 0 {
		return true
	}
	for _, k := range classes {
		if c.Classes&(1<<k) != 0 {
			return true
		}
	}
	return false
}

// HasFlag says whether the flag may occur in the stretch.
func (c *Classified) HasFlag(f Flag) bool { return c.Classes == 0 || c.AnyFlags&f != 0 }

// Grow makes all arrays n long, keeping their memory, and forgets what was known.
func (c *Classified) Grow(n int, t Kind) {
	c.Class = grow(c.Class, n)
	c.Flags = grow(c.Flags, n)
	c.Code = grow(c.Code, n)
	if t == Numbers {
		c.Num = grow(c.Num, n)
	} else {
		c.Hash = grow(c.Hash, n)
	}
	c.Classes, c.AnyFlags = 0, 0
}

// Kind says what the values of a column are.
type Kind uint8

// The kinds of a column.
const (
	Numbers Kind = iota
	Categories
)

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// Slice returns the rows [from, to) of c; the arrays are shared.
func (c *Classified) Slice(from, to int) Classified {
	return Classified{
		Class: c.Class[from:to], Flags: c.Flags[from:to], Code: cut(c.Code, from, to), Num: cut(c.Num, from, to), Hash: cut(c.Hash, from, to),
		Classes: c.Classes, AnyFlags: c.AnyFlags,
	}
}

// cut is s[from:to], nothing for an array that the column does not have.
func cut[T any](s []T, from, to int) []T {
	if s == nil {
		return nil
	}
	return s[from:to]
}
