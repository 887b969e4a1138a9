package ingest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/modelwatch/modelwatch/consumers"
	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/detectors/hard"
	"github.com/modelwatch/modelwatch/internal/faultpoint"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// Loop reads one partition until its context ends.
type Loop struct {
	cfg  Config
	deps Deps
	part Partition

	specs    *Specs
	asm      *window.Assembler
	gap      [2]int64       // lost before the chunk: from, to
	gapTrips []schemas.Trip // that say so
	blocks   blocks
	checkers map[*schemas.SpecRecord]*hard.Checker
	checked  uint64 // changes of the checkers that are stored
	extras   []hard.Extra

	records, rows int64 // passed and not counted yet

	record   consumers.Record
	event    decode.Record
	partials []summary.Partial

	high, logStart int64
	epoch          int32
	caughtUp       time.Time // since when End is the high watermark; zero when it is not
	answered       time.Time // when the broker last said where the log ends
	idle           bool      // told to the store
	due            time.Time // when there is to be looked for what has to be stored
	lastFresh      time.Time
	lastWrite      time.Time
	stored         int64 // End of the last progress
	bad            int   // times the same batch could not be read
	badAt          int64

	// What of the log cannot be read: below floor, and why.
	floor int64
	why   string

	// How far the partition was stored when reading went on, and the leader
	// epoch of the last record of that, -1 when not known.
	known      int64
	knownEpoch int32

	rewound uint64 // the rewinds up to here are seen to
	hold    int64  // up to here rows are read again for a rewind, and summaries wait for the chunk's end
	limit   int64  // where the next stored chunk starts: the open one ends there
}

// New returns the loop of a partition; Run starts it.
func New(cfg Config, part Partition, deps Deps) *Loop {
	if faultpoint.Broken(faultpoint.EpochFixed) {
		part.TopicID = [16]byte{}
	}
	return &Loop{cfg: cfg, deps: deps, part: part, limit: NoOffset}
}

// errAgain ends a reading, and another look at what is stored tells where to
// go on: specs have changed, or a part of the log cannot be read.
var errAgain = errors.New("where to read has to be found again")

// errUntil ends a reading that has come to Deps.Until.
var errUntil = errors.New("the reading has come to its end")

// errRegrown explains a truncation that was found in records.
var errRegrown = errors.New("records are of a later leader epoch than those that were read there")

// Run reads, checks and stores until ctx ends, or until Deps.Until. What was gathered by then is
// stored if the store answers in time; otherwise it is read again from the
// start of its chunk by whoever comes next. A nil error means that it ended so.
func (l *Loop) Run(ctx context.Context) error {
	for {
		l.specs, l.rewound = l.deps.Specs(), l.rewinds()
		err := l.resume(ctx)
		if err == nil {
			err = l.follow(ctx)
		}
		switch {
		case errors.Is(err, errAgain):
		case errors.Is(err, errUntil):
			return l.flush(ctx, all)
		case ctx.Err() != nil:
			return l.stop(ctx)
		default:
			return err
		}
	}
}

// rewinds is the number of the last rewind of the partition.
func (l *Loop) rewinds() uint64 {
	if l.deps.Rewinds == nil {
		return 0
	}
	return l.deps.Rewinds.Seq()
}

// stop stores what there is after ctx has ended.
func (l *Loop) stop(ctx context.Context) error {
	if l.asm == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	l.caughtUp, l.idle = time.Time{}, false // from here on nobody looks at the log
	if err := l.flush(ctx, all); err != nil {
		l.deps.Log.Warn().Err(err).Msg("stopping without storing the open chunk; it will be read again")
	}
	return nil
}

// follow reads on from where resume has put the source.
func (l *Loop) follow(ctx context.Context) error {
	for {
		if l.deps.Specs() != l.specs || l.rewinds() != l.rewound {
			if err := l.flush(ctx, all); err != nil {
				return err
			}
			return errAgain
		}
		wait, cancel := context.WithTimeout(ctx, min(l.cfg.Tick, l.due.Sub(l.deps.Now())))
		f, err := l.deps.Source.Fetch(wait)
		cancel()
		switch {
		case err == nil:
			faultpoint.Reach(faultpoint.Fetch)
			if err := l.take(ctx, f); err != nil {
				return err
			}
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
		default:
			if err := l.trouble(ctx, err); err != nil {
				return err
			}
		}
		if err := l.tick(ctx); err != nil {
			return err
		}
	}
}

