package store_test

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

const hour = int64(3_600_000)

// epoch of a topic for tests.
func epoch(b byte) schemas.Epoch {
	return schemas.Epoch{TopicID: [16]byte{b, 0, 1, 0}}
}

// chunkLog is what one chunk's events add up to, prefix by prefix: the model
// of what the store must show, whatever was written in whatever order.
type chunkLog struct {
	chunk  schemas.Chunk
	model  string
	events []event
}

type event struct {
	window int64
	slice  string
	value  float64
	hash   uint64
}

func newChunkLog(r *rand.Rand, model string, chunk schemas.Chunk, n int) chunkLog {
	l := chunkLog{chunk: chunk, model: model}
	for range n {
		v := math.Round(r.NormFloat64()*1000) / 16
		l.events = append(l.events, event{
			window: int64(r.IntN(2)) * hour, slice: []string{"a=x", "a=y", "a=other"}[r.IntN(3)], value: v, hash: uint64(r.IntN(300)) * 0x9e3779b97f4a7c15,
		})
	}
	return l
}

var edges = []float64{-60, -10, 0, 10, 60}

// prefix returns the partials of the first n events.
func (l chunkLog) prefix(n int) ([]summary.Partial, schemas.Rows) {
	type key struct {
		window int64
		schemas.Stream
	}
	sums := make(map[key]*summary.Summary)
	at := func(window int64, role schemas.Role, feature, slice string, bins int) *summary.Summary {
		k := key{window, schemas.Stream{Version: "1", Role: role, Feature: feature, Slice: slice}}
		if sums[k] == nil {
			sums[k] = summary.New(bins)
			if slice == "" {
				sums[k].Distinct.KeepRegisters()
			}
		}
		return sums[k]
	}
	for _, e := range l.events[:n] {
		at(e.window, schemas.RoleRows, "features", "", 0).Rows++
		for _, slice := range []string{"", e.slice} {
			s := at(e.window, schemas.RoleFeature, "dist'ance`", slice, len(edges)+1)
			s.Rows++
			if e.hash%7 == 0 {
				s.Null++
				continue
			}
			s.Present++
			bin, _ := slices.BinarySearch(edges, e.value)
			s.Bins[bin]++
			q, _ := summary.Quantise(e.value, 1.5, 1.0/1024)
			s.Sum += q
			square := uint64(q * q)
			s.SquareHigh += square >> 32
			s.SquareLow += square & (1<<32 - 1)
			s.Min, s.Max = min(s.Min, e.value), max(s.Max, e.value)
			s.Distinct.Add(e.hash)
			s.Run = max(s.Run, e.hash%5)
		}
	}
	var out []summary.Partial
	for k, s := range sums {
		out = append(out, summary.Partial{Model: l.model, SpecSeq: 1, WindowStart: k.window, Part: schemas.PartFeatures, Stream: k.Stream, Summary: s})
	}
	end := l.chunk.Start + int64(n)
	return out, schemas.Rows{Chunk: l.chunk, End: end, Progress: &schemas.Progress{
		Chunk: l.chunk, Previous: -1, End: end, SpecSeq: 1, ClockStart: math.MinInt64, Clock: end, Rows: uint64(n), HighWatermark: end + 5,
		Rejected: []schemas.RejectCount{{Reason: "json", Count: uint64(n / 10)}},
		Marks:    []schemas.Mark{{Model: l.model, Part: schemas.PartFeatures, MaxStart: math.MinInt64, Max: int64(n), Rows: uint64(n)}},
		At:       1,
	}}
}

// merged is one pass over whole chunks in Go.
func merged(logs []chunkLog, window int64) []store.Entry {
	sums := make(map[schemas.Stream]*summary.Summary)
	for _, l := range logs {
		partials, _ := l.prefix(len(l.events))
		for _, p := range partials {
			if p.WindowStart != window {
				continue
			}
			if sums[p.Stream] == nil {
				sums[p.Stream] = summary.New(0)
			}
			sums[p.Stream].Merge(p.Summary)
		}
	}
	var out []store.Entry
	for k, s := range sums {
		out = append(out, store.Entry{Stream: k, Summary: s})
	}
	slices.SortFunc(out, func(a, b store.Entry) int {
		if a.Role != b.Role {
			return int(a.Role) - int(b.Role)
		}
		return slices.Compare([]byte(a.Slice), []byte(b.Slice))
	})
	return out
}

