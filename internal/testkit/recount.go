package testkit

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/modelwatch/modelwatch/schemas"
)

// Watched is one model as its monitor has it: the only spec that its rows
// count under, and the topics that the monitor names.
type Watched struct {
	Spec   schemas.Spec
	Topics []string
}

// Expected is what a log holds, as the rules count it.
type Expected struct {
	Windows    map[WindowKey]*WindowCounts
	Partitions map[PartitionKey]*PartitionCounts
}

// WindowKey names one row of the view windows.
type WindowKey struct {
	Model   string
	Version string
	Start   int64 // Unix milliseconds
	Role    string
	Feature string
	Slice   string
}

// String writes the key for people.
func (k WindowKey) String() string {
	return fmt.Sprintf("%s version=%q %s %s %s slice=%q", k.Model, k.Version, time.UnixMilli(k.Start).UTC().Format(time.RFC3339), k.Role, k.Feature, k.Slice)
}

// WindowCounts are the figures of one row of the view windows. Min, Max and
// Mean are NaN where there is none.
type WindowCounts struct {
	Rows, Present, Absent, Nulls, NaNs, Infs, Bad uint64
	Unseen, Outside, Unexpected, Clipped, Late    uint64
	Bins                                          []uint64
	Top                                           map[string]uint64
	Min, Max, Mean                                float64

	sum    int64
	column *schemas.SpecColumn // nil for counts of events
}

// PartitionKey names one row of the view progress.
type PartitionKey struct {
	Topic     string
	Partition int32
}

// PartitionCounts are the figures of one row of the view progress, the
// rejected events by reason.
type PartitionCounts struct {
	Offset     int64 // after the last record
	Rows, Late uint64
	Rejected   map[string]uint64
	Letters    map[int64]string // why each rejected event is, by its offset
}

// The constants of the chunk rule and of what a chunk remembers.
const (
	chunkOffsets  = 1 << 20
	chunkSpan     = 4096
	chunkBucket   = 5 * time.Minute
	chunkLongest  = 24 * time.Hour
	chunkIDs      = 1 << 17
	chunkVersions = 32
)

// largestBatch is the most bytes that a batch of records may have to be read.
const largestBatch = 32 << 20

// exactLimit bounds the multiples of a unit that enter a sum.
const exactLimit = 1 << 37

// recountWait bounds the reading of the whole log.
const recountWait = 5 * time.Minute

// Recount reads every topic of the models from its first record to its last
// committed one and counts what is there by the rules that the program
// documents, with another client and another JSON reader than the program has:
//
//   - A record is read as a native event. One that cannot be used is counted by
//     its reason, and as the fault unparsable of the model that it names, or of
//     the only model of its topic where it names none: in the features window,
//     version empty, that holds the record's time limited to [m - late_horizon, m],
//     m being the greatest event time of the model in the partition so far.
//   - An event of a time past that of its record by more than max_future is a
//     future_event; one more than late_horizon behind the greatest event time
//     that its model and any part of it had in this partition is late_data. Both
//     are rejected alike. An event is late if that greatest time had reached the
//     end of its window and lateness by then.
//   - Every part counts in the window of the event's time: under the version of
//     the event, but labels under the empty one; of the versions of one model
//     the first 32 of a chunk are told apart.
//   - An id is a duplicate if this chunk or the one before had it for the same
//     model and part; a chunk remembers its first 131072. Events rejected for
//     their time are remembered too.
//   - A chunk begins at a record of another 2^20 offsets than the chunk's start;
//     or that is 4096 offsets or more from that start, once the running maximum
//     of record times is in another five minutes than it was at the chunk's first
//     record; or once that maximum has grown by a day.
//   - A record of more than 32 MiB, sent by itself and not compressed, is left
//     out as a gap, behind which a chunk begins.
//   - A number is counted in the bin i with edges[i-1] < x <= edges[i]; its mean
//     is that of round((x - anchor) / unit), ties to even and limited to 2^37 to
//     either side. A category outside the spec's counts in the last bin.
//   - Events that carry features are counted by slice too; a value that a slice
//     does not list is of the slice other.
func Recount(tb testing.TB, brokers []string, watched ...Watched) *Expected {
	tb.Helper()
	// Cleanups may recount too, after the test's own context has ended.
	ctx, cancel := context.WithTimeout(context.Background(), recountWait)
	defer cancel()
	r := recount{models: map[string]*schemas.Spec{}, only: map[string]string{}, want: &Expected{
		Windows: map[WindowKey]*WindowCounts{}, Partitions: map[PartitionKey]*PartitionCounts{},
	}}
	var topics []string
	for i := range watched {
		w := &watched[i]
		if r.models[w.Spec.Model] != nil {
			tb.Fatalf("recounting: model %s is given twice", w.Spec.Model)
		}
		r.models[w.Spec.Model] = &w.Spec
		for _, t := range w.Topics {
			if _, shared := r.only[t]; shared {
				r.only[t] = ""
				continue
			}
			r.only[t] = w.Spec.Model
			topics = append(topics, t)
		}
	}
	if err := r.read(ctx, brokers, topics); err != nil {
		tb.Fatalf("recounting: %v", err)
	}
	for _, w := range r.want.Windows {
		w.finish()
	}
	return r.want
}