// take passes the records of one answer.
func (l *Loop) take(ctx context.Context, f *consumers.Fetched) error {
	l.high, l.logStart = f.LastStable, f.LogStart
	before := l.asm.End()
	defer l.count()
	for f.Next(&l.record) {
		if r := &l.record; r.Offset < l.known && l.knownEpoch >= 0 && r.LeaderEpoch > l.knownEpoch {
			return l.truncate(ctx, r.Offset, errRegrown)
		}
		if l.ended(l.record.Offset) {
			l.asm.Skip(l.deps.Until)
			return errUntil
		}
		if err := l.pass(ctx); err != nil {
			return err
		}
		l.epoch = l.record.LeaderEpoch // a chunk that ends within an answer keeps that of its last record
	}
	if epoch := f.LeaderEpoch(); epoch >= 0 {
		l.epoch = epoch
	}
	l.answered = f.At
	if err := f.Err(); err != nil {
		l.caughtUp = time.Time{}
		return l.trouble(ctx, err)
	}
	l.bad = 0
	if l.ended(f.Offset()) {
		l.asm.Skip(l.deps.Until)
		return errUntil
	}
	l.asm.Skip(min(f.Offset(), l.limit))
	if l.asm.End() >= l.limit && f.Offset() >= f.LastStable {
		return l.yield(ctx) // no record is left that would tell
	}
	switch {
	case l.asm.End() != before || f.Offset() < f.LastStable:
		l.caughtUp = time.Time{}
	case l.caughtUp.IsZero():
		l.caughtUp = f.At
	}
	return nil
}

// ended says whether all records before Deps.Until have been passed when the
// next one is at offset or later.
func (l *Loop) ended(offset int64) bool { return l.deps.Until > 0 && offset >= l.deps.Until }

// count adds what has been passed to the counters, once for each answer: they
// are shared by all loops, and a record must not wait for that.
func (l *Loop) count() {
	l.deps.Stats.Records.Add(l.records)
	l.deps.Stats.Rows.Add(l.rows)
	l.records, l.rows = 0, 0
}

// pass takes in one record.
func (l *Loop) pass(ctx context.Context) error {
	r := &l.record
	border := l.asm.Border(r.Offset, r.Timestamp)
	if r.Offset >= l.limit && (r.Offset > l.limit || !border) {
		return l.yield(ctx)
	}
	if border {
		if err := l.seal(ctx, r.Offset); err != nil {
			return err
		}
	}
	l.asm.Observe(r.Offset, r.Timestamp)
	l.records++
	l.event = decode.Record{Offset: r.Offset, Timestamp: r.Timestamp, Key: r.Key, Value: r.Value}
	j := l.deps.Decoder.Decode(&l.event, &l.blocks)
	faultpoint.Reach(faultpoint.Decode)
	if j.Reason != decode.OK {
		model := string(j.Model)
		if model == "" && j.Reason.Fault() != "" {
			model = l.deps.OnlyModel()
		}
		return l.reject(ctx, model, j.Reason.String(), j.Reason.Fault(), 0, j.Detail)
	}
	b := l.blocks.last
	if fault := l.asm.Admit(b); fault != "" {
		b.N--
		detail := "its time is " + time.UnixMilli(b.Time[b.N]).UTC().Format(time.RFC3339) + ", that of its record " + time.UnixMilli(r.Timestamp).UTC().Format(time.RFC3339)
		return l.reject(ctx, b.Layout.Model, string(fault), fault, b.Parts[b.N], detail)
	}
	l.rows++
	if b.Full() {
		l.add(b)
	}
	return nil
}

