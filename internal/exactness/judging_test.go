package exactness

import (
	"fmt"
	"testing"
)

// Sizes of the model of judging.
const (
	maxSteps  = 6
	maxJudged = 2 // windows
)

// judgingPlan is what one search of the model of judging is about. Reading has
// been shown to keep the rows of each partition, so a partition is here the
// list of the windows of its records, of which a prefix is stored.
type judgingPlan struct {
	partitions [2][]int8
	crashes    int8
	second     bool // a second evaluator judges too, at any time

	// Rules that are broken on purpose.
	noToken        bool // any insert of a step is stored
	summariesFirst bool // a window is kept as judged before the journal has decided
	cursorRuns     bool // windows that were handed out as revised are never looked for again
}

// What an evaluator does.
const (
	away      = iota // not running
	loading          // evaluate.model.load
	mending          // keeping what the last step judged, in case its writer did not
	watching         // evaluate.Evaluator.sweep
	reading          // evaluate.decision.read
	keeping          // evaluate.Windows.WriteSummaries
	checking         // store.Append: is the step before there, and this one not
	inserting        // and its insert
	asking           // and reading back who won
)

// verdict is one journalled step, or the one that an evaluator is about to
// write: which windows it judges, in which revision, and which of them for the
// first time.
type verdict struct {
	judged, first int8 // masks
	revision      [maxJudged]int8
}

type evaluator struct {
	does   int8
	step   int8 // the last one it knows
	next   int8 // first window that is not judged
	cursor int8 // up to when it has looked for revised windows
	until  int8 // up to when its last look went
	handed int8 // mask of what that look found
	now    verdict
}

type court struct {
	stored    [2]int8            // by partition: records
	rows      [maxJudged]int8    // stored, by window: its revision
	touched   [maxJudged]int8    // when it last got one
	kept      [maxJudged]int8    // revision of the summary; 0 for none
	written   [maxSteps + 1]int8 // how often a step is in the journal
	journal   [maxSteps + 1]verdict
	writers   [maxSteps + 1]int8
	last      int8
	crashes   int8
	evaluator [2]evaluator
}

func (p *judgingPlan) system() system[court] {
	return system[court]{next: p.next, always: p.always, settled: p.settled}
}

func (p *judgingPlan) next(c court, take taker[court]) {
	for i, records := range p.partitions {
		if int(c.stored[i]) < len(records) {
			to := c
			window := records[c.stored[i]]
			to.stored[i]++
			to.rows[window]++
			to.touched[window] = c.stored[0] + c.stored[1] + 1
			take(false, to, "partition %d stores a row of window %d", i, window)
		}
	}
	for i := range c.evaluator {
		if i == 0 || p.second {
			p.evaluate(c, i, take)
		}
	}
}

func (p *judgingPlan) evaluate(c court, i int, take taker[court]) {
	to := c
	e := &to.evaluator[i]
	do := func(words string, with ...any) {
		take(i == 1, to, "evaluator %d "+words, append([]any{i}, with...)...)
	}
	if e.does != away && (c.crashes < p.crashes) {
		was := to
		*e = evaluator{}
		to.crashes++
		take(true, to, "evaluator %d is killed", i)
		to = was
	}
	switch e.does {
	case away:
		e.does = loading
		do("starts")
	case loading:
		e.step, e.next, e.now = to.last, 0, verdict{}
		for s := int8(1); s <= to.last; s++ {
			for w := int8(0); w < maxJudged; w++ {
				if to.journal[s].first&(1<<w) != 0 {
					e.next = max(e.next, w+1)
				}
			}
		}
		e.does = watching
		if to.last > 0 && !p.summariesFirst {
			e.now, e.does = to.journal[to.last], mending
		}
		do("reads the state after step %d", e.step)
	case mending:
		to.keep(&e.now)
		e.now, e.does = verdict{}, watching
		do("keeps what step %d has judged", e.step)
	case watching:
		p.look(&to, e)
		if e.does == reading {
			do("finds windows %02b due, and %02b with more rows", e.now.first, e.now.judged&^e.now.first)
		} else {
			do("finds nothing to judge")
		}
	case reading:
		for w := range e.now.revision {
			if e.now.judged&(1<<w) != 0 {
				e.now.revision[w] = to.rows[w]
			}
		}
		e.does = checking
		if p.summariesFirst {
			e.does = keeping
		}
		do("reads the windows, at revisions %v", e.now.revision)
	case keeping:
		to.keep(&e.now)
		e.does = watching
		if p.summariesFirst {
			e.does = checking
		} else {
			e.now = verdict{}
		}
		do("keeps the windows as judged")
	case checking:
		e.does = inserting
		if e.step < to.last {
			e.does = asking // the number is taken
		}
		do("sees that step %d is the last", to.last)
	case inserting:
		n := e.step + 1
		if to.written[n] == 0 || p.noToken {
			// Of two rows the one of the smaller name is read back, if they came
			// within one millisecond.
			if to.written[n] == 0 || i < int(to.writers[n]) {
				to.journal[n], to.writers[n] = e.now, int8(i)
			}
			to.written[n]++
			to.last = max(to.last, n)
		}
		e.does = asking
		do("inserts step %d", n)
	case asking:
		n := e.step + 1
		if to.writers[n] == int8(i) && to.written[n] > 0 && to.journal[n] == e.now {
			e.step = n
			for w := int8(0); w < maxJudged; w++ {
				if e.now.first&(1<<w) != 0 {
					e.next = max(e.next, w+1)
				}
			}
			e.does = keeping
			if p.summariesFirst {
				e.now, e.does = verdict{}, watching
			}
			do("has won step %d", n)
			return
		}
		e.now, e.does = verdict{}, loading
		do("has lost step %d", n)
	}
}

