package exactness

import (
	"fmt"
	"testing"
)

// maxMessages is the size of the model of messages. Those of even number are
// of one incident, those of odd number of another.
const maxMessages = 4

// messagesPlan is what one search of the model of messages is about. Judging
// has been shown to journal each step once, so the journal is here a list of
// messages that grows.
type messagesPlan struct {
	messages       int8
	journalled     int8 // how many are there at the start
	crashes, wipes int8
	second         bool // a second replica publishes too, at any time
	windowPasses   bool // JetStream forgets the ids of messages after a while
	unknown        bool // a message may be stored although its publisher hears of an error
	noSequence     bool // broken: published without expected-last-subject-sequence
	markFirst      bool // broken: marked as sent before it is
	noRefill       bool // broken: a stream that was made anew is not filled again
	anyConnection  bool // broken: a turn goes on over a new connection
}

// What a publisher does.
const (
	stopped    = iota
	looking    // bus.Outbox.turn begins
	filling    // bus.Outbox.refill publishes
	noted      // and notes the stream
	publishing // bus.Outbox.publish
	marking    // store.MarkSent
)

type publisher struct {
	does       int8
	ready      bool // has seen to the streams on this connection
	connection int8
	turn       int8 // connection at which this turn began
	list       int8 // mask of what is to be published
	next       int8
	sent       int8 // mask of what is known to be stored
	blocked    int8 // mask of incidents of which a message has failed
	failed     bool
	stream     int8 // that it fills
}

type office struct {
	journal   int8 // messages
	marked    int8 // mask
	made      int8 // which stream there is, counted from 1; 0 for none
	streams   int8 // ever made
	noted     int8 // bus_streams: the stream that is known to be full
	server    int8 // connections are broken by its restart
	stored    [maxMessages]int8
	order     [maxMessages]int8 // message plus one
	n         int8
	ids       int8 // mask: still remembered for de-duplication
	crashes   int8
	publisher [2]publisher
}

func (p *messagesPlan) system() system[office] {
	return system[office]{start: office{journal: p.journalled}, next: p.next, always: p.always, settled: p.settled}
}

func (p *messagesPlan) next(o office, take taker[office]) {
	if o.journal < p.messages {
		to := o
		to.journal++
		take(false, to, "message %d is journalled", o.journal)
	}
	if o.server < p.wipes && o.made > 0 {
		to := o
		to.server++
		to.made, to.n, to.ids = 0, 0, 0
		to.stored, to.order = [maxMessages]int8{}, [maxMessages]int8{}
		take(true, to, "the server starts again with an empty disk")
	}
	if p.windowPasses && o.ids != 0 {
		to := o
		to.ids = 0
		take(true, to, "the de-duplication window passes")
	}
	for i := range o.publisher {
		if i == 0 || p.second {
			p.publish(o, i, take)
		}
	}
}

func (p *messagesPlan) publish(o office, i int, take taker[office]) {
	to := o
	b := &to.publisher[i]
	do := func(words string, with ...any) {
		take(i == 1, to, "publisher %d "+words, append([]any{i}, with...)...)
	}
	if b.does != stopped && o.crashes < p.crashes {
		was := to
		*b = publisher{}
		to.crashes++
		take(true, to, "publisher %d is killed", i)
		to = was
	}
	switch b.does {
	case stopped:
		b.does = looking
		do("starts")
	case looking: // bus.Outbox.Run and turn
		if b.connection != o.server {
			b.ready, b.connection = false, o.server
		}
		b.turn = o.server
		if !b.ready {
			if to.made == 0 { // bus.Bus.EnsureStreams
				to.streams++
				to.made = to.streams
			}
			b.stream = to.made
			b.list, b.next, b.sent, b.blocked, b.failed = 0, 0, 0, 0, false
			b.does = noted
			if to.noted != 0 && to.noted != to.made && !p.noRefill {
				b.list = 1<<o.journal - 1
				b.does = filling
			}
			do("finds stream %d", to.made)
			return
		}
		list := (int8(1)<<o.journal - 1) &^ o.marked // store.Unsent
		if list == 0 {
			return
		}
		b.list, b.next, b.sent, b.blocked, b.failed = list, 0, 0, 0, false
		b.does = publishing
		if p.markFirst {
			to.marked |= list
		}
		do("reads unsent messages %04b", list)
	case filling, publishing:
		for b.next < to.journal && b.list&(1<<b.next) == 0 {
			b.next++
		}
		if b.next >= to.journal {
			p.ended(&to, b)
			do("has gone through its messages")
			return
		}
		m := b.next
		b.next++
		incident := int8(1) << (m % 2)
		if b.blocked&incident != 0 {
			do("passes over message %d", m)
			return
		}
		if to.made == 0 || b.turn != to.server && !p.anyConnection {
			// No stream, or another connection than that of this turn: nothing more goes out.
			b.blocked, b.failed = 3, true
			do("cannot publish message %d", m)
			return
		}
		if p.anyConnection && b.turn != to.server && to.publisher[i].connection != to.server {
			// The request that was under way has failed with its connection.
			failing := to
			f := &failing.publisher[i]
			f.connection = to.server
			f.blocked |= incident
			f.failed = true
			take(true, failing, "publisher %d loses its connection with message %d", i, m)
		}
		if p.unknown {
			failing := to
			f := &failing.publisher[i]
			failing.put(p, m)
			f.blocked |= incident
			f.failed = true
			take(true, failing, "publisher %d stores message %d and hears of an error", i, m)
		}
		to.put(p, m)
		b.sent |= 1 << m
		do("publishes message %d", m)
	case noted:
		to.noted = max(to.noted, b.stream) // store.SetBusCreated
		b.ready = true
		b.does = looking
		do("notes stream %d", b.stream)
	case marking:
		to.marked |= b.sent
		b.does = looking
		b.ready = b.ready && !b.failed
		do("marks messages %04b as sent", b.sent)
	}
}

