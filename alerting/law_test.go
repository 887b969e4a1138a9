package alerting_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/alerting"
	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/schemas"
)

const hour = int64(time.Hour / time.Millisecond)

// epoch is the start of the first window: 4 Nov 2008, 12:00 UTC.
var epoch = time.Date(2008, 11, 4, 12, 0, 0, 0, time.UTC).UnixMilli()

func window(w int) schemas.Interval {
	return schemas.Interval{Start: time.UnixMilli(epoch + int64(w)*hour).UTC(), End: time.UnixMilli(epoch + int64(w+1)*hour).UTC()}
}

func finding(f schemas.Fault, state schemas.State, w int, columns ...string) detectors.Finding {
	start := epoch + int64(w)*hour
	out := detectors.Finding{Fault: f, State: state, Version: "3", Columns: columns, Start: start, End: start + hour}
	if state == schemas.StateError {
		out.Severity, out.Onset, out.Detected = schemas.SeverityWarning, start, start+hour
	}
	return out
}

func config(parts schemas.Part) alerting.Config { return alerting.DefaultConfig(time.Hour, parts) }

// life checks what every sequence of steps must keep, and steps.
type life struct {
	t     interface{ Fatalf(string, ...any) }
	cfg   alerting.Config
	state alerting.State
	said  map[string][]schemas.Alert
	known map[string]schemas.Incident
	log   []string
}

func newLife(t interface{ Fatalf(string, ...any) }, cfg alerting.Config) *life {
	if err := cfg.Validate(); err != nil {
		t.Fatalf("%v", err)
	}
	return &life{t: t, cfg: cfg, said: map[string][]schemas.Alert{}, known: map[string]schemas.Incident{}}
}

func (l *life) step(in alerting.Input) alerting.Result {
	in.Model = "flight-delay"
	// What is stored between two steps is all that counts.
	body, err := json.Marshal(&l.state)
	if err != nil {
		l.t.Fatalf("writing the state: %v", err)
	}
	l.state = alerting.State{}
	if err := json.Unmarshal(body, &l.state); err != nil {
		l.t.Fatalf("reading the state: %v", err)
	}
	r := l.state.Step(in, l.cfg)
	if len(r.Messages) != len(r.Alerts) {
		l.t.Fatalf("%d alerts and %d messages", len(r.Alerts), len(r.Messages))
	}
	for n, a := range r.Alerts {
		before := l.said[a.Incident]
		if a.Seq != len(before)+1 {
			l.t.Fatalf("message %d of %s follows %d others", a.Seq, a.Incident, len(before))
		}
		if (a.Transition == schemas.TransitionFiring) != (len(before) == 0) {
			l.t.Fatalf("%s is %s at message %d", a.Incident, a.Transition, a.Seq)
		}
		for _, b := range before {
			if b.Transition == schemas.TransitionResolved && a.Transition != schemas.TransitionRevised {
				l.t.Fatalf("%s is %s after it was resolved", a.Incident, a.Transition)
			}
		}
		l.said[a.Incident] = append(before, a)
		if m := r.Messages[n]; m.ID != fmt.Sprintf("%s.%d", a.Incident, a.Seq) || m.Incident != a.Incident || m.Seq != a.Seq {
			l.t.Fatalf("message %q of %s, %d", m.ID, a.Incident, a.Seq)
		}
	}
	for _, i := range r.Incidents {
		l.known[i.Incident] = i
	}
	open := map[string]string{}
	for _, i := range l.state.Incidents() {
		if k := string(i.Fault) + strings.Join(i.Columns, ","); i.State == schemas.IncidentFiring {
			if other, twice := open[k]; twice {
				l.t.Fatalf("%s and %s are open for the same %s", i.Incident, other, k)
			}
			open[k] = i.Incident
		}
		if said := l.said[i.Incident]; len(said) != i.Messages {
			l.t.Fatalf("%s has sent %d messages and says %d", i.Incident, len(said), i.Messages)
		}
	}
	return r
}

// set is what must not depend on the order of reading.
func (l *life) set() []string {
	var out []string
	for _, i := range l.known {
		out = append(out, fmt.Sprintf("%s %v %s %s", i.Fault, i.Columns, i.Onset.Format("2T15:04"), i.State))
	}
	slices.Sort(out)
	return out
}

// source is a list of inputs that are read in order; an input may have to
// wait until others were read.
type source []step

type step struct {
	in    alerting.Input
	name  string
	after []string // names of steps
}

