package budget

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/stat"
	"github.com/modelwatch/modelwatch/detectors/streak"
	"github.com/modelwatch/modelwatch/schemas"
)

// Judge judges one closed window by healthy behaviour and the weights of the
// plan. Windows of one part come in order, each once; parts share a memory; m
// stays as it is.
//
// The whole is always judged, and never adjusted. Slices are judged on their
// difference to the rest; of those that alarm in one channel the strongest is
// taken first, its rows leave the rest, and the others are judged again, so
// that one slice's fault is not smeared over the others.
//
// A finding is an error from the window whose recursion reaches 1, with the
// onset that its likelihood points to; it is ok once the level is back within
// the dead zone, which is told Clear windows in a row. An alarm of a stream
// whose finding is open says nothing new, but for one at page spend: that
// makes it critical. Where nothing can be judged (no baseline, learning, few
// rows) the verdict is unknown with the reason. A number that is not finite
// is an error.
func Judge(w *detectors.Window, ref *Reference, plan *Plan, c Calendar, p Parameters, m Memory) ([]schemas.Verdict, []detectors.Finding, Memory, error) {
	next := m.clone()
	verdicts, findings, err := next.Advance(w, ref, plan, c, p)
	if err != nil {
		return nil, nil, m, err
	}
	next.room = nil
	return verdicts, findings, next, nil
}

// Advance is Judge for whoever does not need the memory before: m becomes what
// is remembered after the window. After an error m is not to be used any more.
func (m *Memory) Advance(w *detectors.Window, ref *Reference, plan *Plan, c Calendar, p Parameters) ([]schemas.Verdict, []detectors.Finding, error) {
	j := newJudging(w, ref, plan, &p, m)
	j.reason = j.whyNot(&c)
	if j.reason == "" {
		if err := j.read(&c); err != nil {
			return nil, nil, err
		}
		j.share()
		if err := j.decide(); err != nil {
			return nil, nil, err
		}
	}
	findings := j.tell()
	j.remember()
	for i := range findings {
		f := &findings[i]
		if t, ok := j.onsets[whose{f.Fault, f.Version, f.Columns[0]}]; ok {
			f.Onset = min(t, f.Detected)
		}
		if names := j.explained[whose{f.Fault, f.Version, f.Columns[0]}]; f.State == schemas.StateError && len(f.Slices) == 0 {
			f.Slices = names
		}
	}
	clear(j.groups) // what is kept of the room must not keep the window
	clear(j.items[:cap(j.items)])
	return j.verdicts, findings, nil
}

// whose says which finding a stream belongs to.
type whose struct {
	fault            schemas.Fault
	version, feature string
}

// judging is one call of Advance.
type judging struct {
	w       *detectors.Window
	ref     *Reference
	plan    *Plan
	p       *Parameters
	m       *Memory
	reason  string // why nothing can be judged
	at      []cell
	holiday bool
	table   []planned
	*room

	perWindow, scale shares
	several          bool    // versions
	versions         []int32 // of each stream of the table, where there are several

	verdicts  []schemas.Verdict
	seen      []streak.Observation // of verdicts that are more than ok
	seenAt    []int                // in verdicts
	fresh     []newcomer
	onsets    map[whose]int64
	explained map[whose][]string // slices without which the whole is as it should be
}

// newcomer is a stream that nothing was remembered of.
type newcomer struct {
	id
	state
}

// room is what a window is judged in. It is kept for the next one.
type room struct {
	groups  []group
	marks   []mark
	by      []*standard // of the window's entries
	touched []bool      // of what is remembered
	items   []item      // of one group
	made    []state     // of its streams that are new
}

// mark is what the window says of one stream, and where that stands.
type mark struct {
	y, r  float64
	n     uint64
	entry int32 // of the window, -1 for numbers of events
	slot  int32 // in the table, -1: it is not in the reference
	known int32 // place in the memory, -1: new
	rank  int8  // of the channel, -1 for numbers of events
}

