package budget

import (
	"testing"

	"github.com/modelwatch/modelwatch/schemas"
)

// Twice the traffic is a ticket, half of it a page, whatever was staked on the
// level while all was well.
func TestOnlyLessTrafficPages(t *testing.T) {
	f := func(shift float64, page bool) {
		t.Helper()
		p := DefaultParameters()
		l := newLaw(Key{Role: schemas.RoleRows, Feature: "features", Channel: Volume}, &schemas.Healthy{
			Fitted: 672, Days: 28, Level: 7, Phi: .5, Noise: .1, Tail: 8, Scale: 1, Dead: .05,
		}, &p)
		s := newState(&l)
		w := weights{page: 1e-3, pageShock: 1e-4, ticket: 1e-3, ticketShock: 1e-4}
		for i := range 300 {
			l.step(&s, .05*float64(i%3-1), 1e-3, l.dead, w)
		}
		var paged, ticketed bool
		for range 100 {
			o := l.step(&s, shift, 1e-3, l.dead, w)
			paged, ticketed = paged || o.page, ticketed || o.ticket
		}
		if paged != page || !ticketed {
			t.Errorf("a shift of %v: page %v, ticket %v", shift, paged, ticketed)
		}
	}
	f(.69, false)
	f(-.69, true)
}
