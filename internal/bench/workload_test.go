package bench_test

import (
	"slices"
	"testing"

	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/consumers/decode/native"
	"github.com/modelwatch/modelwatch/internal/bench"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// blocks is the target of the decoder: one block per model.
type blocks struct {
	models *window.Models
	by     map[string]*schemas.Block
	last   *schemas.Block
}

func newBlocks(models *window.Models) *blocks {
	return &blocks{models: models, by: map[string]*schemas.Block{}}
}

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
		t.by[string(model)] = b
	}
	t.last = b
	return b
}

func compiled(tb testing.TB, w *bench.Workload) *window.Models {
	tb.Helper()
	models, err := window.Compile(w.Specs())
	if err != nil {
		tb.Fatal(err)
	}
	return models
}

func TestRowsAreOfTheirShape(t *testing.T) {
	for _, s := range []struct {
		shape    bench.Shape
		from, to int // bytes a row
	}{
		{bench.Shape{Kind: bench.Features, Features: 20, Models: 1}, 560, 575},
		{bench.Shape{Kind: bench.Features, Features: 100, Models: 1}, 2290, 2320},
	} {
		w := bench.New(s.shape, 7)
		rows := w.Rows(2000)
		bytes := 0
		for _, r := range rows {
			bytes += len(r)
		}
		if mean := bytes / len(rows); mean < s.from || mean > s.to {
			t.Errorf("%d features: %d bytes a row, want %d to %d", s.shape.Features, mean, s.from, s.to)
		}
		if again := bench.New(s.shape, 7).Rows(2000); !slices.EqualFunc(rows, again, slices.Equal) {
			t.Errorf("%d features: the same seed gave other rows", s.shape.Features)
		}
		target := newBlocks(compiled(t, w))
		d := native.New(decode.DefaultConfig())
		kinds := map[schemas.Kind]int{}
		for i, r := range rows {
			if got := d.Decode(&decode.Record{Offset: int64(i), Value: r}, target); !got.OK() {
				t.Fatalf("row %d: %s\n%s", i, got, r)
			}
			for c := range s.shape.Features {
				kinds[target.last.Columns[c].Kind[0]]++
			}
			target.last.Reset()
		}
		values := len(rows) * s.shape.Features
		if n := kinds[schemas.KindNumber]; n < values*77/100 || n > values*80/100 {
			t.Errorf("%d features: %d numbers among %d values", s.shape.Features, n, values)
		}
		if n := kinds[schemas.KindNull]; n < values/100 || n > values*2/100 {
			t.Errorf("%d features: %d nulls among %d values", s.shape.Features, n, values)
		}
	}
}
