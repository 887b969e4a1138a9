package web_test

import (
	"flag"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

var update = flag.Bool("update", false, "write the pages of testdata anew")

// answer is what came back for one request.
type answer struct {
	status int
	header http.Header
	body   string
}

func get(t testing.TB, address string, change ...func(*http.Request)) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(r)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	got, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = got.Body.Close() }()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{got.StatusCode, got.Header, string(body)}
}

// says fails unless the page holds every text.
func (a answer) says(t testing.TB, status int, texts ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d", a.status, status)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("%q is missing in\n%s", text, a.body)
		}
	}
}

var tags = regexp.MustCompile(`(?s)<svg.*?</svg>|<[^>]*>`)

// prose is what a reader without pictures reads, one space between words.
func (a answer) prose() string {
	return strings.Join(strings.Fields(html.UnescapeString(tags.ReplaceAllString(a.body, " "))), " ")
}

func TestPagesAreAsWritten(t *testing.T) {
	empty := &contents{}
	healthy := &contents{models: []schemas.ModelOverview{overviewOf("bag-claim", 202)}, progress: airport().progress}
	over := airport()
	f := func(name string, c *contents, path string) {
		t.Helper()
		d := deps(c)
		if c != over && name != "overview" && name != "incident" {
			d.Monitors = nil
		}
		got := get(t, start(t, here(), d)+path).body
		got = regexp.MustCompile(`sheet\.[0-9a-f]{16}`).ReplaceAllString(got, "sheet.HASH")
		file := filepath.Join("testdata", name+".html")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs from %s; look at it and run go test ./internal/web -update\n%s", path, file, got)
		}
	}
	f("overview", airport(), "/")
	f("overview-empty", empty, "/")
	f("overview-healthy", healthy, "/")
	f("incident", airport(), "/incidents/"+swapID)
	f("incidents", over, "/incidents")
}

func TestOverviewNamesTheWorstFirst(t *testing.T) {
	text := get(t, start(t, here(), deps(airport()))+"/").prose()
	last := -1
	for _, want := range []string{
		"One model needs a person now",
		"flight-delay: temp and dewpoint are swapped since 12:05. One warns, three cannot be judged, one is healthy, one is healthy as far as it was judged.",
		"error flight-delay travel-ml temp and dewpoint are swapped since 12:05 · 1 h 54 min · paged",
		"warn delay-minutes 4.1% of visibility is null",
		"unknown fare-quote No data since 13:41 · ticket",
		"unknown missed-connection Not judged yet: learning: day 19 of 28.",
		"unknown turnaround airport-ops No event has been seen yet on ops.turn, ops.labels.",
		"ok bag-claim All 44 checks of the last window passed.",
		"ok no-show 40 of 41 checks of the last window passed; price is outside its healthy range once, which is not yet a finding. 3 could not be judged: too few rows (and one other reason).",
		"13:51 firing fare-quote: No data since 13:41 · ticket",
		"Partitions 4 read · furthest behind 12 records ( flights.features/1 )",
	} {
		at := strings.Index(text, want)
		if at < 0 {
			t.Errorf("%q is missing in\n%s", want, text)
		} else if at < last {
			t.Errorf("%q stands too early", want)
		}
		last = max(last, at)
	}
	if strings.Contains(text, "fell by half · ticket · firing") || strings.Count(text, "Volume of bag-claim") != 1 {
		t.Errorf("what is older than a day is in the last 24 hours:\n%s", text)
	}
}

func TestHeadlineSaysHealthyOnlyOfWhatWasJudged(t *testing.T) {
	f := func(want string, change func(c *contents, ready map[string]error)) {
		t.Helper()
		c := &contents{models: []schemas.ModelOverview{overviewOf("a", 10), overviewOf("b", 20)}}
		ready := map[string]error{"kafka": nil}
		change(c, ready)
		d := deps(c)
		d.Monitors, d.Ready = nil, func() map[string]error { return ready }
		if text := get(t, start(t, here(), d)+"/").prose(); !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		} else if healthy := strings.Contains(text, "models are healthy "); healthy != strings.HasPrefix(want, "All") {
			t.Errorf("all healthy is said: %v\n%s", healthy, text)
		}
	}
	f("All two models are healthy", func(*contents, map[string]error) {})
	f("not everything could be judged", func(c *contents, _ map[string]error) {
		c.models[0].States.Unknown = 1
	})
	f("but one model cannot be judged", func(c *contents, _ map[string]error) {
		c.models[0].States = schemas.StateCounts{Unknown: 9}
	})
	f("nothing was judged for 3 d of event time", func(c *contents, _ map[string]error) {
		c.models[0].Judged.Start = c.models[0].Judged.Start.Add(-72 * time.Hour)
		c.models[0].Judged.End = c.models[0].Judged.End.Add(-72 * time.Hour)
	})
	f("No model can be judged", func(c *contents, _ map[string]error) {
		c.models[0].Judged, c.models[1].Judged = schemas.Interval{}, schemas.Interval{}
	})
	f("but the monitor itself is not sound", func(_ *contents, ready map[string]error) {
		ready["bus"] = fmt.Errorf("connecting to nats://127.0.0.1:4222: refused")
	})
	f("One model warns a: price for origin=ORD is outside its healthy range, on this page only. One is healthy.", func(c *contents, _ map[string]error) {
		c.models[0].States.Error = 1
		c.models[0].Worst = &schemas.Verdict{Stream: schemas.Stream{Feature: "price", Slice: "origin=ORD"}}
	})
}

