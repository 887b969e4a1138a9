package budget

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/modelwatch/modelwatch/detectors/streak"
	"github.com/modelwatch/modelwatch/schemas"
)

// Memory is what Judge remembers between windows: of each stream of each
// version the recursions, and the findings that are open. The zero value
// remembers nothing. It survives refits, and is never replayed.
type Memory struct {
	ids    []id // in the order in which windows have them; never changed in place
	states []state
	names  []byte // the ids in the binary form
	open   streak.Memory
	room   *room // of Advance
	size   int   // of the binary form when it was last written
}

// clone returns a copy that has nothing in common with m that changes.
func (m *Memory) clone() Memory {
	return Memory{ids: m.ids, states: slices.Clone(m.states), names: m.names, open: m.open}
}

// id names a stream of one version.
type id struct {
	Key
	version string
	rank    int  // of the channel; -1 for counts of events
	same    bool // another channel of what the one before it in a memory is a channel of
}

func idOf(k Key, version string) id {
	return id{Key: k, version: version, rank: slices.Index(order[:], k.Channel)}
}

// link notes which streams belong to what the one before them belongs to, so
// that a window need not compare names for each of them, and how all names are
// written, which changes as seldom.
func (m *Memory) link() {
	for i := range m.ids {
		s := &m.ids[i]
		s.same = false
		if i > 0 {
			b := &m.ids[i-1]
			s.same = s.rank >= 0 && b.rank >= 0 && s.Role == b.Role && s.Feature == b.Feature && s.Slice == b.Slice && s.version == b.version
		}
	}
	m.names = namesOf(m.ids)
}

// compareIDs orders streams as the entries of windows are, part by part.
func compareIDs(a, b *id) int {
	return cmp.Or(cmp.Compare(partOf(a.Key), partOf(b.Key)), cmp.Compare(a.version, b.version), cmp.Compare(a.Role, b.Role),
		cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Slice, b.Slice), cmp.Compare(a.rank, b.rank), cmp.Compare(a.Channel, b.Channel))
}

// find returns the place of a stream, -1 for none. hint is where it stands if
// it comes right behind the one before, as in most windows.
func (m *Memory) find(x *id, hint int) int {
	if hint < len(m.ids) {
		if s := &m.ids[hint]; s.rank == x.rank && s.Feature == x.Feature && s.Slice == x.Slice && s.version == x.version && s.Role == x.Role && s.Channel == x.Channel {
			return hint
		}
	}
	from, to := 0, len(m.ids)
	for from < to {
		at := int(uint(from+to) / 2)
		switch c := compareIDs(&m.ids[at], x); {
		case c == 0:
			return at
		case c < 0:
			from = at + 1
		default:
			to = at
		}
	}
	return -1
}

// Streams is how many streams are remembered.
func (m *Memory) Streams() int { return len(m.ids) }

// The binary form: its number; the texts of all names once each; of each stream
// whose channel it is, which is left out where that is so of the one before,
// and its channel, as numbers of texts; of each its state; the open findings.
// All is in the order of the streams, so that equal memories have equal bytes.
const memoryForm = 2

// AppendBinary appends the binary form of the memory.
func (m *Memory) AppendBinary(b []byte) ([]byte, error) {
	open, err := json.Marshal(m.open)
	if err != nil {
		return nil, fmt.Errorf("writing the open findings of a memory: %w", err)
	}
	names := m.names
	if names == nil {
		names = namesOf(nil)
	}
	before := len(b)
	b = slices.Grow(b, max(m.size+m.size/64, 1+len(names)+len(open)+mostState))
	b = append(b, memoryForm)
	b = append(b, names...)
	for i := range m.states {
		b = m.states[i].append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(open)))
	b = append(b, open...)
	m.size = len(b) - before
	return b, nil
}

// MarshalJSON writes the memory as text of base64 of its binary form.
func (m Memory) MarshalJSON() ([]byte, error) {
	b, err := m.AppendBinary(nil)
	if err != nil {
		return nil, err
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(b))
}

