package summary_test

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/internal/summary"
)

const bins = 5

// scale of the generated columns.
const anchor = 10.0

var unit = summary.UnitFor(1000)

func genNumbers(t *rapid.T, label string) *summary.Classified {
	n := rapid.IntRange(0, 200).Draw(t, label)
	c := &summary.Classified{}
	c.Grow(n, summary.Numbers)
	few := rapid.Bool().Draw(t, "few values")
	for i := range n {
		c.Class[i] = summary.Class(rapid.SampledFrom([]int{6, 6, 6, 6, 0, 1, 2, 3, 4, 5}).Draw(t, "class"))
		c.Flags[i] = summary.Flag(rapid.IntRange(0, 3).Draw(t, "flags"))
		c.Code[i] = uint16(rapid.IntRange(0, bins-1).Draw(t, "code"))
		switch {
		case few:
			c.Num[i] = rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1, -3.5}).Draw(t, "x")
		default:
			c.Num[i] = rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64).Draw(t, "x")
		}
	}
	return c
}

func rowsOf(c *summary.Classified) []int32 {
	rows := make([]int32, len(c.Class))
	for i := range rows {
		rows[i] = int32(i)
	}
	return rows
}

func text(s *summary.Summary) string { return fmt.Sprintf("%+v", *s) }

func TestNumbersAreCountedAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genNumbers(t, "n")
		rows := rowsOf(c)
		// Half of the rows belong to somebody else.
		rows = slices.DeleteFunc(rows, func(int32) bool { return rapid.IntRange(0, 3).Draw(t, "leave") == 0 })
		a := summary.NewAccumulator(bins, false)
		for left := rows; len(left) > 0; {
			n := rapid.IntRange(1, len(left)).Draw(t, "cut")
			a.AddNumbers(c, left[:n], 0, anchor, unit)
			left = left[n:]
		}

		var want summary.Summary
		want.Bins = make([]uint64, bins)
		want.Min, want.Max = math.Inf(1), math.Inf(-1)
		square, distinct := new(big.Int), map[float64]bool{}
		var values []float64
		for _, r := range rows {
			want.Rows++
			switch c.Class[r] {
			case summary.Absent:
				want.Absent++
			case summary.Null:
				want.Null++
			case summary.NaN:
				want.NaN++
			case summary.PosInf:
				want.PosInf++
			case summary.NegInf:
				want.NegInf++
			case summary.Bad:
				want.Bad++
			case summary.Value:
				want.Present++
				want.Bins[c.Code[r]]++
				if c.Flags[r]&summary.Outside != 0 {
					want.Outside++
				}
				if c.Flags[r]&summary.Unexpected != 0 {
					want.Unexpected++
				}
				q, clipped := summary.Quantise(c.Num[r], anchor, unit)
				if clipped {
					want.Clipped++
				}
				want.Sum += q
				square.Add(square, new(big.Int).Mul(big.NewInt(q), big.NewInt(q)))
				want.Min, want.Max = min(want.Min, c.Num[r]), max(want.Max, c.Num[r])
				distinct[c.Num[r]] = true
				values = append(values, c.Num[r])
			}
		}
		for i := range values {
			j := i
			for j < len(values) && values[j] == values[i] {
				j++
			}
			want.Run = max(want.Run, uint64(j-i))
		}
		got := a.Summary
		sq := new(big.Int).SetUint64(got.SquareHigh)
		sq.Lsh(sq, 32).Add(sq, new(big.Int).SetUint64(got.SquareLow))
		if sq.Cmp(square) != 0 {
			t.Fatalf("sum of squares %v, want %v", sq, square)
		}
		if n, ok := got.Distinct.Estimate(); ok && n != uint64(len(distinct)) || ok != (len(distinct) <= summary.SmallDistinct) {
			t.Fatalf("distinct %d %v, want %d", n, ok, len(distinct))
		}
		if math.Signbit(got.Min) && got.Min == 0 || math.Signbit(got.Max) && got.Max == 0 {
			t.Fatal("-0 came through as an extreme")
		}
		want.Min, want.Max = want.Min+0, want.Max+0
		want.SquareHigh, want.SquareLow, want.Distinct = got.SquareHigh, got.SquareLow, got.Distinct
		if text(&got) != text(&want) {
			t.Fatalf("got  %s\nwant %s", text(&got), text(&want))
		}
	})
}

func TestCategoriesAreCountedAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genNumbers(t, "n")
		c.Hash = make([]uint64, len(c.Num))
		for i, x := range c.Num {
			c.Hash[i] = summary.HashNumber(x)
		}
		byNumber, byHash := summary.NewAccumulator(bins, true), summary.NewAccumulator(bins, true)
		byNumber.AddNumbers(c, rowsOf(c), 3, anchor, unit)
		for left := rowsOf(c); len(left) > 0; {
			n := rapid.IntRange(1, len(left)).Draw(t, "cut")
			byHash.AddCategories(c, left[:n], 0)
			left = left[n:]
		}
		byHash.AddRows(0, 3)
		want := byNumber.Summary
		want.Sum, want.SquareHigh, want.SquareLow, want.Clipped = 0, 0, 0, 0
		want.Min, want.Max = math.Inf(1), math.Inf(-1)
		if text(&byHash.Summary) != text(&want) {
			t.Fatalf("got  %s\nwant %s", text(&byHash.Summary), text(&want))
		}
	})
}

// Any order and grouping of merges gives the bits of one pass, but for the
// longest run, which can only be shorter.
func TestMergeInAnyOrderIsOnePass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genNumbers(t, "n")
		registers := rapid.Bool().Draw(t, "registers")
		rows := rowsOf(c)
		whole := summary.NewAccumulator(bins, registers)
		whole.AddNumbers(c, rows, 0, anchor, unit)

		var parts []*summary.Summary
		for left := rows; len(left) > 0; {
			n := rapid.IntRange(1, len(left)).Draw(t, "cut")
			a := summary.NewAccumulator(bins, registers)
			a.AddNumbers(c, left[:n], 0, anchor, unit)
			parts = append(parts, &a.Summary)
			left = left[n:]
		}
		empty := summary.New(bins)
		parts = append(parts, empty)
		for len(parts) > 1 {
			i := rapid.IntRange(0, len(parts)-1).Draw(t, "into")
			j := rapid.IntRange(0, len(parts)-2).Draw(t, "from")
			if j >= i {
				j++
			}
			parts[i].Merge(parts[j])
			parts = slices.Delete(parts, j, j+1)
		}
		got := parts[0]
		if got.Run > whole.Run {
			t.Fatalf("merged run %d is longer than the true %d", got.Run, whole.Run)
		}
		got.Run = whole.Run
		if registers {
			got.Distinct.KeepRegisters()
		}
		if text(got) != text(&whole.Summary) {
			t.Fatalf("merged %s\nwhole  %s", text(got), text(&whole.Summary))
		}
	})
}

func TestMeanIsExactOnTheLattice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "n")
		c := &summary.Classified{}
		c.Grow(n, summary.Numbers)
		sum := int64(0)
		for i := range n {
			k := rapid.Int64Range(-1<<28, 1<<28).Draw(t, "k")
			sum += k
			c.Class[i], c.Flags[i], c.Code[i], c.Num[i] = summary.Value, 0, 0, float64(k)
		}
		a := summary.NewAccumulator(1, false)
		a.AddNumbers(c, rowsOf(c), 0, 7, summary.UnitFor(1<<29))
		want, _ := new(big.Rat).SetFrac64(sum, int64(n)).Float64()
		if got := a.Mean(7, summary.UnitFor(1<<29)); math.Abs(got-want) > math.Abs(want)*1e-14+1e-7 {
			t.Fatalf("mean %v, want %v", got, want)
		}
	})
}

func TestSDIsThatOfTheValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 300).Draw(t, "n")
		far := rapid.SampledFrom([]float64{0, 1e3, 1e6}).Draw(t, "far")
		c := &summary.Classified{}
		c.Grow(n, summary.Numbers)
		var m, m2 float64 // Welford
		for i := range n {
			x := far + rapid.Float64Range(-1, 1).Draw(t, "x")
			c.Class[i], c.Flags[i], c.Code[i], c.Num[i] = summary.Value, 0, 0, x
			d := x - m
			m += d / float64(i+1)
			m2 += d * (x - m)
		}
		u := summary.UnitFor(2)
		a := summary.NewAccumulator(1, false)
		a.AddNumbers(c, rowsOf(c), 0, far, u)
		want := math.Sqrt(m2 / float64(n-1))
		if got := a.SD(u); math.Abs(got-want) > 1e-6*want+2*u {
			t.Fatalf("sd %v, want %v", got, want)
		}
	})
}

