package soft_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/soft"
	"github.com/modelwatch/modelwatch/internal/summary"
	"github.com/modelwatch/modelwatch/schemas"
)

const hour = 3_600_000

// airports are the slices of the test's model; each has 50 rows a window.
const (
	airports = 20
	columns  = 8
	perSlice = 50
)

// fault spoils a share of the values of one column and slice in one channel.
type fault struct {
	column, slice, channel string
	share                  float64
}

type world struct {
	rng      *rand.Rand
	baseline *schemas.Baseline
	memory   soft.Memory
	next     int64
	p        soft.Parameters
}

func slicesOf() []string {
	out := []string{""}
	for i := range airports {
		out = append(out, fmt.Sprintf("origin=%c", 'A'+i))
	}
	return out
}

// newWorld has columns without any nulls but c0, which has 3 %.
func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 2)), p: soft.DefaultParameters()}
	b := &schemas.Baseline{Model: "m", Window: schemas.Duration(hour * 1e6)}
	for i := range columns {
		c := schemas.BaselineColumn{Name: fmt.Sprintf("c%d", i), Role: schemas.RoleFeature, Type: schemas.TypeCategory}
		for _, s := range slicesOf() {
			rows := uint64(20_000)
			if s == "" {
				rows *= airports
			}
			st := schemas.BaselineStream{Slice: s, Rows: rows, Present: rows, Bins: []uint64{rows, 0}}
			if i == 0 {
				st.Nulls = rows * 3 / 100
				st.Present -= st.Nulls
				st.Bins[0] = st.Present
			}
			if s == "" {
				st.Healthy = map[string]schemas.Healthy{soft.Volume: {Windows: 200, Mean: math.Log(airports * perSlice), SD: .1}}
			}
			c.Streams = append(c.Streams, st)
		}
		b.Columns = append(b.Columns, c)
	}
	w.baseline = b
	return w
}

func (w *world) window(rows float64, faults ...fault) *detectors.Window {
	out := &detectors.Window{Model: "m", Part: schemas.PartFeatures, Baseline: w.baseline, Start: w.next, End: w.next + hour, Coverage: 1}
	w.next += hour
	n := uint64(rows * perSlice)
	if n == 0 {
		return out
	}
	counts := summary.New(0)
	counts.Rows = n * airports
	out.Entries = append(out.Entries, detectors.Entry{Stream: schemas.Stream{Version: "1", Role: schemas.RoleRows, Feature: "features"}, Summary: counts})
	for i := range columns {
		name := fmt.Sprintf("c%d", i)
		whole := summary.New(2)
		at := len(out.Entries)
		out.Entries = append(out.Entries, detectors.Entry{Stream: schemas.Stream{Version: "1", Role: schemas.RoleFeature, Feature: name}, Summary: whole})
		for _, slice := range slicesOf()[1:] {
			s := summary.New(2)
			for range n {
				s.Rows++
				channel := ""
				if i == 0 && w.rng.Float64() < .03 {
					channel = soft.NullRate
				}
				for _, f := range faults {
					if f.column == name && (f.slice == "" || f.slice == slice) && w.rng.Float64() < f.share {
						channel = f.channel
					}
				}
				switch channel {
				case soft.NullRate:
					s.Null++
				case soft.NaNRate:
					s.PosInf++
				case soft.AbsentRate:
					s.Absent++
				case soft.UnseenRate:
					s.Present++
					s.Bins[1]++
				default:
					s.Present++
					s.Bins[0]++
				}
			}
			whole.Merge(s)
			out.Entries = append(out.Entries, detectors.Entry{Stream: schemas.Stream{Version: "1", Role: schemas.RoleFeature, Feature: name, Slice: slice}, Summary: s})
		}
		out.Entries[at].Summary = whole
	}
	return out
}

