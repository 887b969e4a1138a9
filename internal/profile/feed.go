package profile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/hard"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// Feed passes the rows of an ordered source the way events go from a topic:
// the same checks, windows and columns. A row is an event whose record has
// the time of the event.
type Feed struct {
	Source *Ordered
	Spec   *schemas.SpecRecord // by which rows are counted
	// Names of the columns of a flat source, as in Options.
	ID, Prediction, Score, Label, Latency string
	// Hide says that values of a feature are not to be shown; nil for none.
	Hide func(feature string) bool
}

// Stretch is what became known with a stretch of rows.
type Stretch struct {
	// Windows are those that are closed now: no later row counts in them. They
	// are in the order of their end, then of their part, without a baseline.
	Windows []*detectors.Window
	Trips   []schemas.Trip
	Marks   []schemas.Mark // how far event time has come
	Rows    int64          // since the beginning
}

// Fed says what became of the rows.
type Fed struct {
	Rows     int64             // that were counted
	Rejected map[string]uint64 // that were not, by reason
	Unused   []string          // columns of a flat source that the spec does not know
	Missing  []string          // columns of the spec that a flat source does not have
}

// Run counts the rows of [from, to), Unix milliseconds, and hands each stretch
// to each. Windows that end by the last row's time, or by to where that is
// earlier, are closed by the end of the data. The error of each ends it.
func (f *Feed) Run(ctx context.Context, from, to int64, each func(*Stretch) error) (*Fed, error) {
	models, err := window.Compile([]schemas.SpecRecord{*f.Spec})
	if err != nil {
		return nil, fmt.Errorf("counting the rows of %s: %w", f.Source.Name(), err)
	}
	r := &feeding{
		Feed: f, each: each, models: models, out: &Fed{Rejected: map[string]uint64{}}, open: map[openKey]*openWindow{},
		block: schemas.NewBlock(models.Model([]byte(f.Spec.Spec.Model)).Layout),
		asm:   window.New(models, window.Start{Chunk: schemas.Chunk{Topic: f.Source.Name()}, Previous: -1, Clock: window.NoTime}),
	}
	r.scan = newScan(f.Source.src, &Options{ID: f.ID, Prediction: f.Prediction, Score: f.Score, Label: f.Label, Latency: f.Latency})
	r.scan.timeColumn = f.Source.time
	if err := r.names(); err != nil {
		return nil, err
	}
	if to <= f.Source.To {
		r.whole = to // the data go on behind it
	}
	err = f.Source.between(ctx, from, to, r.row, func(int64, string) {})
	if err == nil {
		err = r.seal(r.offset, true)
	}
	if err != nil {
		return nil, fmt.Errorf("counting the rows of %s: %w", f.Source.Name(), err)
	}
	return r.out, nil
}

// openKey names one window of one part.
type openKey struct {
	part  schemas.Part
	start int64
}

// openWindow gathers the summaries of a window over chunks.
type openWindow struct {
	streams  map[schemas.Stream]*summary.Summary
	revision uint64
	from, to int64 // offsets
}

// feeding is one run of a feed.
type feeding struct {
	*Feed
	each   func(*Stretch) error
	models *window.Models
	scan   *scan
	out    *Fed

	targets []target // by column of the source
	flat    schemas.Part
	known   int // columns of the source that are in targets

	whole   int64 // time up to which the data are known to reach, 0 where the last row says it
	offset  int64
	block   *schemas.Block
	asm     *window.Assembler
	checker *hard.Checker
	extras  []hard.Extra
	open    map[openKey]*openWindow
	id      []byte
}

// target says where a value of a column of the source goes.
type target struct {
	column  int // of the layout, -1 for nowhere
	id      bool
	extra   bool // an event's feature that the spec does not know
	textual bool
	number  bool // spellings of a missing value count as null
	label   bool
}

// names checks the columns that were named.
func (r *feeding) names() error {
	for _, role := range []schemas.Role{schemas.RolePrediction, schemas.RoleScore, schemas.RoleLabel, schemas.RoleLatency} {
		r.scan.grow()
		if want := r.scan.o.named(role); want != "" && want != "-" && r.scan.answer(role) < 0 {
			return fmt.Errorf("counting the rows of %s: %w", r.Source.Name(), unknownColumn(want, role.String(), r.Source.Columns()))
		}
	}
	if r.ID != "" && r.ID != "-" && r.scan.feature(r.ID) < 0 {
		return fmt.Errorf("counting the rows of %s: %w", r.Source.Name(), unknownColumn(r.ID, "id", r.Source.Columns()))
	}
	r.grow()
	return nil
}