// play reads the sources in a drawn order.
func play(t *rapid.T, l *life, sources []source, label string) {
	read := map[string]bool{}
	next := make([]int, len(sources))
	for {
		var ready []int
		for i, s := range sources {
			if next[i] < len(s) && !slices.ContainsFunc(s[next[i]].after, func(n string) bool { return !read[n] }) {
				ready = append(ready, i)
			}
		}
		if len(ready) == 0 {
			break
		}
		i := rapid.SampledFrom(ready).Draw(t, label)
		s := sources[i][next[i]]
		next[i]++
		in := s.in
		in.Findings = slices.Clone(in.Findings)
		if len(in.Findings) > 1 {
			// Findings come in any order: rotated is any enough, and reads well when it fails.
			k := len(l.said) % len(in.Findings)
			in.Findings = slices.Concat(in.Findings[k:], in.Findings[:k])
		}
		l.step(in)
		read[s.name] = true
		l.log = append(l.log, s.name)
		l.step(in)
		read[s.name] = true
	}
	for i, s := range sources {
		if next[i] != len(s) {
			t.Fatalf("source %d stopped at %d of %d", i, next[i], len(s))
		}
	}
}

// states draws one state per window: mostly ok, with stretches of others.
func states(t *rapid.T, n int, label string) []schemas.State {
	out := make([]schemas.State, 0, n)
	for len(out) < n {
		s := rapid.SampledFrom([]schemas.State{schemas.StateOK, schemas.StateOK, schemas.StateError, schemas.StateUnknown}).Draw(t, label)
		for k := rapid.IntRange(1, 4).Draw(t, label+" run"); k > 0 && len(out) < n; k-- {
			out = append(out, s)
		}
	}
	return out
}

