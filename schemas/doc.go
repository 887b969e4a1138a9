// Package schemas owns the vocabulary and the contracts of modelwatch: what
// comes in (events, monitors), what is kept (specs, the ClickHouse
// migrations) and what goes out (alerts, retrain requests, fallback advice).
//
// It guarantees that every other room speaks of the same things by the same
// names. It does no I/O and never asks what time it is.
package schemas
