package window

import (
	"math"

	"github.com/modelwatch/modelwatch/schemas"
)

// keepIDs appends the narrow rows of a row's prediction and label, if its id is
// among those that its spec keeps. A row without an id cannot be joined and
// leaves none.
func (a *Assembler) keepIDs(st *state, b *schemas.Block, row int) {
	if c := st.spec[row]; b.ID[row] == 0 || b.ID[row] >= c.keepsBelow && !c.keepsAll {
		return
	}
	for _, p := range [...]schemas.Part{schemas.PartPrediction, schemas.PartLabel} {
		if b.Parts[row]&p == 0 {
			continue
		}
		r := schemas.IDRow{
			Model: st.model.Name, ID: b.ID[row], Part: p, Offset: b.Offset[row], Time: b.Time[row],
			Number: math.NaN(), Score: math.NaN(), LatencyMS: math.NaN(),
		}
		at := b.Layout.Label
		if p == schemas.PartPrediction {
			at = b.Layout.Prediction
			r.Version = st.names[st.version[row]]
			r.Score = number(b, b.Layout.Score, row)
			r.LatencyMS = number(b, b.Layout.Latency, row)
		}
		if k := b.Columns[at].Kind[row]; k == schemas.KindText || k == schemas.KindBool {
			r.Class = a.texts.of(b, at, row)
		} else {
			r.Number = number(b, at, row)
		}
		a.ids = append(a.ids, r)
	}
}

func number(b *schemas.Block, column, row int) float64 {
	if c := &b.Columns[column]; c.Kind[row] == schemas.KindNumber {
		return c.Num[row]
	}
	return math.NaN()
}
