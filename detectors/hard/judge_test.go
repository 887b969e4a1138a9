package hard_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/hard"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

// life follows one model through trips and closed windows.
type life struct {
	t       *testing.T
	spec    *schemas.SpecRecord
	memory  hard.Memory
	p       hard.Parameters
	tripped map[string]bool // fault, feature and start of the window
}

func newLife(t *testing.T) *life {
	s := testSpec()
	s.Spec.Window, s.Spec.LateHorizon = time.Second, 10*time.Second
	return &life{t: t, spec: s, p: hard.DefaultParameters(), tripped: map[string]bool{}}
}

func brief(all []detectors.Finding) string {
	var out []string
	for _, f := range all {
		out = append(out, fmt.Sprint(f.Fault, " ", f.State, " ", f.Severity, " ", f.Columns))
	}
	return strings.Join(out, "; ")
}

// keep takes the memory through the journal.
func (l *life) keep(m hard.Memory) {
	l.t.Helper()
	body, err := json.Marshal(m)
	if err != nil {
		l.t.Fatal(err)
	}
	l.memory = hard.Memory{}
	if err := json.Unmarshal(body, &l.memory); err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) trips(want string, trips ...schemas.Trip) []detectors.Finding {
	l.t.Helper()
	for _, t := range trips {
		l.tripped[fmt.Sprint(t.Fault, t.Feature, t.WindowStart)] = true
	}
	findings, m := hard.Decide(trips, &l.spec.Spec, l.p, l.memory)
	l.keep(m)
	if got := brief(findings); got != want {
		l.t.Errorf("trips: got %q, want %q", got, want)
	}
	return findings
}

// window is a closed window of that part with rows events, of which bad show the fault.
func (l *life) window(part schemas.Part, start int64, rows uint64, counts map[string]uint64) *detectors.Window {
	w := &detectors.Window{Model: "m", Part: part, Spec: l.spec, Start: start, End: start + window, Coverage: 1}
	put := func(role schemas.Role, feature string, s *summary.Summary) {
		w.Entries = append(w.Entries, detectors.Entry{Stream: schemas.Stream{Version: "1", Role: role, Feature: feature}, Summary: s})
	}
	events := summary.New(0)
	events.Rows = rows
	put(schemas.RoleRows, part.String(), events)
	for _, c := range l.spec.Spec.Columns {
		if c.Role.Part() != part {
			continue
		}
		s := summary.New(1)
		s.Rows, s.Present = rows, rows
		take := func(n *uint64, key string) { *n = counts[c.Name+" "+key]; s.Present -= *n }
		take(&s.Bad, "bad")
		take(&s.Absent, "absent")
		take(&s.PosInf, "inf")
		s.Outside = counts[c.Name+" outside"]
		put(c.Role, c.Name, s)
	}
	for _, f := range []schemas.Fault{schemas.FaultUnparsable, schemas.FaultDuplicates, schemas.FaultExtraColumn, schemas.FaultLateData} {
		if n := counts[string(f)]; n > 0 {
			s := summary.New(0)
			s.Rows = n
			put(schemas.RoleRows, string(f), s)
		}
	}
	return w
}

func (l *life) close(w *detectors.Window, want string) []schemas.Verdict {
	l.t.Helper()
	verdicts, findings, m, err := hard.Judge(w, func(fault schemas.Fault, feature string) (int64, bool) {
		return w.Start + 100, l.tripped[fmt.Sprint(fault, feature, w.Start)]
	}, l.p, l.memory)
	if err != nil {
		l.t.Fatal(err)
	}
	l.keep(m)
	if got := brief(findings); got != want {
		l.t.Errorf("window of %s at %d: got %q, want %q", w.Part, w.Start, got, want)
	}
	return verdicts
}

func trip(fault schemas.Fault, feature string, start int64, bad, rows uint64) schemas.Trip {
	return schemas.Trip{
		Model: "m", Version: "1", Fault: fault, Feature: feature, WindowStart: start, Onset: start + 100, Time: start + 200,
		Bad: bad, Rows: rows, Value: "x", Reason: "not a number",
	}
}

const (
	features   = schemas.PartFeatures
	prediction = schemas.PartPrediction
)