// recount is one run of Recount.
type recount struct {
	models map[string]*schemas.Spec
	only   map[string]string // by topic: its only model, "" where there are several
	want   *Expected
}

// read passes every record of the topics, in order within each partition.
func (r *recount) read(ctx context.Context, brokers, topics []string) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // they may be the last of a partition
		kgo.FetchMaxBytes(64<<20), kgo.BrokerMaxReadBytes(256<<20),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	starts, err := ListOffsets(ctx, admin.ListStartOffsets, topics...)
	if err != nil {
		return err
	}
	ends, err := ListOffsets(ctx, admin.ListCommittedOffsets, topics...)
	if err != nil {
		return err
	}
	logs := map[PartitionKey]*partitionLog{}
	open := 0
	consume := map[string]map[int32]kgo.Offset{}
	ends.Each(func(o kadm.ListedOffset) {
		start, _ := starts.Lookup(o.Topic, o.Partition)
		at := PartitionKey{o.Topic, o.Partition}
		counts := &PartitionCounts{Offset: o.Offset, Rejected: map[string]uint64{}, Letters: map[int64]string{}}
		r.want.Partitions[at] = counts
		if start.Offset >= o.Offset {
			return
		}
		logs[at] = newPartitionLog(r, o.Topic, counts, start.Offset)
		if consume[o.Topic] == nil {
			consume[o.Topic] = map[int32]kgo.Offset{}
		}
		consume[o.Topic][o.Partition] = kgo.NewOffset().At(start.Offset)
		open++
	})
	if open == 0 {
		return nil
	}
	client.AddConsumePartitions(consume)
	for open > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			log := logs[PartitionKey{rec.Topic, rec.Partition}]
			if log.done {
				return
			}
			if !rec.Attrs.IsControl() {
				log.pass(rec)
			}
			if rec.Offset+1 >= log.counts.Offset {
				log.done = true
				open--
			}
		})
	}
	return nil
}

// modelPart names what a greatest event time is kept of.
type modelPart struct {
	model string
	part  schemas.Part
}

// seenID is an id as duplicates are told by it.
type seenID struct {
	model string
	part  schemas.Part
	id    string
}

// partitionLog is the reading of one partition.
type partitionLog struct {
	r      *recount
	topic  string
	counts *PartitionCounts
	done   bool

	start    int64 // offset of the chunk
	at       int64 // offset of the record
	begun    bool  // the chunk has a record
	begunAt  int64 // running maximum of record times at that record
	clock    int64 // the same now
	times    map[modelPart]int64
	ids      map[seenID]bool
	previous map[seenID]bool
	versions map[string]map[string]bool // by model, of the chunk
}

