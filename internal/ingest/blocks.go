package ingest

import (
	"encoding/binary"

	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// blocks holds the block being filled of each model: the decoder's target.
type blocks struct {
	models *window.Models
	by     map[string]*schemas.Block
	all    []*schemas.Block // in the order of their first row
	last   *schemas.Block   // that was asked for
	recent [64]*schemas.Block
}

func (t *blocks) reset(models *window.Models) {
	*t = blocks{models: models, by: map[string]*schemas.Block{}}
}

const (
	// hot is what the blocks of several models may take together, as far as it
	// goes: they and what their rows are counted in should find room in the
	// processor's second cache, or models that come in turns drive one another out.
	hot = 1 << 20
	// leastRows is how small a block gets for that: what a block costs whatever
	// it holds is shared by its rows, and in slices by few of them.
	leastRows = 96
	// maxBytes is how much memory empty blocks may keep.
	maxBytes = 8 << 20
	// valueBytes is what a value of a block takes.
	valueBytes = 8 + 8 + 8 + 1
)

// rows is how many rows a block of that layout is to have. The block of the only
// model is read from front to back, which is fast wherever it lies.
func (t *blocks) rows(l *schemas.Layout) int {
	if len(t.all) < 2 {
		return schemas.BlockRows
	}
	return min(max(hot/(len(t.all)*valueBytes*len(l.Columns)), leastRows), schemas.BlockRows)
}

// fit puts a smaller block in the place of an empty one that has become too
// large, because more models have come.
func (t *blocks) fit(b *schemas.Block) {
	rows := t.rows(b.Layout)
	if 4*b.Rows() <= 5*rows {
		return
	}
	small := schemas.NewBlockOf(b.Layout, rows)
	for i := range t.all {
		if t.all[i] == b {
			t.all[i] = small
		}
	}
	t.by[b.Layout.Model] = small
	t.forget()
}

// forget makes every block be looked for by name.
func (t *blocks) forget() { t.last, t.recent = nil, [len(t.recent)]*schemas.Block{} }

// trim lets blocks go when they take much: they are empty, and a topic of a
// thousand models need not hold a thousand of them in each partition.
func (t *blocks) trim() {
	bytes, keep := 0, len(t.all)
	for ; keep > 0 && bytes <= maxBytes; keep-- {
		b := t.all[keep-1]
		bytes += b.Rows() * valueBytes * len(b.Layout.Columns)
	}
	if keep == 0 {
		return
	}
	for _, b := range t.all[:keep] {
		delete(t.by, b.Layout.Model)
	}
	t.all = append(t.all[:0], t.all[keep:]...)
	t.forget()
}

// Block returns the block of a model, nil when no monitor speaks of it.
func (t *blocks) Block(model []byte) *schemas.Block {
	if t.last != nil && t.last.Layout.Model == string(model) {
		return t.last
	}
	recent := &t.recent[place(model)]
	if b := *recent; b != nil && b.Layout.Model == string(model) {
		t.last = b
		return b
	}
	b := t.by[string(model)]
	if b == nil {
		m := t.models.Model(model)
		if m == nil {
			return nil
		}
		b = schemas.NewBlockOf(m.Layout, t.rows(m.Layout))
		t.by[m.Name] = b
		t.all = append(t.all, b)
	}
	t.last, *recent = b, b
	return b
}

// place is where a model's block is remembered: names mostly differ by how they
// begin or end.
func place(model []byte) int {
	h := uint64(len(model))
	if n := len(model); n >= 8 {
		h ^= binary.LittleEndian.Uint64(model) ^ binary.LittleEndian.Uint64(model[n-8:])*3
	} else if n > 0 {
		h ^= uint64(model[n-1])<<8 ^ uint64(model[0])<<16
	}
	return int(h * 0x9e3779b97f4a7c15 >> 58)
}
