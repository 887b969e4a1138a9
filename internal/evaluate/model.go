package evaluate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/alerting"
	"github.com/modelwatch/modelwatch/alerting/retrain"
	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/detectors/hard"
	"github.com/modelwatch/modelwatch/detectors/soft"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// model is one model that this replica owns.
type model struct {
	Model
	e          *Evaluator
	listener   *listener // since this replica began to judge it
	step       uint64    // the last one that counts
	kept       uint64    // of which the windows are kept as they were judged
	state      *state    // after it; nil when it is to be read
	tripsSince time.Time // trips stored before it are taken in
	revised    time.Time // when revised windows were last looked for
	lookedBack time.Time // when windows of the past were

	references map[string]*budget.Reference // by hash of the baseline, or of what was learnt
	plans      map[planKey]*budget.Plan
	written    map[*budget.Plan]bool // whose streams are shown
}

// skew is by how much the clocks of replicas and servers may differ.
const skew = 10 * time.Minute

// state is all that decisions about a model remember. It is written with each
// step, and nothing else is remembered.
type state struct {
	Next    map[string]int64    `json:"next"` // by part: the start of the next window to judge
	Empty   map[string]int      `json:"empty,omitempty"`
	Past    map[string]past     `json:"past,omitempty"`    // by part: windows that nobody is told of
	Tripped map[int64][]tripped `json:"tripped,omitempty"` // by window: trips that were taken in
	Pairs   map[int64]pair      `json:"pairs,omitempty"`   // windows of which one part of two was judged
	Hard    hard.Memory         `json:"hard"`
	Soft    soft.Memory         `json:"soft"`
	Budget  budget.Memory       `json:"-"` // in its binary form, see encode
	Ledger  spending            `json:"ledger,omitzero"`
	Lessons map[string]lesson   `json:"lessons,omitempty"` // by part
	Alerts  *alerting.State     `json:"alerts"`
	Retrain *retrain.State      `json:"retrain"`
	Labels  uint64              `json:"labels,omitempty"` // judged since the last request
	Parts   schemas.Part        `json:"parts"`            // that were ever delivered
}

// tripped is a trip that was taken in.
type tripped struct {
	Fault   schemas.Fault `json:"fault"`
	Feature string        `json:"feature"`
	Version string        `json:"version"`
	Onset   int64         `json:"onset"`
	Offset  int64         `json:"offset"`
}

func trippedBy(t *schemas.Trip) tripped {
	return tripped{t.Fault, t.Feature, t.Version, t.Onset, t.Offset}
}

// pair is what the comparison of features with predictions waits for.
type pair struct {
	Part     schemas.Part `json:"part"`
	Events   uint64       `json:"events"`
	Revision uint64       `json:"revision"`
	Coverage float64      `json:"coverage"`
}

func newState() *state {
	return &state{
		Next: map[string]int64{}, Empty: map[string]int{}, Tripped: map[int64][]tripped{}, Pairs: map[int64]pair{}, Lessons: map[string]lesson{},
		Alerts: &alerting.State{}, Retrain: &retrain.State{},
	}
}

// ref is a closed window that is to be judged.
type ref struct {
	part     schemas.Part
	spec     *schemas.SpecRecord
	start    int64
	end      int64
	coverage float64
	past     bool // nobody is told of it
}

// evaluate takes the model one step on, if there is anything to decide.
func (m *model) evaluate(ctx context.Context, progress []schemas.Progress, trips []schemas.Trip) error {
	m.lookBack()
	news := m.newTrips(trips)
	marks := m.listener.hear(progress, &m.Model, m.e.deps.Partitions, m.e.deps.Now(), m.e.cfg.Closing)
	due, err := m.due(ctx, marks)
	if err != nil {
		return err
	}
	before, err := m.before(ctx, marks)
	if err != nil {
		return err
	}
	due = append(before, due...)
	again, err := m.again(ctx)
	if err != nil {
		return err
	}
	if len(news) == 0 && len(due) == 0 && len(again) == 0 {
		return nil
	}
	return m.decide(ctx, news, due, again)
}

