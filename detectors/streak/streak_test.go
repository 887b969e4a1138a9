package streak_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/detectors/streak"
	"github.com/modelwatch/modelwatch/schemas"
)

var rule = streak.Rule{Clear: 3, Forget: 5}

func observe(slice string, state schemas.State) streak.Observation {
	return streak.Observation{
		Verdict: schemas.Verdict{Stream: schemas.Stream{Role: schemas.RoleFeature, Feature: "a", Slice: slice}, Channel: "c", State: state},
		Fault:   schemas.FaultDrift, Severity: schemas.SeverityWarning, Evidence: schemas.Evidence{Slice: slice},
	}
}

func alarm(slice string) streak.Observation {
	o := observe(slice, schemas.StateWarn)
	o.Alarm = true
	return o
}

func window(i int64) *detectors.Window {
	return &detectors.Window{Part: schemas.PartFeatures, Start: i * 10, End: i*10 + 10}
}

func TestForgottenAfterLongSilence(t *testing.T) {
	var m streak.Memory
	_, _, m = m.Step(window(0), []streak.Observation{alarm("")}, rule)
	for i := range int64(5) {
		var f []detectors.Finding
		_, f, m = m.Step(window(1+i), nil, rule)
		if len(f) != 1 || f[0].State != schemas.StateUnknown || f[0].Reason == "" {
			t.Fatalf("after %d windows without it: %+v", i+1, f)
		}
	}
	_, f, m := m.Step(window(6), nil, rule)
	if len(f) != 0 || len(m.Entries) != 0 {
		t.Errorf("still remembered: %+v %+v", f, m)
	}
}

func TestEvidenceIsBounded(t *testing.T) {
	var seen []streak.Observation
	for i := range 100 {
		o := alarm(fmt.Sprintf("s=%02d", i))
		o.Evidence.Value = float64(i)
		seen = append(seen, o)
	}
	_, f, _ := streak.Memory{}.Step(window(0), seen, rule)
	if len(f) != 1 || len(f[0].Slices) != 100 || len(f[0].Evidence) != 16 || f[0].Evidence[0].Value != 99 {
		t.Errorf("%d slices, %d pieces of evidence", len(f[0].Slices), len(f[0].Evidence))
	}
}

// Whatever happens, a stream is an error only while it is outside and has
// alarmed with no window inside since, and only a window inside ends that,
// which is then said until three in a row were inside.
func TestStreaks(t *testing.T) {
	alarms := 0
	rapid.Check(t, func(t *rapid.T) {
		states := []schemas.State{schemas.StateOK, schemas.StateWarn, schemas.StateError, schemas.StateUnknown, "absent"} // error: an alarm
		names := []string{"", "x", "y"}
		alarmed, cleared, inside := map[string]bool{}, map[string]bool{}, map[string]int{}
		var m streak.Memory
		for i := range int64(rapid.IntRange(1, 30).Draw(t, "windows")) {
			var seen []streak.Observation
			said := map[string]bool{} // that it is ok
			state := map[string]schemas.State{}
			for _, n := range names {
				s := rapid.SampledFrom(states).Draw(t, "state")
				state[n] = s
				switch s {
				case schemas.StateOK:
					said[n] = alarmed[n] || cleared[n]
					cleared[n] = said[n]
					alarmed[n] = false
					inside[n]++
				case schemas.StateError:
					alarmed[n], cleared[n], state[n] = true, false, schemas.StateWarn
				}
				if s != schemas.StateOK {
					inside[n] = 0
				}
				switch s {
				case schemas.StateError:
					seen = append(seen, alarm(n))
				case "absent":
				default:
					seen = append(seen, observe(n, s))
				}
			}
			before := fmt.Sprint(m)
			verdicts, findings, next := m.Step(window(i), seen, streak.Rule{Clear: rule.Clear, Forget: 1000})
			if fmt.Sprint(m) != before {
				t.Fatal("the memory before was changed")
			}
			m = next
			for _, v := range verdicts {
				want := state[v.Slice]
				if want == schemas.StateWarn && alarmed[v.Slice] {
					want = schemas.StateError
				}
				if v.State != want {
					t.Fatalf("window %d %q is %s, want %s", i, v.Slice, v.State, want)
				}
			}
			want := schemas.State("")
			var sliced []string
			for _, n := range names {
				switch {
				case alarmed[n] && state[n] == schemas.StateWarn:
					want = schemas.StateError
					alarms++
				case (alarmed[n] || cleared[n]) && state[n] != schemas.StateOK && want != schemas.StateError:
					want = schemas.StateUnknown
				case said[n] && want == "":
					want = schemas.StateOK
				}
			}
			for _, n := range names {
				if alarmed[n] || cleared[n] && state[n] != schemas.StateOK && want == schemas.StateUnknown {
					sliced = append(sliced, n)
				}
				if inside[n] >= rule.Clear {
					cleared[n] = false
				}
			}
			if want == "" {
				if len(findings) != 0 {
					t.Fatalf("window %d: %+v", i, findings)
				}
				continue
			}
			if len(findings) != 1 || findings[0].State != want {
				t.Fatalf("window %d: %+v, want %s", i, findings, want)
			}
			if slices.Contains(sliced, "") {
				sliced = nil
			}
			if want != schemas.StateOK && !slices.Equal(findings[0].Slices, sliced) {
				t.Fatalf("window %d: slices %v, want %v", i, findings[0].Slices, sliced)
			}
		}
	})
	if alarms == 0 {
		t.Fatal("nothing ever alarmed")
	}
}
