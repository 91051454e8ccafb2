package vfs

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// NoSpace reports whether err says that the disk, or the user's share of it, is full.
func NoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, syscall.ENOSPC) // never from the system, but from Fault
}

// syncDir does nothing: Windows cannot flush a directory, NTFS journals its entries.
func syncDir(string) error { return nil }

// lockOffset is where the locked byte is. Windows refuses to read what another process has locked, so it is far behind
// the process id, which the loser wants to read.
const lockOffset = 1 << 30

// tryLock takes the exclusive lock on an open file and reports whether somebody else has it.
func tryLock(f *os.File) (busy bool, err error) {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{Offset: lockOffset})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return true, nil
	}
	return false, err
}

func mmap(*os.File, int, bool) ([]byte, error) { return nil, ErrNotSupported }

func munmap([]byte) error { return nil }