// reject counts an event that cannot be used and keeps it as a dead letter.
func (l *Loop) reject(ctx context.Context, model, reason string, fault schemas.Fault, part schemas.Part, detail string) error {
	r := &l.record
	l.deps.Stats.Rejected.Add(1)
	l.deps.Stats.Reasons.Add(reason, 1)
	withheld := l.privacy().Withheld(l.part.Topic, model)
	if spec, part, start := l.asm.Reject(model, reason, fault, part, r.Timestamp); spec != nil {
		value := schemas.Hidden
		if !withheld {
			value = string(r.Value[:min(len(r.Value), 256)])
		}
		l.checker(spec).Reject(hard.Reject{
			Fault: fault, Part: part, Offset: r.Offset, Time: r.Timestamp, Start: start, Value: value, Reason: detail,
		})
	}
	err := l.deps.DeadLetters.Put(ctx, consumers.DeadLetter{
		Reason: reason, Model: model, Topic: l.part.Topic, Partition: l.part.Partition, Offset: r.Offset, Value: r.Value, Withheld: withheld,
	})
	if err != nil {
		return fmt.Errorf("keeping the dead letter of %s/%d@%d: %w", l.part.Topic, l.part.Partition, r.Offset, err)
	}
	return nil
}

func (l *Loop) addBlocks() {
	for _, b := range l.blocks.all {
		l.add(b)
	}
}

func (l *Loop) add(b *schemas.Block) {
	if b.N == 0 {
		return
	}
	l.asm.Add(b, l.check)
	faultpoint.Reach(faultpoint.WindowAdd)
	b.Reset()
	l.blocks.fit(b)
}

func (l *Loop) checker(spec *schemas.SpecRecord) *hard.Checker {
	c := l.checkers[spec]
	if c == nil {
		c = hard.NewChecker(l.asm.Chunk(), spec)
		l.checkers[spec] = c
	}
	return c
}

// check shows a run of rows to its hard rules.
func (l *Loop) check(r *window.Run) {
	b := r.Block
	v := hard.View{
		Rows: r.To - r.From, Offset: b.Offset[r.From:r.To], Time: b.Time[r.From:r.To], Start: r.Window[r.From:r.To],
		Parts: b.Parts[r.From:r.To], Version: r.Version[r.From:r.To], Versions: r.Versions, Columns: r.Columns,
	}
	if r.From > 0 {
		v.Columns = make([]summary.Classified, len(r.Columns))
		for i := range r.Columns {
			v.Columns[i] = r.Columns[i].Slice(r.From, r.To)
		}
	}
	if r.Repeats {
		v.Duplicate = r.Duplicate[r.From:r.To]
	}
	l.extras = l.extras[:0]
	for _, e := range b.Extra {
		if int(e.Row) >= r.From && int(e.Row) < r.To {
			l.extras = append(l.extras, hard.Extra{Row: e.Row - int32(r.From), Name: b.String(e.Name)})
		}
	}
	v.Extra = l.extras
	v.Value = func(column int, row int32) string {
		c, at := &b.Columns[r.Layout[column]], row+int32(r.From)
		var value string
		switch c.Kind[at] {
		case schemas.KindText, schemas.KindBool:
			value = b.String(c.Text[at])
		case schemas.KindNumber:
			value = strconv.FormatFloat(c.Num[at], 'g', -1, 64)
		default:
			return kindNames[c.Kind[at]] // which is a fault, and no value
		}
		if p, sc := l.privacy(), &r.Spec.Spec.Columns[column]; p != nil && sc.Role == schemas.RoleFeature && p.Sensitive(r.Spec.Spec.Model, sc.Name) {
			return p.Hide(sc.Name, value)
		}
		return value
	}
	l.checker(r.Spec).Check(&v)
}

var kindNames = [...]string{
	schemas.KindAbsent: "", schemas.KindNull: "null", schemas.KindNaN: "NaN", schemas.KindPosInf: "Infinity", schemas.KindNegInf: "-Infinity",
	schemas.KindNested: "an object or a list",
}

