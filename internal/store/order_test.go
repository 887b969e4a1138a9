package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/testkit"
	"github.com/modelwatch/modelwatch/schemas"
)

// Where partials cannot be stored, no progress may say that they were.
func TestNoProgressWithoutItsPartials(t *testing.T) {
	s, database := open(t)
	ctx := background(t)
	server := testkit.ClickHouse(t)
	l := newChunkLog(rand.New(rand.NewPCG(1, 1)), "m", schemas.Chunk{Topic: "t", Epoch: epoch(1)}, 50)
	partials, rows := l.prefix(50)
	for _, table := range []string{"partials", "ids", "panes"} {
		server.Query(t, fmt.Sprintf("RENAME TABLE %s.%s TO %s.away", database, table, database))
		rows.IDs = []schemas.IDRow{{Model: "m", ID: 1, Part: schemas.PartLabel}}
		rows.Panes = []schemas.Pane{{Model: "m", SpecSeq: 1, Samples: []schemas.PaneSample{{Numbers: []float64{1}, Categories: []string{"x"}, Kinds: []schemas.Kind{schemas.KindNumber}}}}}
		if err := s.Write(ctx, partials, rows); err == nil || !strings.Contains(err.Error(), table) {
			t.Errorf("writing without table %s: %v", table, err)
		}
		if got := server.Query(t, fmt.Sprintf("SELECT count() FROM %s.progress_chunks", database)); got != "0" {
			t.Errorf("without table %s there are %s rows of progress", table, got)
		}
		if heads, err := s.Progress(ctx); err != nil || len(heads) != 0 {
			t.Errorf("without table %s progress is %v, %v", table, heads, err)
		}
		server.Query(t, fmt.Sprintf("RENAME TABLE %s.away TO %s.%s", database, database, table))
	}
	if err := s.Write(ctx, partials, rows); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"ids", "panes", "pane_samples", "progress_chunks", "progress_heads"} {
		if got := server.Query(t, fmt.Sprintf("SELECT count() FROM %s.%s FINAL", database, table)); got != "1" {
			t.Errorf("%s rows in %s, want 1", got, table)
		}
	}
}

// Progress that is ahead of its partials is shown, and is no place to resume from.
func TestNobodyResumesAheadOfPartials(t *testing.T) {
	s, database := open(t)
	ctx := background(t)
	l := newChunkLog(rand.New(rand.NewPCG(1, 1)), "m", schemas.Chunk{Topic: "t", Epoch: epoch(1)}, 50)
	whole, rows := l.prefix(20)
	if err := s.Write(ctx, whole, rows); err != nil {
		t.Fatal(err)
	}
	at := rows.End
	_, rows = l.prefix(50)
	rows.Ahead = true
	if err := s.Write(ctx, nil, rows); err != nil {
		t.Fatal(err)
	}
	heads, err := s.Progress(ctx)
	if err != nil || len(heads) != 1 || heads[0].End != rows.End {
		t.Errorf("progress is %v, %v, want the end %d", heads, err, rows.End)
	}
	known, err := s.Resume(ctx, "t", epoch(1).TopicID)
	if err != nil || known[0].Progress == nil || known[0].Progress.End != at || known[0].PartialsEnd != at {
		t.Errorf("reading would go on from %+v, %v, want the end %d", known[0], err, at)
	}
	shown := testkit.ClickHouse(t).Query(t, fmt.Sprintf("SELECT toString(offset) || ' ' || toString(rows) FROM %s.progress", database))
	if want := fmt.Sprintf("%d %d", rows.End, rows.Progress.Rows); shown != want {
		t.Errorf("the view shows %s, want %s", shown, want)
	}
}

