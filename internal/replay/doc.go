// Package replay recomputes the windows of a model from the Kafka log alone and
// holds them against those that are stored.
//
// It reads by the loop of the service itself, internal/ingest, with a store
// that keeps the rows in memory; so what decides is the same code for decoding,
// checking and windows. It writes nothing, joins no group and commits nothing.
//
// A reading begins at the earliest chunk that can hold rows of the windows in
// question, with what that chunk's partition knew by then (the running maximum
// of record timestamps and of event times), and every later chunk is checked to
// begin and end where it is stored to, with the state that is stored. A window
// whose log has been taken by retention, in whole or in part, is not compared,
// and named.
//
// Memory is bounded by the number of streams held at a time: a range with more
// is gone over in several passes, each with its own reading of the log.
package replay
