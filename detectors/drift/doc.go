// Package drift holds the statistics that say how far a distribution is from
// its reference: distances between binned counts. What is alarmed is decided
// by detectors/budget.
//
// Effects are on one scale, reference standard deviations of a shift:
// WassersteinSD for numbers is that by its construction, and CohenW for
// categories agrees with it closely enough to be used as it is (a Gaussian
// shift of 0.1, 0.25, 0.5 and 1 sd has w = 0.10, 0.25, 0.50 and 1.07 over
// tenths).
package drift
