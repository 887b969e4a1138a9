// Package soft judges what a window lacks or has too much of: nulls, absent
// and unseen values of every stream against the model's own healthy rate, the
// number of rows, windows without any, and predictions without features.
//
// A rate is measured apart from the decision on it, as drift is.
package soft
