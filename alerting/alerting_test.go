package alerting_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/alerting"
	"github.com/modelwatch/modelwatch/detectors"
	"github.com/modelwatch/modelwatch/schemas"
)

const (
	isOK    = schemas.StateOK
	bad     = schemas.StateError
	unknown = schemas.StateUnknown
)

// closed is one closed window of features.
func closed(w int, findings ...detectors.Finding) alerting.Input {
	return alerting.Input{Part: schemas.PartFeatures, Window: window(w), At: window(w).End.UnixMilli(), Findings: findings, Spec: "0123456789abcdef"}
}

// tripped is a finding of events of a window that is still open.
func tripped(w int, findings ...detectors.Finding) alerting.Input {
	return alerting.Input{At: window(w).Start.UnixMilli(), Findings: findings}
}

// told sums up a result as in "firing wrong_type [a]".
func told(r alerting.Result) string {
	var out []string
	for _, a := range r.Alerts {
		out = append(out, fmt.Sprintf("%s %s %v", a.Transition, a.Fault, a.Columns))
	}
	return strings.Join(out, "; ")
}

func expect(t *testing.T, r alerting.Result, want string) {
	t.Helper()
	if got := told(r); got != want {
		t.Fatalf("told %q, want %q", got, want)
	}
}

func features(t *testing.T) *life { return newLife(t, config(schemas.PartFeatures)) }

func TestOneEpisodeFromFiringToResolved(t *testing.T) {
	l := features(t)
	hit := finding(schemas.FaultNulls, bad, 0, "visibility")
	expect(t, l.step(closed(0, hit)), "firing nulls [visibility]")
	expect(t, l.step(closed(1, finding(schemas.FaultNulls, bad, 1, "visibility"))), "")
	expect(t, l.step(closed(2, finding(schemas.FaultNulls, isOK, 2, "visibility"))), "")
	r := l.step(closed(3, finding(schemas.FaultNulls, isOK, 3, "visibility")))
	expect(t, r, "resolved nulls [visibility]")
	i := r.Incidents[0]
	if i.State != schemas.IncidentResolved || !i.Resolved.Equal(window(3).End) || i.Messages != 2 || i.Title != "`visibility` was null too often, 12:00 to 14:00 UTC" {
		t.Errorf("%+v", i)
	}
	if !strings.HasPrefix(i.Incident, "flight-delay-20081104T1200-") {
		t.Errorf("id %s", i.Incident)
	}
	expect(t, l.step(closed(4, finding(schemas.FaultNulls, bad, 4, "visibility"))), "firing nulls [visibility]")
	if len(l.known) != 2 {
		t.Errorf("%d incidents: the second episode must be its own", len(l.known))
	}
}

func TestFlappingIsOneEpisode(t *testing.T) {
	l := features(t)
	for w := range 20 {
		state := isOK
		if w%2 == 0 {
			state = bad
		}
		l.step(closed(w, finding(schemas.FaultNulls, state, w, "a")))
	}
	if len(l.known) != 1 || l.set()[0] != "nulls [a] 4T12:00 firing" {
		t.Errorf("%v", l.set())
	}
	for id, said := range l.said {
		if len(said) != 1 {
			t.Errorf("%s has sent %d messages", id, len(said))
		}
	}
}

func TestUnknownHoldsAndIsSaidOnce(t *testing.T) {
	l := features(t)
	expect(t, l.step(closed(0, finding(schemas.FaultNulls, bad, 0, "a"))), "firing nulls [a]")
	expect(t, l.step(closed(1, finding(schemas.FaultNulls, isOK, 1, "a"))), "")
	for w := 2; w < 10; w++ {
		f := finding(schemas.FaultNulls, unknown, w, "a")
		f.Reason = "too few rows"
		r := l.step(closed(w, f))
		if w != 4 {
			expect(t, r, "")
			continue
		}
		expect(t, r, "updated nulls [a]")
		if reason := r.Alerts[0].Reason; reason != "cannot tell since 14:00 UTC: too few rows" {
			t.Errorf("reason %q", reason)
		}
	}
	expect(t, l.step(closed(10, finding(schemas.FaultNulls, isOK, 10, "a"))), "")
	// A window of which nothing is said is no ok one either.
	expect(t, l.step(closed(12, finding(schemas.FaultNulls, isOK, 12, "a"))), "")
	expect(t, l.step(closed(13, finding(schemas.FaultNulls, isOK, 13, "a"))), "resolved nulls [a]")
}