func newJudging(w *detectors.Window, ref *Reference, plan *Plan, p *Parameters, m *Memory) *judging {
	if m.room == nil {
		m.room = &room{}
	}
	r := m.room
	r.groups, r.marks = r.groups[:0], r.marks[:0]
	r.by = slices.Grow(r.by[:0], len(w.Entries))[:len(w.Entries)]
	r.touched = slices.Grow(r.touched[:0], len(m.ids))[:len(m.ids)]
	clear(r.touched)
	return &judging{
		w: w, ref: ref, plan: plan, p: p, m: m, room: r,
		onsets: map[whose]int64{}, explained: map[whose][]string{},
	}
}

// item is one stream of the window.
type item struct {
	reading
	law     *law
	why     string // why it is not judged; "" when it is
	known   int32  // place in the memory, -1: new
	now     *state // after the window
	was     state  // before
	weights weights
	out     outcome
	mean    float64 // expected
	dead    float64 // dead zone in this window
	stepped bool
	done    bool
	alarm   bool
	outside bool // the finding is open, and the level is not back
	wasOpen bool
	doubts  *state // the state before, where another slice has cast doubt on it
}

func (j *judging) whyNot(c *Calendar) string {
	w := j.w
	switch {
	case j.ref == nil || j.ref.baseline == nil || j.plan == nil:
		return "no baseline"
	case w.Spec != nil && w.Spec.Spec.Baseline != j.ref.baseline.Hash:
		return "the window was counted under another baseline"
	case w.Coverage < j.p.MinCoverage:
		return fmt.Sprintf("only %.0f %% of the partitions delivered", 100*w.Coverage)
	case len(j.ref.healthy) == 0:
		return "learning: the baseline has no healthy windows; write it with a time column, or wait"
	case j.ref.window != w.End-w.Start:
		return "the reference has windows of another length"
	case c.announced(w.Start, w.End):
		return "an announced change"
	}
	return ""
}

// read measures the window and finds each stream's law and memory.
func (j *judging) read(c *Calendar) error {
	j.at = c.cells(j.w.Start, j.w.End)
	for i := range j.at {
		j.holiday = j.holiday || j.at[i].holiday
	}
	j.table = j.plan.tableOf(j.ref, j.p)
	j.groups = j.ref.yards.groups(j.w, j.groups)
	version := ""
	hint := 0
	for i := range j.groups {
		g := &j.groups[i]
		g.from = len(j.marks)
		if g.yardstick == nil {
			y, r := g.count()
			j.marks = append(j.marks, mark{y: y, r: r, n: g.rows, entry: -1, rank: -1})
		} else {
			j.several = j.several || version != "" && version != g.version
			version = g.version
			err := g.visit(j.w, func(entry int, by *standard, r *readings) {
				j.by[entry] = by
				for _, rank := range g.ranks {
					if m := &r.of[rank]; r.has&(1<<rank) != 0 {
						j.marks = append(j.marks, mark{y: m.y, r: m.r, n: m.n, entry: int32(entry), rank: int8(rank)})
					}
				}
			})
			if err != nil {
				return err
			}
		}
		g.to = len(j.marks)
		if err := j.place(g, &hint); err != nil {
			return err
		}
	}
	return nil
}

// place finds where the streams of a group stand in the table and the memory.
func (j *judging) place(g *group, hint *int) error {
	for i := g.from; i < g.to; i++ {
		k := &j.marks[i]
		k.slot = -1
		if k.rank >= 0 {
			k.slot = j.by[k.entry].slots[k.rank]
		} else if slot, ok := j.ref.healthy[j.key(g, k)]; ok {
			k.slot = int32(slot)
		}
		if h := *hint; h < len(j.m.ids) && i > g.from && j.marks[i-1].entry == k.entry && j.m.ids[h].rank == int(k.rank) && j.m.ids[h].same && int(j.marks[i-1].known) == h-1 {
			k.known = int32(h)
		} else {
			k.known = int32(j.m.find(&id{Key: j.key(g, k), version: g.version, rank: int(k.rank)}, h))
		}
		if k.known >= 0 {
			*hint = int(k.known) + 1
		}
		if k.slot >= 0 && !j.table[k.slot].sound {
			return fmt.Errorf("judging %s of %s: its healthy behaviour is not finite", j.key(g, k), j.w.Model)
		}
	}
	return nil
}

