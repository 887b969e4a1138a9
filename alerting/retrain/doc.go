// Package retrain owns the policy of asking for a new version of a model: on
// lasting drift and on schedule, one request for one need, never more often
// than the cool-down allows, and never because of wrong data.
//
// It is pure: event time is a parameter, and equal inputs in equal order give
// equal requests.
package retrain
