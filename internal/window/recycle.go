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

// row returns a sample whose memory may be written to, with room for values.
func (s *spare) row(values int) schemas.PaneSample {
	n := len(s.rows)
	if n == 0 {
		return schemas.PaneSample{
			Numbers: make([]float64, 0, values), Categories: make([]string, 0, values), Kinds: make([]schemas.Kind, 0, values),
		}
	}
	out := s.rows[n-1]
	s.rows = s.rows[:n-1]
	return out
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
