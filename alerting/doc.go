// Package alerting owns the life of incidents: it turns the findings of the
// detectors into few messages, each with a number, in an order that can be
// computed again.
//
// # Tracks, episodes, incidents
//
// A track is one fault of one set of columns. Its windows are bad, ok or
// unknown; the stretch from the first bad window to the last before `clear`
// consecutive ok windows is an episode. An incident is one episode, or several
// with one root cause:
//
//   - the same fault beginning on several columns within `join` windows is one
//     incident that lists them all;
//   - a soft fault or a drift on a column with an open hard fault is its
//     consequence, a drift on a column whose soft fault has just begun is its
//     consequence, and so is a drift of predictions or scores that begins
//     together with a fault of the features. A consequence says nothing of its
//     own; when it outlives its cause it becomes an incident.
//
// # What it guarantees
//
// One firing per episode, sequence numbers from 1 without holes, one resolved,
// and after it at most one revised. Only windows that were measured ok clear
// an incident. The set of incidents (model, fault, columns, onset) and their
// final states depend on event time and not on when an input was read, as
// long as every source keeps its own order and a per-event finding is read no
// later than the window that holds it closes. Two things are outside that
// promise, because a page cannot wait for them: per-event faults of one kind on
// several columns, whose order differs between partitions by more than `join`
// windows, may be one incident or two; and rows so late that their window was
// closed join what is there.
//
// # What it never does
//
// It reads no clock, does no I/O and keeps no more than its caps.
package alerting
