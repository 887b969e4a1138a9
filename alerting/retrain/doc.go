// Package retrain owns the decision to ask for a new version of a model: on a
// drift that lasts and on a schedule, once per need, never before the cool-down
// is over. Wrong data are no reason to retrain, so a drift waits while a hard
// or soft fault of the same columns is open.
//
// All times are event time. It reads no clock and does no I/O.
package retrain
