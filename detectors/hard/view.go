package hard

import (
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// View is a stretch of usable events of one model in one partition under one
// spec, in the order of the log. All row arrays have Rows entries. A stretch
// may be any length: how a log is cut into views changes nothing.
type View struct {
	Rows      int
	Offset    []int64 // of the record
	Time      []int64 // of the event, Unix milliseconds
	Start     []int64 // of the event's window, Unix milliseconds
	Parts     []schemas.Part
	Version   []uint16 // index into Versions
	Versions  []string
	Duplicate []schemas.Part // the parts whose id was there before; nil when no row of the stretch has one
	Extra     []Extra        // features that the spec does not know, by ascending row

	// Columns are the columns of the spec, in its order. Rows that do not
	// carry the column's part are not looked at.
	Columns []summary.Classified

	// Value gives the value of a column in a row as text, for people. It is
	// asked for bad rows only.
	Value func(column int, row int32) string
}

// Extra is a feature of one row that the spec does not know.
type Extra struct {
	Row  int32
	Name string
}
