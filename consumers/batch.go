package consumers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
)

// Reason names why a batch cannot be delivered; it is a short word fit for a
// label.
type Reason string

// The reasons of a [BatchError].
const (
	// Checksum: the bytes are not those the producer sent. Asking again may help.
	Checksum Reason = "checksum"
	// Malformed: lengths or counts contradict each other.
	Malformed Reason = "malformed"
	// OldFormat: message format 0 or 1, from before Kafka 0.11.
	OldFormat Reason = "old_format"
	// Undecodable: the compressed data is broken or its codec unknown.
	Undecodable Reason = "undecodable"
	// TooLarge: over MaxBatchBytes as sent, or MaxDecodedBytes decompressed.
	TooLarge Reason = "too_large"
)

// BatchError says that the records of one batch, or the rest of them, cannot be
// delivered. Records of the batch below From were delivered; seeking to Next
// goes past it and leaves the gap [From, Next).
type BatchError struct {
	Topic     string
	Partition int32
	Reason    Reason
	// Base is the first offset of the batch by its header.
	Base int64
	// From is the first offset that was not delivered, Next the first behind the
	// batch as far as its header, or that of the batch after it, can be believed.
	// Next is always above From.
	From, Next int64
	// Size is the length of the batch on the wire, by its header.
	Size int
	Err  error
}

// Error names the batch, its offsets and what is wrong with it.
func (e *BatchError) Error() string {
	return fmt.Sprintf("reading batch %s/%d@%d of %d bytes: %s: %v", e.Topic, e.Partition, e.Base, e.Size, e.Reason, e.Err)
}

// Unwrap returns the detail.
func (e *BatchError) Unwrap() error { return e.Err }

// Retry says whether the same batch may read well when it is fetched again.
// Everything but a broken checksum is as it was written, and stays so.
func (e *BatchError) Retry() bool { return e.Reason == Checksum }

// Record is one record of a partition. Its slices are part of the walker's
// memory and valid only until the next call of Next; keep copies.
type Record struct {
	Offset int64
	// Timestamp in milliseconds since 1970: set by the producer, or by the
	// broker where the topic says LogAppendTime.
	Timestamp int64
	// LeaderEpoch of the batch, to be kept with a position.
	LeaderEpoch int32
	// Key and Value are nil where the record has none; a nil value is a
	// tombstone.
	Key, Value []byte

	headers []byte
}

// Headers calls each with every header in order until it returns false; value is
// nil where the header has none. The error says that the headers are malformed;
// those before the fault were delivered.
func (r *Record) Headers(each func(key, value []byte) bool) error {
	b := r.headers
	n, b, ok := varint(b)
	for ; ok && n > 0; n-- {
		var key, value []byte
		if key, b, ok = field(b); !ok || key == nil {
			return errHeaders
		}
		if value, b, ok = field(b); !ok {
			return errHeaders
		}
		if !each(key, value) {
			return nil
		}
	}
	if !ok {
		return errHeaders
	}
	return nil
}

var errHeaders = errors.New("malformed record headers")

// Aborted is a transaction that was aborted: the records of the producer from
// the offset on, up to its abort marker.
type Aborted struct {
	Producer int64
	First    int64
}

// The layout of a record batch, format 2: offsets of its fields.
const (
	atLength      = 8
	atEpoch       = 12
	atMagic       = 16
	atChecksum    = 17
	atAttributes  = 21
	atLastDelta   = 23
	atFirstTime   = 27
	atMaxTime     = 35
	atProducer    = 43
	atCount       = 57
	batchHeader   = 61
	lengthless    = 12 // bytes of a batch that its length does not count
	attrCodec     = 0x07
	attrAppend    = 0x08
	attrTx        = 0x10
	attrControl   = 0x20
	minRecord     = 7  // length, attributes, two deltas, two lengths, header count
	markerAbort   = 0  // type of a control record
	oldMessageMin = 26 // offset, size, checksum, magic, attributes, two lengths
)

// Walker walks the record batches of one answer in place. It allocates nothing
// per record; decompressed batches use one buffer, kept between answers.
type Walker struct {
	topic      string
	partition  int32
	maxBatch   int
	maxDecoded int
	codecs     *codecs
	stats      *Stats
	crc        *crc32.Table

	rest    []byte // batches not opened yet
	offset  int64  // the next offset wanted
	epoch   int32  // leader epoch of the last batch passed, or as given to reset
	err     error
	aborted []Aborted // by First
	next    int       // in aborted
	open    []int64   // producers inside an aborted transaction

	decoded   []byte
	body      []byte // records not read yet of the open batch
	count     int    // how many there should be
	inBatch   bool
	base      int64
	end       int64 // first offset after the open batch
	delta     int64 // offset delta of the record before
	size      int
	firstTime int64
	maxTime   int64
	appended  bool
	delivered int64
}

