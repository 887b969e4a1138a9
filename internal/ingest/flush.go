package ingest

import (
	"context"
	"fmt"
	"time"

	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/schemas"
)

// extent says how much is stored.
type extent int

const (
	small  extent = iota // what is final or awaited: see the package comment
	all                  // all summaries too
	sealed               // and the open panes, because the chunk ends
)

// tick stores what is due.
func (l *Loop) tick(ctx context.Context) error {
	now := l.deps.Now()
	if d := l.due.Sub(now); d > 0 && d <= l.cfg.Tick {
		return nil
	}
	// The loops of all partitions look at the same moments, whole multiples of a
	// tick: what they have to store then shares its inserts, which cost the engine
	// much the same whether they are of one row or of a thousand. A moment further
	// away than a tick is of a clock that was set back since, and stops nothing.
	l.due = now.Add(l.cfg.Tick - time.Duration(now.UnixNano()%int64(l.cfg.Tick)))
	// Idle is what the broker says, and just now: one that does not answer says
	// neither that nothing has come nor that anybody is being heard.
	idle := !l.caughtUp.IsZero() && now.Sub(l.caughtUp) >= l.cfg.IdleAfter && now.Sub(l.answered) <= l.cfg.IdleAfter
	if idle == l.idle && l.asm.End() == l.stored && !l.asm.Dirty() && !l.answered.After(l.lastWrite) {
		return nil
	}
	ext := small
	if moment := l.due.Add(-l.cfg.Tick); moment.Sub(l.lastFresh) >= l.cfg.Fresh || idle && l.asm.Dirty() {
		ext, l.lastFresh = all, moment
	}
	if idle == l.idle && l.asm.End() == l.stored && ext == small && (!idle || now.Sub(l.lastWrite) < l.cfg.Heartbeat) {
		return nil
	}
	l.idle = idle
	return l.flush(ctx, ext)
}

// flush stores what has changed, then how far the partition is, and tells the group.
func (l *Loop) flush(ctx context.Context, ext extent) error {
	began := l.deps.Now()
	if err := l.deps.DeadLetters.Flush(ctx); err != nil {
		return fmt.Errorf("flushing dead letters: %w", err)
	}
	l.addBlocks()
	l.blocks.trim()
	l.partials = l.partials[:0]
	if ext == sealed || l.asm.End() >= l.hold {
		// What is read again for a rewind is written at the end of its chunk only,
		// and so with an end that no row of it has passed: it wins over all of them.
		l.partials = l.asm.Partials(l.partials, ext == small)
	}
	rows := schemas.Rows{Chunk: l.asm.Chunk(), End: l.asm.End(), IDs: l.asm.IDs(), Panes: l.asm.Panes(ext == sealed)}
	l.hide(rows.Panes)
	rows.Trips = append(rows.Trips, l.gapTrips...)
	var changes uint64
	for _, c := range l.checkers {
		changes += c.Changes()
	}
	if changes != l.checked {
		for _, r := range l.specs.Records {
			for spec, c := range l.checkers {
				if spec.Seq == r.Seq {
					trips, bad := c.Snapshot()
					rows.Trips = append(rows.Trips, trips...)
					rows.Violations = append(rows.Violations, bad...)
				}
			}
		}
	}
	p := l.asm.Progress()
	p.GapFrom, p.GapTo, p.RewindSeq = l.gap[0], l.gap[1], l.rewound
	p.HighWatermark, p.LogStart, p.LeaderEpoch = l.high, l.logStart, l.epoch
	p.At = l.deps.Now().UnixMilli()
	if l.idle {
		p.IdleSince = l.caughtUp.UnixMilli()
	}
	rows.Progress = &p
	// Rows of open windows that are held back make it no place to resume from:
	// once the start of the chunk is deleted, nobody could count them again.
	rows.Ahead = l.asm.Dirty()
	if err := l.deps.Store.Write(ctx, l.partials, rows); err != nil {
		// What was taken from the assembler is not known to be stored, and it
		// would not be taken again: the chunk has to be read anew.
		l.asm = nil
		return fmt.Errorf("storing %s/%d up to %d: %w", l.part.Topic, l.part.Partition, p.End, err)
	}
	l.checked, l.gapTrips = changes, nil
	l.asm.Clear()
	l.stored = p.End
	l.lastWrite = l.deps.Now()
	l.deps.Stats.Flushes.Add(1)
	l.deps.Stats.Partials.Add(int64(len(l.partials)))
	l.deps.Stats.Trips.Add(int64(len(rows.Trips)))
	l.deps.Stats.FlushNanos.Add(int64(l.deps.Now().Sub(began) / time.Nanosecond))
	if l.deps.Wrote != nil {
		l.deps.Wrote()
	}
	if l.deps.Commit != nil {
		if err := l.deps.Commit(ctx, p.End); err != nil {
			l.deps.Log.Debug().Err(err).Msg("committing the offset, which is a hint only")
		}
		faultpoint.Reach(faultpoint.Commit)
	}
	return nil
}
