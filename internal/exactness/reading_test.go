package exactness

import (
	"fmt"
	"math/bits"
)

// Sizes of the model of reading.
const (
	maxRecords = 5 // of one log
	maxWindows = 3
	none       = int8(-1)
)

// record is one record of a log. Its window is also its event time.
type record struct {
	bit    int8 // tells it from all other records of all logs; its number in masks
	bucket int8 // of the chunk rule, in which its timestamp lies
	window int8
	id     int8 // 0 for none
}

// plan is what one search of the reading model is about.
type plan struct {
	logs [2][]record // the second is what follows a truncation or a topic made again; none when empty
	cut  int8        // the length that a truncated log is left with
	same bool        // the second log has the topic id of the first: a truncation

	produced                 int8 // how many records are there at the start
	crashes, zombies, retain int8 // how often
	retainTo                 int8 // the farthest that retention goes
	register                 bool // a second spec is registered
	onlyTwice                bool // losses are of no interest
	small                    bool // some flushes leave out what is not final
	latest                   bool // reading begins at the end of the log

	// Rules that are broken on purpose.
	commitDecides     bool // the committed offset is where reading goes on
	progressFirst     bool // progress is written before the rows it speaks of
	wallClockBorders  bool // a chunk ends when the clock strikes
	epochByName       bool // a topic made again keeps its epoch
	epochByCounter    bool // as long as its log is not seen to be shorter than it was
	replayCutChunk    bool // a chunk is replayed from what retention has left of it
	noRewind          bool // a new spec counts from wherever its reader is
	smallFlushResumes bool // every flush is a place to resume from, whatever it has left out
	epochUnchecked    bool // a log shorter than the reading is all that is seen of a truncation
	skipInPlace       bool // a reader that retention has overtaken goes on behind it, whatever is stored
	rewindOrSkip      bool // a rewind to a chunk that retention has cut skips what came after it as well
}

// place is where a chunk is in the store: its epoch and its first offset.
type place struct{ epoch, start int8 }

// partial mirrors a row of the table partials, of one spec and window; rows
// says which records it holds, and so what its summary would be.
type partial struct {
	end             int8 // 0 when there is no row
	rows, duplicate uint8
}

// row mirrors a row of progress_chunks or progress_heads (schemas.Progress).
type row struct {
	there             bool
	end, previous     int8
	spec              int8
	markStart, mark   int8
	clockStart, clock int8
	gapFrom, gapTo    int8
	log               int8 // whose leader epoch the last record had
}

// What a reader does.
const (
	dead      = iota // not running
	resuming         // before ingest.Loop.resume
	following        // ingest.Loop.follow
	storing          // window by window, store.commit's inserts of rows
	noting           // store.commitProgress, progress_chunks
	heading          // store.commitProgress, progress_heads
	telling          // ingest.Deps.Commit
)

// How much a flush stores: ingest's extents.
const (
	small = iota
	all
)

// What comes after a flush.
const (
	thenFollow = iota
	thenChunk  // the next chunk begins: ingest.Loop.seal
	thenResume // specs have changed: errReload
	thenCut    // the log was cut: ingest.Loop.truncate
	thenSkip   // the next chunk begins behind a gap, wherever that is
)

// reader mirrors ingest.Loop with its window.Assembler. What the assembler
// holds is not here: it follows from the log, the chunk's start and the end.
type reader struct {
	does            int8
	epoch           int8 // by which it stores
	log             int8 // which of the logs it has read
	start, end      int8 // of the chunk
	previous        int8 // start of the chunk before, whose ids are known; none for none
	clockStart      int8 // bucket of the running maximum at the start
	clock           int8
	first           int8 // bucket at the chunk's first record
	markStart, mark int8
	spec            int8 // that it counts under: 0 or 1
	gapFrom, gapTo  int8
	taken           [maxWindows]int8 // by window: the end at which it was taken last
	extent          int8
	next            int8 // window to store next
	then            int8
	to              int8 // where the next chunk starts
	known           int8 // how far the partition was stored when it resumed
	knownLog        int8 // and of which log the last record was
}

// world is a state of the model.
type world struct {
	partials   [2][maxRecords + 1][2][maxWindows]partial // by epoch, chunk, spec, window
	log        int8                                      // which one there is
	begin, end int8                                      // of it
	specs      int8                                      // registered beyond the first
	effective  int8                                      // window from which the second counts
	asked      bool                                      // a registration has looked at the marks: app.effectiveFrom
	owner      int8                                      // the reader that the group has chosen
	crashes    int8
	zombies    int8
	retains    int8
	commit     int8
	readers    [2]reader
	chunks     [2][maxRecords + 1]row
	heads      [2]row
}

