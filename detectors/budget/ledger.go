package budget

import (
	"math"
	"time"

	"gonum.org/v1/gonum/mathext"
)

// Kind says what a person was told by.
type Kind uint8

// The kinds of an alert.
const (
	Page Kind = iota + 1
	Ticket
)

// Mark is what a person said of an alert.
type Mark uint8

// The marks of an alert.
const (
	Unmarked Mark = iota
	MarkedTrue
	MarkedFalse
)

// Sent is one entry of the ledger: an alert that was sent, and what was said
// of it. Marks count in the order in which the ledger has them; a later mark
// of the same incident replaces the earlier, which is whoever keeps the
// ledger's matter.
type Sent struct {
	At   time.Time // event time of the window that alarmed
	Kind Kind
	Mark Mark
}

// Account is a budget beside what came of it.
type Account struct {
	Stated float64 // false ones that a period may have
	Spent  float64 // that the plan allows for in the same period: at most Stated
	Sent   int     // in the trailing period
	True   int     // of those, marked
	False  int
	// Realised is how many false ones there may have been in a period: those
	// marked false over those marked at all, of all that were sent; those
	// marked false where fewer than three were marked.
	Realised float64
	Upper    float64 // upper 95 % limit of the false ones in a period, by those marked false
	Limit    int     // marked false beyond which the governor lowers the weights: Poisson's upper 95 % limit of Stated over the trailing time
	Factor   float64 // on the weights from the next window on; 1: none
}

// Ledger is the account of pages and tickets over the trailing time.
type Ledger struct {
	From, To       time.Time
	Pages, Tickets Account
}

// trailing is how many periods of the budget the governor looks back.
const trailing = 2

// Settle draws up the account at a time from the alerts sent before it: those
// of the trailing two periods count, since a monitor that is younger has had
// that much less time to spend. While those marked false exceed Poisson's 95 %
// limit for the stated number, the weights fall by stated over realised. Every
// entry at or after `at`, or before the two periods, is left out; the order of
// the rest does not matter.
func Settle(p *Plan, since, at time.Time, sent []Sent) Ledger {
	from := at.Add(-trailing * p.budget.Per)
	if since.After(from) {
		from = since
	}
	l := Ledger{From: from, To: at}
	periods := 0.0
	if p.budget.Per > 0 {
		periods = math.Max(0, float64(at.Sub(from))/float64(p.budget.Per))
	}
	full := p.Governed(1)
	pages, tickets := full.Spends(p.budget.Per)
	l.Pages = account(Page, p.budget.Pages, pages, periods, from, at, sent)
	l.Tickets = account(Ticket, p.budget.Tickets, tickets, periods, from, at, sent)
	return l
}

func account(kind Kind, stated, spent, periods float64, from, at time.Time, sent []Sent) Account {
	a := Account{Stated: stated, Spent: spent, Factor: 1}
	for _, s := range sent {
		if s.Kind != kind || s.At.Before(from) || !s.At.Before(at) {
			continue
		}
		a.Sent++
		switch s.Mark {
		case MarkedTrue:
			a.True++
		case MarkedFalse:
			a.False++
		case Unmarked:
		}
	}
	a.Limit = poissonLimit(stated * periods)
	if periods <= 0 {
		return a
	}
	count := float64(a.False)
	if marked := a.True + a.False; marked >= 3 {
		count = float64(a.Sent) * float64(a.False) / float64(marked)
	}
	a.Realised = count / periods
	a.Upper = mathext.GammaIncRegCompInv(float64(a.False)+1, .05) / periods
	if a.False > a.Limit && a.False > 0 {
		a.Factor = math.Min(1, stated*periods/float64(a.False))
	}
	return a
}

// poissonLimit returns the least k with P(X <= k) >= .95 of a Poisson variable
// of that mean; 0 for a mean of 0.
func poissonLimit(mean float64) int {
	term := math.Exp(-mean)
	sum, k := term, 0
	for sum < .95 && k < 100_000 {
		k++
		term *= mean / float64(k)
		sum += term
	}
	return k
}

// Factor is what the governor puts on all weights: the lower of both, as pages
// and tickets come of the same streams.
func (l *Ledger) Factor() float64 { return math.Min(l.Pages.Factor, l.Tickets.Factor) }
