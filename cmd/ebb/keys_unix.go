//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// noSignalKeys makes Ctrl-C, Ctrl-Z and Ctrl-\ keys of the terminal like others. As signals they would also discard what
// the terminal has buffered.
func noSignalKeys() error {
	fd := int(os.Stdin.Fd())
	mode, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return os.NewSyscallError("ioctl", err)
	}
	mode.Lflag &^= unix.ISIG
	return os.NewSyscallError("ioctl", unix.IoctlSetTermios(fd, setTermios, mode))
}
