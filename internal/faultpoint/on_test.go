//go:build faultpoint

package faultpoint

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTheWallClockJumpsAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock")
	t.Setenv("MODELWATCH_CLOCK", file)
	before := Now()
	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		if err := os.WriteFile(file, []byte(ahead.String()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		now := Now()
		if d := time.Duration(now.UnixNano()-time.Now().UnixNano()) - ahead; d.Abs() > time.Minute {
			t.Errorf("the wall clock is off by %s from what was asked", d)
		}
		if d := now.Sub(before); d < 0 || d > time.Minute {
			t.Errorf("%s have passed between two readings", d)
		}
	}
}
