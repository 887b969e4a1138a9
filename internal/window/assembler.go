package window

import (
	"sort"

	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// MaxVersions is how many versions of a model one chunk tells apart; rows of
// further ones count under the version schemas.OtherValue.
const MaxVersions = 32

// Assembler gathers the rows of one chunk of one partition. It is owned by
// one goroutine.
type Assembler struct {
	models   *Models
	chunk    schemas.Chunk
	previous int64
	salt     uint64 // of the topic id and partition, for ranks
	clock    clock
	clockAt0 int64
	steady   int64 // record time gone by since the chunk's start, in steps of at most maxStep
	end      int64

	state    map[string]*state // by model
	order    []*state          // in the order of their first row
	layouts  []*schemas.Layout // of order, side by side
	last     *state            // that was asked for
	marks    map[markKey]*mark
	rows     uint64
	late     uint64
	rejected map[string]uint64

	seen, before *idSet  // ids of this chunk and of the one before
	arrived      []newID // ids that were not looked up yet, in the order of the log
	looked       uint64  // what a look at memory ahead of its use has found: nothing of interest

	ids []schemas.IDRow // since the last Clear

	texts texts
	spare spare

	// Scratch of the block being added.
	run        Run
	classified []summary.Classified
	buckets    [][]int32 // rows by slice
	touched    []uint16
	picked     []pick
}

type markKey struct {
	model string
	part  schemas.Part
}

type mark struct {
	start, max, rows int64
	silentStart      int64
	silent, since    int64 // silent for so long when the chunk's steady clock stood at since
}

// maxStep is how much of a step between two records counts as time gone by:
// one record with a wrong timestamp must not make all others late.
const maxStep = 60_000 // milliseconds

// state is one model's share of the chunk.
type state struct {
	name     string
	hash     uint64 // of the name
	model    *Model
	marks    [len(schemas.Parts)]*mark // those of the assembler, where they are there
	versions map[string]uint16         // places in names
	names    []string                  // of versions in the order they came; the first is "" and the second schemas.OtherValue
	latest   uint16                    // place of the last version that came
	open     map[groupKey]*group
	groups   []*group // in the order of their first row
	pane     pane
	panes    []schemas.Pane // closed since the last Clear

	// Of the rows of the block being filled, set by Admit.
	window    [schemas.BlockRows]int64
	spec      [schemas.BlockRows]*compiled
	lateRow   [schemas.BlockRows]bool
	duplicate [schemas.BlockRows]schemas.Part
	version   [schemas.BlockRows]uint16

	inGroup []blockGroup
}

// groupKey names one window of one part as one spec has it.
type groupKey struct {
	spec    *compiled
	part    schemas.Part
	version uint16
	window  int64
}

// group is an open window of one part: its summaries, whole and by slice.
type group struct {
	groupKey
	rows   counter
	faults map[schemas.Fault]*counter
	name   string                 // of the version
	whole  []*summary.Accumulator // by position in spec.byPart[part]
	slices [][]*sliced            // by slicing, by slice code; nil where no row fell
	dirty  bool
}

// counter is a RoleRows summary: it only counts.
type counter struct {
	summary.Summary
	dirty bool
}

type sliced struct {
	columns []*summary.Accumulator
	dirty   bool
}

type blockGroup struct {
	groupKey
	rows []int32
}

// Run is the stretch [From, To) of a block's rows that count under one spec,
// in the order of the log, as Add hands it to its visitor. The arrays are
// indexed by row of the block and valid during the call.
type Run struct {
	Spec      *schemas.SpecRecord
	Block     *schemas.Block
	From, To  int
	Columns   []summary.Classified // by position in Spec.Spec.Columns
	Layout    []int                // by position in Spec.Spec.Columns: the block's column
	Window    []int64              // the start of the row's window
	Version   []uint16             // place in Versions
	Versions  []string
	Duplicate []schemas.Part // the parts whose id was there before
	Repeats   bool           // some row of the stretch has a duplicate id
}

// Start is where a chunk starts and what its partition knew by then.
type Start struct {
	Chunk    schemas.Chunk
	Previous int64 // start of the chunk before, -1 for none
	Clock    int64 // running maximum of record timestamps; NoTime before the first
	Marks    []schemas.Mark
}

// New returns an assembler for the chunk that begins at s.
func New(models *Models, s Start) *Assembler {
	a := &Assembler{seen: &idSet{}, before: &idSet{}}
	a.begin(models, s)
	return a
}

func (a *Assembler) begin(models *Models, s Start) {
	a.models, a.chunk, a.previous = models, s.Chunk, s.Previous
	a.salt = Salt(s.Chunk)
	a.clock = clock{start: s.Chunk.Start, first: NoTime, max: s.Clock}
	a.clockAt0 = s.Clock
	a.steady = 0
	a.end = s.Chunk.Start
	a.state = map[string]*state{}
	a.order, a.layouts, a.last = nil, nil, nil
	a.marks = make(map[markKey]*mark, len(s.Marks))
	for _, m := range s.Marks {
		a.marks[markKey{m.Model, m.Part}] = &mark{start: m.Max, max: m.Max, silentStart: m.Silent, silent: m.Silent}
	}
	a.rows, a.late = 0, 0
	a.rejected = map[string]uint64{}
	a.ids = a.ids[:0]
}

// Salt is what distinguishes a partition in the ranks of its rows.
func Salt(c schemas.Chunk) uint64 {
	var b [20]byte
	copy(b[:], c.Epoch.TopicID[:])
	b[16], b[17], b[18], b[19] = byte(c.Partition), byte(c.Partition>>8), byte(c.Partition>>16), byte(c.Partition>>24)
	return schemas.Hash(b[:])
}

// Rank is the place of the record at offset among all records of its
// partition, for samples: a hash of topic id, partition and offset.
func Rank(salt uint64, offset int64) uint64 {
	return mix(salt ^ mix(uint64(offset)+0x9e3779b97f4a7c15))
}

// mix is the finaliser of MurmurHash3: a bijection that spreads every bit.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// Border says whether the record (offset, timestamp in Unix milliseconds)
// begins a new chunk. The caller then stores this chunk up to offset and
// calls Next before it takes the record in.
func (a *Assembler) Border(offset, ts int64) bool { return a.clock.border(offset, ts) }

// Observe takes a record's place in the log into account, whether its event can be used or not.
func (a *Assembler) Observe(offset, ts int64) {
	before := a.clock.max
	a.clock.advance(ts)
	if before != NoTime {
		a.steady += min(a.clock.max-before, maxStep)
	}
	a.end = offset + 1
}

// Next seals the chunk and begins the one that starts at offset, under the
// given models.
func (a *Assembler) Next(models *Models, offset int64) {
	s := Start{Chunk: a.chunk, Previous: a.chunk.Start, Clock: a.clock.max}
	s.Chunk.Start = offset
	for k, m := range a.marks {
		s.Marks = append(s.Marks, schemas.Mark{Model: k.model, Part: k.part, Max: m.max, Silent: a.silent(m)})
	}
	a.lookUp()
	a.seen, a.before = a.before, a.seen
	a.seen.reset()
	a.begin(models, s)
}

// Skip moves the end past records that are not there: control batches,
// aborted transactions, holes of compaction.
func (a *Assembler) Skip(end int64) { a.end = max(a.end, end) }

// End is the offset after the last record taken in.
func (a *Assembler) End() int64 { return a.end }

// Chunk names the open chunk.
func (a *Assembler) Chunk() schemas.Chunk { return a.chunk }

// Warm remembers the ids of a block of the chunk before, uncounted.
func (a *Assembler) Warm(b *schemas.Block) {
	model := schemas.HashString(b.Layout.Model)
	for row := range b.N {
		for _, p := range schemas.Parts {
			if b.Parts[row]&p != 0 && b.ID[row] != 0 {
				a.before.add(idKey(b.ID[row], model, p))
			}
		}
	}
}

// idKey tells the ids of one model and part, by its hash, from those of all others.
func idKey(id, model uint64, p schemas.Part) uint64 {
	h := mix(id ^ model + uint64(p))
	if h == 0 {
		h = 1
	}
	return h
}

// Admit judges the time of the last committed row of b. It returns "" when
// the row counts; otherwise the fault for which it does not
// (future_events, late_data), and the caller takes the row back.
func (a *Assembler) Admit(b *schemas.Block) schemas.Fault {
	row := b.N - 1
	st := a.ofBlock(b)
	st.duplicate[row] = 0
	fault := a.admit(st, b, row)
	a.remember(st, b, row, fault == "")
	return fault
}

func (a *Assembler) admit(st *state, b *schemas.Block, row int) schemas.Fault {
	t := b.Time[row]
	c := st.model.at(t)
	start := c.start(t)
	if t > b.Timestamp[row]+c.maxFuture {
		return schemas.FaultFutureEvents
	}
	late := false
	for i, p := range schemas.Parts {
		if b.Parts[row]&p == 0 {
			continue
		}
		if st.marks[i] == nil {
			st.marks[i] = a.mark(b.Layout.Model, p)
		}
		if m := st.marks[i]; m.max != NoTime {
			if t < m.max-c.lateHorizon {
				return schemas.FaultLateData
			}
			late = late || start+c.window+c.lateness <= m.max
		}
	}
	for i, p := range schemas.Parts {
		if b.Parts[row]&p != 0 {
			m := st.marks[i]
			m.max = max(m.max, t)
			m.rows++
			m.silent, m.since = 0, a.steady
		}
	}
	st.window[row], st.spec[row], st.lateRow[row] = start, c, late
	a.rows++
	if late {
		a.late++
	}
	return ""
}

// newID is an id that has arrived.
type newID struct {
	key  uint64
	st   *state
	row  int16 // of the model's block; -1 for an event that does not count
	part schemas.Part
}

// maxArrived is how many ids are looked up together.
const maxArrived = 512

// remember keeps the row's id. Events that will not count are remembered too:
// whether one counts is not known any more when a chunk is read again for its
// ids only.
func (a *Assembler) remember(st *state, b *schemas.Block, row int, counts bool) {
	if b.ID[row] == 0 {
		return
	}
	at := int16(row)
	if !counts {
		at = -1
	}
	for _, p := range schemas.Parts {
		if b.Parts[row]&p != 0 {
			a.arrived = append(a.arrived, newID{idKey(b.ID[row], st.hash, p), st, at, p})
		}
	}
	if len(a.arrived) >= maxArrived {
		a.lookUp()
	}
}

// lookUp finds which of the ids that have arrived this chunk or the one before had
// already. Each id is in another place of a memory larger than the processor's
// caches: many together take not much longer than one, if the first look at one
// need not wait for that at another.
func (a *Assembler) lookUp() {
	const together = 64
	for left := a.arrived; len(left) > 0; {
		ids := left[:min(len(left), together)]
		left = left[len(ids):]
		for i := range ids {
			a.looked ^= a.seen.look(ids[i].key) ^ a.before.look(ids[i].key)
		}
		for i := range ids {
			id := &ids[i]
			if (a.seen.has(id.key) || a.before.has(id.key)) && id.row >= 0 {
				id.st.duplicate[id.row] |= id.part
			}
			a.seen.add(id.key)
		}
	}
	a.arrived = a.arrived[:0]
}

func (c *compiled) start(t int64) int64 { return floorDiv(t, c.window) * c.window }

// ofBlock returns the state of a block's model. Where models come in turns there
// are mostly few, and their layouts are found faster than their names.
func (a *Assembler) ofBlock(b *schemas.Block) *state {
	if a.last != nil && a.last.model.Layout == b.Layout {
		return a.last
	}
	for i, l := range a.layouts[:min(len(a.layouts), 32)] {
		if l == b.Layout {
			a.last = a.order[i]
			return a.last
		}
	}
	return a.of(b.Layout.Model)
}

func (a *Assembler) of(model string) *state {
	if a.last != nil && a.last.name == model {
		return a.last
	}
	st := a.state[model]
	if st == nil {
		st = &state{
			name: model, hash: schemas.HashString(model), model: a.models.byName[model], open: map[groupKey]*group{},
			versions: map[string]uint16{"": 0, schemas.OtherValue: 1}, names: []string{"", schemas.OtherValue},
		}
		a.state[model] = st
		a.order, a.layouts = append(a.order, st), append(a.layouts, st.model.Layout)
	}
	a.last = st
	return st
}

func (a *Assembler) mark(model string, p schemas.Part) *mark {
	k := markKey{model, p}
	m := a.marks[k]
	if m == nil {
		m = &mark{start: NoTime, max: NoTime}
		a.marks[k] = m
	}
	return m
}

// silent is how long nothing has come of a mark's part, in record time.
func (a *Assembler) silent(m *mark) int64 { return m.silent + a.steady - m.since }

// Reject counts an event that cannot be used. model is "" where it could not
// be told, part 0 where it is not known or there are several; ts is the
// record's timestamp, in whose window it is counted. It returns where it
// was counted: the spec, nil where no model is at fault, the part and the
// window's start.
func (a *Assembler) Reject(model, reason string, fault schemas.Fault, part schemas.Part, ts int64) (*schemas.SpecRecord, schemas.Part, int64) {
	a.rejected[reason]++
	if fault == "" || a.models.byName[model] == nil {
		return nil, 0, 0
	}
	st := a.of(model)
	if part.String() == "" {
		part = a.leading(model)
	}
	t := ts
	if m := a.latest(model); m != NoTime {
		t = max(min(ts, m), m-st.model.at(m).lateHorizon)
	}
	c := st.model.at(t)
	g := st.group(groupKey{c, part, 0, c.start(t)})
	g.fault(fault, 1)
	return c.record, part, g.window
}

// leading is the first part of the model that was delivered here; features
// where none was.
func (a *Assembler) leading(model string) schemas.Part {
	for _, p := range schemas.Parts {
		if m := a.marks[markKey{model, p}]; m != nil && m.max != NoTime {
			return p
		}
	}
	return schemas.PartFeatures
}

// Gap returns what is to be said of offsets [from, to) that are lost before
// the open chunk: one trip for each part that its partition has delivered, in
// the window up to which it had come.
func (a *Assembler) Gap(from, to int64, reason string) []schemas.Trip {
	var out []schemas.Trip
	for _, m := range a.Progress().Marks {
		model := a.models.byName[m.Model]
		if model == nil || m.Max == NoTime {
			continue
		}
		c := model.at(m.Max)
		out = append(out, schemas.Trip{
			Model: m.Model, SpecSeq: c.record.Seq, Fault: schemas.FaultRetentionGap, Feature: m.Part.String(), WindowStart: c.start(m.Max),
			Onset: m.Max, Time: m.Max, OnsetOffset: from, Offset: to, Bad: uint64(to - from), Rows: uint64(to - from), Reason: reason,
		})
	}
	return out
}

// latest is the greatest mark of a model, NoTime before its first row.
func (a *Assembler) latest(model string) int64 {
	t := int64(NoTime)
	for _, p := range schemas.Parts {
		if m := a.marks[markKey{model, p}]; m != nil {
			t = max(t, m.max)
		}
	}
	return t
}

// Add takes in the rows of a block, each of which Admit has let through, and
// hands them to visit, one run per spec. The block may be reused afterwards.
func (a *Assembler) Add(b *schemas.Block, visit func(*Run)) {
	if b.N == 0 {
		return
	}
	a.lookUp()
	st := a.ofBlock(b)
	for from := 0; from < b.N; {
		c := st.spec[from]
		to := from + 1
		for to < b.N && st.spec[to] == c {
			to++
		}
		a.addRun(st, b, c, from, to, visit)
		from = to
	}
	for row := range b.N {
		a.keepIDs(st, b, row)
		a.sample(st, b, row)
	}
	a.fill(st, b)
}

func (a *Assembler) addRun(st *state, b *schemas.Block, c *compiled, from, to int, visit func(*Run)) {
	for len(a.classified) < len(c.columns) {
		a.classified = append(a.classified, newClassified())
	}
	cls := a.classified[:len(c.columns)]
	var present schemas.Part
	for row := from; row < to; row++ {
		present |= b.Parts[row]
	}
	for i := range c.columns {
		if present&c.columns[i].part != 0 {
			c.columns[i].classify(&b.Columns[c.columns[i].layout], &cls[i], from, to)
		}
	}
	var repeats schemas.Part
	for row := from; row < to; row++ {
		st.version[row] = st.versionOf(b.Bytes(b.Version[row]))
		repeats |= st.duplicate[row]
	}
	if visit != nil {
		a.run = Run{
			Spec: c.record, Block: b, From: from, To: to, Columns: cls, Layout: c.layout, Window: st.window[:],
			Version: st.version[:], Versions: st.names, Duplicate: st.duplicate[:], Repeats: repeats != 0,
		}
		visit(&a.run)
	}
	for _, p := range schemas.Parts {
		if present&p == 0 {
			continue
		}
		for i := range st.split(b, c, p, from, to) {
			a.accumulate(st, b, c, cls, &st.inGroup[i])
		}
	}
}

// split gathers the rows [from, to) that carry part p by version and window.
func (st *state) split(b *schemas.Block, c *compiled, p schemas.Part, from, to int) []blockGroup {
	for i := range st.inGroup {
		st.inGroup[i].rows = st.inGroup[i].rows[:0]
	}
	n, last := 0, -1
	for row := from; row < to; row++ {
		if b.Parts[row]&p == 0 {
			continue
		}
		version := st.version[row]
		if p == schemas.PartLabel {
			version = 0 // a label is not of a version
		}
		k := groupKey{c, p, version, st.window[row]}
		if last < 0 || st.inGroup[last].groupKey != k {
			for last = 0; last < n && st.inGroup[last].groupKey != k; last++ {
			}
			if last == n {
				if n == len(st.inGroup) {
					st.inGroup = append(st.inGroup, blockGroup{})
				}
				st.inGroup[n].groupKey = k
				n++
			}
		}
		st.inGroup[last].rows = append(st.inGroup[last].rows, int32(row))
	}
	return st.inGroup[:n]
}

// versionOf interns a version, bounded per chunk.
func (st *state) versionOf(p []byte) uint16 {
	if string(p) != st.names[st.latest] {
		st.latest = st.intern(p)
	}
	return st.latest
}

func (st *state) intern(p []byte) uint16 {
	if v, ok := st.versions[string(p)]; ok {
		return v
	}
	if len(st.names) >= MaxVersions+2 {
		return 1
	}
	v := uint16(len(st.names))
	st.names = append(st.names, string(p))
	st.versions[st.names[v]] = v
	return v
}

func (st *state) group(k groupKey) *group {
	g := st.open[k]
	if g == nil {
		g = &group{groupKey: k, name: st.names[k.version], faults: map[schemas.Fault]*counter{}, slices: make([][]*sliced, len(k.spec.slices))}
		g.rows.Summary = *summary.New(0)
		for i, s := range k.spec.slices {
			g.slices[i] = make([]*sliced, len(s.names))
		}
		st.open[k] = g
		st.groups = append(st.groups, g)
	}
	return g
}

func (g *group) fault(f schemas.Fault, n uint64) {
	c := g.faults[f]
	if c == nil {
		c = &counter{Summary: *summary.New(0)}
		g.faults[f] = c
	}
	c.Rows += n
	c.dirty = true
	g.dirty = true
}

func (a *Assembler) accumulate(st *state, b *schemas.Block, c *compiled, cls []summary.Classified, bg *blockGroup) {
	g := st.group(bg.groupKey)
	g.dirty = true
	g.rows.dirty = true
	g.rows.Rows += uint64(len(bg.rows))
	g.rows.Present += uint64(len(bg.rows))
	late := st.late(bg.rows)
	g.rows.Late += late
	var dup uint64
	for _, row := range bg.rows {
		if st.duplicate[row]&bg.part != 0 {
			dup++
		}
	}
	if dup > 0 {
		g.fault(schemas.FaultDuplicates, dup)
	}
	if bg.part == schemas.PartFeatures && len(b.Extra) > 0 {
		if n := extraRows(b, bg.rows); n > 0 {
			g.fault(schemas.FaultExtraColumn, n)
		}
	}
	columns := c.byPart[bg.part]
	if g.whole == nil {
		g.whole = accumulators(c, columns, true)
	}
	addColumns(c, cls, columns, g.whole, bg.rows, late)
	for i := range c.slices {
		a.addSlices(st, b, c, cls, &c.slices[i], g.slices[i], columns, bg)
	}
}

// addSlices groups the rows by slice once and then adds each column slice by
// slice, so that the cost of a slice is that of its own rows.
func (a *Assembler) addSlices(st *state, b *schemas.Block, c *compiled, cls []summary.Classified, s *slicing, into []*sliced, columns []int, bg *blockGroup) {
	for len(a.buckets) < len(s.names) {
		a.buckets = append(a.buckets, nil)
	}
	a.touched = a.touched[:0]
	for _, row := range bg.rows {
		if b.Parts[row]&schemas.PartFeatures == 0 {
			continue // the event does not carry the slice's columns
		}
		code := s.of(c, cls, row)
		if len(a.buckets[code]) == 0 {
			a.touched = append(a.touched, code)
		}
		a.buckets[code] = append(a.buckets[code], row)
	}
	for _, code := range a.touched {
		if into[code] == nil {
			into[code] = &sliced{columns: accumulators(c, columns, false)}
		}
		into[code].dirty = true
		addColumns(c, cls, columns, into[code].columns, a.buckets[code], st.late(a.buckets[code]))
		a.buckets[code] = a.buckets[code][:0]
	}
}

func (s *slicing) of(c *compiled, cls []summary.Classified, row int32) uint16 {
	at := 0
	for i, col := range s.columns {
		if i == 1 {
			at *= s.width
		}
		cl := &cls[col]
		if cl.Class[row] != summary.Value {
			at += len(c.columns[col].Categories) // other
			continue
		}
		at += int(cl.Code[row])
	}
	return s.code[at]
}

// late counts the late ones of some rows.
func (st *state) late(rows []int32) (n uint64) {
	for _, row := range rows {
		if st.lateRow[row] {
			n++
		}
	}
	return n
}

func accumulators(c *compiled, columns []int, registers bool) []*summary.Accumulator {
	out := make([]*summary.Accumulator, len(columns))
	for i, at := range columns {
		out[i] = summary.NewAccumulator(c.columns[at].size(), registers)
	}
	return out
}

func addColumns(c *compiled, cls []summary.Classified, columns []int, acc []*summary.Accumulator, rows []int32, late uint64) {
	for i, at := range columns {
		if col := &c.columns[at]; col.Type == schemas.TypeCategory {
			acc[i].AddCategories(&cls[at], rows, late)
		} else {
			acc[i].AddNumbers(&cls[at], rows, late, col.Anchor, col.Unit)
		}
	}
}

func extraRows(b *schemas.Block, rows []int32) uint64 {
	var n uint64
	last := int32(-1)
	for _, e := range b.Extra {
		if e.Row == last {
			continue
		}
		i := sort.Search(len(rows), func(i int) bool { return rows[i] >= e.Row })
		if i < len(rows) && rows[i] == e.Row {
			n++
		}
		last = e.Row
	}
	return n
}

// Partials appends the summaries that have changed since they were last
// taken. With closed only those of windows that the partition's own mark has
// passed are taken: rows of them are late, and the evaluator may be waiting.
// What is appended points into the assembler and is valid until its next Add.
func (a *Assembler) Partials(into []summary.Partial, closed bool) []summary.Partial {
	for _, st := range a.order {
		for _, g := range st.groups {
			if !g.dirty || closed && !a.passed(st, g) {
				continue
			}
			into = g.take(into, st.model.Name)
		}
	}
	return into
}

func (a *Assembler) passed(st *state, g *group) bool {
	m := a.marks[markKey{st.model.Name, g.part}]
	if m == nil || m.max == NoTime {
		return false
	}
	reached := schemas.Mark{Max: m.max, Silent: a.silent(m)}
	return g.window+g.spec.window+g.spec.lateness <= reached.Reached()
}

func (g *group) take(into []summary.Partial, model string) []summary.Partial {
	g.dirty = false
	base := summary.Partial{Model: model, SpecSeq: g.spec.record.Seq, WindowStart: g.window, Part: g.part}
	put := func(role schemas.Role, feature, slice string, s *summary.Summary) {
		p := base
		p.Stream = schemas.Stream{Version: g.name, Role: role, Feature: feature, Slice: slice}
		p.Summary = s
		into = append(into, p)
	}
	if g.rows.dirty {
		g.rows.dirty = false
		put(schemas.RoleRows, g.part.String(), "", &g.rows.Summary)
	}
	for _, f := range sortedFaults(g.faults) {
		if c := g.faults[f]; c.dirty {
			c.dirty = false
			put(schemas.RoleRows, string(f), "", &c.Summary)
		}
	}
	columns := g.spec.byPart[g.part]
	for i, acc := range g.whole {
		c := &g.spec.columns[columns[i]]
		put(c.Role, c.Name, "", &acc.Summary)
	}
	for i, s := range g.slices {
		for code, sl := range s {
			if sl == nil || !sl.dirty {
				continue
			}
			sl.dirty = false
			for j, acc := range sl.columns {
				c := &g.spec.columns[columns[j]]
				put(c.Role, c.Name, g.spec.slices[i].names[code], &acc.Summary)
			}
		}
	}
	return into
}

func sortedFaults(m map[schemas.Fault]*counter) []schemas.Fault {
	out := make([]schemas.Fault, 0, len(m))
	for f := range m {
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}

// Dirty says whether a summary has changed since it was last taken.
func (a *Assembler) Dirty() bool {
	for _, st := range a.order {
		for _, g := range st.groups {
			if g.dirty {
				return true
			}
		}
	}
	return false
}

// Streams is the number of summaries held, by which memory is bounded.
func (a *Assembler) Streams() int {
	n := 0
	for _, st := range a.order {
		for _, g := range st.groups {
			n += len(g.whole) + 1
			for _, s := range g.slices {
				for _, sl := range s {
					if sl != nil {
						n += len(sl.columns)
					}
				}
			}
		}
	}
	return n
}

// Progress returns the chunk's progress as far as the log determines it.
func (a *Assembler) Progress() schemas.Progress {
	p := schemas.Progress{
		Chunk: a.chunk, Previous: a.previous, End: a.end, SpecSeq: a.models.seq,
		ClockStart: a.clockAt0, Clock: a.clock.max, Rows: a.rows, Late: a.late,
	}
	for r, n := range a.rejected {
		p.Rejected = append(p.Rejected, schemas.RejectCount{Reason: r, Count: n})
	}
	sort.Slice(p.Rejected, func(i, j int) bool { return p.Rejected[i].Reason < p.Rejected[j].Reason })
	for k, m := range a.marks {
		p.Marks = append(p.Marks, schemas.Mark{Model: k.model, Part: k.part, MaxStart: m.start, Max: m.max, Rows: uint64(m.rows), SilentStart: m.silentStart, Silent: a.silent(m)})
	}
	sort.Slice(p.Marks, func(i, j int) bool {
		if p.Marks[i].Model != p.Marks[j].Model {
			return p.Marks[i].Model < p.Marks[j].Model
		}
		return p.Marks[i].Part < p.Marks[j].Part
	})
	return p
}

// IDs returns the narrow rows of predictions and labels since the last Clear.
func (a *Assembler) IDs() []schemas.IDRow { return a.ids }

// Panes returns the panes that closed since the last Clear; with all also
// the open ones, which close with the chunk. Their samples are valid until Clear.
func (a *Assembler) Panes(all bool) []schemas.Pane {
	var out []schemas.Pane
	for _, st := range a.order {
		if all {
			st.closePane()
		}
		out = append(out, st.panes...)
	}
	return out
}

// Clear forgets ids and panes that are stored.
func (a *Assembler) Clear() {
	a.ids = a.ids[:0]
	for _, st := range a.order {
		for i := range st.panes {
			a.spare.take(st.panes[i].Samples)
		}
		st.panes = st.panes[:0]
	}
}
