// Package detectors owns what a detector says: verdicts on every stream of a
// window, and findings where something is wrong. The statistics stand in its
// sub-packages; they are pure functions of merged windows and recorded
// parameters, with event time as a parameter.
//
// Statistic and decision are kept apart: a statistic gives an effect and a
// p-value, a decision turns them into a State.
package detectors
