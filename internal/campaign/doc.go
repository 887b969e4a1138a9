// Package campaign hurts the program on real servers and compares what it has
// counted and told with what a program counts and tells that was left alone.
//
// A scene is one installation: topics on a broker, a database, a NATS server,
// monitors, and a producer whose events are a function of a seed. Replicas of
// the built program run on it and are hurt while events come. In the end the
// windows are compared with a recount by another Kafka client that shares no
// code with the program, and windows, violations, incidents, retrain requests,
// messages and dead letters with those of one undisturbed run of one replica
// over the same log.
//
// Every hurt brings evidence that it took place; one without fails its scene.
// Scenes in which a guard is broken on purpose have to fail: a campaign that
// notices nothing would prove nothing.
package campaign
