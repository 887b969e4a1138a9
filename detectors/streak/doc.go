// Package streak owns what a detector remembers between windows: how many
// windows in a row a stream has been outside, and whether it has alarmed. It
// turns what was observed of the streams of one window into verdicts and
// findings.
//
// Only a measured OK ends a streak. A window in which a stream could not be
// judged, or did not occur, leaves its streak as it was.
package streak
