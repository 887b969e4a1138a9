package web

import (
	"fmt"
	"math"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestNumbers(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(count(0), "0")
	f(count(999), "999")
	f(count(1075), "1,075")
	f(count(math.MaxUint64), "18,446,744,073,709,551,615")

	f(percent(0), "0%")
	f(percent(0.0001), "<0.1%")
	f(percent(0.041), "4.1%")
	f(percent(0.0994), "9.9%")
	f(percent(0.0996), "10%")
	f(percent(0.564), "56%")
	f(percent(0.9999), ">99%")
	f(percent(1), "100%")
	f(percent(-0.25), "−25%")
	f(percent(math.NaN()), "–")

	f(sd(1.812), "1.81 sd")
	f(sd(-0.4), "−0.40 sd")
	f(sd(-0.001), "0.00 sd")
	f(sd(math.Inf(1)), "–")

	f(number(0), "0")
	f(number(-1075), "−1,075")
	f(number(12345.6), "12,346")
	f(number(0.6501234), "0.6501")
	f(number(42.4), "42.4")
	f(number(1234567), "1.235e+06")
	f(number(-0.00001234), "−1.234e−05")
	f(number(math.NaN()), "–")

	f(hash("sha256:5be1c0d4aaaaaaaaaaaaaaaaaaaaaaaaaaaa91aa"), "sha256:5be1c0d4…91aa")
	f(hash("sha256:short"), "sha256:short")
	f(hash(""), "")

	f(small(1), "one")
	f(small(10), "ten")
	f(small(11), "11")
	f(upper("two more warn"), "Two more warn")
}

func TestLengths(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := length(d); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
	f(0, "0 s")
	f(41*time.Second, "41 s")
	f(14*time.Minute+59*time.Second, "14 min")
	f(77*time.Minute, "1 h 17 min")
	f(24*time.Hour, "24 h")
	f(48*time.Hour, "2 d")
	f(13*24*time.Hour+5*time.Hour, "13 d")
	f(-time.Minute, "−1 min")
}

func TestTimes(t *testing.T) {
	now := time.Date(2026, 11, 20, 23, 30, 0, 0, time.UTC)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	f := func(when time.Time, zone *time.Location, want moment) {
		t.Helper()
		if got := at(when, now, zone); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	f(time.Time{}, time.UTC, moment{Text: "–"})
	f(now.Add(-9*time.Hour), time.UTC, moment{"2026-11-20T14:30:00Z", "14:30"})
	f(now.Add(-9*time.Hour), berlin, moment{"2026-11-20T14:30:00Z", "20 Nov 15:30"}) // in Berlin it is the 21st
	f(now.Add(-14*24*time.Hour), time.UTC, moment{"2026-11-06T23:30:00Z", "6 Nov 23:30"})
	f(time.Date(2001, 1, 28, 6, 0, 0, 0, time.UTC), time.UTC, moment{"2001-01-28T06:00:00Z", "28 Jan 2001 06:00"})
}

func TestWords(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := fmt.Sprint(words(text)); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
	f("", "[]")
	f("`temp` and `dewpoint` are swapped", "[{temp true} { and  false} {dewpoint true} { are swapped false}]")
	f("a ` alone", "[{a ` alone false}]")
	f("``", "[]")
}

func TestNumbersAreNeverEmptyNorNaN(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64().Draw(t, "x")
		for _, text := range []string{percent(x), sd(x), number(x)} {
			if text == "" || text == "NaN" || !utf8.ValidString(text) {
				t.Fatalf("%v is written %q", x, text)
			}
		}
		if x != 0 && (percent(x) == "0%" || percent(x) == "0.0%") {
			t.Fatalf("%v is shown as none measured", x)
		}
	})
}
