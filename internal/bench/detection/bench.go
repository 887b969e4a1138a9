package detection

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"runtime"
	"sync"

	"github.com/modelwatch/modelwatch/detectors/budget"
)

// Config says what is measured.
type Config struct {
	Seed     uint64
	Worlds   []World
	Budgets  []float64 // pages, and tickets, in 30 days; of the tracks
	Months   []int     // of each world, by budget
	Features int       // of the tracks' models, and of the rivals'
	Parts    []Part    // what is measured
	Onsets   int       // of each fault
	Study    Shape     // of the models of delays and faults
	Lines    int       // columns that rivals read row by row, a million and a half rows each
	Flights  string    // flights-3m.parquet; "" for none
	Workers  int       // models at once
	Detector Detector
	Progress func(string) // told what is done; nil for nobody
}

// Part is a part of the bench.
type Part string

// The parts.
const (
	Tracks Part = "tracks" // false alarms against the budget
	Delays Part = "delays" // how soon steps are found, against the bound
	Faults Part = "faults" // which faults are found, and harmless changes
	Rivals Part = "rivals" // other rules on the same windows
	Real   Part = "real"   // flights
)

// AllParts lists the parts in the order in which they run.
func AllParts() []Part { return []Part{Tracks, Delays, Faults, Rivals, Real} }

// DefaultConfig measures two months of every world under a budget of 1, and
// everything else.
func DefaultConfig() Config {
	return Config{
		Seed: 1, Worlds: Worlds(), Budgets: []float64{1}, Months: []int{2}, Features: 1000, Parts: AllParts(), Onsets: 48,
		Study: Shape{Features: 20, Categories: .2, Nulls: .5, Slices: 20, Registers: true}, Lines: 6,
		Workers: runtime.GOMAXPROCS(0), Detector: Budget,
	}
}

// ReleaseConfig measures as long as it takes to prove the budget: 80 months
// of each gated world at .25, 20 at 1 and 10 at 4.
func ReleaseConfig() Config {
	c := DefaultConfig()
	c.Budgets, c.Months = []float64{.25, 1, 4}, []int{80, 20, 10}
	c.Worlds = nil
	for _, w := range Worlds() {
		if w.Gated {
			c.Worlds = append(c.Worlds, w)
		}
	}
	return c
}

// Validate says what is wrong with the configuration.
func (c *Config) Validate() error {
	var errs []error
	if len(c.Budgets) == 0 || len(c.Months) != len(c.Budgets) {
		errs = append(errs, errors.New("every budget needs its months"))
	}
	for i := range c.Months {
		if c.Months[i] < 1 || i < len(c.Budgets) && !(c.Budgets[i] > 0) {
			errs = append(errs, errors.New("budgets are positive, and months at least 1"))
		}
	}
	if c.Features < 10 || c.Onsets < 1 || c.Workers < 1 || c.Lines < 1 {
		errs = append(errs, errors.New("at least ten features, one onset, one line and one worker are needed"))
	}
	if c.Study.Features < 5 || c.Study.Slices <= thinSlice || !(c.Study.Categories > 0 && c.Study.Categories < 1) {
		errs = append(errs, fmt.Errorf("models of the studies need five features, some of them categories, and more than %d slices", thinSlice))
	}
	switch c.Detector {
	case Budget, Never, Always:
	default:
		errs = append(errs, fmt.Errorf("detector %q is none of %s, %s and %s", c.Detector, Budget, Never, Always))
	}
	return errors.Join(errs...)
}

// Report is all that was measured.
type Report struct {
	Seed     uint64        `json:"seed"`
	Detector Detector      `json:"detector"`
	Features int           `json:"features"`
	Budget   Stated        `json:"budget"` // of delays, faults and rivals
	Tracks   []Track       `json:"tracks,omitempty"`
	Delays   []Delay       `json:"delays,omitempty"`
	Location *float64      `json:"location_share,omitempty"` // of the tickets, in the delays
	Faults   []FaultResult `json:"faults,omitempty"`
	Whole    *WholeFirst   `json:"all_slices,omitempty"`
	Rivals   []RivalResult `json:"rivals,omitempty"`
	Real     []RealResult  `json:"real,omitempty"`
	Failures []string      `json:"failures"` // what was proved to be wrong
	Missed   []string      `json:"missed"`   // targets that this run did not reach
}

// Stated is a budget for a model of 1000 features. The models of the studies
// are smaller and have as much less, so that each stream may spend the same.
type Stated struct {
	Pages   float64 `json:"pages"`
	Tickets float64 `json:"tickets"`
	Per     string  `json:"per"`
}

