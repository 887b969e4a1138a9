package budget

import (
	"cmp"
	"math"
	"slices"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/schemas"
)

// Revise judges a window that was judged before and has got late rows since,
// by itself: nothing is remembered, no budget is spent, and what was decided
// stays. Of each fault of each column that could be judged it says
//
//	error    some stream is more than three sd beyond its dead zone
//	ok       all are within their dead zones
//	unknown  else
//
// A window alone knows nothing of the windows before it, so the sd is that of
// the noise as a whole.
func Revise(w *detectors.Window, ref *Reference, c Calendar, p Parameters) ([]schemas.Verdict, []detectors.Finding, error) {
	j := newJudging(w, ref, &Plan{}, &p, &Memory{})
	j.reason = j.whyNot(&c)
	if j.reason != "" {
		return j.alone(nil), nil, nil
	}
	if err := j.read(&c); err != nil {
		return nil, nil, err
	}
	var items []item
	for i := range j.groups {
		g := &j.groups[i]
		items = append(items, j.load(g)...)
		for i := len(items) - (g.to - g.from); i < len(items); i++ {
			it := &items[i]
			if it.why != "" {
				continue
			}
			if err := j.step(it); err != nil {
				return nil, nil, err
			}
			off := math.Abs(it.out.shift)
			if it.law.upOnly {
				off = it.out.shift
			}
			it.outside = off > it.dead
			it.alarm = off > it.dead+3*it.out.sd
		}
	}
	return j.alone(items), j.revised(items), nil
}

// alone are the verdicts on the window by itself.
func (j *judging) alone(items []item) []schemas.Verdict {
	if j.reason != "" {
		seen := j.unjudged()
		out := make([]schemas.Verdict, len(seen))
		for i := range seen {
			out[i] = seen[i].Verdict
		}
		return out
	}
	out := make([]schemas.Verdict, len(items))
	for i := range items {
		it := &items[i]
		j.verdict(it, &out[i])
		switch {
		case it.alarm:
			out[i].State = schemas.StateError
		case it.outside:
			out[i].State = schemas.StateUnknown
		}
	}
	return out
}

// revised puts the streams of a fault and column together.
func (j *judging) revised(items []item) []detectors.Finding {
	found := map[whose]*detectors.Finding{}
	for i := range items {
		it := &items[i]
		if it.why != "" {
			continue
		}
		t := whose{faultOf(it.Key), it.Version, it.Feature}
		f := found[t]
		if f == nil {
			f = &detectors.Finding{
				Fault: t.fault, Severity: schemas.SeverityWarning, State: schemas.StateOK, Version: t.version, Columns: []string{t.feature},
				Onset: j.w.Start, Detected: j.w.End, Start: j.w.Start, End: j.w.End,
			}
			found[t] = f
		}
		if !it.outside {
			continue
		}
		var v schemas.Verdict
		j.verdict(it, &v)
		o := j.observe(it, v)
		if it.alarm || f.State == schemas.StateOK {
			f.Effect, f.Reason = o.Effect, o.Reason
		}
		f.Evidence = append(f.Evidence, o.Evidence)
		if it.Slice != "" && !slices.Contains(f.Slices, it.Slice) {
			f.Slices = append(f.Slices, it.Slice)
		}
		switch {
		case it.alarm:
			f.State = schemas.StateError
		case f.State == schemas.StateOK:
			f.State = schemas.StateUnknown
		}
	}
	out := make([]detectors.Finding, 0, len(found))
	for _, f := range found {
		slices.Sort(f.Slices)
		if slices.ContainsFunc(f.Evidence, func(e schemas.Evidence) bool { return e.Slice == "" }) {
			f.Slices = nil
		}
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b detectors.Finding) int {
		return cmp.Or(cmp.Compare(a.Fault, b.Fault), cmp.Compare(a.Version, b.Version), slices.Compare(a.Columns, b.Columns))
	})
	return out
}