// key names a stream of a group.
func (j *judging) key(g *group, k *mark) Key {
	if k.rank < 0 {
		return Key{Role: g.role, Feature: g.feature, Channel: g.volume}
	}
	return Key{g.role, g.feature, j.w.Entries[k.entry].Slice, order[k.rank]}
}

// judged says whether a stream is held against anything.
func (j *judging) judged(k *mark) bool { return k.slot >= 0 && j.table[k.slot].law.tickets }

// load makes the streams of a group ready to be judged.
func (j *judging) load(g *group) []item {
	n := g.to - g.from
	j.items = slices.Grow(j.items[:0], n)[:n]
	j.made = slices.Grow(j.made[:0], n)[:n]
	for i := range j.items {
		it, k := &j.items[i], &j.marks[g.from+i]
		*it = item{reading: reading{rank: int(k.rank), group: g, Observation: Observation{Version: g.version, Y: k.y, R: k.r, N: k.n}}, known: k.known}
		it.Role, it.Feature = g.role, g.feature
		if k.rank < 0 {
			it.Channel = g.volume
		} else {
			it.entry, it.by = &j.w.Entries[k.entry], j.by[k.entry]
			it.Slice, it.Channel = it.entry.Slice, order[k.rank]
		}
		j.prepare(it, k, &j.made[i])
	}
	return j.items
}

func (j *judging) prepare(it *item, k *mark, made *state) {
	if k.slot < 0 {
		it.why = "the reference has too few rows of it"
		return
	}
	it.law = &j.table[k.slot].law
	if !it.law.tickets {
		it.why = fmt.Sprintf("learning: %.0f of %.0f days", it.law.Days, math.Ceil(j.p.TicketDays))
		return
	}
	if it.known >= 0 {
		it.now = &j.m.states[it.known]
		it.now.idle = 0
		it.was = *it.now
		j.touched[it.known] = true
	} else {
		it.now, it.was = made, newState(it.law)
		*made = it.was
	}
	it.wasOpen = it.now.flags&isOpen != 0
	var doubt float64
	it.mean, doubt = it.law.expected(j.at, j.w.End)
	it.dead = it.law.dead + doubt
	x := weigh(j.perWindow, j.shares(k), j.scale, j.plan.shock)
	it.weights = weights{x.Page, x.PageShock, x.Ticket, x.TicketShock}
}

// begin sets a stream to what it was before the window.
func (j *judging) begin(it *item) {
	switch {
	case it.doubts != nil:
		*it.now = *it.doubts
	case it.stepped:
		*it.now = it.was
	}
}

// share divides the part's spend among the streams that have data.
func (j *judging) share() {
	if j.several {
		j.versions = make([]int32, len(j.table))
		for i := range j.marks {
			if k := &j.marks[i]; j.judged(k) {
				j.versions[k.slot]++
			}
		}
	}
	var sum shares
	for i := range j.marks {
		if k := &j.marks[i]; j.judged(k) {
			x := j.shares(k)
			sum.page += x.page
			sum.ticket += x.ticket
		}
	}
	all := j.plan.spend[j.w.Part]
	if sum.page > 0 {
		j.scale.page = all.page / sum.page
	}
	if sum.ticket > 0 {
		j.scale.ticket = all.ticket / sum.ticket
	}
	j.perWindow = j.plan.perWindow()
}

// shares are those of a stream that is judged.
func (j *judging) shares(k *mark) shares {
	x := j.table[k.slot].shares
	if j.several {
		if n := float64(j.versions[k.slot]); n > 1 {
			x.page /= n
			x.ticket /= n
		}
	}
	if !j.table[k.slot].law.pages {
		x.page = 0
	}
	return x
}