// studyBudget is the budget of delays, faults and rivals.
const studyBudget = 2.

// Bench measures.
type Bench struct {
	cfg Config
	mu  sync.Mutex
}

// New prepares the measurements of a configuration.
func New(cfg Config) (*Bench, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("preparing the bench of detection: %w", err)
	}
	return &Bench{cfg: cfg}, nil
}

func (b *Bench) say(format string, values ...any) {
	if b.cfg.Progress == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cfg.Progress(fmt.Sprintf(format, values...))
}

// seed is that of the k-th model for a purpose.
func (b *Bench) seed(purpose string, k int) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(purpose))
	return mix(mix(b.cfg.Seed^h.Sum64()) + uint64(k))
}

// Run measures what is asked for.
func (b *Bench) Run(ctx context.Context) (*Report, error) {
	r := &Report{
		Seed: b.cfg.Seed, Detector: b.cfg.Detector, Features: b.cfg.Features, Budget: Stated{studyBudget, studyBudget, "30d"},
		Failures: []string{}, Missed: []string{},
	}
	for _, part := range b.cfg.Parts {
		var err error
		switch part {
		case Tracks:
			r.Tracks, err = b.tracks(ctx)
		case Delays:
			err = b.delays(ctx, r)
		case Faults:
			err = b.faults(ctx, r)
		case Rivals:
			r.Rivals, err = b.rivals(ctx)
		case Real:
			if b.cfg.Flights != "" {
				r.Real, err = b.real(ctx)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("measuring %s: %w", part, err)
		}
	}
	r.judge()
	return r, nil
}

// study prepares runs of scenarios. Its models may spend as much less than
// studyBudget as they have fewer than 1000 features, so that a stream of
// theirs may spend what it would in such a model.
func (b *Bench) study(label string, w World, sc []scenario, p budget.Parameters, slices int) *study {
	share := studyBudget * float64(b.cfg.Study.Features) / 1000
	shape := b.cfg.Study
	shape.Slices = slices
	return &study{
		b: b, label: label, purpose: "study", world: w, scenarios: sc, onsets: b.cfg.Onsets, models: min(2, b.cfg.Onsets),
		shape: shape, spend: spend{pages: share, tickets: share, parameters: p},
	}
}

// steps are the scenarios of the delays.
func steps(from float64) []scenario {
	var out []scenario
	for _, s := range scenarios() {
		if s.fault.Kind == Step && s.fault.Slice < 0 && !s.harmless && s.fault.Size >= from {
			out = append(out, s)
		}
	}
	return out
}

// delays measures how soon steps are found, with a clean reference and with
// one that holds an incident.
func (b *Bench) delays(ctx context.Context, r *Report) error {
	sc := steps(0)
	clean, err := b.study("delays", standard(), sc, locating(), b.cfg.Study.Slices).run(ctx)
	if err != nil {
		return err
	}
	r.Location = &clean.location
	dirty := standard()
	dirty.Name, dirty.Incident = "standard with an incident", 1
	contaminated, err := b.study("delays after a contaminated reference", dirty, sc[1:], locating(), b.cfg.Study.Slices).run(ctx)
	if err != nil {
		return err
	}
	for i := range sc {
		d := delayOf(&sc[i], clean.runs[i])
		if i > 0 {
			o := delayOf(&sc[i], contaminated.runs[i-1])
			d.Contaminated, d.ContaminatedRecall = o.Median, &o.Recall
		}
		r.Delays = append(r.Delays, d)
	}
	return nil
}

// WholeFirst holds a step of all slices against the same step in a model
// without slices.
type WholeFirst struct {
	Median    *float64 `json:"windows_median"`
	Without   *float64 `json:"windows_median_without_slices"`
	Incidents float64  `json:"incidents"`
}

// faults measures all faults and harmless changes.
func (b *Bench) faults(ctx context.Context, r *Report) error {
	sc := scenarios()
	got, err := b.study("faults", standard(), sc, budget.DefaultParameters(), b.cfg.Study.Slices).run(ctx)
	if err != nil {
		return err
	}
	for i := range sc {
		r.Faults = append(r.Faults, faultOf(&sc[i], got.runs[i]))
	}
	half := steps(.5)[:1]
	without, err := b.study("all slices against none", standard(), half, budget.DefaultParameters(), 0).run(ctx)
	if err != nil {
		return err
	}
	alone := faultOf(&half[0], without.runs[0])
	for i := range sc {
		if sc[i].name == half[0].name {
			r.Whole = &WholeFirst{Median: r.Faults[i].Median, Without: alone.Median, Incidents: r.Faults[i].Incidents}
		}
	}
	return nil
}
