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
	streams []remembered // in the order in which windows have them
	open    streak.Memory
}

// id names a stream of one version.
type id struct {
	Key
	version string
	rank    int // of the channel; -1 for counts of events
}

type remembered struct {
	id
	state
}

func idOf(k Key, version string) id { return id{k, version, slices.Index(order[:], k.Channel)} }

// compareIDs orders streams as the entries of windows are, part by part.
func compareIDs(a, b *id) int {
	return cmp.Or(cmp.Compare(partOf(a.Key), partOf(b.Key)), cmp.Compare(a.version, b.version), cmp.Compare(a.Role, b.Role),
		cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Slice, b.Slice), cmp.Compare(a.rank, b.rank), cmp.Compare(a.Channel, b.Channel))
}

// find returns the place of a stream, -1 for none. hint is where it stands if
// it comes right behind the one before, as in most windows.
func (m *Memory) find(x *id, hint int) int {
	if hint < len(m.streams) {
		if s := &m.streams[hint].id; s.rank == x.rank && s.Feature == x.Feature && s.Slice == x.Slice && s.version == x.version && s.Role == x.Role && s.Channel == x.Channel {
			return hint
		}
	}
	at, ok := slices.BinarySearchFunc(m.streams, x, func(s remembered, x *id) int { return compareIDs(&s.id, x) })
	if !ok {
		return -1
	}
	return at
}

// Streams is how many streams are remembered.
func (m *Memory) Streams() int { return len(m.streams) }

// The binary form: a version, the texts of all ids once each, then of each
// stream its id as numbers of texts and its state, then the open findings.
// Arrays of zeros, as of streams that never page, are left out.
const memoryForm = 1

// MarshalJSON writes the memory as text of base64 of its binary form.
func (m Memory) MarshalJSON() ([]byte, error) {
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
	var body []byte
	for i := range m.streams {
		s := &m.streams[i]
		body = append(body, byte(s.Role))
		for _, t := range []string{s.Feature, s.Slice, s.Channel, s.version} {
			body = binary.AppendUvarint(body, of(t))
		}
		body = s.state.append(body)
	}
	open, err := json.Marshal(m.open)
	if err != nil {
		return nil, fmt.Errorf("writing the open findings of a memory: %w", err)
	}
	out := []byte{memoryForm}
	out = binary.AppendUvarint(out, uint64(len(texts)))
	for _, t := range texts {
		out = binary.AppendUvarint(out, uint64(len(t)))
		out = append(out, t...)
	}
	out = binary.AppendUvarint(out, uint64(len(m.streams)))
	out = append(out, body...)
	out = binary.AppendUvarint(out, uint64(len(open)))
	out = append(out, open...)
	return json.Marshal(base64.StdEncoding.EncodeToString(out))
}

// UnmarshalJSON reads what MarshalJSON wrote. Anything else is an error and
// leaves m as it was.
func (m *Memory) UnmarshalJSON(body []byte) error {
	var text string
	if err := json.Unmarshal(body, &text); err != nil {
		return fmt.Errorf("reading a memory: %w", err)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return fmt.Errorf("reading a memory: %w", err)
	}
	r := reader{b: raw}
	if r.byte() != memoryForm {
		return errors.New("reading a memory: its form is not known to this program")
	}
	texts := make([]string, r.count(1))
	for i := range texts {
		texts[i] = string(r.take(r.count(1)))
	}
	var out Memory
	n := r.count(smallest)
	out.streams = make([]remembered, n)
	for i := range out.streams {
		s := &out.streams[i]
		s.Role = schemas.Role(r.byte())
		for _, t := range []*string{&s.Feature, &s.Slice, &s.Channel, &s.version} {
			k := r.uvarint()
			if k >= uint64(len(texts)) {
				return errors.New("reading a memory: a text is missing")
			}
			*t = texts[k]
		}
		s.id = idOf(s.Key, s.version)
		s.state.read(&r)
		if i > 0 && compareIDs(&out.streams[i-1].id, &s.id) >= 0 {
			return errors.New("reading a memory: its streams are not in order")
		}
	}
	open := r.take(r.count(1))
	if r.bad || len(r.b) != 0 {
		return errors.New("reading a memory: it is cut short or too long")
	}
	if err := json.Unmarshal(open, &out.open); err != nil {
		return fmt.Errorf("reading the open findings of a memory: %w", err)
	}
	if len(out.streams) == 0 {
		out.streams = nil
	}
	*m = out
	return nil
}

// smallest is the least number of bytes that a stream takes.
const smallest = 5 + 4*8 + 2

// The arrays of a state that may be all zeros.
const (
	hasPage = 1 << iota
	hasTicket
	hasRun
	hasOnset
	hasIdle
)

func (s *state) append(b []byte) []byte {
	for _, x := range [...]float64{s.a, s.p, s.bias, s.level} {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	b = append(b, s.flags)
	at := len(b)
	b = append(b, 0)
	floats := func(flag byte, xs []float64) {
		if slices.ContainsFunc(xs, func(x float64) bool { return x != 0 }) {
			b[at] |= flag
			for _, x := range xs {
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
			}
		}
	}
	floats(hasPage, s.page[:])
	floats(hasTicket, s.ticket[:])
	if slices.ContainsFunc(s.age[:], func(x uint32) bool { return x != 0 }) {
		b[at] |= hasRun
		for i, x := range s.run {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
			b = binary.AppendUvarint(b, uint64(s.age[i]))
		}
	}
	if s.onset != 0 || s.ok != 0 {
		b[at] |= hasOnset
		b = binary.AppendVarint(b, s.onset)
		b = append(b, s.ok)
	}
	if s.idle != 0 {
		b[at] |= hasIdle
		b = binary.AppendUvarint(b, uint64(s.idle))
	}
	return b
}

func (s *state) read(r *reader) {
	for _, x := range []*float64{&s.a, &s.p, &s.bias, &s.level} {
		*x = r.float()
	}
	s.flags = r.byte()
	has := r.byte()
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
		for i := range s.run {
			if x := r.take(4); x != nil {
				s.run[i] = math.Float32frombits(binary.LittleEndian.Uint32(x))
			}
			s.age[i] = uint32(r.uvarint())
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