// decide steps every stream, slices column by column and channel by channel.
func (j *judging) decide() error {
	j.verdicts = make([]schemas.Verdict, len(j.marks))
	for i := range j.groups {
		g := &j.groups[i]
		items := j.load(g)
		if err := j.column(items); err != nil {
			return err
		}
		j.gather(g, items)
	}
	return nil
}

// gather keeps of the streams of a group what is told of them and remembered.
func (j *judging) gather(g *group, items []item) {
	for i := range items {
		it := &items[i]
		v := &j.verdicts[g.from+i]
		j.verdict(it, v)
		if it.outside || it.wasOpen || it.why != "" && len(j.m.open.Entries) > 0 {
			j.seen = append(j.seen, j.observe(it, *v))
			j.seenAt = append(j.seenAt, g.from+i)
		}
		if it.why == "" && it.known < 0 {
			j.fresh = append(j.fresh, newcomer{idOf(it.Key, it.Version), *it.now})
		}
	}
}

// column judges the streams of one column of one version.
func (j *judging) column(all []item) error {
	var slicesOf []*item
	open := false
	for i := range all {
		it := &all[i]
		if it.why != "" {
			continue
		}
		if it.Slice == "" {
			if err := j.step(it); err != nil {
				return err
			}
			j.commit(it)
			continue
		}
		slicesOf = append(slicesOf, it)
		open = open || it.wasOpen
	}
	if !open {
		// The usual way: nothing is out, and nothing comes out.
		fired := false
		for _, it := range slicesOf {
			if err := j.step(it); err != nil {
				return err
			}
			fired = fired || it.out.page || it.out.ticket
		}
		if !fired {
			for _, it := range slicesOf {
				j.commit(it)
			}
			return nil
		}
	}
	if err := j.stepDown(slicesOf); err != nil {
		return err
	}
	j.explain(all)
	return nil
}

// explain looks whether the whole is back within its dead zone once the slices
// of one dimension that are out have left it. Then the finding is theirs.
func (j *judging) explain(all []item) {
	out := map[string][]*detectors.Entry{}
	var dimensions []string
	for i := range all {
		if it := &all[i]; it.Slice != "" && it.outside {
			d := dimension(it.Slice)
			if out[d] == nil {
				dimensions = append(dimensions, d)
			}
			if !slices.Contains(out[d], it.entry) {
				out[d] = append(out[d], it.entry)
			}
		}
	}
	for _, d := range dimensions {
		left, correction := all[0].group.leave(out[d])
		still := map[whose]bool{}
		for i := range all {
			it := &all[i]
			if it.Slice != "" || !it.outside {
				continue
			}
			t := whose{faultOf(it.Key), it.Version, it.Feature}
			off := left.of[it.rank].y - correction.of[it.rank].y - it.mean
			still[t] = still[t] || left.has&(1<<it.rank) == 0 || math.Abs(off) > it.dead+2*it.out.sd
		}
		for t, is := range still {
			if is {
				continue
			}
			var names []string
			for _, e := range out[d] {
				names = append(names, e.Slice)
			}
			slices.Sort(names)
			j.explained[t] = names
		}
	}
}

// stepDown judges the slices of a column: those open already are out of the
// others' rest; then, while one alarms in any channel, the strongest is taken,
// and the rest is judged again without its rows.
func (j *judging) stepDown(all []*item) error {
	found := map[string][]*detectors.Entry{} // by dimension
	take := func(e *detectors.Entry) bool {
		d := dimension(e.Slice)
		if slices.Contains(found[d], e) {
			return false
		}
		found[d] = append(found[d], e)
		return true
	}
	for _, it := range all {
		if it.wasOpen {
			take(it.entry)
		}
	}
	if err := j.again(all, found); err != nil {
		return err
	}
	for {
		var worst *item
		for _, it := range all {
			if !it.done && !it.wasOpen && (it.out.page || it.out.ticket) && (worst == nil || it.out.strength > worst.out.strength) {
				worst = it
			}
		}
		if worst == nil {
			break
		}
		j.commit(worst)
		if !take(worst.entry) {
			continue
		}
		var others []*item
		for _, it := range all {
			if !it.done && !it.wasOpen && it.entry != worst.entry && dimension(it.Slice) == dimension(worst.Slice) {
				j.doubt(it, worst)
				others = append(others, it)
			}
		}
		if err := j.again(others, found); err != nil {
			return err
		}
	}
	for _, it := range all {
		if !it.done {
			j.commit(it)
		}
	}
	return nil
}