func TestUpdatesAreFewAndTellSomethingNew(t *testing.T) {
	l := features(t)
	size := func(w int, share float64, severity schemas.Severity, slices ...string) detectors.Finding {
		f := finding(schemas.FaultNulls, bad, w, "a")
		f.Effect.Share, f.Severity, f.Slices = &share, severity, slices
		return f
	}
	expect(t, l.step(closed(0, size(0, .01, schemas.SeverityWarning, "origin=ATL"))), "firing nulls [a]")
	expect(t, l.step(closed(1, size(1, .019, schemas.SeverityWarning, "origin=ATL"))), "")
	expect(t, l.step(closed(2, size(2, .02, schemas.SeverityWarning, "origin=ATL"))), "updated nulls [a]")
	expect(t, l.step(closed(3, size(3, .02, schemas.SeverityWarning, "origin=ATL", "origin=DEN"))), "updated nulls [a]")
	expect(t, l.step(closed(4, size(4, .001, schemas.SeverityInfo, "origin=DEN"))), "")
	r := l.step(closed(5, size(5, .001, schemas.SeverityCritical)))
	expect(t, r, "updated nulls [a]")
	if a := r.Alerts[0]; a.Severity != schemas.SeverityCritical || len(a.Slices) != 0 || a.Seq != 4 || a.Reason != "critical now, it was warning; everywhere now" {
		t.Errorf("%+v", a)
	}
	share, updates := .02, 3
	for w := 6; w < 30; w++ {
		share *= 2
		updates += len(l.step(closed(w, size(w, share, schemas.SeverityWarning))).Alerts)
	}
	if updates != config(0).MaxUpdates {
		t.Errorf("%d updates", updates)
	}
	l.step(closed(30, finding(schemas.FaultNulls, isOK, 30, "a")))
	expect(t, l.step(closed(31, finding(schemas.FaultNulls, isOK, 31, "a"))), "resolved nulls [a]")
}

func TestTripsFireAheadOfTheWindows(t *testing.T) {
	l := features(t)
	trip := func(w int) detectors.Finding { return finding(schemas.FaultWrongType, bad, w, "distance") }
	at := func(w int, s schemas.State) detectors.Finding {
		return finding(schemas.FaultWrongType, s, w, "distance")
	}
	r := l.step(tripped(3, trip(3)))
	expect(t, r, "firing wrong_type [distance]")
	if title := r.Alerts[0].Title; title != "`distance` has the wrong type since 15:00 UTC" {
		t.Errorf("title %q", title)
	}
	expect(t, l.step(tripped(3, trip(3))), "")
	// ok windows before it end nothing.
	for w := range 3 {
		expect(t, l.step(closed(w, at(w, isOK))), "")
	}
	// The next episode is seen before this one is over.
	expect(t, l.step(tripped(6, trip(6))), "")
	expect(t, l.step(closed(3, at(3, isOK))), "")
	expect(t, l.step(closed(4, at(4, isOK))), "")
	expect(t, l.step(closed(5, at(5, isOK))), "resolved wrong_type [distance]; firing wrong_type [distance]")
	if got := strings.Join(l.set(), ", "); got != "wrong_type [distance] 4T15:00 resolved, wrong_type [distance] 4T18:00 firing" {
		t.Errorf("%s", got)
	}
	expect(t, l.step(closed(6, at(6, bad))), "")
	expect(t, l.step(closed(7, at(7, isOK))), "")
	expect(t, l.step(closed(8, at(8, isOK))), "resolved wrong_type [distance]")
	// So late that the window was judged and its incident is over: nothing new.
	expect(t, l.step(tripped(7, trip(7))), "")
}

