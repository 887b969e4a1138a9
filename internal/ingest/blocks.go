package ingest

import (
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// blocks holds the block being filled of each model: the decoder's target.
type blocks struct {
	models *window.Models
	by     map[string]*schemas.Block
	all    []*schemas.Block // in the order of their first row
	last   *schemas.Block   // that was asked for
}

func (t *blocks) reset(models *window.Models) {
	*t = blocks{models: models, by: map[string]*schemas.Block{}}
}

// maxBlocks is how many models' blocks a partition keeps between two answers.
const maxBlocks = 8

// trim lets blocks go when there are many: they are empty, and a topic of a
// hundred models need not hold a hundred of them in each partition.
func (t *blocks) trim() {
	if len(t.all) <= maxBlocks {
		return
	}
	for _, b := range t.all[:len(t.all)-maxBlocks] {
		delete(t.by, b.Layout.Model)
	}
	t.all = append(t.all[:0], t.all[len(t.all)-maxBlocks:]...)
	t.last = nil
}

// Block returns the block of a model, nil when no monitor speaks of it.
func (t *blocks) Block(model []byte) *schemas.Block {
	if t.last != nil && t.last.Layout.Model == string(model) {
		return t.last
	}
	if b := t.recent(model); b != nil {
		t.last = b
		return b
	}
	b := t.by[string(model)]
	if b == nil {
		m := t.models.Model(model)
		if m == nil {
			return nil
		}
		b = schemas.NewBlock(m.Layout)
		t.by[m.Name] = b
		t.all = append(t.all, b)
	}
	t.last = b
	return b
}

// recent looks for the block of a model among the first ones: where models come
// in turns they are mostly few.
func (t *blocks) recent(model []byte) *schemas.Block {
	end := len(model) - 1
	if end < 0 {
		return nil
	}
	for _, b := range t.all[:min(len(t.all), maxBlocks)] {
		if n := b.Layout.Model; len(n) == len(model) && n[end] == model[end] && n == string(model) {
			return b
		}
	}
	return nil
}
