package evaluate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/modelwatch/modelwatch/alerting"
	"github.com/modelwatch/modelwatch/alerting/retrain"
	"github.com/modelwatch/modelwatch/alerting/severity"
	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/budget"
	"github.com/modelwatch/modelwatch/detectors/hard"
	"github.com/modelwatch/modelwatch/detectors/soft"
	"github.com/modelwatch/modelwatch/schemas"
)

// Merged is one window of one part of a model, merged over all partitions.
type Merged struct {
	Entries  []detectors.Entry // sorted by version, role, feature and slice
	Revision uint64
	Offsets  []schemas.OffsetRange
}

// WindowID names a window of a part of a model.
type WindowID struct {
	Part    schemas.Part `json:"part"`
	SpecSeq uint64       `json:"spec_seq"`
	Start   int64        `json:"start"` // Unix milliseconds
}

// Closed is a window as it was judged.
type Closed struct {
	WindowID
	Merged
}

// Windows reads merged windows, and keeps them as they were judged.
type Windows interface {
	// Starts lists the windows in [from, to) that have rows.
	Starts(ctx context.Context, model string, spec uint64, part schemas.Part, from, to int64) ([]int64, error)
	ReadWindows(ctx context.Context, model string, spec uint64, part schemas.Part, starts []int64) (map[int64]Merged, error)
	WriteSummaries(ctx context.Context, model string, windows []Closed) error
	// Judged lists the windows in [from, to) that were kept, and ReadJudged
	// reads them as they were judged last.
	Judged(ctx context.Context, model string, spec uint64, part schemas.Part, from, to int64) ([]int64, error)
	ReadJudged(ctx context.Context, model string, spec uint64, part schemas.Part, starts []int64) (map[int64]Merged, error)
	// Revised lists closed windows that have got rows since they were written,
	// at most so many; what is left out comes with a later call.
	Revised(ctx context.Context, model string, most int) ([]WindowID, error)
}

// Signals reads what tells that there is something to do.
type Signals interface {
	Progress(ctx context.Context) ([]schemas.Progress, error)
	// Trips lists the trips that were stored since a moment, and the moment
	// to ask from the next time; it may repeat itself.
	Trips(ctx context.Context, since time.Time) ([]schemas.Trip, time.Time, error)
}

// Journal keeps decisions.
type Journal interface {
	LastStep(ctx context.Context, model string) (*schemas.Step, error)
	Append(ctx context.Context, step schemas.Step) (won bool, err error)
}

// Learnt keeps what was learnt of healthy behaviour from the stream itself, by
// the hash of its content.
type Learnt interface {
	SaveReference(ctx context.Context, model, hash string, body []byte) error
	Reference(ctx context.Context, model, hash string) ([]byte, error) // nil when there is none
	// Fits replaces what is shown of the streams of a model; fit names the reference.
	Fits(ctx context.Context, model, fit string, rows []schemas.StreamRow) error
}

// Model is what is known of a model from its files.
type Model struct {
	Name    string
	Topics  []string             // that it is read from now
	Specs   []schemas.SpecRecord // by Seq
	Retrain retrain.Policy
	Runbook string

	Budget     budget.Budget
	Importance map[string]float64 // of features; 1 where one is missing
	Severity   severity.Policy
	Calendar   budget.Calendar
}

// Deps is what the evaluator works with.
type Deps struct {
	Windows    Windows
	Signals    Signals
	Journal    Journal
	Models     func() []Model                                                          // by name
	Baseline   func(hash string) *schemas.Baseline                                     // nil where it is not at hand
	Owns       func(model string) bool                                                 // whether this replica is the one to do it; a matter of economy only
	Partitions func(topic string) int                                                  // how many there are, 0 where it is not known
	Marks      func(ctx context.Context, model string) ([]schemas.IncidentMark, error) // the last one of each incident; nil for nobody marks
	Learnt     Learnt                                                                  // nil: what is learnt is gone with the process
	Decided    func()                                                                  // a step was written; nil for nobody cares
	Now        func() time.Time
	Stats      *Stats
	Log        zerolog.Logger
}