// ended goes on after the last message of a list.
func (p *messagesPlan) ended(o *office, b *publisher) {
	fill := b.does == filling
	switch {
	case fill && b.failed:
		b.does, b.ready = looking, false
	case fill:
		b.does = noted
	case b.sent != 0 && !p.markFirst:
		b.does = marking
		return
	default:
		b.does = looking
		b.ready = b.ready && !b.failed
	}
	b.list, b.next, b.sent, b.blocked = 0, 0, 0, 0
}

// put mirrors what JetStream does with a message of bus.Bus.Publish.
func (o *office) put(p *messagesPlan, m int8) {
	bit := int8(1) << m
	if o.ids&bit != 0 || !p.noSequence && o.stored[m] > 0 {
		return
	}
	o.ids |= bit
	if o.stored[m] < 2 {
		o.stored[m]++
	}
	if o.n < maxMessages {
		o.order[o.n] = m + 1
		o.n++
	}
}

func (p *messagesPlan) always(o *office) string {
	for m, n := range o.stored {
		if n > 1 {
			return fmt.Sprintf("message %d is stored twice", m)
		}
	}
	var last [2]int8
	for _, m := range o.order[:o.n] {
		if m < last[m%2] {
			return fmt.Sprintf("message %d is stored after message %d of its incident", m-1, last[m%2]-1)
		}
		last[m%2] = m
	}
	return ""
}

func (p *messagesPlan) settled(o *office) string {
	for m := range o.journal {
		switch {
		case o.stored[m] == 0:
			return fmt.Sprintf("message %d is lost", m)
		case o.marked&(1<<m) == 0:
			return fmt.Sprintf("message %d is never marked", m)
		}
	}
	return ""
}

func TestMessages(t *testing.T) {
	for _, c := range []struct {
		name string
		plan messagesPlan
	}{
		{"crashes and unknown outcomes", messagesPlan{messages: 3, journalled: 2, crashes: 1, second: true, windowPasses: true, unknown: true}},
		{"a disk lost", messagesPlan{messages: 3, journalled: 1, wipes: 1, crashes: 1, second: true}},
		{"a disk lost twice", messagesPlan{messages: 3, journalled: 2, wipes: 2, crashes: 1, unknown: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			holds(t, c.plan.system())
		})
	}
}

func TestMessages_BrokenRules(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong string
		plan  messagesPlan
	}{
		{"no expected sequence after the window", "stored twice", messagesPlan{messages: 1, crashes: 1, windowPasses: true, noSequence: true}},
		{"marked before it is published", "is lost", messagesPlan{messages: 1, crashes: 1, markFirst: true}},
		{"a new stream is not filled", "is lost", messagesPlan{messages: 1, wipes: 1, noRefill: true}},
		{"a turn goes on over a new connection", "of its incident", messagesPlan{messages: 4, journalled: 1, wipes: 1, second: true, anyConnection: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			breaks(t, c.plan.system(), c.wrong)
		})
	}
}
