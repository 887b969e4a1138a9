package main

import (
	"fmt"
	"os/exec"
	"testing"
)

// rows lets the program make rows of a workload.
func rows(tb testing.TB, features, n int) [][]byte {
	tb.Helper()
	cmd := exec.Command("go", "run", "./cmd/modelwatch", "bench", "rows", "--features", fmt.Sprint(features), "--rows", fmt.Sprint(n))
	cmd.Dir = "../../.."
	text, err := cmd.Output()
	if err != nil {
		tb.Fatalf("making rows: %v", err)
	}
	return split(text)
}

func TestDecodersSeeTheSameValues(t *testing.T) {
	lines := rows(t, 20, 2*blockRows)
	var first Sum
	for _, m := range decoders {
		took, sum, err := measure(m, lines)
		if err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		if took.NotRun != "" {
			continue
		}
		if first.Rows == 0 {
			first = sum
		}
		if sum.Rows != len(lines) || sum.Nulls == 0 || sum.Bytes == 0 || sum.Numbers == 0 {
			t.Errorf("%s saw %+v of %d rows", m.name, sum, len(lines))
		}
		if !sum.same(first) {
			t.Errorf("%s saw %+v, the first %+v", m.name, sum, first)
		}
	}
}

func TestSumsThatDiffer(t *testing.T) {
	a := Sum{Rows: 2, Numbers: 1e6, Nulls: 1, Bytes: 7}
	for _, b := range []Sum{{2, 1e6 + 1, 1, 7}, {1, 1e6, 1, 7}, {2, 1e6, 2, 7}, {2, 1e6, 1, 8}} {
		if a.same(b) {
			t.Errorf("%+v is taken for %+v", b, a)
		}
	}
}

func BenchmarkDecoders(b *testing.B) {
	for _, features := range []int{20, 100} {
		lines := rows(b, features, 20_000/features*10)
		for _, m := range decoders {
			b.Run(fmt.Sprintf("features=%d/%s", features, m.name), func(b *testing.B) {
				c, err := learn(lines[:blockRows])
				if err != nil {
					b.Fatal(err)
				}
				decode, err := m.make(c)
				if err != nil {
					b.Skip(err)
				}
				bytes := 0
				for _, l := range lines {
					bytes += len(l)
				}
				b.ReportAllocs()
				b.SetBytes(int64(bytes / len(lines)))
				i := 0
				before := cpu()
				for b.Loop() {
					if err := decode(lines[i%len(lines)]); err != nil {
						b.Fatal(err)
					}
					c.next()
					i++
				}
				b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(i), "cpu-ns/row")
			})
		}
	}
}
