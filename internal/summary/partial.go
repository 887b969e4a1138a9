package summary

import "github.com/modelwatch/modelwatch/schemas"

// Partial is what one chunk of one partition has contributed to one stream
// of one window, up to the end offset it is written with.
type Partial struct {
	Model       string
	SpecSeq     uint64
	WindowStart int64 // Unix milliseconds
	Part        schemas.Part
	schemas.Stream
	*Summary
}