// trouble decides what to do about records that cannot be had. Whatever is
// lost is written down as a gap.
func (l *Loop) trouble(ctx context.Context, err error) error {
	var (
		outside   *consumers.OutOfRange
		truncated *consumers.Truncated
		batch     *consumers.BatchError
	)
	switch {
	case errors.As(err, &outside) && outside.Wanted < outside.Start:
		return l.leave(ctx, outside.Start, "records were deleted before they were read", err)
	case errors.As(err, &outside):
		return l.truncate(ctx, l.cut(ctx, l.epoch, outside.End), err)
	case errors.As(err, &truncated):
		return l.truncate(ctx, truncated.End, err)
	case errors.As(err, &batch):
		if l.badAt != batch.From {
			l.bad, l.badAt = 0, batch.From
		}
		if l.bad++; batch.Retry() && l.bad < l.cfg.Retries {
			return nil
		}
		send := l.deps.DeadLetters.Put(ctx, consumers.DeadLetter{
			Reason: "batch_" + string(batch.Reason), Topic: l.part.Topic, Partition: l.part.Partition,
			Offset: batch.From, Last: batch.Next - 1, Size: batch.Size,
		})
		if send != nil {
			return fmt.Errorf("keeping the pointer to a broken batch: %w", send)
		}
		return l.leave(ctx, batch.Next, "a batch cannot be read", err)
	}
	return fmt.Errorf("fetching %s/%d: %w", l.part.Topic, l.part.Partition, err)
}

// leave gives up what is before offset and was not read. Where to go on is for
// resume to say: when a chunk is read for the second time, what is stored of it
// reaches further than this reading, and a chunk that began at offset would
// count again what is between.
func (l *Loop) leave(ctx context.Context, offset int64, why string, cause error) error {
	l.deps.Log.Error().Err(cause).Int64("from", l.asm.End()).Int64("to", offset).Msg(why)
	if err := l.flush(ctx, sealed); err != nil {
		return err
	}
	l.floor, l.why = max(l.floor, offset), why
	return errAgain
}

// truncate follows a log that was cut: it goes on at its end under a new
// epoch, because offsets are given again.
func (l *Loop) truncate(ctx context.Context, end int64, cause error) error {
	l.deps.Log.Error().Err(cause).Int64("end", end).Msg("the log was truncated; counting on under a new epoch")
	l.addBlocks()
	if err := l.flush(ctx, sealed); err != nil {
		return err
	}
	p := l.asm.Progress()
	c := p.Chunk
	c.Epoch.Truncation++
	c.Start = end
	l.begin(window.Start{Chunk: c, Previous: -1, Clock: p.Clock, Marks: p.Marks}, [2]int64{end, end})
	l.floor, l.known, l.knownEpoch = 0, 0, -1
	l.deps.Source.SeekTo(end, -1)
	return nil
}

// seal stores the chunk as it ends and begins the one at offset. It ends
// there too, whatever holes are before it: how far behind its last record it is
// seen to reach would depend on how the records were fetched, and a chunk that
// is read again for a new spec must not end earlier than it did.
func (l *Loop) seal(ctx context.Context, offset int64) error {
	l.addBlocks()
	l.asm.Skip(offset)
	if err := l.flush(ctx, sealed); err != nil {
		return err
	}
	l.deps.Stats.Chunks.Add(1)
	l.asm.Next(l.specs.Models, offset)
	l.reset([2]int64{})
	return l.look(ctx)
}

// yield ends a chunk that is read again where another is stored that did not
// begin by the chunk rule: what was left out before it can be read by now. Its
// rows are its own.
func (l *Loop) yield(ctx context.Context) error {
	l.addBlocks()
	l.asm.Skip(l.limit)
	if err := l.flush(ctx, sealed); err != nil {
		return err
	}
	return errAgain
}

// look finds where the next stored chunk starts, as long as there is one.
func (l *Loop) look(ctx context.Context) (err error) {
	if l.deps.Rewinds == nil || l.limit == NoOffset {
		return nil
	}
	if l.limit, err = l.deps.Rewinds.Next(ctx, l.asm.Chunk()); err != nil {
		return fmt.Errorf("finding the chunk behind %s/%d@%d: %w", l.part.Topic, l.part.Partition, l.asm.Chunk().Start, err)
	}
	return nil
}

// begin makes a chunk the open one.
func (l *Loop) begin(s window.Start, gap [2]int64) {
	l.blocks.reset(l.specs.Models)
	l.asm = window.New(l.specs.Models, s)
	l.reset(gap)
}

func (l *Loop) reset(gap [2]int64) {
	l.gap, l.gapTrips = gap, nil
	l.checkers = map[*schemas.SpecRecord]*hard.Checker{}
	l.checked = 0
}