// again lists judged windows that have got rows since. One that is closed and
// not judged yet, because that step was cut off, is due anyway.
func (m *model) again(ctx context.Context) ([]WindowID, error) {
	now := m.e.deps.Now()
	if now.Sub(m.revised) < m.e.cfg.Revise {
		return nil, nil
	}
	revised, err := m.e.deps.Windows.Revised(ctx, m.Name, m.e.cfg.MaxWindows)
	if err != nil {
		return nil, fmt.Errorf("looking for revised windows: %w", err)
	}
	m.revised = now
	if len(revised) >= m.e.cfg.MaxWindows {
		m.revised = time.Time{} // there may be more
	}
	return slices.DeleteFunc(revised, func(id WindowID) bool {
		next, judged := m.state.Next[id.Part.String()]
		return !judged || id.Start >= next || m.spec(id.SpecSeq) == nil || m.specAt(id.Start).Seq != id.SpecSeq
	}), nil
}

// load reads the state after the last step.
func (m *model) load(ctx context.Context) error {
	last, err := m.e.deps.Journal.LastStep(ctx, m.Name)
	if err != nil {
		return fmt.Errorf("reading the last step: %w", err)
	}
	st := newState()
	m.step, m.tripsSince = 0, time.Time{}
	if last != nil {
		m.tripsSince = last.At.Add(-skew)
		if err := st.decode(last.State); err != nil {
			return fmt.Errorf("reading the state of step %d: %w", last.Step, err)
		}
		m.step = last.Step
		if m.kept != last.Step {
			if err := m.mend(ctx, last); err != nil {
				return err
			}
			m.kept = last.Step
		}
	}
	m.state = st
	return nil
}

// newTrips returns the trips of the model that were not taken in before, in
// order of event time.
func (m *model) newTrips(trips []schemas.Trip) []schemas.Trip {
	var out []schemas.Trip
	for _, t := range trips {
		rec := m.spec(t.SpecSeq)
		if t.Model != m.Name || rec == nil || m.specAt(t.WindowStart).Seq != t.SpecSeq {
			continue
		}
		part := hard.PartOf(&rec.Spec, t.Fault, t.Feature)
		if !m.state.isPast(part, t.WindowStart) && !m.takenIn(&t, part) {
			out = append(out, t)
		}
	}
	slices.SortStableFunc(out, func(a, b schemas.Trip) int {
		return cmp.Or(cmp.Compare(a.WindowStart, b.WindowStart), cmp.Compare(a.Time, b.Time), cmp.Compare(a.Offset, b.Offset))
	})
	return out
}

// takenIn says whether a trip was taken in before. Of a judged window one is
// remembered for each fault of each feature, and of one that is past the late
// horizon nothing is: what comes of it was read before, or the rows have
// been read again.
func (m *model) takenIn(t *schemas.Trip, part schemas.Part) bool {
	next, known := m.state.Next[part.String()]
	if known && t.WindowStart < next-m.horizon() {
		return true
	}
	judged := known && t.WindowStart < next
	return slices.ContainsFunc(m.state.Tripped[t.WindowStart], func(o tripped) bool {
		return o == trippedBy(t) || judged && o.Fault == t.Fault && o.Feature == t.Feature
	})
}

// horizon is how far back from the last judged window late rows may come, in milliseconds.
func (m *Model) horizon() int64 {
	most := time.Duration(0)
	for i := range m.Specs {
		most = max(most, m.Specs[i].Spec.LateHorizon)
	}
	return most.Milliseconds()
}

// due lists the windows that are closed and not judged yet, in order of their end.
func (m *model) due(ctx context.Context, marks map[schemas.Part]watermark) ([]ref, error) {
	var out []ref
	for _, part := range schemas.Parts {
		w := marks[part]
		if !w.known {
			continue
		}
		refs, err := m.duePart(ctx, part, w)
		if err != nil {
			return nil, err
		}
		out = append(out, refs...)
	}
	slices.SortFunc(out, func(a, b ref) int { return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(a.part, b.part)) })
	return out[:min(len(out), m.e.cfg.MaxWindows)], nil
}

