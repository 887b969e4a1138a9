// Package profile makes a baseline and a first monitor from a sample of a
// model's rows: a CSV, Parquet or JSON lines file, or any other Source.
//
// It reads the source at least twice. The first reading learns the form of every
// column: number or category, quantile edges, kept categories, the unit of
// the exact sums. The second counts rows by that form, with the same code
// that the service counts by, for the whole, for each slice, and for each
// window of event time, from which it knows how far healthy windows stray.
// Where rows have times it reads them once more in their order, through the
// checks and windows of the service, and learns from those how healthy
// behaviour goes: season, noise, tails (detectors/budget). Feed is that way,
// for whoever wants to know what the service would make of a file.
//
// The same source and options give the same bytes. Memory is bounded by the
// options, not by the source: quantiles come from all values of a column
// while there are at most Options.MaxValues, else from a seeded sample of
// that many, and the report says which. Nothing is left out silently: what
// is skipped or malformed is in the report with its reason.
package profile
