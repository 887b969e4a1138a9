package consumers

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkDecompress undoes the compression of batches of event-like text,
// without the walk over their records.
func BenchmarkDecompress(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	values := make([]string, 500)
	size := 0
	for i := range values {
		values[i] = fmt.Sprintf(`{"id":"%016x","model":"m","features":{"distance":%d,"fare":%.2f,"origin":"O%02d","score":%.16f}}`,
			r.Uint64(), r.IntN(5000), 1000*r.Float64(), r.IntN(40), r.Float64())
		size += len(values[i])
	}
	for codec, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		if codec == codecNone {
			continue
		}
		body := simple(0, int16(codec), values...).encode()[batchHeader:]
		b.Run(name, func(b *testing.B) {
			var c codecs
			var out []byte
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if out, err = c.decode(codec, out, body, 1<<24); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