// keep mirrors store.WriteSummaries: the greater revision wins.
func (c *court) keep(v *verdict) {
	for w := range v.revision {
		if v.judged&(1<<w) != 0 {
			c.kept[w] = max(c.kept[w], v.revision[w])
		}
	}
}

// look mirrors evaluate.model.due and again, with watermarkOf and
// app.judgeStore.Revised.
func (p *judgingPlan) look(c *court, e *evaluator) {
	if e.step == maxSteps {
		return
	}
	var v verdict
	for w := e.next; w < maxJudged; w++ {
		if !p.closed(c, w) || c.rows[w] == 0 {
			break
		}
		v.first |= 1 << w
	}
	found := int8(0)
	for w := int8(0); w < maxJudged; w++ {
		if c.touched[w] > e.cursor && c.kept[w] > 0 && c.rows[w] > c.kept[w] {
			found |= 1 << w
		}
	}
	now := c.stored[0] + c.stored[1]
	switch {
	case p.cursorRuns:
		e.cursor = now
	default:
		if found&e.handed == 0 {
			e.cursor = e.until // all that was handed out before is judged
		}
		e.until, e.handed = now, found
	}
	for w := int8(0); w < e.next; w++ {
		v.judged |= found & (1 << w)
	}
	v.judged |= v.first
	if v.judged != 0 {
		e.now, e.does = v, reading
	}
}

// closed says whether the watermark has passed a window: the least mark of the
// partitions that are not idle.
func (p *judgingPlan) closed(c *court, window int8) bool {
	for i, records := range p.partitions {
		if int(c.stored[i]) == len(records) {
			continue // idle
		}
		mark := int8(-1)
		for _, w := range records[:c.stored[i]] {
			mark = max(mark, w)
		}
		if mark <= window {
			return false
		}
	}
	return true
}

func (p *judgingPlan) always(c *court) string {
	first := int8(0)
	for s := 1; s <= maxSteps; s++ {
		if c.written[s] > 1 {
			return fmt.Sprintf("step %d is in the journal twice", s)
		}
		if c.journal[s].first&first != 0 {
			return fmt.Sprintf("step %d judges a window for the first time again", s)
		}
		first |= c.journal[s].first
	}
	return ""
}

func (p *judgingPlan) settled(c *court) string {
	if c.last == maxSteps {
		return "the journal of the model is too small"
	}
	var said [maxJudged]int8
	for s := int8(1); s <= c.last; s++ {
		for w := range said {
			if c.journal[s].judged&(1<<w) != 0 {
				said[w] = c.journal[s].revision[w]
			}
		}
	}
	for w := range said {
		switch {
		case said[w] == 0:
			return fmt.Sprintf("window %d is never judged", w)
		case said[w] != c.rows[w]:
			return fmt.Sprintf("window %d has %d rows, and the last verdict is on %d", w, c.rows[w], said[w])
		case c.kept[w] != c.rows[w]:
			return fmt.Sprintf("window %d has %d rows, and %d are shown", w, c.rows[w], c.kept[w])
		}
	}
	return ""
}

// Two partitions with two windows; the last record of the first comes late.
var lateRow = [2][]int8{{0, 1, 0}, {0, 1}}

func TestJudging(t *testing.T) {
	t.Parallel()
	p := judgingPlan{partitions: lateRow, crashes: 1, second: true}
	holds(t, p.system())
}

func TestJudging_BrokenRules(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong string
		plan  judgingPlan
	}{
		{"a journal without token", "in the journal twice", judgingPlan{partitions: lateRow, second: true, noToken: true}},
		{"a window is kept as judged before the journal has decided", "the last verdict is on", judgingPlan{partitions: lateRow, crashes: 1, summariesFirst: true}},
		{"a revised window is looked for once", "the last verdict is on", judgingPlan{partitions: lateRow, second: true, cursorRuns: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			breaks(t, c.plan.system(), c.wrong)
		})
	}
}