func newPartitionLog(r *recount, topic string, counts *PartitionCounts, start int64) *partitionLog {
	return &partitionLog{
		r: r, topic: topic, counts: counts, start: start, clock: math.MinInt64,
		times: map[modelPart]int64{}, ids: map[seenID]bool{}, previous: map[seenID]bool{}, versions: map[string]map[string]bool{},
	}
}

// pass takes in the next record.
func (l *partitionLog) pass(rec *kgo.Record) {
	if len(rec.Value) > largestBatch {
		l.beginChunk(rec.Offset + 1)
		return
	}
	ts := rec.Timestamp.UnixMilli()
	l.at = rec.Offset
	clock := max(l.clock, ts)
	if l.beginsChunk(rec.Offset, clock) {
		l.beginChunk(rec.Offset)
	}
	l.clock = clock
	if !l.begun {
		l.begun, l.begunAt = true, clock
	}
	e := readEvent(rec.Value, ts, func(model string) (string, bool) {
		if s := l.r.models[model]; s != nil {
			return s.Positive, true
		}
		return "", false
	})
	switch e.reason {
	case "":
	case "tombstone", "unknown_model":
		l.counts.reject(l.at, e.reason)
		return
	default:
		if e.model == "" {
			e.model = l.r.only[l.topic]
		}
		l.reject(e.reason, string(schemas.FaultUnparsable), e.model, ts)
		return
	}
	duplicate := l.remember(&e)
	late, fault := l.judgeTime(&e, ts)
	if fault != "" {
		l.reject(fault, fault, e.model, ts)
		return
	}
	l.counts.Rows++
	if late {
		l.counts.Late++
	}
	l.count(&e, late, duplicate)
}

func (l *partitionLog) beginChunk(start int64) {
	l.start, l.begun = start, false
	l.previous, l.ids = l.ids, map[seenID]bool{}
	l.versions = map[string]map[string]bool{}
}

// beginsChunk applies the chunk rule to a record; clock takes its time in.
func (l *partitionLog) beginsChunk(offset, clock int64) bool {
	if offset/chunkOffsets != l.start/chunkOffsets {
		return true
	}
	if !l.begun {
		return false
	}
	bucket := float64(chunkBucket.Milliseconds())
	left := math.Floor(float64(clock)/bucket) != math.Floor(float64(l.begunAt)/bucket)
	return clock-l.begunAt >= chunkLongest.Milliseconds() || left && offset-l.start >= chunkSpan
}

// remember keeps the event's id and returns the parts that had it before.
func (l *partitionLog) remember(e *event) (duplicate schemas.Part) {
	if e.id == "" {
		return 0
	}
	for _, p := range schemas.Parts {
		if e.parts&p == 0 {
			continue
		}
		id := seenID{e.model, p, e.id}
		if l.ids[id] || l.previous[id] {
			duplicate |= p
		}
		if len(l.ids) < chunkIDs {
			l.ids[id] = true
		}
	}
	return duplicate
}

// judgeTime says whether the event's time lets it count, and late.
func (l *partitionLog) judgeTime(e *event, ts int64) (late bool, fault string) {
	s := l.r.models[e.model]
	if e.at > ts+s.MaxFuture.Milliseconds() {
		return false, string(schemas.FaultFutureEvents)
	}
	for _, p := range schemas.Parts {
		newest, known := l.times[modelPart{e.model, p}]
		if e.parts&p == 0 || !known {
			continue
		}
		if e.at < newest-s.LateHorizon.Milliseconds() {
			return false, string(schemas.FaultLateData)
		}
		if windowOf(s, e.at)+s.Window.Milliseconds()+s.Lateness.Milliseconds() <= newest {
			late = true
		}
	}
	for _, p := range schemas.Parts {
		if e.parts&p == 0 {
			continue
		}
		if newest, known := l.times[modelPart{e.model, p}]; !known || e.at > newest {
			l.times[modelPart{e.model, p}] = e.at
		}
	}
	return late, ""
}

