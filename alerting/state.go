package alerting

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/schemas"
)

// State is all that is remembered of one model's incidents: the open ones, the
// tracks behind them, and the latest resolved ones. The zero value is a model
// about which nothing was ever said. Equal states have equal JSON.
type State struct {
	features  int64 // end of the last closed window of features
	judged    bool  // whether there was one
	tracks    []*track
	incidents []*incident // in the order in which they were fired
	waiting   []waiting   // by start
}

// waiting is what a prediction window said before the features' one closed.
type waiting struct {
	Start    int64               `json:"start"`
	End      int64               `json:"end"`
	Findings []detectors.Finding `json:"findings"`
}

type stateJSON struct {
	Features  int64       `json:"features"`
	Judged    bool        `json:"judged"`
	Tracks    []*track    `json:"tracks"`
	Incidents []*incident `json:"incidents"`
	Waiting   []waiting   `json:"waiting"`
}

// MarshalJSON implements json.Marshaler.
func (s *State) MarshalJSON() ([]byte, error) {
	return json.Marshal(stateJSON{s.features, s.judged, s.tracks, s.incidents, s.waiting})
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *State) UnmarshalJSON(p []byte) error {
	var j stateJSON
	if err := json.Unmarshal(p, &j); err != nil {
		return fmt.Errorf("reading the state of incidents: %w", err)
	}
	if slices.Contains(j.Tracks, nil) || slices.Contains(j.Incidents, nil) {
		return errors.New("reading the state of incidents: one of its entries is empty")
	}
	*s = State{j.Features, j.Judged, j.Tracks, j.Incidents, j.Waiting}
	return nil
}

// Incidents returns the open incidents and the latest resolved ones, in the
// order in which they were fired.
func (s *State) Incidents() []schemas.Incident {
	out := make([]schemas.Incident, 0, len(s.incidents))
	for _, i := range s.incidents {
		out = append(out, i.record())
	}
	return out
}

// find returns the incident of that id, nil when it is unknown or forgotten.
func (s *State) find(id string) *incident {
	for _, i := range s.incidents {
		if i.ID == id {
			return i
		}
	}
	return nil
}

func (s *State) track(k key) *track {
	n, found := slices.BinarySearchFunc(s.tracks, k, func(t *track, k key) int { return t.compare(k) })
	if !found {
		return nil
	}
	return s.tracks[n]
}

func (s *State) addTrack(k key) *track {
	n, _ := slices.BinarySearchFunc(s.tracks, k, func(t *track, k key) int { return t.compare(k) })
	t := &track{key: k, Settled: earliest}
	s.tracks = slices.Insert(s.tracks, n, t)
	return t
}

// tidy forgets tracks without an episode, most evidence of what is over, and
// the oldest resolved incidents: the journal has them.
func (s *State) tidy() {
	s.tracks = slices.DeleteFunc(s.tracks, func(t *track) bool { return t.live() == nil && len(t.Ahead) == 0 })
	resolved := 0
	for _, i := range s.incidents {
		if !i.Resolved {
			continue
		}
		resolved++
		for _, m := range i.Members {
			m.Evidence = m.Evidence[:min(len(m.Evidence), maxKept)]
		}
	}
	s.incidents = slices.DeleteFunc(s.incidents, func(i *incident) bool {
		if i.Resolved && resolved > maxRecent {
			resolved--
			return true
		}
		return false
	})
}
