// Package window owns the way from decoded events to summaries of windows:
// chunks of the log, event time, marks and lateness, panes, duplicates.
//
// It is a pure function of the log and of the specs: the same records in the
// same order give the same rows, however they were fetched, split into blocks
// or interrupted. It knows no wall clock, starts no goroutine and does no I/O.
//
// # The chunk rule
//
// Rows are accumulated per chunk, a stretch of one partition. A record at
// offset o begins a new chunk when
//
//   - it lies in another stretch of 2²⁰ offsets than the chunk's start, or
//   - the chunk spans at least 4096 offsets and the running maximum of record
//     timestamps has left the 5-minute bucket of the chunk's first record, or
//   - that maximum is 24 hours or more past the chunk's first record.
//
// The second condition's least length is there because a quiet topic would
// otherwise write a handful of rows per chunk, each with all its keys.
package window