func (m *model) duePart(ctx context.Context, part schemas.Part, w watermark) ([]ref, error) {
	next, known := m.state.Next[part.String()]
	if !known {
		first, ok, err := m.firstFrom(ctx, part, m.state.pastUntil(part))
		if err != nil || !ok {
			return nil, err
		}
		next = first
	}
	room := m.e.cfg.MaxEmpty - m.state.Empty[part.String()]
	if known && room <= 0 {
		// Nothing new can be said of one more empty window: wait for rows.
		first, ok, err := m.firstFrom(ctx, part, next)
		if err != nil || !ok {
			return nil, err
		}
		next, room = first, 1
	}
	var rows []int64
	far := w.at > next+stray
	if far {
		var err error
		if rows, err = m.starts(ctx, part, next); err != nil {
			return nil, err
		}
	}
	var out []ref
	for len(out) < min(room, m.e.cfg.MaxWindows) {
		if i, _ := slices.BinarySearch(rows, next); far && i == len(rows) {
			break // what has come since is not stored yet
		} else if far && rows[i] > next+stray {
			next = rows[i]
		}
		spec := m.specAt(next)
		end := next + spec.Spec.Window.Milliseconds()
		if w.specSeq < spec.Seq || end+spec.Spec.Lateness.Milliseconds() > w.at {
			break
		}
		out = append(out, ref{part, spec, next, end, w.coverage, false})
		next = min(end, m.until(spec))
	}
	return out, nil
}

// stray is a stretch without rows over which nothing is called missing: what
// is before it has strayed there, as events stamped 1970 do.
const stray = 366 * 24 * 60 * 60 * 1000 // milliseconds

// firstFrom finds the first window from t on that has rows.
func (m *model) firstFrom(ctx context.Context, part schemas.Part, t int64) (int64, bool, error) {
	starts, err := m.starts(ctx, part, t)
	if err != nil || len(starts) == 0 {
		return 0, false, err
	}
	return starts[0], true, nil
}

// starts lists the windows from t on that have rows, in order.
func (m *model) starts(ctx context.Context, part schemas.Part, t int64) ([]int64, error) {
	var out []int64
	for i := range m.Specs {
		spec := &m.Specs[i]
		starts, err := m.e.deps.Windows.Starts(ctx, m.Name, spec.Seq, part, max(t, spec.EffectiveFrom), m.until(spec))
		if err != nil {
			return nil, fmt.Errorf("looking for windows with rows: %w", err)
		}
		out = append(out, starts...)
	}
	return out, nil
}

// decide judges what is new and writes it down as one step.
func (m *model) decide(ctx context.Context, trips []schemas.Trip, due []ref, again []WindowID) error {
	began := m.e.deps.Now()
	// The state goes on in place, without a copy of all that is remembered.
	// Until the step is written nobody has it: whatever fails, the journal is
	// read again.
	d := &decision{m: m, state: m.state, factor: 1}
	m.state = nil
	if err := d.marks(ctx); err != nil {
		return err
	}
	d.trips(trips)
	if err := d.windows(ctx, due); err != nil {
		return err
	}
	if err := d.revise(ctx, again); err != nil {
		return err
	}
	step, err := d.step(began)
	if err != nil {
		return err
	}
	won, err := m.e.deps.Journal.Append(ctx, step)
	if err != nil {
		return fmt.Errorf("writing step %d: %w", step.Step, err)
	}
	if !won {
		m.e.deps.Stats.Lost.Add(1)
		m.e.Nudge() // another replica decided this step; go on from there
		return nil
	}
	// Only now are the windows kept as they were judged: kept before the journal
	// has decided, one whose rows came in between would look judged with them.
	if err := m.keep(ctx, d.keep); err != nil {
		return err
	}
	m.state, m.step, m.kept = d.state, step.Step, step.Step
	s := m.e.deps.Stats
	s.Steps.Add(1)
	s.Windows.Add(int64(len(due)))
	s.Revised.Add(int64(len(again)))
	s.Alerts.Add(int64(d.alerts))
	s.Requests.Add(int64(len(d.requests)))
	s.Over.Add(int64(d.over))
	for _, i := range step.Incidents {
		m.e.deps.Log.Info().Str("incident", i.Incident).Str("severity", string(i.Severity)).Str("state", string(i.State)).Msg(i.Title)
	}
	if m.e.deps.Decided != nil && len(d.outbox) > 0 {
		m.e.deps.Decided()
	}
	return nil
}

// keep keeps windows as they were judged. A later revision replaces an earlier one.
func (m *model) keep(ctx context.Context, windows []Closed) error {
	if len(windows) == 0 {
		return nil
	}
	if err := m.e.deps.Windows.WriteSummaries(ctx, m.Name, windows); err != nil {
		return fmt.Errorf("keeping closed windows: %w", err)
	}
	return nil
}

