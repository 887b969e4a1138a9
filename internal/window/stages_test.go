package window_test

import (
	"testing"

	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// BenchmarkAdmit judges the time of rows and remembers their ids, which are new;
// what is done to their values is as little as a row of two columns can have.
func BenchmarkAdmit(b *testing.B) {
	ms, err := window.Compile([]schemas.SpecRecord{spec()})
	if err != nil {
		b.Fatal(err)
	}
	a := window.New(ms, window.Start{Previous: -1, Clock: window.NoTime})
	block := schemas.NewBlock(ms.Model([]byte("m")).Layout)
	b.ReportAllocs()
	for i := uint64(1); b.Loop(); i++ {
		row := block.Begin()
		block.Offset[row], block.Timestamp[row], block.Time[row] = int64(i), base, base
		block.Parts[row], block.ID[row] = schemas.PartFeatures, i*0x9e3779b97f4a7c15
		block.Commit()
		a.Observe(int64(i), base)
		if fault := a.Admit(block); fault != "" {
			b.Fatal(fault)
		}
		if block.Full() {
			a.Add(block, nil)
			a.Clear()
			block.Reset()
		}
	}
}
