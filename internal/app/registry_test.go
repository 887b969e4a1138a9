package app

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/modelwatch/modelwatch/schemas"
)

// A new spec begins at a border of both windows, soon after what was seen.
func TestEffectiveFrom(t *testing.T) {
	at := func(clock string) int64 {
		clock, later := strings.CutSuffix(clock, " + 1 day")
		v, err := time.Parse("2006-01-02 15:04", "2026-01-05 "+clock)
		if err != nil {
			t.Fatal(err)
		}
		if later {
			v = v.AddDate(0, 0, 1)
		}
		return v.UnixMilli()
	}
	f := func(was, is time.Duration, seen, want string) {
		t.Helper()
		last := &schemas.SpecRecord{EffectiveFrom: math.MinInt64, Spec: schemas.Spec{Model: "m", Window: was}}
		progress := []schemas.Progress{{Marks: []schemas.Mark{{Model: "m", Max: at(seen)}, {Model: "other", Max: at("23:00")}}}}
		if got := effectiveFrom(last, &schemas.Spec{Model: "m", Window: is}, progress); got != at(want) {
			t.Errorf("%s to %s after %s: from %s, want %s", was, is, seen, time.UnixMilli(got).UTC(), want)
		}
	}
	f(time.Hour, time.Hour, "12:34", "13:00")
	f(time.Hour, 30*time.Minute, "12:34", "13:00")
	f(30*time.Minute, time.Hour, "12:34", "13:00")
	f(45*time.Minute, 30*time.Minute, "12:34", "13:30")
	f(4*time.Hour, 90*time.Minute, "00:01", "12:00")
	f(8*time.Hour, 90*time.Minute, "00:01", "00:00 + 1 day")
}
