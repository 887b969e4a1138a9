// Package backtest tells what the service would have said over a stretch of
// the past: which pages and tickets, when and why, at the monitor's budget and
// at others.
//
// It runs the service's own decisions. An evaluate.Evaluator for each budget
// reads windows, trips and progress from memory and writes its steps there;
// only where windows come from differs: from the store, as they were counted
// then, or from the rows of a file, which go the way of events through the
// same checks and windows. Nothing is decided here.
//
// The same input gives the same report, byte for byte: it carries no time of
// making. A window that the data cut short is not judged, and what was not
// judged is said. Nothing is written to the store.
package backtest
