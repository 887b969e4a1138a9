package ingest

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// Source gives the records of the partition, in order.
type Source interface {
	Fetch(ctx context.Context) (*consumers.Fetched, error)
	SeekTo(offset int64, epoch int32)
}

// Store keeps rows and remembers progress.
type Store interface {
	// Write stores the rows, then their progress; it returns when both are durable.
	Write(ctx context.Context, partials []summary.Partial, rows schemas.Rows) error
	// Resume tells what is known of a partition.
	Resume(ctx context.Context, topic string, topicID [16]byte, partition int32) (schemas.Resume, error)
	// ChunkForSpecs returns the earliest chunk of the epoch whose rows were
	// counted without specs after which a record of r took effect, among those
	// that start at from or later; ok is false where there is none.
	ChunkForSpecs(ctx context.Context, last schemas.Progress, records []schemas.SpecRecord, from int64) (p schemas.Progress, ok bool, err error)
}

// Rewinds tells what operators want to be read again of a partition.
type Rewinds interface {
	// Seq is the number of the last rewind of the partition that is known, 0 for none.
	Seq() uint64
	// Chunk returns the first chunk of the epoch of c that a rewind wants read
	// again and that has not been, among those that start at from or later; nil
	// where there is none.
	Chunk(ctx context.Context, c schemas.Chunk, from int64) (*schemas.Progress, error)
	// Next returns where the first stored chunk behind c starts, NoOffset where
	// there is none.
	Next(ctx context.Context, c schemas.Chunk) (int64, error)
}

// NoOffset stands for an offset that no log reaches.
const NoOffset = math.MaxInt64

// DeadLetters keeps what could not be used.
type DeadLetters interface {
	Put(ctx context.Context, l consumers.DeadLetter) error
	Flush(ctx context.Context) error
}

// Bounds are the first offset of a partition's log and the one after the last.
type Bounds struct{ Start, End int64 }

// Deps is what a partition's loop works with.
type Deps struct {
	Source      Source
	Store       Store
	Decoder     decode.Decoder
	DeadLetters DeadLetters
	Specs       func() *Specs                                 // the present set; another pointer when it has changed
	Privacy     func() *schemas.Privacy                       // what may not be kept as it is; nil for nothing
	Bounds      func(context.Context) (Bounds, error)         // of the log now
	EpochEnd    func(context.Context, int32) (int64, error)   // offset at which the records of a leader epoch end; negative where nobody knows
	First       func(context.Context, Bounds) (int64, error)  // where to begin a topic never read before
	Committed   int64                                         // offset that the group has committed, -1 for none; a hint that decides nothing
	OnlyModel   func() string                                 // of the topic, whose fault an event is that names none; "" where there are several
	Commit      func(ctx context.Context, offset int64) error // tells the group; nil for none
	Wrote       func()                                        // something was stored; nil for nobody cares
	Rewinds     Rewinds                                       // nil for none
	Until       int64                                         // offset at which the reading ends; 0 for a reading that goes on
	Now         func() time.Time
	Stats       *Stats
	Log         zerolog.Logger
}

// Specs is a set of specs with what was compiled from it.
type Specs struct {
	Records []schemas.SpecRecord
	Models  *window.Models
}

// Config says how often things happen.
type Config struct {
	Tick      time.Duration // small flushes
	Fresh     time.Duration // flushes of all summaries
	IdleAfter time.Duration // at the end of the log for so long: idle
	Heartbeat time.Duration // progress of an idle partition
	Retries   int           // of a batch that cannot be read, before it is left out as a gap
}

// DefaultConfig returns the settings of the service.
func DefaultConfig() Config {
	return Config{Tick: 250 * time.Millisecond, Fresh: 15 * time.Second, IdleAfter: 2 * time.Second, Heartbeat: time.Second, Retries: 5}
}

// Stats counts what the loops of a process did. All fields only grow.
type Stats struct {
	Records, Rows, Late, Rejected, UnknownModel atomic.Int64
	Gaps, GapOffsets, Chunks, Flushes           atomic.Int64
	Partials, Trips, FlushNanos                 atomic.Int64
	Reasons                                     Counts
}

// Partition is one partition of the group's assignment.
type Partition struct {
	Topic     string
	TopicID   [16]byte
	Partition int32
}