func newWalker(c *Client, topic string, partition int32) *Walker {
	return &Walker{
		topic: topic, partition: partition,
		maxBatch: c.cfg.MaxBatchBytes, maxDecoded: c.cfg.MaxDecodedBytes,
		codecs: &c.codecs, stats: c.stats, crc: crc32.MakeTable(crc32.Castagnoli),
	}
}

// reset starts a walk over set from offset on. aborted is sorted in place.
func (w *Walker) reset(set []byte, offset int64, epoch int32, aborted []Aborted) {
	slices.SortFunc(aborted, func(a, b Aborted) int {
		switch {
		case a.First < b.First:
			return -1
		case a.First > b.First:
			return 1
		}
		return 0
	})
	w.rest, w.offset, w.epoch, w.err = set, offset, epoch, nil
	w.aborted, w.next, w.open = aborted, 0, w.open[:0]
	w.body, w.count, w.inBatch, w.delivered = nil, 0, false, 0
	if cap(w.decoded) > w.maxBatch {
		w.decoded = nil // one large batch must not pin its memory for good
	}
}

// Offset is the next offset to read: all records below it were delivered, were
// dropped by right (control, aborted, compacted), or lie before the start.
func (w *Walker) Offset() int64 { return w.offset }

// LeaderEpoch is the epoch of the last batch passed, -1 when not known. Kept
// with a position, it lets a truncated log be noticed.
func (w *Walker) LeaderEpoch() int32 { return w.epoch }

// Err returns nil or the [*BatchError] that stopped the walk.
func (w *Walker) Err() error { return w.err }

// Next fills r with the next record. It returns false at the end of the data, or
// at a batch that cannot be read: see Err. A batch cut off at the end of the
// data is no error; it comes with the next fetch.
func (w *Walker) Next(r *Record) bool {
	for w.err == nil {
		if w.inBatch {
			if w.count > 0 {
				if w.record(r) {
					return true
				}
				continue
			}
			if len(w.body) > 0 {
				w.fail(Malformed, fmt.Errorf("%d bytes after the last record", len(w.body)))
				return false
			}
			w.close()
		}
		if !w.batch() {
			return false
		}
	}
	return false
}

func (w *Walker) close() {
	w.inBatch = false
	w.stats.Records.Add(w.delivered)
	w.delivered = 0
	w.offset = max(w.offset, w.end)
}

func (w *Walker) fail(reason Reason, err error) {
	w.stats.Records.Add(w.delivered)
	w.stats.BadBatches.Add(1)
	w.delivered = 0
	from := min(max(w.offset, w.base), math.MaxInt64-1) // a spoilt header may claim any offset
	w.err = &BatchError{
		Topic: w.topic, Partition: w.partition, Reason: reason,
		Base: w.base, From: from, Next: max(w.end, from+1), Size: w.size, Err: err,
	}
}

