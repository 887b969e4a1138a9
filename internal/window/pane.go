package window

import (
	"container/heap"
	"math"
	"sort"

	"github.com/modelwatch/modelwatch/schemas"
)

// A pane closes at the first row by which it has paneRows rows and spans
// paneSpan milliseconds of record time, or with its chunk. PaneSamples is the
// k of its bottom-k sample. All are part of schemas.RowFunction.
const (
	paneRows    = 250
	paneSpan    = 10_000
	PaneSamples = 512
)

// pane is the open pane of one model. Its sample is a heap with the greatest
// rank on top.
type pane struct {
	schemas.Pane
	first int64 // record time of its first row
	spec  *compiled
	next  uint32
}

func (p *pane) Len() int           { return len(p.Samples) }
func (p *pane) Less(i, j int) bool { return above(&p.Samples[i], &p.Samples[j]) }
func (p *pane) Swap(i, j int)      { p.Samples[i], p.Samples[j] = p.Samples[j], p.Samples[i] }
func (p *pane) Push(x any)         { p.Samples = append(p.Samples, x.(schemas.PaneSample)) }
func (p *pane) Pop() any           { panic("window: a pane's heap only replaces its top") }

// above orders by rank, rows of one id by offset.
func above(a, b *schemas.PaneSample) bool {
	return a.Rank > b.Rank || a.Rank == b.Rank && a.Offset > b.Offset
}

// sample takes one admitted row with features into the model's pane.
func (a *Assembler) sample(st *state, b *schemas.Block, row int) {
	if b.Parts[row]&schemas.PartFeatures == 0 {
		return
	}
	p := &st.pane
	c := st.spec[row]
	if p.Rows > 0 && p.spec != c {
		st.closePane()
	}
	if p.Rows == 0 {
		p.Pane = schemas.Pane{
			Model: st.model.Name, SpecSeq: c.record.Seq, Seq: p.next,
			From: b.Offset[row], Start: b.Time[row], End: b.Time[row],
		}
		p.spec, p.first = c, b.Timestamp[row]
	}
	p.To = b.Offset[row]
	p.Start, p.End = min(p.Start, b.Time[row]), max(p.End, b.Time[row])
	p.Rows++
	s := schemas.PaneSample{Rank: mix(b.ID[row]), Offset: b.Offset[row], Time: b.Time[row]}
	if b.ID[row] == 0 {
		s.Rank = Rank(a.salt, b.Offset[row])
	}
	switch {
	case len(p.Samples) < PaneSamples:
		fill(&s, st, b, row)
		heap.Push(p, s)
	case above(&p.Samples[0], &s):
		fill(&s, st, b, row)
		p.Samples[0] = s
		heap.Fix(p, 0)
	}
	if p.Rows >= paneRows && b.Timestamp[row]-p.first >= paneSpan {
		st.closePane()
	}
}

// fill copies the row's values, one for each column of the spec.
func fill(s *schemas.PaneSample, st *state, b *schemas.Block, row int) {
	c := st.spec[row]
	s.Version = st.names[st.version[row]]
	s.Numbers = make([]float64, len(c.columns))
	s.Categories = make([]string, len(c.columns))
	s.Kinds = make([]schemas.Kind, len(c.columns))
	for i := range c.columns {
		col := &b.Columns[c.columns[i].layout]
		s.Numbers[i] = math.NaN()
		s.Kinds[i] = col.Kind[row]
		switch col.Kind[row] {
		case schemas.KindNumber:
			s.Numbers[i] = col.Num[row]
		case schemas.KindText, schemas.KindBool:
			s.Categories[i] = b.String(col.Text[row])
		}
	}
}

// closePane ends the open pane, if it has a row.
func (st *state) closePane() {
	p := &st.pane
	if p.Rows == 0 {
		return
	}
	done := p.Pane
	sort.Slice(done.Samples, func(i, j int) bool { return above(&done.Samples[j], &done.Samples[i]) })
	st.panes = append(st.panes, done)
	p.Pane = schemas.Pane{}
	p.next++
}