// mend keeps the windows that the last step has judged: whoever wrote it may
// have ended before it did so. They are read as they are now; what has come
// since is found by another look and judged again.
func (m *model) mend(ctx context.Context, last *schemas.Step) error {
	var in inputs
	if err := json.Unmarshal(last.Inputs, &in); err != nil {
		return fmt.Errorf("reading the inputs of step %d: %w", last.Step, err)
	}
	d := &decision{m: m}
	refs := make([]ref, len(in.Windows))
	for i, j := range in.Windows {
		spec := m.spec(j.SpecSeq)
		if spec == nil {
			spec = &schemas.SpecRecord{Seq: j.SpecSeq} // of a model that is watched anew
		}
		refs[i] = ref{part: j.Part, spec: spec, start: j.Start}
	}
	read, err := d.read(ctx, refs)
	if err != nil {
		return err
	}
	windows := make([]Closed, len(refs))
	for i, j := range in.Windows {
		read[i].Revision = j.Revision // as it was judged, so that rows that came since are seen
		windows[i] = Closed{j.WindowID, read[i]}
	}
	return m.keep(ctx, windows)
}

// decision gathers one step.
type decision struct {
	m     *model
	state *state

	inputs    inputs
	keep      []Closed // windows as they were judged
	verdicts  []schemas.Verdict
	incidents map[string]schemas.Incident
	order     []string
	outbox    []schemas.Message
	requests  []schemas.RetrainRequest
	alerts    int
	over      int
	factor    float64 // of the governor
	at        int64   // the latest event time spoken of
}

func (d *decision) config() alerting.Config {
	last := &d.m.Specs[len(d.m.Specs)-1]
	c := alerting.DefaultConfig(last.Spec.Window, d.state.Parts)
	c.PublicURL = d.m.e.cfg.PublicURL
	c.Runbook = d.m.Runbook
	return c
}

// tell takes findings into the incidents.
func (d *decision) tell(in alerting.Input) {
	in.Model = d.m.Name
	in.Findings = d.m.Severity.Apply(in.Findings)
	d.at = max(d.at, in.At)
	r := d.state.Alerts.Step(in, d.config())
	for _, i := range r.Incidents {
		if d.incidents == nil {
			d.incidents = map[string]schemas.Incident{}
		}
		if _, ok := d.incidents[i.Incident]; !ok {
			d.order = append(d.order, i.Incident)
		}
		d.incidents[i.Incident] = i
	}
	d.outbox = append(d.outbox, r.Messages...)
	d.state.Ledger.count(r.Alerts)
	d.alerts += len(r.Alerts)
	d.over += r.Over
}

// trips takes in what per-event rules have found in windows still open.
func (d *decision) trips(trips []schemas.Trip) {
	bySpec := map[uint64][]schemas.Trip{}
	for _, t := range trips {
		d.state.Tripped[t.WindowStart] = append(d.state.Tripped[t.WindowStart], trippedBy(&t))
		d.inputs.Trips = append(d.inputs.Trips, trippedBy(&t))
		bySpec[t.SpecSeq] = append(bySpec[t.SpecSeq], t)
	}
	for i := range d.m.Specs {
		spec := &d.m.Specs[i]
		ts := bySpec[spec.Seq]
		if len(ts) == 0 {
			continue
		}
		at := int64(math.MinInt64)
		for _, t := range ts {
			at = max(at, t.Time)
		}
		var findings []detectors.Finding
		findings, d.state.Hard = hard.Decide(ts, &spec.Spec, d.m.e.cfg.Hard, d.state.Hard)
		d.tell(alerting.Input{Findings: findings, At: at, Spec: spec.Hash, Offsets: offsetsOf(ts)})
	}
}

