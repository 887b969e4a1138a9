// Package filelock lets one process at a time own a directory.
//
// The lock is flock(2) on an open file, so the kernel gives it back when the
// last process that holds the file ends, whatever ended it: there is no stale
// lock to remove after kill -9. A child process that inherits [Lock.File]
// keeps the directory locked until it has ended too.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// ErrHeld says that another process, or another owner in this one, holds the
// lock.
var ErrHeld = errors.New("in use by another process")

// pollEvery is how often a waiting Acquire tries again. flock has no wait with
// a deadline, and a blocked flock could not be cancelled.
const pollEvery = 20 * time.Millisecond

// Lock is a held lock.
type Lock struct {
	file *os.File
}

// Acquire locks the file at path, which is made if missing, and writes this
// process's id into it for people to read. It waits up to wait for the present
// owner to let go, and then fails with an error that wraps [ErrHeld] and names
// the owner; a negative wait has no end but the context's.
func Acquire(ctx context.Context, path string, wait time.Duration) (*Lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening lock file: %w", err)
	}
	started := time.Now()
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = file.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		if wait >= 0 && time.Since(started) >= wait {
			owner := ownerOf(file)
			_ = file.Close()
			return nil, fmt.Errorf("locking %s: %w%s", path, ErrHeld, owner)
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, fmt.Errorf("locking %s: %w", path, context.Cause(ctx))
		case <-time.After(pollEvery):
		}
	}
	lock := &Lock{file: file}
	if err := lock.sign(); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return lock, nil
}

// File is the locked file, for a child process to inherit.
func (l *Lock) File() *os.File { return l.file }

// Release gives the lock back. The file stays: removing it would let two
// owners lock two files of one name.
func (l *Lock) Release() error {
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("releasing lock: %w", err)
	}
	return nil
}

func (l *Lock) sign() error {
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("signing lock file: %w", err)
	}
	if _, err := l.file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0); err != nil {
		return fmt.Errorf("signing lock file: %w", err)
	}
	return nil
}

func ownerOf(file *os.File) string {
	text := make([]byte, 32)
	n, _ := file.ReadAt(text, 0)
	owner := strings.TrimSpace(string(text[:n]))
	if owner == "" {
		return ""
	}
	return " (process " + owner + ")"
}
