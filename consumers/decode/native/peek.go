package native

import (
	"encoding/binary"
	"unsafe"
)

// This is the only file that goes round the checks of slices. The scanner looks
// at eight bytes some ten times for every feature; seen to be there once for all
// of them, it takes half the instructions to look.

// memory is where a value's bytes begin.
type memory struct{ p unsafe.Pointer }

func memoryOf(b []byte) memory { return memory{unsafe.Pointer(unsafe.SliceData(b))} }

// word returns the eight bytes from i on, the first of them lowest. The caller
// has seen that i is not negative and i+8 not beyond the length.
func (m memory) word(i int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(m.p, i))[:])
}

// byte returns the byte at i, which the caller has seen to be there.
func (m memory) byte(i int) byte { return *(*byte)(unsafe.Add(m.p, i)) }

// borrowed returns the bytes as a string that shares their memory.
func borrowed(p []byte) string { return unsafe.String(unsafe.SliceData(p), len(p)) }
