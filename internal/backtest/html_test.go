package backtest

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

var update = flag.Bool("update", false, "write golden files anew")

// hostile is a name as a file could hold it.
const hostile = `<script>alert(1)</script> "x" 'y' </style> & "` + "`\u202e"

// drawn is a report with one of everything, names as bad as they can be.
func drawn() *Report {
	at := func(day, hour int) time.Time { return time.Date(2026, 4, day, hour, 0, 0, 0, time.UTC) }
	over := at(4, 0)
	delay, sd, p := 7200.0, 1.25, 1e-9
	r := &Report{
		Format: Format, Model: "flights " + hostile, Source: "month.csv", Window: schemas.Duration(time.Hour), Spec: "e577ef167dce7bff", Baseline: "sha256:1c24",
		Reference: &schemas.Interval{Start: at(1, 0).AddDate(0, -1, 0), End: at(1, 0)}, From: at(1, 0), To: at(15, 0), Days: 14, Rows: 55129,
		Windows: map[string]int{"features": 336, "prediction": 336}, Streams: 40,
		Unjudged: []Unjudged{{"too few rows", 64, 2}}, Notes: []string{"a note about " + hostile},
		Known: []Known{{From: at(3, 0), To: at(4, 0), Columns: []string{"temp"}, Note: hostile}, {From: at(9, 0), Columns: []string{"origin"}}, {From: at(20, 0), Columns: []string{}}},
	}
	budget := Budget{Pages: 1, Tickets: 4, Per: schemas.Duration(30 * 24 * time.Hour)}
	run := Run{
		Budget: budget,
		Alerts: []Alert{
			{
				At: at(3, 2), Kind: Ticket, Incident: "flights-20260403T0000-1", Fault: schemas.FaultDrift, Title: "`temp` " + hostile + " has drifted", Columns: []string{"temp"}, Slices: []string{},
				Onset: at(3, 0), Resolved: &over, Effect: schemas.Effect{SD: &sd}, RunnerUp: &schemas.RunnerUp{Fault: schemas.FaultUnitChange, Score: .4},
				Evidence: []schemas.Evidence{{Column: "temp", Statistic: "location", Value: 1.25, Expected: &p, P: &p, Rows: 99, Slice: hostile, Detail: hostile}}, Offsets: []schemas.OffsetRange{},
			},
			{At: at(3, 5), Kind: Page, Escalation: true, Incident: "flights-20260403T0000-1", Fault: schemas.FaultDrift, Title: "`temp` has drifted more", Columns: []string{"temp"}, Slices: []string{}, Onset: at(3, 0), Resolved: &over, Evidence: []schemas.Evidence{}, Offsets: []schemas.OffsetRange{}},
			{At: at(12, 0), Kind: Page, Incident: "flights-20260412T0000-2", Fault: schemas.FaultNulls, Title: "`score` is null too often", Columns: []string{"score"}, Slices: []string{}, Onset: at(11, 22), Evidence: []schemas.Evidence{}, Offsets: []schemas.OffsetRange{}},
			{At: at(13, 0), Kind: Note, Incident: "flights-20260413T0000-3", Fault: schemas.FaultDrift, Title: "nobody is told", Columns: []string{}, Slices: []string{}, Onset: at(13, 0), Evidence: []schemas.Evidence{}, Offsets: []schemas.OffsetRange{}},
		},
		series: map[series][]point{},
	}
	for i := range int64(14) {
		d := day{start: at(1, 0).UnixMilli() + i*dayMillis, ok: 900, out: int(i % 3)}
		if i == 6 {
			d = day{start: d.start, unknown: 900}
		}
		run.days = append(run.days, d)
	}
	k := series{schemas.Stream{Role: schemas.RoleFeature, Feature: "temp"}, "location"}
	for h := range int64(5 * 24) {
		q := point{start: at(1, 0).UnixMilli() + h*3_600_000, value: float32(h%7) / 50, low: -.2, high: .2, state: schemas.StateOK}
		switch {
		case h >= 48 && h < 72:
			q.value, q.state = 1.25, schemas.StateError
		case h == 30:
			q.state = schemas.StateUnknown
		}
		run.series[k] = append(run.series[k], q)
	}
	r.mark(&run)
	run.Known[0].Delay = &delay
	run.Pages, run.Tickets = r.tally(&run, Page, budget.Pages), r.tally(&run, Ticket, budget.Tickets)
	other := Run{Budget: Budget{Pages: .25, Tickets: 1, Per: budget.Per}, Alerts: []Alert{}}
	r.mark(&other)
	other.Pages, other.Tickets = r.tally(&other, Page, .25), r.tally(&other, Ticket, 1)
	r.Runs = []Run{run, other}
	return r
}

