// Package faultpoint holds the places at which the campaign of faults
// (internal/campaign) hurts the program from inside: numbered steps on the way
// of an event at which the process kills or stops itself, guards that can be
// broken on purpose, and a wall clock that can jump.
//
// All of that is there only under the build tag faultpoint, and then told by
// the environment. A program built without the tag holds none of it: every
// function here is empty or returns its argument, and is compiled to nothing.
//
// The environment of a program built with the tag:
//
//	MODELWATCH_FAULT=partials-written:3       SIGKILL at the third time that step is reached
//	MODELWATCH_FAULT=window-add:200:stop      SIGSTOP instead
//	MODELWATCH_BROKEN=progress-first          a guard that is broken
//	MODELWATCH_CLOCK=FILE                     the wall clock is ahead by the duration that the file holds
//	MODELWATCH_HASTE=4                        a silent member is given up, and metadata are looked at, so many times sooner
package faultpoint

// Step is a step on the way of an event, in the order in which they come.
type Step int

// The steps.
const (
	Fetch         Step = iota // an answer of a broker is at hand
	Decode                    // a record has been decoded
	WindowAdd                 // rows have been gathered, and nothing is stored of them
	Storing                   // rows are about to be stored, whatever becomes of their partition
	Partials                  // rows are stored, their progress is not
	Progress                  // progress is stored, the group is not told
	Place                     // the same, of rows, and it is a place to resume from
	Commit                    // the group is told
	Journal                   // a step of the journal is stored, its writer does not know
	Published                 // a message is in JetStream, and not marked
	Marked                    // messages are marked as sent
	numberOfSteps             // how many there are
)

var stepNames = [numberOfSteps]string{
	"fetch", "decode", "window-add", "storing", "partials-written", "progress-written", "place-written", "commit",
	"journal-step-written", "outbox-published", "outbox-marked",
}

// String names a step as the environment does.
func (s Step) String() string { return stepNames[s] }

// Steps lists all steps.
func Steps() []Step {
	out := make([]Step, numberOfSteps)
	for i := range out {
		out[i] = Step(i)
	}
	return out
}

// Guard is a rule that can be broken on purpose, to show that the campaign
// notices.
type Guard string

// The guards.
const (
	VersionIgnored Guard = "version-ignored" // of two rows for one key the one inserted last wins, not the longer prefix
	ProgressFirst  Guard = "progress-first"  // progress is stored before the rows it speaks of
	CommitDecides  Guard = "commit-decides"  // reading goes on at the offset that is committed to Kafka
	DedupByTime    Guard = "dedup-by-time"   // messages are told apart by JetStream's time window only, here of a second
	OutboxUnmarked Guard = "outbox-unmarked" // what was published is not noted
	EpochFixed     Guard = "epoch-fixed"     // a topic made again counts as the one before
)

// Guards lists all guards.
func Guards() []Guard {
	return []Guard{VersionIgnored, ProgressFirst, CommitDecides, DedupByTime, OutboxUnmarked, EpochFixed}
}