func (p *plan) system() system[world] {
	w := world{effective: none, end: p.produced}
	for i := range w.readers {
		w.readers[i] = reader{does: dead, previous: none}
	}
	return system[world]{start: w, next: p.next, always: p.always, settled: p.settled}
}

// epochOf is the epoch a reader that starts now stores under, before it has
// looked at what is stored.
func (p *plan) epochOf(w *world) int8 {
	if w.log == 0 || p.same || p.epochByName || p.epochByCounter {
		return 0
	}
	return 1
}

// next lists the steps of everybody.
func (p *plan) next(w world, take taker[world]) {
	p.producer(w, take)
	for i := range w.readers {
		p.reader(w, i, take)
	}
	if w.zombies < p.zombies && w.readers[w.owner].does != dead {
		// The session of the owner ends without its knowing; it may go on for any time.
		to := w
		to.zombies++
		to.owner = 1 - w.owner
		take(true, to, "the group gives the partition of reader %d to reader %d", w.owner, to.owner)
	}
}

func (p *plan) producer(w world, take taker[world]) {
	log := p.logs[w.log]
	if int(w.end) < len(log) {
		to := w
		to.end++
		take(false, to, "a record is produced at %d", w.end)
	}
	if w.log == 0 && len(p.logs[1]) > 0 {
		to := w
		to.log = 1
		to.begin, to.end = 0, 0
		name := "the topic is deleted and made again"
		if p.same {
			to.begin, to.end = w.begin, p.cut
			name = fmt.Sprintf("the log is truncated to %d", p.cut)
		}
		if !p.same || w.end > p.cut {
			take(true, to, name)
		}
	}
	if w.retains < p.retain {
		for begin := w.begin + 1; begin <= min(w.end, p.retainTo); begin++ {
			to := w
			to.retains++
			to.begin = begin
			take(true, to, "retention deletes all before %d", begin)
		}
	}
	if p.register && w.specs == 0 {
		if !w.asked {
			// app.registry.set reads progress; effectiveFrom goes to the border past it.
			to := w
			to.asked = true
			to.effective = p.seen(&w) + 1
			take(true, to, "a new spec is to take effect from window %d", to.effective)
		} else {
			to := w
			to.specs = 1
			take(false, to, "the new spec is registered")
		}
	}
}

// seen is the greatest mark of all progress: store.Progress.
func (p *plan) seen(w *world) int8 {
	seen := none
	for e := range w.heads {
		if w.heads[e].there {
			seen = max(seen, w.heads[e].mark)
		}
	}
	return seen
}

// specAt mirrors window.Model.at under the specs up to the one given.
func specAt(w *world, spec, window int8) int8 {
	if spec == 1 && window >= w.effective {
		return 1
	}
	return 0
}

// reader lists the steps of one reader. Those of a zombie are by chance.
func (p *plan) reader(w world, i int, take taker[world]) {
	r := w.readers[i]
	zombie := int8(i) != w.owner
	do := func(chance bool, to world, words string, with ...any) {
		who := "reader"
		if zombie {
			who = "zombie"
		}
		take(chance || zombie, to, "%s %d "+words, append([]any{who, i}, with...)...)
	}
	change := func(f func(w *world, r *reader)) world {
		to := w
		f(&to, &to.readers[i])
		return to
	}
	if r.does == dead {
		if !zombie {
			do(false, change(func(_ *world, r *reader) { r.does = resuming }), "starts")
		}
		if r.spec < w.specs {
			do(true, change(func(w *world, r *reader) { r.spec = w.specs }), "knows the new spec before it starts")
		}
		return
	}
	if zombie || w.crashes < p.crashes {
		do(true, change(func(w *world, r *reader) {
			*r = reader{does: dead, previous: none, spec: r.spec}
			if !zombie {
				w.crashes++
			}
		}), "is killed")
	}
	switch r.does {
	case resuming:
		do(false, change(func(w *world, r *reader) { p.resume(w, r) }), "resumes")
	case following:
		p.follow(w, r, do, change)
	case storing, noting, heading, telling:
		to := w
		what := p.store(&to, &to.readers[i])
		do(false, to, "%s", what)
	}
}

