package evaluate

import (
	"math"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// Closing says when a window may be judged.
type Closing struct {
	Stale   time.Duration `json:"stale"`    // progress older than this says nothing about now
	MaxHold time.Duration `json:"max_hold"` // how long a partition that says nothing holds windows open
}

// watermark is how far the event time of one part of a model has come.
type watermark struct {
	at       int64   // Unix milliseconds; every event up to here has been stored, as far as is known
	known    bool    // false: the part was never delivered
	coverage float64 // share of the partitions that at rests on
	specSeq  uint64  // every partition's rows are counted under the specs up to here
}

// watermarkOf derives the watermark of a part from the progress of all
// partitions. partitions tells how many a topic has, 0 where that is not
// known; now is the wall clock.
//
// It is the least mark of the partitions of all topics of the model that have
// delivered the part. A partition that has been read to its end and is idle
// does not hold the others back; when all are idle, event time goes on at the
// speed of the wall clock, so that missing data is noticed. A partition of
// which nothing is heard holds everything for MaxHold, and then lowers
// coverage; that time counts from since, when somebody began to listen, at the
// earliest, or a start after a long stop would judge what is not read yet.
func watermarkOf(rows []schemas.Progress, model *Model, part schemas.Part, partitions func(topic string) int, since, now time.Time, c Closing) watermark {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r schemas.Progress) bool { return !slices.Contains(model.Topics, r.Topic) })
	delivered := map[string]bool{}
	newest := int64(math.MinInt64) // greatest mark
	var heard int64                // when a partition was last heard of
	for i := range rows {
		if m, ok := markOf(&rows[i], model.Name, part); ok {
			delivered[rows[i].Topic] = true
			newest = max(newest, m)
		}
	}
	if len(delivered) == 0 {
		return watermark{}
	}
	w := watermark{at: math.MaxInt64, known: true, specSeq: math.MaxUint64}
	seen := map[string]int{}
	total, counted := 0, 0
	var idleSince int64
	for i := range rows {
		r := &rows[i]
		if !delivered[r.Topic] {
			continue
		}
		total++
		seen[r.Topic]++
		heard = max(heard, r.At)
		if now.Sub(time.UnixMilli(max(r.At, since.UnixMilli()))) > c.MaxHold {
			continue
		}
		counted++
		w.specSeq = min(w.specSeq, r.SpecSeq)
		if r.IdleSince > 0 && now.Sub(time.UnixMilli(r.At)) <= c.Stale {
			idleSince = max(idleSince, r.IdleSince)
			continue
		}
		m, ok := markOf(r, model.Name, part)
		if !ok {
			m = r.Clock
		}
		w.at = min(w.at, m)
	}
	for topic := range delivered {
		if missing := partitions(topic) - seen[topic]; missing > 0 {
			total += missing
			if now.Sub(time.UnixMilli(max(heard, since.UnixMilli()))) <= c.MaxHold {
				w.at = math.MinInt64 // not read yet
			}
		}
	}
	if w.at == math.MaxInt64 {
		w.at = newest
		if idleSince > 0 {
			w.at += max(0, now.UnixMilli()-idleSince)
		}
	}
	w.coverage = float64(counted) / float64(total)
	return w
}

func markOf(r *schemas.Progress, model string, part schemas.Part) (int64, bool) {
	for i := range r.Marks {
		if m := &r.Marks[i]; m.Part == part && m.Model == model {
			return m.Reached(), m.Max != math.MinInt64
		}
	}
	return 0, false
}
