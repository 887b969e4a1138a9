package consumers

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/modelwatch/modelwatch/internal/testkit/mutate"

	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// plan describes a batch for the franz-go encoder.
type plan struct {
	base       int64
	last       int32 // last offset delta; the largest of the records' when smaller
	attributes int16
	producer   int64
	firstTime  int64
	maxTime    int64
	epoch      int32
	records    []kmsg.Record
}

func record(delta int32, key, value []byte, headers ...kmsg.Header) kmsg.Record {
	r := kmsg.NewRecord()
	r.OffsetDelta, r.Key, r.Value, r.Headers = delta, key, value, headers
	return r
}

func compressor(codec int) kgo.Compressor {
	c, err := kgo.DefaultCompressor([]kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	}[codec])
	if err != nil {
		panic(err)
	}
	return c
}

func (p plan) encode() []byte {
	var body []byte
	last := p.last
	for _, r := range p.records {
		last = max(last, r.OffsetDelta)
		r.Length = 0
		b := r.AppendTo(nil)
		r.Length = int32(len(b) - 1) // the zero length took one byte
		body = r.AppendTo(body)
	}
	if codec := int(p.attributes & attrCodec); codec != 0 && codec <= codecZstd {
		body, _ = compressor(codec).Compress(new(bytes.Buffer), body)
		body = bytes.Clone(body)
	}
	b := kmsg.NewRecordBatch()
	b.FirstOffset, b.LastOffsetDelta = p.base, last
	b.PartitionLeaderEpoch, b.Magic, b.Attributes = p.epoch, 2, p.attributes
	b.FirstTimestamp, b.MaxTimestamp = p.firstTime, p.maxTime
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = p.producer, 0, 0
	b.NumRecords, b.Records = int32(len(p.records)), body
	raw := b.AppendTo(nil)
	return seal(raw)
}