// resume mirrors ingest.Loop.resume.
func (p *plan) resume(w *world, r *reader) {
	fresh := reader{does: following, spec: r.spec, log: w.log, epoch: p.epochOf(w), previous: none, clockStart: none, clock: none, first: none, markStart: none, mark: none}
	last, at := p.last(w, fresh.epoch)
	if p.commitDecides && w.commit > 0 {
		fresh.start, fresh.end = w.commit, w.commit
		*r = fresh
		return
	}
	if !last.there {
		fresh.start = w.begin
		if p.latest && w.log == 0 {
			fresh.start = w.end
		}
		fresh.end = fresh.start
		p.begin(&fresh)
		fresh.flush(all, thenFollow)
		*r = fresh
		return
	}
	fresh.epoch = at.epoch
	fresh.known, fresh.knownLog = last.end, last.log
	cut := p.truncated(w, last)
	if cut < last.end {
		// A sub-epoch: offsets are given again.
		fresh.epoch = 1
		fresh.start, fresh.end = cut, cut
		fresh.clockStart, fresh.markStart = last.clock, last.mark
		p.begin(&fresh)
		*r = fresh
		return
	}
	known, stored := last, max(last.end, p.partialsEnd(w, at))
	gapFrom := known.end
	if start, ok := p.chunkForSpecs(w, r, at, 0); ok {
		if start < w.begin && !p.rewindOrSkip {
			// What was counted under the old spec counts no more, and is not all there to be read again.
			gapFrom = start
			start, ok = p.chunkForSpecs(w, r, at, w.begin)
		}
		if ok {
			at.start = start
			last = w.chunks[at.epoch][start]
		}
	}
	if w.begin > at.start && !p.replayCutChunk {
		fresh.start = max(w.begin, stored)
		fresh.gapFrom, fresh.gapTo = gapFrom, fresh.start
		fresh.clockStart, fresh.markStart = known.clock, known.mark
		fresh.end = fresh.start
		p.begin(&fresh)
		fresh.flush(all, thenFollow)
		*r = fresh
		return
	}
	fresh.start, fresh.previous = at.start, last.previous
	if last.previous < w.begin {
		fresh.previous = none // its ids cannot be read again
	}
	fresh.clockStart, fresh.markStart = last.clockStart, last.markStart
	fresh.gapFrom, fresh.gapTo = last.gapFrom, last.gapTo
	if gapFrom < fresh.start {
		fresh.gapFrom, fresh.gapTo = gapFrom, fresh.start
	}
	fresh.end = fresh.start
	p.begin(&fresh)
	if p.replayCutChunk && w.begin > fresh.end {
		fresh.end = w.begin
	}
	*r = fresh
}

// chunkForSpecs mirrors store.EarliestChunkForSpec among the chunks that start
// at from or later.
func (p *plan) chunkForSpecs(w *world, r *reader, last place, from int8) (int8, bool) {
	if p.noRewind {
		return 0, false
	}
	for start := from; start <= last.start; start++ {
		if c := w.chunks[last.epoch][start]; c.there && c.spec < r.spec && c.mark >= w.effective {
			return start, true
		}
	}
	return 0, false
}

func (p *plan) begin(r *reader) {
	r.clock, r.mark, r.first = r.clockStart, r.markStart, none
	for i := range r.taken {
		r.taken[i] = r.start
	}
}

// last mirrors store.Resume: the last chunk of the newest sub-epoch.
func (p *plan) last(w *world, epoch int8) (row, place) {
	if (p.same || p.epochByCounter) && epoch == 0 {
		for start := int8(maxRecords); start >= 0; start-- {
			if c := w.chunks[1][start]; c.there {
				return c, place{1, start}
			}
		}
	}
	for start := int8(maxRecords); start >= 0; start-- {
		if c := w.chunks[epoch][start]; c.there {
			return c, place{epoch, start}
		}
	}
	return row{}, place{epoch, 0}
}

// partialsEnd mirrors store.partialsEnds.
func (p *plan) partialsEnd(w *world, from place) (end int8) {
	for start := from.start; start <= maxRecords; start++ {
		for spec := range w.partials[from.epoch][start] {
			for window := range w.partials[from.epoch][start][spec] {
				end = max(end, w.partials[from.epoch][start][spec][window].end)
			}
		}
	}
	return end
}

