// Package exactness holds small models of the way of an event and searches
// all their states: every order of steps, with a crash, a zombie, a lost disk
// or a deletion between any two of them.
//
// There are three models, each of which takes from the one before only what
// that one has been shown to keep:
//
//   - reading: the log of one partition, its chunks, partials, progress and
//     commits, two readers, retention, truncation, a topic made again, and a
//     spec that takes effect (internal/window, internal/ingest, and the tables
//     partials, progress_chunks and progress_heads of internal/store);
//   - judging: windows that close and are revised, two evaluators, and the
//     journal (internal/evaluate and the journal of internal/store);
//   - messages: the outbox, two publishers, and a stream that may lose its
//     disk (internal/bus and the outbox of internal/store).
//
// A model does what the code does, as far as it matters to what is counted and
// said; its steps name the functions they stand for, and a change of those is
// a change here. Where a model can break a rule on purpose, a test asserts
// that the search then finds the loss or the double count: a search that
// finds nothing would otherwise prove nothing.
//
// The package has tests only. It is no part of the program.
package exactness
