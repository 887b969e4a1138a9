package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/consumers/decode/native"
	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/internal/evaluate"
	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// EvaluateConfig says what is judged.
type EvaluateConfig struct {
	Servers    *Servers
	Seed       uint64
	Partitions int
	Windows    int // judged of each case; medians count
	Cases      []EvaluateCase
	Profile    io.Writer // gets the CPU profile of judging; nil for nobody
	Progress   func(string)
}

// EvaluateCase is one line of the table.
type EvaluateCase struct {
	Features int
	Rows     int // of a window
}

// Evaluated is what was measured of one case. Times are medians over windows.
type Evaluated struct {
	Features   int `json:"features"`
	Streams    int `json:"streams"` // of a window: features, as a whole and in each slice, and counts of rows
	Rows       int `json:"rows"`
	Partitions int `json:"partitions"`
	Windows    int `json:"windows"`

	// From the window in memory to the step that is to be written.
	Detect    float64 `json:"detect_ms"`
	DetectCPU float64 `json:"detect_cpu_ms"`        // of all threads, with the garbage collector
	PerStream float64 `json:"detect_ns_per_stream"` // of DetectCPU
	// The detectors of the budget alone, on one thread: from the window to its
	// verdicts and findings. A judged stream is a channel of a feature in a slice.
	Detectors    float64 `json:"detectors_ms"`
	DetectorsCPU float64 `json:"detectors_cpu_ms"`
	PerJudged    float64 `json:"detectors_ns_per_judged_stream"` // of DetectorsCPU
	WriteState   float64 `json:"write_state_cpu_ms"`             // their memory, as a step holds it

	Read    float64 `json:"read_ms"`     // from the store
	ReadCPU float64 `json:"read_cpu_ms"` // of this process
	// ReadEngine is the processor time of ClickHouse, where it is one of our own.
	ReadEngine *float64 `json:"read_engine_cpu_ms"`
	StateBytes int      `json:"state_bytes"` // of the last step
	Verdicts   int      `json:"verdicts"`    // of the last step
	Unknown    int      `json:"unknown"`     // of these

	OpenBytes   float64 `json:"open_bytes_per_stream"`          // memory of an open window
	ClosedBytes float64 `json:"closed_bytes_per_stream"`        // in ClickHouse, compressed
	SliceBytes  float64 `json:"closed_bytes_per_slice_stream"`  // of these, without registers
	WholeBytes  float64 `json:"closed_bytes_per_whole_stream"`  // with registers of distinct values
	PartBytes   float64 `json:"partial_bytes_per_stream_chunk"` // of what is kept of an open window
}

// EvaluateReport is all that was measured.
type EvaluateReport struct {
	Machine Machine     `json:"machine"`
	Runs    []Evaluated `json:"runs"`
	Targets []Target    `json:"targets"`
}

// Evaluate measures reading and judging windows.
func Evaluate(ctx context.Context, cfg EvaluateConfig) (report *EvaluateReport, err error) {
	if cfg.Windows < 1 || cfg.Partitions < 1 || len(cfg.Cases) == 0 {
		return nil, errors.New("at least one window of one partition is needed")
	}
	b := &Bench{cfg: Config{Servers: cfg.Servers, Progress: cfg.Progress}}
	if b.conn, err = connect(cfg.Servers.ClickHouse); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	report = &EvaluateReport{}
	for _, c := range cfg.Cases {
		b.say("judging %d windows of %d features in %d slices, %d rows each", cfg.Windows, c.Features, SliceValues+1, c.Rows)
		e, err := b.evaluate(ctx, &cfg, c)
		if err != nil {
			return nil, fmt.Errorf("judging windows of %d features: %w", c.Features, err)
		}
		report.Runs = append(report.Runs, *e)
	}
	report.Machine = machine()
	report.Machine.Runs = cfg.Windows
	report.Targets = evaluateTargets(report.Runs)
	return report, nil
}

