// Package decode holds what the wire formats share: the record they read, the
// block they fill, the reasons for which an event cannot be used, and the
// choice of a decoder by the name of its format.
//
// # What it owns
//
//   - [Record], [Target] and [Decoder]: the contract between the loop of a
//     partition and a format.
//   - [Reason] and [Reject]: the one vocabulary of unusable events, for dead
//     letters and for metrics.
//   - [Config]: the limits that hold for every format.
//   - [Formats]: the decoders a program was built with.
//
// Each format is a package below this one and imports it; this one imports no
// format. So the loop of a partition can speak of decoders without linking the
// libraries of every format, and the program's wiring names the formats it has.
//
// # What it guarantees
//
// A decoder either commits exactly one row to exactly one block, or commits
// nothing and says why. The result depends on the record and on the layouts of
// the blocks alone: not on the clock, nor on the records before it.
//
// # What it never does
//
// It never judges a value: whether a text is a category or a fault is the
// business of the checks, which know the spec. It never skips in silence.
package decode
