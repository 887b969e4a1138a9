package profile

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/schemas"
)

// Learnt says what was learnt of how healthy windows behave, and what was not.
type Learnt struct {
	Days    float64      `json:"days"` // from the first to the last whole window
	Windows int          `json:"windows"`
	Streams int          `json:"streams"` // that something was fitted to
	Cuts    []Cut        `json:"cuts"`    // stretches that stand out
	Level   *LevelChange `json:"level,omitempty"`
	Stages  []Stage      `json:"stages"`
}

// Cut is a stretch of the data in which a stream was not as it was otherwise.
type Cut struct {
	Column  string    `json:"column"`
	Slice   string    `json:"slice,omitempty"`
	Channel string    `json:"channel"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Shift   float64   `json:"shift"`          // on the scale of the channel
	Kept    bool      `json:"kept,omitempty"` // it was learnt from all the same: too much would have gone
}

// LevelChange is a level that changed within the data and stayed. That before
// it was taken as healthy.
type LevelChange struct {
	Column  string    `json:"column"`
	Channel string    `json:"channel"`
	At      time.Time `json:"at"`
	Before  float64   `json:"before"`
	After   float64   `json:"after"`
	Streams int       `json:"streams"` // that have one
}

// Stage is what can be seen after so much healthy data.
type Stage struct {
	After   schemas.Duration `json:"after"`
	Reached bool             `json:"reached"`
	Sees    string           `json:"sees"`
}

// Sentence says what was cut and why.
func (c *Cut) Sentence() string {
	what := c.Channel + " of " + c.Column
	if c.Slice != "" {
		what += " for " + c.Slice
	}
	end := "it was not learnt from"
	if c.Kept {
		end = "too much of it to leave out, so it was learnt from; is it healthy?"
	}
	return fmt.Sprintf("%s stands out by %+.2g from %s to %s: %s", what, c.Shift, minute(c.From), minute(c.To), end)
}

// Question asks which of two levels is the normal one.
func (l *LevelChange) Question() string {
	others := ""
	if l.Streams > 1 {
		others = fmt.Sprintf(", with %d other streams", l.Streams-1)
	}
	return fmt.Sprintf("%s of %s went from %.3g to %.3g on its scale at %s%s and stayed until the end: which is normal? The level before it was taken; if it is the new one, learn from the data behind that time only",
		l.Channel, l.Column, l.Before, l.After, minute(l.At), others)
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04Z") }

// maxCuts bounds the cuts of a report; the rest is counted in a warning.
const maxCuts = 50

// lateness is how much out of order rows may be before they are sorted.
const lateness = 10 * time.Minute

// fit learns healthy behaviour from the windows of the source and writes it
// into the baseline, which it seals.
func (c *count) fit(ctx context.Context, b *schemas.Baseline) (*Learnt, error) {
	s := c.s
	if err := b.Seal(); err != nil {
		return nil, err
	}
	if !s.timed {
		s.warnings = append(s.warnings, "no column holds the time of a row, so how healthy windows follow each other is not learnt, and nothing is judged by it; name one with --time")
		return nil, nil
	}
	if len(s.starts) > maxWindows {
		s.warnings = append(s.warnings, fmt.Sprintf("the rows lie in more than %d windows of %s, so how healthy windows follow each other is not learnt, and nothing is judged by it; take longer ones with --window", maxWindows, schemas.Duration(s.o.Window)))
		return nil, nil
	}
	rows, from, to, err := s.ordered(ctx)
	if err != nil {
		s.warnings = append(s.warnings, "how healthy windows follow each other is not learnt, so nothing is judged by it: "+err.Error())
		return nil, nil //nolint:nilerr // the rest of the baseline stands without it
	}
	spec, err := s.spec(b)
	if err != nil {
		return nil, err
	}
	histories := map[schemas.Part]*budget.History{}
	feed := Feed{
		Source: rows, Spec: spec, ID: s.o.ID, Prediction: s.o.Prediction, Score: s.o.Score, Label: s.o.Label, Latency: s.o.Latency,
	}
	// The first window may be cut by the beginning of the data.
	first := spec.Spec.WindowStart(rows.From + s.o.Window.Milliseconds() - 1)
	_, err = feed.Run(ctx, max(from, first), to, func(st *Stretch) error {
		if s.o.Progress != nil {
			s.o.Progress(3, st.Rows)
		}
		for _, w := range st.Windows {
			if w.Part == schemas.PartLabel {
				continue // a file says of which row a label is, not when it came: that is learnt from the stream
			}
			w.Baseline = b
			h := histories[w.Part]
			if h == nil {
				h = budget.NewHistory(b, s.o.Window, s.o.Statistics)
				h.Calendar = s.o.Calendar
				histories[w.Part] = h
			}
			if err := h.Add(w); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := &Learnt{Cuts: []Cut{}}
	for _, part := range schemas.Parts {
		if h := histories[part]; h != nil {
			if err := out.take(h, b); err != nil {
				return nil, fmt.Errorf("learning the %s: %w", part, err)
			}
		}
	}
	for _, st := range budget.Stages(out.Days) {
		out.Stages = append(out.Stages, Stage{schemas.Duration(st.After), st.Reached, st.Sees})
	}
	if n := len(out.Cuts); n > maxCuts {
		out.Cuts = out.Cuts[:maxCuts]
		s.warnings = append(s.warnings, fmt.Sprintf("%d more stretches stand out than are listed", n-maxCuts))
	}
	return out, b.Seal()
}

// ordered returns the source in the order of time, and the stretch of it.
func (s *scan) ordered(ctx context.Context) (rows *Ordered, from, to int64, err error) {
	if part, ok := s.src.(*stretch); ok {
		return part.Ordered, part.from, part.to, nil
	}
	rows, err = Order(ctx, s.src, s.o.Model, s.o.Time, lateness, nil)
	return rows, math.MinInt64, math.MaxInt64, err
}

// spec is how the windows of the baseline's own data are counted.
func (s *scan) spec(b *schemas.Baseline) (*schemas.SpecRecord, error) {
	m := schemas.DefaultMonitor()
	m.Model, m.Window, m.Task = s.o.Model, schemas.Duration(s.o.Window), schemas.TaskNone
	for _, names := range s.o.Slices {
		m.Slices = append(m.Slices, names)
	}
	spec, _, err := schemas.BuildSpec(m, b)
	if err != nil {
		return nil, err
	}
	return &schemas.SpecRecord{Seq: 1, EffectiveFrom: math.MinInt64, Hash: spec.Hash(), Spec: *spec}, nil
}

// take fits one part.
func (l *Learnt) take(h *budget.History, b *schemas.Baseline) error {
	fitted, err := h.Fit()
	if err != nil {
		return err
	}
	fitted.Into(b)
	l.Windows = max(l.Windows, fitted.Windows)
	l.Days = max(l.Days, fitted.To.Sub(fitted.From).Hours()/24)
	l.Streams += len(fitted.Streams)
	for _, c := range fitted.Cuts {
		l.Cuts = append(l.Cuts, Cut{c.Feature, c.Slice, c.Channel, c.From, c.To, c.Shift, c.Kept})
	}
	if v := fitted.Level; v != nil && (l.Level == nil || v.Streams > l.Level.Streams) {
		l.Level = &LevelChange{v.Feature, v.Channel, v.At, v.Before, v.After, v.Streams}
	}
	return nil
}
