// Package stat owns the laws whose tails detectors share. They are computed so
// that far tails keep their digits, down to about 1e-300: nothing is taken as
// one minus something near one. Where a law cannot be evaluated because its
// arguments make no sense, the result is NaN, which callers must treat as an
// error and never as "nothing there".
//
// Goldens in testdata come from scipy; testdata/gen.py says which version.
package stat
