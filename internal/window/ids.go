package window

// maxIDs is how many ids of one chunk are remembered for duplicates: the
// first so many. It is part of schemas.RowFunction.
const maxIDs = 1 << 17

// idSet is an open-addressing set of non-zero hashes, bounded at maxIDs.
type idSet struct {
	slots  []uint64
	filter []uint64 // of a large set: a bit for each hash, by its first bits
	n      int
}

// Of a set that has outgrown the processor's caches, a filter of sixteen bits
// an id answers for 15 of 16 hashes that are not in it, without a look at the
// slots, which would take as long as everything else that is done to an event.
const (
	filterFrom = 1 << 15 // slots
	filterBits = 21      // of a hash
)

// bit is where the filter keeps h.
func bit(h uint64) (word uint64, mask uint64) {
	at := h >> (64 - filterBits)
	return at / 64, 1 << (at % 64)
}

// look touches the memory that has and add will need for h.
func (s *idSet) look(h uint64) uint64 {
	if len(s.filter) == 0 {
		return 0
	}
	word, _ := bit(h)
	return s.filter[word] ^ s.slots[h&uint64(len(s.slots)-1)]
}

// has says whether h is in the set.
func (s *idSet) has(h uint64) bool {
	if s.n == 0 {
		return false
	}
	if len(s.filter) > 0 {
		if word, mask := bit(h); s.filter[word]&mask == 0 {
			return false
		}
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
	if len(s.filter) > 0 {
		word, mask := bit(h)
		s.filter[word] |= mask
	}
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
	if len(s.filter) > 0 || len(s.slots) < filterFrom {
		return
	}
	s.filter = make([]uint64, 1<<filterBits/64)
	for _, h := range old {
		if h != 0 {
			word, mask := bit(h)
			s.filter[word] |= mask
		}
	}
}

// reset empties the set and keeps its room.
func (s *idSet) reset() {
	clear(s.slots)
	clear(s.filter)
	s.n = 0
}