// evaluate measures one case.
func (b *Bench) evaluate(ctx context.Context, cfg *EvaluateConfig, c EvaluateCase) (out *Evaluated, err error) {
	w := New(Shape{Kind: Features, Features: c.Features, Slices: 1, Models: 1}, cfg.Seed)
	specs := w.Specs()
	a, err := newAssembling(w, specs, cfg.Partitions)
	if err != nil {
		return nil, err
	}
	out = &Evaluated{Features: c.Features, Rows: c.Rows, Partitions: cfg.Partitions, Windows: cfg.Windows}
	b.say("  counting rows")
	windows, err := a.windows(cfg.Windows, c.Rows)
	if err != nil {
		return nil, err
	}
	if out.OpenBytes, err = openBytes(w, specs, c.Rows); err != nil {
		return nil, err
	}
	db, err := b.database(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.drop(db)) }()
	b.say("  storing and reading")
	merged, err := out.read(ctx, db, windows, cfg.Servers)
	if err != nil {
		return nil, err
	}
	if s, err := b.compact(ctx, db, "partials"); err != nil {
		return nil, err
	} else {
		out.PartBytes = s.bytesPerRow
	}
	b.say("  learning %d windows of %d features and judging", learnt, min(learners, c.Features))
	baseline, err := learn(&specs[0], merged, cfg.Windows)
	if err != nil {
		return nil, err
	}
	specs[0].Spec.Baseline = baseline.Hash
	specs[0].Hash = specs[0].Spec.Hash()
	profile, err := profiled(func() error {
		if err := out.advance(&specs[0], baseline, merged); err != nil {
			return err
		}
		return out.judge(ctx, specs, baseline, merged)
	})
	if err == nil && cfg.Profile != nil {
		_, err = cfg.Profile.Write(profile)
	}
	if err != nil {
		return nil, err
	}
	return out, b.closedBytes(ctx, out, merged)
}

// assembling counts rows as the service does, on several partitions.
type assembling struct {
	w       *Workload
	specs   []schemas.SpecRecord
	models  *window.Models
	asm     []*window.Assembler
	target  *target
	decoder decode.Decoder
	offset  int64
	line    []byte
}

func newAssembling(w *Workload, specs []schemas.SpecRecord, partitions int) (*assembling, error) {
	models, err := window.Compile(specs)
	if err != nil {
		return nil, fmt.Errorf("compiling the specs: %w", err)
	}
	a := &assembling{w: w, specs: specs, models: models, target: &target{models: models, blocks: map[string]*schemas.Block{}}, decoder: native.New(decode.DefaultConfig())}
	for p := range partitions {
		chunk := schemas.Chunk{Topic: benchTopic, Epoch: schemas.Epoch{TopicID: [16]byte{1}}, Partition: int32(p)}
		a.asm = append(a.asm, window.New(models, window.Start{Chunk: chunk, Previous: -1, Clock: window.NoTime}))
	}
	return a, nil
}

const benchTopic = "bench"

// count passes rows through one partition.
func (a *assembling) count(asm *window.Assembler, rows int) error {
	add := func(block *schemas.Block) {
		asm.Add(block, func(*window.Run) {})
		block.Reset()
	}
	for range rows {
		text, at := a.w.Append(a.line[:0])
		a.line = text
		r := decode.Record{Offset: a.offset, Value: text, Timestamp: at.UnixMilli()}
		a.offset++
		asm.Observe(r.Offset, r.Timestamp)
		if got := a.decoder.Decode(&r, a.target); !got.OK() {
			return fmt.Errorf("decoding row %d: %s", r.Offset, got)
		}
		if fault := asm.Admit(a.target.last); fault != "" {
			return fmt.Errorf("row %d is refused: %s", r.Offset, fault)
		}
		if a.target.last.Full() {
			add(a.target.last)
		}
	}
	if b := a.target.last; b.N > 0 {
		add(b)
	}
	return nil
}

// partialsOf are what one partition has to say of the windows.
type partialsOf struct {
	chunk    schemas.Chunk
	end      int64
	partials []summary.Partial
}

