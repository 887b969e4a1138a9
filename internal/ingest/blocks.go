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

// Block returns the block of a model, nil when no monitor speaks of it.
func (t *blocks) Block(model []byte) *schemas.Block {
	if t.last != nil && t.last.Layout.Model == string(model) {
		return t.last
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
