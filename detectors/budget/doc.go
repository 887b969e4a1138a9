// Package budget owns the decision whether a stream has left what its
// reference showed, and how often it may be wrong about that: the owner says
// how many false pages and tickets a period may have, and every threshold
// follows from it.
//
// A stream is one channel of one column in one slice (Key). Measure takes its
// statistic and the known sampling variance of that from a window; History
// learns how the statistic behaves while all is well (season, level,
// autocorrelated noise, tails); Judge holds windows against that.
//
// The decision is a Shiryaev–Roberts recursion with weights,
//
//	M ← (M + w)·e,   alarm at M >= 1, then M = 0
//
// where E[e | past] <= 1 as long as the stream stays within its dead zone and
// w was fixed before the window was seen. Then M + (alarms so far) - Σw is a
// supermartingale, and the expected number of false alarms over any time is
// at most Σw, whatever streams have to do with one another. The Plan makes
// the w of a period add up to the budget. This is a bound that rests on the
// model of healthy behaviour; docs/detectors.md says what happens when that
// is false.
//
// The package knows no clock and does no I/O. Equal windows give equal bytes:
// every sum is taken in a fixed order. A statistic that is not a number is an
// error, and never a silence.
package budget
