package native_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/consumers/decode/native"
	"github.com/modelwatch/modelwatch/schemas"
)

// traffic returns events of n features, four of five of them numbers, the rest
// categories; sep stands between tokens (Python writes a space there).
func traffic(n int, sep string, number func(*rand.Rand) string) (events [][]byte, l *schemas.Layout) {
	r := rand.New(rand.NewPCG(1, 2))
	names := make([]string, n)
	textual := map[string]bool{}
	for i := range names {
		names[i] = fmt.Sprintf("feature_%03d", i*7%n) // not in the layout's order
		textual[names[i]] = i%5 == 4
	}
	for e := range 256 {
		var s strings.Builder
		fmt.Fprintf(&s, `{"id":%[1]s"%016[2]x",%[1]s"model":%[1]s"flights",%[1]s"version":%[1]s"3",%[1]s"ts":%[1]s"2026-11-20T12:00:00.%03[3]dZ",%[1]s"features":%[1]s{`, sep, r.Uint64(), e)
		for i, name := range names {
			if i > 0 {
				s.WriteString("," + sep)
			}
			v := number(r)
			if textual[name] {
				v = fmt.Sprintf(`"C%02d"`, r.IntN(40))
			}
			fmt.Fprintf(&s, `"%s":%s%s`, name, sep, v)
		}
		s.WriteString("}}")
		events = append(events, []byte(s.String()))
	}
	return events, schemas.NewLayout("flights", "", names, textual)
}

func decimals(r *rand.Rand) string { return strconv.FormatFloat(r.NormFloat64()*1000, 'f', 3, 64) }
func full(r *rand.Rand) string     { return strconv.FormatFloat(r.NormFloat64()*1000, 'g', -1, 64) }

// BenchmarkDecode reads events of 20 and 100 features, beside encoding/json
// into a map in the same run. Numbers have three decimals, or all 17 digits.
func BenchmarkDecode(b *testing.B) {
	for _, n := range []int{20, 100} {
		for _, c := range []struct {
			name, sep string
			number    func(*rand.Rand) string
		}{{"compact", "", decimals}, {"spaced", " ", decimals}, {"17digits", "", full}} {
			events, l := traffic(n, c.sep, c.number)
			size := 0
			for _, e := range events {
				size += len(e)
			}
			size /= len(events)
			name := fmt.Sprintf("%d/%s", n, c.name)
			b.Run(name+"/native", func(b *testing.B) {
				d, target := native.New(decode.DefaultConfig()), blocks{"flights": schemas.NewBlock(l)}
				r := &decode.Record{}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					r.Value = events[i%len(events)]
					if got := d.Decode(r, target); !got.OK() {
						b.Fatal(got)
					}
				}
			})
			if c.name != "compact" {
				continue
			}
			b.Run(name+"/encoding-json-map", func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					var m map[string]any
					if err := json.Unmarshal(events[i%len(events)], &m); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