// offsetsOf returns what has to be read again to see the trips, by topic and
// partition.
func offsetsOf(trips []schemas.Trip) []schemas.OffsetRange {
	var out []schemas.OffsetRange
	for _, t := range trips {
		i := slices.IndexFunc(out, func(o schemas.OffsetRange) bool { return o.Topic == t.Topic && o.Partition == t.Partition })
		if i < 0 {
			i = len(out)
			out = append(out, schemas.OffsetRange{Topic: t.Topic, Partition: t.Partition, From: t.OnsetOffset, To: t.Offset + 1})
		}
		out[i].From, out[i].To = min(out[i].From, t.OnsetOffset), max(out[i].To, t.Offset+1)
	}
	slices.SortFunc(out, func(a, b schemas.OffsetRange) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return out
}

// windows judges closed windows, in order.
func (d *decision) windows(ctx context.Context, due []ref) error {
	read, err := d.read(ctx, due)
	if err != nil {
		return err
	}
	for i := range due {
		if err := d.judge(ctx, &due[i], read[i], false); err != nil {
			return err
		}
	}
	return nil
}

// read reads windows, one query for each part and spec.
func (d *decision) read(ctx context.Context, due []ref) ([]Merged, error) {
	type of struct {
		part schemas.Part
		seq  uint64
	}
	starts := map[of][]int64{}
	var order []of
	for _, r := range due {
		k := of{r.part, r.spec.Seq}
		if starts[k] == nil {
			order = append(order, k)
		}
		starts[k] = append(starts[k], r.start)
	}
	got := map[of]map[int64]Merged{}
	for _, k := range order {
		w, err := d.m.e.deps.Windows.ReadWindows(ctx, d.m.Name, k.seq, k.part, starts[k])
		if err != nil {
			return nil, fmt.Errorf("reading windows: %w", err)
		}
		got[k] = w
	}
	out := make([]Merged, len(due))
	for i, r := range due {
		out[i] = got[of{r.part, r.spec.Seq}][r.start]
	}
	return out, nil
}

// judge keeps one window as it is and says what it shows.
func (d *decision) judge(ctx context.Context, r *ref, merged Merged, revised bool) error {
	w := &detectors.Window{
		Model: d.m.Name, Part: r.part, Spec: r.spec, Start: r.start, End: r.end,
		Revision: merged.Revision, Coverage: r.coverage, Entries: merged.Entries, Offsets: merged.Offsets,
	}
	if r.spec.Spec.Baseline != "" {
		w.Baseline = d.m.e.deps.Baseline(r.spec.Spec.Baseline)
	}
	d.keep = append(d.keep, Closed{WindowID{r.part, r.spec.Seq, r.start}, merged})
	d.inputs.Windows = append(d.inputs.Windows, judged{
		WindowID: WindowID{r.part, r.spec.Seq, r.start}, End: r.end, Revision: merged.Revision, Coverage: r.coverage, Revised: revised, Past: r.past, Offsets: merged.Offsets,
	})
	revised = revised || r.past // by itself: memory begins where the past ends
	memory := memories{d.state.Hard, d.state.Soft, d.state.Budget}
	if revised {
		memory = memories{} // a revision never rewrites what is remembered
	}
	verdicts, findings, memory, err := d.detect(ctx, w, memory, revised)
	if err != nil {
		return fmt.Errorf("judging the %s window of %s: %w", r.part, time.UnixMilli(r.start).UTC().Format(time.RFC3339), err)
	}
	d.verdicts = joined(d.verdicts, verdicts)
	if r.past {
		d.state.passed(r)
		return nil
	}
	in := alerting.Input{
		Part: r.part, Findings: findings, At: r.end, Revised: revised, Spec: r.spec.Hash, Offsets: merged.Offsets,
		Window: schemas.Interval{Start: time.UnixMilli(r.start).UTC(), End: time.UnixMilli(r.end).UTC()},
	}
	if revised {
		d.tell(in)
		return nil
	}
	d.state.Hard, d.state.Soft, d.state.Budget = memory.hard, memory.soft, memory.budget
	d.state.Parts |= r.part
	if r.part == schemas.PartLabel {
		d.state.Labels += soft.Rows(w)
	}
	in.Findings = append(in.Findings, d.compare(w)...)
	d.tell(in)
	d.ask(r)
	name := r.part.String()
	d.state.Next[name] = min(r.end, d.m.until(r.spec))
	if len(merged.Entries) == 0 {
		d.state.Empty[name]++
	} else {
		d.state.Empty[name] = 0
	}
	d.forget(r)
	return d.learn(ctx, r, w)
}

// ask asks for a new version where the policy says so. It looks after each
// window of the part that leads, so that it does not matter how many windows
// one step holds.
func (d *decision) ask(r *ref) {
	lead := schemas.PartFeatures
	if d.state.Parts&lead == 0 {
		lead = schemas.PartPrediction
	}
	if r.part != lead {
		return
	}
	var open []schemas.Incident
	for _, i := range d.state.Alerts.Incidents() {
		if i.State == schemas.IncidentFiring {
			open = append(open, i)
		}
	}
	data := schemas.RetrainData{To: time.UnixMilli(r.end).UTC(), Labels: d.state.Labels}
	version := ""
	for _, i := range open {
		if data.From.IsZero() || i.Onset.Before(data.From) {
			data.From = i.Onset
		}
		version = cmp.Or(version, i.Version)
	}
	asked := d.state.Retrain.Step(retrain.Input{
		Model: d.m.Name, Version: version, At: data.To, Incidents: open, Data: data, Baseline: r.spec.Spec.Baseline,
	}, d.m.Retrain)
	if len(asked.Requests) > 0 {
		d.state.Labels = 0
	}
	d.requests = append(d.requests, asked.Requests...)
	d.outbox = append(d.outbox, asked.Messages...)
}

// forget drops what no later window can ask for, now that r is judged.
func (d *decision) forget(r *ref) {
	ours := func(t tripped) bool {
		part := hard.PartOf(&r.spec.Spec, t.Fault, t.Feature)
		return part == r.part || part == 0 // of a feature that the spec has no more
	}
	if l := &d.state.Ledger; l.Since == 0 {
		l.Since = r.start
	} else {
		l.forget(r.start, d.m.Budget.Per)
	}
	past := d.state.Next[r.part.String()] - d.m.horizon()
	for start, trips := range d.state.Tripped {
		if start < past {
			d.state.Tripped[start] = slices.DeleteFunc(trips, ours)
		}
		if len(d.state.Tripped[start]) == 0 {
			delete(d.state.Tripped, start)
		}
	}
	if trips := d.state.Tripped[r.start]; len(trips) > 0 {
		d.state.Tripped[r.start] = firstOf(trips, ours)
	}
	for start := range d.state.Pairs {
		if start < past {
			delete(d.state.Pairs, start)
		}
	}
	for len(d.state.Pairs) > maxPairs {
		delete(d.state.Pairs, slices.Min(slices.Collect(maps.Keys(d.state.Pairs))))
	}
}

// maxPairs is how many windows wait for their other part. One that never
// delivers must not make each step carry days of windows.
const maxPairs = 256

// firstOf keeps of those that among speaks of the one that began first, for
// each fault of each feature.
func firstOf(trips []tripped, among func(tripped) bool) []tripped {
	var out []tripped
	for _, t := range trips {
		i := slices.IndexFunc(out, func(o tripped) bool { return among(t) && o.Fault == t.Fault && o.Feature == t.Feature })
		switch {
		case i < 0:
			out = append(out, t)
		case t.Onset < out[i].Onset:
			out[i] = t
		}
	}
	return out
}

// compare holds the events of a window's features against those of its
// predictions, once both are judged.
func (d *decision) compare(w *detectors.Window) []detectors.Finding {
	if w.Part == schemas.PartLabel {
		return nil
	}
	now := pair{Part: w.Part, Events: soft.Rows(w), Revision: w.Revision, Coverage: w.Coverage}
	before, ok := d.state.Pairs[w.Start]
	if !ok || before.Part == w.Part {
		d.state.Pairs[w.Start] = now
		return nil
	}
	delete(d.state.Pairs, w.Start)
	features, predictions := now, before
	if w.Part == schemas.PartPrediction {
		features, predictions = before, now
	}
	verdict, findings, memory := soft.Capture(features.window(w), predictions.window(w), d.m.e.cfg.Soft, d.state.Soft)
	d.state.Soft = memory
	d.verdicts = append(d.verdicts, verdict)
	return findings
}

// window is what is left of a judged window: how many events it had.
func (p pair) window(like *detectors.Window) *detectors.Window {
	rows := summary.New(0)
	rows.Rows = p.Events
	w := *like
	w.Part, w.Revision, w.Coverage, w.Offsets = p.Part, p.Revision, p.Coverage, nil
	w.Entries = []detectors.Entry{{Stream: schemas.Stream{Role: schemas.RoleRows, Feature: p.Part.String()}, Summary: rows}}
	return &w
}

// revise judges windows again that have got late rows. What was decided
// stays; what is shown changes, and a verdict that flips is said.
func (d *decision) revise(ctx context.Context, again []WindowID) error {
	var due []ref
	for _, id := range again {
		spec := d.m.spec(id.SpecSeq)
		due = append(due, ref{id.Part, spec, id.Start, id.Start + spec.Spec.Window.Milliseconds(), 1, d.state.isPast(id.Part, id.Start)})
	}
	read, err := d.read(ctx, due)
	if err != nil {
		return err
	}
	for i := range due {
		if err := d.judge(ctx, &due[i], read[i], true); err != nil {
			return err
		}
	}
	return nil
}

// onset tells of the trips of a window which of them began first, by fault
// and feature.
func (s *state) onset(start int64) func(schemas.Fault, string) (int64, bool) {
	return func(fault schemas.Fault, feature string) (first int64, ok bool) {
		for _, t := range s.Tripped[start] {
			if t.Fault == fault && t.Feature == feature && (!ok || t.Onset < first) {
				first, ok = t.Onset, true
			}
		}
		return first, ok
	}
}

// memories is what the detectors remember between windows.
type memories struct {
	hard   hard.Memory
	soft   soft.Memory
	budget budget.Memory
}

// detect runs the detectors over one window. A revised window is judged by
// itself, and what rests on more than one window is not decided again.
func (d *decision) detect(ctx context.Context, w *detectors.Window, memory memories, revised bool) ([]schemas.Verdict, []detectors.Finding, memories, error) {
	cfg := d.m.e.cfg
	var verdicts []schemas.Verdict
	var findings []detectors.Finding
	take := func(v []schemas.Verdict, f []detectors.Finding) {
		verdicts = joined(verdicts, v)
		findings = append(findings, f...)
	}
	v, f, hm, err := hard.Judge(w, d.state.onset(w.Start), cfg.Hard, memory.hard)
	if err != nil {
		return nil, nil, memory, err
	}
	take(v, f)
	ref, err := d.reference(ctx, w)
	if err != nil {
		return nil, nil, memory, err
	}
	expected, known := ref.ExpectedRows(w.Part, w.Start, w.End, d.m.Calendar)
	if !known {
		expected = math.NaN()
	}
	f, sm := soft.Judge(w, expected, cfg.Soft, memory.soft)
	take(nil, f)
	if revised {
		v, f, err = budget.Revise(w, ref, d.m.Calendar, cfg.Statistics)
		take(v, f)
		return verdicts, findings, memory, err
	}
	plan := d.m.plan(w, ref)
	if err := d.expected(ctx, w, ref, plan); err != nil {
		return nil, nil, memory, err
	}
	if plan != nil {
		d.factor = d.state.Ledger.governed(plan, w.Start)
		plan = plan.Governed(d.factor)
	}
	bm := memory.budget // goes on in place, as all of the state does
	v, f, err = bm.Advance(w, ref, plan, d.m.Calendar, cfg.Statistics)
	if err != nil {
		return nil, nil, memory, err
	}
	take(v, f)
	return verdicts, findings, memories{hm, sm, bm}, nil
}

// step asks the policies and puts everything into one journal step.
func (d *decision) step(at time.Time) (schemas.Step, error) {
	params, err := json.Marshal(parameters{
		d.m.e.cfg.Hard, d.m.e.cfg.Soft, d.m.e.cfg.Statistics, d.config(), d.m.Retrain, d.m.Severity,
		stated{d.m.Budget.Pages, d.m.Budget.Tickets, d.m.Budget.Per.Milliseconds(), d.factor},
		d.m.Importance,
	})
	if err != nil {
		return schemas.Step{}, fmt.Errorf("writing the parameters of a step: %w", err)
	}
	in, err := json.Marshal(d.inputs)
	if err != nil {
		return schemas.Step{}, fmt.Errorf("writing the inputs of a step: %w", err)
	}
	st, err := d.state.encode()
	if err != nil {
		return schemas.Step{}, fmt.Errorf("writing the state of a step: %w", err)
	}
	step := schemas.Step{
		Model: d.m.Name, Step: d.m.step + 1, Writer: d.m.e.cfg.Writer, At: at,
		Inputs: in, Parameters: params, Verdicts: d.verdicts, State: st, Requests: d.requests, Outbox: d.outbox,
	}
	for _, id := range d.order {
		step.Incidents = append(step.Incidents, d.incidents[id])
	}
	return step, nil
}

// joined appends a list to another, which most often is empty: what a wide
// window has to say is not copied then.
func joined[T any](to, list []T) []T {
	if len(to) == 0 {
		return list
	}
	return append(to, list...)
}
