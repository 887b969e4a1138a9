//go:build !faultpoint

package faultpoint

import (
	"testing"
	"time"
)

// Without the tag the program must hold nothing of this: whatever the
// environment says, nothing happens, and it costs nothing. The calls are
// inlined to nothing; what is measured is the loop around them.
func TestNothingIsThereWithoutTheTag(t *testing.T) {
	t.Setenv("MODELWATCH_FAULT", "decode:1")
	t.Setenv("MODELWATCH_BROKEN", string(CommitDecides))
	t.Setenv("MODELWATCH_HASTE", "4")
	for _, s := range Steps() {
		Reach(s)
	}
	for _, g := range Guards() {
		if Broken(g) {
			t.Errorf("%s is broken", g)
		}
	}
	if Hasten(time.Second) != time.Second {
		t.Error("time is hastened")
	}
	const calls = 10_000_000
	least := time.Hour
	for range 5 {
		began := time.Now()
		for range calls {
			Reach(Decode)
		}
		least = min(least, time.Since(began))
	}
	// A call that is not inlined takes more than a nanosecond on any machine of these days.
	if each := least / (calls / 1000); each > 1000*time.Nanosecond {
		t.Errorf("a thousand calls take %s", each)
	}
	t.Logf("%d calls take %s, loop included", calls, least)
}
