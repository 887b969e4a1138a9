package consumers

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// TopicID is Kafka's own identity of a topic. It changes when a topic is deleted
// and made again under the same name. The zero value means unknown.
type TopicID [16]byte

// String is the form Kafka's tools print.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// errWire marks an answer that does not follow the protocol.
var errWire = errors.New("malformed answer")

// correlation is the same in every request: a connection carries one request at
// a time, so a constant is enough to notice an answer that is not ours.
const correlation = 0x6d77

// encoder builds a request frame. With flex set, strings and arrays take their
// compact form and structures end in tags.
type encoder struct {
	b    []byte
	flex bool
}

func (e *encoder) i8(v int8)   { e.b = append(e.b, byte(v)) }
func (e *encoder) i16(v int16) { e.b = binary.BigEndian.AppendUint16(e.b, uint16(v)) }
func (e *encoder) i32(v int32) { e.b = binary.BigEndian.AppendUint32(e.b, uint32(v)) }
func (e *encoder) i64(v int64) { e.b = binary.BigEndian.AppendUint64(e.b, uint64(v)) }

func (e *encoder) boolean(v bool) {
	if v {
		e.i8(1)
	} else {
		e.i8(0)
	}
}

func (e *encoder) str(s string) {
	if e.flex {
		e.b = binary.AppendUvarint(e.b, uint64(len(s))+1)
	} else {
		e.i16(int16(len(s)))
	}
	e.b = append(e.b, s...)
}

// array opens an array of n elements, or a null one when n is negative.
func (e *encoder) array(n int) {
	if e.flex {
		e.b = binary.AppendUvarint(e.b, uint64(n+1))
	} else {
		e.i32(int32(n))
	}
}

func (e *encoder) tags() {
	if e.flex {
		e.b = append(e.b, 0)
	}
}

// newFrame opens a request; close it with frame.
func newFrame(key protocol.ApiKey, version int16, clientID string, flex bool) *encoder {
	e := &encoder{b: make([]byte, 4, 256), flex: flex}
	e.i16(int16(key))
	e.i16(version)
	e.i32(correlation)
	e.i16(int16(len(clientID))) // never compact, in any header version
	e.b = append(e.b, clientID...)
	e.tags()
	return e
}

func (e *encoder) frame() []byte {
	binary.BigEndian.PutUint32(e.b, uint32(len(e.b)-4))
	return e.b
}

// decoder reads an answer from the connection and never past its stated length.
// The first error sticks; after it every read returns zero.
type decoder struct {
	r    io.Reader
	left int
	flex bool
	err  error
	tmp  [16]byte
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: "+format, append([]any{errWire}, args...)...)
	}
}

func (d *decoder) read(p []byte) bool {
	if d.err != nil {
		return false
	}
	if len(p) > d.left {
		d.fail("%d bytes wanted, %d left", len(p), d.left)
		return false
	}
	n, err := io.ReadFull(d.r, p)
	d.left -= n
	d.err = err
	return err == nil
}

func (d *decoder) discard(n int) {
	if d.err != nil {
		return
	}
	if n < 0 || n > d.left {
		d.fail("%d bytes to skip, %d left", n, d.left)
		return
	}
	m, err := io.CopyN(io.Discard, d.r, int64(n))
	d.left -= int(m)
	d.err = err
}

func (d *decoder) fixed(n int) []byte {
	b := d.tmp[:n]
	if !d.read(b) {
		clear(b)
	}
	return b
}

func (d *decoder) i8() int8   { return int8(d.fixed(1)[0]) }
func (d *decoder) i16() int16 { return int16(binary.BigEndian.Uint16(d.fixed(2))) }
func (d *decoder) i32() int32 { return int32(binary.BigEndian.Uint32(d.fixed(4))) }
func (d *decoder) i64() int64 { return int64(binary.BigEndian.Uint64(d.fixed(8))) }

func (d *decoder) id() (id TopicID) {
	copy(id[:], d.fixed(16))
	return id
}