// windowOf is the start of the window of a time; windows are aligned to 1970.
func windowOf(s *schemas.Spec, at int64) int64 {
	w := s.Window.Milliseconds()
	start := at / w * w
	if start > at {
		start -= w
	}
	return start
}

func (p *PartitionCounts) reject(offset int64, reason string) {
	p.Rejected[reason]++
	p.Letters[offset] = reason
}

// reject counts an event that cannot be used, and the fault of its model.
func (l *partitionLog) reject(reason, fault, model string, ts int64) {
	l.counts.reject(l.at, reason)
	s := l.r.models[model]
	if s == nil {
		return
	}
	at, newest, known := ts, int64(math.MinInt64), false
	for _, p := range schemas.Parts {
		if t, ok := l.times[modelPart{model, p}]; ok {
			newest, known = max(newest, t), true
		}
	}
	if known {
		at = max(min(at, newest), newest-s.LateHorizon.Milliseconds())
	}
	k := WindowKey{Model: model, Start: windowOf(s, at), Role: schemas.RoleRows.String(), Feature: fault}
	l.r.window(k, nil).Rows++
}

// window returns the counts of a key, new ones at first.
func (r *recount) window(k WindowKey, c *schemas.SpecColumn) *WindowCounts {
	w := r.want.Windows[k]
	if w == nil {
		w = &WindowCounts{column: c, Min: math.NaN(), Max: math.NaN(), Mean: math.NaN()}
		switch {
		case c == nil:
		case c.Type == schemas.TypeCategory:
			w.Bins = make([]uint64, len(c.Categories)+1)
		default:
			w.Bins = make([]uint64, len(c.Edges)+1)
		}
		r.want.Windows[k] = w
	}
	return w
}

// versionOf returns the version that an event counts under.
func (l *partitionLog) versionOf(e *event) string {
	if e.version == "" || e.version == schemas.OtherValue {
		return e.version
	}
	known := l.versions[e.model]
	if known == nil {
		known = map[string]bool{}
		l.versions[e.model] = known
	}
	if !known[e.version] {
		if len(known) >= chunkVersions {
			return schemas.OtherValue
		}
		known[e.version] = true
	}
	return e.version
}

// count counts an event in all its windows.
func (l *partitionLog) count(e *event, late bool, duplicate schemas.Part) {
	s := l.r.models[e.model]
	version := l.versionOf(e)
	inSlices := slicesOf(s, e)
	values := make([]value, len(s.Columns))
	for i := range s.Columns {
		if c := &s.Columns[i]; e.parts&c.Role.Part() != 0 {
			values[i] = valueOf(e.raw(c), textual(c))
		}
	}
	for _, p := range schemas.Parts {
		if e.parts&p == 0 {
			continue
		}
		k := WindowKey{Model: e.model, Version: version, Start: windowOf(s, e.at)}
		if p == schemas.PartLabel {
			k.Version = ""
		}
		k.Role, k.Feature = schemas.RoleRows.String(), p.String()
		rows := l.r.window(k, nil)
		rows.Rows++
		rows.Present++
		if late {
			rows.Late++
		}
		if duplicate&p != 0 {
			k.Feature = string(schemas.FaultDuplicates)
			l.r.window(k, nil).Rows++
		}
		if p == schemas.PartFeatures && e.hasExtra(s) {
			k.Feature = string(schemas.FaultExtraColumn)
			l.r.window(k, nil).Rows++
		}
		for i := range s.Columns {
			c := &s.Columns[i]
			if c.Role.Part() != p {
				continue
			}
			k.Role, k.Feature = c.Role.String(), c.Name
			for _, k.Slice = range inSlices {
				l.r.window(k, c).add(values[i], late)
			}
			k.Slice = ""
		}
	}
}

