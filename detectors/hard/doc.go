// Package hard judges events one by one, by rules that need no statistics:
// wrong type, missing column, out of range, not finite, duplicate id and the
// like. A rule broken once is an odd row and is counted and sampled; a rule
// broken often enough in the order of the log trips.
//
// Everything a Checker hands out is a pure function of the rows of one chunk
// in their order: it does not depend on how they were split into calls, and
// it knows no clock.
package hard
