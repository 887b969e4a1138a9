package schemas

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ParseMonitor reads a monitor file; name is what problems call the file. It
// does no input or output: the baseline named in it is not opened. On any
// problem it returns a *Problems that lists all of them.
func ParseMonitor(name string, body []byte) (*Monitor, error) {
	var p Problems
	root := ParseYAML(name, body, &p)
	if root == nil {
		return nil, p.Err()
	}
	m := DefaultMonitor()
	root.Decode(m, &p)
	if m.Task == "" {
		switch {
		case m.Positive != "":
			m.Task = TaskBinary
		case len(m.Classes) > 0:
			m.Task = TaskMulticlass
		default:
			m.Task = TaskNone
		}
	}
	if root.Kind == YAMLMap {
		checkMonitor(m, root, &p)
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	m.root = root
	return m, nil
}

// DecodeYAML reads a column or a list of columns.
func (s *Slice) DecodeYAML(n *YAML, p *Problems) {
	if n.Kind == YAMLString {
		*s = Slice{n.Text}
		return
	}
	if n.Kind != YAMLList {
		n.wrongType(p, "a column or a pair of columns", "write it as origin or [origin, dest]")
		return
	}
	var columns []string
	n.Decode(&columns, p)
	*s = columns
}

// DecodeYAML reads the block with its defaults.
func (r *Retrain) DecodeYAML(n *YAML, p *Problems) {
	type plain Retrain
	v := plain{When: RetrainWhen{Drift: true}, Cooldown: Duration(24 * time.Hour)}
	n.Decode(&v, p)
	*r = Retrain(v)
}

func checkMonitor(m *Monitor, root *YAML, p *Problems) {
	checkModel(m, root, p)
	checkTask(m, root, p)
	checkTopics(m, root, p)
	checkTimes(m, root, p)
	checkFeatures(m, root, p)
	checkSlices(m, root, p)
	checkReferences(m, root, p)
	checkRetrain(m, root, p)
	checkRules(m, root, p)
	checkCalendar(m, root, p)
}

func checkModel(m *Monitor, root *YAML, p *Problems) {
	at := root.At("model")
	switch {
	case root.Get("model") == nil:
		p.Add(root, "key `model` is missing", "give the name of the model as its events carry it")
	case m.Model == "" && (at.Kind == YAMLString || at.Kind == YAMLNull):
		p.Add(at, "the name of the model is empty", "")
	case len(m.Model) > 200:
		p.Add(at, "the name of the model has more than 200 bytes", "")
	case strings.ContainsFunc(m.Model, unicode.IsControl):
		p.Add(at, "the name of the model has a control character", "")
	}
	if m.Runbook != "" {
		u, err := url.Parse(m.Runbook)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			p.Add(root.At("runbook"), fmt.Sprintf("%q is not a web address", shorten(m.Runbook)), "write it like https://wiki.example/flight-delay")
		}
	}
	if m.Format != FormatNative {
		p.Add(root.At("format"), fmt.Sprintf("format `%s` is not read", shorten(m.Format)), DidYouMean(m.Format, []string{FormatNative}))
	}
	if s := m.Predictions.Sample; !(s > 0 && s <= 1) {
		p.Add(root.At("predictions", "sample"), fmt.Sprintf("a share of %g of the ids cannot be kept", s), "more than 0 and at most 1, which keeps all")
	}
	if m.Budget.Pages < 0 {
		p.Add(root.At("budget", "pages"), "a budget cannot be negative", "")
	}
	if m.Budget.Tickets < 0 {
		p.Add(root.At("budget", "tickets"), "a budget cannot be negative", "")
	}
	if m.Budget.Per < Duration(time.Hour) {
		p.Add(root.At("budget", "per"), "the period of a budget is at least 1h", "30d is usual")
	}
}

var tasks = []string{string(TaskBinary), string(TaskMulticlass), string(TaskNone), string(TaskRegression)}