// seal makes length and checksum of an encoded batch hold.
func seal(raw []byte) []byte {
	binary.BigEndian.PutUint32(raw[atLength:], uint32(len(raw)-lengthless))
	binary.BigEndian.PutUint32(raw[atChecksum:], crc32.Checksum(raw[atAttributes:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

func testClient(t testing.TB, change func(*Config)) *Client {
	t.Helper()
	cfg := DefaultConfig()
	if change != nil {
		change(&cfg)
	}
	c, err := NewClient(cfg, new(Stats), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testWalker(t testing.TB) *Walker { return newWalker(testClient(t, nil), "t", 0) }

type read struct {
	offset, time int64
	key, value   string
	null         bool
	headers      string
}

func walk(w *Walker, set []byte, from int64, aborted ...Aborted) ([]read, error) {
	w.reset(set, from, -1, aborted)
	var out []read
	var r Record
	for w.Next(&r) {
		h := ""
		if err := r.Headers(func(k, v []byte) bool { h += fmt.Sprintf("%s=%s(%v);", k, v, v == nil); return true }); err != nil {
			return out, err
		}
		out = append(out, read{r.Offset, r.Timestamp, string(r.Key), string(r.Value), r.Value == nil, h})
	}
	return out, w.Err()
}

func offsets(rs []read) []int64 {
	var out []int64
	for _, r := range rs {
		out = append(out, r.offset)
	}
	return out
}

func simple(base int64, codec int16, values ...string) plan {
	p := plan{base: base, attributes: codec, producer: -1, firstTime: 1000, maxTime: 2000}
	for i, v := range values {
		p.records = append(p.records, record(int32(i), nil, []byte(v)))
	}
	return p
}

// Whatever franz-go encodes, with any codec, walks back the same from any offset,
// and the headers alone tell the same end.
func TestWalkReturnsWhatWasEncoded(t *testing.T) {
	w := testWalker(t)
	rapid.Check(t, func(t *rapid.T) {
		bytesOrNil := rapid.Custom(func(t *rapid.T) []byte {
			if rapid.IntRange(0, 4).Draw(t, "nil") == 0 {
				return nil
			}
			return bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes"), rapid.IntRange(0, 30).Draw(t, "times"))
		})
		next := rapid.Int64Range(0, 1<<40).Draw(t, "base")
		start := next
		var set []byte
		var want []read
		for range rapid.IntRange(0, 6).Draw(t, "batches") {
			next += rapid.Int64Range(0, 5).Draw(t, "hole")
			p := plan{
				base: next, producer: -1, epoch: rapid.Int32Range(0, 9).Draw(t, "epoch"),
				attributes: int16(rapid.IntRange(0, codecZstd).Draw(t, "codec")),
				firstTime:  rapid.Int64Range(0, 1<<41).Draw(t, "time"),
				maxTime:    rapid.Int64Range(0, 1<<41).Draw(t, "maxTime"),
			}
			appended := rapid.Bool().Draw(t, "append")
			if appended {
				p.attributes |= attrAppend
			}
			delta := int32(0)
			for range rapid.IntRange(0, 12).Draw(t, "records") {
				delta += rapid.Int32Range(0, 3).Draw(t, "gap")
				r := record(delta, bytesOrNil.Draw(t, "key"), bytesOrNil.Draw(t, "value"))
				r.TimestampDelta64 = rapid.Int64Range(-1000, 1000).Draw(t, "dt")
				h := ""
				for range rapid.IntRange(0, 3).Draw(t, "headers") {
					k, v := rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "k"), bytesOrNil.Draw(t, "v")
					r.Headers = append(r.Headers, kmsg.Header{Key: k, Value: v})
					h += fmt.Sprintf("%s=%s(%v);", k, v, v == nil)
				}
				p.records = append(p.records, r)
				at := p.firstTime + r.TimestampDelta64
				if appended {
					at = p.maxTime
				}
				want = append(want, read{p.base + int64(delta), at, string(r.Key), string(r.Value), r.Value == nil, h})
				delta++
			}
			p.last = delta + rapid.Int32Range(0, 3).Draw(t, "tail")
			next = p.base + int64(p.last) + 1
			set = append(set, p.encode()...)
		}
		from := rapid.Int64Range(start, next).Draw(t, "from")
		cut := rapid.IntRange(0, 60).Draw(t, "cut")
		whole := len(set)
		extra := simple(next, 0, "cut off in the middle of a value of some length").encode()
		set = append(set, extra[:cut]...)
		want = slices.DeleteFunc(want, func(r read) bool { return r.offset < from })

		got, err := walk(w, set, from)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
		end := max(next, from)
		if whole == 0 {
			end = from
		}
		if w.Offset() != end {
			t.Fatalf("stands at %d, want %d", w.Offset(), end)
		}
		scanned, epoch, size, _, sound := scan(set, from, -1, 32<<20)
		if scanned != end || epoch != w.LeaderEpoch() || size != whole || !sound {
			t.Fatalf("headers tell %d, epoch %d, %d bytes, %v; want %d, %d, %d", scanned, epoch, size, sound, end, w.LeaderEpoch(), whole)
		}
	})
}

func TestWalkDropsAbortedAndControl(t *testing.T) {
	tx := func(p plan, producer int64, more int16) []byte {
		p.producer, p.attributes = producer, p.attributes|attrTx|more
		return p.encode()
	}
	marker := func(base, producer int64, kind byte) []byte {
		return tx(plan{base: base, records: []kmsg.Record{record(0, []byte{0, 0, 0, kind}, []byte{0, 0, 0, 0, 0, 0})}}, producer, attrControl)
	}
	var set []byte
	set = append(set, tx(simple(0, codecLZ4, "a0", "a1"), 1, 0)...) // aborted at 4
	set = append(set, tx(simple(2, 0, "b2"), 2, 0)...)              // committed at 8
	set = append(set, simple(3, codecZstd, "plain3").encode()...)
	set = append(set, marker(4, 1, 0)...)
	set = append(set, tx(simple(5, 0, "a5"), 1, 0)...) // the same producer, committed at 6
	set = append(set, marker(6, 1, 1)...)
	set = append(set, tx(simple(7, 0, "b7"), 2, 0)...)
	set = append(set, marker(8, 2, 1)...)
	set = append(set, tx(simple(9, 0, "a9"), 1, 0)...) // aborted at 10
	set = append(set, marker(10, 1, 0)...)
	w := testWalker(t)

	got, err := walk(w, set, 0, Aborted{1, 9}, Aborted{1, 0}) // in any order
	if err != nil {
		t.Fatal(err)
	}
	if want := []int64{2, 3, 5, 7}; !slices.Equal(offsets(got), want) {
		t.Errorf("committed reader: %v, want %v", offsets(got), want)
	}
	if w.Offset() != 11 {
		t.Errorf("stands at %d, want 11, behind the last marker", w.Offset())
	}
	if c, a := w.stats.Control.Load(), w.stats.Aborted.Load(); c != 4 || a != 2 {
		t.Errorf("counted %d control and %d aborted batches, want 4 and 2", c, a)
	}

	if got, _ = walk(w, set, 0); !slices.Equal(offsets(got), []int64{0, 1, 2, 3, 5, 7, 9}) {
		t.Errorf("uncommitted reader: %v", offsets(got))
	}
}

func TestWalkFailures(t *testing.T) {
	good := func(base int64) []byte { return simple(base, 0, "x", "y", "z").encode() }
	resealed := func(change func([]byte) []byte) []byte { return seal(change(good(10))) }
	set32 := func(at int, v int32) func([]byte) []byte {
		return func(b []byte) []byte { binary.BigEndian.PutUint32(b[at:], uint32(v)); return b }
	}
	bomb := func(codec int) []byte {
		return simple(10, int16(codec), string(make([]byte, 3<<20))).encode()
	}
	// A record length of 2^40 in five bytes.
	lying := append([]byte{0, 0, 0}, binary.AppendVarint(nil, 1<<40)...)
	for name, c := range map[string]struct {
		set        []byte
		reason     Reason
		from, next int64
		delivered  int // of the batch at 10
	}{
		"flipped bit":             {func() []byte { b := good(10); b[len(b)-3] ^= 4; return b }(), Checksum, 10, 13, 0},
		"flipped bit in a delta":  {func() []byte { b := good(10); b[atLastDelta] = 0x70; return b }(), Checksum, 10, 13, 0},
		"old format":              {func() []byte { b := good(10); b[atMagic] = 1; return b }(), OldFormat, 10, 11, 0},
		"unknown codec":           {resealed(func(b []byte) []byte { b[atAttributes+1] |= 6; return b }), Undecodable, 10, 13, 0},
		"not gzip":                {resealed(func(b []byte) []byte { b[atAttributes+1] |= codecGzip; return b }), Undecodable, 10, 13, 0},
		"not snappy":              {resealed(func(b []byte) []byte { b[atAttributes+1] |= codecSnappy; return b }), Undecodable, 10, 13, 0},
		"not lz4":                 {resealed(func(b []byte) []byte { b[atAttributes+1] |= codecLZ4; return b }), Undecodable, 10, 13, 0},
		"not zstd":                {resealed(func(b []byte) []byte { b[atAttributes+1] |= codecZstd; return b }), Undecodable, 10, 13, 0},
		"count too high":          {resealed(set32(atCount, 4)), Malformed, 10, 13, 0},
		"count negative":          {resealed(set32(atCount, -1)), Malformed, 10, 13, 0},
		"count too low":           {resealed(set32(atCount, 2)), Malformed, 12, 13, 2},
		"delta negative":          {resealed(set32(atLastDelta, -5)), Malformed, 10, 11, 0},
		"delta below the records": {resealed(set32(atLastDelta, 0)), Malformed, 10, 11, 0},
		"record length":           {resealed(func(b []byte) []byte { b[batchHeader] = 0x7e; return b }), Malformed, 10, 13, 0},
		"key length":              {resealed(func(b []byte) []byte { b[batchHeader+4] = 0x7e; return b }), Malformed, 10, 13, 0},
		"varint of eleven bytes":  {resealed(func(b []byte) []byte { return append(b[:batchHeader], bytes.Repeat([]byte{0xff}, 40)...) }), Malformed, 10, 13, 0},
		"lying length": {resealed(func(b []byte) []byte {
			return append(append(b[:batchHeader], 40), append(lying, make([]byte, 40)...)...)
		}), Malformed, 10, 13, 0},
		"gzip bomb":             {bomb(codecGzip), TooLarge, 10, 11, 0},
		"snappy bomb":           {bomb(codecSnappy), TooLarge, 10, 11, 0},
		"lz4 bomb":              {bomb(codecLZ4), TooLarge, 10, 11, 0},
		"zstd bomb":             {bomb(codecZstd), TooLarge, 10, 11, 0},
		"length over the limit": {set32(atLength, 1<<30)(good(10)), TooLarge, 10, 13, 0},
		"length negative":       {set32(atLength, -1)(good(10)), Malformed, 10, 11, 0},
		"length below a header": {set32(atLength, 20)(good(10)), Malformed, 10, 11, 0},
		"offset negative":       {func() []byte { b := good(10); b[0] = 0x80; return b }(), Malformed, 10, 11, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWalker(testClient(t, func(c *Config) { c.MaxBatchBytes, c.MaxDecodedBytes = 2<<20, 2<<20 }), "t", 0)
			set := append(append(simple(7, 0, "a", "b", "c").encode(), c.set...), good(13)...)
			got, err := walk(w, set, 7)
			var bad *BatchError
			if !errors.As(err, &bad) {
				t.Fatalf("error %v, want a BatchError", err)
			}
			if bad.Reason != c.reason || bad.From != c.from || bad.Next != c.next {
				t.Errorf("%s [%d, %d), want %s [%d, %d): %v", bad.Reason, bad.From, bad.Next, c.reason, c.from, c.next, err)
			}
			if len(got) != 3+c.delivered {
				t.Errorf("%d records delivered, want %d", len(got), 3+c.delivered)
			}
			if w.Offset() != c.from {
				t.Errorf("stands at %d, want %d", w.Offset(), c.from)
			}
			if w.stats.BadBatches.Load() != 1 {
				t.Errorf("%d bad batches counted", w.stats.BadBatches.Load())
			}
		})
	}
}

// xerial framing is what Java producers send; franz-go writes bare blocks.
func TestWalkSnappyFraming(t *testing.T) {
	var inner []byte
	for i, v := range []string{"one", "two"} {
		r := record(int32(i), nil, []byte(v))
		r.Length = int32(len(r.AppendTo(nil)) - 1)
		inner = r.AppendTo(inner)
	}
	framed := append([]byte(xerial), 0, 0, 0, 1, 0, 0, 0, 1)
	for _, part := range [][]byte{inner[:7], inner[7:]} {
		block, _ := compressor(codecSnappy).Compress(new(bytes.Buffer), part)
		framed = binary.BigEndian.AppendUint32(framed, uint32(len(block)))
		framed = append(framed, block...)
	}
	raw := seal(append(plan{base: 3, last: 1, attributes: codecSnappy, producer: -1}.encode()[:batchHeader], framed...))
	binary.BigEndian.PutUint32(raw[atCount:], 2)
	got, err := walk(testWalker(t), seal(raw), 0)
	if err != nil || len(got) != 2 || got[1].value != "two" {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestWalkAllocatesNothingPerRecord(t *testing.T) {
	values := make([]string, 2000)
	for i := range values {
		values[i] = fmt.Sprintf(`{"id":%d,"value":"some value or other"}`, i)
	}
	w := testWalker(t)
	for codec := range codecZstd + 1 {
		set := simple(0, int16(codec), values...).encode()
		n := 0
		allocs := testing.AllocsPerRun(20, func() {
			w.reset(set, 0, -1, nil)
			var r Record
			for w.Next(&r) {
				n++
			}
		})
		if n != 21*2000 || w.Err() != nil {
			t.Fatalf("codec %d: %d records, %v", codec, n, w.Err())
		}
		if allocs > 20 {
			t.Errorf("codec %d: %.0f allocations for 2000 records", codec, allocs)
		}
	}
}

func FuzzWalk(f *testing.F) {
	for codec := range codecZstd + 1 {
		f.Add(append(simple(7, int16(codec), "one", "two").encode(), simple(9, 0, "three").encode()...), int64(8), int64(0))
	}
	f.Add(plan{base: 1, producer: 5, attributes: attrTx | attrControl, records: []kmsg.Record{record(0, []byte{0, 0, 0, 0}, nil)}}.encode(), int64(0), int64(5))
	f.Add([]byte(xerial), int64(0), int64(0))
	w := smallWalker(f)
	f.Fuzz(func(t *testing.T, set []byte, from, producer int64) { walkSpoilt(t, w, set, from, producer) })
}

// smallWalker is one whose bounds are soon reached.
func smallWalker(t testing.TB) *Walker {
	return newWalker(testClient(t, func(c *Config) { c.MaxPartitionBytes, c.MaxBatchBytes, c.MaxDecodedBytes = 1<<16, 1<<16, 1<<20 }), "t", 0)
}

// walkSpoilt walks over a set of batches, whatever it is, as it is and with a
// checksum that holds, so that what lies behind the checksum is reached. It
// returns how many records were there.
func walkSpoilt(t *testing.T, w *Walker, set []byte, from, producer int64) (records int) {
	from = min(max(0, from), math.MaxInt64-1)
	sealed := bytes.Clone(set)
	if len(sealed) >= batchHeader {
		seal(sealed)
	}
	for _, b := range [][]byte{set, sealed} {
		w.reset(b, from, -1, []Aborted{{producer, from}})
		var r Record
		last := from - 1
		for w.Next(&r) {
			if r.Offset <= last {
				t.Fatalf("offset %d after %d", r.Offset, last)
			}
			last = r.Offset
			records++
			_ = r.Headers(func(k, v []byte) bool { return true })
		}
		if w.Offset() <= last {
			t.Fatalf("stands at %d after %d", w.Offset(), last)
		}
		if err := w.Err(); err != nil {
			var bad *BatchError
			if !errors.As(err, &bad) || bad.Next <= bad.From || bad.From < w.Offset() && bad.From < from {
				t.Fatalf("error %#v", err)
			}
			continue
		}
		next, epoch, _, _, sound := scan(b, from, -1, 1<<16)
		if next != w.Offset() || epoch != w.LeaderEpoch() || !sound {
			t.Fatalf("headers tell %d epoch %d sound %v, the walk %d epoch %d", next, epoch, sound, w.Offset(), w.LeaderEpoch())
		}
	}
	return records
}

// TestWalkOverSpoiltBatches does as FuzzWalk, with what was kept of its runs,
// spoilt anew, by the million where MODELWATCH_MUTATIONS says so.
func TestWalkOverSpoiltBatches(t *testing.T) {
	kept, err := mutate.Corpus("FuzzWalk")
	if err != nil {
		t.Fatal(err)
	}
	n, err := mutate.Times(20_000)
	if err != nil {
		t.Fatal(err)
	}
	var sound [][]byte
	for codec := range codecZstd + 1 {
		sound = append(sound, append(simple(7, int16(codec), "one", "two").encode(), simple(9, 0, "three").encode()...))
	}
	w, m := smallWalker(t), mutate.New(uint64(n), sound, kept)
	records, most := 0, uint64(0)
	var memory runtime.MemStats
	for i := range n {
		records += walkSpoilt(t, w, m.Next(), m.Int64(), m.Int64())
		if i%10_000 == 0 {
			runtime.ReadMemStats(&memory)
			most = max(most, memory.Sys)
		}
	}
	if records == 0 {
		t.Error("no record was reached: only the headers of batches were tried")
	}
	if limit := uint64(256 << 20); most > limit {
		t.Errorf("%d MiB from the system, more than %d", most>>20, limit>>20)
	}
	t.Logf("%d sets of batches with %d records, each walked over twice; %d MiB from the system at most", n, records, most>>20)
}

func BenchmarkWalk(b *testing.B) {
	values := make([]string, 1000)
	for i := range values {
		values[i] = fmt.Sprintf("%0400d", i)
	}
	w := testWalker(b)
	for codec, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		set := simple(0, int16(codec), values...).encode()
		b.Run(name, func(b *testing.B) {
			b.SetBytes(400 * 1000)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				w.reset(set, 0, -1, nil)
				var r Record
				for w.Next(&r) {
					n++
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
		})
	}
}
