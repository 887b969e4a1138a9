package store_test

import (
	"math/rand/v2"
	"testing"

	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/schemas"
)

// closed is one closed window of features under the first spec.
func closed(start int64, revision uint64, entries []store.Entry) []store.Closed {
	return []store.Closed{{WindowID: store.WindowID{SpecSeq: 1, Part: schemas.PartFeatures, Start: start}, Revision: revision, Entries: entries}}
}

// Closed windows come back as they were judged, the last revision of each.
func TestReadSummaries_AreWhatWasJudged(t *testing.T) {
	s, _ := open(t)
	ctx := background(t)
	r := rand.New(rand.NewPCG(1, 9))
	logs := chunkLogs(r, "m")
	want := merged(logs, 0)
	if len(want) < 3 {
		t.Fatalf("only %d streams were drawn", len(want))
	}
	if err := s.WriteSummaries(ctx, "m", closed(0, 5, want[:2])); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteSummaries(ctx, "m", closed(0, 9, want)); err != nil {
		t.Fatal(err)
	}
	if err := s.WriteSummaries(ctx, "m", closed(hour, 7, nil)); err != nil {
		t.Fatal(err)
	}
	got, err := s.ReadSummaries(ctx, "m", 1, schemas.PartFeatures, []int64{0, hour, 2 * hour})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Revision != 9 {
		t.Fatalf("got %d windows, the first of revision %d", len(got), got[0].Revision)
	}
	sameEntries(t, got[0].Entries, want)
}