func TestOneIncidentForOneRootCause(t *testing.T) {
	l := newLife(t, config(schemas.PartFeatures|schemas.PartPrediction))
	prediction := func(w int, state schemas.State) alerting.Input {
		in := closed(w, finding(schemas.FaultPredictionDrift, state, w, "prediction"), finding(schemas.FaultScoreDrift, state, w, "score"))
		in.Part = schemas.PartPrediction
		return in
	}
	drift := func(w int, states ...schemas.State) (out []detectors.Finding) {
		for n, s := range states {
			out = append(out, finding(schemas.FaultDrift, s, w, string(rune('a'+n))))
		}
		return out
	}
	// What the model says is told only once it is known whether features show why.
	expect(t, l.step(prediction(0, bad)), "")
	expect(t, l.step(closed(0, drift(0, isOK, isOK)...)), "firing prediction_drift [prediction score]")
	r := l.step(closed(1, drift(1, bad, bad)...))
	expect(t, r, "updated drift [a b]")
	if a := r.Alerts[0]; a.Seq != 2 || a.Title != "`a` and `b` have drifted since 13:00 UTC" {
		t.Errorf("%+v", a)
	}
	var consequences int
	for _, e := range r.Alerts[0].Evidence {
		if strings.HasPrefix(e.Detail, "consequence: ") {
			consequences++
		}
	}
	if consequences != 2 {
		t.Errorf("evidence %+v", r.Alerts[0].Evidence)
	}
	// A hard fault on a column takes its drift along.
	expect(t, l.step(tripped(2, finding(schemas.FaultUnitChange, bad, 2, "c"))), "firing unit_change [c]")
	expect(t, l.step(closed(2, append(drift(2, bad, bad, bad), finding(schemas.FaultUnitChange, bad, 2, "c"))...)), "")
	// And what outlives its cause is told.
	expect(t, l.step(closed(3, append(drift(3, bad, bad, bad), finding(schemas.FaultUnitChange, isOK, 3, "c"))...)), "")
	r = l.step(closed(4, append(drift(4, bad, bad, bad), finding(schemas.FaultUnitChange, isOK, 4, "c"))...))
	if got := told(r); !strings.Contains(got, "resolved unit_change [c]") || !strings.Contains(got, "drift [a b c]") {
		t.Errorf("told %q", got)
	}
}

func TestColumnsOfOneHardFaultAreOneIncident(t *testing.T) {
	l := features(t)
	expect(t, l.step(tripped(0, finding(schemas.FaultWrongType, bad, 0, "a"))), "firing wrong_type [a]")
	expect(t, l.step(tripped(1, finding(schemas.FaultWrongType, bad, 1, "b"))), "updated wrong_type [a b]")
	expect(t, l.step(tripped(0, finding(schemas.FaultOutOfRange, bad, 0, "c"))), "firing out_of_range [c]")
}

func TestSlicesClearByThemselvesOrWithTheWhole(t *testing.T) {
	f := func(want string, of ...detectors.Finding) {
		t.Helper()
		l := features(t)
		hit := finding(schemas.FaultNulls, bad, 0, "a")
		hit.Slices = []string{"origin=ATL", "origin=DEN"}
		l.step(closed(0, hit))
		var r alerting.Result
		for w := 1; w <= 2; w++ {
			in := closed(w)
			for _, o := range of {
				n := finding(o.Fault, o.State, w, "a")
				n.Slices = o.Slices
				in.Findings = append(in.Findings, n)
			}
			r = l.step(in)
		}
		expect(t, r, want)
	}
	of := func(s schemas.State, slices ...string) detectors.Finding {
		return detectors.Finding{Fault: schemas.FaultNulls, State: s, Slices: slices}
	}
	const over = "resolved nulls [a]"
	f(over, of(isOK))
	f(over, of(isOK, "origin=ATL"), of(isOK, "origin=DEN"))
	f(over, of(isOK, "origin=ATL"), of(isOK), of(unknown, "origin=SEA"))
	f("", of(isOK), of(unknown, "origin=ATL"))
	f("", of(unknown), of(isOK, "origin=ATL"))
	// One finding may sum up all, and name what it was last.
	f(over, of(isOK, "origin=ATL"))
	f("", of(unknown, "origin=ATL"))
	f("")
}

