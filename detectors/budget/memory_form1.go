package budget

import "github.com/modelwatch/modelwatch/schemas"

// memoryForm1 is the form before the present one, in which each stream had all
// its names and no array was written in part. Journals may hold it.
const memoryForm1 = 1

// leastForm1 is the least number of bytes that a stream took in it.
const leastForm1 = 5 + 4*8 + 2

// The parts of a state that it left out where they were all zeros.
const (
	form1Page = 1 << iota
	form1Ticket
	form1Run
	form1Onset
	form1Idle
)

func (m *Memory) readForm1(r *reader) {
	texts := r.texts()
	n := r.count(leastForm1)
	m.ids, m.states = make([]id, n), make([]state, n)
	for i := range m.ids {
		k := Key{Role: schemas.Role(r.byte())}
		k.Feature, k.Slice, k.Channel = r.text(texts), r.text(texts), r.text(texts)
		m.ids[i] = idOf(k, r.text(texts))
		m.states[i].readForm1(r)
	}
}

func (s *state) readForm1(r *reader) {
	s.a, s.p, s.bias, s.level = r.float(), r.float(), r.float(), r.float()
	s.flags = r.byte()
	has := r.byte()
	if has&form1Page != 0 {
		for i := range s.page {
			s.page[i] = r.float()
		}
	}
	if has&form1Ticket != 0 {
		for i := range s.ticket {
			s.ticket[i] = r.float()
		}
	}
	if has&form1Run != 0 {
		for i := range s.run {
			s.run[i] = r.small()
			s.age[i] = uint32(r.uvarint())
		}
	}
	if has&form1Onset != 0 {
		s.onset = r.varint()
		s.ok = r.byte()
	}
	if has&form1Idle != 0 {
		s.idle = uint32(r.uvarint())
	}
}
