package window_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// sampling compiles the usual spec with a share of the ids that are kept.
func sampling(t interface{ Fatal(...any) }, share float64) *window.Models {
	r := spec()
	r.Spec.Sample = share
	ms, err := window.Compile([]schemas.SpecRecord{r})
	if err != nil {
		t.Fatal(err)
	}
	return ms
}

// rowsOf returns the narrow rows of a log, by offset and part, with their ids.
func rowsOf(ms *window.Models, log []event) map[string]uint64 {
	a := window.New(ms, window.Start{Chunk: schemas.Chunk{Topic: "t"}, Previous: -1, Clock: window.NoTime})
	b := schemas.NewBlock(ms.Model([]byte("m")).Layout)
	out := map[string]uint64{}
	for _, e := range log {
		a.Observe(e.offset, e.ts)
		put(b, e)
		if a.Admit(b) != "" {
			b.N--
			continue
		}
		a.Add(b, nil)
		b.Reset()
		for _, r := range a.IDs() {
			out[fmt.Sprint(r.Offset, r.Part)] = r.ID
		}
		a.Clear()
	}
	return out
}

// Of the narrow rows those stay whose id is below the bound, whatever part they
// are of; all that is counted stays as it is.
func TestSamplingLeavesAllButNarrowRows(t *testing.T) {
	all := models(t)
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		for i := range log {
			if rapid.Bool().Draw(t, "label") {
				log[i].parts |= schemas.PartLabel
			}
		}
		share := rapid.Float64Range(1e-6, .999999).Draw(t, "share")
		sampled := sampling(t, share)
		equal(t, read(t, all, log, never), read(t, sampled, log, never))

		s := spec().Spec
		s.Sample = share
		below, _ := s.Keeps()
		want := rowsOf(all, log)
		for at, id := range want {
			if id >= below {
				delete(want, at)
			}
		}
		got := rowsOf(sampled, log)
		if len(got) != len(want) {
			t.Fatalf("%d rows are kept, want %d", len(got), len(want))
		}
		for at, id := range want {
			if got[at] != id {
				t.Fatalf("the row of %s is not kept", at)
			}
		}
	})
}

// Which ids are kept never changes: what is stored has to be found again by
// whoever keeps its own half of a request elsewhere. The hashes are XXH64.
func TestKeptIDsAreFixed(t *testing.T) {
	f := func(share float64, want ...string) {
		t.Helper()
		s := schemas.Spec{Sample: share}
		below, all := s.Keeps()
		var got []string
		for i := range 20 {
			if id := fmt.Sprintf("request-%d", i); all || schemas.HashString(id) < below {
				got = append(got, id)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("of a share of %g: %q, want %q", share, got, want)
		}
	}
	f(.1, "request-6", "request-9", "request-12")
	f(.25, "request-6", "request-7", "request-9", "request-12", "request-18")
	f(.5, "request-4", "request-6", "request-7", "request-9", "request-12", "request-18", "request-19")
}

func TestSharesAreKept(t *testing.T) {
	const n = 200_000
	for _, share := range []float64{.01, .1, .5} {
		s := schemas.Spec{Sample: share}
		below, _ := s.Keeps()
		kept := 0
		for i := range n {
			if schemas.HashString(fmt.Sprintf("%016x", i*7919)) < below {
				kept++
			}
		}
		// Five standard deviations of chance.
		if d := float64(kept) - share*n; d*d > 25*n*share*(1-share) {
			t.Errorf("of a share of %g, %d of %d are kept", share, kept, n)
		}
	}
	for _, share := range []float64{0, 1} {
		s := schemas.Spec{Sample: share}
		if _, all := s.Keeps(); !all {
			t.Errorf("a share of %g keeps all", share)
		}
	}
}