// truncated returns the offset up to which the log is still the one that was
// read up to last.end.
func (p *plan) truncated(w *world, last row) int8 {
	if !p.same && !p.epochByCounter {
		return last.end
	}
	if p.epochUnchecked || p.epochByCounter {
		return min(last.end, w.end)
	}
	if last.log != w.log { // OffsetForLeaderEpoch
		return min(last.end, p.cut)
	}
	return last.end
}

// follow lists the steps of a reader between two flushes: ingest.Loop.follow.
func (p *plan) follow(w world, r reader, do taker[world], change func(func(*world, *reader)) world) {
	if r.spec < w.specs {
		do(false, change(func(w *world, r *reader) {
			r.flush(all, thenResume)
		}), "learns of the new spec")
		return
	}
	mine := w.log == 0 || p.same || p.epochByName || p.epochByCounter || r.log == w.log
	if !mine {
		// Kafka refuses a fetch by the old topic id, and the group joins again.
		do(false, change(func(_ *world, r *reader) { r.does = resuming }), "hears that its topic was made again")
		return
	}
	if r.log != w.log {
		cut := p.cut
		if !p.same {
			cut = 0
		}
		// Where nothing tells it, it reads on in another log.
		if p.same && r.end > cut && (!p.epochUnchecked || r.end > w.end) || p.epochByCounter && r.end > w.end {
			// consumers.Truncated or OutOfRange; ingest.Loop.truncate
			if p.epochUnchecked || p.epochByCounter {
				cut = w.end
			}
			do(false, change(func(_ *world, r *reader) {
				r.to = cut
				r.flush(all, thenCut)
			}), "finds the log truncated to %d", cut)
			return
		}
	}
	if r.end < w.end {
		do(false, change(func(w *world, r *reader) { p.read(w, r) }), "reads on from %d", r.end)
	}
	if p.wallClockBorders && r.end > r.start {
		do(true, change(func(_ *world, r *reader) {
			r.to = r.end
			r.flush(all, thenChunk)
		}), "begins a chunk because the clock strikes")
	}
	// ingest.Loop.tick: at any time what is final, now and then everything, and
	// when it is idle everything for sure.
	if !w.stands(&r) {
		idle := r.end >= w.end
		do(!idle, change(func(_ *world, r *reader) { r.flush(all, thenFollow) }), "stores all up to %d", r.end)
		if p.small {
			do(true, change(func(_ *world, r *reader) { r.flush(small, thenFollow) }), "stores what is final up to %d", r.end)
		}
	}
}

// stands says whether all that r has to say is stored, so that writing it
// again changes nothing.
func (w *world) stands(r *reader) bool {
	for window, taken := range r.taken {
		if taken < r.end && w.dirty(r, int8(window)) {
			return false
		}
	}
	mine := r.row()
	if there := w.chunks[r.epoch][r.start]; there != mine && there.end <= mine.end {
		return false
	}
	there := w.heads[r.epoch]
	return !there.there || there == mine || there.end > mine.end
}

// dirty says whether the reader has rows of a window that were not taken yet.
// It is asked of the reader's own log.
func (w *world) dirty(r *reader, window int8) bool {
	return r.taken[window] < r.end
}

func (r *reader) row() row {
	return row{
		there: true, end: r.end, previous: r.previous, spec: r.spec, markStart: r.markStart, mark: r.mark,
		clockStart: r.clockStart, clock: r.clock, gapFrom: r.gapFrom, gapTo: r.gapTo, log: r.log,
	}
}

// read takes in the next record: ingest.Loop.pass, and what ingest.Loop.trouble
// does where retention was faster.
func (p *plan) read(w *world, r *reader) {
	if r.end < w.begin {
		// consumers.OutOfRange: what is stored may reach further than this reading.
		then := int8(thenResume)
		if p.skipInPlace {
			then, r.to = thenSkip, w.begin
		}
		r.flush(all, then)
		return
	}
	if p.same && !p.epochUnchecked && w.log > r.knownLog && r.end >= p.cut && r.end < r.known {
		// A record of a later leader epoch where one of an earlier was stored.
		r.to = r.end
		r.flush(all, thenCut)
		return
	}
	rec := p.logs[w.log][r.end]
	now := max(r.clock, rec.bucket)
	if r.first != none && now != r.first && !p.wallClockBorders { // window.clock.border
		r.to = r.end
		r.flush(all, thenChunk)
		return
	}
	// window.Assembler.Observe and Admit
	r.log = w.log
	r.clock = now
	if r.first == none {
		r.first = now
	}
	r.mark = max(r.mark, rec.window)
	r.end++
}

