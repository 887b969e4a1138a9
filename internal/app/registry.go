package app

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/config"
	"github.com/modelwatch/modelwatch/internal/evaluate"
	"github.com/modelwatch/modelwatch/internal/ingest"
	"github.com/modelwatch/modelwatch/internal/store"
	"github.com/modelwatch/modelwatch/internal/window"
	"github.com/modelwatch/modelwatch/schemas"
)

// registry knows the monitors of this process and the specs of the database.
type registry struct {
	store *store.Store
	log   zerolog.Logger

	specs   atomic.Pointer[ingest.Specs]
	privacy atomic.Pointer[schemas.Privacy]
	hashKey []byte // of sensitive values

	mu        sync.Mutex
	monitors  map[string]*config.Monitor   // by model
	baselines map[string]*schemas.Baseline // by content hash: those of earlier specs too, as far as they were seen
	all       []schemas.SpecRecord         // of the database, by Seq
}

// begin is where the reading of a topic begins that was never read.
type begin struct {
	latest bool
	back   time.Duration
}

func newRegistry(s *store.Store, log zerolog.Logger) *registry {
	r := &registry{store: s, log: log, baselines: map[string]*schemas.Baseline{}}
	r.specs.Store(&ingest.Specs{Models: must(window.Compile(nil))})
	return r
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// current returns the specs in force.
func (r *registry) current() *ingest.Specs { return r.specs.Load() }

// set registers the specs of a new set of monitors, all or nothing, and makes
// them the ones in force.
func (r *registry) set(ctx context.Context, monitors map[string]*config.Monitor) error {
	progress, err := r.store.Progress(ctx)
	if err != nil {
		return fmt.Errorf("reading how far events have come: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(monitors)) {
		m := monitors[name]
		rec, err := r.store.RegisterSpec(ctx, *m.Spec, func(last *schemas.SpecRecord) int64 {
			return effectiveFrom(last, m.Spec, progress)
		})
		if err != nil {
			return fmt.Errorf("registering the spec of model %s: %w", name, err)
		}
		r.log.Debug().Str("model", name).Uint64("spec", rec.Seq).Str("hash", rec.Hash).Msg("spec")
	}
	r.mu.Lock()
	r.monitors = monitors
	list := make([]*schemas.Monitor, 0, len(monitors))
	for _, m := range monitors {
		list = append(list, m.Monitor)
	}
	r.privacy.Store(schemas.NewPrivacy(r.hashKey, list)) // before any of their rows is read
	for _, m := range monitors {
		if m.Baseline != nil {
			r.baselines[m.Baseline.Hash] = m.Baseline
		}
	}
	r.mu.Unlock()
	return r.refresh(ctx, true)
}

// effectiveFrom returns the first border of both windows, the old spec's and
// the new one's, that is past all event time seen of the model.
func effectiveFrom(last *schemas.SpecRecord, next *schemas.Spec, progress []schemas.Progress) int64 {
	if last == nil {
		return math.MinInt64
	}
	seen := int64(math.MinInt64)
	for _, p := range progress {
		for _, m := range p.Marks {
			if m.Model == next.Model {
				seen = max(seen, m.Max)
			}
		}
	}
	if seen == math.MinInt64 {
		return last.EffectiveFrom // it never counted a row
	}
	// Windows divide a day or are whole days; a common border is one of the longer.
	a, b := last.Spec.Window.Milliseconds(), next.Window.Milliseconds()
	longer := max(a, b)
	if a%b != 0 && b%a != 0 {
		longer = a / gcd(a, b) * b
	}
	common := schemas.Spec{Window: time.Duration(longer) * time.Millisecond}
	return max(common.WindowStart(seen)+longer, last.EffectiveFrom)
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// watch picks up the specs that other replicas register.
func (r *registry) watch(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
		if err := r.refresh(ctx, false); err != nil && ctx.Err() == nil {
			r.log.Warn().Err(err).Msg("looking for new specs")
		}
	}
}

// refresh reads the specs that are new and compiles those of watched models.
func (r *registry) refresh(ctx context.Context, always bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	after := uint64(0)
	if n := len(r.all); n > 0 {
		after = r.all[n-1].Seq
	}
	news, err := r.store.Specs(ctx, after)
	if err != nil {
		return fmt.Errorf("reading specs: %w", err)
	}
	if len(news) == 0 && !always {
		return nil
	}
	r.all = append(r.all, news...)
	var records []schemas.SpecRecord
	for _, rec := range r.all {
		if r.monitors[rec.Spec.Model] != nil {
			records = append(records, rec)
		}
	}
	if old := r.current(); slices.EqualFunc(old.Records, records, func(a, b schemas.SpecRecord) bool { return a.Seq == b.Seq }) {
		return nil
	}
	models, err := window.Compile(records)
	if err != nil {
		return fmt.Errorf("compiling specs: %w", err)
	}
	r.specs.Store(&ingest.Specs{Records: records, Models: models})
	return nil
}

// snapshot returns the monitors in force, by model.
func (r *registry) snapshot() map[string]*config.Monitor {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.monitors
}

// baseline returns a baseline by its hash, nil where it is not at hand.
func (r *registry) baseline(hash string) *schemas.Baseline {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.baselines[hash]
}

// topics lists the topics of all monitors.
func (r *registry) topics() []string {
	var out []string
	for _, m := range r.snapshot() {
		out = append(out, m.Topics...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// topic returns the format of a topic's events and where its reading begins:
// at the earliest place any of its models asks for.
func (r *registry) topic(name string) (format string, start begin) {
	format = "native"
	start.latest = true
	for _, m := range r.snapshot() {
		if !slices.Contains(m.Topics, name) {
			continue
		}
		format = m.Format
		switch back := m.StartBack(); {
		case m.Start == "latest":
		case back > 0:
			start.latest = false
			start.back = max(start.back, back)
		default:
			return format, begin{}
		}
	}
	return format, start
}

// onlyModel returns the model of a topic that has just one, "" otherwise.
func (r *registry) onlyModel(topic string) string {
	only := ""
	for name, m := range r.snapshot() {
		if slices.Contains(m.Topics, topic) {
			if only != "" {
				return ""
			}
			only = name
		}
	}
	return only
}

// cutoffs returns, by model, the event time before which no row can be counted
// any more and none is read again: behind the slowest partition that delivers
// the model.
func (r *registry) cutoffs(progress []schemas.Progress) map[string]int64 {
	out := map[string]int64{}
	for _, p := range progress {
		for _, m := range p.Marks {
			if m.Max == math.MinInt64 {
				continue
			}
			if t, ok := out[m.Model]; !ok || m.Max < t {
				out[m.Model] = m.Max
			}
		}
	}
	horizon := map[string]time.Duration{}
	for _, rec := range r.current().Records {
		horizon[rec.Spec.Model] = max(horizon[rec.Spec.Model], rec.Spec.LateHorizon)
	}
	for model := range out {
		out[model] -= (horizon[model] + retainMore).Milliseconds()
	}
	return out
}

// models returns what the evaluator needs of each model, by name.
func (r *registry) models() []evaluate.Model {
	specs := r.current()
	monitors := r.snapshot()
	var out []evaluate.Model
	for _, name := range slices.Sorted(maps.Keys(monitors)) {
		out = append(out, evaluate.ModelOf(monitors[name].Monitor, specs.Records))
	}
	return out
}

// list returns the monitors in force, by model.
func (r *registry) list() []*schemas.Monitor {
	monitors := r.snapshot()
	out := make([]*schemas.Monitor, 0, len(monitors))
	for _, name := range slices.Sorted(maps.Keys(monitors)) {
		out = append(out, monitors[name].Monitor)
	}
	return out
}
