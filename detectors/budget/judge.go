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
	j := judging{w: w, ref: ref, plan: plan, p: &p, m: &m, touched: make([]bool, len(m.streams)), onsets: map[whose]int64{}}
	j.reason = j.whyNot(&c)
	if j.reason == "" {
		j.at = c.cells(w.Start, w.End)
		for i := range j.at {
			j.holiday = j.holiday || j.at[i].holiday
		}
		if err := j.read(); err != nil {
			return nil, nil, m, err
		}
		j.share()
		if err := j.decide(); err != nil {
			return nil, nil, m, err
		}
	}
	verdicts, findings, open := m.open.Step(w, j.seen(), streak.Rule{Windows: math.MaxInt, Clear: p.Clear, Forget: p.Forget})
	next := j.remember()
	next.open = open
	for i := range findings {
		f := &findings[i]
		if t, ok := j.onsets[whose{f.Fault, f.Version, f.Columns[0]}]; ok {
			f.Onset = min(t, f.Detected)
		}
	}
	return verdicts, findings, next, nil
}

// whose says which finding a stream belongs to.
type whose struct {
	fault            schemas.Fault
	version, feature string
}

// judging is one call of Judge.
type judging struct {
	w       *detectors.Window
	ref     *Reference
	plan    *Plan
	p       *Parameters
	m       *Memory
	reason  string // why nothing can be judged
	at      []cell
	holiday bool
	groups  []group
	items   []item
	touched []bool // of the memory's streams
	onsets  map[whose]int64
}