func sameEntries(tb testing.TB, got, want []store.Entry) {
	tb.Helper()
	if len(got) != len(want) {
		tb.Fatalf("%d streams, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Stream != want[i].Stream {
			tb.Fatalf("stream %d is %+v, want %+v", i, got[i].Stream, want[i].Stream)
		}
		g, w := *got[i].Summary, *want[i].Summary
		gd, wd := g.Distinct, w.Distinct
		if !slices.Equal(gd.Small, wd.Small) || !slices.Equal(gd.Registers, wd.Registers) || gd.Full != wd.Full {
			tb.Errorf("distinct of %+v: %d small, %d registers, full %v; want %d, %d, %v", got[i].Stream,
				len(gd.Small), len(gd.Registers), gd.Full, len(wd.Small), len(wd.Registers), wd.Full)
		}
		if !slices.Equal(g.Bins, w.Bins) {
			tb.Errorf("bins of %+v: %v, want %v", got[i].Stream, g.Bins, w.Bins)
		}
		g.Bins, w.Bins, g.Distinct, w.Distinct = nil, nil, summary.Distinct{}, summary.Distinct{}
		if !reflect.DeepEqual(g, w) {
			tb.Errorf("%+v: %+v, want %+v", got[i].Stream, g, w)
		}
	}
}

func chunkLogs(r *rand.Rand, model string) []chunkLog {
	var logs []chunkLog
	for partition := range int32(3) {
		start := int64(100) * int64(partition)
		for range 3 {
			n := 50 + r.IntN(200)
			logs = append(logs, newChunkLog(r, model, schemas.Chunk{Topic: "flights", Epoch: epoch(7), Partition: partition, Start: start}, n))
			start += int64(n)
		}
	}
	return logs
}

