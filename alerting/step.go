package alerting

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/schemas"
)

// Input is what one step has to judge: the findings of one closed window of
// one part, or findings of events whose windows are still open.
type Input struct {
	Model    string
	Part     schemas.Part // of the window; 0 for findings of events
	Findings []detectors.Finding
	At       int64            // Unix milliseconds of event time that the step speaks of
	Window   schemas.Interval // the closed window; empty for findings of events
	Revised  bool             // the window was judged before, with fewer rows
	Spec     string           // hash, for the reader who computes it again
	Offsets  []schemas.OffsetRange
}

// Result is what a step has to say.
type Result struct {
	Alerts    []schemas.Alert    // in the order in which they are to be sent
	Messages  []schemas.Message  // one for each alert
	Incidents []schemas.Incident // those that have changed
	Over      int                // findings that found no room: MaxOpen was reached
}

// step is one run of Step.
type step struct {
	*State

	in     Input
	cfg    Config
	now    int64 // start of the window that is judged
	before map[string]schemas.Incident
	result Result
}

// Step takes findings into the incidents and says what is new. Of one track
// in one closed window all findings must come in one Input; findings of
// different tracks may come together or apart. ok and unknown findings count
// only for a closed window. A revised window is compared with what was said
// and changes nothing that is remembered.
//
// Times outside the years 1 to 9999 and sizes that are not finite are brought
// inside or dropped, so that every result can be written.
func (s *State) Step(in Input, cfg Config) Result {
	st := &step{State: s, in: in, cfg: cfg, before: make(map[string]schemas.Incident, len(s.incidents))}
	for _, i := range s.incidents {
		st.before[i.ID] = i.record()
	}
	window := span{in.Window.Start.UnixMilli(), in.Window.End.UnixMilli()}
	switch {
	case in.Revised:
		st.revise(window)
	case window.end > window.start:
		st.close(window)
	default:
		st.foretell(in.Findings)
	}
	st.settle()
	st.speak()
	s.tidy()
	return st.result
}

type span struct{ start, end int64 }

// group is what is said of one track.
type group struct {
	key      key
	findings []detectors.Finding
}

// groups sorts findings by track, causes first.
func groups(findings []detectors.Finding) []group {
	var out []group
	for _, f := range findings {
		k := key{f.Fault, sortedNames(f.Columns)}
		n, found := slices.BinarySearchFunc(out, k, func(g group, k key) int { return g.key.compare(k) })
		if !found {
			out = slices.Insert(out, n, group{key: k})
		}
		out[n].findings = append(out[n].findings, f)
	}
	return out
}

// close judges a closed window. What the model says waits until the window
// of what it was told is closed, so that a cause comes before its consequence.
func (st *step) close(w span) {
	var ahead []detectors.Finding
	var held []detectors.Finding
	var judged []group
	for _, g := range groups(st.in.Findings) {
		now := g.findings[:0:0]
		for _, f := range g.findings {
			if f.State == schemas.StateError && f.Start >= w.end {
				ahead = append(ahead, f)
			} else {
				now = append(now, f)
			}
		}
		switch {
		case len(now) == 0:
		case st.mustWait(g.key, w):
			if st.worthWaiting(g.key, now) {
				held = append(held, now...)
			}
		default:
			judged = append(judged, group{g.key, now})
		}
	}
	st.judgeAll(judged, w)
	if len(held) > 0 {
		st.wait(waiting{w.start, w.end, held})
	}
	if st.in.Part == schemas.PartFeatures && (!st.judged || w.end > st.features) {
		st.features, st.judged = w.end, true
	}
	st.foretell(ahead)
	st.catchUp()
}

func (st *step) mustWait(k key, w span) bool {
	both := schemas.PartFeatures | schemas.PartPrediction
	return tierOf(k.Fault) == tierOutput && st.in.Part == schemas.PartPrediction && st.cfg.Parts&both == both &&
		(!st.judged || w.end > st.features)
}

// worthWaiting: an ok window matters only where something is not ok.
func (st *step) worthWaiting(k key, findings []detectors.Finding) bool {
	if st.track(k) != nil || slices.ContainsFunc(findings, func(f detectors.Finding) bool { return f.State == schemas.StateError }) {
		return true
	}
	return slices.ContainsFunc(st.waiting, func(w waiting) bool {
		return slices.ContainsFunc(w.Findings, func(f detectors.Finding) bool { return f.Fault == k.Fault })
	})
}