func TestAVersionThatServesNoMoreHoldsNothing(t *testing.T) {
	l := features(t)
	of := func(w int, version string, s schemas.State) detectors.Finding {
		f := finding(schemas.FaultDrift, s, w, "a")
		f.Version = version
		return f
	}
	expect(t, l.step(closed(0, of(0, "3", bad), of(0, "4", isOK))), "firing drift [a]")
	expect(t, l.step(closed(1, of(1, "3", unknown), of(1, "4", isOK))), "")
	expect(t, l.step(closed(2, of(2, "4", isOK))), "")
	expect(t, l.step(closed(3, of(3, "4", isOK))), "resolved drift [a]")
}

func TestARevisionWithdrawsWhatStoodOnItAlone(t *testing.T) {
	l := features(t)
	late := func(w int, s schemas.State) alerting.Input {
		in := closed(w, finding(schemas.FaultNulls, s, w, "a"))
		in.Revised = true
		return in
	}
	l.step(closed(0, finding(schemas.FaultNulls, bad, 0, "a")))
	expect(t, l.step(late(0, bad)), "")
	expect(t, l.step(late(0, unknown)), "")
	r := l.step(late(0, isOK))
	expect(t, r, "revised nulls [a]")
	if a := r.Alerts[0]; !strings.HasPrefix(a.Reason, "withdrawn: ") || r.Incidents[0].State != schemas.IncidentFiring {
		t.Errorf("%+v", a)
	}
	expect(t, l.step(late(0, isOK)), "")
	l.step(closed(1, finding(schemas.FaultNulls, isOK, 1, "a")))
	expect(t, l.step(closed(2, finding(schemas.FaultNulls, isOK, 2, "a"))), "resolved nulls [a]")

	l.step(closed(5, finding(schemas.FaultNulls, bad, 5, "a")))
	l.step(closed(6, finding(schemas.FaultNulls, bad, 6, "a")))
	expect(t, l.step(late(5, isOK)), "")
	expect(t, l.step(late(3, bad)), "")
}

func TestRoomIsBounded(t *testing.T) {
	cfg := config(schemas.PartFeatures)
	cfg.MaxOpen = 10
	l := newLife(t, cfg)
	over := 0
	for w := range 5 {
		in := closed(w)
		for n := range 200 {
			in.Findings = append(in.Findings, finding(schemas.FaultRule, bad, w, fmt.Sprint("a", n, "of", w)))
			in.Findings[len(in.Findings)-1].Fault = schemas.Fault(fmt.Sprint("fault_", n, "_", w))
		}
		over += l.step(in).Over
	}
	if len(l.known) != 10 || over < 900 {
		t.Errorf("%d incidents, %d over", len(l.known), over)
	}
	// The state stays small however often things come and go.
	l = features(t)
	for w := range 600 {
		f := finding(schemas.FaultNulls, bad, w, "a")
		if w%3 != 0 {
			f.State = isOK
		}
		for range 50 {
			f.Evidence = append(f.Evidence, schemas.Evidence{Detail: strings.Repeat("x", 1000)})
		}
		l.step(closed(w, f))
	}
	body, err := json.Marshal(&l.state)
	if err != nil || len(body) > 200_000 {
		t.Errorf("%d bytes of state, %v", len(body), err)
	}
	for w := range 5000 {
		l.step(tripped(w, finding(schemas.FaultRule, bad, w, "a")))
	}
	if body, err := json.Marshal(&l.state); err != nil || len(body) > 300_000 {
		t.Errorf("%d bytes of state, %v", len(body), err)
	}
}

