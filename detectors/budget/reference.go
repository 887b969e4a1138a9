package budget

import (
	"math"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// Reference is what Judge reads healthy behaviour from: a baseline, or fits
// that came later. It is read-only once made and may be shared.
type Reference struct {
	baseline *schemas.Baseline
	yards    yardsticks
	streams  []FittedStream // sorted by key
	healthy  map[Key]int    // into streams
	window   int64          // length of the windows behind it, milliseconds
}

func newReference(b *schemas.Baseline, window int64, streams []FittedStream) *Reference {
	r := &Reference{baseline: b, yards: yardsticksOf(b), streams: streams, healthy: make(map[Key]int, len(streams)), window: window}
	slices.SortFunc(r.streams, func(a, b FittedStream) int { return compareKeys(a.Key, b.Key) })
	for i := range r.streams {
		k := r.streams[i].Key
		r.healthy[k] = i
		y := r.yards[columnKey{k.Role, k.Feature}]
		if y == nil {
			continue
		}
		by := y.whole
		if k.Slice != "" {
			by = y.slices[k.Slice]
		}
		if rank := slices.Index(order[:], k.Channel); rank >= 0 && by != nil {
			by.slots[rank] = int32(i)
		}
	}
	return r
}

// NewReference returns the reference that stands in a baseline; nil for none.
func NewReference(b *schemas.Baseline) *Reference {
	if b == nil {
		return nil
	}
	var streams []FittedStream
	for i := range b.Columns {
		c := &b.Columns[i]
		for j := range c.Streams {
			for channel, h := range c.Streams[j].Healthy {
				if h.Fitted > 0 {
					streams = append(streams, FittedStream{Key{c.Role, c.Name, c.Streams[j].Slice, channel}, h})
				}
			}
		}
	}
	return newReference(b, time.Duration(b.Window).Milliseconds(), streams)
}

// Healthy returns what was fitted to a stream.
func (r *Reference) Healthy(k Key) (schemas.Healthy, bool) {
	if r == nil {
		return schemas.Healthy{}, false
	}
	i, ok := r.healthy[k]
	if !ok {
		return schemas.Healthy{}, false
	}
	return r.streams[i].Healthy, true
}

// Keys returns the streams that were fitted, in a fixed order.
func (r *Reference) Keys() []Key {
	if r == nil {
		return nil
	}
	out := make([]Key, len(r.streams))
	for i := range r.streams {
		out[i] = r.streams[i].Key
	}
	return out
}

// Fitted is the outcome of a fit.
type Fitted struct {
	Streams  []FittedStream // sorted by key
	Cuts     []Cut          // sorted by start, then key
	Level    *LevelStep     // a new level that lasts to the end: which one is normal? nil for none
	Windows  int
	From, To time.Time

	baseline *schemas.Baseline
	window   int64
}

// FittedStream is the healthy behaviour of one stream.
type FittedStream struct {
	Key
	schemas.Healthy
}

// Cut is a stretch of the reference in which a stream was not as it was
// otherwise, and which it was therefore not learnt from.
type Cut struct {
	Key
	From, To time.Time
	Shift    float64 // mean distance from the level, on the channel's scale
	Kept     bool    // it was not cut after all: more than MaxCut of the windows would have gone
}

// LevelStep is a level that changed within the reference and did not come
// back. The level before it counts as healthy until a person says otherwise.
type LevelStep struct {
	Key           // of the stream that shows it best
	At            time.Time
	Before, After float64
	Streams       int // that have one
}

// Reference returns the fits for Judge.
func (f *Fitted) Reference() *Reference {
	return newReference(f.baseline, f.window, slices.Clone(f.Streams))
}

// Into writes the fits to the streams of a baseline, beside what stands there
// of the same channel. The numbers of events stand on a column of RoleRows
// that is named after the part; it is made where there is none. Streams that
// the baseline lacks are left out. The caller seals the baseline.
func (f *Fitted) Into(b *schemas.Baseline) {
	for i := range f.Streams {
		s := &f.Streams[i]
		c := b.Column(s.Role, s.Feature)
		if c == nil && s.Role == schemas.RoleRows {
			b.Columns = append(b.Columns, schemas.BaselineColumn{})
			at := 0
			for at < len(b.Columns)-1 && (b.Columns[at].Role < s.Role || b.Columns[at].Role == s.Role && b.Columns[at].Name < s.Feature) {
				at++
			}
			copy(b.Columns[at+1:], b.Columns[at:])
			b.Columns[at] = schemas.BaselineColumn{
				Name: s.Feature, Role: s.Role, Type: schemas.TypeNumber, Unit: schemas.UnitFor(1),
				Streams: []schemas.BaselineStream{{Rows: uint64(s.Rows * float64(s.Healthy.Fitted)), Bins: []uint64{0}}},
			}
			c = &b.Columns[at]
		}
		if c == nil {
			continue
		}
		st := c.Stream(s.Slice)
		if st == nil {
			continue
		}
		if st.Healthy == nil {
			st.Healthy = map[string]schemas.Healthy{}
		}
		st.Healthy[s.Channel] = s.Healthy
	}
}

// round6 keeps six significant digits, which is more than any of them is
// known to, and makes a baseline shorter.
func round6(x float64) float64 {
	if x == 0 || !finite(x) {
		return x
	}
	scale := math.Pow(10, 5-math.Floor(math.Log10(math.Abs(x))))
	if !finite(scale) || scale == 0 {
		return x
	}
	return math.Round(x*scale) / scale
}

// ExpectedRows is how many events of a part a healthy window has, by the fit of
// its volume; false where none was fitted.
func (r *Reference) ExpectedRows(part schemas.Part, start, end int64, c Calendar) (float64, bool) {
	channel := volumeOf(part)
	h, ok := r.Healthy(Key{Role: schemas.RoleRows, Feature: part.String(), Channel: channel})
	if !ok {
		return 0, false
	}
	l := law{Healthy: &h}
	m, _ := l.expected(c.cells(start, end), end)
	return math.Exp(m * sign(channel)), true
}
