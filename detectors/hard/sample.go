package hard

import (
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/modelwatch/modelwatch/schemas"
)

// samples is how many bad rows of one rule are kept of a chunk.
const samples = 8

// maxValue is how many bytes of a value are kept.
const maxValue = 256

// sample keeps the bad rows of smallest rank, by ascending rank.
type sample []schemas.Violation

// wants says whether a row of that rank would be kept.
func (s sample) wants(rank uint64) bool {
	return len(s) < samples || rank < s[len(s)-1].Rank
}

// keep takes v in. The same rows in any order leave the same sample.
func (s *sample) keep(v schemas.Violation) {
	i := sort.Search(len(*s), func(i int) bool { return (*s)[i].Rank >= v.Rank })
	if i < len(*s) && (*s)[i].Rank == v.Rank {
		return
	}
	if len(*s) < samples {
		*s = append(*s, schemas.Violation{})
	}
	copy((*s)[i+1:], (*s)[i:])
	(*s)[i] = v
}

// cut copies what is kept of a value.
func cut(v string) string {
	if len(v) > maxValue {
		n := maxValue
		for n > 0 && !utf8.RuneStart(v[n]) {
			n--
		}
		v = v[:n]
	}
	return strings.Clone(v)
}