// A reader that sees progress must find its partials, at every moment and
// after kill -9 of the engine; and writing goes on where it was.
func TestProgressFollowsPartialsThroughKills(t *testing.T) {
	server := testkit.NewClickHouse(t)
	ctx := background(t)
	s := openAt(t, server.Addr, "modelwatch")
	if err := s.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	const partitions, events = 4, 400
	r := rand.New(rand.NewPCG(9, 9))
	var logs []chunkLog
	for p := range int32(partitions) {
		logs = append(logs, newChunkLog(r, "m", schemas.Chunk{Topic: "t", Epoch: epoch(1), Partition: p, Start: 1000}, events))
	}
	var writers errgroup.Group
	for _, l := range logs {
		writers.Go(func() error {
			for n := 10; n <= events; n += 10 {
				partials, rows := l.prefix(n)
				if err := s.Write(ctx, partials, rows); err != nil {
					return err
				}
			}
			return nil
		})
	}
	done := make(chan struct{})
	var checks, failures atomic.Int64
	var others errgroup.Group
	check := func() {
		progress, err := s.Progress(ctx)
		if err != nil {
			return // the engine is being killed
		}
		windows, err := s.ReadWindows(ctx, "m", 1, schemas.PartFeatures, []int64{0, hour})
		if err != nil {
			return
		}
		var stored, said uint64
		for _, w := range windows {
			for _, e := range w.Entries {
				if e.Role == schemas.RoleRows {
					stored += e.Rows
				}
			}
		}
		for _, p := range progress {
			said += p.Rows
		}
		checks.Add(1)
		if stored < said {
			failures.Add(1)
			t.Errorf("progress says %d rows, partials have %d", said, stored)
		}
	}
	others.Go(func() error {
		for {
			select {
			case <-done:
				return nil
			default:
				check()
			}
		}
	})
	kills := 0
	for range 2 {
		time.Sleep(400 * time.Millisecond)
		heads, err := s.Progress(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range heads {
			if p.End < 1000+events {
				kills++
				break
			}
		}
		server.Kill(t)
		server.Start(t)
	}
	if err := writers.Wait(); err != nil {
		t.Fatal(err)
	}
	close(done)
	_ = others.Wait()
	if kills == 0 || checks.Load() < 10 {
		t.Fatalf("%d kills in the middle of writing, %d checks: the fault did not happen", kills, checks.Load())
	}
	windows, err := s.ReadWindows(ctx, "m", 1, schemas.PartFeatures, []int64{0, hour})
	if err != nil {
		t.Fatal(err)
	}
	sameEntries(t, windows[0].Entries, merged(logs, 0))
	sameEntries(t, windows[hour].Entries, merged(logs, hour))
	heads, err := s.Progress(ctx)
	if err != nil || len(heads) != partitions {
		t.Fatalf("%d partitions, %v", len(heads), err)
	}
	for _, p := range heads {
		if p.End != 1000+events || p.Rows != events {
			t.Errorf("partition %d ends at %d with %d rows", p.Partition, p.End, p.Rows)
		}
	}
}

func TestWriteEndsWithItsContextAndTheStore(t *testing.T) {
	server := testkit.NewClickHouse(t)
	s := openAt(t, server.Addr, "modelwatch")
	if err := s.Migrate(background(t)); err != nil {
		t.Fatal(err)
	}
	server.Stop(t)
	l := newChunkLog(rand.New(rand.NewPCG(1, 1)), "m", schemas.Chunk{Topic: "t", Epoch: epoch(1)}, 20)
	partials, rows := l.prefix(20)

	ctx, cancel := context.WithCancel(background(t))
	left := make(chan error, 1)
	go func() { left <- s.Write(ctx, partials, rows) }()
	waited := make(chan error, 1)
	go func() { waited <- s.Write(background(t), partials, rows) }()
	time.Sleep(200 * time.Millisecond)
	cancel()
	select {
	case err := <-left:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after its context ended: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("a write outlives its context")
	}
	select {
	case err := <-waited:
		t.Fatalf("another caller's write ended too: %v", err)
	default:
	}
	server.Start(t)
	if err := <-waited; err != nil {
		t.Errorf("after the engine came back: %v", err)
	}
	windows, err := s.ReadWindows(background(t), "m", 1, schemas.PartFeatures, []int64{0, hour})
	if err != nil {
		t.Fatal(err)
	}
	sameEntries(t, windows[0].Entries, merged([]chunkLog{l}, 0))

	server.Stop(t)
	go func() { waited <- s.Write(background(t), partials, rows) }()
	time.Sleep(100 * time.Millisecond)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waited; !errors.Is(err, store.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := s.Write(background(t), partials, rows); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a write after Close: %v", err)
	}
}
