package schemas

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that is written like `90s`, `10m`, `24h` or `28d`.
type Duration time.Duration

// ParseDuration reads a duration in Go's form, with `d` for days of 24 hours
// and `w` for weeks as further units of a single number.
func ParseDuration(s string) (time.Duration, error) {
	for unit, size := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			f, err := strconv.ParseFloat(n, 64)
			if err != nil || f != f || f > 1e5 || f < -1e5 {
				return 0, fmt.Errorf("%q is not a duration; write it like 90s, 10m, 24h or 28d", s)
			}
			return time.Duration(f * float64(size)), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; write it like 90s, 10m, 24h or 28d", s)
	}
	return d, nil
}

// String writes whole days as days and drops zero minutes and seconds.
func (d Duration) String() string {
	t := time.Duration(d)
	if t != 0 && t%(24*time.Hour) == 0 {
		return strconv.FormatInt(int64(t/(24*time.Hour)), 10) + "d"
	}
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(p []byte) error {
	v, err := ParseDuration(string(p))
	*d = Duration(v)
	return err
}