func TestIncidentPage(t *testing.T) {
	c := airport()
	page := get(t, start(t, here(), deps(c))+"/incidents/"+swapID)
	text := page.prose()
	for _, want := range []string{
		"error, firing paged flight-delay v3 travel-ml",
		"temp and dewpoint are swapped since 12:05",
		"shown by events of 12:05 (41 s later); it still held at 14:00.",
		"If not that: drift (score 0.10)",
		"effect, in healthy sd 1.81 sd",
		"Retraining will not help: the data are wrong, not the world.",
		"modelwatch explain flight-delay-20261120T1205-7c1e",
		"dewpoint : Distance from healthy: 2 of 2 judged windows since it began are outside the healthy range; the latest is 1.60 sd.",
		"too few rows: 12 of 100",
		"temp whole wasserstein sd 1.54 0.08 < 10⁻⁶ 2,092",
		"temp origin=PIT bad rate 4.1% – –",
		"flights.features/3@88412907",
		"secret hidden: the column is sensitive",
		"updated message 2: every origin is affected · not yet acknowledged by the bus",
		"firing message 1 · sent 12:05",
		"flights.features/3@88412907…88413466",
		"sha256:5be1c0d4…91aa",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	page.says(t, 200, `href="https://runbooks.example/swap"`, `<title>no data</title>`, `<title>too few rows: 12 of 100</title>`, `class="pt bad"`)
	if strings.Contains(page.body, "4111") {
		t.Error("the value of a sensitive column is shown")
	}
	if n := strings.Count(page.body, `<figure`); n != 2 {
		t.Errorf("%d charts, want one for each column", n)
	}
	if got := c.asked[0]; got.Model != "flight-delay" || fmt.Sprint(got.Features) != "[dewpoint temp]" || got.Limit > 2000 || !got.From.Equal(c.incidents[0].Onset.Add(-24*time.Hour)) {
		t.Errorf("asked for %+v", got)
	}
}

// The line must break wherever nothing was measured, and so must the band
// where nothing was judged.
func TestChartBridgesNoGap(t *testing.T) {
	body := get(t, start(t, here(), deps(airport()))+"/incidents/"+swapID).body
	path := regexp.MustCompile(`<path class="ln" d="(M0? ?[^"]{30,})"`).FindStringSubmatch(body)
	if path == nil {
		t.Fatal("no measured line")
	}
	// Two hours missing, one with too few rows, the last one open: three stretches.
	if n := strings.Count(path[1], "M"); n != 3 {
		t.Errorf("the line has %d stretches, want 3: %s", n, path[1])
	}
	band := regexp.MustCompile(`<path class="bd" d="([^"]{60,})"`).FindStringSubmatch(body)
	if band == nil || strings.Count(band[1], "z") != 3 {
		t.Errorf("the band is not in 3 stretches: %v", band)
	}
}

func TestUnknownIncidentNamesTheNearest(t *testing.T) {
	addr := start(t, here(), deps(airport()))
	get(t, addr+"/incidents/flight-delay-20261120T1205-7c1f").says(t, 404, "There is no incident of this name.", `<a href="/incidents/`+swapID+`">`)
	get(t, addr+"/incidents/%2e%2e%2fetc").says(t, 404)
	get(t, addr+"/nowhere").says(t, 404, "There is no page at this address.", "<main")
}

func TestStoreAway(t *testing.T) {
	c := airport()
	c.away = map[string]bool{"all": true}
	addr := start(t, here(), deps(c))
	for _, path := range []string{"/", "/incidents", "/incidents/" + swapID} {
		page := get(t, addr+path)
		page.says(t, 503, "The store does not answer, so nothing is known right now.", `<a class="brand"`)
		if strings.Contains(page.body, "connection refused") || strings.Contains(page.body, "healthy") {
			t.Errorf("%s says too much:\n%s", path, page.body)
		}
	}
	get(t, addr+"/api/v1/models").says(t, 503, `{"error":"The store does not answer."`)
}

func TestOnePartAwayLeavesTheRest(t *testing.T) {
	c := airport()
	c.away = map[string]bool{"Transitions": true, "Progress": true, "Violations": true, "Verdicts": true}
	addr := start(t, here(), deps(c))
	get(t, addr+"/").says(t, 200, "Could not be read just now: progress, transitions.", "One model needs a person now")
	get(t, addr+"/incidents/"+swapID).says(t, 200, "Could not be read just now: sample rows, timeline, verdicts.", "are swapped since", "Mean: 50 on average before, 50 in the latest window. No healthy range is known.")
}

// hostile are names that producers may choose.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='x`, `a/b/../c?d#e%41`, `javascript:alert(1)`,
	"\u202egnp.exe \u05d0\u05d1\u05d2", "line\nbreak\x00", "{{.}}", "`", strings.Repeat("very-long-", 20), "\xff\xfe",
}

