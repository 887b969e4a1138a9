package app

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/replay"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// Backfilling is a backfill, planned or registered.
type Backfilling struct {
	Model string    `json:"model"`
	Spec  uint64    `json:"spec,omitempty"` // under which the past is counted, 0 where it was only planned
	From  time.Time `json:"from"`           // first window; zero for all that is there
	// Windows of parts that were never judged count as past up to here.
	Until      time.Time `json:"until"`
	Partitions []Rewound `json:"partitions"`
	Notes      []string  `json:"notes,omitempty"`
}

// BackfillState is how far a backfill is.
type BackfillState struct {
	Partitions, Read int // of the model's topics, and those that were read again
	Windows, Kept    int // of the past, by part, and those that were judged and kept
}

// Done says whether nothing is left to do.
func (b BackfillState) Done() bool { return b.Read == b.Partitions && b.Kept == b.Windows }

// Backfill has the replicas of a service count the past of a model: what
// Kafka still holds of the partitions that are read, from a time on, or all of
// it for the zero time. Nobody is told of windows of the past. Without act it
// only tells what that would be.
func Backfill(ctx context.Context, s config.Settings, monitors []config.Monitor, model string, from time.Time, act bool, log zerolog.Logger) (*Backfilling, error) {
	o, err := openOffline(ctx, s, monitors, log)
	if err != nil {
		return nil, err
	}
	defer o.close()
	m, err := o.monitor(model)
	if err != nil {
		return nil, err
	}
	specs, err := o.specs(ctx)
	if err != nil {
		return nil, err
	}
	records := slices.DeleteFunc(specs.Records, func(r schemas.SpecRecord) bool { return r.Spec.Model != model })
	if n := len(records); n == 0 || records[n-1].Hash != m.Spec.Hash() {
		return nil, fmt.Errorf("the monitor of %s, as its file is now, is not in force in the service; start it, or let it read its monitors again", model)
	}
	p := &backfillPlan{offline: o, monitor: m, records: records, out: &Backfilling{Model: model}}
	if err := p.make(ctx, from); err != nil {
		return nil, err
	}
	if !act {
		return p.out, nil
	}
	r, err := o.store.RegisterHistory(ctx, *m.Spec, p.from, p.until)
	p.out.Spec = r.Seq
	return p.out, err
}

// backfillPlan finds which windows of a model can be counted again in full.
type backfillPlan struct {
	*offline
	monitor *config.Monitor
	records []schemas.SpecRecord // of the model
	logs    []replay.Log
	heads   map[ingestPartition]schemas.Progress
	out     *Backfilling

	from, until int64
	gone        int64 // the greatest event time of rows that cannot be read again
}

// ingestPartition names a partition of a topic as it is now.
type ingestPartition struct {
	topic     string
	partition int32
}

func (p *backfillPlan) make(ctx context.Context, from time.Time) (err error) {
	if p.logs, err = p.partitionsOf(ctx, p.monitor.Topics); err != nil {
		return err
	}
	heads, err := p.store.Heads(ctx, p.monitor.Topics)
	if err != nil {
		return err
	}
	p.heads = map[ingestPartition]schemas.Progress{}
	for _, h := range heads {
		at := ingestPartition{h.Topic, h.Partition}
		if old, ok := p.heads[at]; p.current(h.Chunk) && (!ok || h.Epoch.Truncation >= old.Epoch.Truncation) {
			p.heads[at] = h
		}
	}
	if len(p.heads) == 0 {
		return errors.New("nothing of its topics was ever read, so the service reads them from `start` on, and there is nothing before to count")
	}
	if err := p.bounds(ctx, from); err != nil {
		return err
	}
	return p.count(ctx)
}

// current says whether a chunk is of a topic as it is now.
func (p *backfillPlan) current(c schemas.Chunk) bool {
	return slices.ContainsFunc(p.logs, func(l replay.Log) bool { return l.Part.Topic == c.Topic && l.Part.TopicID == c.Epoch.TopicID })
}

// readable says whether a chunk can be read again.
func (p *backfillPlan) readable(c schemas.Chunk) bool {
	i := slices.IndexFunc(p.logs, func(l replay.Log) bool { return l.Part.Topic == c.Topic && l.Part.Partition == c.Partition })
	return i >= 0 && p.current(c) && c.Epoch == p.heads[ingestPartition{c.Topic, c.Partition}].Epoch && c.Start >= p.logs[i].Bounds.Start
}

