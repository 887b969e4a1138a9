package schemas

import "time"

// Rewind asks for the chunks of a partition that start in [From, Until) to be
// read again. It is kept by the store, and the reader of the partition sees to
// it once.
type Rewind struct {
	Seq       uint64 // of the request, which may speak of several partitions; from 1
	Topic     string
	Epoch     Epoch
	Partition int32
	From      int64 // start of the first chunk
	Until     int64 // offset up to which the partition was stored when it was asked
	Reason    string
	At        time.Time
}

// RewindState is how far one partition of a rewind is.
type RewindState struct {
	Rewind
	Chunks  uint64 // that it speaks of
	Done    uint64 // that were read again
	Pending int64  // start of the first one that was not, 0 where all were
}
