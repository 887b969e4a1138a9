package budget_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/schemas"
)

const month = 30 * 24 * time.Hour

// alarms gives, by column, the windows at which findings began.
type alarms map[string][]int

func (a alarms) see(now int, all []detectors.Finding) {
	for _, f := range all {
		if f.State == schemas.StateError && f.Detected == f.End {
			a[f.Columns[0]] = append(a[f.Columns[0]], now)
		}
	}
}

func TestDelays(t *testing.T) {
	p := budget.DefaultParameters()
	at := reference + 48
	for size, want := range map[float64]int{.5: 6, 1: 3} {
		w := &simWorld{seed: 7, features: 40, shift: func(_, now int) float64 {
			if now >= at {
				return size
			}
			return 0
		}}
		seen := alarms{}
		w.run(t, w.learn(t, p, reference), budget.Budget{Pages: 1, Tickets: 2, Per: month}, p, reference, at+24, seen.see)
		var delays []int
		for c, when := range seen {
			if when[0] < at {
				t.Errorf("%s alarms in window %d, before there is anything", c, when[0])
			}
			delays = append(delays, when[0]-at+1)
		}
		slices.Sort(delays)
		if len(delays) < 38 || delays[len(delays)/2] > want {
			t.Errorf("a shift of %v sd: delays %v, want a median of at most %d", size, delays, want)
		}
	}
}

// What is remembered goes through the journal and comes back to the bit.
func TestMemoryRoundTrip(t *testing.T) {
	p := budget.DefaultParameters()
	w := &simWorld{seed: 3, features: 3, slices: []float64{.5, .5}}
	m := w.run(t, w.learn(t, p, reference), budget.Budget{Pages: 1, Tickets: 2, Per: month}, p, reference, reference+20, func(int, []detectors.Finding) {})
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var back budget.Memory
	if err := json.Unmarshal(body, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(body) {
		t.Error("a memory changes when it is written and read")
	}
	if m.Streams() < 30 || len(body) > 1000*m.Streams() {
		t.Errorf("%d bytes for %d streams", len(body), m.Streams())
	}
}