// again steps slices of a column with what was found out of their rest.
func (j *judging) again(all []*item, found map[string][]*detectors.Entry) error {
	var of *detectors.Entry
	var r readings
	for _, it := range all {
		if out := found[dimension(it.Slice)]; len(out) > 0 {
			if of != it.entry { // channels of one slice follow one another
				whole := countsOf(it.group.whole.Summary)
				of, r = it.entry, it.group.difference(&whole, it.entry, it.by, out)
			}
			if x := r.of[it.rank]; r.has&(1<<it.rank) != 0 {
				it.Y, it.R = x.y, x.r
			}
		}
		if err := j.step(it); err != nil {
			return err
		}
	}
	return nil
}

// doubt takes back what a slice that was found out has made of another:
// against a rest that had moved up, it seemed to move down. In the other
// channels it may have seemed anything.
func (j *judging) doubt(it, found *item) {
	j.begin(it)
	s := *it.now
	up := found.out.shift > 0
	if it.rank != found.rank || !up {
		s.clear(0)
	}
	if it.rank != found.rank || up {
		s.clear(1)
	}
	s.page[bets-1], s.ticket[bets-1] = 0, 0
	s.settle(it.law)
	s.level = 0
	it.doubts = &s
}

// step takes the window into the stream's state, from what it was before.
func (j *judging) step(it *item) error {
	j.begin(it)
	it.stepped = true
	r := it.R
	if j.holiday && it.law.Holidays < 2 {
		r += 3 * (it.now.p + r) // four times the variance of any other day
	}
	it.out = it.law.step(it.now, it.Y-it.mean, r, it.dead, it.weights)
	var sums [4]float64
	for i, x := range it.now.ticket {
		sums[i%4] += x + it.now.page[i]
	}
	if !finite(it.out.z + it.now.a + it.now.level + sums[0] + sums[1] + sums[2] + sums[3]) {
		return fmt.Errorf("judging %s of %s in the window of %d: z is %v, and its recursion is not finite", it.Key, j.w.Model, j.w.Start, it.out.z)
	}
	return nil
}

// commit takes the outcome of a stream as final.
func (j *judging) commit(it *item) {
	it.done = true
	s := it.now
	it.alarm = it.out.page || it.out.ticket
	back := math.Abs(s.level) <= it.dead || it.law.upOnly && s.level < 0
	if it.alarm {
		if s.flags&isOpen == 0 || s.ok > 0 {
			s.onset = j.w.Start
			if b := it.out.best; b >= 0 {
				s.onset -= int64(max(s.age[b], 1)-1) * (j.w.End - j.w.Start)
			}
			// A level that has still to climb out of the dead zone must not end what has just begun.
			if back {
				s.level = it.out.shift
			}
			if s.flags &^= isDown; it.out.shift < 0 {
				s.flags |= isDown
			}
		}
		s.flags |= isOpen
		if it.out.page {
			s.flags |= isPaged
		}
		s.ok = 0
	}
	if s.flags&isOpen == 0 {
		return
	}
	j.onset(whose{faultOf(it.Key), it.Version, it.Feature}, s.onset)
	it.outside = it.alarm || !back
	if it.outside {
		s.ok = 0
		return
	}
	s.ok++
	s.settle(it.law)
	if int(s.ok) >= j.p.Clear {
		s.flags, s.ok, s.onset = 0, 0, 0
	}
}

