package store

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/modelwatch/modelwatch/internal/summary"
)

// FuzzStoredSummary reads the columns of a summary as a database that somebody
// else writes to may hold them: of any length and content.
func FuzzStoredSummary(f *testing.F) {
	small := binary.LittleEndian.AppendUint64(nil, 7)
	f.Add(small, small, []byte(nil), byte(0), "")
	f.Add(bytes.Repeat(small, 40), bytes.Repeat([]byte{1, 2, 3, 4, 5, 6, 7, 8}, 65), bytes.Repeat([]byte{3}, 1<<summary.Precision), byte(0), "")
	f.Add(small, small, bytes.Repeat([]byte{255}, 3000), byte(1), "city=ulm")
	f.Add([]byte{1}, []byte{2, 3}, []byte{60}, byte(1), "")
	f.Fuzz(func(t *testing.T, bins, small, registers []byte, full byte, slice string) {
		read := func() *summary.Summary {
			r := &summaryRow{bins: bins, small: small, registers: registers, full: full}
			return r.summary(slice)
		}
		s, other := read(), summary.New(3)
		other.Merge(read())
		s.Merge(other)
		if len(s.Bins) > len(bins)/8+3 || len(s.Distinct.Registers) > 1<<summary.Precision || len(s.Distinct.Small) > summary.SmallDistinct {
			t.Fatalf("it has grown: %d bins, %d registers, %d hashes", len(s.Bins), len(s.Distinct.Registers), len(s.Distinct.Small))
		}
		if n, ok := s.Distinct.Estimate(); ok && n > 1<<62 {
			t.Fatalf("%d distinct values", n)
		}
	})
}
