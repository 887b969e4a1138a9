package consumers

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// errTooLong says that a batch decompresses to more than the limit.
var errTooLong = errors.New("decompressed size over the limit")

// Compression codecs as they are numbered in the attributes of a batch.
const (
	codecNone = iota
	codecGzip
	codecSnappy
	codecLZ4
	codecZstd
)

// codecs keeps decoders for reuse; they are shared by all partitions because
// each holds a window of memory and is in use for microseconds.
type codecs struct {
	gzip, lz4, zstd sync.Pool
}

// decode decompresses src into dst, whose room is reused, giving up beyond
// limit bytes. The result shares dst's memory where that was enough.
func (c *codecs) decode(codec int, dst, src []byte, limit int) ([]byte, error) {
	dst = dst[:0]
	switch codec {
	case codecGzip:
		r, _ := c.gzip.Get().(*gzip.Reader)
		if r == nil {
			r = new(gzip.Reader)
		}
		defer c.gzip.Put(r)
		if err := r.Reset(bytes.NewReader(src)); err != nil {
			return dst, fmt.Errorf("opening gzip: %w", err)
		}
		return readUpTo(dst, r, limit)
	case codecSnappy:
		return decodeSnappy(dst, src, limit)
	case codecLZ4:
		if out, ok := decodeLZ4(dst, src, limit); ok {
			return out, nil
		}
		r, _ := c.lz4.Get().(*lz4.Reader)
		if r == nil {
			r = lz4.NewReader(nil)
		}
		defer c.lz4.Put(r)
		r.Reset(bytes.NewReader(src))
		return readUpTo(dst, r, limit)
	case codecZstd:
		r, _ := c.zstd.Get().(*zstd.Decoder)
		if r == nil {
			var err error
			r, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(limit)), zstd.WithDecoderLowmem(true))
			if err != nil {
				return dst, fmt.Errorf("making a zstd decoder: %w", err)
			}
		}
		defer c.zstd.Put(r)
		out, err := r.DecodeAll(src, dst)
		if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
			return dst, errTooLong
		}
		if err != nil {
			return dst, fmt.Errorf("decompressing zstd: %w", err)
		}
		return out, nil
	}
	return dst, fmt.Errorf("unknown compression codec %d", codec)
}

// The parts of an LZ4 frame that decodeLZ4 reads.
const (
	lz4Magic       = 0x184d2204
	lz4Version     = 0x40 // in the flags, with lz4VersionMask
	lz4Independent = 0x20
	lz4BlockSum    = 0x10
	lz4Size        = 0x08
	lz4ContentSum  = 0x04
	lz4Dictionary  = 0x01
	lz4Reach       = 64 << 10 // how far back a block may refer
	lz4Stored      = 1 << 31  // in a block's length: not compressed
)

// decodeLZ4 decompresses one whole LZ4 frame straight into dst. It does not
// look at the frame's own checksums: that of the batch covers the same bytes.
// Where ok is false the frame is unusual, broken or too long, and the library's
// reader has to say which.
func decodeLZ4(dst, src []byte, limit int) (out []byte, ok bool) {
	if len(src) < 7 || binary.LittleEndian.Uint32(src) != lz4Magic {
		return nil, false
	}
	flags, sizes := src[4], src[5]>>4&7
	if flags&0xc0 != lz4Version || flags&lz4Dictionary != 0 || sizes < 4 {
		return nil, false
	}
	most, at := 1<<(8+2*sizes), 7
	if flags&lz4Size != 0 {
		at += 8
	}
	for {
		if len(src)-at < 4 {
			return nil, false
		}
		length := binary.LittleEndian.Uint32(src[at:])
		at += 4
		if length == 0 {
			break
		}
		n := int(length &^ lz4Stored)
		if n > most || n > len(src)-at {
			return nil, false
		}
		block := src[at : at+n]
		if at += n; flags&lz4BlockSum != 0 {
			at += 4
		}
		if length&lz4Stored != 0 {
			dst = append(dst, block...)
		} else if dst, ok = appendLZ4(dst, block, most, flags&lz4Independent != 0); !ok {
			return nil, false
		}
		if len(dst) > limit {
			return nil, false
		}
	}
	if flags&lz4ContentSum != 0 {
		at += 4
	}
	return dst, at == len(src)
}

// appendLZ4 decompresses one block of at most most bytes.
func appendLZ4(dst, block []byte, most int, independent bool) ([]byte, bool) {
	at := len(dst)
	// A byte of a block stands for at most 255, so that a larger claim is a lie
	// and must not cost memory.
	dst = slices.Grow(dst, min(most, 255*len(block)+64))
	var before []byte
	if !independent {
		before = dst[max(0, at-lz4Reach):at]
	}
	n, err := lz4.UncompressBlockWithDict(block, dst[at:min(cap(dst), at+most)], before)
	return dst[:at+max(0, n)], err == nil
}

// readUpTo reads all of r after dst; memory grows with what is really there.
func readUpTo(dst []byte, r io.Reader, limit int) ([]byte, error) {
	for idle := 0; ; idle++ {
		if idle > 100 {
			return dst, io.ErrNoProgress
		}
		if len(dst) > limit {
			return dst, errTooLong
		}
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, max(4096, min(len(dst), limit+1-len(dst))))
		}
		n, err := r.Read(dst[len(dst):min(cap(dst), limit+1)])
		dst = dst[:len(dst)+n]
		if n > 0 {
			idle = 0
		}
		if errors.Is(err, io.EOF) {
			return dst, nil
		}
		if err != nil {
			return dst, fmt.Errorf("decompressing: %w", err)
		}
	}
}

// xerial is the magic of the framing that the Java clients put around snappy
// blocks; two versions follow it, then blocks with their lengths.
const xerial = "\x82SNAPPY\x00"

func decodeSnappy(dst, src []byte, limit int) ([]byte, error) {
	if !bytes.HasPrefix(src, []byte(xerial)) {
		return appendSnappy(dst, src, limit)
	}
	const header = len(xerial) + 8
	if len(src) < header {
		return dst, fmt.Errorf("opening snappy: header of %d bytes", len(src))
	}
	src = src[header:]
	for len(src) > 0 {
		if len(src) < 4 {
			return dst, errors.New("decompressing snappy: half a block length")
		}
		n := int64(binary.BigEndian.Uint32(src))
		src = src[4:]
		if n > int64(len(src)) {
			return dst, fmt.Errorf("decompressing snappy: a block of %d bytes with %d left", n, len(src))
		}
		var err error
		if dst, err = appendSnappy(dst, src[:n], limit); err != nil {
			return dst, err
		}
		src = src[n:]
	}
	return dst, nil
}

func appendSnappy(dst, block []byte, limit int) ([]byte, error) {
	n, err := s2.DecodedLen(block)
	if err != nil {
		return dst, fmt.Errorf("decompressing snappy: %w", err)
	}
	if n > limit-len(dst) {
		return dst, errTooLong
	}
	// A byte of snappy stands for at most 64, so a larger claim is a lie and
	// must not cost memory.
	if n > 64*len(block)+64 {
		return dst, fmt.Errorf("decompressing snappy: %d bytes claimed by a block of %d", n, len(block))
	}
	at := len(dst)
	dst = slices.Grow(dst, n)[:at+n]
	if _, err := s2.Decode(dst[at:], block); err != nil {
		return dst[:at], fmt.Errorf("decompressing snappy: %w", err)
	}
	return dst, nil
}
