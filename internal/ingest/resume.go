package ingest

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// resume finds where the partition's rows go on and puts the source there.
// The offset committed to Kafka plays no part in it.
func (l *Loop) resume(ctx context.Context) error {
	known, err := l.deps.Store.Resume(ctx, l.part.Topic, l.part.TopicID, l.part.Partition)
	if err != nil {
		return fmt.Errorf("reading the progress of %s/%d: %w", l.part.Topic, l.part.Partition, err)
	}
	log, err := l.deps.Bounds(ctx)
	if err != nil {
		return fmt.Errorf("reading the bounds of %s/%d: %w", l.part.Topic, l.part.Partition, err)
	}
	chunk := schemas.Chunk{Topic: l.part.Topic, Epoch: schemas.Epoch{TopicID: l.part.TopicID}, Partition: l.part.Partition}
	if known.Last == nil {
		chunk.Start = log.Start
		if !known.Recreated {
			if chunk.Start, err = l.deps.First(ctx, log); err != nil {
				return fmt.Errorf("finding where to begin %s/%d: %w", l.part.Topic, l.part.Partition, err)
			}
		}
		l.start(window.Start{Chunk: chunk, Previous: -1, Clock: window.NoTime}, [2]int64{}, log)
		// Where reading began is on record before any row is, so that whoever
		// comes next begins there too.
		return l.flush(ctx, small)
	}
	last := *known.Last
	if l.deps.Committed >= 0 && l.deps.Committed > last.End {
		l.deps.Log.Warn().Int64("committed", l.deps.Committed).Int64("stored", last.End).Msg("the committed offset was moved, which decides nothing")
	}
	if faultpoint.Broken(faultpoint.CommitDecides) && l.deps.Committed >= 0 {
		chunk.Start, chunk.Epoch = l.deps.Committed, last.Epoch
		l.start(window.Start{Chunk: chunk, Previous: -1, Clock: last.Clock, Marks: last.Marks}, [2]int64{}, log)
		return nil
	}
	if end := l.intact(ctx, last, log); end < last.End {
		l.floor = 0
		l.deps.Log.Error().Int64("stored", last.End).Int64("end", end).Msg("the log was truncated; counting on under a new epoch")
		chunk.Epoch.Truncation = last.Epoch.Truncation + 1
		chunk.Start = max(end, log.Start)
		l.start(window.Start{Chunk: chunk, Previous: -1, Clock: last.Clock, Marks: last.Marks}, [2]int64{}, log)
		return nil
	}
	// What lies before a record that cannot be read is as good as deleted.
	log.Start = max(log.Start, l.floor)
	lost := known.Last.End // from where on rows may be missing
	why := cmp.Or(l.why, "records were deleted before they were read")
	if last.SpecSeq < l.specs.Models.Seq() {
		usual, history := l.news()
		earlier, ok, err := l.deps.Store.ChunkForSpecs(ctx, last, usual, 0)
		if err == nil && ok && earlier.Start < log.Start {
			// What the old specs have counted of it counts no more.
			lost, why = earlier.Start, "what new specs change cannot be read again"
			earlier, ok, err = l.deps.Store.ChunkForSpecs(ctx, last, usual, log.Start)
		}
		if err == nil && len(history) > 0 {
			// Of the past as much is read as there is: what is gone was promised to nobody.
			past, found, e := l.deps.Store.ChunkForSpecs(ctx, last, history, log.Start)
			if err = e; found && (!ok || past.Start < earlier.Start) {
				earlier, ok = past, true
			}
		}
		if err != nil {
			return fmt.Errorf("finding the rows of %s/%d that new specs change: %w", l.part.Topic, l.part.Partition, err)
		}
		if ok {
			l.deps.Log.Info().Int64("offset", earlier.Start).Msg("reading again for new specs")
			last = earlier
		}
	}
	rewound := false
	if r := l.deps.Rewinds; r != nil && known.Last.RewindSeq < l.rewound {
		again, err := r.Chunk(ctx, known.Last.Chunk, log.Start)
		if err != nil {
			return fmt.Errorf("finding the rows of %s/%d to read again: %w", l.part.Topic, l.part.Partition, err)
		}
		if again != nil {
			l.deps.Log.Info().Int64("offset", again.Start).Uint64("rewind", l.rewound).Msg("reading again as asked for")
			if rewound = true; again.Start <= last.Start {
				last = *again
			}
		}
	}
	if log.Start > last.Start {
		// The chunk's start is gone: read from there it would be shorter, and
		// yet reach further than what is stored. Begin anew behind it.
		stored := max(known.Last.End, known.PartialsEnd)
		chunk.Epoch = known.Last.Epoch
		chunk.Start = max(log.Start, stored)
		l.start(window.Start{Chunk: chunk, Previous: -1, Clock: known.Last.Clock, Marks: known.Last.Marks}, [2]int64{lost, chunk.Start}, log)
		if lost == chunk.Start {
			l.epoch = known.Last.LeaderEpoch
		}
		l.miss(why)
		return l.flush(ctx, small)
	}
	s := window.Start{Chunk: last.Chunk, Previous: last.Previous, Clock: last.ClockStart}
	for _, m := range last.Marks {
		if m.MaxStart != window.NoTime {
			s.Marks = append(s.Marks, schemas.Mark{Model: m.Model, Part: m.Part, Max: m.MaxStart, Silent: m.SilentStart})
		}
	}
	gap := [2]int64{last.GapFrom, last.GapTo}
	if lost < last.Start {
		if gap[1] > gap[0] {
			lost = min(lost, gap[0])
		}
		gap = [2]int64{lost, last.Start}
	}
	l.start(s, gap, log)
	if lost < last.Start {
		l.miss(why)
	}
	l.epoch = known.Last.LeaderEpoch
	l.known, l.knownEpoch = known.Last.End, known.Last.LeaderEpoch
	if rewound {
		l.hold = known.Last.End
	}
	if last.Start < known.Last.Start {
		l.limit = 0
		if err := l.look(ctx); err != nil {
			return err
		}
	}
	if last.Previous >= log.Start && last.Previous < last.Start {
		if err := l.warm(ctx, last.Previous, last.Start); err != nil {
			return err
		}
		l.deps.Source.SeekTo(last.Start, -1)
	}
	return nil
}

