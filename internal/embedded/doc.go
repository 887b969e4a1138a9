// Package embedded runs the three servers modelwatch stands on inside one
// machine: a Kafka-compatible broker, NATS with JetStream, and ClickHouse.
// They serve the demo, people who run modelwatch on one machine, and tests.
//
// Each server listens on the loopback interface only, keeps what it has
// acknowledged in a directory of its own, finds it again after a restart (an
// ordinary one or kill -9), and ends with the process that started it. A
// directory has one owner at a time; a second start fails and names the first.
//
// The broker and NATS are libraries and live in this process. ClickHouse is a
// shared library of half a gigabyte that cannot be stopped once loaded, so it
// lives in a child process: the program runs itself again with a hidden first
// argument. A program that starts ClickHouse must therefore call [ChildMain]
// before anything else in main, and in TestMain.
//
// The package knows nothing of models, windows or alerts.
package embedded
