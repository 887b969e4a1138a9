package stat

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// minExpected is the expected count below which a cell is pooled.
const minExpected = 5

// ChiSquare returns Pearson's statistic of the 2×k table of two samples'
// counts, its degrees of freedom and the p-value,
//
//	Σ (O-E)²/E over both rows, df = k-1,  p = P(χ²_df >= statistic)
//
// without continuity correction, after pooling (see Pool). The longer row
// counts as if the shorter one had zeros. With fewer than two columns left,
// or no count in one row, there is nothing to compare: 0, 0 and p = 1.
//
// Source: Pearson 1900; as scipy.stats.chi2_contingency(correction=False).
func ChiSquare(a, b []uint64) (statistic float64, df int, p float64) {
	return contingency(a, b, func(o, e float64) float64 { return (o - e) * (o - e) / e })
}

// GTest returns the log-likelihood ratio statistic of the 2×k table, its
// degrees of freedom and the p-value,
//
//	2·Σ O·ln(O/E) over both rows, df = k-1,  p = P(χ²_df >= statistic)
//
// a cell of count 0 adds 0. Pooling and empty tables are as in ChiSquare.
//
// Source: Wilks 1938; as scipy.stats.chi2_contingency(lambda_="log-likelihood").
func GTest(a, b []uint64) (statistic float64, df int, p float64) {
	return contingency(a, b, func(o, e float64) float64 {
		if o == 0 {
			return 0
		}
		return 2 * o * math.Log(o/e)
	})
}

func contingency(a, b []uint64, cell func(o, e float64) float64) (statistic float64, df int, p float64) {
	a, b = Pool(a, b)
	if len(a) < 2 {
		return 0, 0, 1
	}
	n, m := total(a), total(b)
	for i := range a {
		c := (float64(a[i]) + float64(b[i])) / (n + m)
		statistic += cell(float64(a[i]), c*n) + cell(float64(b[i]), c*m)
	}
	statistic = max(0, statistic) // rounding of equal shares
	df = len(a) - 1
	return statistic, df, distuv.ChiSquared{K: float64(df)}.Survival(statistic)
}

// Pool returns both rows with their sparse columns put together: a column is
// sparse when its expected count is below 5 in either row. What is put
// together stands last; if it is still sparse, it is joined with the column
// of the smallest total. Columns without any count vanish. When one row has
// no count, both results are empty. Which columns are pooled depends on
// totals over both rows only, so the test stays valid.
//
// Source: Cochran 1954.
func Pool(a, b []uint64) (pa, pb []uint64) {
	n, m := total(a), total(b)
	if n == 0 || m == 0 {
		return nil, nil
	}
	share := min(n, m) / (n + m)
	var ra, rb uint64
	for i := range max(len(a), len(b)) {
		x, y := at(a, i), at(b, i)
		if float64(x+y)*share < minExpected {
			ra, rb = ra+x, rb+y
			continue
		}
		pa, pb = append(pa, x), append(pb, y)
	}
	if ra+rb == 0 {
		return pa, pb
	}
	if float64(ra+rb)*share < minExpected && len(pa) > 0 {
		small := 0
		for i := range pa {
			if pa[i]+pb[i] < pa[small]+pb[small] {
				small = i
			}
		}
		pa[small], pb[small] = pa[small]+ra, pb[small]+rb
		return pa, pb
	}
	return append(pa, ra), append(pb, rb)
}

func at(s []uint64, i int) uint64 {
	if i < len(s) {
		return s[i]
	}
	return 0
}

func total(s []uint64) float64 {
	var n uint64
	for _, k := range s {
		n += k
	}
	return float64(n)
}