func TestHTML_Golden(t *testing.T) {
	got, err := HTML(drawn())
	if err != nil {
		t.Fatal(err)
	}
	// The sheet is that of the pages, and tested with them.
	from, to := bytes.Index(got, []byte("<style>")), bytes.Index(got, []byte(".ban {"))
	got = append(got[:from:from], got[to:]...)
	const name = "testdata/report.golden.html"
	if *update {
		if err := os.WriteFile(name, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; got\n%s", name, got)
	}
}

// The page needs nothing from elsewhere, and takes names as text.
func TestHTML_IsOneFileAndTakesNamesAsText(t *testing.T) {
	page, err := HTML(drawn())
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	for _, bad := range []string{"<script", "http://", "https://", "<img", "@import", "url(//", "style=\"", "onload", "ZgotmplZ", "NaN", "Inf"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, m := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		if m[1] != "data:," && !strings.HasPrefix(m[1], "#") {
			t.Errorf("the page refers to %q", m[1])
		}
	}
	if n := strings.Count(text, "&lt;script&gt;"); n < 6 {
		t.Errorf("the hostile name is there %d times", n)
	}
	if !strings.Contains(text, "Content-Security-Policy") || strings.Count(text, "</style>") != 1 {
		t.Error("no policy, or the sheet is broken")
	}
	for _, want := range []string{"2 pages would have been sent", "page, escalated", "Still open at the end", "1 of 2", "outside of what was judged", "location of temp", "Not shown to be true", "True, and told before"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestHTML_OfNothing(t *testing.T) {
	r := drawn()
	r.Known, r.Notes, r.Unjudged, r.Reference, r.Baseline = []Known{}, []string{}, []Unjudged{}, nil, ""
	r.Runs = []Run{{Budget: r.Runs[0].Budget, Alerts: []Alert{}}}
	page, err := HTML(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"nothing would have been said", "Nobody would have been woken", "There would have been no ticket", "No known incidents were named"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// Each known incident is found once, by what somebody is told.
func TestMark(t *testing.T) {
	r := drawn()
	run := &r.Runs[0]
	if got := []Mark{run.Alerts[0].Mark, run.Alerts[1].Mark, run.Alerts[2].Mark, run.Alerts[3].Mark}; got[0] != Hit || got[1] != Again || got[2] != False || got[3] != Again {
		t.Errorf("marks %v", got)
	}
	if run.Known[0].Kind != Ticket || run.Known[1].State != Missed || run.Known[2].State != Outside {
		t.Errorf("known %+v", run.Known)
	}
	if run.Pages.Sent != 2 || run.Pages.NotTrue != 1 || run.Pages.Realised != 30.0/14 || run.Tickets.Sent != 1 {
		t.Errorf("pages %+v, tickets %+v", run.Pages, run.Tickets)
	}
	// An incident of no column fits alerts of any, and the other way round.
	r.Known = append(r.Known[:1], Known{From: r.From, Columns: []string{}})
	again := Run{Budget: run.Budget, Alerts: run.Alerts}
	for i := range again.Alerts {
		again.Alerts[i].Mark, again.Alerts[i].Fits = "", nil
	}
	r.mark(&again)
	if tally := r.tally(&again, Page, 1); tally.NotTrue != 0 || again.Known[1].State != Found {
		t.Errorf("pages %+v, known %+v", tally, again.Known)
	}
}
