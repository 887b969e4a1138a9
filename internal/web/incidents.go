package web

import (
	"context"
	"net/http"

	"github.com/modelwatch/modelwatch/schemas"
)

// listedIncidents bounds the list of incidents.
const listedIncidents = 200

// incidentList is the content of the list of incidents.
type incidentList struct {
	Headline string
	Filter   string
	Rows     []incidentRow
	Cut      bool // there may be more
	States   []choice
	Levels   []choice
}

type incidentRow struct {
	ID, Title, Model, Version, Does string
	Sign, Word                      string
	Onset, Resolved                 moment
	Lasts                           string
}

// choice is a link that narrows the list.
type choice struct {
	Text, Href string
	Here       bool
}

// incidentFilter reads the filter of the page and of the API.
func incidentFilter(r *http.Request, limit int) (schemas.IncidentFilter, error) {
	q := r.URL.Query()
	f := schemas.IncidentFilter{
		State: schemas.IncidentState(q.Get("state")), Model: q.Get("model"),
		Severity: schemas.Severity(q.Get("severity")), Limit: limit,
	}
	switch f.State {
	case "", schemas.IncidentFiring, schemas.IncidentResolved:
	default:
		return f, &refusal{http.StatusBadRequest, trouble{What: "An incident has no such state.", Hint: "state is firing or resolved."}}
	}
	if f.Severity != "" && f.Severity.Rank() == 0 {
		return f, &refusal{http.StatusBadRequest, trouble{What: "There is no such severity.", Hint: "severity is critical, warning or info."}}
	}
	return f, nil
}

func (s *Server) incidents(ctx context.Context, r *http.Request, who reader) (view, error) {
	f, err := incidentFilter(r, listedIncidents)
	if err != nil {
		return view{}, err
	}
	list, err := s.deps.Store.Incidents(ctx, f)
	if err != nil {
		return view{}, err
	}
	page := incidentList{Cut: len(list) == listedIncidents, Filter: f.Model}
	firing := 0
	for i := range list {
		in := &list[i]
		row := incidentRow{
			ID: in.Incident, Title: in.Title, Model: in.Model, Version: in.Version, Does: does(in.Severity),
			Sign: sign(in.Severity, in.Fault), Word: "firing", Onset: who.at(in.Onset), Resolved: who.at(in.Resolved),
		}
		if in.State == schemas.IncidentFiring {
			firing++
			if row.Sign != "plain" {
				row.Word = row.Sign + ", firing"
			}
		} else {
			row.Sign, row.Word = "ok", "resolved"
			row.Lasts = length(in.Resolved.Sub(in.Onset))
		}
		page.Rows = append(page.Rows, row)
	}
	switch {
	case f.State == schemas.IncidentResolved:
		page.Headline = "Incidents that are over"
	case firing == 0:
		page.Headline = "No open incident"
	case firing == 1:
		page.Headline = "One open incident"
	default:
		page.Headline = upper(small(firing)) + " open incidents"
	}
	page.States = choices(r, "state", "all", "", "firing", string(schemas.IncidentFiring), "resolved", string(schemas.IncidentResolved))
	page.Levels = choices(r, "severity", "any", "", "paged", string(schemas.SeverityCritical), "tickets", string(schemas.SeverityWarning), "on the page only", string(schemas.SeverityInfo))
	return view{template: "incidents", title: page.Headline, here: "/incidents", content: page}, nil
}

// choices links to the same list with another value of one parameter; pairs
// are text and value.
func choices(r *http.Request, name string, pairs ...string) []choice {
	var out []choice
	for i := 0; i < len(pairs); i += 2 {
		q := r.URL.Query()
		here := q.Get(name) == pairs[i+1]
		q.Del("tz")
		q.Del(name)
		if pairs[i+1] != "" {
			q.Set(name, pairs[i+1])
		}
		href := "/incidents"
		if len(q) > 0 {
			href += "?" + q.Encode()
		}
		out = append(out, choice{Text: pairs[i], Href: href, Here: here})
	}
	return out
}