func TestHostileNamesBreakNothing(t *testing.T) {
	plain := len(regexp.MustCompile(`<[a-z]`).FindAllString(get(t, start(t, here(), deps(hostileStore("x")))+"/").body, -1))
	for _, name := range hostile {
		c := hostileStore(name)
		addr := start(t, here(), deps(c))
		for _, path := range []string{"/", "/incidents", "/incidents?model=" + url.QueryEscape(name), "/incidents/" + url.PathEscape(name)} {
			page := get(t, addr+path)
			page.says(t, 200)
			for _, bad := range []string{"<script", "<img", " onmouseover='", "ZgotmplZ", `href="javascript`} {
				if strings.Contains(page.body, bad) {
					t.Errorf("%q: %s holds %q", name, path, bad)
				}
			}
			if strings.Contains(page.body, " style=") {
				t.Errorf("%s has a style attribute, which the policy forbids", path)
			}
		}
		overview := get(t, addr+"/").body
		if n := len(regexp.MustCompile(`<[a-z]`).FindAllString(overview, -1)); n < plain-12 || n > plain+12 { // code and plain words differ
			t.Errorf("%q: %d elements, %d with a plain name", name, n, plain)
		}
		link := regexp.MustCompile(`<p class="lead"><a href="([^"]*)"`).FindStringSubmatch(overview)
		if link == nil {
			t.Fatalf("%q: the headline links nowhere", name)
		}
		get(t, addr+html.UnescapeString(link[1])).says(t, 200)
	}
}

// hostileStore has one model with one open incident, and one name for everything.
func hostileStore(name string) *contents {
	c := airport()
	in := &c.incidents[0]
	in.Incident, in.Model, in.Version, in.Title, in.Columns, in.Slices = name, name, name, name+" is `"+name+"`", []string{name}, []string{name}
	in.Reason = name
	for i := range in.Evidence {
		in.Evidence[i].Column, in.Evidence[i].Detail, in.Evidence[i].Statistic = name, name, name
	}
	c.incidents = c.incidents[:1]
	m := overviewOf(name, 100)
	m.Firing, m.Versions[0].Version = 1, name
	c.models = []schemas.ModelOverview{m}
	c.transitions = c.transitions[1:3]
	for i := range c.transitions {
		a := &c.transitions[i].Alert
		c.transitions[i].Incident, c.transitions[i].Reason = name, name
		a.Model, a.Title, a.Links.Runbook, a.Replay.Spec = name, name, "javascript:alert(1)", name
		a.Replay.Offsets = []schemas.OffsetRange{{Topic: name, From: 1, To: 2}}
	}
	for i := range c.windows {
		c.windows[i].Feature, c.windows[i].Model = name, name
	}
	for i := range c.verdicts {
		c.verdicts[i].Feature, c.verdicts[i].Reason = name, name
	}
	for i := range c.violations {
		v := &c.violations[i]
		v.Feature, v.Value, v.Reason, v.Topic = name, name, name, name
	}
	for i := range c.progress {
		c.progress[i].Topic = name
	}
	return c
}