// grow finds the targets of columns that the source has found since.
func (r *feeding) grow() {
	r.scan.grow()
	columns := r.Source.Columns()
	layout := r.block.Layout
	place := map[schemas.Role]int{
		schemas.RolePrediction: layout.Prediction, schemas.RoleScore: layout.Score, schemas.RoleLabel: layout.Label, schemas.RoleLatency: layout.Latency,
	}
	r.targets, r.flat = r.targets[:0], 0
	r.out.Unused, r.out.Missing = nil, nil
	flat, found := false, map[int]bool{}
	for i, c := range columns {
		t := target{column: -1}
		role := c.Role
		flat = flat || role == 0
		switch {
		case i == r.scan.timeColumn:
		case role == 0 && c.Name == r.ID || role == 0 && r.ID == "" && c.Name == "id" && layout.Feature([]byte(c.Name)) < 0:
			t.id = true
		case role == 0:
			role = schemas.RoleFeature
			for _, of := range []schemas.Role{schemas.RolePrediction, schemas.RoleScore, schemas.RoleLabel, schemas.RoleLatency} {
				if r.scan.answer(of) == i {
					role = of
				}
			}
			fallthrough
		default:
			if t.column = layout.Feature([]byte(c.Name)); role != schemas.RoleFeature {
				t.column = place[role]
			}
			if t.column < 0 && c.Role != 0 {
				t.extra = true
				break
			}
			if t.column < 0 {
				r.out.Unused = append(r.out.Unused, c.Name)
				break
			}
			lc := layout.Columns[t.column]
			t.textual, t.label = lc.Textual, lc.Role == schemas.RoleLabel
			if sc := r.Spec.Spec.Column(lc.Role, lc.Name); sc != nil {
				t.number = c.Role == 0 && sc.Type == schemas.TypeNumber
			}
			if !t.label {
				r.flat |= lc.Role.Part()
			}
			found[t.column] = true
		}
		r.targets = append(r.targets, t)
	}
	for i, c := range layout.Columns[:layout.Features()] {
		if flat && !found[i] {
			r.out.Missing = append(r.out.Missing, c.Name)
		}
	}
	r.known = len(columns)
}

// row passes one row.
func (r *feeding) row(row *Row) error {
	if r.known < len(r.Source.Columns()) {
		r.grow()
	}
	if r.asm.Border(r.offset, row.Time) {
		if err := r.seal(r.offset, false); err != nil {
			return err
		}
	}
	r.asm.Observe(r.offset, row.Time)
	r.fill(row)
	r.block.Commit()
	b := r.block
	if fault := r.asm.Admit(b); fault != "" {
		b.N--
		r.out.Rejected[string(fault)]++
		if spec, part, start := r.asm.Reject(b.Layout.Model, string(fault), fault, b.Parts[b.N], row.Time); spec != nil {
			r.check().Reject(hard.Reject{Fault: fault, Part: part, Offset: r.offset, Time: row.Time, Start: start, Reason: "row " + strconv.FormatInt(row.Number, 10)})
		}
	} else {
		r.out.Rows++
	}
	r.offset++
	if b.Full() {
		r.add()
	}
	return nil
}

// fill puts a row into the block.
func (r *feeding) fill(row *Row) {
	b := r.block
	at := b.Begin()
	b.Offset[at], b.Timestamp[at], b.Time[at] = r.offset, row.Time, row.Time
	b.Parts[at] = row.Parts
	if row.Parts == 0 {
		b.Parts[at] = r.flat
	}
	if row.ID != "" {
		r.name(at, row.ID)
	}
	if row.Version != "" {
		b.Version[at] = b.Keep([]byte(row.Version))
	}
	extras := 0
	for i := range row.Values {
		t, v := &r.targets[i], &row.Values[i]
		switch {
		case t.id && v.Text != "":
			r.name(at, v.Text)
		case t.extra && v.Kind != schemas.KindAbsent && extras < schemas.MaxExtra:
			b.Extra = append(b.Extra, schemas.Extra{Row: int32(at), Name: b.Keep([]byte(r.Source.Columns()[i].Name))})
			extras++
		case t.column >= 0:
			r.put(at, t, v)
			if t.label && row.Parts == 0 && v.Kind != schemas.KindAbsent && v.Kind != schemas.KindNull {
				b.Parts[at] |= schemas.PartLabel
			}
		}
	}
}

func (r *feeding) name(at int, id string) {
	r.id = append(r.id[:0], id...)
	r.block.ID[at], r.block.IDText[at] = schemas.Hash(r.id), r.block.Keep(r.id)
}

// put sets the value of a column.
func (r *feeding) put(at int, t *target, v *Value) {
	c := &r.block.Columns[t.column]
	c.Kind[at] = v.Kind
	switch v.Kind {
	case schemas.KindNumber:
		c.Num[at] = v.Num
		if !t.textual {
			return
		}
	case schemas.KindText:
		if t.number && missing(v.Text) {
			c.Kind[at] = schemas.KindNull
			return
		}
	case schemas.KindBool:
	default:
		return
	}
	r.id = append(r.id[:0], v.Text...)
	c.Text[at], c.Hash[at] = r.block.Keep(r.id), schemas.Hash(r.id)
}

