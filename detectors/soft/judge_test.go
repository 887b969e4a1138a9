package soft_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/soft"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

const hour = 3_600_000

type world struct {
	memory soft.Memory
	next   int64
	p      soft.Parameters
	night  bool // hardly any rows are expected
}

func (w *world) expected() float64 {
	if w.night {
		return 3
	}
	return math.NaN()
}

func (w *world) window(part schemas.Part, rows uint64) *detectors.Window {
	out := &detectors.Window{Model: "m", Part: part, Start: w.next, End: w.next + hour, Coverage: 1}
	if rows > 0 {
		s := summary.New(0)
		s.Rows = rows
		out.Entries = []detectors.Entry{{Stream: schemas.Stream{Version: "1", Role: schemas.RoleRows, Feature: part.String()}, Summary: s}}
	}
	return out
}

// judge takes the memory through the journal each time.
func (w *world) judge(t *testing.T, win *detectors.Window) []detectors.Finding {
	t.Helper()
	f, m := soft.Judge(win, w.expected(), w.p, w.memory)
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	w.memory = soft.Memory{}
	if err := json.Unmarshal(body, &w.memory); err != nil {
		t.Fatal(err)
	}
	return f
}

func brief(all []detectors.Finding) string {
	var out []string
	for _, f := range all {
		out = append(out, fmt.Sprint(f.Fault, " ", f.State, " ", f.Severity, " ", f.Columns, " ", f.Slices))
	}
	return strings.Join(out, "; ")
}

func TestNoData(t *testing.T) {
	w := &world{p: soft.DefaultParameters()}
	f := func(rows uint64, coverage float64, want string) []detectors.Finding {
		t.Helper()
		win := w.window(schemas.PartFeatures, rows)
		win.Coverage = coverage
		w.next += hour
		findings := w.judge(t, win)
		if got := brief(findings); got != want {
			t.Errorf("window %d: got %q, want %q", w.next/hour, got, want)
		}
		return findings
	}
	f(0, 1, "") // has never delivered
	f(0, 1, "")
	f(0, 1, "")
	f(1, 1, "")
	w.night = true
	f(0, 1, "") // nobody is up
	f(0, 1, "")
	f(0, 1, "")
	f(1, 1, "")
	w.night = false
	f(0, 1, "")
	f(0, .5, "") // cannot be told
	found := f(0, 1, "no_data error critical [features] []")
	if found[0].Onset != 8*hour || found[0].Detected != 11*hour {
		t.Errorf("%+v", found[0])
	}
	f(0, .5, "no_data unknown critical [features] []")
	w.night = true
	f(0, 1, "no_data unknown critical [features] []")
	w.night = false
	f(0, 1, "no_data error critical [features] []")
	f(1, 1, "no_data ok critical [features] []")
	f(0, 1, "") // once only
	for range w.p.Clear {
		f(1, 1, "no_data ok critical [features] []")
	}
	f(1, 1, "")
	f(0, 1, "")
	found = f(0, 1, "no_data error critical [features] []")
	if found[0].Onset != int64(17+w.p.Clear)*hour {
		t.Errorf("%+v", found[0])
	}
	f(1, 1, "no_data ok critical [features] []")
	f(0, 1, "")
	found = f(0, 1, "no_data error critical [features] []")
	if found[0].Onset != int64(20+w.p.Clear)*hour {
		t.Errorf("%+v", found[0])
	}
}

func TestPartsAreApart(t *testing.T) {
	w := &world{p: soft.DefaultParameters()}
	w.judge(t, w.window(schemas.PartLabel, 10))
	w.judge(t, w.window(schemas.PartFeatures, 10))
	w.next += hour
	w.judge(t, w.window(schemas.PartLabel, 0))
	if got := brief(w.judge(t, w.window(schemas.PartFeatures, 10))); got != "" {
		t.Errorf("features came: %q", got)
	}
	w.next += hour
	if got := brief(w.judge(t, w.window(schemas.PartLabel, 0))); got != "no_data error critical [label] []" {
		t.Errorf("got %q", got)
	}
}

func TestCapture(t *testing.T) {
	m := soft.Memory{Delivered: schemas.PartFeatures | schemas.PartPrediction}
	p := soft.DefaultParameters()
	at := int64(0)
	f := func(features, predictions uint64, coverage float64, state schemas.State, want string) []detectors.Finding {
		t.Helper()
		win := func(part schemas.Part, n uint64) *detectors.Window {
			s := summary.New(0)
			s.Rows = n
			return &detectors.Window{Part: part, Start: at, End: at + hour, Coverage: coverage, Entries: []detectors.Entry{
				{Stream: schemas.Stream{Role: schemas.RoleRows, Feature: part.String()}, Summary: s},
			}}
		}
		v, findings, next := soft.Capture(win(schemas.PartFeatures, features), win(schemas.PartPrediction, predictions), p, m)
		at += hour
		m = next
		if got := brief(findings); got != want || v.State != state {
			t.Errorf("%d and %d: got %q %s, want %q %s", features, predictions, got, v.State, want, state)
		}
		return findings
	}
	f(1000, 960, 1, schemas.StateOK, "")
	f(40, 0, 1, schemas.StateUnknown, "")
	f(1000, 900, .5, schemas.StateUnknown, "")
	found := f(1000, 900, 1, schemas.StateError, "capture_gap error warning [] []")
	if found[0].Onset != 3*hour || math.Abs(*found[0].Effect.Share-.1) > 1e-12 {
		t.Errorf("%+v", found[0])
	}
	f(900, 1000, 1, schemas.StateError, "capture_gap error warning [] []")
	f(9, 10, 1, schemas.StateUnknown, "capture_gap unknown warning [] []")
	f(1000, 1000, 1, schemas.StateOK, "capture_gap ok warning [] []")
	f(9, 10, 1, schemas.StateUnknown, "capture_gap unknown warning [] []")
	for range p.Clear {
		f(1000, 1000, 1, schemas.StateOK, "capture_gap ok warning [] []")
	}
	f(1000, 1000, 1, schemas.StateOK, "")
	m.Delivered = schemas.PartFeatures
	f(1000, 0, 1, schemas.StateUnknown, "")
}

func TestParameters(t *testing.T) {
	if err := soft.DefaultParameters().Validate(); err != nil {
		t.Error(err)
	}
	f := func(change func(*soft.Parameters)) {
		t.Helper()
		p := soft.DefaultParameters()
		change(&p)
		if p.Validate() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	f(func(p *soft.Parameters) { p.Clear = 0 })
	f(func(p *soft.Parameters) { p.MinCoverage = 2 })
	f(func(p *soft.Parameters) { p.NoDataWindows = 0 })
	f(func(p *soft.Parameters) { p.CaptureGap = math.NaN() })
}
