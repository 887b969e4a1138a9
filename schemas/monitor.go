package schemas

import "time"

// Monitor is the file that an owner writes for one model. ParseMonitor reads
// it; everything but Model and Topics has a default.
type Monitor struct {
	// Name of the model, as its events carry it.
	Model string `yaml:"model" jsonschema:"required,minLength=1,maxLength=200"`
	// Who is asked about it; shown on the pages.
	Owner string `yaml:"owner"`
	// What the model predicts. Without it: binary where positive is given, multiclass where classes are, else none.
	Task Task `yaml:"task"`
	// The class that score is the probability of; binary tasks only.
	Positive string `yaml:"positive,scalar"`
	// All classes that may be predicted, where they are to be checked.
	Classes []string `yaml:"classes,scalar" jsonschema:"minItems=2"`
	// Kafka topics that carry the model's events.
	Topics []string `yaml:"topics" jsonschema:"required,minItems=1,maxItems=100"`
	// Form of the events on the topics.
	Format string `yaml:"format" jsonschema:"enum=native,default=native"`
	// Where to begin on topics that were never read: earliest, latest, or how far back, as in 72h.
	Start string `yaml:"start" jsonschema:"default=earliest"`
	// Length of a window in event time: a divisor of a day, or whole days up to 7d.
	Window Duration `yaml:"window" jsonschema:"default=1h"`
	// How long a window waits in event time for rows that come out of order.
	Lateness Duration `yaml:"lateness" jsonschema:"default=10m"`
	// How late a row may be and still be counted in its window.
	LateHorizon Duration `yaml:"late_horizon" jsonschema:"default=3d"`
	// How far an event's time may be ahead of its record's.
	MaxFuture Duration `yaml:"max_future" jsonschema:"default=5m"`
	// Zone of event times that are written without one; without it they are refused.
	NaiveTime string `yaml:"naive_time"`
	// How often a batch scorer runs; without it the model is expected to predict all the time.
	Cadence Duration `yaml:"cadence"`
	// How many alerts that are not true the owner accepts.
	Budget Budget `yaml:"budget"`
	// What is kept of predictions and labels one by one, to be joined by their ids.
	Predictions PredictionRows `yaml:"predictions"`
	// Rules for features; those that only the baseline knows are watched too.
	Features map[string]Feature `yaml:"features" jsonschema:"maxProperties=5000"`
	// Ways to split the rows: a column, or a pair of columns.
	Slices []Slice `yaml:"slices" jsonschema:"maxItems=20"`
	// The feature that names a thing that is seen again, such as a machine or a customer.
	Entity string `yaml:"entity"`
	// File that `modelwatch profile` wrote, relative to this one.
	Baseline string `yaml:"baseline"`
	// Length of the stretch of the stream that is taken as the baseline instead of a file.
	Learn Duration `yaml:"learn"`
	// Models whose output is among the features of this one.
	DependsOn []string `yaml:"depends_on"`
	// The owner's own severities for findings; the last that matches counts.
	Rules []Rule `yaml:"rules" jsonschema:"maxItems=1000"`
	// Days that differ from others.
	Calendar *Calendar `yaml:"calendar"`
	// When to ask for a new version; without it none is asked for.
	Retrain *Retrain `yaml:"retrain"`
	// Page that tells what to do; linked from every alert.
	Runbook string `yaml:"runbook" jsonschema:"format=uri"`

	root *YAML // of the file
}

// Task says what a model predicts.
type Task string

// The tasks of a model.
const (
	TaskBinary     Task = "binary"
	TaskMulticlass Task = "multiclass"
	TaskRegression Task = "regression"
	TaskNone       Task = "none"
)

// Budget is the number of alerts per period that an owner accepts without a
// true cause: Pages of severity critical, Tickets of severity warning.
type Budget struct {
	// Alerts of severity critical.
	Pages float64 `yaml:"pages" jsonschema:"minimum=0,default=1"`
	// Alerts of severity warning.
	Tickets float64 `yaml:"tickets" jsonschema:"minimum=0,default=4"`
	// The period that both are counted in.
	Per Duration `yaml:"per" jsonschema:"default=30d"`
}

// PredictionRows says of which requests the prediction and the label are kept
// one by one. All of them are counted, whatever it says.
type PredictionRows struct {
	// Share of the ids whose predictions and labels are kept: those of the smallest hashes, the same ones everywhere.
	Sample float64 `yaml:"sample" jsonschema:"exclusiveMinimum=0,maximum=1,default=1"`
}

