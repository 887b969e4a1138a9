package bench

import (
	"runtime"
	"syscall"
	"time"
)

// CPU returns the processor time that this process has taken, user and system.
func CPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // it cannot fail for the own process
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// usage is what a stretch of work has taken.
type usage struct {
	cpu    time.Duration
	allocs uint64
	bytes  uint64
}

// used returns what the process has taken since it began.
func used() usage {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{CPU(), m.Mallocs, m.TotalAlloc}
}

func (u usage) since(before usage) usage {
	return usage{u.cpu - before.cpu, u.allocs - before.allocs, u.bytes - before.bytes}
}