func TestZoneChangesEveryTimeAndNoNumber(t *testing.T) {
	addr := start(t, here(), deps(airport()))
	times := regexp.MustCompile(`\b\d\d:\d\d(:\d\d)?\b`)
	utc, tokyo := get(t, addr+"/incidents/"+swapID), get(t, addr+"/incidents/"+swapID+"?tz=Asia/Tokyo")
	tokyo.says(t, 200, `value="Asia/Tokyo"`, "As of 23:19:08 JST", `<time datetime="2026-11-20T12:05:11Z">21:05</time>`)
	iso := regexp.MustCompile(`datetime="[^"]*"`)
	if a, b := fmt.Sprint(iso.FindAllString(utc.body, -1)), fmt.Sprint(iso.FindAllString(tokyo.body, -1)); a != b {
		t.Error("the moments differ, not only their texts")
	}
	numbers := regexp.MustCompile(`\d[\d,.]* sd\b|\d[\d,.]*%`)
	if a, b := fmt.Sprint(numbers.FindAllString(times.ReplaceAllString(utc.prose(), ""), -1)), fmt.Sprint(numbers.FindAllString(times.ReplaceAllString(tokyo.prose(), ""), -1)); a != b {
		t.Errorf("numbers differ:\n%s\n%s", a, b)
	}
	kept := tokyo.header.Get("Set-Cookie")
	get(t, addr+"/", func(r *http.Request) { r.Header.Set("Cookie", strings.Split(kept, ";")[0]) }).says(t, 200, "23:19:08 JST")
	for _, bad := range []string{"Mars/Base", "Local", "../../etc/passwd", strings.Repeat("x", 100)} {
		get(t, addr+"/?tz="+url.QueryEscape(bad)).says(t, 400, "There is no time zone of this name.")
	}
}

func TestWeight(t *testing.T) {
	const pageMost, sheetMost = 120_000, 24_000
	c := airport()
	for i := range 150 {
		m := overviewOf(fmt.Sprintf("model-%03d-with-a-name-of-usual-length", i), 1234567)
		rows := m.Rows
		for j := range 2880 * min(1, 30/(i+1)) { // windows of a minute, each of another size
			w := rows[0]
			w.Start = now.Add(time.Duration(j-2880) * time.Minute).Truncate(time.Minute)
			w.End = w.Start.Add(time.Minute)
			w.Rows = uint64(20000 + (j*7919)%5000)
			m.Rows = append(m.Rows, w)
		}
		if len(m.Rows) > len(rows) {
			m.Rows = m.Rows[len(rows):]
		}
		for v := range 20 {
			m.Versions = append(m.Versions, schemas.VersionSeen{Version: fmt.Sprintf("2026-11-%02d-candidate", v)})
		}
		c.models = append(c.models, m)
	}
	in := &c.incidents[0]
	for i := range 2000 {
		in.Slices = append(in.Slices, fmt.Sprintf("origin=%04d", i))
	}
	for i := range 500 {
		in.Columns = append(in.Columns, fmt.Sprintf("feature_%03d", i))
		in.Evidence = append(in.Evidence, in.Evidence[0])
		c.transitions = append(c.transitions, c.transitions[1])
	}
	c.windows, c.verdicts = nil, nil
	for _, column := range []string{"temp", "dewpoint"} {
		for i := range 1000 {
			start := in.Onset.Truncate(time.Minute).Add(time.Duration(i-500) * time.Minute)
			c.windows = append(c.windows, schemas.WindowRow{Model: in.Model, Role: "feature", Feature: column, Start: start, End: start.Add(time.Minute), Rows: 99, Closed: true})
			c.verdicts = append(c.verdicts, schemas.Verdict{
				Stream: schemas.Stream{Role: schemas.RoleFeature, Feature: column}, Start: start.UnixMilli(), Channel: "location",
				State: []schemas.State{schemas.StateOK, schemas.StateError}[i/900], Effect: float64((i*7919)%100) / 300, High: 0.2,
			})
		}
	}
	addr := start(t, here(), deps(c))
	for _, path := range []string{"/", "/incidents/" + swapID, "/incidents"} {
		page := get(t, addr+path)
		page.says(t, 200)
		t.Logf("%s: %d bytes", path, len(page.body))
		if len(page.body) > pageMost {
			t.Errorf("%s has %d bytes, more than %d", path, len(page.body), pageMost)
		}
	}
	sheet := regexp.MustCompile(`href="(/static/[^"]+)"`).FindStringSubmatch(get(t, addr+"/").body)[1]
	if got := get(t, addr+sheet); got.status != 200 || len(got.body) > sheetMost {
		t.Errorf("the sheet: status %d, %d bytes of %d", got.status, len(got.body), sheetMost)
	}
}
