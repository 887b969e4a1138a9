package consumers

import (
	"errors"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/segmentio/kafka-go"
)

// Stats counts everything that moves through this room since the start of the
// program. All counters only grow. The zero value is ready; one Stats is shared
// by all parts of the room and read by whoever exports metrics.
type Stats struct {
	Fetches      atomic.Int64 // answered fetch requests
	FetchedBytes atomic.Int64 // bytes of record batches read, before decompression
	Batches      atomic.Int64 // batches whose records were opened
	Records      atomic.Int64 // records delivered
	Control      atomic.Int64 // control batches dropped
	Aborted      atomic.Int64 // batches dropped as part of an aborted transaction
	BadBatches   atomic.Int64 // batches refused with a BatchError, each attempt counted
	Oversized    atomic.Int64 // bytes read and thrown away because a batch was over the limit
	OutOfRange   atomic.Int64 // fetches answered with offset out of range
	Truncated    atomic.Int64 // fetches answered with a diverging leader epoch
	Refreshes    atomic.Int64 // metadata requests
	Generations  atomic.Int64 // generations of the group this member took part in
	Rejoins      atomic.Int64 // times this member left and joined because topics or partitions changed
	Commits      atomic.Int64 // offset commits that succeeded
	DeadLetters  atomic.Int64 // dead letters acknowledged by the broker
	LostLetters  atomic.Int64 // dead letters given up: the topic refuses them for good

	mu     sync.Mutex
	errors map[string]int64
}

// failed counts an error under the name Kafka gives it, or under "connection"
// for everything that never reached a broker's answer, so that the number of
// names stays bounded.
func (s *Stats) failed(err error) {
	name := "connection"
	var code kafka.Error
	if errors.As(err, &code) {
		name = code.Title()
		if name == "" {
			name = "unknown"
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.errors == nil {
		s.errors = make(map[string]int64)
	}
	s.errors[name]++
}

// Errors returns how often each error was met and retried, by Kafka's title for
// it; "connection" holds all that is not an answer of a broker.
func (s *Stats) Errors() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.errors)
}