// faultOf returns the fault that a channel shows.
func faultOf(k Key) schemas.Fault {
	switch k.Channel {
	case NullRate, NaNRate, AbsentRate:
		return schemas.FaultNulls
	case UnseenRate:
		return schemas.FaultUnseenValues
	case Volume:
		return schemas.FaultVolume
	case LabelRate:
		return schemas.FaultLabelGap
	}
	switch k.Role {
	case schemas.RolePrediction:
		return schemas.FaultPredictionDrift
	case schemas.RoleScore:
		return schemas.FaultScoreDrift
	case schemas.RoleLatency:
		return schemas.FaultLatency
	}
	return schemas.FaultDrift
}

// remember takes what is new into the memory, and what has gone out of it.
func (j *judging) remember() {
	m := j.m
	changed := len(j.fresh) > 0
	for i := range j.touched {
		if j.touched[i] || partOf(m.ids[i].Key) != j.w.Part {
			continue
		}
		x, s := &m.ids[i], &m.states[i]
		s.ok = 0
		s.idle++
		if h, ok := j.ref.Healthy(x.Key); ok {
			l := newLaw(x.Key, &h, j.p)
			l.skip(s)
		}
		if s.flags&isOpen != 0 {
			j.onset(whose{faultOf(x.Key), x.version, x.Feature}, s.onset)
		}
		changed = changed || int(s.idle) > j.p.Forget
	}
	if !changed {
		return
	}
	all := j.fresh
	for i := range m.ids {
		if int(m.states[i].idle) <= j.p.Forget {
			all = append(all, newcomer{m.ids[i], m.states[i]})
		}
	}
	slices.SortFunc(all, func(a, b newcomer) int { return compareIDs(&a.id, &b.id) })
	m.ids, m.states = make([]id, len(all)), make([]state, len(all))
	for i := range all {
		m.ids[i], m.states[i] = all[i].id, all[i].state
	}
	m.link()
}

// onset notes when an open finding began.
func (j *judging) onset(t whose, at int64) {
	if was, ok := j.onsets[t]; !ok || at < was {
		j.onsets[t] = at
	}
}

// tell gives the findings of streams that are out or were. The rest needs no
// memory of findings, and most windows are healthy.
func (j *judging) tell() []detectors.Finding {
	rule := streak.Rule{Clear: j.p.Clear, Forget: j.p.Forget}
	var findings []detectors.Finding
	if j.reason != "" {
		j.verdicts, findings, j.m.open = j.m.open.Step(j.w, j.unjudged(), rule)
		return findings
	}
	var told []schemas.Verdict
	told, findings, j.m.open = j.m.open.Step(j.w, j.seen, rule)
	for i, v := range told {
		j.verdicts[j.seenAt[i]] = v
	}
	return findings
}

// unjudged lists the streams of a window that cannot be judged.
func (j *judging) unjudged() []streak.Observation {
	var out []streak.Observation
	for i := range j.w.Entries {
		e := &j.w.Entries[i]
		if e.Role.Part() != j.w.Part || !judged(e.Role) {
			continue
		}
		it := item{why: j.reason, reading: reading{Observation: Observation{Key: Key{e.Role, e.Feature, e.Slice, Location}, Version: e.Version, N: e.Present}}}
		var v schemas.Verdict
		j.verdict(&it, &v)
		out = append(out, j.observe(&it, v))
	}
	return out
}

