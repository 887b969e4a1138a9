package backtest

import (
	"fmt"
	"strconv"
	"strings"
)

// Promise says what the budget of a run promises and what came of it. The
// promise rests on a model; it is no guarantee.
func Promise(run *Run) string {
	return fmt.Sprintf("At most %s are expected per %s if healthy behaviour stays inside the range learnt from the reference. "+
		"This is a model-based bound, checked on simulated and real data. Realised, not shown to be true: %.2f pages and %.2f tickets per 30 days.",
		plural(run.Budget.Pages, "false page")+" and "+plural(run.Budget.Tickets, "false ticket"), run.Budget.Per, run.Pages.Realised, run.Tickets.Realised)
}

func plural(n float64, noun string) string {
	text := short(n) + " " + noun
	if n != 1 {
		text += "s"
	}
	return text
}

func short(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }

// BudgetName writes a budget in short.
func BudgetName(b Budget) string {
	return plural(b.Pages, "page") + ", " + plural(b.Tickets, "ticket") + " per " + b.Per.String()
}

// Length writes seconds as people say them: 52 s, 14 min, 1 h 17 min, 3.5 d.
func Length(seconds float64) string {
	minutes := int(seconds / 60)
	switch {
	case seconds < 60:
		return strconv.Itoa(int(seconds)) + " s"
	case minutes < 60:
		return strconv.Itoa(minutes) + " min"
	case minutes >= 48*60:
		return strconv.FormatFloat(seconds/86400, 'f', 1, 64) + " d"
	case minutes%60 == 0:
		return strconv.Itoa(minutes/60) + " h"
	}
	return strconv.Itoa(minutes/60) + " h " + strconv.Itoa(minutes%60) + " min"
}

// FoundOf writes how many of the known incidents a run has found; "" where
// none are known.
func FoundOf(run *Run) string {
	found, of := 0, 0
	for _, o := range run.Known {
		if o.State != Outside {
			of++
		}
		if o.State == Found {
			found++
		}
	}
	if of == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d", found, of)
}

// Why writes the strongest evidence of an alert in one line, "" where it has
// none.
func Why(a *Alert) string {
	if len(a.Evidence) == 0 {
		return a.Reason
	}
	e := &a.Evidence[0]
	var b strings.Builder
	if e.Column != "" {
		b.WriteString(e.Column + " ")
	}
	b.WriteString(e.Statistic + " " + strconv.FormatFloat(e.Value, 'g', 4, 64))
	if e.Expected != nil {
		b.WriteString(", expected " + strconv.FormatFloat(*e.Expected, 'g', 4, 64))
	}
	if e.Slice != "" {
		b.WriteString(" for " + e.Slice)
	}
	if e.Rows > 0 {
		fmt.Fprintf(&b, ", %d rows", e.Rows)
	}
	if e.Detail != "" {
		b.WriteString("; " + e.Detail)
	}
	return b.String()
}