func (st *step) wait(w waiting) {
	for i := range w.Findings {
		f := &w.Findings[i]
		f.Columns, f.Slices = sortedNames(f.Columns), sortedNames(f.Slices)
		f.Effect = schemas.Effect{SD: finite(f.Effect.SD), Share: finite(f.Effect.Share)}
		evidence := f.Evidence[:min(len(f.Evidence), maxEvidence)]
		f.Evidence = nil
		for _, e := range evidence {
			f.Evidence = append(f.Evidence, cleanEvidence(e))
		}
	}
	n, found := slices.BinarySearchFunc(st.waiting, w.Start, func(o waiting, start int64) int { return cmp.Compare(o.Start, start) })
	if found {
		st.waiting[n].Findings = append(st.waiting[n].Findings, w.Findings...)
		return
	}
	st.waiting = slices.Insert(st.waiting, n, w)
}

// catchUp judges the prediction windows whose features are judged, and the
// oldest ones when too many wait.
func (st *step) catchUp() {
	for len(st.waiting) > 0 && (st.judged && st.waiting[0].End <= st.features || len(st.waiting) > maxWaiting) {
		w := st.waiting[0]
		st.waiting = st.waiting[1:]
		st.judgeAll(groups(w.Findings), span{w.Start, w.End})
	}
}

// foretell takes in what is wrong in windows that are still open.
func (st *step) foretell(findings []detectors.Finding) {
	for _, g := range groups(findings) {
		for i := range g.findings {
			f := &g.findings[i]
			if f.State != schemas.StateError {
				continue
			}
			start, end := st.align(f.Start, f.End)
			st.expect(g.key, sight(f, start, end))
		}
	}
}

// align finds the model's window that holds a finding's own.
func (st *step) align(start, end int64) (int64, int64) {
	start = min(max(start, earliest), latest)
	w := max(1, st.cfg.Window.Milliseconds())
	r := start % w
	if r < 0 {
		r += w
	}
	start -= r
	return start, max(min(end, latest), start+w)
}

func (st *step) expect(k key, s sighting) {
	t := st.track(k)
	if t == nil {
		if st.isPast(k, s.Start) {
			return
		}
		if t = st.room(k); t == nil {
			return
		}
	}
	if s.Start < t.Settled && t.Now != nil {
		t.Now.add(s) // its window is closed: it makes the picture fuller, not longer
		return
	}
	t.expect(s)
	st.lookAhead(t)
}

// isPast says whether a late word about a window belongs to an incident that is over.
func (st *step) isPast(k key, start int64) bool {
	for _, i := range st.incidents {
		if !i.Resolved {
			continue
		}
		for m := range i.leads {
			if m.compare(k) == 0 && m.First <= start && start < m.Ended {
				return true
			}
		}
	}
	return false
}

// lookAhead fires what lies ahead of the closed windows, unless an episode is open that it may belong to.
func (st *step) lookAhead(t *track) {
	if t.Now != nil || len(t.Ahead) == 0 {
		return
	}
	t.Early = t.foresee()
	if t.Early.Incident == "" {
		st.place(t, t.Early, t.Early.First)
	}
	st.sync(t)
}

// room makes a track, nil when there are too many.
func (st *step) room(k key) *track {
	if len(st.tracks) >= 4*st.cfg.MaxOpen {
		st.result.Over++
		return nil
	}
	return st.addTrack(k)
}

// judgeAll takes one closed window into its tracks: first what is over, then what
// goes on, then what begins, so that nothing joins an incident that this very
// window ends, whatever its name.
func (st *step) judgeAll(all []group, w span) {
	rank := func(g group) int {
		t := st.track(g.key)
		bad := t != nil && len(t.Ahead) > 0 && t.Ahead[0].Start <= w.start ||
			slices.ContainsFunc(g.findings, func(f detectors.Finding) bool { return f.State == schemas.StateError })
		switch {
		case !bad:
			return 0
		case t != nil && t.Now != nil:
			return 1
		}
		return 2
	}
	var byRank [3][]group
	for _, g := range all {
		r := rank(g)
		byRank[r] = append(byRank[r], g)
	}
	for _, some := range byRank {
		for _, g := range some {
			st.judge(g.key, g.findings, w)
		}
	}
	st.now = w.start
	st.settle() // before any other window, as if that came in a step of its own
}

