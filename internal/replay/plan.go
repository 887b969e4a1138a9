package replay

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/modelwatch/modelwatch/internal/ingest"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// place names one partition of one epoch.
type place struct {
	topic      string
	id         [16]byte
	truncation uint32
	partition  int32
}

func placeOf(c schemas.Chunk) place {
	return place{c.Topic, c.Epoch.TopicID, c.Epoch.Truncation, c.Partition}
}

func (p place) String() string { return fmt.Sprintf("%s/%d", p.topic, p.partition) }

// chunk is what is kept of a stored chunk: where it lies, which event times of
// the model its rows may have, and what its progress says of the model.
type chunk struct {
	start, end, previous int64
	from, to             int64 // event times, both ends included
	state                uint64
}

// touches says whether the chunk may have rows of event times in [from, to).
func (c *chunk) touches(from, to int64) bool { return c.to >= from && c.from < to }

// partition is one partition of the log with its stored chunks, by start.
type partition struct {
	place
	bounds ingest.Bounds
	chunks []chunk
}

// lost is a stretch of event time of which a part of the log is gone.
type lost struct {
	from, to int64 // both ends included
	why      string
}

// plan is what there is to read.
type plan struct {
	partitions []*partition
	lost       []lost
}

// lostAt says why the window [start, end) cannot be recomputed, "" where it can.
func (p *plan) lostAt(start, end int64) string {
	for i := range p.lost {
		if p.lost[i].to >= start && p.lost[i].from < end {
			return p.lost[i].why
		}
	}
	return ""
}

// plan finds the chunks that hold rows of the model, those that can be read
// again and those that cannot.
func (v *Verifier) plan(ctx context.Context) (*plan, error) {
	at := map[place]*partition{}
	out := &plan{}
	for _, l := range v.logs {
		p := &partition{place: place{l.Part.Topic, l.Part.TopicID, 0, l.Part.Partition}, bounds: l.Bounds}
		out.partitions = append(out.partitions, p)
	}
	heads, err := v.deps.Store.Heads(ctx, v.cfg.Topics)
	if err != nil {
		return nil, err
	}
	open := map[place]int64{} // where the chunk begins that a partition stands in
	for i := range heads {
		h := &heads[i]
		open[placeOf(h.Chunk)] = h.Start
		for _, p := range out.partitions {
			if h.Topic == p.topic && h.Epoch.TopicID == p.id && h.Partition == p.partition {
				p.truncation = max(p.truncation, h.Epoch.Truncation)
			}
		}
	}
	for _, p := range out.partitions {
		at[p.place] = p
	}
	gone := map[string]*lost{}
	take := func(s *schemas.Progress) {
		c, ours := v.chunk(s)
		if !ours {
			return
		}
		p := at[placeOf(s.Chunk)]
		var why string
		switch {
		case p == nil && !v.newest(s.Chunk):
			why = fmt.Sprintf("topic %s was made again since, and its log is gone", s.Topic)
		case p == nil:
			why = fmt.Sprintf("the log of %s/%d was cut since", s.Topic, s.Partition)
		case s.Start < p.bounds.Start:
			why = fmt.Sprintf("%s no longer holds offsets below %d", p, p.bounds.Start)
		default:
			p.chunks = append(p.chunks, c)
			return
		}
		if l := gone[why]; l != nil {
			l.from, l.to = min(l.from, c.from), max(l.to, c.to)
		} else {
			gone[why] = &lost{c.from, c.to, why}
		}
	}
	fresh := func() {
		clear(gone)
		for _, p := range out.partitions {
			p.chunks = nil
		}
	}
	err = v.deps.Store.Chunks(ctx, v.cfg.Topics, fresh, func(s schemas.Progress) error {
		if start, ok := open[placeOf(s.Chunk)]; !ok || s.Start != start {
			take(&s)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range heads { // which may be ahead of the chunk's own row
		take(&heads[i])
	}
	for _, l := range gone {
		out.lost = append(out.lost, *l)
	}
	slices.SortFunc(out.lost, func(a, b lost) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.why, b.why)) })
	return out, nil
}

// newest says whether the chunk is of a topic as it is now.
func (v *Verifier) newest(c schemas.Chunk) bool {
	return slices.ContainsFunc(v.logs, func(l Log) bool { return l.Part.Topic == c.Topic && l.Part.TopicID == c.Epoch.TopicID })
}

// chunk tells what a stored chunk may hold of the model. It is not ours where
// it holds nothing: it was read before there was a monitor of the model.
func (v *Verifier) chunk(s *schemas.Progress) (c chunk, ours bool) {
	c = chunk{start: s.Start, end: s.End, previous: s.Previous, from: math.MaxInt64, to: math.MinInt64, state: v.state(s)}
	for i := range s.Marks {
		m := &s.Marks[i]
		if m.Model != v.cfg.Model || m.Max == window.NoTime {
			continue
		}
		c.to = max(c.to, m.Max)
		if m.MaxStart == window.NoTime {
			c.from = math.MinInt64 // the first row of a part may have any time
		} else if c.from != math.MinInt64 {
			c.from = min(c.from, m.MaxStart-v.horizon)
		}
	}
	if c.to != math.MinInt64 {
		return c, true
	}
	// Nothing but events that cannot be used, if any; they count by the time of their record.
	if s.SpecSeq < v.first {
		return c, false
	}
	c.from, c.to = math.MinInt64, s.Clock
	return c, s.End > s.Start
}

// state is what a chunk's progress says that the log and the model decide.
func (v *Verifier) state(s *schemas.Progress) uint64 {
	b := make([]byte, 0, 256)
	number := func(n int64) { b = binary.LittleEndian.AppendUint64(b, uint64(n)) }
	number(s.End)
	number(s.ClockStart)
	number(s.Clock)
	for i := range s.Marks {
		if m := &s.Marks[i]; m.Model == v.cfg.Model {
			for _, n := range []int64{int64(m.Part), m.MaxStart, m.Max, int64(m.Rows), m.SilentStart, m.Silent} {
				number(n)
			}
		}
	}
	return schemas.Hash(b)
}

// run is a stretch of chunks that follow each other without a break.
type run struct {
	*partition
	chunks []chunk
}

// until is where the run ends.
func (r *run) until() int64 { return r.chunks[len(r.chunks)-1].end }

// runs lists the stretches of a partition that may have rows of event times in
// [from, to).
func (p *partition) runs(from, to int64) []run {
	var out []run
	for _, c := range p.chunks {
		if !c.touches(from, to) || c.end <= c.start {
			continue
		}
		if n := len(out); n > 0 {
			last := out[n-1].chunks
			if b := last[len(last)-1]; c.previous == b.start && c.start == b.end {
				out[n-1].chunks = append(last, c)
				continue
			}
		}
		out = append(out, run{p, []chunk{c}})
	}
	return out
}
