package consumers

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/pierrec/lz4/v4"
	"pgregory.net/rapid"
)

func TestLZ4IsReadHoweverItIsFramed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "content"), rapid.IntRange(1, 60).Draw(t, "times"))
		var framed bytes.Buffer
		w := lz4.NewWriter(&framed)
		err := w.Apply(
			lz4.BlockSizeOption(rapid.SampledFrom([]lz4.BlockSize{lz4.Block64Kb, lz4.Block256Kb, lz4.Block4Mb}).Draw(t, "block")),
			lz4.BlockChecksumOption(rapid.Bool().Draw(t, "block checksum")), lz4.ChecksumOption(rapid.Bool().Draw(t, "checksum")),
			lz4.SizeOption(uint64(rapid.SampledFrom([]int{0, len(want)}).Draw(t, "size"))))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(want); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if fast, ok := decodeLZ4(nil, framed.Bytes(), 1<<20); !ok || !bytes.Equal(fast, want) {
			t.Fatalf("a usual frame goes the long way: %v, %d bytes of %d", ok, len(fast), len(want))
		}
		// Whatever a frame is cut to or turned into, no byte is read that is not there.
		broken := bytes.Clone(framed.Bytes())
		broken[rapid.IntRange(0, len(broken)-1).Draw(t, "at")] ^= rapid.Byte().Draw(t, "flip")
		_, _ = decodeLZ4(nil, broken[:rapid.IntRange(0, len(broken)).Draw(t, "cut")], 1<<20)
		if _, ok := decodeLZ4(nil, framed.Bytes(), len(want)-1); ok && len(want) > 0 {
			t.Fatal("the limit was passed")
		}
	})
}

// The second block refers to what the first one holds.
func TestLZ4BlocksMayReferBack(t *testing.T) {
	frame := binary.LittleEndian.AppendUint32(nil, lz4Magic)
	frame = append(frame, lz4Version, 0x40, 0)
	for _, block := range [][]byte{
		append([]byte{0x80}, "abcdefgh"...),          // eight letters
		append([]byte{0x04, 8, 0, 0x50}, "12345"...), // eight bytes again from eight back, five letters
	} {
		frame = binary.LittleEndian.AppendUint32(frame, uint32(len(block)))
		frame = append(frame, block...)
	}
	frame = binary.LittleEndian.AppendUint32(frame, 0)
	got, ok := decodeLZ4([]byte("before")[:6:6], frame, 1000)
	if want := "beforeabcdefghabcdefgh12345"; !ok || string(got) != want {
		t.Fatalf("read %v %q, want %q", ok, got, want)
	}
}
