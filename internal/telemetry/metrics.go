package telemetry

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// MaxLabels is how many values of its label a family keeps. Values seen later
// are summed as Other.
const MaxLabels = 500

// Other is the label value of everything over MaxLabels.
const Other = "other"

// Metrics is the set of all metrics of the process. Its methods may be called
// from any number of goroutines.
type Metrics struct {
	registry *prometheus.Registry
}

// NewMetrics returns a set with the metrics of the Go runtime, of the process
// and modelwatch_build_info, whose labels are the version given, the commit
// and the version of Go.
func NewMetrics(version string) (*Metrics, error) {
	m := &Metrics{registry: prometheus.NewRegistry()}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "modelwatch_build_info",
		Help:        "What is running; always 1.",
		ConstLabels: buildLabels(version),
	})
	build.Set(1)
	for _, c := range []prometheus.Collector{
		build,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := m.registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics of the process: %w", err)
		}
	}
	return m, nil
}

func buildLabels(version string) prometheus.Labels {
	labels := prometheus.Labels{"version": version, "revision": "unknown", "goversion": "unknown"}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return labels
	}
	labels["goversion"] = build.GoVersion
	for _, s := range build.Settings {
		if s.Key == "vcs.revision" {
			labels["revision"] = s.Value
		}
	}
	return labels
}

// Counter registers a number that only grows while the process lives. read is
// called at every scrape and must be quick and safe to call from any goroutine.
func (m *Metrics) Counter(name, help string, read func() float64) error {
	return m.register(name, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
}

// Gauge registers a number that may go up and down; see Counter for read.
func (m *Metrics) Gauge(name, help string, read func() float64) error {
	return m.register(name, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
}

// Counters registers a family of counters, one for each key that read
// returns, which becomes the value of the label. The map is not kept. At most
// MaxLabels keys are shown by name, the first ones seen; a key that was shown
// once stays, and one that is missing from a later map is left out of it.
func (m *Metrics) Counters(name, help, label string, read func() map[string]int64) error {
	return m.family(name, help, label, prometheus.CounterValue, read)
}

// Gauges registers a family of gauges; see Counters.
func (m *Metrics) Gauges(name, help, label string, read func() map[string]int64) error {
	return m.family(name, help, label, prometheus.GaugeValue, read)
}

func (m *Metrics) family(name, help, label string, kind prometheus.ValueType, read func() map[string]int64) error {
	return m.register(name, &family{
		about: prometheus.NewDesc(name, help, []string{label}, nil),
		kind:  kind, read: read, shown: map[string]struct{}{},
	})
}

func (m *Metrics) register(name string, c prometheus.Collector) error {
	if err := m.registry.Register(c); err != nil {
		return fmt.Errorf("registering metric %s: %w", name, err)
	}
	return nil
}

// Handler answers with all metrics in Prometheus' text format. A metric that
// cannot be read is left out; the others stand.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

// family is a collector of one label.
type family struct {
	about *prometheus.Desc
	kind  prometheus.ValueType
	read  func() map[string]int64

	mu    sync.Mutex
	shown map[string]struct{} // label values that have their own series
}

// Describe implements prometheus.Collector.
func (f *family) Describe(to chan<- *prometheus.Desc) { to <- f.about }

// Collect implements prometheus.Collector.
func (f *family) Collect(to chan<- prometheus.Metric) {
	for value, sum := range f.bounded(f.read()) {
		to <- prometheus.MustNewConstMetric(f.about, f.kind, float64(sum), value)
	}
}

// bounded keeps the values that have their own series, and sums the rest.
func (f *family) bounded(all map[string]int64) map[string]int64 {
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names) // which ones are shown must not depend on the order of a map
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[string]int64, min(len(all), MaxLabels+1))
	for _, name := range names {
		value := strings.ToValidUTF8(name, "\uFFFD")
		if _, ok := f.shown[value]; !ok {
			if len(f.shown) >= MaxLabels {
				value = Other
			} else {
				f.shown[value] = struct{}{}
			}
		}
		out[value] += all[name]
	}
	return out
}
