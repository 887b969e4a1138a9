package testkit

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// ListOffsets asks for offsets until every partition of the topics has an
// answer: a broker that is busy with elections has none for a while. list is
// one of the client's methods that list them.
func ListOffsets(ctx context.Context, list func(context.Context, ...string) (kadm.ListedOffsets, error), topics ...string) (kadm.ListedOffsets, error) {
	for {
		listed, err := list(ctx, topics...)
		if err = errors.Join(err, listed.Error()); err == nil {
			return listed, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(200 * time.Millisecond):
		}
	}
}