func (r *feeding) check() *hard.Checker {
	if r.checker == nil {
		r.checker = hard.NewChecker(r.asm.Chunk(), r.Spec)
	}
	return r.checker
}

// add counts the rows of the block.
func (r *feeding) add() {
	r.asm.Add(r.block, func(run *window.Run) { r.check().Check(r.view(run)) })
	r.block.Reset()
}

// view shows a run to the hard rules. There is one spec, so it is the block.
func (r *feeding) view(run *window.Run) *hard.View {
	b := run.Block
	v := &hard.View{
		Rows: run.To, Offset: b.Offset[:run.To], Time: b.Time[:run.To], Start: run.Window[:run.To], Parts: b.Parts[:run.To],
		Version: run.Version[:run.To], Versions: run.Versions, Columns: run.Columns,
	}
	if run.Repeats {
		v.Duplicate = run.Duplicate[:run.To]
	}
	r.extras = r.extras[:0]
	for _, e := range b.Extra {
		r.extras = append(r.extras, hard.Extra{Row: e.Row, Name: b.String(e.Name)})
	}
	v.Extra = r.extras
	v.Value = func(column int, row int32) string {
		c, sc := &b.Columns[run.Layout[column]], &run.Spec.Spec.Columns[column]
		switch k := c.Kind[row]; {
		case k != schemas.KindText && k != schemas.KindBool && k != schemas.KindNumber:
			return "" // the fault says it
		case r.Hide != nil && sc.Role == schemas.RoleFeature && r.Hide(sc.Name):
			return "(not shown)"
		case k == schemas.KindNumber:
			return strconv.FormatFloat(c.Num[row], 'g', -1, 64)
		}
		return b.String(c.Text[row])
	}
	return v
}

// seal ends the chunk before offset and hands on what is known by then; at the
// end of the data, with last, everything that the data reach to the end of.
func (r *feeding) seal(offset int64, last bool) error {
	r.add()
	out := &Stretch{Rows: offset}
	if r.checker != nil {
		out.Trips, _ = r.checker.Snapshot()
		for i := range out.Trips {
			out.Trips[i].Topic = r.Source.Name()
		}
		r.checker = nil
	}
	chunk := r.asm.Chunk()
	for _, p := range r.asm.Partials(nil, false) {
		r.take(&p, chunk.Start, offset)
	}
	out.Marks = r.asm.Progress().Marks
	if last {
		r.reach(out.Marks)
	}
	r.close(out)
	if !last {
		r.asm.Next(r.models, offset)
	}
	return r.each(out)
}

// reach moves the marks to where the data end: nothing is late behind that.
func (r *feeding) reach(marks []schemas.Mark) {
	end := r.whole
	for _, m := range marks {
		if r.whole == 0 {
			end = max(end, m.Max)
		}
	}
	for i := range marks {
		if marks[i].Max != math.MinInt64 {
			marks[i].Max, marks[i].Silent = end+r.Spec.Spec.Lateness.Milliseconds(), 0
		}
	}
}

// take adds what a chunk says of a stream to its window.
func (r *feeding) take(p *summary.Partial, from, to int64) {
	k := openKey{p.Part, p.WindowStart}
	w := r.open[k]
	if w == nil {
		w = &openWindow{streams: map[schemas.Stream]*summary.Summary{}, from: from}
		r.open[k] = w
	}
	w.to = to
	w.revision += uint64(to)
	if s := w.streams[p.Stream]; s != nil {
		s.Merge(p.Summary)
	} else {
		w.streams[p.Stream] = p.Summary
	}
}

// close takes out the windows that the marks have passed.
func (r *feeding) close(out *Stretch) {
	spec := &r.Spec.Spec
	for _, k := range slices.SortedFunc(maps.Keys(r.open), func(a, b openKey) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.part, b.part))
	}) {
		end := k.start + spec.Window.Milliseconds()
		i := slices.IndexFunc(out.Marks, func(m schemas.Mark) bool { return m.Part == k.part })
		if i < 0 || out.Marks[i].Max == math.MinInt64 || out.Marks[i].Reached() < end+spec.Lateness.Milliseconds() {
			continue
		}
		w := r.open[k]
		delete(r.open, k)
		d := &detectors.Window{
			Model: spec.Model, Part: k.part, Spec: r.Spec, Start: k.start, End: end, Revision: w.revision, Coverage: 1,
			Offsets: []schemas.OffsetRange{{Topic: r.Source.Name(), From: w.from, To: w.to}},
		}
		for s, sum := range w.streams {
			d.Entries = append(d.Entries, detectors.Entry{Stream: s, Summary: sum})
		}
		slices.SortFunc(d.Entries, func(a, b detectors.Entry) int {
			return cmp.Or(cmp.Compare(a.Version, b.Version), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Slice, b.Slice))
		})
		out.Windows = append(out.Windows, d)
	}
}
