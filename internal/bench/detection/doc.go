// Package detection measures how well modelwatch detects: how many false
// pages and tickets a budget really brings, and how soon which fault is seen.
//
// It makes the closed windows of models from a seed, healthy ones and ones
// with a known fault, and hands them to the code that `modelwatch run` judges
// windows with. That code is told neither the world's name, nor the seed, nor
// what is wrong. A fault starts from the memory that the healthy run of the
// same model had at its onset, so that every run with a fault has a clean twin
// made of the same random numbers; an alarm that the twin raises too is not a
// detection.
//
// What it guarantees: one seed gives the same figures on machines of one kind, apart
// from the times; a figure that was not measured is absent and not zero; and a
// detector that never speaks, or always, fails.
//
// What it never does: it does not tune. Constants of the worlds are fixed, and
// a test holds their hash.
package detection
