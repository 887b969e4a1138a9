package detection

import (
	"math"
	"slices"
)

// Kind is what a fault does to the data.
type Kind string

// The kinds of faults and of harmless changes.
const (
	Step   Kind = "step"   // of the level, in reference sd of the column
	Ramp   Kind = "ramp"   // the same, reached after Length windows
	Scale  Kind = "scale"  // of the rows: their sd grows by the share Size
	Nulls  Kind = "null"   // a share of the rows loses the value
	Unseen Kind = "unseen" // a share of the values is of categories that were never seen
	Volume Kind = "volume" // rows grow by the share Size; -.5 halves them
	Mix    Kind = "mix"    // Size of the rows of the largest slice come from the smallest ones instead
)

// Fault is a change of the data from a window on.
type Fault struct {
	Kind    Kind
	Size    float64
	Columns []int // by number; none for Volume and Mix
	Slice   int   // the only one it is in; -1 for all
	Onset   int   // window
	Length  int   // of a ramp, in windows
}

// Traffic says whether the fault changes how many rows there are of what, and
// so all columns.
func (f *Fault) Traffic() bool { return f != nil && (f.Kind == Volume || f.Kind == Mix) }

type change struct{ shift, scale, null, unseen float64 }

// change is what the fault does to the rows of a column and slice in window t.
func (f *Fault) change(t, column, slice int) (c change) {
	if f == nil || t < f.Onset || !slices.Contains(f.Columns, column) || f.Slice >= 0 && f.Slice != slice {
		return c
	}
	switch f.Kind {
	case Step:
		c.shift = f.Size
	case Ramp:
		c.shift = f.Size * min(1, float64(t-f.Onset+1)/float64(f.Length))
	case Scale:
		c.scale = math.Log1p(f.Size)
	case Nulls:
		c.null = f.Size
	case Unseen:
		c.unseen = f.Size
	}
	return c
}

// volume is the factor of the rows in window t.
func (f *Fault) volume(t int) float64 {
	if f == nil || f.Kind != Volume || t < f.Onset {
		return 1
	}
	return 1 + f.Size
}

// mix changes the shares of the slices.
func (f *Fault) mix(t int, p []float64) {
	if f == nil || f.Kind != Mix || t < f.Onset || len(p) < 4 {
		return
	}
	moved := f.Size * p[0]
	p[0] -= moved
	for i := len(p) - 3; i < len(p); i++ {
		p[i] += moved / 3
	}
}