func TestNothingThatComesInBreaksAMessage(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, ms := range []int64{math.MinInt64, math.MaxInt64, 0, -1} {
		l := newLife(t, config(schemas.PartFeatures))
		f := finding(schemas.FaultDrift, bad, 0, "`a`\x00\n\u202e", "\xff", "")
		f.Onset, f.Detected, f.Start, f.End = ms, ms, ms, ms
		f.Version, f.Severity = "\xff", "shouting"
		f.Slices = []string{"origin=`\r\n"}
		f.Effect = schemas.Effect{SD: &nan, Share: &inf}
		f.Evidence = []schemas.Evidence{{Value: nan, Expected: &inf, P: &nan, Column: "\xff"}}
		for _, in := range []alerting.Input{{Findings: []detectors.Finding{f}, At: ms}, closed(0, f)} {
			for _, a := range l.step(in).Alerts {
				if strings.ContainsAny(a.Title, "\x00\r\n\u202e") || strings.Count(a.Title, "`")%2 != 0 {
					t.Errorf("title %q", a.Title)
				}
				if a.Severity != schemas.SeverityWarning || a.Effect.SD != nil || a.Effect.Share != nil {
					t.Errorf("%+v", a)
				}
			}
		}
		if len(l.known) != 1 {
			t.Errorf("%d incidents at %d", len(l.known), ms)
		}
	}
}

func TestMessages(t *testing.T) {
	var s alerting.State
	cfg := config(schemas.PartFeatures)
	cfg.PublicURL, cfg.Runbook = "https://modelwatch.example/", "https://runbooks.example/late-flights"
	in := closed(0, finding(schemas.FaultNulls, bad, 0, "a"))
	in.Model = "a b.ü"
	r := s.Step(in, cfg)
	m, a := r.Messages[0], r.Alerts[0]
	if want := "modelwatch.alerts.a%20b%2Eü.warning." + a.Incident + ".1"; m.Subject != want {
		t.Errorf("subject %q", m.Subject)
	}
	if schemas.SubjectToken(a.Incident) != a.Incident || !strings.HasPrefix(a.Incident, "a_b___-20081104T1200-") {
		t.Errorf("incident %q", a.Incident)
	}
	want := map[string]string{
		"ce-specversion": "1.0", "ce-id": m.ID, "ce-type": "modelwatch.alert.firing", "ce-time": "2008-11-04T13:00:00Z",
		"ce-subject": a.Incident, "ce-source": "/modelwatch/models/a%2520b.%25C3%25BC", "ce-dataschema": "urn:modelwatch:schema:alert",
		"ce-datacontenttype": "application/json", "content-type": "application/json",
	}
	for k, v := range want {
		if m.Headers[k] != v {
			t.Errorf("%s is %q, want %q", k, m.Headers[k], v)
		}
	}
	if len(m.Headers) != len(want) || m.Stream != schemas.StreamAlerts {
		t.Errorf("%+v", m)
	}
	var back schemas.Alert
	if err := json.Unmarshal(m.Body, &back); err != nil || back.Incident != a.Incident || back.Replay.Spec != in.Spec {
		t.Errorf("%+v, %v", back, err)
	}
	if back.Links.Incident != "https://modelwatch.example/incidents/"+a.Incident || back.Links.Runbook != "https://runbooks.example/late-flights" {
		t.Errorf("%+v", back.Links)
	}
	if !slices.Contains(strings.Split(string(m.Body), ","), `"slices":[]`) {
		t.Errorf("empty lists must be written as such: %s", m.Body)
	}
}