func checkTask(m *Monitor, root *YAML, p *Problems) {
	at := root.At("task")
	if !slices.Contains(tasks, string(m.Task)) {
		p.Add(at, fmt.Sprintf("task `%s` is not known", shorten(string(m.Task))), DidYouMean(string(m.Task), tasks))
		return
	}
	if m.Positive != "" && m.Task != TaskBinary {
		p.Add(root.At("positive"), fmt.Sprintf("`positive` belongs to a binary task, but the task is %s", m.Task), "write `task: binary` or remove `positive`")
	}
	classes := root.At("classes")
	if root.Get("classes") == nil || classes.Kind != YAMLList {
		return
	}
	if m.Task != TaskBinary && m.Task != TaskMulticlass {
		p.Add(classes, fmt.Sprintf("`classes` belong to a binary or multiclass task, but the task is %s", m.Task), "")
	}
	if len(m.Classes) < 2 || m.Task == TaskBinary && len(m.Classes) != 2 {
		p.Add(classes, fmt.Sprintf("a %s task cannot have %d classes", m.Task, len(m.Classes)), "")
	}
	checkRepeats(m.Classes, classes, "class", p)
	if m.Positive != "" && !slices.Contains(m.Classes, m.Positive) {
		p.Add(root.At("positive"), fmt.Sprintf("`%s` is not among the classes", shorten(m.Positive)), DidYouMean(m.Positive, m.Classes))
	}
}

var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

func checkTopics(m *Monitor, root *YAML, p *Problems) {
	at := root.At("topics")
	if root.Get("topics") == nil {
		p.Add(root, "key `topics` is missing", "name the Kafka topics that carry the model's events")
		return
	}
	if at.Kind != YAMLList && at.Kind != YAMLNull {
		return
	}
	if len(m.Topics) == 0 {
		p.Add(at, "no topic is named", "")
	}
	if len(m.Topics) > MaxTopics {
		p.Add(at, fmt.Sprintf("%d topics are named; at most %d are read", len(m.Topics), MaxTopics), "")
	}
	for i, t := range m.Topics {
		if at.Items[i].Kind == YAMLString && (!topicName.MatchString(t) || t == "." || t == "..") {
			p.Add(at.Items[i], fmt.Sprintf("%q cannot be the name of a Kafka topic", shorten(t)), "letters, digits, `.`, `_` and `-`, at most 249")
		}
	}
	checkRepeats(m.Topics, at, "topic", p)
}

func checkRepeats(values []string, at *YAML, what string, p *Problems) {
	seen := map[string]int{}
	for i, v := range values {
		if i >= len(at.Items) || v == "" {
			continue
		}
		if _, ok := seen[v]; ok {
			p.Add(at.Items[i], fmt.Sprintf("%s `%s` is listed twice", what, shorten(v)), "remove one")
		}
		seen[v] = i
	}
}

func checkTimes(m *Monitor, root *YAML, p *Problems) {
	const day = Duration(24 * time.Hour)
	switch at := root.At("window"); {
	case m.Window < Duration(time.Second):
		p.Add(at, fmt.Sprintf("a window of %s is too short", m.Window), "at least 1s")
	case m.Window > 7*day:
		p.Add(at, fmt.Sprintf("a window of %s is too long", m.Window), "at most 7d")
	case m.Window%Duration(time.Second) != 0 || day%m.Window != 0 && m.Window%day != 0:
		p.Add(at, fmt.Sprintf("windows of %s do not fit into a day", m.Window), "take a divisor of 24h such as 5m, 15m, 1h or 6h, or whole days")
	}
	if m.Lateness < 0 {
		p.Add(root.At("lateness"), "lateness cannot be negative", "")
	}
	if m.LateHorizon > 30*day {
		p.Add(root.At("late_horizon"), fmt.Sprintf("late_horizon %s is too long", m.LateHorizon), "at most 30d")
	}
	if m.Lateness >= m.LateHorizon {
		at := root.At("lateness")
		if root.Get("lateness") == nil {
			at = root.At("late_horizon")
		}
		p.Add(at, fmt.Sprintf("lateness %s is not below late_horizon %s", m.Lateness, m.LateHorizon), "a window must close before its rows are refused as too late")
	}
	if m.MaxFuture < 0 {
		p.Add(root.At("max_future"), "max_future cannot be negative", "")
	}
	if root.Get("cadence") != nil && m.Cadence < Duration(time.Second) {
		notPositive(root.At("cadence"), p)
	}
	if root.Get("learn") != nil && m.Learn < m.Window {
		p.Add(root.At("learn"), fmt.Sprintf("learning takes at least one window of %s", m.Window), "28d is usual")
	}
	checkStart(m, root, p)
	if z := m.NaiveTime; z != "" && !zoneName.MatchString(z) {
		p.Add(root.At("naive_time"), fmt.Sprintf("%q is not the name of a time zone", shorten(z)), "write it like UTC or Europe/Berlin")
	}
}

