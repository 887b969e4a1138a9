package web_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/modelwatch/modelwatch/schemas"
)

func sends(method, body string) func(*http.Request) {
	return func(r *http.Request) {
		r.Method = method
		r.Body = io.NopCloser(strings.NewReader(body))
	}
}

func TestMark(t *testing.T) {
	c := airport()
	c.marks = nil
	d := deps(c)
	addr := start(t, here(), d)
	path := addr + "/api/v1/incidents/" + swapID + "/mark"
	got := get(t, path, sends("POST", `{"verdict":"false","by":" ann ","note":"a storm"}`))
	got.says(t, 200)
	var m schemas.IncidentMark
	if err := json.Unmarshal([]byte(got.body), &m); err != nil {
		t.Fatal(err)
	}
	want := schemas.IncidentMark{Incident: swapID, Model: "flight-delay", Verdict: schemas.MarkFalse, By: "ann", At: now, Note: "a storm"}
	if m != want || len(c.marks) != 1 || c.marks[0] != want {
		t.Errorf("got %+v, kept %+v", m, c.marks)
	}
	get(t, addr+"/incidents/"+swapID).says(t, 200, "Marked false by ann, 14:19: a storm.")
	get(t, addr+"/api/v1/incidents/"+swapID).says(t, 200, `"mark":{"incident":"`+swapID)

	get(t, path, sends("POST", `{"verdict":"maybe"}`)).says(t, 400, "There is no such mark.")
	get(t, path, sends("POST", `true`)).says(t, 400, "not a JSON object")
	get(t, path, sends("POST", `{"verdict":"true","note":"`+strings.Repeat("x", 2001)+`"}`)).says(t, 400, "too long")
	get(t, path, sends("POST", strings.Repeat("x", 9<<10))).says(t, 400, "cannot be read")
	get(t, addr+"/api/v1/incidents/absent/mark", sends("POST", `{"verdict":"true"}`)).says(t, 404)
	c.away = map[string]bool{"Mark": true}
	get(t, path, sends("POST", `{"verdict":"true"}`)).says(t, 503)
	if len(c.marks) != 1 {
		t.Errorf("kept %+v", c.marks)
	}
}

func TestMark_IsForOperators(t *testing.T) {
	cfg := here()
	cfg.Token, cfg.Operator = secret, operatorSecret
	c := airport()
	c.marks = nil
	path := start(t, cfg, deps(c)) + "/api/v1/incidents/" + swapID + "/mark"
	shows := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	post := sends("POST", `{"verdict":"true"}`)
	get(t, path, post).says(t, 401)
	get(t, path, post, shows(secret)).says(t, 403, "You may read here and change nothing.")
	if len(c.marks) != 0 {
		t.Errorf("kept %+v", c.marks)
	}
	get(t, path, post, shows(operatorSecret)).says(t, 200)
	if len(c.marks) != 1 {
		t.Errorf("kept %+v", c.marks)
	}
}

func TestBudget(t *testing.T) {
	addr := start(t, here(), deps(airport()))
	var got struct{ Budget []schemas.BudgetRow }
	a := get(t, addr+"/api/v1/budget?model=flight-delay&limit=1")
	a.says(t, 200)
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Budget) != 1 || got.Budget[0].Sent != 1 || got.Budget[0].Stated != .25 || got.Budget[0].Severity != schemas.SeverityCritical {
		t.Errorf("%+v", got)
	}
	get(t, addr+"/api/v1/budget?model=none").says(t, 200, `{"budget":[]}`)
	get(t, addr+"/api/v1/budget?modl=x").says(t, 400, "Did you mean model?")
	// The page shows the present period beside what was stated.
	get(t, addr+"/").says(t, 200, "Alert budget", "30d from", `<td class="num b">1</td><td class="num">0.25</td><td>1 true, 0 false, 0 not marked</td>`,
		`<td class="num b">0</td><td class="num">4</td><td>–</td>`, "model-based bound")
}

func TestOverview_SaysThatTheGovernorActs(t *testing.T) {
	c := airport()
	for i := range c.budget {
		c.budget[i].Factor = .25
	}
	get(t, start(t, here(), deps(c))+"/").says(t, 200, "what may be spent is lowered to 25% of the budget")
}

func TestOverview_SaysWhichRulesAreOver(t *testing.T) {
	d := deps(airport())
	d.Monitors = func() []*schemas.Monitor {
		return []*schemas.Monitor{{Model: "flight-delay", Rules: []schemas.Rule{
			{Severity: schemas.RuleMute, Reason: "old", Until: schemas.Moment{Time: now}}, {Severity: schemas.RuleMute, Reason: "new", Until: schemas.Moment{Time: now.Add(1)}},
		}}}
	}
	a := get(t, start(t, here(), d)+"/")
	a.says(t, 200, "rules of flight-delay", "the rule to mute &#34;old&#34; is over since 2026-11-20.")
	if strings.Contains(a.body, "&#34;new&#34;") {
		t.Error("a rule that holds is called over")
	}
}
