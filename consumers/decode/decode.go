package decode

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/modelwatch/modelwatch/schemas"
)

// Limits that hold for every format and are not settings, because other parts
// rely on them.
const (
	// MaxText is the most bytes of an id or a version. A longer one makes the
	// event unusable: cut, two ids could become one and join the wrong rows.
	MaxText = 256
	// MaxDepth is how many levels of objects and lists an event may have; the
	// event itself is the first.
	MaxDepth = 64
	// MinTime and MaxTime bound the time of an event in Unix milliseconds: the
	// years 0000 to 9999, which are all that RFC 3339 can write. So a time in
	// microseconds or nanoseconds is refused rather than put into the far
	// future, and sums of times and durations cannot overflow.
	MinTime = -62167219200000
	MaxTime = 253402300799999
)

// Record is one Kafka record as a decoder sees it. The loop fills one and
// reuses it; a decoder keeps nothing of it after Decode.
type Record struct {
	Offset    int64
	Timestamp int64 // Unix milliseconds
	Key       []byte
	Value     []byte // nil is a tombstone, which is not the same as empty
	// Header returns the value of the last header of that name, nil when there
	// is none. It may be nil itself for formats that read no headers.
	Header func(name string) []byte
}

// Target hands out the blocks that events go to.
type Target interface {
	// Block returns the open block of that model, with room for at least one
	// more row, or nil when no monitor watches the model. A decoder may ask more
	// than once for one record, and for a model whose row it then does not
	// commit. The name is only valid during the call.
	Block(model []byte) *schemas.Block
}

// Decoder turns records into rows. It owns scratch memory and is used by one
// goroutine.
type Decoder interface {
	// Decode commits one row to a block of t and returns the zero Reject, or
	// commits nothing and says why. It allocates nothing for a usable event
	// once its scratch and the block have grown to their size.
	Decode(r *Record, t Target) Reject
	// Repaired returns how many values of committed rows were read although
	// their format forbids how they were written, since the decoder was made.
	Repaired() uint64
}

// Reject says why an event cannot be used. The zero value means it was used.
type Reject struct {
	Reason Reason
	// Model is the model of the event where it could be told, cut to MaxText
	// bytes, else nil. It is valid until the next Decode.
	Model []byte
	// Detail says what was wrong in a few fixed words, for people. It never
	// holds text of the event.
	Detail string
	// At is the byte of the value at which it was noticed.
	At int
}

// OK says that the event was used.
func (r Reject) OK() bool { return r.Reason == OK }

// String returns the reason, what was wrong and where, as dead letters show it.
func (r Reject) String() string {
	if r.Detail == "" {
		return r.Reason.String()
	}
	return fmt.Sprintf("%s: %s at byte %d", r.Reason, r.Detail, r.At)
}

// Config holds the limits of decoders.
type Config struct {
	// MaxBytes is the most bytes of one value; a longer one is too_large.
	MaxBytes int `yaml:"max_event_bytes"`
}

// DefaultConfig returns a limit of 1 MiB, which is also what a Kafka broker
// accepts unless told otherwise.
func DefaultConfig() Config { return Config{MaxBytes: 1 << 20} }

// Validate returns an error when MaxBytes is outside 1 KiB … 4 MiB. The upper
// bound keeps the text of a full block below the 4 GiB that a schemas.Text can
// point at.
func (c Config) Validate() error {
	if c.MaxBytes < 1<<10 || c.MaxBytes > 4<<20 {
		return fmt.Errorf("max_event_bytes: %d is outside 1 KiB … 4 MiB", c.MaxBytes)
	}
	return nil
}

// ErrFormat is the error for a format that the program does not know.
var ErrFormat = errors.New("unknown event format")

// Formats are the decoders a program was built with, by the name that a monitor
// gives as its format.
type Formats map[string]func(Config) Decoder

// New returns a decoder of that format. The error for an unknown name wraps
// ErrFormat and lists the known ones.
func (f Formats) New(name string, c Config) (Decoder, error) {
	if build, ok := f[name]; ok {
		return build(c), nil
	}
	return nil, fmt.Errorf("%w: %q is none of %s", ErrFormat, name, strings.Join(f.Names(), ", "))
}

// Names returns the names of the formats in their order.
func (f Formats) Names() []string {
	names := make([]string, 0, len(f))
	for n := range f {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}