// batch opens the next batch that has records to deliver. It returns false at
// the end of the data and on an error.
func (w *Walker) batch() bool {
	for {
		b := w.rest
		if len(b) < lengthless {
			return false
		}
		w.base = int64(binary.BigEndian.Uint64(b))
		length := int64(int32(binary.BigEndian.Uint32(b[atLength:])))
		w.size = int(length) + lengthless
		w.end = 0
		if w.base < 0 || w.base > math.MaxInt64-math.MaxInt32-1 {
			w.base, w.end = w.offset, w.offset+1
			w.fail(Malformed, errors.New("negative offset"))
			return false
		}
		if length < oldMessageMin-lengthless {
			w.fail(Malformed, fmt.Errorf("length %d", length))
			return false
		}
		if len(b) > atMagic && b[atMagic] != 2 {
			w.fail(OldFormat, fmt.Errorf("message format %d", b[atMagic]))
			return false
		}
		if length < batchHeader-lengthless {
			w.fail(Malformed, fmt.Errorf("length %d", length))
			return false
		}
		if len(b) >= batchHeader {
			w.end = w.believedEnd(b)
		}
		if w.size > w.maxBatch {
			if len(b) < batchHeader {
				return false
			}
			w.fail(TooLarge, fmt.Errorf("the limit is %d bytes", w.maxBatch))
			return false
		}
		if w.size > len(b) {
			return false // cut off
		}
		w.rest = b[w.size:]
		b = b[:w.size]
		if crc32.Checksum(b[atAttributes:], w.crc) != binary.BigEndian.Uint32(b[atChecksum:]) {
			w.fail(Checksum, errors.New("crc32c differs"))
			return false
		}
		lastDelta := int64(int32(binary.BigEndian.Uint32(b[atLastDelta:])))
		if lastDelta < 0 {
			w.end = 0
			w.fail(Malformed, fmt.Errorf("last offset delta %d", lastDelta))
			return false
		}
		w.end = w.base + lastDelta + 1
		w.epoch = int32(binary.BigEndian.Uint32(b[atEpoch:]))
		if w.dropped(b) {
			if w.err != nil {
				return false
			}
			w.offset = max(w.offset, w.end)
			continue
		}
		if w.end <= w.offset {
			continue // before the start
		}
		return w.openBatch(b, lastDelta)
	}
}

// believedEnd is the end of a batch whose checksum is not known to hold: what
// its header says, but never past the start of the batch behind it.
func (w *Walker) believedEnd(b []byte) int64 {
	end := w.base + 1
	if delta := int32(binary.BigEndian.Uint32(b[atLastDelta:])); delta >= 0 {
		end += int64(delta)
	}
	if w.size+lengthless < len(b) {
		if behind := int64(binary.BigEndian.Uint64(b[w.size:])); behind > w.base && behind < end {
			end = behind
		}
	}
	return end
}

// dropped says whether a batch with a sound checksum holds nothing to deliver:
// a control batch, or part of an aborted transaction.
func (w *Walker) dropped(b []byte) bool {
	attributes := binary.BigEndian.Uint16(b[atAttributes:])
	producer := int64(binary.BigEndian.Uint64(b[atProducer:]))
	for w.next < len(w.aborted) && w.aborted[w.next].First < w.end {
		if p := w.aborted[w.next].Producer; !slices.Contains(w.open, p) {
			w.open = append(w.open, p)
		}
		w.next++
	}
	if attributes&attrControl != 0 {
		w.stats.Control.Add(1)
		kind, ok := controlType(b)
		if !ok {
			w.fail(Malformed, errors.New("unreadable control record"))
			return true
		}
		if kind == markerAbort {
			if i := slices.Index(w.open, producer); i >= 0 {
				w.open = slices.Delete(w.open, i, i+1)
			}
		}
		return true
	}
	if attributes&attrTx != 0 && slices.Contains(w.open, producer) {
		w.stats.Aborted.Add(1)
		return true
	}
	return false
}

// controlType reads the key of a control batch's only record: version, type.
func controlType(b []byte) (int16, bool) {
	if binary.BigEndian.Uint32(b[atCount:]) == 0 {
		return -1, true // emptied by compaction
	}
	_, b, ok := varint(b[batchHeader:])
	if !ok || len(b) == 0 {
		return 0, false
	}
	b = b[1:]
	for range 2 {
		if _, b, ok = varint(b); !ok {
			return 0, false
		}
	}
	key, _, ok := field(b)
	if !ok || len(key) < 4 {
		return 0, false
	}
	return int16(binary.BigEndian.Uint16(key[2:])), true
}

func (w *Walker) openBatch(b []byte, lastDelta int64) bool {
	attributes := binary.BigEndian.Uint16(b[atAttributes:])
	count := int64(int32(binary.BigEndian.Uint32(b[atCount:])))
	if count < 0 || count > lastDelta+1 {
		w.fail(Malformed, fmt.Errorf("%d records in %d offsets", count, lastDelta+1))
		return false
	}
	body := b[batchHeader:]
	if codec := int(attributes & attrCodec); codec != codecNone && count == 0 {
		body = nil // what an empty stream compresses to
	} else if codec != codecNone {
		var err error
		body, err = w.codecs.decode(codec, w.decoded, body, w.maxDecoded)
		w.decoded = body[:0]
		if err != nil {
			reason := Undecodable
			if errors.Is(err, errTooLong) {
				reason = TooLarge
			}
			w.fail(reason, err)
			return false
		}
	}
	if count*minRecord > int64(len(body)) {
		w.fail(Malformed, fmt.Errorf("%d records in %d bytes", count, len(body)))
		return false
	}
	w.body, w.count, w.inBatch, w.delta = body, int(count), true, -1
	w.firstTime = int64(binary.BigEndian.Uint64(b[atFirstTime:]))
	w.maxTime = int64(binary.BigEndian.Uint64(b[atMaxTime:]))
	w.appended = attributes&attrAppend != 0
	w.stats.Batches.Add(1)
	return true
}

