// Package summary owns the mergeable summary of one column in one window:
// counts by what the value was, bins at the reference's edges, exact sums in
// fixed point, extremes, distinct values and the longest run.
//
// Everything in a Summary is an integer, a minimum or a maximum, so that
// merging in any order and any grouping gives the same bits; that is what
// lets stored rows be compared byte for byte after any fault. The only
// exception is stated at Run: a run is not followed across a chunk border.
package summary