func TestLifeOfAWrongType(t *testing.T) {
	l := newLife(t)
	first := trip(schemas.FaultWrongType, "age", 1000, 5, 5)
	l.close(l.window(features, 0, 100, nil), "")
	found := l.trips("wrong_type error critical [age]", first)
	f := found[0]
	if f.Onset != 1100 || f.Detected != 1200 || f.Start != 1000 || f.End != 2000 || f.Version != "1" || *f.Effect.Share != 1 ||
		len(f.Evidence) != 1 || f.Evidence[0].Value != 5 || f.Evidence[0].Detail != "not a number: x" {
		t.Errorf("%+v", f)
	}
	l.trips("wrong_type error critical [age]", first) // read again: the same is said
	l.close(l.window(features, 1000, 1000, map[string]uint64{"age bad": 5}), "wrong_type error warning [age]")
	l.close(l.window(prediction, 2000, 100, nil), "") // another part
	l.close(l.window(features, 2000, 100, map[string]uint64{"age bad": 3}), "wrong_type error warning [age]")
	l.close(l.window(features, 3000, 20, nil), "wrong_type unknown warning [age]")
	half := l.window(features, 4000, 100, nil)
	half.Coverage = .5
	l.close(half, "wrong_type unknown warning [age]")
	verdicts := l.close(l.window(features, 5000, 1000, map[string]uint64{"age bad": 9}), "wrong_type ok warning [age]")
	if len(verdicts) != 1 || verdicts[0].State != schemas.StateOK || verdicts[0].Channel != "wrong_type" || verdicts[0].Role != schemas.RoleFeature || verdicts[0].Effect != .009 {
		t.Errorf("%+v", verdicts)
	}
	l.close(l.window(features, 6000, 100, nil), "wrong_type ok warning [age]")
	l.close(l.window(features, 20_000, 1000, nil), "wrong_type ok warning [age]")
	if len(l.memory.Faults) > 0 {
		t.Errorf("remembered after the late horizon: %+v", l.memory)
	}
}

// What closed windows say does not depend on whether a later trip is known
// already.
func TestALaterTripChangesNothingBefore(t *testing.T) {
	first, later := trip(schemas.FaultWrongType, "age", 0, 5, 5), trip(schemas.FaultWrongType, "age", 3000, 5, 5)
	bad, ok := "wrong_type error warning [age]", "wrong_type ok warning [age]"
	for _, early := range []bool{false, true} {
		l := newLife(t)
		l.trips("wrong_type error critical [age]", first)
		if early {
			l.trips("wrong_type error critical [age]", later)
		}
		l.close(l.window(features, 0, 1000, map[string]uint64{"age bad": 5}), bad)
		l.close(l.window(features, 1000, 100, nil), ok)
		l.close(l.window(features, 2000, 100, nil), ok)
		if !early {
			l.trips("wrong_type error critical [age]", later)
		}
		l.close(l.window(features, 3000, 1000, map[string]uint64{"age bad": 5}), bad)
	}
}

func TestEveryFaultClears(t *testing.T) {
	f := func(fault schemas.Fault, feature, column string, part schemas.Part, bad string) {
		t.Helper()
		l := newLife(t)
		l.trips(fmt.Sprintf("%s error critical [%s]", fault, column), trip(fault, feature, 0, 5, 5))
		l.close(l.window(part, 0, 100, map[string]uint64{bad: 30}), fmt.Sprintf("%s error critical [%s]", fault, column))
		l.close(l.window(part, 1000, 100, nil), fmt.Sprintf("%s ok warning [%s]", fault, column))
	}
	f(schemas.FaultWrongType, "age", "age", features, "age bad")
	f(schemas.FaultMissingColumn, "age", "age", features, "age absent")
	f(schemas.FaultOutOfRange, "age", "age", features, "age outside")
	f(schemas.FaultNotFinite, "score", "score", prediction, "score inf")
	f(schemas.FaultExtraColumn, "nickname", "nickname", features, "extra_column")
	f(schemas.FaultDuplicates, "prediction", "prediction", prediction, "duplicates")
	f(schemas.FaultLateData, "features", "features", features, "late_data")
	f(schemas.FaultUnparsable, "features", "features", features, "unparsable")
}

func TestExtraColumnsClearTogether(t *testing.T) {
	l := newLife(t)
	both := "extra_column error critical [a]; extra_column error critical [b]"
	l.trips(both, trip(schemas.FaultExtraColumn, "a", 0, 5, 5), trip(schemas.FaultExtraColumn, "b", 0, 5, 5))
	l.close(l.window(features, 0, 100, map[string]uint64{"extra_column": 100}), both)
	l.close(l.window(features, 1000, 100, nil), "extra_column ok warning [a]; extra_column ok warning [b]")
}

func TestVerdictWithoutAFault(t *testing.T) {
	l := newLife(t)
	verdicts := l.close(l.window(features, 0, 100, map[string]uint64{"age outside": 4, "duplicates": 1, "unparsable": 1}), "")
	var got []string
	for _, v := range verdicts {
		got = append(got, fmt.Sprint(v.Channel, " ", v.Role, " ", v.Feature, " ", v.State, " ", v.N))
	}
	want := "duplicates rows  warn 100, out_of_range feature age warn 100, unparsable rows  ok 101"
	if strings.Join(got, ", ") != want {
		t.Errorf("got %v", got)
	}
}

func TestCountsThatDoNotAddUpAreAnError(t *testing.T) {
	l := newLife(t)
	w := l.window(features, 0, 100, nil)
	w.Entries[1].Rows++
	if _, _, _, err := hard.Judge(w, nil, l.p, l.memory); err == nil || !strings.Contains(err.Error(), "feature age") {
		t.Errorf("got %v", err)
	}
}

func TestParameters(t *testing.T) {
	if err := hard.DefaultParameters().Validate(); err != nil {
		t.Error(err)
	}
	for _, p := range []hard.Parameters{{}, {ClearShare: 2, MinRows: 1}, {ClearShare: .1}, {ClearShare: .1, MinRows: 1, CriticalShare: -1}} {
		if p.Validate() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
}