// record reads one record of the open batch; false means that it lies before the
// start, or an error.
func (w *Walker) record(r *Record) bool {
	length, b, ok := varint(w.body)
	if !ok || length < 1 || length > int64(len(b)) {
		w.fail(Malformed, fmt.Errorf("record length %d with %d bytes left", length, len(b)))
		return false
	}
	w.body = b[length:]
	w.count--
	b = b[1:length] // without its attributes, which mean nothing
	time, b, ok1 := varint(b)
	delta, b, ok2 := varint(b)
	if !ok1 || !ok2 || delta <= w.delta || w.base+delta >= w.end {
		w.fail(Malformed, fmt.Errorf("offset delta %d after %d", delta, w.delta))
		return false
	}
	w.delta = delta
	offset := w.base + delta
	if offset < w.offset {
		return false
	}
	key, b, ok1 := field(b)
	value, b, ok2 := field(b)
	headers, _, ok3 := varint(b)
	if !ok1 || !ok2 || !ok3 || headers < 0 {
		w.fail(Malformed, fmt.Errorf("fields of the record at offset %d", offset))
		return false
	}
	r.Offset, r.LeaderEpoch, r.Key, r.Value, r.headers = offset, w.epoch, key, value, b
	r.Timestamp = w.firstTime + time
	if w.appended {
		r.Timestamp = w.maxTime
	}
	w.offset = offset + 1
	w.delivered++
	return true
}

// field reads a length and that many bytes; -1 gives nil, zero an empty slice.
func field(b []byte) (value, rest []byte, ok bool) {
	n, b, ok := varint(b)
	if !ok || n < -1 || n > int64(len(b)) {
		return nil, b, false
	}
	if n < 0 {
		return nil, b, true
	}
	return b[:n:n], b[n:], true
}

// varint reads a zigzag number of at most ten bytes; nearly all have one to three.
func varint(b []byte) (int64, []byte, bool) {
	if len(b) > 0 && b[0] < 0x80 {
		return int64(b[0]>>1) ^ -int64(b[0]&1), b[1:], true
	}
	if len(b) > 2 {
		v := uint64(b[0]&0x7f) | uint64(b[1]&0x7f)<<7
		if b[1] < 0x80 {
			return int64(v>>1) ^ -int64(v&1), b[2:], true
		}
		if v |= uint64(b[2]) << 14; b[2] < 0x80 {
			return int64(v>>1) ^ -int64(v&1), b[3:], true
		}
	}
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, b, false
	}
	return int64(v>>1) ^ -int64(v&1), b[n:], true
}

// scan looks at the headers alone: the offset and epoch after the whole batches
// of set, and how much of the batch it ends in is needed, when that one is cut
// off. sound
// is false where the walker will stop with an error, so that nothing behind it
// should be asked for yet.
func scan(set []byte, offset int64, epoch int32, maxBatch int) (next int64, last int32, whole int, need int, sound bool) {
	next, last = offset, epoch
	for len(set) >= lengthless {
		base := int64(binary.BigEndian.Uint64(set))
		size := int64(int32(binary.BigEndian.Uint32(set[atLength:]))) + lengthless
		if size < batchHeader || base < 0 {
			return next, last, whole, 0, false
		}
		if size > int64(maxBatch) {
			return next, last, whole, batchHeader, len(set) < batchHeader
		}
		if size > int64(len(set)) {
			return next, last, whole, int(size), true
		}
		delta := int32(binary.BigEndian.Uint32(set[atLastDelta:]))
		if set[atMagic] != 2 || delta < 0 || base > math.MaxInt64-math.MaxInt32-1 {
			return next, last, whole, 0, false
		}
		next = max(next, base+int64(delta)+1)
		last = int32(binary.BigEndian.Uint32(set[atEpoch:]))
		whole += int(size)
		set = set[size:]
	}
	if len(set) > 0 {
		need = batchHeader
	}
	return next, last, whole, need, true
}
