package budget

import (
	"math"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/schemas"
)

// Revise measures a window again that was judged before and has got rows
// since. What was decided rests on more than this window and stays: a verdict
// is ok where the statistic is within its healthy range now, else warn, and a
// finding of state ok says that all streams of that fault are, so that an
// alarm on this window alone can be withdrawn. There are no other findings.
func Revise(w *detectors.Window, ref *Reference, c Calendar, p Parameters) ([]schemas.Verdict, []detectors.Finding, error) {
	j := judging{w: w, ref: ref, plan: &Plan{}, p: &p, m: &Memory{}}
	if j.reason = j.whyNot(&c); j.reason == "" {
		j.at = c.cells(w.Start, w.End)
		if err := j.read(); err != nil {
			return nil, nil, err
		}
	}
	inside := map[whose]bool{}
	var order []whose
	for i := range j.items {
		it := &j.items[i]
		if it.why != "" {
			continue
		}
		it.out.shift = it.Y - it.mean
		it.out.sd = it.Scale * math.Sqrt(math.Max(it.before.p+it.R, least))
		it.out.z = it.out.shift / it.out.sd
		it.outside = math.Abs(it.out.shift) > it.dead+3*it.out.sd && !(it.upOnly && it.out.shift < 0)
		t := whose{faultOf(it.Key), it.Version, it.Feature}
		ok, known := inside[t]
		if !known {
			order = append(order, t)
		}
		inside[t] = !it.outside && (ok || !known)
	}
	seen := j.seen()
	verdicts := make([]schemas.Verdict, len(seen))
	for i := range seen {
		verdicts[i] = seen[i].Verdict
	}
	var findings []detectors.Finding
	for _, t := range order {
		if inside[t] {
			findings = append(findings, detectors.Finding{
				Fault: t.fault, Severity: schemas.SeverityWarning, State: schemas.StateOK, Version: t.version, Columns: []string{t.feature},
				Onset: w.Start, Detected: w.End, Start: w.Start, End: w.End,
			})
		}
	}
	return verdicts, findings, nil
}