// The longest prefix must win whatever retries, zombies and replays wrote, in
// any order and however the calls share their inserts.
func TestLongestPrefixWins(t *testing.T) {
	s, _ := open(t)
	ctx := background(t)
	r := rand.New(rand.NewPCG(1, 2))
	logs := chunkLogs(r, "m'`\\\"1")
	type call struct {
		log chunkLog
		n   int
	}
	var calls []call
	for _, l := range logs {
		calls = append(calls, call{l, len(l.events)}, call{l, len(l.events)})
		for range 4 {
			calls = append(calls, call{l, r.IntN(len(l.events)) + 1})
		}
	}
	r.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
	var g errgroup.Group
	g.SetLimit(8)
	for _, c := range calls {
		g.Go(func() error {
			partials, rows := c.log.prefix(c.n)
			return s.Write(ctx, partials, rows)
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	windows, err := s.ReadWindows(ctx, "m'`\\\"1", 1, schemas.PartFeatures, []int64{0, hour, 99 * hour})
	if err != nil {
		t.Fatal(err)
	}
	if len(windows) != 2 {
		t.Fatalf("%d windows, want 2", len(windows))
	}
	for _, start := range []int64{0, hour} {
		sameEntries(t, windows[start].Entries, merged(logs, start))
		if n := len(windows[start].Offsets); n != 3 {
			t.Errorf("offsets of %d partitions, want 3", n)
		}
	}
}

func TestResumeFindsTheEnd(t *testing.T) {
	s, _ := open(t)
	ctx := background(t)
	r := rand.New(rand.NewPCG(3, 4))
	logs := chunkLogs(r, "m")
	for _, l := range logs {
		partials, rows := l.prefix(len(l.events))
		if err := s.Write(ctx, partials, rows); err != nil {
			t.Fatal(err)
		}
	}
	last := logs[8]
	if last.chunk.Partition != 2 {
		t.Fatal("the last log is not of partition 2")
	}
	// A writer dies between partials and progress of the next chunk, and
	// another one of a partition that has no progress at all.
	ahead := newChunkLog(r, "m", schemas.Chunk{Topic: "flights", Epoch: epoch(7), Partition: 2, Start: last.chunk.Start + int64(len(last.events))}, 40)
	lonely := newChunkLog(r, "m", schemas.Chunk{Topic: "flights", Epoch: epoch(7), Partition: 9, Start: 5}, 40)
	for _, l := range []chunkLog{ahead, lonely} {
		partials, rows := l.prefix(40)
		rows.Progress = nil
		if err := s.Write(ctx, partials, rows); err != nil {
			t.Fatal(err)
		}
	}
	resume, err := s.Resume(ctx, "flights", epoch(7).TopicID)
	if err != nil {
		t.Fatal(err)
	}
	if len(resume) != 4 {
		t.Fatalf("%d partitions, want 4", len(resume))
	}
	_, rows := last.prefix(len(last.events))
	if got := resume[2]; !reflect.DeepEqual(*got.Progress, *rows.Progress) {
		t.Errorf("progress %+v, want %+v", *got.Progress, *rows.Progress)
	} else if want := ahead.chunk.Start + 40; got.PartialsEnd != want {
		t.Errorf("partials end at %d, want %d", got.PartialsEnd, want)
	}
	if got := resume[9]; got.Progress != nil || got.PartialsEnd != 45 {
		t.Errorf("partition without progress: %+v", got)
	}
	if got, err := s.Resume(ctx, "flights", epoch(8).TopicID); err != nil || len(got) != 0 {
		t.Errorf("a new epoch resumes at %v, %v", got, err)
	}
	heads, err := s.Progress(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(heads) != 3 || heads[2].End != rows.Progress.End {
		t.Errorf("heads: %+v", heads)
	}

	// A topic made again: only its new epoch is shown.
	again := newChunkLog(r, "m", schemas.Chunk{Topic: "flights", Epoch: epoch(8), Partition: 0}, 10)
	partials, rows2 := again.prefix(10)
	if err := s.Write(ctx, partials, rows2); err != nil {
		t.Fatal(err)
	}
	if heads, err = s.Progress(ctx); err != nil || len(heads) != 1 || heads[0].Epoch != epoch(8) {
		t.Errorf("after the topic was made again: %+v, %v", heads, err)
	}
}

func TestRewindPoint(t *testing.T) {
	s, _ := open(t)
	ctx := background(t)
	chunk := schemas.Chunk{Topic: "t", Epoch: epoch(1), Partition: 4}
	for i, top := range []int64{10, 20, 30, 40} {
		c := chunk
		c.Start = int64(i * 100)
		p := &schemas.Progress{Chunk: c, Previous: -1, End: c.Start + 100, SpecSeq: 3, Marks: []schemas.Mark{{Model: "m", Part: 1, Max: top}, {Model: "n", Part: 1, Max: 99}}}
		if err := s.Write(ctx, nil, schemas.Rows{Chunk: c, End: p.End, Progress: p}); err != nil {
			t.Fatal(err)
		}
	}
	at := func(seq uint64, from int64) int64 {
		t.Helper()
		p, err := s.EarliestChunkForSpec(ctx, chunk, "m", seq, from, 0, false)
		if err != nil {
			t.Fatal(err)
		}
		if p == nil {
			return -1
		}
		return p.Start
	}
	if got := at(4, 25); got != 200 {
		t.Errorf("first chunk past 25 starts at %d, want 200", got)
	}
	if got := at(4, math.MinInt64); got != 0 {
		t.Errorf("from the beginning: %d, want 0", got)
	}
	if p, err := s.EarliestChunkForSpec(ctx, chunk, "m", 4, math.MinInt64, 150, false); err != nil || p == nil || p.Start != 200 {
		t.Errorf("the log begins at 150: %+v, %v, want the chunk at 200", p, err)
	}
	if got := at(4, 41); got != -1 {
		t.Errorf("nothing is past 41: %d", got)
	}
	if got := at(3, 0); got != -1 {
		t.Errorf("all was read under spec 3: %d", got)
	}
}
