package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/modelwatch/modelwatch/internal/web"
	"github.com/modelwatch/modelwatch/schemas"
)

// written is a store whose answers are written down.
type written struct {
	mu          sync.Mutex
	models      []schemas.ModelOverview
	incidents   []schemas.Incident
	transitions []schemas.TransitionRow
	violations  []schemas.ViolationRow
	marks       []schemas.IncidentMark
}

func (w *written) Models(context.Context) ([]schemas.ModelOverview, error) { return w.models, nil }

func (w *written) Progress(context.Context) ([]schemas.ProgressRow, error) { return nil, nil }

func (w *written) Incidents(_ context.Context, f schemas.IncidentFilter) (out []schemas.Incident, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, in := range w.incidents {
		if (f.State == "" || f.State == in.State) && (f.Model == "" || f.Model == in.Model) && (f.Severity == "" || f.Severity == in.Severity) && len(out) < f.Limit {
			out = append(out, in)
		}
	}
	return out, nil
}

func (w *written) Incident(_ context.Context, id string) (schemas.Incident, bool, error) {
	i := slices.IndexFunc(w.incidents, func(in schemas.Incident) bool { return in.Incident == id })
	if i < 0 {
		return schemas.Incident{}, false, nil
	}
	return w.incidents[i], true, nil
}

func (w *written) Transitions(context.Context, schemas.TransitionFilter) ([]schemas.TransitionRow, error) {
	return w.transitions, nil
}

func (w *written) Windows(context.Context, schemas.WindowFilter) ([]schemas.WindowRow, error) {
	return nil, nil
}

func (w *written) Verdicts(context.Context, schemas.VerdictFilter) ([]schemas.Verdict, error) {
	return nil, nil
}

func (w *written) Violations(context.Context, schemas.ViolationFilter) ([]schemas.ViolationRow, error) {
	return w.violations, nil
}

func (w *written) Budget(context.Context, string, int) ([]schemas.BudgetRow, error) {
	return nil, nil
}

func (w *written) Marks(context.Context, string) ([]schemas.IncidentMark, error) {
	return w.marks, nil
}

func (w *written) Mark(_ context.Context, m schemas.IncidentMark) error {
	w.marks = append(w.marks, m)
	return nil
}

const nulls = "flight-delay-20260101T0905-7c1e"

func float(v float64) *float64 { return &v }

// airport has an open incident with text that tries to be more, and one that is over.
func airport() *written {
	at := time.Date(2026, 1, 1, 9, 5, 0, 0, time.UTC)
	hour := schemas.Interval{Start: at.Truncate(time.Hour), End: at.Truncate(time.Hour).Add(time.Hour)}
	open := schemas.Incident{
		Incident: nulls, Model: "flight-delay", Version: "3", Severity: schemas.SeverityCritical, State: schemas.IncidentFiring,
		Fault: schemas.FaultNulls, RunnerUp: &schemas.RunnerUp{Fault: schemas.FaultDrift, Score: 0.1},
		Columns: []string{"distance"}, Slices: []string{"origin=O\x1b[31mRD"}, Title: "5% of `distance` is null for origin=O\x1b[31mRD\u202e",
		Onset: at, Detected: at.Add(2 * time.Second), Updated: at.Add(2 * time.Second), Messages: 1,
		Effect: schemas.Effect{Share: float(0.05)}, Window: hour,
		Evidence: []schemas.Evidence{
			{Column: "distance", Slice: "origin=O\x1b[31mRD", Statistic: "null_rate", Value: 0.05, Expected: float(0.0001), P: float(1e-40), Rows: 2092, Window: hour, Detail: "line\nbreak"},
			{Column: "distance", Statistic: "null_rate", Value: 0.0123456, Rows: 40, Window: hour},
		},
	}
	over := schemas.Incident{
		Incident: "fare-quote-20260101T0712-1c1c", Model: "fare-quote", Severity: schemas.SeverityWarning, State: schemas.IncidentResolved,
		Fault: schemas.FaultVolume, Title: "Volume fell by half", Onset: at.Add(-2 * time.Hour), Detected: at.Add(-time.Hour),
		Resolved: at.Add(-time.Minute), Updated: at.Add(-time.Minute), Messages: 2, Window: hour,
	}
	alert := schemas.Alert{
		Incident: nulls, Seq: 1, Transition: schemas.TransitionFiring,
		Links:  schemas.Links{Incident: "http://127.0.0.1:8080/incidents/" + nulls, Runbook: "https://wiki.example/flight-delay"},
		Replay: schemas.Replay{Spec: "sha256:5be1", Offsets: []schemas.OffsetRange{{Topic: "flights", Partition: 3, From: 88, To: 99}}},
	}
	return &written{
		models:      []schemas.ModelOverview{{Model: "fare-quote"}, {Model: "flight-delay", Firing: 1}},
		incidents:   []schemas.Incident{open, over},
		transitions: []schemas.TransitionRow{{Incident: nulls, Seq: 1, Transition: schemas.TransitionFiring, At: at, Sent: at.Add(time.Second), Alert: alert}},
		violations: []schemas.ViolationRow{{
			Model: "flight-delay", Version: "3", Fault: schemas.FaultOutOfRange, Feature: "distance", Value: "-1\u009b31m", Reason: "below 0", Time: at, Topic: "flights", Partition: 3, Offset: 91,
		}},
	}
}