// Config says how often and by which parameters.
type Config struct {
	Sweep      time.Duration // between two looks
	Revise     time.Duration // between two looks for revised windows
	MaxWindows int           // of one step
	MaxEmpty   int           // empty windows in a row that are judged; then the next with rows
	AtOnce     int           // models that are judged at the same time, one at least
	Closing    Closing
	Hard       hard.Parameters
	Soft       soft.Parameters
	Statistics budget.Parameters
	PublicURL  string // where the pages are, for links
	Writer     string // tells this replica from others
}

// DefaultConfig returns the settings of the service.
func DefaultConfig() Config {
	return Config{
		Sweep: 250 * time.Millisecond, Revise: 2 * time.Second, MaxWindows: 24, MaxEmpty: 48, AtOnce: 4,
		Closing: Closing{Stale: 10 * time.Second, MaxHold: 15 * time.Minute},
		Hard:    hard.DefaultParameters(), Soft: soft.DefaultParameters(), Statistics: budget.DefaultParameters(),
	}
}

// Stats counts what was decided. All fields only grow.
type Stats struct {
	Steps, Lost, Windows, Revised, Alerts, Requests, Errors, Over atomic.Int64
}

// Evaluator judges all models that this replica owns.
type Evaluator struct {
	cfg    Config
	deps   Deps
	nudge  chan struct{}
	models map[string]*model

	troubles []error // of single models in the present sweep
}

// New returns an evaluator; Run starts it.
func New(cfg Config, deps Deps) *Evaluator {
	return &Evaluator{cfg: cfg, deps: deps, nudge: make(chan struct{}, 1), models: map[string]*model{}}
}

// Nudge asks for a sweep now.
func (e *Evaluator) Nudge() {
	select {
	case e.nudge <- struct{}{}:
	default:
	}
}

// sayAgain is the time between two log lines of one trouble: a store that is
// away fails every sweep.
const sayAgain = 30 * time.Second

