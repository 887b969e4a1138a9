package alerting

import (
	"slices"

	"github.com/modelwatch/modelwatch/schemas"
)

// place finds the incident to which a new episode belongs, or opens one. It is
// born in the window that shows it: its first, or a later one when it had a
// cause until then.
func (st *step) place(t *track, e *episode, born int64) {
	if cause := st.cause(t, e); cause != nil {
		e.Incident, e.Lead = cause.ID, false
		return
	}
	e.Lead = true
	if peer := st.pick(func(i *incident) bool { return st.isPeer(i, t.key, e) }); peer != nil {
		e.Incident = peer.ID
		// A column that joins again is told with all it has shown.
		for m := range peer.leads {
			if m.compare(t.key) == 0 {
				e.add(m.sighting)
				e.First = min(e.First, m.First)
			}
		}
		return
	}
	st.open(t.key, e, born)
}

// cause finds the incident of which the episode is a consequence.
func (st *step) cause(t *track, e *episode) *incident {
	k := t.key
	if len(k.Columns) == 0 && tierOf(k.Fault) != tierOutput {
		return nil
	}
	return st.pick(func(i *incident) bool {
		columns := i.columns()
		if len(columns) == 0 {
			return false
		}
		switch own, lead := tierOf(k.Fault), tierOf(i.Fault); own {
		case tierSoft, tierDrift:
			switch {
			case i.Resolved || !overlap(columns, k.Columns):
				return false
			case lead == tierHard:
				return i.first() <= e.First
			case lead == tierSoft:
				return i.Fault != k.Fault && st.near(i, e)
			}
		case tierOutput:
			// Predictions are judged after features: what counts is whether the cause was open then.
			return lead < tierOutput && st.together(i.first(), i.Born, e.First) && (!i.Resolved || i.Over > max(e.LastEnd, t.Settled))
		}
		return false
	})
}

// isPeer says whether the episode is more of the same incident.
func (st *step) isPeer(i *incident, k key, e *episode) bool {
	if i.Resolved || !i.running() || !st.near(i, e) {
		return false
	}
	switch tierOf(k.Fault) {
	case tierHard, tierSoft, tierDrift:
		return i.Fault == k.Fault && len(k.Columns) > 0 && len(i.columns()) > 0
	case tierOutput:
		return tierOf(i.Fault) == tierOutput
	}
	return false
}

// near says whether the episode began within the joining distance of the incident.
func (st *step) near(i *incident, e *episode) bool {
	return st.within(i.first(), e.First)
}

func (st *step) within(a, b int64) bool { return -st.join() <= a-b && a-b <= st.join() }

// together says whether what the model says began to move with its cause, as far as
// that could be seen by then.
func (st *step) together(cause, born, output int64) bool {
	return st.within(cause, output) && born-output <= st.join()
}

// pick returns the earliest incident for which f holds.
func (st *step) pick(f func(*incident) bool) *incident {
	var best *incident
	for _, i := range st.incidents {
		if f(i) && (best == nil || byOrder(i, best) < 0) {
			best = i
		}
	}
	return best
}

// capture makes consequences of what the model has begun to say when the cause
// began. An incident that is all of it becomes the cause's own, and true is
// returned; of any other it is taken out.
func (st *step) capture(k key, e *episode, born int64) (taken bool) {
	for _, i := range st.incidents {
		if i.Resolved || tierOf(i.Fault) != tierOutput {
			continue
		}
		all := true
		for m := range i.leads {
			all = all && st.together(e.First, born, m.First)
		}
		switch {
		case all && e.Incident == "":
			for _, m := range i.Members {
				m.Lead = false
				st.follow(m.key, i.ID, e)
			}
			i.Fault, i.Born = k.Fault, born
			e.Incident = i.ID
			i.take(k, e)
			taken = true
		case !all:
			i.Members = slices.DeleteFunc(i.Members, func(m *member) bool {
				gone := m.Lead && st.together(e.First, born, m.First)
				if gone {
					st.follow(m.key, "", e)
				}
				return gone
			})
		}
	}
	return taken
}

// follow makes the episode of a track a consequence of e in that incident; "" is
// the one e is about to open.
func (st *step) follow(k key, id string, e *episode) {
	if t := st.track(k); t != nil && t.live() != nil && t.live() != e {
		t.live().Incident, t.live().Lead = id, false
	}
}

// open makes an incident of its own, if there is room.
func (st *step) open(k key, e *episode, born int64) {
	isCause := len(k.Columns) > 0 && tierOf(k.Fault) < tierOutput
	if isCause && st.capture(k, e, born) {
		st.adopt(st.find(e.Incident))
		return
	}
	firing := 0
	for _, i := range st.incidents {
		if !i.Resolved {
			firing++
		}
	}
	if firing >= st.cfg.MaxOpen {
		st.result.Over++
		return
	}
	i := &incident{
		ID:    incidentID(st.in.Model, k, e.Onset, func(id string) bool { return st.find(id) != nil }),
		Model: st.in.Model, Fault: k.Fault, Born: born, Updated: st.in.At, Said: said{Severity: schemas.SeverityInfo},
	}
	e.Incident = i.ID
	i.take(k, e)
	st.incidents = slices.Concat(st.incidents, []*incident{i})
	for _, t := range st.tracks {
		if o := t.live(); o != nil && !o.Lead && o.Incident == "" {
			o.Incident = i.ID
			st.sync(t)
		}
	}
	if isCause {
		st.adopt(i)
	}
}

// adopt takes over what the model says from causes that would not have been
// chosen had this one been known: a per-event fault is read ahead of the
// windows, and must not win by that.
func (st *step) adopt(cause *incident) {
	for _, t := range st.tracks {
		e := t.live()
		if e == nil || e.Lead || tierOf(t.Fault) != tierOutput || e.Incident == "" || e.Incident == cause.ID {
			continue
		}
		i := st.find(e.Incident)
		if i == nil || byOrder(cause, i) >= 0 || !st.together(cause.first(), cause.Born, e.First) {
			continue
		}
		i.Members = slices.DeleteFunc(i.Members, func(m *member) bool { return m.compare(t.key) == 0 })
		e.Incident = cause.ID
		st.sync(t)
	}
}
