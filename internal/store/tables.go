package store

import (
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// chunkColumns name the chunk that a row comes from.
type chunkColumns struct {
	topic      names
	topicID    list[string]
	truncation list[uint32]
	partition  list[int32]
	start      list[int64]
}

func (t *chunkColumns) add(c schemas.Chunk) {
	t.topic.add(c.Topic)
	if n := len(t.topicID); n > 0 && t.topicID[n-1] == string(c.Epoch.TopicID[:]) {
		t.topicID.add(t.topicID[n-1]) // one string for all rows of a partition
	} else {
		t.topicID.add(string(c.Epoch.TopicID[:]))
	}
	t.truncation.add(c.Epoch.Truncation)
	t.partition.add(c.Partition)
	t.start.add(c.Start)
}

func (t *chunkColumns) partitionColumns() columns {
	return columns{{"topic", &t.topic}, {"topic_id", &t.topicID}, {"truncation", &t.truncation}, {"partition", &t.partition}}
}

func (t *chunkColumns) columns() columns {
	return append(t.partitionColumns(), column{"chunk_start", &t.start})
}

// summaryColumns are the columns that partials and summaries have in common.
type summaryColumns struct {
	rows, present, absent, nulls, nans, posInfs, negInfs, bad list[uint64]
	outside, unexpected, clipped, late                        list[uint64]
	bins                                                      lists[uint64]
	sum                                                       list[int64]
	squareHigh, squareLow                                     list[uint64]
	least, greatest                                           list[float64]
	small                                                     lists[uint64]
	registers                                                 list[string]
	full                                                      list[uint8]
	run                                                       list[uint64]
}

func (t *summaryColumns) add(s *summary.Summary) {
	t.rows.add(s.Rows)
	t.present.add(s.Present)
	t.absent.add(s.Absent)
	t.nulls.add(s.Null)
	t.nans.add(s.NaN)
	t.posInfs.add(s.PosInf)
	t.negInfs.add(s.NegInf)
	t.bad.add(s.Bad)
	t.outside.add(s.Outside)
	t.unexpected.add(s.Unexpected)
	t.clipped.add(s.Clipped)
	t.late.add(s.Late)
	t.bins.add(s.Bins)
	t.sum.add(s.Sum)
	t.squareHigh.add(s.SquareHigh)
	t.squareLow.add(s.SquareLow)
	t.least.add(s.Min)
	t.greatest.add(s.Max)
	t.small.add(s.Distinct.Small)
	t.registers.add(string(s.Distinct.Registers))
	t.full.add(truth(s.Distinct.Full))
	t.run.add(s.Run)
}

func truth(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

func (t *summaryColumns) columns() columns {
	return columns{
		{"rows", &t.rows},
		{"present", &t.present},
		{"absent", &t.absent},
		{"nulls", &t.nulls},
		{"nans", &t.nans},
		{"pos_infs", &t.posInfs},
		{"neg_infs", &t.negInfs},
		{"bad", &t.bad},
		{"outside", &t.outside},
		{"unexpected", &t.unexpected},
		{"clipped", &t.clipped},
		{"late", &t.late},
		{"bins", &t.bins},
		{"sum", &t.sum},
		{"square_high", &t.squareHigh},
		{"square_low", &t.squareLow},
		{"min", &t.least},
		{"max", &t.greatest},
		{"distinct_small", &t.small},
		{"registers", &t.registers},
		{"distinct_full", &t.full},
		{"run", &t.run},
	}
}

// streamColumns name a stream of a window.
type streamColumns struct {
	model   list[string]
	spec    list[uint64]
	part    list[uint8]
	window  list[int64]
	version list[string]
	role    list[uint8]
	feature list[string]
	slice   list[string]
}

func (t *streamColumns) add(model string, spec uint64, part schemas.Part, window int64, s schemas.Stream) {
	t.model.add(model)
	t.spec.add(spec)
	t.part.add(uint8(part))
	t.window.add(window)
	t.version.add(s.Version)
	t.role.add(uint8(s.Role))
	t.feature.add(s.Feature)
	t.slice.add(s.Slice)
}

func (t *streamColumns) columns() columns {
	return columns{
		{"model", &t.model},
		{"spec_seq", &t.spec},
		{"part", &t.part},
		{"window_start", &t.window},
		{"version", &t.version},
		{"role", &t.role},
		{"feature", &t.feature},
		{"slice", &t.slice},
	}
}

type partialTable struct {
	streamColumns
	chunk chunkColumns
	end   list[int64]
	summaryColumns
}

func (t *partialTable) add(c schemas.Chunk, end int64, p *summary.Partial) {
	t.streamColumns.add(p.Model, p.SpecSeq, p.Part, p.WindowStart, p.Stream)
	t.chunk.add(c)
	t.end.add(end)
	t.summaryColumns.add(p.Summary)
}

func (t *partialTable) columns() columns {
	c := append(t.streamColumns.columns(), t.chunk.columns()...)
	c = append(c, column{"end_offset", &t.end})
	return append(c, t.summaryColumns.columns()...)
}

type idTable struct {
	model   names
	id      list[uint64]
	part    list[uint8]
	chunk   chunkColumns
	offset  list[int64]
	time    list[int64]
	version names
	number  list[float64]
	class   names
	score   list[float64]
	latency list[float64]
}

func (t *idTable) add(c schemas.Chunk, r *schemas.IDRow) {
	t.model.add(r.Model)
	t.id.add(r.ID)
	t.part.add(uint8(r.Part))
	t.chunk.add(c)
	t.offset.add(r.Offset)
	t.time.add(r.Time)
	t.version.add(r.Version)
	t.number.add(r.Number)
	t.class.add(r.Class)
	t.score.add(r.Score)
	t.latency.add(r.LatencyMS)
}

func (t *idTable) columns() columns {
	c := columns{{"model", &t.model}, {"id", &t.id}, {"part", &t.part}}
	c = append(c, t.chunk.partitionColumns()...)
	return append(c, columns{
		{"offset", &t.offset},
		{"time", &t.time},
		{"version", &t.version},
		{"number", &t.number},
		{"class", &t.class},
		{"score", &t.score},
		{"latency_ms", &t.latency},
	}...)
}

func (t *idTable) reset() {
	t.columns().reset()
	t.chunk.start.reset()
}

type violationTable struct {
	model, fault, feature  list[string]
	chunk                  chunkColumns
	rank                   list[uint64]
	offset                 list[int64]
	version, value, reason list[string]
	time                   list[int64]
}

func (t *violationTable) add(c schemas.Chunk, v *schemas.Violation) {
	t.model.add(v.Model)
	t.fault.add(string(v.Fault))
	t.feature.add(v.Feature)
	t.chunk.add(c)
	t.rank.add(v.Rank)
	t.offset.add(v.Offset)
	t.version.add(v.Version)
	t.value.add(v.Value)
	t.reason.add(v.Reason)
	t.time.add(v.Time)
}

func (t *violationTable) columns() columns {
	c := append(columns{{"model", &t.model}, {"fault", &t.fault}, {"feature", &t.feature}}, t.chunk.columns()...)
	return append(c, columns{
		{"rank", &t.rank},
		{"offset", &t.offset},
		{"version", &t.version},
		{"value", &t.value},
		{"reason", &t.reason},
		{"time", &t.time},
	}...)
}

type tripTable struct {
	model                   list[string]
	spec                    list[uint64]
	fault, feature, version list[string]
	chunk                   chunkColumns
	offset, end             list[int64]
	window, onset, time     list[int64]
	onsetOffset             list[int64]
	bad, rows               list[uint64]
	value, reason           list[string]
}

func (t *tripTable) add(c schemas.Chunk, end int64, r *schemas.Trip) {
	t.model.add(r.Model)
	t.spec.add(r.SpecSeq)
	t.fault.add(string(r.Fault))
	t.feature.add(r.Feature)
	t.version.add(r.Version)
	t.chunk.add(c)
	t.offset.add(r.Offset)
	t.end.add(end)
	t.window.add(r.WindowStart)
	t.onset.add(r.Onset)
	t.time.add(r.Time)
	t.onsetOffset.add(r.OnsetOffset)
	t.bad.add(r.Bad)
	t.rows.add(r.Rows)
	t.value.add(r.Value)
	t.reason.add(r.Reason)
}

func (t *tripTable) columns() columns {
	c := append(columns{
		{"model", &t.model},
		{"spec_seq", &t.spec},
		{"fault", &t.fault},
		{"feature", &t.feature},
		{"version", &t.version},
	}, t.chunk.columns()...)
	return append(c, columns{
		{"offset", &t.offset},
		{"end_offset", &t.end},
		{"window_start", &t.window},
		{"onset", &t.onset},
		{"time", &t.time},
		{"onset_offset", &t.onsetOffset},
		{"bad", &t.bad},
		{"rows", &t.rows},
		{"value", &t.value},
		{"reason", &t.reason},
	}...)
}

// paneKey are the columns that a pane and its samples share.
type paneKey struct {
	model list[string]
	spec  list[uint64]
	chunk chunkColumns
	seq   list[uint32]
}

func (t *paneKey) add(c schemas.Chunk, p *schemas.Pane) {
	t.model.add(p.Model)
	t.spec.add(p.SpecSeq)
	t.chunk.add(c)
	t.seq.add(p.Seq)
}

func (t *paneKey) columns() columns {
	c := append(columns{{"model", &t.model}, {"spec_seq", &t.spec}}, t.chunk.columns()...)
	return append(c, column{"seq", &t.seq})
}

type paneTable struct {
	key                  paneKey
	from, to, start, end list[int64]
	rows                 list[uint64]
}

func (t *paneTable) add(c schemas.Chunk, p *schemas.Pane) {
	t.key.add(c, p)
	t.from.add(p.From)
	t.to.add(p.To)
	t.start.add(p.Start)
	t.end.add(p.End)
	t.rows.add(p.Rows)
}

func (t *paneTable) columns() columns {
	return append(t.key.columns(), columns{
		{"from_offset", &t.from},
		{"to_offset", &t.to},
		{"start", &t.start},
		{"end", &t.end},
		{"rows", &t.rows},
	}...)
}

type sampleTable struct {
	key        paneKey
	rank       list[uint64]
	offset     list[int64]
	paneStart  list[int64]
	version    list[string]
	time       list[int64]
	numbers    lists[float64]
	categories lists[string]
	kinds      lists[uint8]
	scratch    []uint8
}

func (t *sampleTable) add(c schemas.Chunk, p *schemas.Pane, s *schemas.PaneSample) {
	t.key.add(c, p)
	t.rank.add(s.Rank)
	t.offset.add(s.Offset)
	t.paneStart.add(p.Start)
	t.version.add(s.Version)
	t.time.add(s.Time)
	t.numbers.add(s.Numbers)
	t.categories.add(s.Categories)
	t.scratch = t.scratch[:0]
	for _, k := range s.Kinds {
		t.scratch = append(t.scratch, uint8(k))
	}
	t.kinds.add(t.scratch)
}

func (t *sampleTable) columns() columns {
	return append(t.key.columns(), columns{
		{"rank", &t.rank},
		{"offset", &t.offset},
		{"pane_start", &t.paneStart},
		{"version", &t.version},
		{"time", &t.time},
		{"numbers", &t.numbers},
		{"categories", &t.categories},
		{"kinds", &t.kinds},
	}...)
}

type progressTable struct {
	chunk                                         chunkColumns
	previous, end                                 list[int64]
	spec, rewind                                  list[uint64]
	clockStart, clock                             list[int64]
	rows, late                                    list[uint64]
	reasons                                       lists[string]
	counts                                        lists[uint64]
	models                                        lists[string]
	parts                                         lists[uint8]
	starts, maxima                                lists[int64]
	markRows                                      lists[uint64]
	silentStarts, silences                        lists[int64]
	gapFrom, gapTo                                list[int64]
	highWatermark, logStart, idleSince, writtenAt list[int64]
	leaderEpoch                                   list[int32]
}

func (t *progressTable) add(p *schemas.Progress) {
	t.chunk.add(p.Chunk)
	t.previous.add(p.Previous)
	t.end.add(p.End)
	t.spec.add(p.SpecSeq)
	t.rewind.add(p.RewindSeq)
	t.clockStart.add(p.ClockStart)
	t.clock.add(p.Clock)
	t.rows.add(p.Rows)
	t.late.add(p.Late)
	for _, r := range p.Rejected {
		t.reasons.flat = append(t.reasons.flat, r.Reason)
		t.counts.flat = append(t.counts.flat, r.Count)
	}
	t.reasons.add(nil)
	t.counts.add(nil)
	for _, m := range p.Marks {
		t.models.flat = append(t.models.flat, m.Model)
		t.parts.flat = append(t.parts.flat, uint8(m.Part))
		t.starts.flat = append(t.starts.flat, m.MaxStart)
		t.maxima.flat = append(t.maxima.flat, m.Max)
		t.markRows.flat = append(t.markRows.flat, m.Rows)
		t.silentStarts.flat = append(t.silentStarts.flat, m.SilentStart)
		t.silences.flat = append(t.silences.flat, m.Silent)
	}
	t.models.add(nil)
	t.parts.add(nil)
	t.starts.add(nil)
	t.maxima.add(nil)
	t.markRows.add(nil)
	t.silentStarts.add(nil)
	t.silences.add(nil)
	t.gapFrom.add(p.GapFrom)
	t.gapTo.add(p.GapTo)
	t.highWatermark.add(p.HighWatermark)
	t.logStart.add(p.LogStart)
	t.leaderEpoch.add(p.LeaderEpoch)
	t.idleSince.add(p.IdleSince)
	t.writtenAt.add(p.At)
}

func (t *progressTable) columns() columns {
	return append(t.chunk.columns(), columns{
		{"previous", &t.previous},
		{"end_offset", &t.end},
		{"spec_seq", &t.spec},
		{"rewind_seq", &t.rewind},
		{"clock_start", &t.clockStart},
		{"clock", &t.clock},
		{"rows", &t.rows},
		{"late", &t.late},
		{"rejected_reasons", &t.reasons},
		{"rejected_counts", &t.counts},
		{"mark_models", &t.models},
		{"mark_parts", &t.parts},
		{"mark_starts", &t.starts},
		{"mark_maxima", &t.maxima},
		{"mark_rows", &t.markRows},
		{"mark_silent_starts", &t.silentStarts},
		{"mark_silences", &t.silences},
		{"gap_from", &t.gapFrom},
		{"gap_to", &t.gapTo},
		{"high_watermark", &t.highWatermark},
		{"log_start", &t.logStart},
		{"leader_epoch", &t.leaderEpoch},
		{"idle_since", &t.idleSince},
		{"written_at", &t.writtenAt},
	}...)
}
