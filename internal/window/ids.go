package window

// maxIDs is how many ids of one chunk are remembered for duplicates: the
// first so many. It is part of schemas.RowFunction.
const maxIDs = 1 << 17

// idSet is an open-addressing set of non-zero hashes, bounded at maxIDs.
type idSet struct {
	slots []uint64
	n     int
}

// has says whether h is in the set.
func (s *idSet) has(h uint64) bool {
	if s.n == 0 {
		return false
	}
	mask := uint64(len(s.slots) - 1)
	for i := h & mask; s.slots[i] != 0; i = (i + 1) & mask {
		if s.slots[i] == h {
			return true
		}
	}
	return false
}

// add puts h into the set unless it is there or the set is full.
func (s *idSet) add(h uint64) {
	if s.n >= maxIDs {
		return
	}
	if 2*(s.n+1) > len(s.slots) {
		s.grow()
	}
	mask := uint64(len(s.slots) - 1)
	i := h & mask
	for ; s.slots[i] != 0; i = (i + 1) & mask {
		if s.slots[i] == h {
			return
		}
	}
	s.slots[i] = h
	s.n++
}

func (s *idSet) grow() {
	old := s.slots
	s.slots = make([]uint64, max(1024, 4*len(old)))
	mask := uint64(len(s.slots) - 1)
	for _, h := range old {
		if h == 0 {
			continue
		}
		i := h & mask
		for s.slots[i] != 0 {
			i = (i + 1) & mask
		}
		s.slots[i] = h
	}
}

// reset empties the set and keeps its room.
func (s *idSet) reset() {
	clear(s.slots)
	s.n = 0
}
