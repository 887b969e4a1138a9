// Package acceptance holds the tests of the whole: the built program on Apache
// Kafka, ClickHouse and NATS, fed by a producer and read by a plain consumer,
// as its users do it.
//
// It has no code but tests. What the program has stored is compared with an
// independent recount of the log (see testkit), what it has said with what the
// traffic did wrong on purpose.
package acceptance
