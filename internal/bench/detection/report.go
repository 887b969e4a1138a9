package detection

import "fmt"

// judge says what was proved wrong and which targets were not reached. Only
// a proof fails: a breach of the budget in a gated world, or steps of 1 sd
// that are hardly ever found.
func (r *Report) judge() {
	for _, t := range r.Tracks {
		if t.Gated && (t.PagesEvidence >= Proof || t.TicketsEvidence >= Proof) {
			r.Failures = append(r.Failures, fmt.Sprintf(
				"world %s breaks its budget of %g: %.3g pages and %.3g tickets in 30 days, evidence %.3g and %.3g",
				t.World, t.Budget, t.PagesRealised, t.TicketsRealised, t.PagesEvidence, t.TicketsEvidence))
		}
		if t.Gated && t.DeadZoneMedian != nil && t.World == "standard" && *t.DeadZoneMedian > .06 {
			r.miss("dead zone of the standard world: median %.3f sd, at most .06", *t.DeadZoneMedian)
		}
		if t.Gated && t.Unknown > .02 {
			r.miss("world %s: %.1f %% of the verdicts are unknown, at most 2 %%", t.World, 100*t.Unknown)
		}
		if t.Microseconds > 1 {
			r.miss("world %s: %.2f µs per stream-window, at most 1", t.World, t.Microseconds)
		}
		if t.StateBytes > 1000 {
			r.miss("world %s: %.0f bytes of state per stream, at most 1000", t.World, t.StateBytes)
		}
		if long := t.Budget*float64(t.Months) >= 20; t.Gated && long && (t.PagesUpper95 > t.PagesStated || t.TicketsUpper95 > t.TicketsStated) {
			r.miss("world %s, budget %g: the upper limits %.3g and %.3g are above it", t.World, t.Budget, t.PagesUpper95, t.TicketsUpper95)
		}
	}
	r.judgeDelays()
	for _, f := range r.Faults {
		if f.Harmless && f.Pages > 0 {
			r.miss("%s: %.2f pages", f.Fault, f.Pages)
		}
		if f.Recall < f.Target {
			r.miss("%s: recall %.2f, at least %.2f", f.Fault, f.Recall, f.Target)
		}
		if f.SliceWrong != nil && *f.SliceWrong > .05 {
			r.miss("%s: another slice is named in %.0f %% of those found", f.Fault, 100**f.SliceWrong)
		}
	}
	if w := r.Whole; w != nil && w.Without != nil && (w.Median == nil || *w.Median > 1.25**w.Without) {
		r.miss("a step of .5 sd in all slices: later than 1.25 × the %.3g windows without slices", *w.Without)
	}
	for _, x := range r.Real {
		if limit := map[float64]int{1: 1, 4: 12}[x.Budget]; x.Found == nil && limit > 0 && len(x.Alerts) > limit {
			r.miss("flights at a budget of %g: %d events, at most %d", x.Budget, len(x.Alerts), limit)
		}
	}
}

func (r *Report) miss(format string, values ...any) {
	r.Missed = append(r.Missed, fmt.Sprintf(format, values...))
}

// judgeDelays holds the delays against their targets.
func (r *Report) judgeDelays() {
	targets := map[float64]float64{.25: 18, .5: 4, 1: 2}
	recall := map[float64]float64{.5: .97, 1: .97}
	for _, d := range r.Delays {
		if d.Shift == 1 && d.RecallHigh < .5 {
			r.Failures = append(r.Failures, fmt.Sprintf("steps of 1 sd are not found: recall %.2f of %d", d.Recall, d.Runs))
		}
		if want, ok := targets[d.Shift]; ok && (d.Median == nil || *d.Median > want) {
			r.miss("step of %g sd: median %s windows, at most %g", d.Shift, Figure(d.Median), want)
		}
		if _, ok := targets[d.Shift]; ok && d.Bound != nil && (d.Median == nil || *d.Median > 1.5**d.Bound+1) {
			r.miss("step of %g sd: median %s windows, at most 1.5 × the bound of %g + 1", d.Shift, Figure(d.Median), *d.Bound)
		}
		if d.Recall < recall[d.Shift] {
			r.miss("step of %g sd: recall %.2f, at least %.2f", d.Shift, d.Recall, recall[d.Shift])
		}
		if d.ContaminatedRecall != nil && d.Median != nil && d.Shift > .1 && (d.Contaminated == nil || *d.Contaminated > 1.5**d.Median) {
			r.miss("step of %g sd after a contaminated reference: median %s windows, at most 1.5 × %g", d.Shift, Figure(d.Contaminated), *d.Median)
		}
	}
	if r.Location != nil && len(r.Delays) > 0 && r.Detector == Budget && *r.Location < .25 {
		r.miss("the location streams have %.2f of the tickets, the delays ask for a quarter", *r.Location)
	}
}

// Figure writes a figure that may not have been reached.
func Figure(x *float64) string {
	if x == nil {
		return "∞"
	}
	return fmt.Sprintf("%.4g", *x)
}
