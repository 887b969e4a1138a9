package window

import "github.com/modelwatch/modelwatch/schemas"

// texts keeps a few strings that come again and again, so that a row need not
// make its own. The string of a hash stands in one place, and the last one that
// came holds it.
type texts struct{ slots [2048]text }

type text struct {
	hash uint64
	text string
}

// of returns the text of the column in the row as a string.
func (t *texts) of(b *schemas.Block, column, row int) string {
	c := &b.Columns[column]
	p := b.Bytes(c.Text[row])
	s := &t.slots[c.Hash[row]%uint64(len(t.slots))]
	if s.hash != c.Hash[row] || s.text != string(p) {
		s.hash, s.text = c.Hash[row], string(p)
	}
	return s.text
}

// maxSpare is how many rows' worth of sample memory is kept for the next panes.
const maxSpare = 8 * PaneSamples

// spare is the memory of samples that are stored.
type spare struct {
	sets [][]schemas.PaneSample
	rows []schemas.PaneSample
}

// set returns an empty set of samples.
func (s *spare) set() []schemas.PaneSample {
	n := len(s.sets)
	if n == 0 {
		return nil
	}
	out := s.sets[n-1]
	s.sets = s.sets[:n-1]
	return out
}

// row returns a sample with so many values, whatever they are.
func (s *spare) row(values int) schemas.PaneSample {
	if n := len(s.rows); n > 0 {
		out := s.rows[n-1]
		if s.rows = s.rows[:n-1]; cap(out.Kinds) >= values {
			out.Numbers, out.Categories, out.Kinds = out.Numbers[:values], out.Categories[:values], out.Kinds[:values]
			return out
		}
	}
	return schemas.PaneSample{
		Numbers: make([]float64, values), Categories: make([]string, values), Kinds: make([]schemas.Kind, values),
	}
}

// take takes back the samples of a pane that is stored.
func (s *spare) take(samples []schemas.PaneSample) {
	if len(s.rows)+len(samples) > maxSpare {
		return
	}
	s.rows = append(s.rows, samples...)
	clear(samples)
	s.sets = append(s.sets, samples[:0])
}
