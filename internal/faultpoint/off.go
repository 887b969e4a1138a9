//go:build !faultpoint

package faultpoint

import "time"

// Enabled says whether the program was built with the tag.
const Enabled = false

// Reach says that a step has been reached.
func Reach(Step) {}

// Broken says whether a guard is broken on purpose.
func Broken(Guard) bool { return false }

// Now is the present time.
func Now() time.Time { return time.Now() }

// Hasten shortens a time that the campaign would otherwise wait for.
func Hasten(d time.Duration) time.Duration { return d }
