package detection

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/schemas"
)

func mustModel(t testing.TB, world string, shape Shape, seed uint64) *Model {
	t.Helper()
	w, ok := Named(world)
	if !ok {
		t.Fatal(world)
	}
	m, err := NewModel(w, shape, seed)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var sliced = Shape{Features: 6, Categories: .34, Nulls: .5, Slices: 10, Registers: true}

// Whoever changes a constant of the worlds, or the order of the draws, changes
// what all figures mean: this says so.
func TestWorldsArePinned(t *testing.T) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(Worlds()); err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(h).Encode([]float64{
		ReferenceWindows, TestWindows, dailyLow, dailySpan, secondSpan, weekendSpan, scaleSpan, scaleShare, rowsSwing, rowsNoise, commonPhi,
	}); err != nil {
		t.Fatal(err)
	}
	for _, w := range Worlds() {
		m, err := NewModel(w, sliced, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []int{0, 100, 400, 900, 1300} {
			hashWindow(h, m.Window(at, nil))
		}
	}
	const want = "3b8ab4811e20099b060a45120e52dcd41417ebdf4e3a49c6fe51745ebd71b50a"
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("the worlds have hash %s, they had %s", got, want)
	}
}

func hashWindow(to interface{ Write([]byte) (int, error) }, w *detectors.Window) {
	put := func(n uint64) { _, _ = to.Write(binary.LittleEndian.AppendUint64(nil, n)) }
	for _, e := range w.Entries {
		_, _ = to.Write([]byte(e.Feature + "/" + e.Slice))
		put(e.Rows)
		put(e.Null)
		for _, n := range e.Bins {
			put(n)
		}
		for _, n := range e.Distinct.Small {
			put(n)
		}
		_, _ = to.Write(e.Distinct.Registers)
	}
}

func TestWindowsAddUp(t *testing.T) {
	for _, w := range Worlds() {
		m := mustModel(t, w.Name, sliced, 5)
		for at := 0; at < allWindows; at += 97 {
			win := m.Window(at, nil)
			sums := map[string]uint64{}
			for i, e := range win.Entries {
				if i > 0 {
					o := win.Entries[i-1]
					if e.Role < o.Role || e.Role == o.Role && (e.Feature < o.Feature || e.Feature == o.Feature && e.Slice <= o.Slice) {
						t.Fatalf("%s: %s %q stands after %s %q", w.Name, e.Feature, e.Slice, o.Feature, o.Slice)
					}
				}
				if e.Role == schemas.RoleRows {
					continue
				}
				var n uint64
				for _, k := range e.Bins {
					n += k
				}
				if n != e.Present || e.Present+e.Null != e.Rows || !slices.IsSorted(e.Distinct.Small) {
					t.Fatalf("%s window %d %s %q: %d values in the bins, %d present, %d null of %d rows", w.Name, at, e.Feature, e.Slice, n, e.Present, e.Null, e.Rows)
				}
				if e.Feature == sliceName {
					continue
				}
				if e.Slice == "" {
					sums[e.Feature] = e.Rows
				} else {
					sums[e.Feature] -= e.Rows
				}
			}
			for f, n := range sums {
				if n != 0 {
					t.Fatalf("%s window %d: the slices of %s lack %d rows", w.Name, at, f, n)
				}
			}
		}
	}
}