// item is one stream of the window.
type item struct {
	reading
	law
	known   int // index in the memory, -1: new
	before  state
	after   state
	out     outcome
	shares  shares
	weights weights
	mean    float64 // expected
	dead    float64 // dead zone in this window
	done    bool
	alarm   bool
	outside bool // the finding is open, and the level is not back
	wasOpen bool
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
func (j *judging) read() error {
	j.groups = j.ref.yards.groups(j.w)
	for i := range j.groups {
		all, err := j.groups[i].measure(j.w)
		if err != nil {
			return err
		}
		for k := range all {
			it := item{reading: all[k], known: -1}
			if err := j.prepare(&it); err != nil {
				return err
			}
			j.items = append(j.items, it)
		}
	}
	return nil
}

func (j *judging) prepare(it *item) error {
	at, known := j.m.index[id{it.Key, it.Version}]
	if known {
		it.known = at
		j.touched[at] = true
	}
	h, ok := j.ref.healthy[it.Key]
	if !ok {
		it.why = "the reference has too few rows of it"
		return nil
	}
	it.law = newLaw(it.Key, &h, j.p)
	if !it.sound() {
		return fmt.Errorf("judging %s of %s: its healthy behaviour is not finite", it.Key, j.w.Model)
	}
	if !it.tickets {
		it.why = fmt.Sprintf("learning: %.0f of %.0f days", h.Days, math.Ceil(j.p.TicketDays))
		return nil
	}
	if known {
		it.before = j.m.streams[at].state
		it.before.idle = 0
	} else {
		it.before = newState(&it.law)
	}
	it.wasOpen = it.before.flags&isOpen != 0
	var doubt float64
	it.mean, doubt = it.expected(j.at, j.w.End)
	it.law.dead += doubt
	it.dead = it.law.dead
	return nil
}

// share divides the part's spend among the streams that have data.
func (j *judging) share() {
	versions := map[Key]int{}
	several := false
	for i := range j.items {
		several = several || j.items[i].Version != j.items[0].Version
	}
	if several {
		for i := range j.items {
			if j.items[i].why == "" {
				versions[j.items[i].Key]++
			}
		}
	}
	var sum shares
	for i := range j.items {
		it := &j.items[i]
		if it.why != "" {
			continue
		}
		it.shares = j.plan.shares[it.Key]
		if n := float64(versions[it.Key]); n > 1 {
			it.shares.page /= n
			it.shares.ticket /= n
		}
		if !it.pages {
			it.shares.page = 0
		}
		sum.page += it.shares.page
		sum.ticket += it.shares.ticket
	}
	all := j.plan.spend[j.w.Part]
	var scale shares
	if sum.page > 0 {
		scale.page = all.page / sum.page
	}
	if sum.ticket > 0 {
		scale.ticket = all.ticket / sum.ticket
	}
	for i := range j.items {
		it := &j.items[i]
		x := j.plan.weight(it.shares, scale)
		it.weights = weights{x.Page, x.PageShock, x.Ticket, x.TicketShock}
	}
}

// decide steps every stream, slices column by column and channel by channel.
func (j *judging) decide() error {
	for i := 0; i < len(j.items); {
		end := i + 1
		for end < len(j.items) && j.items[end].group == j.items[i].group {
			end++
		}
		if err := j.column(j.items[i:end]); err != nil {
			return err
		}
		i = end
	}
	return nil
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
	for _, channel := range order {
		of := slicesOf[:0:0]
		for _, it := range slicesOf {
			if it.Channel == channel {
				of = append(of, it)
			}
		}
		if err := j.stepDown(of, channel); err != nil {
			return err
		}
	}
	return nil
}

// stepDown judges the slices of one channel: those open already are out of
// the others' rest; then, while one alarms, the strongest is taken, and the
// rest is judged again without its rows.
func (j *judging) stepDown(all []*item, channel string) error {
	found := map[string][]*detectors.Entry{} // by dimension
	for _, it := range all {
		if it.wasOpen {
			d := dimension(it.Slice)
			found[d] = append(found[d], it.entry)
		}
	}
	again := func(it *item) error {
		if out := found[dimension(it.Slice)]; len(out) > 0 {
			whole := countsOf(it.group.whole.Summary)
			mine, rest := it.group.split(&whole, it.entry, out)
			if x, ok := it.group.difference(channel, it.Slice, &mine, &rest, out); ok {
				it.Y, it.R = x.y, x.r
			}
		}
		return j.step(it)
	}
	for _, it := range all {
		if err := again(it); err != nil {
			return err
		}
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
		d := dimension(worst.Slice)
		found[d] = append(found[d], worst.entry)
		for _, it := range all {
			if it.done || it.wasOpen || dimension(it.Slice) != d {
				continue
			}
			it.before.doubt(&it.law, worst.out.shift > 0)
			if err := again(it); err != nil {
				return err
			}
		}
	}
	for _, it := range all {
		if !it.done {
			j.commit(it)
		}
	}
	return nil
}

// doubt takes back what another slice's shift has made of a stream: seen
// against a rest that had moved up, it seemed to move down. Evidence is only
// ever taken away, which keeps the bound.
func (s *state) doubt(l *law, up bool) {
	from := 0
	if up {
		from = len(sizes)
	}
	for i := from; i < from+len(sizes); i++ {
		s.page[i], s.ticket[i], s.run[i], s.age[i] = 0, 0, 0, 0
	}
	s.page[bets-1], s.ticket[bets-1] = 0, 0
	s.a, s.p, s.bias, s.level = 0, l.tau2, 0, 0
}

// step takes the window into a copy of the stream's state.
func (j *judging) step(it *item) error {
	it.after = it.before
	r := it.R
	if j.holiday && it.Holidays < 2 {
		r += 3 * (it.before.p + r) // four times the variance of any other day
	}
	it.out = it.law.step(&it.after, it.Y-it.mean, r, it.dead, it.weights)
	if !finite(it.out.z) || !finite(it.after.a) || !finite(it.after.level) {
		return fmt.Errorf("judging %s of %s in the window of %d: z is %v", it.Key, j.w.Model, j.w.Start, it.out.z)
	}
	for i := range it.after.ticket {
		if !finite(it.after.ticket[i]) || !finite(it.after.page[i]) {
			return fmt.Errorf("judging %s of %s in the window of %d: its recursion is not finite", it.Key, j.w.Model, j.w.Start)
		}
	}
	return nil
}

// commit takes the outcome of a stream as final.
func (j *judging) commit(it *item) {
	it.done = true
	s := &it.after
	it.alarm = it.out.page || it.out.ticket
	back := math.Abs(s.level) <= it.dead || it.upOnly && s.level < 0
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
	t := whose{faultOf(it.Key), it.Version, it.Feature}
	if was, ok := j.onsets[t]; !ok || s.onset < was {
		j.onsets[t] = s.onset
	}
	it.outside = it.alarm || !back
	if it.outside {
		s.ok = 0
		return
	}
	s.ok++
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

// remember returns the memory after the window.
func (j *judging) remember() Memory {
	next := Memory{streams: slices.Clone(j.m.streams), index: j.m.index}
	changed := false
	for i := range j.items {
		it := &j.items[i]
		switch {
		case it.why != "" && it.known >= 0:
			j.touched[it.known] = false // held as if it had no data
		case it.why != "":
		case it.known >= 0:
			next.streams[it.known].state = it.after
		default:
			next.streams = append(next.streams, remembered{id{it.Key, it.Version}, it.after})
			changed = true
		}
	}
	for i := range j.touched {
		s := &next.streams[i]
		if j.touched[i] || partOf(s.Key) != j.w.Part {
			continue
		}
		s.ok = 0
		s.idle++
		if h, ok := j.ref.Healthy(s.Key); ok {
			l := newLaw(s.Key, &h, j.p)
			l.skip(&s.state)
		}
		if s.flags&isOpen != 0 {
			t := whose{faultOf(s.Key), s.version, s.Feature}
			if was, ok := j.onsets[t]; !ok || s.onset < was {
				j.onsets[t] = s.onset
			}
		}
		changed = changed || int(s.idle) > j.p.Forget
	}
	if changed {
		next.streams = slices.DeleteFunc(next.streams, func(s remembered) bool { return int(s.idle) > j.p.Forget })
		slices.SortFunc(next.streams, func(a, b remembered) int { return compareIDs(a.id, b.id) })
		next.index = indexOf(next.streams)
	}
	return next
}

// seen turns the streams into observations.
func (j *judging) seen() []streak.Observation {
	out := make([]streak.Observation, 0, len(j.items))
	if j.reason != "" {
		for i := range j.w.Entries {
			e := &j.w.Entries[i]
			if e.Role.Part() == j.w.Part && channelsOf(e.Role) != nil {
				k := Key{e.Role, e.Feature, e.Slice, Location}
				out = append(out, j.unknown(k, e.Version, e.Present, j.reason))
			}
		}
		return out
	}
	for i := range j.items {
		it := &j.items[i]
		if it.why != "" {
			out = append(out, j.unknown(it.Key, it.Version, it.N, it.why))
			continue
		}
		out = append(out, j.observe(it))
	}
	return out
}

func (j *judging) unknown(k Key, version string, n uint64, why string) streak.Observation {
	return streak.Observation{
		Verdict: schemas.Verdict{
			Stream: schemas.Stream{Version: version, Role: k.Role, Feature: k.Feature, Slice: k.Slice}, Start: j.w.Start,
			Channel: k.Channel, State: schemas.StateUnknown, P: 1, N: n, Revision: j.w.Revision, Reason: why,
		},
		Fault: faultOf(k), Severity: schemas.SeverityWarning,
	}
}

// observe tells what a judged stream has shown.
func (j *judging) observe(it *item) streak.Observation {
	o := j.unknown(it.Key, it.Version, it.N, "")
	v := &o.Verdict
	v.State = schemas.StateOK
	reach := it.dead + 3*it.out.sd
	v.Effect, v.Expected, v.Low, v.High = it.people(it.Y), it.people(it.mean), it.people(it.mean-reach), it.people(it.mean+reach)
	v.P = tTail(it.out.z, it.nu)
	if of, ref, ok := it.ratio(); ok {
		// The share itself; what is healthy of a slice is so against the rest.
		v.Effect = of
		if it.Slice != "" {
			v.Expected, v.Low, v.High = ref, 0, people(2*math.Asin(math.Sqrt(ref))+reach)
		}
		if it.upOnly {
			v.Low = 0
		}
	}
	if !it.outside {
		return o
	}
	v.State = schemas.StateWarn
	o.AtOnce = it.alarm
	if it.after.flags&isPaged != 0 {
		o.Severity = schemas.SeverityCritical
	}
	effect, expected := v.Effect, v.Expected
	v.Reason = fmt.Sprintf("%s is %.3g where %.3g is expected; a shift of %.2g is healthy", it.Channel, effect, expected, it.dead)
	switch {
	case channelGroup(it.Key) == groupRates:
		o.Effect.Share = &effect
	case it.Role == schemas.RoleRows:
		x := math.Expm1(it.out.shift)
		o.Effect.Share = &x
	default:
		x := math.Abs(it.out.shift)
		o.Effect.SD = &x
	}
	pv := v.P
	o.Evidence = schemas.Evidence{
		Column: it.Feature, Slice: it.Slice, Statistic: it.Channel, Value: effect, Expected: &expected, P: &pv, Rows: it.N,
		Window: schemas.Interval{Start: time.UnixMilli(j.w.Start).UTC(), End: time.UnixMilli(j.w.End).UTC()},
		Detail: fmt.Sprintf("%+.2g on its scale, dead zone %.2g, noise %.2g", it.out.shift, it.dead, it.out.sd),
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
		return math.Exp(y)
	case it.Channel == TopShare || channelGroup(it.Key) == groupRates:
		return people(y)
	}
	return y
}

// people turns 2·asin √share into the share.
func people(y float64) float64 {
	s := math.Sin(math.Min(math.Pi, math.Max(0, y)) / 2)
	return s * s
}

// ratio returns the share that a rate's channel counts, in the window and in
// the reference.
func (it *item) ratio() (now, ref float64, ok bool) {
	if it.group.yardstick == nil || it.Channel != TopShare && channelGroup(it.Key) != groupRates {
		return 0, 0, false
	}
	was := it.group.yardstick.whole
	if it.Slice != "" {
		was = it.group.yardstick.slices[it.Slice]
	}
	c := countsOf(it.entry.Summary)
	return it.group.share(it.Channel, &c), it.group.share(it.Channel, &was), true
}

// tTail returns P(|t_ν| >= |z|) by the normal tail of
//
//	√(ν·ln(1+z²/ν))·(8ν+1)/(8ν+3)
//
// which is within 7 % for ν >= 4 and |z| <= 5 (Wallace 1959).
func tTail(z, nu float64) float64 {
	return 2 * stat.NormalSurvival(math.Sqrt(nu*math.Log1p(z*z/nu))*(8*nu+1)/(8*nu+3))
}
