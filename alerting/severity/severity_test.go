package severity_test

import (
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/alerting/severity"
	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/schemas"
)

func policy(t *testing.T, body string) severity.Policy {
	t.Helper()
	m, err := schemas.ParseMonitor("m.yaml", []byte("model: m\ntopics: [t]\nfeatures: {x: {}, y: {importance: 0}}\n"+body))
	if err != nil {
		t.Fatal(err)
	}
	return severity.Of(m)
}

func at(s string) int64 {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t.UnixMilli()
}

// finding is a drift of x by half a standard deviation, detected at 23:00.
func finding() detectors.Finding {
	sd := -.5
	return detectors.Finding{
		Fault: schemas.FaultDrift, Severity: schemas.SeverityCritical, State: schemas.StateError, Columns: []string{"x"}, Slices: []string{"y=a"},
		Start: at("2026-11-20T22:00:00Z"), End: at("2026-11-20T23:00:00Z"), Detected: at("2026-11-20T23:00:00Z"),
		Effect: schemas.Effect{SD: &sd}, Reason: "was",
	}
}

func TestApply(t *testing.T) {
	f := func(body string, change func(*detectors.Finding), state schemas.State, want schemas.Severity, reason string) {
		t.Helper()
		in := finding()
		if change != nil {
			change(&in)
		}
		p := policy(t, body)
		out := p.Apply([]detectors.Finding{in})
		if got := out[0]; got.State != state || got.Severity != want || got.Reason != reason {
			t.Errorf("%s: %s %s %q, want %s %s %q", body, got.State, got.Severity, got.Reason, state, want, reason)
		}
	}
	const yes, mute = schemas.StateError, schemas.StateUnknown
	const critical, warning, info = schemas.SeverityCritical, schemas.SeverityWarning, schemas.SeverityInfo
	f("", nil, yes, critical, "was")
	f("", func(f *detectors.Finding) { f.Columns = []string{"y"} }, yes, warning, "was; a column of no importance")
	f("", func(f *detectors.Finding) { f.Columns = []string{"x", "y"} }, yes, critical, "was")
	f("", func(f *detectors.Finding) { f.Columns = nil }, yes, critical, "was")

	f("rules: [{severity: info, reason: r}]", nil, yes, info, "was; severity by rule: r")
	f("rules: [{severity: info, reason: r}, {severity: warning, reason: later}]", nil, yes, warning, "was; severity by rule: later")
	f("rules: [{severity: mute, reason: r, until: 2026-11-21}]", nil, mute, critical, "was; muted until 2026-11-21: r")
	f("rules: [{severity: mute, reason: past, until: 2026-11-20}]", nil, yes, critical, "was")
	f("rules: [{severity: info, reason: r, features: [y]}]", nil, yes, critical, "was")
	f("rules: [{severity: info, reason: r, features: [y, x]}]", nil, yes, info, "was; severity by rule: r")
	f("rules: [{severity: info, reason: r, slices: [y=b]}]", nil, yes, critical, "was")
	f("rules: [{severity: info, reason: r, slices: [y=a]}]", nil, yes, info, "was; severity by rule: r")
	f("rules: [{severity: info, reason: r, slices: [y=a]}]", func(f *detectors.Finding) { f.Slices = nil }, yes, critical, "was")
	f("rules: [{severity: info, reason: r, faults: [nulls]}]", nil, yes, critical, "was")
	f("rules: [{severity: info, reason: r, faults: [nulls, drift]}]", nil, yes, info, "was; severity by rule: r")
	f("rules: [{severity: info, reason: r, below: .5}]", nil, yes, critical, "was")
	f("rules: [{severity: info, reason: r, below: .6, above: .5}]", nil, yes, info, "was; severity by rule: r")
	f("rules: [{severity: info, reason: r, above: .1}]", func(f *detectors.Finding) { f.Effect = schemas.Effect{} }, yes, critical, "was")
	f("rules: [{severity: info, reason: r, hours: '22:00-06:00'}]", nil, yes, info, "was; severity by rule: r")
	f("rules: [{severity: info, reason: r, hours: '06:00-23:00'}]", nil, yes, critical, "was")

	f("calendar: {changes: [{from: 2026-11-20T22:59:00Z, to: 2026-11-21, reason: new fares}]}", nil, mute, critical, "was; planned change: new fares")
	f("calendar: {changes: [{from: 2026-11-20T23:00:00Z, to: 2026-11-21, reason: new fares}]}", nil, yes, critical, "was")
	f("calendar: {changes: [{from: 2026-11-20, to: 2026-11-21, features: [y], reason: new fares}]}", nil, yes, critical, "was")
	// What hard rules find is wrong whatever was planned.
	f("calendar: {changes: [{from: 2026-11-20, to: 2026-11-21, reason: new fares}]}", func(f *detectors.Finding) { f.Fault = schemas.FaultWrongType }, yes, critical, "was")
	// A rule goes before the calendar.
	f("rules: [{severity: critical, reason: r}]\ncalendar: {changes: [{from: 2026-11-20, to: 2026-11-21, reason: new fares}]}", nil, yes, critical, "was; severity by rule: r")
	// What was measured as right stays so.
	f("rules: [{severity: mute, reason: r, until: 2027-01-01}]", func(f *detectors.Finding) { f.State = schemas.StateOK }, schemas.StateOK, critical, "was")
}

func TestApply_LeavesItsArgument(t *testing.T) {
	p := policy(t, "rules: [{severity: mute, reason: r, until: 2027-01-01}]")
	in := []detectors.Finding{finding()}
	p.Apply(in)
	if in[0].State != schemas.StateError || in[0].Reason != "was" {
		t.Errorf("%+v", in[0])
	}
}