func (w *world) judge(t *testing.T, win *detectors.Window) ([]schemas.Verdict, []detectors.Finding) {
	t.Helper()
	v, f, m, err := soft.Judge(win, w.p, w.memory)
	if err != nil {
		t.Fatal(err)
	}
	w.keep(t, m)
	return v, f
}

// keep takes the memory through the journal.
func (w *world) keep(t *testing.T, m soft.Memory) {
	t.Helper()
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	w.memory = soft.Memory{}
	if err := json.Unmarshal(body, &w.memory); err != nil {
		t.Fatal(err)
	}
}

func brief(all []detectors.Finding) string {
	var out []string
	for _, f := range all {
		out = append(out, fmt.Sprint(f.Fault, " ", f.State, " ", f.Severity, " ", f.Columns, " ", f.Slices))
	}
	return strings.Join(out, "; ")
}

func TestHealthyWindowsAreSilent(t *testing.T) {
	w := newWorld(1)
	for range 100 {
		verdicts, findings := w.judge(t, w.window(1))
		if len(findings) > 0 {
			t.Fatalf("window %d: %s", w.next/hour, brief(findings))
		}
		for _, v := range verdicts {
			if v.State == schemas.StateUnknown {
				t.Fatalf("%+v", v)
			}
		}
	}
	if body, _ := json.Marshal(w.memory); len(body) > 400 {
		t.Errorf("memory of a healthy model is %s", body)
	}
}

// The fault of the demonstration: one airport of twenty, one value in twenty,
// fifty rows a window, among 8×21 streams.
func TestFewNullsOfOneSliceAreFound(t *testing.T) {
	late := 0
	for seed := range uint64(10) {
		w := newWorld(100 + seed)
		for range 5 {
			w.judge(t, w.window(1))
		}
		found := 0
		for i := range 24 {
			_, findings := w.judge(t, w.window(1, fault{"c3", "origin=F", soft.NullRate, .05}))
			for _, f := range findings {
				if got := brief([]detectors.Finding{f}); f.State == schemas.StateError && got != "nulls error warning [c3] [origin=F]" {
					t.Fatalf("got %q", got)
				}
			}
			if len(findings) > 0 && found == 0 {
				found = i + 1
			}
		}
		if found == 0 || found > 12 {
			late++
		}
	}
	if late > 1 {
		t.Errorf("in %d of 10 worlds it took longer than 12 windows", late)
	}
}

func TestChannels(t *testing.T) {
	f := func(first, second string, faults ...fault) {
		t.Helper()
		w := newWorld(3)
		_, findings := w.judge(t, w.window(1, faults...))
		if got := brief(findings); got != first {
			t.Errorf("first window: got %q, want %q", got, first)
		}
		_, findings = w.judge(t, w.window(1, faults...))
		if got := brief(findings); got != second {
			t.Errorf("second window: got %q, want %q", got, second)
		}
	}
	f("", "nulls error warning [c3] []", fault{"c3", "", soft.NullRate, .1})
	f("", "nulls error warning [c3] []", fault{"c3", "", soft.NaNRate, .1})
	f("", "nulls error warning [c3] []", fault{"c3", "", soft.AbsentRate, .1})
	f("", "unseen_values error warning [c3] []", fault{"c3", "", soft.UnseenRate, .1})
	gross := "nulls error critical [c3] []"
	f(gross, gross, fault{"c3", "", soft.AbsentRate, .9})
	slice := "nulls error warning [c3] [origin=B]"
	f(slice, "nulls error warning [c3] []", fault{"c3", "origin=B", soft.NullRate, .9}) // 4.5 % of the whole
	f("", slice, fault{"c3", "origin=B", soft.NullRate, .2})                            // 1 % of the whole
	f("", "", fault{"c3", "", soft.NullRate, .01})                                      // significant, and nothing to wake anybody for
}