// Feature holds the rules for one feature.
type Feature struct {
	// How values are summarised; without it as the baseline says.
	Type ColumnType `yaml:"type"`
	// Least value allowed; numbers only.
	Min *float64 `yaml:"min"`
	// Greatest value allowed; numbers only.
	Max *float64 `yaml:"max"`
	// The values allowed; categories only.
	Set []string `yaml:"set,scalar" jsonschema:"minItems=1"`
	// Unit of the value, for people.
	Unit string `yaml:"unit"`
	// Whether an event without the feature is a fault; without it, yes where every row of the baseline has a value.
	Required *bool `yaml:"required"`
	// Whether values are hashed wherever they are kept, shown or sent one by one; see docs/security.md.
	Sensitive bool `yaml:"sensitive"`
	// Weight in the alarm budget; 1 is usual.
	Importance *float64 `yaml:"importance" jsonschema:"minimum=0,default=1"`
}

// Slice is a column, or a pair of columns, to split rows by. In YAML it is
// written `origin` or `[origin, dest]`.
type Slice []string

// Retrain says when a new version of a model is asked for.
type Retrain struct {
	When RetrainWhen `yaml:"when"`
	// Least time between two requests.
	Cooldown Duration `yaml:"cooldown" jsonschema:"default=1d"`
	// Fewest labels since the last request that a request needs.
	MinLabels int `yaml:"min_labels" jsonschema:"minimum=0"`
}

// RetrainWhen lists the causes of a retrain request; any of them is enough.
type RetrainWhen struct {
	// Lasting drift of features or of the prediction.
	Drift bool `yaml:"drift" jsonschema:"default=true"`
	// A metric that fell.
	Performance *PerformanceDrop `yaml:"performance"`
	// Time since the last request, or since the model was first judged, after which a new one is due.
	Schedule Duration `yaml:"schedule"`
	// New labels since the last version at which a new one is due.
	Labels int `yaml:"labels" jsonschema:"minimum=0"`
}

// PerformanceDrop is the fall of a metric that calls for a new version.
type PerformanceDrop struct {
	// Name of the metric.
	Metric string `yaml:"metric" jsonschema:"required"`
	// How far it must have fallen.
	Drop float64 `yaml:"drop" jsonschema:"required"`
}

// Bounds of a monitor.
const (
	MaxFeatures = 5000
	MaxSlices   = 20
	MaxTopics   = 100
)

// FormatNative is the product's own event form, the value of Monitor.Format.
const FormatNative = "native"

// DefaultMonitor returns a monitor with every default set.
func DefaultMonitor() *Monitor {
	return &Monitor{
		Format:      FormatNative,
		Start:       "earliest",
		Window:      Duration(time.Hour),
		Lateness:    Duration(10 * time.Minute),
		LateHorizon: Duration(72 * time.Hour),
		MaxFuture:   Duration(5 * time.Minute),
		Budget:      Budget{Pages: 1, Tickets: 4, Per: Duration(30 * 24 * time.Hour)},
		Predictions: PredictionRows{Sample: 1},
	}
}

// Unserved lists the keys of the file, as YAML paths, that are accepted but
// not acted on by this version of the program. A key that does nothing
// silently would be a lie, so whoever reads a monitor says so.
func (m *Monitor) Unserved() []string { return givenKeys(m.root, unservedKeys) }

// unservedKeys are the keys that no code serves yet; a star is any feature.
var unservedKeys = [][]string{
	{"cadence"},
	{"depends_on"},
	{"entity"},
	{"learn"},
	{"naive_time"},
	{"retrain", "when", "labels"},
	{"retrain", "when", "performance"},
}

// givenKeys lists the paths of those keys of want that stand in the file.
func givenKeys(n *YAML, want [][]string) []string {
	var out []string
	for _, keys := range want {
		out = append(out, given(n, keys)...)
	}
	return out
}

func given(n *YAML, keys []string) []string {
	if n == nil {
		return nil
	}
	if len(keys) == 0 {
		return []string{n.Path}
	}
	if keys[0] != "*" {
		return given(n.Get(keys[0]), keys[1:])
	}
	var out []string
	for _, e := range n.Entries {
		out = append(out, given(e.Value, keys[1:])...)
	}
	return out
}

// Place returns the node of the file that keys lead to, or the deepest that
// exists on the way; nil for a monitor that was not parsed. It gives problems
// that are found later, such as a missing baseline, their place.
func (m *Monitor) Place(keys ...string) *YAML {
	if m.root == nil {
		return nil
	}
	return m.root.At(keys...)
}
