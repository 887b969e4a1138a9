// Package mutate spoils inputs for long runs over decoders. Go's fuzzer looks
// for inputs that reach new code, at a few thousand a second; what it found is
// kept beside the tests and spoilt here by the million.
package mutate

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxLen bounds what is made, in bytes.
const maxLen = 16 << 10

// tokens are pieces of text that decoders look at.
var tokens = []string{
	"{", "}", "[", "]", ",", ":", `"`, `\u0000`, `\ud800`, `\"`, "null", "true", "NaN", "-Infinity", "1e999", "-0", "1e-320", "9007199254740993", "0.1234567890123456789",
	"\x00", "\xff", "\xed\xa0\x80", "\r\n", `"ts":`, `"features":{`, `"model":"flights"`,
}

// numbers are those at which lengths, counts and offsets go wrong.
var numbers = []uint64{0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 1 << 20, 0x7fffffff, 0x80000000, 0xffffffff, 1<<63 - 1, 1 << 63, 1<<64 - 1}

// Mutator makes one input after the other out of those it was given. The same
// seed and inputs make the same ones, in the same order.
type Mutator struct {
	random *rand.Rand
	inputs [2][][]byte
	out    []byte
}

// New returns a mutator of sound inputs and of those that a fuzzer has kept,
// which are taken equally often. There must be one of each at least.
func New(seed uint64, sound, kept [][]byte) *Mutator {
	return &Mutator{random: rand.New(rand.NewPCG(seed, seed)), inputs: [2][][]byte{sound, kept}}
}

// Next returns an input, spoilt once or more often, each time with one chance in two. It is good until the next
// call, and at most 16 KiB long.
func (m *Mutator) Next() []byte {
	m.out = append(m.out[:0], m.pick()...)
	for m.spoil(); m.random.IntN(2) == 0; {
		m.spoil()
	}
	m.out = m.out[:min(len(m.out), maxLen)]
	return m.out
}

// Int64 returns a number at which something may go wrong, or any other.
func (m *Mutator) Int64() int64 {
	if m.random.IntN(2) == 0 {
		return int64(m.random.IntN(100))
	}
	return int64(numbers[m.random.IntN(len(numbers))])
}

func (m *Mutator) pick() []byte {
	from := m.inputs[m.random.IntN(2)]
	return from[m.random.IntN(len(from))]
}

// part draws a piece of b of at most most bytes.
func (m *Mutator) part(b []byte, most int) (from, to int) {
	if len(b) == 0 {
		return 0, 0
	}
	from = m.random.IntN(len(b))
	return from, min(len(b), from+1+m.random.IntN(most))
}

func (m *Mutator) spoil() {
	at := m.random.IntN(len(m.out) + 1)
	from, to := m.part(m.out, 64)
	switch m.random.IntN(8) {
	case 0: // a bit
		if from < to {
			m.out[from] ^= 1 << m.random.IntN(8)
		}
	case 1: // a byte
		if from < to {
			m.out[from] = byte(m.random.Uint32())
		}
	case 2: // a piece less
		m.out = slices.Delete(m.out, from, to)
	case 3: // a piece twice
		m.out = slices.Insert(m.out, at, bytes.Clone(m.out[from:to])...)
	case 4: // a piece of another
		other := m.pick()
		f, t := m.part(other, 256)
		m.out = slices.Insert(m.out, at, other[f:t]...)
	case 5: // a word
		m.out = slices.Insert(m.out, at, []byte(tokens[m.random.IntN(len(tokens))])...)
	case 6: // a length or an offset
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], numbers[m.random.IntN(len(numbers))])
		width := []int{1, 2, 4, 8}[m.random.IntN(4)]
		copy(m.out[from:], n[8-width:])
	case 7: // an end
		m.out = m.out[:at]
	}
}

// Corpus returns the inputs of type []byte that Go's fuzzer has kept in
// testdata/fuzz for a target, in order of their names, each the first argument
// of its target.
func Corpus(target string) ([][]byte, error) {
	dir := filepath.Join("testdata", "fuzz", target)
	var out [][]byte
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(string(body), "\n[]byte(")
		line, _, _ := strings.Cut(rest, "\n")
		in, err := strconv.Unquote(strings.TrimSuffix(line, ")"))
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		out = append(out, []byte(in))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the corpus of %s: %w", target, err)
	}
	return out, nil
}

// Times returns how many inputs a test makes: usual, or what the environment
// variable MODELWATCH_MUTATIONS says.
func Times(usual int) (int, error) {
	said := os.Getenv("MODELWATCH_MUTATIONS")
	if said == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(said)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("MODELWATCH_MUTATIONS is %q: a number of inputs, of at least 1, is wanted", said)
	}
	return n, nil
}