func TestLifeOfNulls(t *testing.T) {
	w := newWorld(4)
	f := func(rows float64, share float64, want string) []detectors.Finding {
		t.Helper()
		_, findings := w.judge(t, w.window(rows, fault{"c3", "", soft.NullRate, share}))
		var only []detectors.Finding
		for _, f := range findings {
			if f.Fault == schemas.FaultNulls {
				only = append(only, f)
			}
		}
		if got := brief(only); got != want {
			t.Errorf("window %d: got %q, want %q", w.next/hour, got, want)
		}
		return only
	}
	f(1, 0, "")
	f(1, .1, "")
	found := f(1, .1, "nulls error warning [c3] []")
	if g := found[0]; g.Onset != hour || g.Detected != 3*hour || *g.Effect.Share < .05 || len(g.Evidence) == 0 || g.Evidence[0].Slice != "" {
		t.Errorf("%+v", g)
	}
	f(.02, .1, "nulls unknown warning [c3] []") // 20 rows in all
	f(0, 0, "nulls unknown  [c3] []")
	f(1, .1, "nulls error warning [c3] []")
	for range w.p.Clear {
		f(1, 0, "nulls ok warning [c3] []")
	}
	f(1, 0, "")
}

func TestHealthyRateRaisesTheLimit(t *testing.T) {
	w := newWorld(5)
	for i := range w.baseline.Columns[3].Streams {
		w.baseline.Columns[3].Streams[i].Healthy = map[string]schemas.Healthy{soft.NullRate: {Windows: 100, Max: .3}}
	}
	for range 3 {
		if _, findings := w.judge(t, w.window(1, fault{"c3", "", soft.NullRate, .2})); len(findings) > 0 {
			t.Error(brief(findings))
		}
	}
}

func TestVolume(t *testing.T) {
	w := newWorld(6)
	f := func(rows float64, state schemas.State, want string) {
		t.Helper()
		verdicts, findings := w.judge(t, w.window(rows))
		if got := brief(findings); got != want {
			t.Errorf("window %d: got %q, want %q", w.next/hour, got, want)
		}
		if v := verdicts[len(verdicts)-1]; v.Channel != soft.Volume || v.State != state {
			t.Errorf("window %d: %+v", w.next/hour, v)
		}
	}
	f(1, schemas.StateOK, "")
	f(.6, schemas.StateOK, "") // 5 sd, but not by half
	f(.2, schemas.StateWarn, "")
	f(.2, schemas.StateError, "volume error warning [features] []")
	f(1, schemas.StateOK, "volume ok warning [features] []")
	f(3, schemas.StateWarn, "volume unknown warning [features] []")
	for i := range w.baseline.Columns {
		w.baseline.Columns[i].Streams[0].Healthy = nil
	}
	f(3, schemas.StateUnknown, "volume unknown warning [features] []") // and it has not been ok for long enough
}

func TestNoData(t *testing.T) {
	w := newWorld(7)
	f := func(rows, coverage float64, want string) []detectors.Finding {
		t.Helper()
		win := w.window(rows)
		win.Coverage = coverage
		_, findings := w.judge(t, win)
		if got := brief(findings); got != want {
			t.Errorf("window %d: got %q, want %q", w.next/hour, got, want)
		}
		return findings
	}
	f(0, 1, "") // has never delivered
	f(0, 1, "")
	f(0, 1, "")
	f(1, 1, "")
	f(0, 1, "")
	f(0, .5, "") // cannot be told
	found := f(0, 1, "no_data error critical [features] []")
	if found[0].Onset != 4*hour || found[0].Detected != 7*hour {
		t.Errorf("%+v", found[0])
	}
	f(0, .5, "no_data unknown critical [features] []")
	f(0, 1, "no_data error critical [features] []")
	f(1, 1, "no_data ok critical [features] []")
	f(0, 1, "") // once only
	for range w.p.Clear {
		f(1, 1, "no_data ok critical [features] []")
	}
	f(1, 1, "")
	f(0, 1, "")
	found = f(0, 1, "no_data error critical [features] []")
	if found[0].Onset != int64(12+w.p.Clear)*hour {
		t.Errorf("%+v", found[0])
	}
	f(1, 1, "no_data ok critical [features] []")
	f(0, 1, "")
	found = f(0, 1, "no_data error critical [features] []")
	if found[0].Onset != int64(15+w.p.Clear)*hour {
		t.Errorf("%+v", found[0])
	}
}