// Run sweeps until ctx ends. A model in trouble is logged and tried again at
// the next sweep; it stops no other.
func (e *Evaluator) Run(ctx context.Context) error {
	tick := time.NewTicker(e.cfg.Sweep)
	defer tick.Stop()
	var said time.Time // when the trouble that lasts was logged
	for {
		err := e.sweep(ctx)
		switch {
		case err == nil:
			said = time.Time{}
		case ctx.Err() == nil:
			e.deps.Stats.Errors.Add(1)
			if now := time.Now(); now.Sub(said) >= sayAgain {
				said = now
				e.deps.Log.Error().Err(err).Msg("evaluating; trying on with every sweep")
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-e.nudge:
		}
	}
}

// Settle sweeps until nothing more can be decided of what can be read now. It
// returns the first trouble, which Run would log and try again. It is for
// whoever drives time himself, and must not be called while Run runs.
func (e *Evaluator) Settle(ctx context.Context) error {
	for {
		before := e.deps.Stats.Steps.Load() + e.deps.Stats.Lost.Load()
		err := errors.Join(append([]error{e.sweep(ctx)}, e.troubles...)...)
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if e.deps.Stats.Steps.Load()+e.deps.Stats.Lost.Load() == before {
			return nil
		}
	}
}

func (e *Evaluator) sweep(ctx context.Context) error {
	e.troubles = nil
	progress, err := e.deps.Signals.Progress(ctx)
	if err != nil {
		return fmt.Errorf("reading progress: %w", err)
	}
	since := e.deps.Now()
	var models []*model
	for _, m := range e.owned() {
		if m.state == nil {
			if err := m.load(ctx); err != nil {
				m.failed(ctx, err)
				continue
			}
		}
		models = append(models, m)
		if m.tripsSince.Before(since) {
			since = m.tripsSince
		}
	}
	// Trips after progress: all that tripped before a mark is seen with it.
	trips, next, err := e.deps.Signals.Trips(ctx, since)
	if err != nil {
		return fmt.Errorf("reading trips: %w", err)
	}
	// Most of it is waiting for the store.
	var group errgroup.Group
	group.SetLimit(max(1, e.cfg.AtOnce))
	failed := make([]error, len(models))
	for i, m := range models {
		group.Go(func() error {
			failed[i] = m.evaluate(ctx, progress, trips)
			return nil
		})
	}
	_ = group.Wait() // of one model's trouble no other hears
	for i, m := range models {
		if failed[i] != nil {
			m.failed(ctx, failed[i])
			continue
		}
		m.tripsSince = next
	}
	return nil
}

// failed tells of a model's trouble, which stops no other; what was decided is
// read again. An end that was asked for is none.
func (m *model) failed(ctx context.Context, err error) {
	m.state = nil
	m.e.troubles = append(m.e.troubles, fmt.Errorf("evaluating %s: %w", m.Name, err))
	if ctx.Err() == nil {
		m.e.deps.Stats.Errors.Add(1)
		m.e.deps.Log.Error().Err(err).Str("model", m.Name).Msg("evaluating")
	}
}

// owned returns the models that this replica owns, by name, and forgets what
// it knew of the others.
func (e *Evaluator) owned() []*model {
	known := e.models
	e.models = map[string]*model{}
	var out []*model
	for _, m := range e.deps.Models() {
		if len(m.Specs) == 0 || !e.deps.Owns(m.Name) {
			continue
		}
		own := known[m.Name]
		if own == nil {
			own = &model{e: e, listener: newListener(e.deps.Now())}
		}
		if own.Budget != m.Budget || !maps.Equal(own.Importance, m.Importance) {
			own.plans = nil
		}
		own.Model = m
		e.models[m.Name] = own
		out = append(out, own)
	}
	return out
}

// parameters is what every decision of a step rests on; it is recorded with it.
type parameters struct {
	Hard       hard.Parameters    `json:"hard"`
	Soft       soft.Parameters    `json:"soft"`
	Statistics budget.Parameters  `json:"statistics"`
	Alerting   alerting.Config    `json:"alerting"`
	Retrain    retrain.Policy     `json:"retrain"`
	Severity   severity.Policy    `json:"severity"`
	Budget     stated             `json:"budget"`
	Importance map[string]float64 `json:"importance,omitempty"`
}

// stated is the budget as the view of that name reads it.
type stated struct {
	Pages   float64 `json:"pages"`
	Tickets float64 `json:"tickets"`
	Per     int64   `json:"per_ms"`
	Factor  float64 `json:"factor"` // of the governor, after the last window of the step
}

// inputs is what a step has read.
type inputs struct {
	Windows []judged               `json:"windows,omitempty"`
	Trips   []tripped              `json:"trips,omitempty"`
	Marks   []schemas.IncidentMark `json:"marks,omitempty"` // that were new
}

// judged is one window as it was read.
type judged struct {
	WindowID
	End      int64                 `json:"end"`
	Revision uint64                `json:"revision"`
	Coverage float64               `json:"coverage"`
	Revised  bool                  `json:"revised,omitempty"`
	Past     bool                  `json:"past,omitempty"`
	Offsets  []schemas.OffsetRange `json:"offsets,omitempty"`
}

// specAt returns the spec whose interval holds event time t.
func (m *Model) specAt(t int64) *schemas.SpecRecord {
	for i := len(m.Specs) - 1; i > 0; i-- {
		if m.Specs[i].EffectiveFrom <= t {
			return &m.Specs[i]
		}
	}
	return &m.Specs[0]
}

// spec returns the spec of that number, nil when the model has none.
func (m *Model) spec(seq uint64) *schemas.SpecRecord {
	i := slices.IndexFunc(m.Specs, func(r schemas.SpecRecord) bool { return r.Seq == seq })
	if i < 0 {
		return nil
	}
	return &m.Specs[i]
}

// until is where the interval of a spec ends, math.MaxInt64 for the last one.
func (m *Model) until(r *schemas.SpecRecord) int64 {
	until := int64(math.MaxInt64)
	for i := range m.Specs {
		if m.Specs[i].Seq > r.Seq {
			until = min(until, m.Specs[i].EffectiveFrom) // a later one may reach further back
		}
	}
	return until
}
