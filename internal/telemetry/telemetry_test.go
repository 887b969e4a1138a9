package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/internal/telemetry"
)

func TestLoggerWritesJSON(t *testing.T) {
	var out bytes.Buffer
	log, err := telemetry.NewLogger("info", "json", &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug().Msg("not asked for")
	log.Error().Err(errors.New("reset by peer")).Str("component", "store").Msg("writing partials")
	var line map[string]string
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("one JSON object expected, got %q: %v", out.String(), err)
	}
	at, err := time.Parse(time.RFC3339Nano, line["time"])
	if err != nil || time.Since(at) > time.Minute || !strings.HasSuffix(line["time"], "Z") {
		t.Errorf("time %q is not now in UTC: %v", line["time"], err)
	}
	delete(line, "time")
	want := map[string]string{"level": "error", "component": "store", "error": "reset by peer", "message": "writing partials"}
	if fmt.Sprint(line) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", line, want)
	}
}

func TestLoggerWritesText(t *testing.T) {
	var out bytes.Buffer
	log, err := telemetry.NewLogger("debug", "console", &out)
	if err != nil {
		t.Fatal(err)
	}
	log.Debug().Str("topic", "flights").Msg("joined the group")
	if got := out.String(); !strings.HasSuffix(got, " DBG joined the group topic=flights\n") || strings.Contains(got, "\x1b") {
		t.Errorf("got %q", got)
	}
}

func TestLoggerRefusesWhatItDoesNotKnow(t *testing.T) {
	f := func(level, format, want string) {
		t.Helper()
		_, err := telemetry.NewLogger(level, format, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewLogger(%q, %q): %v, want it to say %q", level, format, err, want)
		}
	}
	f("loud", "json", `level "loud" is none of debug, info, warn, error`)
	f("", "json", `level "" is none of`)
	f("panic", "json", `level "panic" is none of`)
	f("info", "xml", `format "xml" is none of json, console`)
}

func scrape(t *testing.T, m *telemetry.Metrics) (series []string) {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	if answer.Code != 200 {
		t.Fatalf("status %d: %s", answer.Code, answer.Body)
	}
	return strings.Split(answer.Body.String(), "\n")
}

func only(lines []string, prefix string) (kept []string) {
	for _, line := range lines {
		if strings.HasPrefix(line, prefix) {
			kept = append(kept, line)
		}
	}
	return kept
}

func newMetrics(t *testing.T) *telemetry.Metrics {
	t.Helper()
	m, err := telemetry.NewMetrics("1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMetricsReadAtEveryScrape(t *testing.T) {
	m := newMetrics(t)
	rows, rejected := 41.0, map[string]int64{"not_json": 2, "bad \xff byte": 1}
	for _, err := range []error{
		m.Counter("modelwatch_rows_total", "Rows.", func() float64 { return rows }),
		m.Gauge("modelwatch_behind", "Records behind.", func() float64 { return -0.5 }),
		m.Counters("modelwatch_rejected_total", "Rejected.", "reason", func() map[string]int64 { return rejected }),
		m.Gauges("modelwatch_lag", "Lag.", "partition", func() map[string]int64 { return map[string]int64{"flights/3": 9} }),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	rows++
	got := only(scrape(t, m), "modelwatch_")
	want := []string{
		"modelwatch_behind -0.5",
		got[1], // of the build, below
		`modelwatch_lag{partition="flights/3"} 9`,
		"modelwatch_rejected_total{reason=\"bad \uFFFD byte\"} 1",
		`modelwatch_rejected_total{reason="not_json"} 2`,
		"modelwatch_rows_total 42",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !strings.HasPrefix(got[1], "modelwatch_build_info{goversion=\"go1") || !strings.HasSuffix(got[1], `version="1.2.3"} 1`) {
		t.Errorf("build: %s", got[1])
	}
	lines := scrape(t, m)
	for _, name := range []string{"go_goroutines ", "process_resident_memory_bytes "} {
		if len(only(lines, name)) != 1 {
			t.Errorf("%s is missing", name)
		}
	}
	for _, kind := range []string{"# TYPE modelwatch_rejected_total counter", "# TYPE modelwatch_lag gauge"} {
		if len(only(lines, kind)) != 1 {
			t.Errorf("%s is missing", kind)
		}
	}
}

func TestMetricsNameIsTakenOnce(t *testing.T) {
	m := newMetrics(t)
	read := func() float64 { return 1 }
	if err := m.Counter("modelwatch_rows_total", "Rows.", read); err != nil {
		t.Fatal(err)
	}
	err := m.Gauge("modelwatch_rows_total", "Rows.", read)
	if err == nil || !strings.Contains(err.Error(), "registering metric modelwatch_rows_total") {
		t.Errorf("second registration: %v", err)
	}
	scrape(t, m)
}

func TestMetricsLabelsAreBounded(t *testing.T) {
	m := newMetrics(t)
	values := map[string]int64{}
	if err := m.Counters("modelwatch_rejected_total", "Rejected.", "reason", func() map[string]int64 { return values }); err != nil {
		t.Fatal(err)
	}
	for i := range telemetry.MaxLabels {
		values[fmt.Sprintf("z%04d", i)] = 1
	}
	if got := only(scrape(t, m), "modelwatch_rejected_total{"); len(got) != telemetry.MaxLabels {
		t.Fatalf("%d series, want %d", len(got), telemetry.MaxLabels)
	}
	for i := range 300 { // before the others in order: what is shown must stay
		values[fmt.Sprintf("a%04d", i)] = 2
	}
	lines := scrape(t, m)
	if got := only(lines, "modelwatch_rejected_total{"); len(got) != telemetry.MaxLabels+1 {
		t.Errorf("%d series, want %d", len(got), telemetry.MaxLabels+1)
	}
	for _, line := range []string{`modelwatch_rejected_total{reason="other"} 600`, `modelwatch_rejected_total{reason="z0000"} 1`} {
		if len(only(lines, line)) != 1 {
			t.Errorf("%s is missing", line)
		}
	}
}