// pages serves the store as the service does, and returns the address.
func pages(t *testing.T, w *written, token string) string {
	t.Helper()
	server, err := web.New(web.Config{Listen: "127.0.0.1:0", Token: token}, web.Deps{Store: w, Mark: w.Mark, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + server.Addr(ctx)
}

func TestAlerts(t *testing.T) {
	url := pages(t, airport(), "")
	got := modelwatch(t, "alerts", "--url", url)
	golden(t, "alerts.golden", got.out)
	if got.code != 0 || got.err != "" {
		t.Errorf("exit %d, %s", got.code, got.err)
	}
	f := func(want string, args ...string) {
		t.Helper()
		var list struct{ Incidents []schemas.Incident }
		s := setup{env: []string{"MODELWATCH_URL=" + url}}
		object(t, s.modelwatch(t, append([]string{"alerts", "--json"}, args...)...), &list)
		var models []string
		for _, in := range list.Incidents {
			models = append(models, in.Model)
		}
		if got := strings.Join(models, " "); list.Incidents == nil || got != want {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
	f("flight-delay")
	f("fare-quote", "--state", "resolved")
	f("flight-delay fare-quote", "--state", "all")
	f("fare-quote", "--state", "all", "--model", "fare-quote")
	f("", "--severity", "warning")
	f("flight-delay", "--state", "all", "--limit", "1")
}

func TestAlerts_AnEmptyListSaysWhatWasNotJudged(t *testing.T) {
	w := airport()
	w.incidents = nil
	got := modelwatch(t, "alerts", "--url", pages(t, w, ""))
	if got.code != 0 || got.out != "" || !strings.HasPrefix(got.err, "Nothing is firing.\n") || !strings.Contains(got.err, "flight-delay is not judged") {
		t.Errorf("%+v", got)
	}
}

func TestAlertsMark(t *testing.T) {
	w := airport()
	url := pages(t, w, "")
	s := setup{env: []string{"MODELWATCH_URL=" + url, "USER=ann"}}
	got := s.modelwatch(t, "alerts", "mark", nulls, "false", "--note", "a storm")
	if got.code != 0 || got.err != "" || got.out != nulls+" is marked false.\n" {
		t.Errorf("%+v", got)
	}
	var m schemas.IncidentMark
	object(t, s.modelwatch(t, "alerts", "mark", nulls, "true", "--by", "ben", "--json"), &m)
	if len(w.marks) != 2 || w.marks[0].By != "ann" || w.marks[0].Note != "a storm" || w.marks[0].Verdict != schemas.MarkFalse || w.marks[1] != m || m.By != "ben" {
		t.Errorf("kept %+v, printed %+v", w.marks, m)
	}
	if got := s.modelwatch(t, "alerts", "mark", nulls, "maybe"); got.code != 2 || !strings.Contains(got.err, "neither true nor false") {
		t.Errorf("%+v", got)
	}
	if got := s.modelwatch(t, "alerts", "mark", "absent", "true"); got.code != 1 || !strings.Contains(got.err, "marking absent") {
		t.Errorf("%+v", got)
	}
	if got := s.modelwatch(t, "alerts", "mark", nulls); got.code != 2 {
		t.Errorf("%+v", got)
	}
}

func TestExplain(t *testing.T) {
	url := pages(t, airport(), "")
	got := modelwatch(t, "explain", nulls, "--url", url)
	golden(t, "explain.golden", got.out)
	if got.code != 0 || got.err != "" {
		t.Errorf("exit %d, %s", got.code, got.err)
	}
	got = modelwatch(t, "explain", nulls, "--url", url, "--json")
	var e struct {
		schemas.Incident
		Transitions []schemas.TransitionRow
		Samples     []schemas.ViolationRow
	}
	object(t, got, &e)
	if want := airport().incidents[0]; e.Title != want.Title || len(e.Evidence) != 2 || e.Evidence[0].Detail != "line\nbreak" || len(e.Transitions) != 1 || e.Samples[0].Value != "-1\u009b31m" {
		t.Errorf("JSON lost something: %s", got.out)
	}
	if strings.ContainsAny(strings.TrimSuffix(got.out, "\n"), "\x1b\u202e\u009b\n") {
		t.Errorf("control characters reach the terminal: %q", got.out)
	}
	got = modelwatch(t, "explain", strings.Replace(nulls, "7c1e", "7c1f", 1), "--url", url)
	if got.code != 1 || got.out != "" || !strings.Contains(got.err, "Nearest: "+nulls) {
		t.Errorf("an unknown id: %+v", got)
	}
	if got := modelwatch(t, "explain", "../models?x=1", "--url", url); got.code != 1 || !strings.Contains(got.err, "explaining ../models?x=1") || got.out != "" {
		t.Errorf("an id that is a path: %+v", got)
	}
}

func TestService_Token(t *testing.T) {
	const token = "correct-horse-battery"
	url := pages(t, airport(), token)
	f := func(code int, s setup, args ...string) {
		t.Helper()
		got := s.modelwatch(t, append([]string{"alerts", "--url", url}, args...)...)
		if got.code != code || code != 0 && !strings.Contains(got.err, "--token-file") || strings.Contains(got.err, token) {
			t.Errorf("%v: %+v", args, got)
		}
	}
	path := file(t, t.TempDir(), "token", token+"\n")
	f(1, setup{})
	f(1, setup{env: []string{"MODELWATCH_TOKEN=wrong"}})
	f(0, setup{env: []string{"MODELWATCH_TOKEN=" + token}})
	f(0, setup{env: []string{"MODELWATCH_TOKEN=wrong"}}, "--token-file", path)
}

func TestService_Unreachable(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := silent.Addr().String()
	if err := silent.Close(); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"alerts"}, {"alerts", "--follow"}, {"explain", "x"}} {
		got := modelwatch(t, append(args, "--url", "http://"+addr)...)
		if got.code != 1 || !strings.Contains(got.err, "connection refused; start one with `modelwatch run`, or point at it with --url") {
			t.Errorf("%v: %+v", args, got)
		}
	}
}

func TestAlerts_Follow(t *testing.T) {
	w := airport()
	cmd := exec.CommandContext(t.Context(), binary, "alerts", "--follow", "--json", "--url", pages(t, w, ""))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func(want schemas.IncidentState) {
		t.Helper()
		var in schemas.Incident
		if !lines.Scan() {
			t.Fatalf("ended: %v", lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &in); err != nil || in.Incident != nulls || in.State != want {
			t.Fatalf("%s (%v), want %s %s", lines.Bytes(), err, nulls, want)
		}
	}
	next(schemas.IncidentFiring)
	w.mu.Lock()
	in := &w.incidents[0]
	in.State, in.Messages, in.Updated = schemas.IncidentResolved, 2, in.Updated.Add(time.Hour)
	w.mu.Unlock()
	next(schemas.IncidentResolved)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if lines.Scan() {
		t.Errorf("told twice: %s", lines.Bytes())
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("Ctrl-C is the ordinary end: %v", err)
	}
}

// TestRun is the service with servers of its own: it says where its pages are,
// keeps what is in force when a changed monitor is wrong, and stops cleanly.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	file(t, dir, "monitors/m.yaml", "model: flight-delay\ntopics: [flights]\nfeatures: {distance: {type: number}}\n")
	cmd := exec.CommandContext(t.Context(), binary, "run", "--http.listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"))
	cmd.Dir = dir
	messages, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(messages)
	until := func(what string) string {
		t.Helper()
		var seen []string
		for lines.Scan() {
			if strings.Contains(lines.Text(), what) {
				return lines.Text()
			}
			seen = append(seen, lines.Text())
		}
		t.Fatalf("%q was not said, but\n%s", what, strings.Join(seen, "\n"))
		return ""
	}
	_, url, _ := strings.Cut(until("pages at"), "pages at ")
	until("monitors in force")
	if got := modelwatch(t, "alerts", "--url", strings.TrimSuffix(url, "/")); got.code != 0 || !strings.Contains(got.err, "Nothing is firing") {
		t.Errorf("asking the service: %+v", got)
	}
	file(t, dir, "monitors/m.yaml", "model: flight-delay\ntopics: none\n")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until("reloading: what was in force stays so")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until("stopping")
	for lines.Scan() {
		if strings.Contains(lines.Text(), "cut off") {
			t.Error(lines.Text())
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("SIGTERM is the ordinary end: %v", err)
	}
}