// A fault changes its own column and nothing else, and nothing before its onset.
func TestFaultChangesOnlyItsColumn(t *testing.T) {
	m := mustModel(t, "standard", sliced, 9)
	f := &Fault{Kind: Step, Size: 1, Columns: []int{2}, Slice: 3, Onset: 800}
	same := func(a, b *detectors.Window, touched bool) {
		t.Helper()
		if len(a.Entries) != len(b.Entries) {
			t.Fatalf("%d and %d entries", len(a.Entries), len(b.Entries))
		}
		changed := 0
		for i := range a.Entries {
			if !slices.Equal(a.Entries[i].Bins, b.Entries[i].Bins) {
				changed++
				if e := a.Entries[i]; !touched || e.Feature != "f0002" || e.Slice != "" && e.Slice != m.slices[3].name {
					t.Fatalf("%s %q changed", e.Feature, e.Slice)
				}
			}
		}
		if touched && changed != 2 {
			t.Fatalf("%d entries changed, the whole and its slice should", changed)
		}
	}
	for _, at := range []int{799, 800, 900} {
		clean := m.Window(at, nil)
		same(clean, m.Window(at, f), at >= 800)
		same(clean, m.With(at, clean, f), at >= 800)
	}
	half := m.With(900, m.Window(900, nil), &Fault{Kind: Volume, Size: -.5, Onset: 900, Slice: -1})
	if got, was := half.Entries[0].Rows, m.Window(900, nil).Entries[0].Rows; got != was/2 {
		t.Errorf("%d rows of %d", got, was)
	}
}

// Sizes mean what they say: a step of 1 moves the mean of the values by one sd
// of the reference, a scale of .5 widens them by half.
func TestFaultsHaveTheirSize(t *testing.T) {
	m := mustModel(t, "iid", Shape{Features: 1}, 3)
	c := &m.columns[0]
	score := func(o []uint64) (mean, sd float64) {
		var n, sum, square float64
		for b, k := range o {
			x := (float64(b) + .5) / numberBins
			z := math.Sqrt2 * math.Erfinv(2*x-1)
			n += float64(k)
			sum += float64(k) * z
			square += float64(k) * z * z
		}
		return sum / n, math.Sqrt(square/n - sum*sum/n/n)
	}
	clean := m.Expected(700, 0, nil)
	if mean, sd := score(clean.Bins); math.Abs(mean) > .01 || math.Abs(sd-1) > .02 || c.unit > 1.01 {
		t.Fatalf("clean: mean %v sd %v", mean, sd)
	}
	if mean, _ := score(m.Expected(700, 0, &Fault{Kind: Step, Size: .5, Columns: []int{0}, Slice: -1}).Bins); math.Abs(mean-.5) > .02 {
		t.Errorf("a step of .5 has mean %v", mean)
	}
	if _, sd := score(m.Expected(700, 0, &Fault{Kind: Scale, Size: .5, Columns: []int{0}, Slice: -1}).Bins); sd < 1.3 || sd > 1.5 { // the outermost bins hold it back
		t.Errorf("a scale of .5 has sd %v", sd)
	}
	if o := m.Expected(700, 0, &Fault{Kind: Nulls, Size: .2, Columns: []int{0}, Slice: -1}); math.Abs(float64(o.Null)/float64(o.Rows)-.2) > .001 {
		t.Errorf("%d nulls of %d", o.Null, o.Rows)
	}
	ramp := &Fault{Kind: Ramp, Size: 1, Columns: []int{0}, Slice: -1, Onset: 600, Length: 100}
	if a, b := ramp.change(649, 0, -1).shift, ramp.change(900, 0, -1).shift; a != .5 || b != 1 {
		t.Errorf("the ramp is at %v and %v", a, b)
	}
}

func TestReferenceIsABaseline(t *testing.T) {
	for _, w := range Worlds() {
		m := mustModel(t, w.Name, sliced, 11)
		windows, err := m.Reference()
		if err != nil {
			t.Fatal(w.Name, err)
		}
		if len(windows) != ReferenceWindows || windows[3].Baseline != m.Baseline || len(m.Baseline.Columns) != 7 {
			t.Errorf("%s: %d windows, %d columns", w.Name, len(windows), len(m.Baseline.Columns))
		}
		if w.Rounded {
			continue
		}
		whole := m.Baseline.Columns[0].Stream("")
		for b, n := range whole.Bins {
			if share := float64(n) / float64(whole.Present) * numberBins; share < .5 || share > 2 {
				t.Errorf("%s: bin %d has %.2f of its share", w.Name, b, share)
			}
		}
	}
}

func BenchmarkWindowOf1000(b *testing.B) {
	m := mustModel(b, "standard", Shape{Features: 1000}, 1)
	t := 0
	for b.Loop() {
		m.Window(t%allWindows, nil)
		t++
	}
}