// windows counts rows of successive hours, in turns over the partitions, and
// returns all partials.
func (a *assembling) windows(n, rows int) ([]partialsOf, error) {
	for k := range n {
		a.w.Skip(time.Hour)
		for _, asm := range a.asm {
			if err := a.count(asm, rows/len(a.asm)); err != nil {
				return nil, fmt.Errorf("counting window %d: %w", k, err)
			}
		}
	}
	var out []partialsOf
	for _, asm := range a.asm {
		out = append(out, partialsOf{asm.Chunk(), asm.End(), asm.Partials(nil, false)})
	}
	return out, nil
}

// openBytes is the memory that one more open window takes, for each stream.
func openBytes(w *Workload, specs []schemas.SpecRecord, rows int) (float64, error) {
	a, err := newAssembling(w, specs, 1)
	if err != nil {
		return 0, err
	}
	asm := a.asm[0]
	hour := func() error {
		w.Skip(time.Hour)
		return a.count(asm, rows)
	}
	held := func() (uint64, int) {
		streams := len(asm.Partials(nil, false))
		asm.Panes(true)
		asm.Clear()
		runtime.GC()
		runtime.GC() // what finalizers held
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc, streams
	}
	if err := hour(); err != nil {
		return 0, err
	}
	if err := hour(); err != nil { // buffers have their size now
		return 0, err
	}
	before, _ := held()
	const more = 2
	for range more {
		if err := hour(); err != nil {
			return 0, err
		}
	}
	after, streams := held()
	runtime.KeepAlive(a)
	return (float64(after) - float64(before)) / float64(streams), nil
}

