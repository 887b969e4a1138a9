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

// listener hears what the readers of partitions say, and derives from it how
// far a model's event time has come.
type listener struct {
	since time.Time // when it began
	words map[place]word
	front map[schemas.Part]int64 // by part: how far event time had come at the last look
}

// place is a partition.
type place struct {
	topic     string
	partition int32
}

// word is what was last said of a partition.
type word struct {
	at   int64                  // when, by its reader's clock
	upTo map[schemas.Part]int64 // by part: how far event time had come elsewhere before that
}

func newListener(since time.Time) *listener {
	return &listener{since, map[place]word{}, map[schemas.Part]int64{}}
}

// hear takes in the progress of all partitions of the model. partitions tells
// how many a topic has, 0 where that is not known; now is the wall clock.
func (l *listener) hear(rows []schemas.Progress, model *Model, partitions func(topic string) int, now time.Time, c Closing) map[schemas.Part]watermark {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r schemas.Progress) bool { return !slices.Contains(model.Topics, r.Topic) })
	words := make(map[place]word, len(rows))
	for i := range rows {
		r := &rows[i]
		at := place{r.Topic, r.Partition}
		said, ok := l.words[at]
		switch {
		case !ok: // perhaps long ago
			said = word{at: r.At}
		case said.at != r.At:
			said = word{r.At, l.front}
		}
		words[at] = said
	}
	l.words = words
	out := map[schemas.Part]watermark{}
	front := map[schemas.Part]int64{}
	for _, part := range schemas.Parts {
		w, f := l.watermark(rows, model, part, partitions, now, c)
		out[part] = w
		if w.known {
			front[part] = f
		}
	}
	l.front = front
	return out
}

// watermark derives the watermark of a part, and how far event time has come
// where events come.
//
// It is the least mark of the partitions of all topics of the model that have
// delivered the part. A partition that has been read to its end and is idle
// does not hold the others back, up to where they had come when it said so: in
// a burst it may just not have been asked since. When all are idle, event time
// goes on at the speed of the wall clock, so that missing data is noticed. A
// partition of which nothing is heard holds everything for MaxHold, and then
// lowers coverage; that time counts from when somebody began to listen, at the
// earliest, or a start after a long stop would judge what is not read yet.
func (l *listener) watermark(rows []schemas.Progress, model *Model, part schemas.Part, partitions func(topic string) int, now time.Time, c Closing) (w watermark, front int64) {
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
		return watermark{}, 0
	}
	w = watermark{at: math.MaxInt64, known: true, specSeq: math.MaxUint64}
	seen := map[string]int{}
	total, counted := 0, 0
	var idleSince int64
	vouched := int64(math.MaxInt64) // by the idle ones
	for i := range rows {
		r := &rows[i]
		if !delivered[r.Topic] {
			continue
		}
		total++
		seen[r.Topic]++
		heard = max(heard, r.At)
		if now.Sub(time.UnixMilli(max(r.At, l.since.UnixMilli()))) > c.MaxHold {
			continue
		}
		counted++
		w.specSeq = min(w.specSeq, r.SpecSeq)
		m, ok := markOf(r, model.Name, part)
		if !ok {
			m = r.Clock
		}
		if r.IdleSince > 0 && now.Sub(time.UnixMilli(r.At)) <= c.Stale {
			idleSince = max(idleSince, r.IdleSince)
			if upTo, ok := l.words[place{r.Topic, r.Partition}].upTo[part]; ok {
				m = max(m, upTo)
			}
			vouched = min(vouched, m)
			continue
		}
		w.at = min(w.at, m)
	}
	for topic := range delivered {
		if missing := partitions(topic) - seen[topic]; missing > 0 {
			total += missing
			if now.Sub(time.UnixMilli(max(heard, l.since.UnixMilli()))) <= c.MaxHold {
				w.at = math.MinInt64 // not read yet
			}
		}
	}
	w.coverage = float64(counted) / float64(total)
	front = w.at
	if front == math.MaxInt64 {
		front = newest
	}
	switch {
	case w.at == math.MaxInt64 && vouched >= newest:
		w.at = newest
		if idleSince > 0 {
			w.at += max(0, now.UnixMilli()-idleSince)
		}
	default:
		w.at = min(w.at, vouched)
	}
	return w, front
}

func markOf(r *schemas.Progress, model string, part schemas.Part) (int64, bool) {
	for i := range r.Marks {
		if m := &r.Marks[i]; m.Part == part && m.Model == model {
			return m.Reached(), m.Max != math.MinInt64
		}
	}
	return 0, false
}
