// Package preflight tries what a service is about to rely on: whether its
// servers answer, whether the topics of its monitors exist and keep their
// events, and whether the latest events can be used by the monitors.
//
// It guarantees that nothing is changed: no topic is made, no offset is
// committed, no consumer group is joined, and what it reads is bounded in
// number and time. What it could not try it says, and never as ok.
package preflight
