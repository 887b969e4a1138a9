// Package bus owns JetStream: the streams, publishing a message so that it is
// stored once, the outbox that brings the journal's messages there, and the
// statuses that retraining jobs answer with.
//
// It guarantees that a message that was journalled gets to its stream exactly
// once and, within one incident, in order: every message has a subject of its
// own and is published with "last sequence of this subject: 0", which the
// server checks whatever was forgotten meanwhile (a message id is remembered
// for minutes only). JetStream is the messenger, not the truth: when a stream
// has lost its content, the journal fills it again.
package bus
