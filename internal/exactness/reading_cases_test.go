package exactness

import "testing"

var (
	// Five records in three chunks and three windows, one of them late, with an
	// id that comes twice within a chunk and one that comes twice across a border.
	five = []record{
		{bit: 0, bucket: 0, window: 0, id: 1},
		{bit: 1, bucket: 0, window: 1, id: 1},
		{bit: 2, bucket: 1, window: 0, id: 2},
		{bit: 3, bucket: 1, window: 1, id: 3},
		{bit: 4, bucket: 2, window: 2, id: 3},
	}
	// Four records in two chunks.
	four = []record{
		{bit: 0, bucket: 0, window: 0},
		{bit: 1, bucket: 0, window: 1},
		{bit: 2, bucket: 1, window: 0},
		{bit: 3, bucket: 1, window: 2},
	}
	// What follows when it is made again: other events in other chunks.
	fourAgain = []record{
		{bit: 4, bucket: 0, window: 1},
		{bit: 5, bucket: 1, window: 0},
		{bit: 6, bucket: 1, window: 2},
		{bit: 7, bucket: 1, window: 2},
	}
	// And when it is truncated to its first record.
	fourCut = []record{
		{bit: 0, bucket: 0, window: 0},
		{bit: 4, bucket: 1, window: 0},
		{bit: 5, bucket: 1, window: 2},
		{bit: 6, bucket: 1, window: 2},
	}
)

func TestReading(t *testing.T) {
	for _, c := range []struct {
		name string
		plan plan
	}{
		{"a crash and a zombie", plan{logs: [2][]record{five}, produced: 3, crashes: 1, zombies: 1}},
		{"flushes that leave out what is not final", plan{logs: [2][]record{five}, produced: 3, small: true, crashes: 1, retain: 1, retainTo: 4}},
		{"retention", plan{logs: [2][]record{five}, produced: 2, crashes: 2, retain: 2, retainTo: 4}},
		{"a new spec", plan{logs: [2][]record{four}, produced: 1, crashes: 2, register: true}},
		{"a new spec and a zombie", plan{logs: [2][]record{four[:3]}, produced: 3, zombies: 1, register: true}},
		{"a new spec and retention", plan{logs: [2][]record{four}, produced: 1, crashes: 1, retain: 1, retainTo: 3, register: true}},
		{"a topic made again", plan{logs: [2][]record{four[:2], fourAgain[:3]}, produced: 2, crashes: 1, zombies: 1}},
		{"a log truncated", plan{logs: [2][]record{four, fourCut}, same: true, cut: 1, produced: 1, crashes: 2}},
		{"from the end", plan{logs: [2][]record{four}, latest: true, crashes: 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			holds(t, c.plan.system())
		})
	}
}

func TestReading_BrokenRules(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong string
		plan  plan
	}{
		{"the commit decides the start", "counted twice", plan{logs: [2][]record{four}, crashes: 1, commitDecides: true}},
		{"progress before partials", "lost", plan{logs: [2][]record{four}, produced: 3, crashes: 1, retain: 1, retainTo: 3, progressFirst: true}},
		{"chunk borders by the wall clock", "counted twice", plan{logs: [2][]record{four}, produced: 4, crashes: 1, wallClockBorders: true}},
		{"the epoch is the topic's name", "lost", plan{logs: [2][]record{four, fourAgain}, produced: 4, epochByName: true}},
		{"the epoch is a counter", "lost", plan{logs: [2][]record{four, fourAgain}, produced: 4, epochByCounter: true}},
		{"a chunk is replayed after retention took its start", "lost", plan{logs: [2][]record{four}, produced: 4, crashes: 1, retain: 1, retainTo: 3, replayCutChunk: true}},
		{"a spec changes in mid-chunk without a rewind", "lost", plan{logs: [2][]record{four}, produced: 3, register: true, noRewind: true}},
		{"a flush that leaves out what is open is resumed from", "lost", plan{logs: [2][]record{five}, produced: 3, small: true, crashes: 1, retain: 1, retainTo: 4, smallFlushResumes: true}},
		{"a reader goes on behind retention whatever is stored", "counted twice", plan{logs: [2][]record{four}, produced: 4, crashes: 1, retain: 1, retainTo: 3, skipInPlace: true}},
		{"a rewind to a chunk that retention has cut", "lost", plan{logs: [2][]record{four}, produced: 4, retain: 1, retainTo: 3, register: true, rewindOrSkip: true}},
		{"a truncated log is told by its length", "lost", plan{logs: [2][]record{four, fourCut}, same: true, cut: 1, produced: 3, crashes: 1, epochUnchecked: true}},
		{"two readers begin behind retention", "counted twice", plan{logs: [2][]record{four}, produced: 3, zombies: 1, retain: 1, retainTo: 3, onlyTwice: true}},
		{"two readers begin at the end", "counted twice", plan{logs: [2][]record{four}, latest: true, zombies: 1, onlyTwice: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			breaks(t, c.plan.system(), c.wrong)
		})
	}
}
