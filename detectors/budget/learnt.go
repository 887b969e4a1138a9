package budget

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// learnt is the JSON of a Fitted.
type learnt struct {
	Window  int64          `json:"window_ms"`
	Windows int            `json:"windows"`
	From    time.Time      `json:"from"`
	To      time.Time      `json:"to"`
	Streams []learntStream `json:"streams"`
	Cuts    []Cut          `json:"cuts,omitempty"`
	Level   *LevelStep     `json:"level,omitempty"`
}

type learntStream struct {
	Role    schemas.Role    `json:"role"`
	Feature string          `json:"feature"`
	Slice   string          `json:"slice,omitempty"`
	Channel string          `json:"channel"`
	Healthy schemas.Healthy `json:"healthy"`
}

// MarshalJSON writes what was learnt; equal fits give equal bytes.
func (f *Fitted) MarshalJSON() ([]byte, error) {
	out := learnt{Window: f.window, Windows: f.Windows, From: f.From, To: f.To, Cuts: f.Cuts, Level: f.Level}
	for _, s := range f.Streams {
		out.Streams = append(out.Streams, learntStream{s.Role, s.Feature, s.Slice, s.Channel, s.Healthy})
	}
	return json.Marshal(out)
}

// ReadFitted reads what MarshalJSON wrote; b is the baseline by whose bins and
// shares the windows were measured.
func ReadFitted(body []byte, b *schemas.Baseline) (*Fitted, error) {
	if b == nil {
		return nil, errors.New("reading what was learnt: there is no baseline that it was measured by")
	}
	var in learnt
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, fmt.Errorf("reading what was learnt: %w", err)
	}
	f := &Fitted{Windows: in.Windows, From: in.From, To: in.To, Cuts: in.Cuts, Level: in.Level, baseline: b, window: in.Window}
	for _, s := range in.Streams {
		f.Streams = append(f.Streams, FittedStream{Key{s.Role, s.Feature, s.Slice, s.Channel}, s.Healthy})
	}
	if !slices.IsSortedFunc(f.Streams, func(a, b FittedStream) int { return compareKeys(a.Key, b.Key) }) {
		return nil, errors.New("reading what was learnt: its streams are not in order")
	}
	return f, nil
}

// Over returns the reference with what was learnt in place of what stood in
// the reference before; streams that were not learnt stay as they were.
func (f *Fitted) Over(before *Reference) *Reference {
	streams := slices.Clone(f.Streams)
	if before != nil && before.window == f.window {
		mine := f.Reference()
		for _, s := range before.streams {
			if _, ok := mine.healthy[s.Key]; !ok {
				streams = append(streams, s)
			}
		}
	}
	return newReference(f.baseline, f.window, streams)
}

// DaysOf is how long a reference the streams of a part have, the longest of them.
func (r *Reference) DaysOf(part schemas.Part) float64 {
	days := 0.0
	if r != nil {
		for i := range r.streams {
			if partOf(r.streams[i].Key) == part {
				days = max(days, r.streams[i].Days)
			}
		}
	}
	return days
}
