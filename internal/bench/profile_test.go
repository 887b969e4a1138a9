package bench

import (
	"context"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/consumers/decode"
	"github.com/modelwatch/modelwatch/consumers/decode/native"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// Work under a label is found in the profile, at its stage; work without one is
// nobody's.
func TestBreakdownFindsTheStageOfLabelledWork(t *testing.T) {
	w := New(Shape{Kind: Features, Features: 20, Models: 1}, 1)
	models, err := window.Compile(w.Specs())
	if err != nil {
		t.Fatal(err)
	}
	lines := w.Rows(1000)
	into := &target{models: models, blocks: map[string]*schemas.Block{}}
	work := func() {
		d := native.New(decode.DefaultConfig())
		for end := time.Now().Add(600 * time.Millisecond); time.Now().Before(end); {
			for i, l := range lines {
				if got := d.Decode(&decode.Record{Offset: int64(i), Value: l}, into); !got.OK() {
					t.Fatal(got)
				}
				if into.last.Full() {
					into.last.Reset()
				}
			}
		}
	}
	profile, err := profiled(func() error {
		pprof.Do(t.Context(), pprof.Labels(caseLabel, "7"), func(context.Context) { work() })
		work()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := breakdown(profile)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got["7"] == nil {
		t.Fatalf("cases %v, want 7 alone", got)
	}
	s := got["7"]
	// On a machine that is busy fewer samples are taken than time goes by.
	if s.Samples < 5 || s.Samples > 75 {
		t.Errorf("%d samples of 600 ms", s.Samples)
	}
	if least := 0.7 * float64(s.Samples) * float64(10*time.Millisecond); s.Decode < least {
		t.Errorf("decoding took %s of %d samples", time.Duration(s.Decode), s.Samples)
	}
	if s.Store != 0 || s.Decompress != 0 {
		t.Errorf("stages without work: %+v", s)
	}
}

func TestBreakdownRefusesWhatIsNoProfile(t *testing.T) {
	if _, err := breakdown([]byte("no profile")); err == nil {
		t.Error("text was read as a profile")
	}
}

func TestQuantile(t *testing.T) {
	v := make([]float64, 100)
	for i := range v {
		v[i] = float64(100 - i)
	}
	for q, want := range map[float64]float64{.5: 50, .99: 99, 1: 100, 0: 1} {
		if got := quantile(v, q); got != want {
			t.Errorf("quantile %g of 1 to 100 is %g, want %g", q, got, want)
		}
	}
}
