package window

import (
	"cmp"
	"math"
	"slices"

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

// pane is the open pane of one model.
type pane struct {
	schemas.Pane
	first int64 // record time of its first row
	spec  *compiled
	next  uint32
	heap  []ranked // of its samples, the greatest on top
}

// ranked is one sample by its rank: the samples themselves are large, and stay
// where they are.
type ranked struct {
	rank   uint64
	offset int64
	at     int // in Samples
}

// above orders by rank, rows of one id by offset.
func (r *ranked) above(o *ranked) bool {
	return r.rank > o.rank || r.rank == o.rank && r.offset > o.offset
}

// push adds a sample to the heap.
func (p *pane) push(r ranked) {
	p.heap = append(p.heap, r)
	at := len(p.heap) - 1
	for at > 0 && r.above(&p.heap[(at-1)/2]) {
		p.heap[at] = p.heap[(at-1)/2]
		at = (at - 1) / 2
	}
	p.heap[at] = r
}

// replace puts a sample in the place of the greatest.
func (p *pane) replace(r ranked) {
	h, at := p.heap, 0
	for {
		child := 2*at + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].above(&h[child]) {
			child++
		}
		if !h[child].above(&r) {
			break
		}
		h[at] = h[child]
		at = child
	}
	h[at] = r
}

// sample takes one admitted row with features into the model's pane.
func (a *Assembler) sample(st *state, b *schemas.Block, row int) {
	if b.Parts[row]&schemas.PartFeatures == 0 {
		return
	}
	p := &st.pane
	c := st.spec[row]
	if p.Rows > 0 && p.spec != c {
		a.fill(st, b)
		st.closePane()
	}
	if p.Rows == 0 {
		p.Pane = schemas.Pane{
			Model: st.model.Name, SpecSeq: c.record.Seq, Seq: p.next,
			From: b.Offset[row], Start: b.Time[row], End: b.Time[row],
		}
		p.spec, p.first = c, b.Timestamp[row]
		p.Samples, p.heap = a.spare.set(), p.heap[:0]
	}
	p.To = b.Offset[row]
	p.Start, p.End = min(p.Start, b.Time[row]), max(p.End, b.Time[row])
	p.Rows++
	rank := mix(b.ID[row])
	if b.ID[row] == 0 {
		rank = Rank(a.salt, b.Offset[row])
	}
	r := ranked{rank: rank, offset: b.Offset[row], at: len(p.Samples)}
	switch {
	case r.at < PaneSamples:
		p.Samples = append(p.Samples, a.spare.row(len(c.columns)))
		p.push(r)
	case p.heap[0].above(&r):
		r.at = p.heap[0].at
		p.replace(r)
	default:
		r.at = -1
	}
	if r.at >= 0 {
		s := &p.Samples[r.at]
		s.Rank, s.Offset, s.Time, s.Version = rank, r.offset, b.Time[row], st.names[st.version[row]]
		a.picked = append(a.picked, pick{int32(r.at), int32(row)})
	}
	if p.Rows >= paneRows && b.Timestamp[row]-p.first >= paneSpan {
		a.fill(st, b)
		st.closePane()
	}
}

// pick says that a row of the block is the sample at a place.
type pick struct{ at, row int32 }

// fill writes the values of the rows that were picked into their samples, one
// value for each column of the spec. A row that another has taken the place of
// since is written before it.
func (a *Assembler) fill(st *state, b *schemas.Block) {
	p := &st.pane
	for i := range p.columns() {
		at := p.spec.columns[i].layout
		in := &b.Columns[at]
		for _, k := range a.picked {
			s := &p.Samples[k.at]
			kind, number, category := in.Kind[k.row], math.NaN(), ""
			switch kind {
			case schemas.KindNumber:
				number = in.Num[k.row]
			case schemas.KindText, schemas.KindBool:
				category = a.texts.of(b, at, int(k.row))
			}
			s.Kinds[i], s.Numbers[i] = kind, number
			if category != "" || s.Categories[i] != "" {
				s.Categories[i] = category
			}
		}
	}
	a.picked = a.picked[:0]
}

// columns is how many values a sample of the open pane has.
func (p *pane) columns() int {
	if p.spec == nil {
		return 0
	}
	return len(p.spec.columns)
}

// closePane ends the open pane, if it has a row.
func (st *state) closePane() {
	p := &st.pane
	if p.Rows == 0 {
		return
	}
	done := p.Pane
	slices.SortFunc(done.Samples, func(x, y schemas.PaneSample) int {
		return cmp.Or(cmp.Compare(x.Rank, y.Rank), cmp.Compare(x.Offset, y.Offset))
	})
	st.panes = append(st.panes, done)
	p.Pane = schemas.Pane{}
	p.next++
}