// verdict tells what a stream has shown.
func (j *judging) verdict(it *item, v *schemas.Verdict) {
	v.Stream = schemas.Stream{Version: it.Version, Role: it.Role, Feature: it.Feature, Slice: it.Slice}
	v.Start, v.Channel, v.N, v.Revision = j.w.Start, it.Channel, it.N, j.w.Revision
	if it.why != "" {
		v.State, v.P, v.Reason = schemas.StateUnknown, 1, it.why
		return
	}
	v.State = schemas.StateOK
	reach := it.dead + 3*it.out.sd
	v.P = tTail(it.out.z, it.law.nu)
	now, ref, ok := it.ratio()
	if ok && it.Slice != "" {
		// The share itself; what is healthy of a slice is so against the rest.
		v.Effect, v.Expected, v.High = now, ref, people(it.by.angle[it.rank]+reach)
	} else {
		v.Expected, v.Low, v.High = it.people(it.mean), it.people(it.mean-reach), it.people(it.mean+reach)
		if v.Effect = now; !ok {
			v.Effect = it.people(it.Y)
		}
	}
	if it.law.upOnly {
		v.Low = 0
	}
	if it.outside {
		v.State = schemas.StateWarn
		v.Reason = fmt.Sprintf("%s is %.3g where %.3g is expected; a shift of %.2g is healthy", it.Channel, v.Effect, v.Expected, it.dead)
	}
}

// observe makes a verdict into what findings are made of.
func (j *judging) observe(it *item, v schemas.Verdict) streak.Observation {
	o := streak.Observation{Verdict: v, Fault: faultOf(it.Key), Severity: schemas.SeverityWarning}
	if !it.outside {
		return o
	}
	o.Alarm = it.alarm
	if it.now.flags&isPaged != 0 {
		o.Severity = schemas.SeverityCritical
	}
	effect, expected, pv := v.Effect, v.Expected, v.P
	shift := it.out.shift
	switch {
	case channelGroup(it.Key) == groupRates:
		o.Effect.Share = &effect
	case it.Role == schemas.RoleRows:
		x := math.Expm1(shift * sign(it.Channel))
		o.Effect.Share = &x
	default:
		x := math.Abs(shift)
		o.Effect.SD = &x
	}
	o.Evidence = schemas.Evidence{
		Column: it.Feature, Slice: it.Slice, Statistic: it.Channel, Value: effect, Expected: &expected, P: &pv, Rows: it.N,
		Window: schemas.Interval{Start: time.UnixMilli(j.w.Start).UTC(), End: time.UnixMilli(j.w.End).UTC()},
		Detail: fmt.Sprintf("%+.2g on its scale, dead zone %.2g, noise %.2g", shift, it.dead, it.out.sd),
	}
	if it.Role == schemas.RoleRows {
		o.Evidence.Column = ""
	}
	return o
}

// people turns a statistic into what people read: shares, the number of
// rows, and all else as it is.
func (it *item) people(y float64) float64 {
	switch {
	case it.Role == schemas.RoleRows:
		return math.Exp(y * sign(it.Channel))
	case isShare(it.rank):
		return people(y)
	}
	return y
}

// sign is that of a logarithm of rows in its channel.
func sign(channel string) float64 {
	if channel == LabelRate {
		return -1
	}
	return 1
}

// people turns 2·asin √share into the share.
func people(y float64) float64 {
	s := math.Sin(math.Min(math.Pi, math.Max(0, y)) / 2)
	return s * s
}

// ratio returns the share that a rate's channel counts, in the window and in
// the reference.
func (it *item) ratio() (now, ref float64, ok bool) {
	if it.by == nil || !isShare(it.rank) || it.N == 0 {
		return 0, 0, false
	}
	c := countsOf(it.entry.Summary)
	k, n, ok := it.group.of(it.rank, &c, it.N)
	if !ok {
		return 0, 0, false
	}
	return float64(k) / float64(n), it.by.share[it.rank], true
}

// isShare says whether a channel's statistic is the angle of a share.
func isShare(rank int) bool { return rank >= rankTop && rank <= rankUnseen }

// tTail returns P(|t_ν| >= |z|) by the normal tail of
//
//	√(ν·ln(1+z²/ν))·(8ν+1)/(8ν+3)
//
// which is within 7 % for ν >= 4 and |z| <= 5 (Wallace 1959).
func tTail(z, nu float64) float64 {
	return 2 * stat.NormalSurvival(math.Sqrt(nu*math.Log1p(z*z/nu))*(8*nu+1)/(8*nu+3))
}