// flush begins to store: ingest.Loop.flush.
func (r *reader) flush(extent, then int8) {
	r.does, r.extent, r.then, r.next = storing, extent, then, 0
}

// store does the next part of a flush and says what that was.
func (p *plan) store(w *world, r *reader) string {
	if p.progressFirst && r.does == storing && r.next == 0 && r.extent != 9 {
		w.note(r)
		r.next, r.extent = 0, 9 // everything, and progress is behind us
		return fmt.Sprintf("writes progress %d of chunk %d", r.end, r.start)
	}
	switch r.does {
	case storing:
		for r.next < maxWindows {
			window := r.next
			r.next++
			if r.extent == small && window >= r.mark { // window.Assembler.passed
				continue
			}
			if p.insert(w, r, window) {
				return fmt.Sprintf("writes window %d up to %d of chunk %d", window, r.end, r.start)
			}
		}
		r.does = noting
		if r.extent == 9 || r.extent == small && !p.smallFlushResumes {
			// A place to resume from is written only by a flush that leaves nothing out.
			r.does = heading
		}
		return p.store(w, r)
	case noting:
		w.note(r)
		r.does = heading
		if !p.register && !p.small { // nothing reads it
			r.does = telling
			if !p.commitDecides {
				p.stored(w, r)
			}
		}
		return fmt.Sprintf("writes progress %d of chunk %d", r.end, r.start)
	case heading:
		if at := &w.heads[r.epoch]; !at.there || at.end <= r.end {
			*at = r.row()
		}
		r.does = telling
		if !p.commitDecides {
			p.stored(w, r)
		}
		return fmt.Sprintf("shows progress %d", r.end)
	}
	w.commit = r.end
	p.stored(w, r)
	return fmt.Sprintf("commits %d", w.commit)
}

func (w *world) note(r *reader) {
	if at := &w.chunks[r.epoch][r.start]; !at.there || at.end <= r.end {
		*at = r.row()
	}
}

// insert writes the reader's partial of one window, if there is anything new
// in it, and says whether it did. Of two rows of one key the longer prefix wins.
func (p *plan) insert(w *world, r *reader, window int8) bool {
	spec := specAt(w, r.spec, window)
	rows, duplicate, news := p.content(w, r, window)
	r.taken[window] = r.end
	if !news {
		return false
	}
	if at := &w.partials[r.epoch][r.start][spec][window]; at.end <= r.end {
		*at = partial{r.end, rows, duplicate}
	}
	return true
}

// content is what the reader has counted in a window, which of it as
// duplicates, and whether any came since it was taken last.
func (p *plan) content(w *world, r *reader, window int8) (rows, duplicate uint8, news bool) {
	log := p.logs[r.log]
	from := r.start
	if p.replayCutChunk {
		from = max(from, w.begin)
	}
	for o := from; o < r.end && int(o) < len(log); o++ {
		rec := log[o]
		if rec.window != window {
			continue
		}
		rows |= 1 << rec.bit
		news = news || o >= r.taken[window]
		seen := r.start
		if r.previous != none {
			seen = r.previous
		}
		for ; seen < o; seen++ { // window.Assembler.remember
			if rec.id != 0 && log[seen].id == rec.id {
				duplicate |= 1 << rec.bit
			}
		}
	}
	return rows, duplicate, news
}

// stored goes on after a flush.
func (p *plan) stored(w *world, r *reader) {
	r.does = following
	r.extent, r.next = 0, 0
	then, to := r.then, r.to
	r.then, r.to = 0, 0
	switch then {
	case thenChunk, thenSkip: // window.Assembler.Next
		from := r.end
		r.previous = r.start
		r.start, r.end = to, to
		r.clockStart, r.markStart = r.clock, r.mark
		r.gapFrom, r.gapTo = 0, 0
		p.begin(r)
		if then == thenSkip {
			r.gapFrom, r.gapTo = from, to
			r.flush(all, thenFollow)
		}
	case thenCut:
		*r = reader{
			does: following, spec: r.spec, log: w.log, epoch: 1, previous: none, start: to, end: to, clockStart: r.clock, markStart: r.mark,
		}
		p.begin(r)
	case thenResume:
		r.spec = w.specs
		r.does = resuming
	}
}