// read stores all partials and reads each window again.
func (e *Evaluated) read(ctx context.Context, db *database, all []partialsOf, servers *Servers) (out []store.MergedWindow, err error) {
	var starts []int64
	for _, p := range all {
		if err := db.Write(ctx, p.partials, schemas.Rows{Chunk: p.chunk, End: p.end}); err != nil {
			return nil, err
		}
		for i := range p.partials {
			if s := p.partials[i].WindowStart; !slices.Contains(starts, s) {
				starts = append(starts, s)
			}
		}
	}
	slices.Sort(starts)
	var took, cpu, engine []float64
	for _, start := range append(starts[:1:1], starts...) { // the first warms up
		p := all[0].partials[0]
		var there, then time.Duration
		if servers.EnginePID != 0 {
			if there, err = cpuOf(servers.EnginePID); err != nil {
				return nil, err
			}
		}
		began, before := time.Now(), used()
		w, err := db.ReadWindows(ctx, p.Model, p.SpecSeq, p.Part, []int64{start})
		if err != nil {
			return nil, err
		}
		if servers.EnginePID != 0 {
			if then, err = cpuOf(servers.EnginePID); err != nil {
				return nil, err
			}
			engine = append(engine, milliseconds(then-there))
		}
		took, cpu = append(took, milliseconds(time.Since(began))), append(cpu, milliseconds(used().since(before).cpu))
		out = append(out, w[start])
	}
	if len(engine) > 0 {
		m := median(engine[1:])
		e.ReadEngine = &m
	}
	e.Read, e.ReadCPU, e.Streams = median(took[1:]), median(cpu[1:]), len(out[1].Entries)
	return out[1:], nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// healthyOf makes the baseline of a window: the window itself is healthy.
func healthyOf(spec *schemas.Spec, entries []store.Entry, windows int) *schemas.Baseline {
	b := &schemas.Baseline{
		Format: schemas.BaselineFormat, Model: spec.Model, Source: "a window of the workload", Window: schemas.Duration(spec.Window),
		From: start.AddDate(0, 0, -28), To: start,
	}
	for i := range spec.Columns {
		c := &spec.Columns[i]
		col := schemas.BaselineColumn{Name: c.Name, Role: c.Role, Type: c.Type, Edges: c.Edges, Categories: c.Categories, Anchor: c.Anchor, Unit: c.Unit}
		for _, e := range entries {
			if e.Role != c.Role || e.Feature != c.Name {
				continue
			}
			st := schemas.BaselineStream{
				Slice: e.Slice, Rows: e.Rows, Present: e.Present, Absent: e.Absent, Nulls: e.Null, NaNs: e.NaN, Bad: e.Bad, Bins: e.Bins,
			}
			if c.Type == schemas.TypeNumber {
				mean, sd := (*c.Min+*c.Max)/2, (*c.Max-*c.Min)/40
				st.Mean, st.SD, st.Min, st.Max = &mean, &sd, &e.Min, &e.Max
			}
			b.Rows = max(b.Rows, e.Rows*uint64(windows))
			col.Streams = append(col.Streams, st)
		}
		b.Columns = append(b.Columns, col)
	}
	return b
}

// learnt is how many windows healthy behaviour is learnt from: four weeks, so
// that there are pages too.
const learnt = 28 * 24

// learners is how many features learn. The others behave as one of these does,
// each around its own level: what a window costs to judge does not depend on
// whose noise and season they are.
const learners = 10

// learn makes the baseline of windows, as if they had come again and again
// before, with what the budget's detectors learn from that.
func learn(spec *schemas.SpecRecord, merged []store.MergedWindow, windows int) (*schemas.Baseline, error) {
	b := healthyOf(&spec.Spec, merged[0].Entries, windows)
	length := spec.Spec.Window
	learns := map[string]bool{}
	features := 0
	for i := range b.Columns {
		if b.Columns[i].Role == schemas.RoleFeature {
			features++
		}
	}
	n := 0
	for i := range b.Columns {
		if c := &b.Columns[i]; c.Role == schemas.RoleFeature {
			if n*learners/features != (n+1)*learners/features || features <= learners {
				learns[c.Name] = true
			}
			n++
		}
	}
	history := budget.NewHistory(b, length, budget.DefaultParameters())
	end := spec.Spec.WindowStart(start.Add(length).UnixMilli())
	windowOf := func(k int, entries []detectors.Entry) *detectors.Window {
		from := end - int64(learnt-k)*length.Milliseconds()
		m := &merged[k%len(merged)]
		return &detectors.Window{
			Model: spec.Spec.Model, Part: schemas.PartFeatures, Spec: spec, Start: from, End: from + length.Milliseconds(),
			Revision: m.Revision, Coverage: 1, Entries: entries, Offsets: m.Offsets, Baseline: b,
		}
	}
	some := make([][]detectors.Entry, len(merged))
	for i := range merged {
		some[i] = slices.DeleteFunc(entriesOf(&merged[i]), func(e detectors.Entry) bool {
			return e.Role == schemas.RoleFeature && !learns[e.Feature]
		})
	}
	for k := range learnt {
		if err := history.Add(windowOf(k, some[k%len(some)])); err != nil {
			return nil, err
		}
	}
	fitted, err := history.Fit()
	if err != nil {
		return nil, err
	}
	fitted.Into(b)
	levels := map[budget.Key]float64{}
	for k := range merged {
		all, err := budget.Measure(windowOf(k, entriesOf(&merged[k])), budget.DefaultParameters())
		if err != nil {
			return nil, err
		}
		for _, o := range all {
			levels[o.Key] += o.Y / float64(len(merged))
		}
	}
	spread(b, fitted, learns, levels)
	return b, b.Seal()
}

// spread gives the features that have not learnt what others of their type
// have, in turns, around their own levels.
func spread(b *schemas.Baseline, fitted *budget.Fitted, learns map[string]bool, levels map[budget.Key]float64) {
	type kind struct {
		of             schemas.ColumnType
		slice, channel string
	}
	known := map[kind][]schemas.Healthy{}
	for _, s := range fitted.Streams {
		if c := b.Column(s.Role, s.Feature); c != nil && s.Role == schemas.RoleFeature {
			k := kind{c.Type, s.Slice, s.Channel}
			known[k] = append(known[k], s.Healthy)
		}
	}
	others := 0
	for i := range b.Columns {
		c := &b.Columns[i]
		if c.Role != schemas.RoleFeature || learns[c.Name] {
			continue
		}
		others++
		for j := range c.Streams {
			st := &c.Streams[j]
			if st.Healthy == nil {
				st.Healthy = map[string]schemas.Healthy{}
			}
			for k, all := range known {
				level, ok := levels[budget.Key{Role: c.Role, Feature: c.Name, Slice: st.Slice, Channel: k.channel}]
				if !ok || k.of != c.Type || k.slice != st.Slice {
					continue
				}
				h := all[others%len(all)]
				h.Level = level
				st.Healthy[k.channel] = h
			}
		}
	}
}

// advance lets the budget's detectors alone judge the windows, over and over.
func (e *Evaluated) advance(spec *schemas.SpecRecord, baseline *schemas.Baseline, merged []store.MergedWindow) error {
	p := budget.DefaultParameters()
	length := spec.Spec.Window
	ref := budget.NewReference(baseline)
	plan := budget.NewPlan(budget.Budget{Pages: 1, Tickets: 4, Per: 30 * 24 * time.Hour}, length, &spec.Spec, ref, nil, p)
	first := spec.Spec.WindowStart(start.Add(length).UnixMilli())
	var m budget.Memory
	var took, cpu, state []float64
	for k := range 2*len(merged) + 1 {
		from := first + int64(k)*length.Milliseconds()
		w := &detectors.Window{
			Model: spec.Spec.Model, Part: schemas.PartFeatures, Spec: spec, Start: from, End: from + length.Milliseconds(),
			Revision: 1, Coverage: 1, Entries: entriesOf(&merged[k%len(merged)]), Baseline: baseline,
		}
		runtime.GC()
		began, before := time.Now(), used()
		verdicts, _, err := m.Advance(w, ref, plan, budget.Calendar{}, p)
		if err != nil {
			return err
		}
		took, cpu = append(took, milliseconds(time.Since(began))), append(cpu, milliseconds(used().since(before).cpu))
		before = used()
		if _, err := m.AppendBinary(nil); err != nil {
			return err
		}
		state = append(state, milliseconds(used().since(before).cpu))
		e.PerJudged = float64(len(verdicts))
	}
	e.Detectors, e.DetectorsCPU, e.WriteState = median(took[1:]), median(cpu[1:]), median(state[1:])
	e.PerJudged = 1e6 * e.DetectorsCPU / e.PerJudged
	return nil
}

func entriesOf(w *store.MergedWindow) []detectors.Entry {
	out := make([]detectors.Entry, len(w.Entries))
	for i, of := range w.Entries {
		out[i] = detectors.Entry(of)
	}
	return out
}

// judge lets the evaluator of the service judge the windows from memory.
func (e *Evaluated) judge(ctx context.Context, specs []schemas.SpecRecord, baseline *schemas.Baseline, merged []store.MergedWindow) error {
	m := &memory{spec: &specs[0], offsets: merged[0].Offsets, windows: map[int64]evaluate.Merged{}}
	first := specs[0].Spec.WindowStart(start.Add(time.Hour).UnixMilli())
	for k, w := range merged {
		m.windows[first+int64(k)*specs[0].Spec.Window.Milliseconds()] = evaluate.Merged{Entries: entriesOf(&w), Revision: w.Revision, Offsets: w.Offsets}
	}
	monitor, err := schemas.ParseMonitor("bench", fmt.Appendf(nil, "model: %s\ntopics: [%s]\nwindow: 1h\nfeatures: {feat_000: {type: number}}\n", specs[0].Spec.Model, benchTopic))
	if err != nil {
		return err
	}
	config := evaluate.DefaultConfig()
	config.MaxWindows = 1
	model := evaluate.ModelOf(monitor, specs)
	evaluator := evaluate.New(config, evaluate.Deps{
		Windows: m, Signals: m, Journal: m, Models: func() []evaluate.Model { return []evaluate.Model{model} },
		Baseline: func(string) *schemas.Baseline { return baseline }, Owns: func(string) bool { return true },
		Partitions: func(string) int { return 1 }, Now: func() time.Time { return m.now }, Stats: &evaluate.Stats{}, Log: zerolog.Nop(),
	})
	for range merged {
		m.reached += specs[0].Spec.Window.Milliseconds()
		m.now = time.UnixMilli(first + m.reached).Add(specs[0].Spec.Lateness + time.Minute)
		if err := evaluator.Settle(ctx); err != nil {
			return err
		}
	}
	if len(m.took) != len(merged) {
		return fmt.Errorf("%d windows of %d were judged", len(m.took), len(merged))
	}
	e.Detect, e.DetectCPU = median(m.took), median(m.cpu)
	e.PerStream = 1e6 * e.DetectCPU / float64(e.Streams)
	e.StateBytes, e.Verdicts = len(m.last.State), len(m.last.Verdicts)
	for i := range m.last.Verdicts {
		if m.last.Verdicts[i].State == schemas.StateUnknown {
			e.Unknown++
		}
	}
	if e.Verdicts == e.Unknown {
		return errors.New("nothing was judged")
	}
	return nil
}

// memory is the evaluator's store: windows that were read before, and a
// journal that forgets all but the last step.
type memory struct {
	spec    *schemas.SpecRecord
	windows map[int64]evaluate.Merged
	offsets []schemas.OffsetRange
	now     time.Time
	reached int64 // event time, from the first window on

	began     time.Time
	before    usage
	took, cpu []float64 // of judged windows, milliseconds
	last      schemas.Step
}

// Starts implements evaluate.Windows.
func (m *memory) Starts(_ context.Context, _ string, _ uint64, part schemas.Part, from, to int64) (out []int64, _ error) {
	for s := range m.windows {
		if part == schemas.PartFeatures && s >= from && s < to {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out, nil
}

// ReadWindows implements evaluate.Windows; what is judged begins here.
func (m *memory) ReadWindows(_ context.Context, _ string, _ uint64, _ schemas.Part, starts []int64) (map[int64]evaluate.Merged, error) {
	out := map[int64]evaluate.Merged{}
	for _, s := range starts {
		if w, ok := m.windows[s]; ok {
			out[s] = w
		}
	}
	runtime.GC() // what came before is not the detectors' garbage
	m.began, m.before = time.Now(), used()
	return out, nil
}

// Judged implements evaluate.Windows.
func (m *memory) Judged(context.Context, string, uint64, schemas.Part, int64, int64) ([]int64, error) {
	return nil, nil
}

// ReadJudged implements evaluate.Windows.
func (m *memory) ReadJudged(context.Context, string, uint64, schemas.Part, []int64) (map[int64]evaluate.Merged, error) {
	return nil, nil
}

// WriteSummaries implements evaluate.Windows.
func (m *memory) WriteSummaries(context.Context, string, []evaluate.Closed) error {
	return nil
}

// Revised implements evaluate.Windows.
func (m *memory) Revised(context.Context, string, int) ([]evaluate.WindowID, error) { return nil, nil }

// Progress implements evaluate.Signals.
func (m *memory) Progress(context.Context) ([]schemas.Progress, error) {
	first := m.now.Add(-m.spec.Spec.Lateness - time.Minute).UnixMilli()
	at := first + m.spec.Spec.Lateness.Milliseconds()
	return []schemas.Progress{{
		Chunk: schemas.Chunk{Topic: benchTopic}, Previous: -1, End: 1, SpecSeq: m.spec.Seq, Clock: at, At: m.now.UnixMilli(),
		Marks: []schemas.Mark{{Model: m.spec.Spec.Model, Part: schemas.PartFeatures, Max: at, Rows: 1}},
	}}, nil
}

// Trips implements evaluate.Signals.
func (m *memory) Trips(context.Context, time.Time) ([]schemas.Trip, time.Time, error) {
	return nil, m.now, nil
}

// LastStep implements evaluate.Journal.
func (m *memory) LastStep(context.Context, string) (*schemas.Step, error) {
	if m.last.Step == 0 {
		return nil, nil //nolint:nilnil // as the interface says
	}
	return &m.last, nil
}

// Append implements evaluate.Journal; what was judged ends here.
func (m *memory) Append(_ context.Context, step schemas.Step) (bool, error) {
	m.took, m.cpu = append(m.took, milliseconds(time.Since(m.began))), append(m.cpu, milliseconds(used().since(m.before).cpu))
	m.last = step
	return true, nil
}

// compact merges all parts of a table and asks for its space.
func (b *Bench) compact(ctx context.Context, db *database, table string) (space, error) {
	if err := b.conn.Exec(ctx, "OPTIMIZE TABLE "+db.name+"."+table+" FINAL"); err != nil {
		return space{}, fmt.Errorf("merging %s: %w", table, err)
	}
	return b.space(ctx, db, table)
}

// closedBytes keeps the windows as they are kept when they are judged: all of
// a window, only its slices, only the wholes.
func (b *Bench) closedBytes(ctx context.Context, e *Evaluated, merged []store.MergedWindow) error {
	for _, kind := range []struct {
		keep func(store.Entry) bool
		to   *float64
	}{
		{func(store.Entry) bool { return true }, &e.ClosedBytes},
		{func(s store.Entry) bool { return s.Slice != "" }, &e.SliceBytes},
		{func(s store.Entry) bool { return s.Slice == "" }, &e.WholeBytes},
	} {
		db, err := b.database(ctx)
		if err != nil {
			return err
		}
		for k, w := range merged {
			var entries []store.Entry
			for _, s := range w.Entries {
				if kind.keep(s) {
					entries = append(entries, s)
				}
			}
			if err == nil {
				id := store.WindowID{SpecSeq: 1, Part: schemas.PartFeatures, Start: int64(k) * time.Hour.Milliseconds()}
				err = db.WriteSummaries(ctx, ModelName(0), []store.Closed{{WindowID: id, Revision: w.Revision, Entries: entries}})
			}
		}
		var s space
		if err == nil {
			s, err = b.compact(ctx, db, "summaries")
		}
		if err := errors.Join(err, b.drop(db)); err != nil {
			return err
		}
		*kind.to = s.bytesPerRow
	}
	return nil
}

// evaluateTargets judges the cases.
func evaluateTargets(all []Evaluated) []Target {
	var out []Target
	most := func(figure string, got, want float64) {
		out = append(out, Target{figure, fmt.Sprintf("≤ %.6g", want), got, got <= want})
	}
	for _, e := range all {
		if e.Features != 1000 {
			continue
		}
		of := fmt.Sprintf(", 1000 features, %d rows a window", e.Rows)
		most("detectors on a window in memory, ms of one core"+of, e.DetectorsCPU, 50)
		most("the whole step from a window in memory, ms of one core"+of, e.DetectCPU, 50)
		most("a stream and window, ns"+of, e.PerJudged, 1000)
		most("a tick of 100 000 streams, ms of one core"+of, e.PerJudged/10, 100)
		most("state, bytes of a stream"+of, float64(e.StateBytes)/float64(e.Verdicts), 1000)
		most("reading it from the store, ms"+of, e.Read, 1000)
		most("memory of an open (feature, slice), bytes"+of, e.OpenBytes, 1500)
		most("a closed (feature, slice) in ClickHouse, bytes"+of, e.SliceBytes, 200)
		most("a closed feature with registers, bytes"+of, e.WholeBytes, 400)
	}
	for i, e := range all {
		for _, o := range all[:i] {
			switch {
			case e.Features == o.Features && e.Rows > o.Rows:
				most(fmt.Sprintf("detectors, %d rows a window to %d, %d features", e.Rows, o.Rows, e.Features), e.DetectorsCPU/o.DetectorsCPU, 1.1)
			case e.Features > o.Features && e.Rows == o.Rows && i > 0 && o.Features == all[0].Features:
				most(fmt.Sprintf("detectors a stream, %d features to %d", e.Features, o.Features), e.PerJudged/o.PerJudged, 1.1)
				most(fmt.Sprintf("the whole step a stream, %d features to %d", e.Features, o.Features), e.PerStream/o.PerStream, 1.1)
			}
		}
	}
	return out
}
