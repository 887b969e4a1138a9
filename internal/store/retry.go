package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// ErrClosed is returned for a write that Close has cut off.
var ErrClosed = errors.New("the store is closed")

const (
	firstPause = 25 * time.Millisecond
	lastPause  = 5 * time.Second
	// readAttempts bounds the attempts of a read: its caller asks again anyway.
	readAttempts = 4
)

// transientCodes are the server's errors that pass by themselves.
var transientCodes = map[int32]string{
	3:    "UNEXPECTED_END_OF_FILE",
	23:   "CANNOT_READ_FROM_SOCKET",
	24:   "CANNOT_WRITE_TO_SOCKET",
	101:  "UNEXPECTED_PACKET_FROM_CLIENT",
	159:  "TIMEOUT_EXCEEDED",
	160:  "TOO_SLOW",
	164:  "READONLY",
	202:  "TOO_MANY_SIMULTANEOUS_QUERIES",
	203:  "NO_FREE_CONNECTION",
	209:  "SOCKET_TIMEOUT",
	210:  "NETWORK_ERROR",
	225:  "NO_ZOOKEEPER",
	236:  "ABORTED",
	241:  "MEMORY_LIMIT_EXCEEDED",
	242:  "TABLE_IS_READ_ONLY",
	243:  "NOT_ENOUGH_SPACE",
	252:  "TOO_MANY_PARTS",
	254:  "NO_ACTIVE_REPLICAS",
	279:  "ALL_CONNECTION_TRIES_FAILED",
	285:  "TOO_FEW_LIVE_REPLICAS",
	286:  "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE",
	319:  "UNKNOWN_STATUS_OF_INSERT",
	394:  "QUERY_WAS_CANCELLED",
	425:  "SYSTEM_ERROR",
	439:  "CANNOT_SCHEDULE_TASK",
	473:  "DEADLOCK_AVOIDED",
	999:  "KEEPER_EXCEPTION",
	1000: "POCO_EXCEPTION",
	1001: "STD_EXCEPTION",
	1002: "UNKNOWN_EXCEPTION",
}

// Retryable says whether the same request may succeed later. What the server
// itself refuses does not, apart from transientCodes; what never reached it,
// or whose answer was lost, does.
func Retryable(err error) bool {
	// A dial that timed out is a DeadlineExceeded too; the caller's own context is asked elsewhere.
	for _, never := range []error{nil, errUsage, ErrNewer, ErrChanged, clickhouse.ErrBatchInvalid} {
		if errors.Is(err, never) {
			return false
		}
	}
	var exception *clickhouse.Exception
	if errors.As(err, &exception) {
		_, ok := transientCodes[exception.Code]
		return ok
	}
	return true
}

// errUsage marks errors made on this side of the connection.
var errUsage = errors.New("not a request the store can make")

// forever repeats op while its error is transient, with growing pauses, until
// the context ends. What is the subject of the log lines.
func (s *Store) forever(ctx context.Context, what string, op func(context.Context) error) error {
	return s.repeat(ctx, what, 0, op)
}

// briefly repeats op a few times.
func (s *Store) briefly(ctx context.Context, what string, op func(context.Context) error) error {
	return s.repeat(ctx, what, readAttempts, op)
}

func (s *Store) repeat(ctx context.Context, what string, attempts int, op func(context.Context) error) error {
	pause := firstPause
	for n := 1; ; n++ {
		err := op(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		case !Retryable(err) || n == attempts:
			return fmt.Errorf("%s: %w", what, err)
		}
		if n == 1 || n%16 == 0 {
			s.log.Warn().Err(err).Str("doing", what).Int("attempt", n).Dur("pause", pause).Msg("ClickHouse did not take a request; trying again")
		}
		timer := time.NewTimer(pause + rand.N(pause/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		case <-timer.C:
		}
		pause = min(2*pause, lastPause)
	}
}
