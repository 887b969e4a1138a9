// Package evaluate owns the loop of one model: which windows are closed, what
// they say, what follows from it.
//
//	progress ─▶ watermark ─▶ closed windows ─┐
//	trips of hard rules ─────────────────────┴▶ detectors ─▶ incidents ─▶ policies ─▶ one journal step ─▶ outbox
//
// It guarantees that a decision is taken once: a step is one insert, and of
// two evaluators that come to the same step the store lets one win; the other
// drops its work and reads what was decided. State lives in the journal
// alone, so any replica may go on where another stopped. What a step says
// depends on the windows and trips it read, which stand in it, and not on
// when it was taken.
package evaluate
