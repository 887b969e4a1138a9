// Package testkit gives tests real servers: Apache Kafka's own broker,
// ClickHouse and NATS with JetStream, and a proxy that breaks connections
// between them and the code under test. It is imported by tests only.
//
// Servers come in two kinds. A shared one ([Kafka], [ClickHouse], [NATS]) is
// started once per run: by the command testservers, which starts all three,
// tells the tests their addresses in the environment and ends them after the
// run; or, for a test run by hand, once in the test binary that first asks.
// Tests beside each other use it, so each takes names of its own ([Name]).
// A private one ([NewKafka], [NewClickHouse], [NewNATS]) belongs to one test,
// which may stop, kill and start it over the same data and port.
//
// Every package that uses a server needs
//
//	func TestMain(m *testing.M) { os.Exit(testkit.Main(m)) }
//
// A server that cannot be had fails the test and says what to install; no test
// is skipped for it.
package testkit