// UnmarshalJSON reads what MarshalJSON wrote, and what it wrote before there
// was this form. Anything else is an error and leaves m as it was.
func (m *Memory) UnmarshalJSON(body []byte) error {
	var text string
	if err := json.Unmarshal(body, &text); err != nil {
		return fmt.Errorf("reading a memory: %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("reading a memory: %w", err)
	}
	return m.UnmarshalBinary(raw)
}

// UnmarshalBinary reads what AppendBinary wrote. Anything else is an error and
// leaves m as it was.
func (m *Memory) UnmarshalBinary(raw []byte) error {
	r := reader{b: raw}
	var out Memory
	switch r.byte() {
	case memoryForm:
		out.readNames(&r)
		out.states = make([]state, len(out.ids))
		for i := range out.states {
			out.states[i].read(&r)
		}
	case memoryForm1:
		out.readForm1(&r)
	default:
		return errors.New("reading a memory: its form is not known to this program")
	}
	open := r.take(r.count(1))
	if r.bad || len(r.b) != 0 {
		return errors.New("reading a memory: it is cut short or too long")
	}
	for i := range out.ids {
		if i > 0 && compareIDs(&out.ids[i-1], &out.ids[i]) >= 0 {
			return errors.New("reading a memory: its streams are not in order")
		}
	}
	if err := json.Unmarshal(open, &out.open); err != nil {
		return fmt.Errorf("reading the open findings of a memory: %w", err)
	}
	if len(out.ids) == 0 {
		out.ids, out.states = nil, nil
	}
	out.link()
	*m = out
	return nil
}

// namesOf returns texts, number and names of streams.
func namesOf(ids []id) []byte {
	texts, number := []string{}, map[string]uint64{}
	of := func(s string) uint64 {
		n, ok := number[s]
		if !ok {
			n = uint64(len(texts))
			number[s] = n
			texts = append(texts, s)
		}
		return n
	}
	var names []byte
	for i := range ids {
		s := &ids[i]
		if s.same {
			names = append(names, 1)
		} else {
			names = append(names, 0, byte(s.Role))
			for _, t := range []string{s.Feature, s.Slice, s.version} {
				names = binary.AppendUvarint(names, of(t))
			}
		}
		names = binary.AppendUvarint(names, of(s.Channel))
	}
	out := binary.AppendUvarint(nil, uint64(len(texts)))
	for _, t := range texts {
		out = binary.AppendUvarint(out, uint64(len(t)))
		out = append(out, t...)
	}
	out = binary.AppendUvarint(out, uint64(len(ids)))
	return append(out, names...)
}

// readNames reads what namesOf wrote.
func (m *Memory) readNames(r *reader) {
	texts := r.texts()
	m.ids = make([]id, r.count(leastStream))
	var whose id
	for i := range m.ids {
		switch r.byte() {
		case 0:
			whose.Role = schemas.Role(r.byte())
			whose.Feature, whose.Slice, whose.version = r.text(texts), r.text(texts), r.text(texts)
		case 1:
			r.bad = r.bad || i == 0
		default:
			r.bad = true
		}
		whose.Channel = r.text(texts)
		m.ids[i] = idOf(whose.Key, whose.version)
	}
}

// The parts of a state that may be all zeros, and are left out then.
const (
	hasFilter = 1 << iota
	hasPage
	hasTicket
	hasRun
	hasOnset
	hasIdle
)

// leastStream and mostState bound the bytes of a stream, and of its state.
const (
	leastStream = 2 + 2 + 2*8
	mostState   = 2 + 4*8 + 2*bets*8 + 2 + 2*len(sizes)*(4+binary.MaxVarintLen32) + binary.MaxVarintLen64 + 1 + binary.MaxVarintLen32
)

func (s *state) append(b []byte) []byte {
	b = slices.Grow(b, mostState)
	start := len(b)
	out := b[start : start+mostState]
	n := 2
	put := func(x float64) {
		binary.LittleEndian.PutUint64(out[n:], math.Float64bits(x))
		n += 8
	}
	var has byte
	put(s.p)
	put(s.level)
	if math.Float64bits(s.a)|math.Float64bits(s.bias) != 0 {
		has |= hasFilter
		put(s.a)
		put(s.bias)
	}
	if s.page != [bets]float64{} {
		has |= hasPage
		for _, x := range s.page {
			put(x)
		}
	}
	if s.ticket != [bets]float64{} {
		has |= hasTicket
		for _, x := range s.ticket {
			put(x)
		}
	}
	runs := uint16(0)
	for i, x := range s.run {
		if x != 0 || s.age[i] != 0 {
			runs |= 1 << i
		}
	}
	if runs != 0 {
		has |= hasRun
		binary.LittleEndian.PutUint16(out[n:], runs)
		n += 2
		for i, x := range s.run {
			if runs&(1<<i) != 0 {
				binary.LittleEndian.PutUint32(out[n:], math.Float32bits(x))
				n += 4 + binary.PutUvarint(out[n+4:], uint64(s.age[i]))
			}
		}
	}
	if s.onset != 0 || s.ok != 0 {
		has |= hasOnset
		n += binary.PutVarint(out[n:], s.onset)
		out[n] = s.ok
		n++
	}
	if s.idle != 0 {
		has |= hasIdle
		n += binary.PutUvarint(out[n:], uint64(s.idle))
	}
	out[0], out[1] = s.flags, has
	return b[:start+n]
}

func (s *state) read(r *reader) {
	s.flags = r.byte()
	has := r.byte()
	s.p, s.level = r.float(), r.float()
	if has&hasFilter != 0 {
		s.a, s.bias = r.float(), r.float()
	}
	if has&hasPage != 0 {
		for i := range s.page {
			s.page[i] = r.float()
		}
	}
	if has&hasTicket != 0 {
		for i := range s.ticket {
			s.ticket[i] = r.float()
		}
	}
	if has&hasRun != 0 {
		if x := r.take(2); x != nil {
			runs := binary.LittleEndian.Uint16(x)
			for i := range s.run {
				if runs&(1<<i) != 0 {
					s.run[i] = r.small()
					s.age[i] = uint32(r.uvarint())
				}
			}
		}
	}
	if has&hasOnset != 0 {
		s.onset = r.varint()
		s.ok = r.byte()
	}
	if has&hasIdle != 0 {
		s.idle = uint32(r.uvarint())
	}
}

// reader reads the binary form; bad stays set once something was missing.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if x := r.take(1); x != nil {
		return x[0]
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) varint() int64 {
	x, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return x
}

// count reads a number of things of at least size bytes each, no more than can follow.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

// texts reads a list of texts, text the one that a number stands for.
func (r *reader) texts() []string {
	out := make([]string, r.count(1))
	for i := range out {
		out[i] = string(r.take(r.count(1)))
	}
	return out
}

func (r *reader) text(of []string) string {
	n := r.uvarint()
	if n >= uint64(len(of)) {
		r.bad, r.b = true, nil
		return ""
	}
	return of[n]
}

// small reads a number of half the size.
func (r *reader) small() float32 {
	x := r.take(4)
	if x == nil {
		return 0
	}
	return math.Float32frombits(binary.LittleEndian.Uint32(x))
}

// float reads a number; one that is not finite is bad.
func (r *reader) float() float64 {
	x := r.take(8)
	if x == nil {
		return 0
	}
	f := math.Float64frombits(binary.LittleEndian.Uint64(x))
	if !finite(f) {
		r.bad, r.b = true, nil
		return 0
	}
	return f
}