// picture draws what closed windows say, one line for each track: X is an error, ? unknown.
func picture(sources []source) string {
	lines := map[string]string{}
	for _, s := range sources {
		for _, st := range s {
			for _, f := range st.in.Findings {
				name := fmt.Sprintf("%16s %v", f.Fault, f.Columns)
				if st.in.Window.Start.IsZero() {
					name += " tripped in " + fmt.Sprint((f.Start-epoch)/hour)
				}
				lines[name] += map[schemas.State]string{schemas.StateError: "X", schemas.StateOK: ".", schemas.StateUnknown: "?"}[f.State]
			}
		}
	}
	var out []string
	for name, line := range lines {
		out = append(out, name+" "+line)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

const windows = 14

// world draws what is wrong when, as the sources that tell it.
func world(t *rapid.T, partitions int, outputs bool) []source {
	hard := []detectors.Finding{
		{Fault: schemas.FaultWrongType, Columns: []string{"a"}},
		{Fault: schemas.FaultOutOfRange, Columns: []string{"b"}},
	}
	later := []detectors.Finding{
		{Fault: schemas.FaultNulls, Columns: []string{"b"}},
		{Fault: schemas.FaultNulls, Columns: []string{"c"}},
		{Fault: schemas.FaultDrift, Columns: []string{"a"}},
		{Fault: schemas.FaultDrift, Columns: []string{"b"}},
		{Fault: schemas.FaultDrift, Columns: []string{"c"}},
		{Fault: schemas.FaultVolume},
	}
	features := make(source, windows)
	for w := range features {
		features[w] = step{in: alerting.Input{Part: schemas.PartFeatures, Window: window(w), At: window(w).End.UnixMilli()}, name: fmt.Sprint("features ", w)}
	}
	var sources []source
	for n, h := range hard {
		trips := make([]source, partitions)
		for w, s := range states(t, windows, string(h.Fault)) {
			if s == schemas.StateError {
				// The rule trips in one partition at least.
				lucky := rapid.IntRange(0, partitions-1).Draw(t, "partition")
				for p := range trips {
					if p != lucky && rapid.Bool().Draw(t, "quiet") {
						continue
					}
					name := fmt.Sprint("trip ", n, p, w)
					trips[p] = append(trips[p], step{name: name, in: alerting.Input{
						At: window(w).Start.UnixMilli(), Findings: []detectors.Finding{finding(h.Fault, schemas.StateError, w, h.Columns...)},
					}})
					features[w].after = append(features[w].after, name)
				}
				s = rapid.SampledFrom([]schemas.State{schemas.StateOK, schemas.StateError, schemas.StateUnknown}).Draw(t, "closed as")
			}
			features[w].in.Findings = append(features[w].in.Findings, finding(h.Fault, s, w, h.Columns...))
		}
		sources = append(sources, trips...)
	}
	for _, k := range later {
		for w, s := range states(t, windows, fmt.Sprint(k.Fault, k.Columns)) {
			features[w].in.Findings = append(features[w].in.Findings, finding(k.Fault, s, w, k.Columns...))
		}
	}
	sources = append(sources, features)
	if outputs {
		predictions := make(source, windows)
		for w := range predictions {
			predictions[w] = step{in: alerting.Input{Part: schemas.PartPrediction, Window: window(w), At: window(w).End.UnixMilli()}, name: fmt.Sprint("predictions ", w)}
		}
		for _, f := range []schemas.Fault{schemas.FaultPredictionDrift, schemas.FaultScoreDrift} {
			for w, s := range states(t, windows, string(f)) {
				predictions[w].in.Findings = append(predictions[w].in.Findings, finding(f, s, w, strings.TrimSuffix(string(f), "_drift")))
			}
		}
		sources = append(sources, predictions)
	}
	return sources
}

// Law: the incidents and their final states do not depend on when which
// source was read.
func TestReadingOrderDoesNotMatter(t *testing.T) {
	f := func(partitions int, outputs bool, parts schemas.Part) {
		rapid.Check(t, func(t *rapid.T) {
			sources := world(t, partitions, outputs)
			one, two := newLife(t, config(parts)), newLife(t, config(parts))
			play(t, one, sources, "one")
			play(t, two, sources, "two")
			if a, b := one.set(), two.set(); !slices.Equal(a, b) {
				t.Fatalf("%s\n%s\ngives\n%s\n\n%s\ngives\n%s", picture(sources), strings.Join(one.log, ", "), strings.Join(a, "\n"),
					strings.Join(two.log, ", "), strings.Join(b, "\n"))
			}
		})
	}
	f(2, false, schemas.PartFeatures)
	f(1, true, schemas.PartFeatures|schemas.PartPrediction)
}

// Law: findings of one window may come together or apart, as long as nothing
// joins an incident that the same window may end.
func TestBatchesDoNotMatter(t *testing.T) {
	cfg := config(schemas.PartFeatures)
	cfg.Join = cfg.Clear - 1
	rapid.Check(t, func(t *rapid.T) {
		one, two := newLife(t, cfg), newLife(t, cfg)
		columns := []string{"a", "b", "c", "d"}
		var truth [][]schemas.State
		for _, c := range columns {
			truth = append(truth, states(t, windows, c))
		}
		for w := range windows {
			in := alerting.Input{Part: schemas.PartFeatures, Window: window(w), At: window(w).End.UnixMilli()}
			all := in
			for n, c := range columns {
				part := in
				part.Findings = []detectors.Finding{finding(schemas.FaultDrift, truth[n][w], w, c)}
				all.Findings = append(all.Findings, part.Findings...)
				two.step(part)
			}
			one.step(all)
		}
		if a, b := one.set(), two.set(); !slices.Equal(a, b) {
			t.Fatalf("together\n%s\none by one\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	})
}

// Law: equal steps leave equal bytes.
func TestStateIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sources := world(t, 1, true)
		run := func() []byte {
			var s alerting.State
			for w := range windows {
				for _, src := range sources {
					if w < len(src) {
						src[w].in.Model = "m"
						s.Step(src[w].in, config(schemas.PartFeatures|schemas.PartPrediction))
					}
				}
			}
			body, err := json.Marshal(&s)
			if err != nil {
				t.Fatalf("%v", err)
			}
			return body
		}
		if a, b := run(), run(); string(a) != string(b) {
			t.Fatalf("%s\n%s", a, b)
		}
	})
}

// Law: distinct faults have distinct fingerprints, however columns are named.
func TestFingerprintsDoNotCollide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune("ab\\\x000,")))
		columns := rapid.Custom(func(t *rapid.T) []string {
			c := rapid.SliceOfN(text, 0, 3).Draw(t, "columns")
			slices.Sort(c)
			return c
		})
		m1, m2 := text.Draw(t, "m1"), text.Draw(t, "m2")
		f1, f2 := schemas.Fault(text.Draw(t, "f1")), schemas.Fault(text.Draw(t, "f2"))
		c1, c2 := columns.Draw(t, "c1"), columns.Draw(t, "c2")
		same := m1 == m2 && f1 == f2 && slices.Equal(c1, c2)
		if (alerting.Fingerprint(m1, f1, c1) == alerting.Fingerprint(m2, f2, c2)) != same {
			t.Fatalf("%q %q %q and %q %q %q", m1, f1, c1, m2, f2, c2)
		}
	})
}