func TestEmptyAndSingle(t *testing.T) {
	s := summary.New(2)
	if !math.IsNaN(s.Mean(0, 1)) || !math.IsNaN(s.SD(1)) {
		t.Error("an empty summary has a mean or a deviation")
	}
	c := &summary.Classified{Class: []summary.Class{summary.Value}, Flags: make([]summary.Flag, 1), Code: []uint16{1}, Num: []float64{4}}
	a := summary.NewAccumulator(2, false)
	a.AddNumbers(c, []int32{0}, 0, 4, 1)
	if a.Mean(4, 1) != 4 || !math.IsNaN(a.SD(1)) {
		t.Errorf("one value has mean %v and deviation %v", a.Mean(4, 1), a.SD(1))
	}
}

func TestQuantise(t *testing.T) {
	f := func(x, anchor, unit float64, want int64, clipped bool) {
		t.Helper()
		if q, c := summary.Quantise(x, anchor, unit); q != want || c != clipped {
			t.Errorf("%v about %v in %v: got %d %v, want %d %v", x, anchor, unit, q, c, want, clipped)
		}
	}
	f(2.5, 0, 1, 2, false) // ties to even
	f(3.5, 0, 1, 4, false)
	f(-2.5, 0, 1, -2, false)
	f(10, 4, .5, 12, false)
	f(math.MaxFloat64, 0, 1, summary.Limit, true)
	f(-math.MaxFloat64, math.MaxFloat64, 1, -summary.Limit, true) // the difference overflows
	f(summary.Limit, 0, 1, summary.Limit, false)
	f(-summary.Limit, 0, 1, -summary.Limit, false)
}

func TestUnitReachesFarEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reach := math.Ldexp(rapid.Float64Range(.5, 1).Draw(t, "f"), rapid.IntRange(-900, 900).Draw(t, "e"))
		u := summary.UnitFor(reach)
		if f, _ := math.Frexp(u); f != .5 || reach/u > 1<<30 || reach/(u/2) < 1<<30 {
			t.Fatalf("unit of %v is %v", reach, u)
		}
	})
	for _, reach := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		if summary.UnitFor(reach) != 1.0/1024 {
			t.Errorf("unit of %v is %v", reach, summary.UnitFor(reach))
		}
	}
}

func TestDistinctIsWithinItsError(t *testing.T) {
	for _, n := range []int{1, 64, 65, 500, 3000, 30_000, 1_000_000} {
		var d summary.Distinct
		d.KeepRegisters()
		for i := range n {
			d.Add(summary.HashNumber(float64(i)))
		}
		got, ok := d.Estimate()
		if e := math.Abs(float64(got)/float64(n) - 1); !ok || e > 4*.0325 || n <= 64 && e != 0 {
			t.Errorf("%d distinct values are estimated as %d", n, got)
		}
	}
}

func TestHasNeverDenies(t *testing.T) {
	c := summary.Classified{}
	if !c.Has(summary.Bad) || !c.HasFlag(summary.Outside) {
		t.Error("what is not known is denied")
	}
	c.Classes, c.AnyFlags = 1<<summary.Value|1<<summary.Null, summary.Outside
	if c.Has(summary.Bad, summary.Absent) || !c.Has(summary.Bad, summary.Null) || c.HasFlag(summary.Unexpected) || !c.HasFlag(summary.Outside) {
		t.Error("what is known is told wrongly")
	}
}

func benchmark(b *testing.B, distinct int, add func(a *summary.Accumulator, c *summary.Classified, rows []int32)) {
	const n = 512
	c := &summary.Classified{Hash: make([]uint64, n)}
	c.Grow(n, summary.Numbers)
	for i := range n {
		x := i * 7919 % distinct
		c.Class[i], c.Flags[i], c.Code[i], c.Num[i] = summary.Value, 0, uint16(x%40), float64(x)
		c.Hash[i] = summary.HashNumber(float64(x))
	}
	rows := rowsOf(c)
	a := summary.NewAccumulator(40, true)
	for b.Loop() {
		add(a, c, rows)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/value")
}

func BenchmarkAddNumbers(b *testing.B) {
	for _, distinct := range []int{20, 64, 400} {
		b.Run(fmt.Sprint(distinct), func(b *testing.B) {
			benchmark(b, distinct, func(a *summary.Accumulator, c *summary.Classified, rows []int32) {
				a.AddNumbers(c, rows, 0, 100, 1.0/1024)
			})
		})
	}
}

func BenchmarkAddCategories(b *testing.B) {
	for _, distinct := range []int{20, 64, 400} {
		b.Run(fmt.Sprint(distinct), func(b *testing.B) {
			benchmark(b, distinct, func(a *summary.Accumulator, c *summary.Classified, rows []int32) {
				a.AddCategories(c, rows, 0)
			})
		})
	}
}
