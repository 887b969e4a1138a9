package ingest

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

func manyModels(t *testing.T, n, features int) *window.Models {
	t.Helper()
	var specs []schemas.SpecRecord
	for i := range n {
		s := schemas.Spec{Model: fmt.Sprintf("model-%03d-of-a-team", i), Window: time.Hour}
		for k := range features {
			s.Columns = append(s.Columns, schemas.SpecColumn{Name: fmt.Sprint("x", k), Role: schemas.RoleFeature, Type: schemas.TypeNumber, Edges: []float64{1}, Unit: 1})
		}
		s.SortColumns()
		specs = append(specs, schemas.SpecRecord{Seq: uint64(i + 1), EffectiveFrom: math.MinInt64, Spec: s})
	}
	models, err := window.Compile(specs)
	if err != nil {
		t.Fatal(err)
	}
	return models
}

// Every model has one block at any time, found by its name whatever came
// between; the more models come, the smaller an empty block becomes, and what
// many of them take is bounded.
func TestBlocksOfManyModels(t *testing.T) {
	const models, features = 100, 300
	var b blocks
	b.reset(manyModels(t, models, features))
	if b.Block([]byte("unknown")) != nil {
		t.Error("a model that nobody watches has a block")
	}
	name := func(i int) []byte { return []byte(fmt.Sprintf("model-%03d-of-a-team", i)) }
	of := map[string]*schemas.Block{}
	for i := range models {
		of[string(name(i))] = b.Block(name(i))
	}
	if first := of[string(name(0))]; first.Rows() != schemas.BlockRows {
		t.Errorf("the block of an only model has %d rows", first.Rows())
	}
	for round := range 3 {
		for i := range models {
			got := b.Block(name(i))
			if got != of[string(name(i))] || got.Layout.Model != string(name(i)) {
				t.Fatalf("round %d: another block of model %d", round, i)
			}
		}
	}
	for i := range models {
		b.fit(of[string(name(i))])
		got := b.Block(name(i))
		if got.Rows() != leastRows || got.Layout.Model != string(name(i)) || b.Block(name(i)) != got {
			t.Fatalf("the block of model %d has %d rows after all have come", i, got.Rows())
		}
	}
	b.trim()
	bytes := 0
	for _, k := range b.all {
		bytes += k.Rows() * valueBytes * len(k.Layout.Columns)
	}
	if one := leastRows * valueBytes * (features + 4); bytes > maxBytes+one || bytes < maxBytes-one {
		t.Errorf("%d bytes are kept", bytes)
	}
	for i := range models {
		if got := b.Block(name(i)); got == nil || got.Layout.Model != string(name(i)) || got.N != 0 {
			t.Fatalf("model %d after blocks were let go: %+v", i, got)
		}
	}
}