func TestTitles(t *testing.T) {
	share, sd, tiny := .05, 1.94, .0004
	day := time.Date(2008, 11, 4, 14, 5, 0, 0, time.UTC)
	f := func(want string, i schemas.Incident, end time.Time) {
		t.Helper()
		if i.Onset.IsZero() {
			i.Onset = day
		}
		if i.Detected.IsZero() {
			i.Detected = day.Add(time.Hour)
		}
		if got := alerting.Title(i, end); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	var going time.Time
	f("`temp` and `dewpoint` are swapped since 14:05 UTC", schemas.Incident{Fault: schemas.FaultSwap, Columns: []string{"temp", "dewpoint"}}, going)
	f("`temp` and `dewpoint` were swapped, 14:05 to 14:52 UTC", schemas.Incident{Fault: schemas.FaultSwap, Columns: []string{"temp", "dewpoint"}}, day.Add(47*time.Minute))
	f("`a` was missing, 14:05 to 5 Nov 13:05 UTC", schemas.Incident{Fault: schemas.FaultMissingColumn, Columns: []string{"a"}}, day.Add(23*time.Hour))
	f("`visibility` is null too often for origin=ATL and origin=DEN since 14:05 UTC (5% of rows)",
		schemas.Incident{Fault: schemas.FaultNulls, Columns: []string{"visibility"}, Slices: []string{"origin=ATL", "origin=DEN"}, Effect: schemas.Effect{Share: &share, SD: &sd}}, going)
	f("`a`, `b`, `c` and 2 more have drifted since 4 Nov 14:05 UTC (by 1.9 sd)",
		schemas.Incident{Fault: schemas.FaultDrift, Columns: []string{"a", "b", "c", "d", "e"}, Effect: schemas.Effect{SD: &sd}, Detected: day.Add(24 * time.Hour)}, going)
	f("predictions have drifted since 4 Nov 2008 14:05 UTC", schemas.Incident{Fault: schemas.FaultPredictionDrift, Detected: day.AddDate(1, 0, 0)}, going)
	f("events cannot be read since 14:05 UTC (less than 0.1% of rows)", schemas.Incident{Fault: schemas.FaultUnparsable, Effect: schemas.Effect{Share: &tiny}}, going)
	f("no data of `predictions` since 14:05 UTC", schemas.Incident{Fault: schemas.FaultNoData, Columns: []string{"predictions"}}, going)
	f("`it's � x` is out of range since 14:05 UTC", schemas.Incident{Fault: schemas.FaultOutOfRange, Columns: []string{"it`s \n x"}}, going)

	seen := map[string]schemas.Fault{}
	for _, fault := range []schemas.Fault{
		schemas.FaultUnparsable, schemas.FaultWrongType, schemas.FaultMissingColumn, schemas.FaultExtraColumn, schemas.FaultOutOfRange,
		schemas.FaultUnexpectedValue, schemas.FaultRule, schemas.FaultNotFinite, schemas.FaultDuplicates, schemas.FaultFutureEvents, schemas.FaultLateData,
		schemas.FaultSwap, schemas.FaultMixedRows, schemas.FaultShiftedCols, schemas.FaultUnitChange, schemas.FaultStuck, schemas.FaultDefaultSpike,
		schemas.FaultTruncation, schemas.FaultEncoding, schemas.FaultPrecisionLoss, schemas.FaultClockShift, schemas.FaultSkew, schemas.FaultNulls,
		schemas.FaultUnseenValues, schemas.FaultVolume, schemas.FaultNoData, schemas.FaultCaptureGap, schemas.FaultRetentionGap, schemas.FaultDrift,
		schemas.FaultPredictionDrift, schemas.FaultScoreDrift, schemas.FaultMultivariateDrift, schemas.FaultPerformanceDrop, schemas.FaultCalibration,
		schemas.FaultLabelGap, schemas.FaultLatency, schemas.FaultStaleVersion, schemas.FaultVersionWorse,
	} {
		for _, end := range []time.Time{going, day.Add(time.Hour)} {
			title := alerting.Title(schemas.Incident{Fault: fault, Columns: []string{"a"}, Onset: day, Detected: day}, end)
			if other, taken := seen[title]; taken || strings.Contains(title, "  ") || strings.Contains(title, "_") {
				t.Errorf("%s and %s: %q", fault, other, title)
			}
			seen[title] = fault
		}
	}
}