var zoneName = regexp.MustCompile(`^(UTC|[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2})$`)

func notPositive(at *YAML, p *Problems) {
	if at.Kind == YAMLString {
		if _, err := ParseDuration(at.Text); err != nil {
			return // already noted
		}
	} else if at.Kind != YAMLInt || at.Number != 0 {
		return
	}
	p.Add(at, "the duration must be positive", "")
}

func checkStart(m *Monitor, root *YAML, p *Problems) {
	if m.Start == "earliest" || m.Start == "latest" {
		return
	}
	if d, err := ParseDuration(m.Start); err != nil || d <= 0 {
		hint := "write earliest, latest, or how far back, as in 72h"
		if n := Nearest(m.Start, []string{"earliest", "latest"}); n != "" {
			hint = "did you mean `" + n + "`?"
		}
		p.Add(root.At("start"), fmt.Sprintf("%q is no place to start", shorten(m.Start)), hint)
	}
}

// StartBack returns how far back reading begins where Start is a duration,
// and 0 where it is earliest or latest.
func (m *Monitor) StartBack() time.Duration {
	d, err := ParseDuration(m.Start)
	if err != nil {
		return 0
	}
	return d
}

func checkFeatures(m *Monitor, root *YAML, p *Problems) {
	all := root.Get("features")
	if all == nil || all.Kind != YAMLMap {
		return
	}
	if len(m.Features) > MaxFeatures {
		p.Add(all, fmt.Sprintf("%d features are listed; at most %d are watched", len(m.Features), MaxFeatures), "")
		return
	}
	for _, e := range all.Entries {
		f := m.Features[e.Key.Text]
		if why := BadColumnName(e.Key.Text); why != "" {
			p.Add(e.Key, "the name of the feature "+why, "")
		}
		checkFeature(&f, e.Value, p)
	}
}

// BadColumnName says what is wrong with the name of a column, "" for nothing.
func BadColumnName(name string) string {
	switch {
	case name == "":
		return "is empty"
	case !utf8.ValidString(name):
		return "is not UTF-8 text"
	case len(name) > 256:
		return "has more than 256 bytes"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "has a control character"
	}
	return ""
}

func checkFeature(f *Feature, at *YAML, p *Problems) {
	types := []string{string(TypeNumber), string(TypeCategory)}
	if f.Type != "" && !slices.Contains(types, string(f.Type)) {
		p.Add(at.At("type"), fmt.Sprintf("type `%s` is not known", shorten(string(f.Type))), DidYouMean(string(f.Type), types))
		return
	}
	bounded := f.Min != nil || f.Max != nil
	if f.Min != nil && f.Max != nil && *f.Min > *f.Max {
		p.Add(at.At("min"), fmt.Sprintf("min %g is greater than max %g", *f.Min, *f.Max), "")
	}
	if bounded && (f.Type == TypeCategory || f.Type == "" && f.Set != nil) {
		key := "min"
		if f.Min == nil {
			key = "max"
		}
		p.Add(at.At(key), fmt.Sprintf("`%s` is a rule for numbers", key), "a category takes `set`")
	}
	if set := at.Get("set"); set != nil && set.Kind == YAMLList {
		if f.Type == TypeNumber {
			p.Add(set, "`set` is a rule for categories", "a number takes `min` and `max`, or write `type: category`")
		}
		if len(f.Set) == 0 {
			p.Add(set, "an empty set would forbid every value", "list the values that may come, or remove the key")
		}
		checkRepeats(f.Set, set, "value", p)
	}
	if f.Importance != nil && *f.Importance < 0 {
		p.Add(at.At("importance"), "importance cannot be negative", "")
	}
}