func (d *decoder) uvarint() uint64 {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		c := d.fixed(1)[0]
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	d.fail("a number of more than ten bytes")
	return 0
}

// size reads the length of a string or array: -1 is null. Every element takes
// at least one byte, so a length above what is left is a lie.
func (d *decoder) size(wide bool) int {
	var n int
	switch {
	case d.flex:
		v := d.uvarint()
		if v > math.MaxInt32 {
			d.fail("length %d", v)
			return -1
		}
		n = int(v) - 1
	case wide:
		n = int(d.i32())
	default:
		n = int(d.i16())
	}
	if n < -1 || n > d.left {
		d.fail("length %d with %d bytes left", n, d.left)
		return -1
	}
	return n
}

func (d *decoder) array() int { return d.size(true) }

// bytes reads the length of a byte field, -1 when it is null.
func (d *decoder) bytes() int { return d.size(true) }

func (d *decoder) str() string {
	n := d.size(false)
	if n > math.MaxInt16 {
		d.fail("a string of %d bytes", n)
	}
	if n <= 0 || d.err != nil {
		return ""
	}
	b := make([]byte, n)
	d.read(b)
	return string(b)
}

// tags walks the tagged fields of a structure; each may read its field, of the
// given size, or leave it to be skipped.
func (d *decoder) tags(each func(tag uint64)) {
	if !d.flex {
		return
	}
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		tag, size := d.uvarint(), d.uvarint()
		if size > uint64(d.left) {
			d.fail("tag %d of %d bytes with %d left", tag, size, d.left)
			return
		}
		end := d.left - int(size)
		if each != nil {
			each(tag)
		}
		d.discard(d.left - end)
	}
}

// exchange is one raw request on a connection of kafka-go's transport. The
// transport gives up waiting when a context ends, but the goroutine of the
// connection goes on reading into our memory: abandon breaks the connection and
// waits for that goroutine before the memory is used again.
type exchange struct {
	key    protocol.ApiKey
	node   int32 // -1: any broker
	frame  []byte
	flex   bool
	header bool // the answer's header carries tags
	decode func(*decoder) error

	mu        sync.Mutex
	conn      interface{ SetDeadline(time.Time) error }
	abandoned bool
	done      chan struct{}
}

func (x *exchange) ApiKey() protocol.ApiKey { return x.key }

// Broker routes by node alone; the layout is ours to know.
func (x *exchange) Broker(protocol.Cluster) (protocol.Broker, error) {
	return protocol.Broker{ID: x.node}, nil
}

// Required is true: the exchange always speaks for itself.
func (x *exchange) Required(map[protocol.ApiKey]int16) bool { return true }

// RawExchange runs in the goroutine of a connection.
func (x *exchange) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	x.mu.Lock()
	if x.abandoned {
		x.mu.Unlock()
		return nil, context.Canceled
	}
	x.done = make(chan struct{})
	x.conn, _ = rw.(interface{ SetDeadline(time.Time) error })
	x.mu.Unlock()
	defer close(x.done)

	if _, err := rw.Write(x.frame); err != nil {
		return nil, err
	}
	d := &decoder{r: rw, left: 8}
	size, id := d.i32(), d.i32()
	if d.err != nil {
		return nil, d.err
	}
	if size < 4 || id != correlation {
		return nil, fmt.Errorf("%w: %d bytes with correlation %d", errWire, size, id)
	}
	d.left, d.flex = int(size)-4, x.header
	d.tags(nil)
	d.flex = x.flex
	if err := x.decode(d); err != nil {
		return nil, err
	}
	if d.err == nil {
		d.discard(d.left)
	}
	return x, d.err
}

func (x *exchange) abandon() {
	x.mu.Lock()
	x.abandoned = true
	done, conn := x.done, x.conn
	x.mu.Unlock()
	if done == nil {
		return
	}
	if conn != nil {
		_ = conn.SetDeadline(time.Unix(1, 0))
	}
	<-done
}
