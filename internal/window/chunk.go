package window

import "math"

// The chunk rule's constants. They are part of schemas.RowFunction: whoever
// changes one raises that.
const (
	chunkGrid    = 1 << 20             // offsets
	chunkLeast   = 4096                // offsets
	chunkBucket  = 5 * 60 * 1000       // milliseconds
	chunkLongest = 24 * 60 * 60 * 1000 // milliseconds
)

// NoTime stands for a time before the first record.
const NoTime = math.MinInt64

// clock follows the running maximum of record timestamps through one chunk.
type clock struct {
	start int64 // offset at which the chunk starts
	first int64 // maximum at the chunk's first record; NoTime before it
	max   int64
}

// border says whether the record (offset, ts) begins a new chunk.
func (c *clock) border(offset, ts int64) bool {
	if offset/chunkGrid != c.start/chunkGrid {
		return true
	}
	if c.first == NoTime {
		return false
	}
	now := max(c.max, ts)
	if now-c.first >= chunkLongest {
		return true
	}
	return offset-c.start >= chunkLeast && floorDiv(now, chunkBucket) != floorDiv(c.first, chunkBucket)
}

// advance takes the record into the chunk.
func (c *clock) advance(ts int64) {
	c.max = max(c.max, ts)
	if c.first == NoTime {
		c.first = c.max
	}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
