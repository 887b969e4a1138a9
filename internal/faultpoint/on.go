//go:build faultpoint

package faultpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Enabled says whether the program was built with the tag.
const Enabled = true

// orders is what the environment asks for.
type orders struct {
	step    Step
	at      int64
	signal  syscall.Signal
	broken  Guard
	clock   string
	haste   time.Duration
	reached atomic.Int64
}

// asked belongs to the process as a whole, as the signals do that it asks for.
var asked = sync.OnceValue(func() *orders {
	o := &orders{step: -1, signal: syscall.SIGKILL, haste: 1}
	if fault := os.Getenv("MODELWATCH_FAULT"); fault != "" {
		parts := strings.Split(fault, ":")
		for _, s := range Steps() {
			if s.String() == parts[0] {
				o.step = s
			}
		}
		if len(parts) > 1 {
			o.at, _ = strconv.ParseInt(parts[1], 10, 64)
		}
		if o.step < 0 || o.at < 1 {
			panic("MODELWATCH_FAULT is " + fault + ", want STEP:N or STEP:N:stop")
		}
		if len(parts) > 2 && parts[2] == "stop" {
			o.signal = syscall.SIGSTOP
		}
	}
	o.broken, o.clock = Guard(os.Getenv("MODELWATCH_BROKEN")), os.Getenv("MODELWATCH_CLOCK")
	if n, err := strconv.Atoi(os.Getenv("MODELWATCH_HASTE")); err == nil && n > 0 {
		o.haste = time.Duration(n)
	}
	return o
})

// Reach says that a step has been reached, and hurts the process where it was
// asked to.
func Reach(s Step) {
	o := asked()
	if o.step != s || o.reached.Add(1) != o.at {
		return
	}
	fmt.Fprintf(os.Stderr, "faultpoint: %s at %s %d\n", o.signal, s, o.at)
	_ = syscall.Kill(os.Getpid(), o.signal) // of itself it may
	if o.signal == syscall.SIGKILL {
		select {} // nothing more is done, however long the signal takes
	}
}

// Broken says whether a guard is broken on purpose.
func Broken(g Guard) bool { return asked().broken == g }

// Now is the present time, with the wall clock ahead as it was asked. As when a
// machine's clock is set, only the wall clock jumps: the time between two
// readings, which Go takes from the monotonic clock, stays what it is.
func Now() time.Time {
	t := time.Now()
	if o := asked(); o.clock != "" {
		if text, err := os.ReadFile(o.clock); err == nil {
			if ahead, err := time.ParseDuration(strings.TrimSpace(string(text))); err == nil {
				// The wall seconds of a time with a monotonic reading stand above the 30 bits of its nanoseconds.
				*(*uint64)(unsafe.Pointer(&t)) += uint64(ahead/time.Second) << 30
			}
		}
	}
	return t
}

// Hasten shortens a time that the campaign would otherwise wait for.
func Hasten(d time.Duration) time.Duration { return d / asked().haste }
