//go:build !linux

package child

import "syscall"

// dieWithParent does nothing where the kernel offers no such tie; the lifeline
// holds those children that watch it.
func dieWithParent(*syscall.SysProcAttr) {}
