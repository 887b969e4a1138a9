package web

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/modelwatch/modelwatch/schemas"
)

// Bounds of marks and of the ledger.
const (
	maxMark       = 8 << 10 // bytes of a mark as it is sent
	maxBy         = 200     // bytes
	maxNote       = 2000
	budgetPeriods = 500
)

// markOf returns what was said of an incident last, nil for nothing.
func (s *Server) markOf(ctx context.Context, in *schemas.Incident) (*schemas.IncidentMark, error) {
	marks, err := s.deps.Store.Marks(ctx, in.Model)
	if err != nil {
		return nil, err
	}
	for i := range marks {
		if marks[i].Incident == in.Incident {
			return &marks[i], nil
		}
	}
	return nil, nil
}

// markRequest is the body of POST /api/v1/incidents/{incident}/mark.
type markRequest struct {
	Verdict schemas.MarkVerdict `json:"verdict"`
	By      string              `json:"by"`
	Note    string              `json:"note"`
}

// apiMark keeps what somebody says of an incident and answers with the mark.
func (s *Server) apiMark(ctx context.Context, r *http.Request) (any, error) {
	if err := known(r); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxMark+1))
	if err != nil || len(body) > maxMark {
		return nil, badRequest("The mark cannot be read.", "Send one JSON object of a few lines.")
	}
	var m markRequest
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, badRequest("The mark is not a JSON object.", `Write it like {"verdict": "false", "by": "ann", "note": "storm"}.`)
	}
	switch {
	case m.Verdict != schemas.MarkTrue && m.Verdict != schemas.MarkFalse:
		return nil, badRequest("There is no such mark.", `verdict is "true" or "false".`)
	case len(m.By) > maxBy || len(m.Note) > maxNote:
		return nil, badRequest("The mark is too long.", "by has at most 200 bytes, note 2000.")
	case !utf8.ValidString(m.By + m.Note):
		return nil, badRequest("The mark is not UTF-8 text.", "")
	}
	id := r.PathValue("incident")
	in, found, err := s.deps.Store.Incident(ctx, id)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, s.unknownIncident(ctx, id)
	}
	mark := schemas.IncidentMark{
		Incident: in.Incident, Model: in.Model, Verdict: m.Verdict, By: strings.TrimSpace(m.By), At: s.deps.Now().UTC(), Note: strings.TrimSpace(m.Note),
	}
	if err := s.deps.Mark(ctx, mark); err != nil {
		return nil, err
	}
	s.log.Info().Str("incident", mark.Incident).Str("verdict", string(mark.Verdict)).Str("by", mark.By).Msg("marked")
	return mark, nil
}

// budgetAnswer is the body of /api/v1/budget.
type budgetAnswer struct {
	Budget []schemas.BudgetRow `json:"budget"` // latest period first
}

func (s *Server) apiBudget(ctx context.Context, r *http.Request) (any, error) {
	if err := known(r, "model", "limit"); err != nil {
		return nil, err
	}
	n, err := limit(r, budgetPeriods, budgetPeriods)
	if err != nil {
		return nil, err
	}
	rows, err := s.deps.Store.Budget(ctx, r.URL.Query().Get("model"), n)
	if err != nil {
		return nil, err
	}
	if rows == nil {
		rows = []schemas.BudgetRow{}
	}
	return budgetAnswer{rows}, nil
}

// Bounds of the table of budgets.
const budgetModels = 50

// budgetRow is the present period of one model.
type budgetRow struct {
	Model string
	From  moment
	Per   string
	Kinds [2]budgetKind // pages, tickets
	Lower string        // to what the governor has lowered the sensitivity; "" for not at all
}

type budgetKind struct {
	Sent   string
	Stated string
	Marked string
}

// budgetRows lists the latest period of each model, by name.
func budgetRows(rows []schemas.BudgetRow, monitors []*schemas.Monitor, who reader) (out []budgetRow, more int) {
	at := map[string]int{}
	for i := range rows {
		r := &rows[i]
		n, listed := at[r.Model]
		if !listed {
			n = len(out)
			at[r.Model] = n
			per := schemas.DefaultMonitor().Budget.Per
			for _, m := range monitors {
				if m.Model == r.Model {
					per = m.Budget.Per
				}
			}
			row := budgetRow{Model: r.Model, From: who.at(r.PeriodStart), Per: per.String()}
			if r.Factor > 0 && r.Factor < 1 {
				row.Lower = percent(r.Factor)
			}
			out = append(out, row)
		}
		if out[n].From != who.at(r.PeriodStart) {
			continue // an earlier one
		}
		kind := 0
		if r.Severity == schemas.SeverityWarning {
			kind = 1
		}
		k := budgetKind{Sent: count(r.Sent), Stated: strconv.FormatFloat(r.Stated, 'g', -1, 64), Marked: "–"}
		if r.Sent > 0 {
			k.Marked = fmt.Sprintf("%d true, %d false, %d not marked", r.MarkedTrue, r.MarkedFalse, r.Unmarked)
		}
		out[n].Kinds[kind] = k
	}
	slices.SortFunc(out, func(a, b budgetRow) int { return strings.Compare(a.Model, b.Model) })
	more = max(0, len(out)-budgetModels)
	return out[:len(out)-more], more
}

// marked says what was said of an incident.
func marked(m *schemas.IncidentMark, who reader) string {
	if m == nil {
		return ""
	}
	text := "Marked " + string(m.Verdict)
	if m.By != "" {
		text += " by " + m.By
	}
	text += ", " + who.at(m.At).Text
	if m.Note != "" {
		text += ": " + m.Note
	}
	return text + "."
}
