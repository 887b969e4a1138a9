// Package telemetry sets up how the program speaks of itself: its log and its
// Prometheus metrics.
//
// Rooms keep their counts in plain structs and know nothing of Prometheus; the
// registry reads them through small functions when it is scraped. It
// guarantees that no series grows without bound (a labelled family keeps
// MaxLabels values and sums what is over under "other") and that a name is
// registered once. It holds no state of its own apart from that.
package telemetry