// bounds finds the borders of the past. Windows of which rows were counted that
// cannot be read again stay as they are: counted again they would be short.
func (p *backfillPlan) bounds(ctx context.Context, from time.Time) error {
	err := p.store.Chunks(ctx, p.monitor.Topics, func() { p.gone = window.NoTime }, func(c schemas.Progress) error {
		if p.readable(c.Chunk) {
			return nil
		}
		for _, m := range c.Marks {
			if m.Model == p.monitor.Model {
				p.gone = max(p.gone, m.Max)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	border := schemas.Spec{Window: commonWindow(p.records)}
	length := border.Window.Milliseconds()
	p.from = math.MinInt64
	if !from.IsZero() {
		p.from = border.WindowStart(from.UnixMilli())
	}
	if p.gone != window.NoTime && p.from < border.WindowStart(p.gone)+length {
		p.from = border.WindowStart(p.gone) + length
		p.out.Notes = append(p.out.Notes, fmt.Sprintf("windows up to %s stay as they are: Kafka no longer holds all of their events", time.UnixMilli(p.from).UTC().Format(time.RFC3339)))
	}
	p.until = math.MinInt64
	for _, h := range p.heads {
		p.until = max(p.until, h.Clock)
		for _, m := range h.Marks {
			if m.Model == p.monitor.Model {
				p.until = max(p.until, m.Max)
			}
		}
	}
	if p.until == math.MinInt64 {
		return errors.New("its topics hold no event yet, so there is no past to count")
	}
	p.until = border.WindowStart(p.until+p.records[len(p.records)-1].Spec.MaxFuture.Milliseconds()) + length
	if p.from >= p.until {
		return fmt.Errorf("there is no past to count: it would begin at %s, and events have come up to %s", time.UnixMilli(p.from).UTC().Format(time.RFC3339), time.UnixMilli(p.until).UTC().Format(time.RFC3339))
	}
	p.out.Until = time.UnixMilli(p.until).UTC()
	if p.from != math.MinInt64 {
		p.out.From = time.UnixMilli(p.from).UTC()
	}
	return nil
}

// commonWindow is the shortest length whose borders are borders of all specs.
// Windows divide a day or are whole days.
func commonWindow(records []schemas.SpecRecord) time.Duration {
	common := records[0].Spec.Window.Milliseconds()
	for i := range records {
		w := records[i].Spec.Window.Milliseconds()
		common = common / gcd(common, w) * w
	}
	return time.Duration(common) * time.Millisecond
}

// count tells which chunks are read again.
func (p *backfillPlan) count(ctx context.Context) error {
	at := map[ingestPartition]int{}
	first := map[ingestPartition]int64{}
	fresh := func() {
		p.out.Partitions = nil
		clear(at)
		clear(first)
		for _, l := range p.logs {
			k := ingestPartition{l.Part.Topic, l.Part.Partition}
			if h, ok := p.heads[k]; ok {
				at[k] = len(p.out.Partitions)
				p.out.Partitions = append(p.out.Partitions, Rewound{Topic: k.topic, Partition: k.partition, From: -1, Until: h.End, epoch: h.Epoch})
			}
		}
	}
	err := p.store.Chunks(ctx, p.monitor.Topics, fresh, func(c schemas.Progress) error {
		k := ingestPartition{c.Topic, c.Partition}
		i, ok := at[k]
		if !ok || !p.current(c.Chunk) {
			return nil
		}
		if _, ok := first[k]; !ok {
			first[k] = c.Start
		}
		r := &p.out.Partitions[i]
		if !p.readable(c.Chunk) || r.From < 0 && !p.holds(&c) {
			return nil
		}
		if r.From < 0 {
			r.From = c.Start
		}
		r.Chunks++
		r.Events += c.Rows
		return nil
	})
	if err != nil {
		return err
	}
	for k, i := range at {
		r := &p.out.Partitions[i]
		l := p.logs[slices.IndexFunc(p.logs, func(l replay.Log) bool { return l.Part.Topic == k.topic && l.Part.Partition == k.partition })]
		if begun, ok := first[k]; ok && begun > l.Bounds.Start {
			r.Note = fmt.Sprintf("its reading began at %d, so the %d offsets before stay unread", begun, begun-l.Bounds.Start)
		}
		if r.From < 0 {
			r.From = r.Until
		}
	}
	return nil
}

// holds says whether a chunk may hold rows of the past, as the reader of the
// partition asks it of the store.
func (p *backfillPlan) holds(c *schemas.Progress) bool {
	known := false
	for _, m := range c.Marks {
		if m.Model == p.monitor.Model {
			known = true
			if m.Max >= p.from {
				return true
			}
		}
	}
	return !known && c.Clock >= p.from && c.Clock != window.NoTime
}

// Backfilled tells how far a backfill is.
func Backfilled(ctx context.Context, s config.Settings, monitors []config.Monitor, b *Backfilling, log zerolog.Logger) (BackfillState, error) {
	o, err := openOffline(ctx, s, monitors, log)
	if err != nil {
		return BackfillState{}, err
	}
	defer o.close()
	m, err := o.monitor(b.Model)
	if err != nil {
		return BackfillState{}, err
	}
	var out BackfillState
	heads, err := o.store.Heads(ctx, m.Topics)
	if err != nil {
		return out, err
	}
	for _, h := range heads {
		if slices.ContainsFunc(b.Partitions, func(r Rewound) bool { return r.Topic == h.Topic && r.Partition == h.Partition && r.epoch == h.Epoch }) {
			out.Partitions++
			if h.SpecSeq >= b.Spec {
				out.Read++
			}
		}
	}
	out.Windows, out.Kept, err = o.store.PastWindows(ctx, b.Model, b.Spec, b.Until.UnixMilli())
	return out, err
}
