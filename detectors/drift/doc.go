// Package drift says whether the distribution of a column has moved away from
// its reference. Statistic (Measure: an effect on one scale, and a p-value)
// and decision (Decide) are kept apart, so that either can be replaced.
//
// All effects are on one scale, reference standard deviations of a shift:
// WassersteinSD for numbers is that by its construction, and CohenW for
// categories agrees with it closely enough to be used as it is (a Gaussian
// shift of 0.1, 0.25, 0.5 and 1 sd has w = 0.10, 0.25, 0.50 and 1.07 over
// tenths).
package drift