// judge takes one closed window into one track.
func (st *step) judge(k key, findings []detectors.Finding, w span) {
	t := st.track(k)
	r := read(findings, w, t)
	if t == nil {
		if r.State != schemas.StateError {
			return
		}
		if t = st.room(k); t == nil {
			return
		}
	}
	if w.start < t.Settled {
		if r.State == schemas.StateError && t.Now != nil {
			t.Now.add(r.sighting)
		}
		return
	}
	for len(t.Ahead) > 0 && t.Ahead[0].Start <= w.start {
		s := t.Ahead[0]
		t.Ahead = t.Ahead[1:]
		if s.Start < w.start {
			st.bad(t, s)
			continue
		}
		if r.State == schemas.StateError {
			s.add(r.sighting)
		}
		r = reading{sighting: s, State: schemas.StateError}
	}
	switch r.State {
	case schemas.StateError:
		st.bad(t, r.sighting)
	case schemas.StateOK:
		if t.Now != nil && t.Now.good(w.start, w.end, st.cfg.Clear) {
			st.end(t, w.end)
		}
	default:
		if t.Now != nil {
			t.Now.dark(w.start, r.Reason)
		}
	}
	t.Settled = w.end
	st.sync(t)
	st.lookAhead(t)
}

// read sums up what the findings of one track say of a window. Any error is
// an error. Otherwise it is ok only where all that was bad is measured ok; about
// says which finding speaks for a slice, and ofVersions for a version.
func read(findings []detectors.Finding, w span, t *track) reading {
	r := reading{sighting: sighting{Start: w.start, End: w.end}}
	for i := range findings {
		f := &findings[i]
		if f.State != schemas.StateError {
			continue
		}
		s := sight(f, w.start, w.end)
		if r.State == "" {
			r = reading{sighting: s, State: schemas.StateError}
		} else {
			r.add(s)
		}
	}
	if r.State == schemas.StateError || t == nil || t.live() == nil {
		return r
	}
	concerned := ofVersions(findings, t.live().Versions)
	places := slices.Clone(t.live().Slices)
	if t.live().Whole || len(places) == 0 {
		places = append(places, "")
	}
	r.State = schemas.StateOK
	for _, p := range places {
		if f := about(concerned, p); f == nil || f.State != schemas.StateOK && f.State != schemas.StateWarn {
			r.State = schemas.StateUnknown
			if f != nil {
				r.Reason = clean(f.Reason)
			}
		}
	}
	return r
}