// news lists the specs in force: the usual ones, and those that read the past again.
func (l *Loop) news() (usual, history []schemas.SpecRecord) {
	for _, r := range l.specs.Records {
		if r.History {
			history = append(history, r)
		} else {
			usual = append(usual, r)
		}
	}
	return usual, history
}

// miss says that there is a gap before the open chunk, if there is one.
func (l *Loop) miss(why string) {
	if l.gap[1] <= l.gap[0] {
		return
	}
	l.deps.Log.Error().Int64("from", l.gap[0]).Int64("to", l.gap[1]).Msg(why + "; leaving a gap")
	l.deps.Stats.Gaps.Add(1)
	l.deps.Stats.GapOffsets.Add(l.gap[1] - l.gap[0])
	l.gapTrips = l.asm.Gap(l.gap[0], l.gap[1], why)
}

// intact tells up to where the log is the one that was read: a log that was
// truncated and has grown again may be longer than the reading, and only the
// leader epoch of the last record that was read shows it.
func (l *Loop) intact(ctx context.Context, last schemas.Progress, log Bounds) int64 {
	if last.End == last.Start {
		return log.End
	}
	return l.cut(ctx, last.LeaderEpoch, log.End)
}

// cut tells up to where a log that ends at end holds what it held when its
// last record was of that leader epoch. Its end alone would not do: what has
// been appended to a log since it was cut would be passed over.
func (l *Loop) cut(ctx context.Context, epoch int32, end int64) int64 {
	if epoch < 0 {
		return end
	}
	cut, err := l.deps.EpochEnd(ctx, epoch)
	if err != nil {
		l.deps.Log.Warn().Err(err).Msg("asking where a leader epoch ends; a log truncated in the meantime may go unseen")
	}
	if err != nil || cut < 0 {
		return end
	}
	return min(cut, end)
}

func (l *Loop) start(s window.Start, gap [2]int64, log Bounds) {
	l.begin(s, gap)
	l.hold, l.limit = 0, NoOffset
	l.deps.Source.SeekTo(s.Chunk.Start, -1)
	l.high, l.logStart, l.stored = log.End, log.Start, -1
	l.lastFresh = l.deps.Now()
	l.epoch, l.known, l.knownEpoch, l.why = -1, 0, -1, ""
	l.caughtUp, l.answered, l.idle = time.Time{}, time.Time{}, false
	l.deps.Log.Info().Int64("offset", s.Chunk.Start).Int64("end", log.End).Msg("reading")
}

// warm reads the chunk before once more for its ids, uncounted, so that
// duplicates across the border are found as they were without the stop.
// Records that cannot be had by now are passed over: their ids are not known,
// as they would not be to a chunk that begins behind a gap.
func (l *Loop) warm(ctx context.Context, from, to int64) error {
	l.deps.Source.SeekTo(from, -1)
	for {
		f, err := l.deps.Source.Fetch(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			l.deps.Log.Warn().Err(err).Msg("reading the ids of the chunk before; duplicates of it may go unseen")
			return nil
		}
		for f.Next(&l.record) {
			if l.record.Offset >= to {
				break
			}
			l.event.Offset, l.event.Timestamp = l.record.Offset, l.record.Timestamp
			l.event.Key, l.event.Value = l.record.Key, l.record.Value
			if l.deps.Decoder.Decode(&l.event, &l.blocks).Reason != decode.OK {
				continue
			}
			// One by one: of more ids than are remembered the first ones of the
			// log count, whatever the models.
			l.asm.Warm(l.blocks.last)
			l.blocks.last.Reset()
		}
		if f.Offset() >= to {
			return nil
		}
		if f.Err() != nil {
			l.deps.Log.Warn().Err(f.Err()).Msg("reading the ids of the chunk before; duplicates of it may go unseen")
			return nil //nolint:nilerr // as the comment above says
		}
	}
}