// slicesOf lists the slices of an event, the whole first.
func slicesOf(s *schemas.Spec, e *event) []string {
	out := []string{""}
	if e.parts&schemas.PartFeatures == 0 {
		return out
	}
	for i := range s.Slices {
		sl := &s.Slices[i]
		values := make([]string, len(sl.Columns))
		for j, name := range sl.Columns {
			if v := valueOf(e.features[name], true); v.kind == isText || v.kind == isNumber {
				values[j] = v.text
			}
		}
		if !slices.ContainsFunc(sl.Values, func(listed []string) bool { return slices.Equal(listed, values) }) {
			for j := range values {
				values[j] = schemas.OtherValue
			}
		}
		out = append(out, schemas.SliceName(sl.Columns, values))
	}
	return out
}

// textual says whether a column may hold categories, whatever it is now.
func textual(c *schemas.SpecColumn) bool {
	return c.Type == schemas.TypeCategory || c.Role == schemas.RolePrediction || c.Role == schemas.RoleLabel
}

// raw is the value of a column in the event, nil for none.
func (e *event) raw(c *schemas.SpecColumn) json.RawMessage {
	switch c.Role {
	case schemas.RoleFeature:
		return e.features[c.Name]
	case schemas.RolePrediction:
		return e.prediction
	case schemas.RoleScore:
		return e.score
	case schemas.RoleLabel:
		return e.label
	case schemas.RoleLatency:
		return e.latency
	}
	return nil
}

func (e *event) hasExtra(s *schemas.Spec) bool {
	for name := range e.features {
		if s.Column(schemas.RoleFeature, name) == nil {
			return true
		}
	}
	return false
}

// add counts one value.
func (w *WindowCounts) add(v value, late bool) {
	w.Rows++
	if late {
		w.Late++
	}
	c := w.column
	switch v.kind {
	case isAbsent:
		w.Absent++
	case isNull:
		w.Nulls++
	case isNaN:
		w.NaNs++
	case isPosInf, isNegInf:
		w.Infs++
	case isNested:
		w.Bad++
	case isText, isNumber:
		switch {
		case c.Type == schemas.TypeCategory:
			w.addCategory(v.text)
		case v.kind == isNumber:
			w.addNumber(v.number)
		default:
			w.Bad++
		}
	}
}

func (w *WindowCounts) addCategory(text string) {
	c := w.column
	w.Present++
	i := slices.Index(c.Categories, text)
	if i < 0 {
		i = len(c.Categories)
		w.Unseen++
	}
	w.Bins[i]++
	if len(c.Set) > 0 && !slices.Contains(c.Set, text) {
		w.Unexpected++
	}
}

func (w *WindowCounts) addNumber(x float64) {
	c := w.column
	w.Present++
	if x == 0 {
		x = 0 // there is one zero
	}
	w.Bins[sort.SearchFloat64s(c.Edges, x)]++
	if c.Min != nil && x < *c.Min || c.Max != nil && x > *c.Max {
		w.Outside++
	}
	steps := math.RoundToEven((x - c.Anchor) / c.Unit)
	if raw := (x - c.Anchor) / c.Unit; math.Abs(raw) > exactLimit {
		w.Clipped++
	}
	w.sum += int64(max(-exactLimit, min(exactLimit, steps)))
	if w.Present == 1 || x < w.Min {
		w.Min = x
	}
	if w.Present == 1 || x > w.Max {
		w.Max = x
	}
}

// finish computes what rests on all values.
func (w *WindowCounts) finish() {
	c := w.column
	switch {
	case c == nil:
	case c.Type == schemas.TypeCategory:
		w.Top = map[string]uint64{}
		for i, v := range c.Categories {
			w.Top[v] += w.Bins[i]
		}
		w.Top[schemas.OtherValue] += w.Unseen
	case w.Present > 0:
		w.Mean = c.Anchor + c.Unit*(float64(w.sum)/float64(w.Present))
	}
}