// ofVersions keeps the findings of those versions; of all when none has any,
// because then they serve no more.
func ofVersions(findings []detectors.Finding, versions []string) []detectors.Finding {
	var out []detectors.Finding
	for _, f := range findings {
		if slices.Contains(versions, clean(f.Version)) {
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		return findings
	}
	return out
}

// about finds the least healthy word about a slice, "" being the whole: what
// names it, else what speaks of the whole, else anything, because a detector
// may sum up all that it had told of in one finding.
func about(findings []detectors.Finding, slice string) *detectors.Finding {
	names := func(f *detectors.Finding) bool { return slices.Contains(sortedNames(f.Slices), slice) }
	whole := func(f *detectors.Finding) bool { return len(f.Slices) == 0 }
	anything := func(*detectors.Finding) bool { return true }
	for _, fits := range []func(*detectors.Finding) bool{names, whole, anything} {
		var worst *detectors.Finding
		for i := range findings {
			if f := &findings[i]; fits(f) && (worst == nil || f.State == schemas.StateUnknown) {
				worst = f
			}
		}
		if worst != nil {
			return worst
		}
	}
	return nil
}

// bad takes a bad window into a track.
func (st *step) bad(t *track, s sighting) {
	opened := t.bad(s)
	e := t.Now
	if opened || e.Incident == "" {
		st.place(t, e, e.First)
	}
	st.sync(t)
}

// end closes the episode of a track.
func (st *step) end(t *track, at int64) {
	st.sync(t)
	if i := st.find(t.Now.Incident); i != nil {
		m := i.member(t.key)
		m.Live, m.Ended = false, at
	}
	t.Now = nil
}

// sync brings a track's episode into its incident.
func (st *step) sync(t *track) {
	e := t.live()
	if e == nil {
		return
	}
	i := st.find(e.Incident)
	if i == nil || i.Resolved { // a consequence adds nothing to what is over
		return
	}
	i.take(t.key, e)
}

// settle resolves what is over, and lets consequences that outlive their
// cause become incidents, until nothing changes.
func (st *step) settle() {
	for changed := true; changed; {
		changed = false
		for _, i := range st.incidents {
			if i.Resolved {
				continue
			}
			i.nameOutput()
			if i.running() {
				continue
			}
			i.Resolved = true
			for m := range i.leads {
				i.Over = max(i.Over, m.Ended)
			}
		}
		for _, t := range slices.Clone(st.tracks) {
			e := t.live()
			if e == nil || e.Lead || e.Incident == "" {
				continue
			}
			last := int64(math.MinInt64)
			if i := st.find(e.Incident); i != nil {
				if !i.Resolved || tierOf(t.Fault) == tierOutput && t.Settled < i.Over {
					continue // it may end before its cause does
				}
				last = i.last()
			}
			start, ok := e.beyond(last)
			if !ok {
				continue
			}
			e.detach(start)
			st.place(t, e, max(e.First, st.now))
			st.sync(t)
			changed = true
		}
	}
}

// revise compares a window that got late rows with what was said of it. An
// incident that stood on this window alone and is not seen in it any more is
// withdrawn, once.
func (st *step) revise(w span) {
	for _, g := range groups(st.in.Findings) {
		ok := !slices.ContainsFunc(g.findings, func(f detectors.Finding) bool {
			return f.State != schemas.StateOK && f.State != schemas.StateWarn
		})
		if !ok {
			continue
		}
		for _, i := range st.incidents {
			if i.Withdrawn || i.first() != w.start || i.last() != w.start || !slices.Equal(i.columns(), g.key.Columns) || i.Fault != g.key.Fault {
				continue
			}
			i.Withdrawn = true
			i.Updated = st.in.At
			i.Reason = fmt.Sprintf("withdrawn: with the rows that came late, the window from %s is ok", clock(moment(w.start), moment(st.in.At)))
			st.say(i, schemas.TransitionRevised)
		}
	}
}

// speak says what is new of every incident, oldest first.
func (st *step) speak() {
	for _, i := range st.incidents {
		was, known := st.before[i.ID]
		fresh := i.Seq == 0
		justResolved := i.Resolved && (!known || was.State != schemas.IncidentResolved)
		if fresh {
			i.Updated = st.in.At
			resolved := i.Resolved
			i.Resolved = false
			st.say(i, schemas.TransitionFiring)
			i.Resolved = resolved
		}
		switch {
		case justResolved:
			i.Updated = st.in.At
			i.Reason = fmt.Sprintf("measured ok in %d windows up to %s", st.cfg.Clear, clock(moment(i.Over), moment(st.in.At)))
			if i.Withdrawn {
				i.Reason += ", and withdrawn before"
			}
			st.say(i, schemas.TransitionResolved)
		case !fresh && !i.Resolved:
			st.update(i)
		}
		now := i.record()
		if !known || !reflect.DeepEqual(was, now) {
			st.result.Incidents = append(st.result.Incidents, now)
		}
	}
}

// update tells what has changed enough to be told.
func (st *step) update(i *incident) {
	r := i.record()
	news := i.Said.news(&r)
	since, why, dark := i.unknown(st.cfg.Hold)
	if dark && !i.Muted {
		text := "cannot tell since " + clock(moment(since), moment(st.in.At))
		if why != "" {
			text += ": " + why
		}
		if news != "" {
			text = news + "; " + text
		}
		news = text
	}
	i.Muted = dark
	if news == "" || i.Updates >= st.cfg.MaxUpdates {
		return
	}
	i.Updates++
	i.Updated = st.in.At
	i.Reason = news
	st.say(i, schemas.TransitionUpdated)
}

// say writes one message.
func (st *step) say(i *incident, transition schemas.Transition) {
	i.Seq++
	r := i.record()
	i.Said = saidOf(&r)
	a := schemas.Alert{
		Incident: i.ID, Seq: i.Seq, Transition: transition, Severity: r.Severity, Model: r.Model, Version: r.Version,
		Fault: r.Fault, Title: r.Title, Columns: r.Columns, Slices: r.Slices, Onset: r.Onset, Detected: r.Detected,
		Window: r.Window, Effect: r.Effect, Evidence: r.Evidence,
		Replay: schemas.Replay{Spec: st.in.Spec, Offsets: append([]schemas.OffsetRange{}, st.in.Offsets...)},
		Links:  st.cfg.links(&r), Reason: r.Reason,
	}
	st.result.Alerts = append(st.result.Alerts, a)
	st.result.Messages = append(st.result.Messages, AlertMessage(&a, moment(st.in.At)))
}

func (st *step) join() int64 {
	return int64(time.Duration(st.cfg.Join) * st.cfg.Window / time.Millisecond)
}
