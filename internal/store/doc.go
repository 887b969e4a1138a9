// Package store owns everything that is kept in ClickHouse: the migrations'
// application, the partial summaries of windows with their progress, specs, id
// rows, panes, samples and trips, the merged reads, the summaries of closed
// windows, the journal of decisions with its outbox, and the reads of the API.
//
// It guarantees
//
//   - that rows of one key converge: they carry the offset up to which they
//     have seen the log, and the longest wins, whoever wrote it and whenever
//     (ReplacingMergeTree, read with FINAL);
//   - that progress is visible only after all rows it speaks of are;
//   - that of several writers of one step of a model's journal exactly one
//     wins, whole, and each learns whether it was the one;
//   - that every value reaches the server as a bound parameter or a native
//     column, never as a part of a statement.
//
// An insert is synchronous (async_insert=0) and is repeated until it is known
// to have happened or its context ends; every insert may be repeated without
// harm. The package knows nothing of Kafka, NATS or detectors, and never
// deletes by the wall clock.
package store
