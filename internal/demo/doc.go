// Package demo shows modelwatch on real data: three million US flights of
// January to June 2001. A small model learns from the first 28 days whether a
// flight will be late by more than 15 minutes; the days after that are
// streamed in event time as features, predictions and later labels, sped up,
// with faults put in at announced moments.
//
// Nothing in it is pretended: the events go through Kafka, the windows through
// ClickHouse, the alerts through JetStream, and what is printed was read there.
package demo