func TestPartsAreApart(t *testing.T) {
	w := newWorld(8)
	label := func(rows uint64) *detectors.Window {
		win := &detectors.Window{Model: "m", Part: schemas.PartLabel, Baseline: w.baseline, Start: w.next - hour, End: w.next, Coverage: 1}
		if rows > 0 {
			s := summary.New(0)
			s.Rows = rows
			win.Entries = []detectors.Entry{{Stream: schemas.Stream{Role: schemas.RoleRows, Feature: "label"}, Summary: s}}
		}
		return win
	}
	w.judge(t, label(10))
	w.judge(t, w.window(1, fault{"c3", "", soft.NullRate, .1}))
	w.judge(t, label(0))
	_, findings := w.judge(t, w.window(1, fault{"c3", "", soft.NullRate, .1}))
	if got := brief(findings); got != "nulls error warning [c3] []" {
		t.Errorf("a window of labels came between: %q", got)
	}
	_, findings = w.judge(t, label(0))
	if got := brief(findings); got != "no_data error critical [label] []" {
		t.Errorf("got %q", got)
	}
}

func TestUnknown(t *testing.T) {
	f := func(reason string, change func(*world, *detectors.Window)) {
		t.Helper()
		w := newWorld(9)
		win := w.window(1, fault{"c0", "", soft.NullRate, .9})
		change(w, win)
		verdicts, findings := w.judge(t, win)
		if v := verdicts[0]; v.State != schemas.StateUnknown || !strings.Contains(v.Reason, reason) {
			t.Errorf("%s: %+v", reason, v)
		}
		for _, g := range findings {
			if len(g.Slices) == 0 {
				t.Errorf("%s: %s", reason, brief(findings))
			}
		}
	}
	f("no baseline", func(_ *world, win *detectors.Window) { win.Baseline = nil })
	f("partitions", func(_ *world, win *detectors.Window) { win.Coverage = .5 })
	f("too few rows: 29", func(_ *world, win *detectors.Window) { win.Entries[1].Rows = 29; win.Entries[1].Null = 20 })
	f("in the baseline", func(w *world, _ *detectors.Window) {
		w.baseline.Columns[0].Streams[0].Rows, w.baseline.Columns[0].Streams[0].Nulls = 5, 0
	})
	f("does not have it", func(w *world, _ *detectors.Window) { w.baseline.Columns[0].Streams = w.baseline.Columns[0].Streams[1:] })
}

func TestSenselessCountsAreAnError(t *testing.T) {
	w := newWorld(10)
	win := w.window(1)
	win.Entries[1].Null = win.Entries[1].Rows + 1
	if _, _, _, err := soft.Judge(win, w.p, w.memory); err == nil || !strings.Contains(err.Error(), "null_rate of feature c0") {
		t.Errorf("got %v", err)
	}
	w.baseline.Columns[0].Streams[0].Healthy = map[string]schemas.Healthy{soft.Volume: {Windows: 99, Mean: math.NaN()}}
	if _, _, _, err := soft.Judge(w.window(1), w.p, w.memory); err == nil {
		t.Error("a volume of NaN standard deviations was judged")
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
	f(func(p *soft.Parameters) { p.Alpha = 1 })
	f(func(p *soft.Parameters) { p.MinExcess = .5 })
	f(func(p *soft.Parameters) { p.VolumeFactor = 0 })
	f(func(p *soft.Parameters) { p.NoDataWindows = 0 })
	f(func(p *soft.Parameters) { p.CaptureGap = math.NaN() })
}
