// Package streak owns what a detector remembers of its findings between
// windows: which streams have alarmed, and how many windows in a row each was
// ok since. It turns what was observed of the streams of one window into
// verdicts and findings.
//
// Only a measured OK ends a finding. A window in which a stream could not be
// judged, or did not occur, leaves what is remembered of it as it was.
package streak
