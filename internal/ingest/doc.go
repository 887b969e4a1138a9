// Package ingest owns the loop of one Kafka partition: fetch, decode, check,
// gather, store, remember how far.
//
//	Source.Fetch ─▶ Decoder ─▶ Admit ─▶ block ─▶ Assembler.Add ─▶ hard.Checker
//	                  │ unusable: dead letter + count
//	      every tick: partials, ids, panes, trips, samples ─▶ progress ─▶ commit (a hint)
//
// It guarantees that what is stored is a function of the log: progress never
// runs ahead of the rows it speaks of, a chunk is only ever begun where the
// log says so, and reading resumes at the start of a chunk. It waits for the
// store before it goes on, which is all the back-pressure there is: a store
// that is away stops the fetching of its partitions and nothing else.
//
// What is written when: every tick (250 ms) ids, closed panes, trips, samples
// of bad rows, summaries of windows whose end the partition has passed, and
// progress; all summaries at the end of a chunk, when the partition has been
// idle for a while, and otherwise every 15 s.
package ingest
