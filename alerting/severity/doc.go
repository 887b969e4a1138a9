// Package severity owns who is woken for what: it lays the owner's importance,
// planned changes and rules over the severities that the detectors give.
//
// It never makes a finding of nothing, and what it silences stays on the
// record: a muted finding is told as unknown, with the reason of the rule, so
// that it neither opens nor ends an incident. It reads no clock; rules expire
// by event time.
package severity