// always holds in every state: what people see counts no record twice, and
// nothing speaks of rows that are not there.
func (p *plan) always(w *world) string {
	if _, twice := p.counted(w); twice != 0 {
		return fmt.Sprintf("record %d is counted twice", bits.TrailingZeros8(twice))
	}
	if p.rowsBehind() {
		return ""
	}
	for e := range w.chunks {
		for start := range w.chunks[e] {
			c := &w.chunks[e][start]
			if !c.there {
				continue
			}
			for o := int8(start); o < c.end; o++ {
				if int(o) >= len(p.logs[c.log]) {
					continue
				}
				rec := p.logs[c.log][o]
				if w.partials[e][start][specAt(w, c.spec, rec.window)][rec.window].rows&(1<<rec.bit) == 0 {
					return fmt.Sprintf("the progress of chunk %d says %d, and record %d is not stored", start, c.end, o)
				}
			}
		}
	}
	return ""
}

// rowsBehind says whether a broken rule lets progress speak of rows that are
// not there, so that the search goes on to what comes of it.
func (p *plan) rowsBehind() bool {
	return p.progressFirst || p.smallFlushResumes || p.replayCutChunk || p.epochByName || p.epochByCounter || p.epochUnchecked
}

// counted returns the records that the view of windows counts, and those it
// counts more than once.
func (p *plan) counted(w *world) (once, twice uint8) {
	for e := range w.partials {
		for start := range w.partials[e] {
			for spec := range w.partials[e][start] {
				for window := range w.partials[e][start][spec] {
					if specAt(w, w.specs, int8(window)) != int8(spec) {
						continue // outside the spec's interval
					}
					rows := w.partials[e][start][spec][window].rows
					twice |= once & rows
					once |= rows
				}
			}
		}
	}
	return once, twice
}

// settled holds when nothing is left to do: every record of the log that is
// there is counted, or in a gap that is on record, and duplicates are those of
// an undisturbed reader.
func (p *plan) settled(w *world) string {
	if p.onlyTwice {
		return ""
	}
	once, _ := p.counted(w)
	epoch := p.epochOf(w)
	if p.same {
		epoch = 0
	}
	first := int8(maxRecords)
	var gap [maxRecords + 1]bool
	for e := range w.chunks {
		if int8(e) != epoch && !p.same {
			continue
		}
		for start := range w.chunks[e] {
			c := w.chunks[e][start]
			if c.there {
				first = min(first, int8(start))
				for o := c.gapFrom; o < c.gapTo; o++ {
					gap[o] = true
				}
			}
		}
	}
	if !p.latest && p.retain == 0 {
		first = 0
	}
	for o, rec := range p.logs[w.log] {
		if int8(o) < first || gap[o] || once&(1<<rec.bit) != 0 {
			continue
		}
		if w.log == 1 && !p.same && int8(o) < w.begin {
			continue
		}
		return fmt.Sprintf("record %d is lost", o)
	}
	if p.retain == 0 && p.crashes+p.zombies > 0 && len(p.logs[1]) == 0 && !p.latest && !p.wallClockBorders {
		return p.duplicates(w)
	}
	return ""
}

// duplicates compares what is stored with what one reader without trouble stores.
func (p *plan) duplicates(w *world) string {
	alone := reader{spec: w.specs, previous: none, clockStart: none, clock: none, first: none, markStart: none, mark: none}
	var want world
	want.end, want.log, want.specs, want.effective = w.end, w.log, w.specs, w.effective
	p.begin(&alone)
	alone.does = following
	for alone.end < want.end || alone.does != following {
		if alone.does == following {
			p.read(&want, &alone)
		} else {
			p.store(&want, &alone)
		}
	}
	alone.flush(all, thenFollow)
	for alone.does != following {
		p.store(&want, &alone)
	}
	for start := range want.partials[0] {
		for spec := range want.partials[0][start] {
			for window := range want.partials[0][start][spec] {
				if specAt(w, w.specs, int8(window)) != int8(spec) {
					continue
				}
				a, b := w.partials[0][start][spec][window], want.partials[0][start][spec][window]
				if a.rows != b.rows || a.duplicate != b.duplicate {
					return fmt.Sprintf("window %d of chunk %d holds rows %05b with duplicates %05b, an undisturbed reader stores %05b with %05b", window, start, a.rows, a.duplicate, b.rows, b.duplicate)
				}
			}
		}
	}
	return ""
}