func checkSlices(m *Monitor, root *YAML, p *Problems) {
	all := root.Get("slices")
	if all == nil || all.Kind != YAMLList {
		return
	}
	if len(m.Slices) > MaxSlices {
		p.Add(all, fmt.Sprintf("%d slices are listed; at most %d are watched", len(m.Slices), MaxSlices), "")
	}
	seen := map[string]bool{}
	for i, s := range m.Slices {
		at := all.Items[i]
		switch {
		case len(s) == 0:
			if at.Kind == YAMLList {
				p.Add(at, "the slice names no column", "")
			}
			continue
		case len(s) > 2:
			p.Add(at, fmt.Sprintf("the slice has %d columns", len(s)), "a slice is a column or a pair")
		case len(s) == 2 && s[0] == s[1]:
			p.Add(at, fmt.Sprintf("column `%s` is paired with itself", shorten(s[0])), "")
		}
		for j, column := range s {
			place := at
			if at.Kind == YAMLList {
				place = at.Items[j]
			}
			checkSliceColumn(m, column, place, p)
		}
		sorted := slices.Sorted(slices.Values(s))
		if key := strings.Join(sorted, "\x00"); seen[key] {
			p.Add(at, fmt.Sprintf("slice `%s` is listed twice", shorten(strings.Join(s, ", "))), "remove one")
		} else {
			seen[key] = true
		}
	}
}

func checkSliceColumn(m *Monitor, column string, at *YAML, p *Problems) {
	if column == "" {
		return // noted as a wrong type
	}
	f, listed := m.Features[column]
	if listed && (f.Type == TypeNumber || f.Type == "" && (f.Min != nil || f.Max != nil)) {
		p.Add(at, fmt.Sprintf("`%s` is a number and cannot be sliced by", shorten(column)), "write `type: category` for it, or slice by another column")
		return
	}
	if !listed && m.Baseline == "" && m.Learn == 0 {
		p.Add(at, fmt.Sprintf("`%s` is not among the features", shorten(column)), DidYouMean(column, sortedKeys(m.Features)))
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func checkReferences(m *Monitor, root *YAML, p *Problems) {
	if m.Baseline != "" && m.Learn > 0 {
		p.Add(root.At("learn"), "`baseline` and `learn` exclude each other", "keep one of them")
	}
	if m.Entity != "" && m.Baseline == "" && m.Learn == 0 {
		if _, ok := m.Features[m.Entity]; !ok {
			p.Add(root.At("entity"), fmt.Sprintf("`%s` is not among the features", shorten(m.Entity)), DidYouMean(m.Entity, sortedKeys(m.Features)))
		}
	}
	at := root.At("depends_on")
	checkRepeats(m.DependsOn, at, "model", p)
	for i, d := range m.DependsOn {
		if d == m.Model && d != "" {
			p.Add(at.Items[i], "a model cannot depend on itself", "")
		}
	}
}

func checkRetrain(m *Monitor, root *YAML, p *Problems) {
	r, at := m.Retrain, root.At("retrain")
	if r == nil {
		return
	}
	when := at.At("when")
	if r.Cooldown < 0 {
		p.Add(at.At("cooldown"), "cooldown cannot be negative", "")
	}
	if r.MinLabels < 0 {
		p.Add(at.At("min_labels"), "min_labels cannot be negative", "")
	}
	if r.When.Labels < 0 {
		p.Add(when.At("labels"), "labels cannot be negative", "")
	}
	if when.Get("schedule") != nil && r.When.Schedule <= 0 {
		notPositive(when.At("schedule"), p)
	}
	if s := r.When.Schedule; s > 0 && s < r.Cooldown {
		p.Add(when.At("schedule"), fmt.Sprintf("a schedule of %s cannot be kept with a cooldown of %s", s, r.Cooldown), "")
	}
	if r.When.Labels > 0 && m.Task == TaskNone {
		p.Add(when.At("labels"), "labels are counted for a model whose task is none", "give the task")
	}
	perf := r.When.Performance
	if perf == nil {
		return
	}
	at = when.At("performance")
	if m.Task == TaskNone {
		p.Add(at, "performance is asked for of a model whose task is none", "give the task")
	}
	if perf.Metric == "" {
		p.Add(at, "key `metric` is missing or empty", "name the metric, such as auc")
	}
	if !(perf.Drop > 0) {
		p.Add(at.At("drop"), "the drop must be greater than 0", "0.03 is three points")
	}
}
