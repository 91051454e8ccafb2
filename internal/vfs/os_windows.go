package vfs

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/windows"
)

// NoSpace reports whether err says that the disk, or the user's share of it, is full.
func NoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, syscall.ENOSPC) // never from the system, but from Fault
}

// Exhausted reports whether err says that there is not enough of something now, where there may be again: room, handles or
// memory. Nothing is wrong with the file.
func Exhausted(err error) bool {
	for _, e := range []error{windows.ERROR_TOO_MANY_OPEN_FILES, windows.ERROR_NOT_ENOUGH_MEMORY, windows.ERROR_OUTOFMEMORY,
		windows.ERROR_NO_SYSTEM_RESOURCES, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return NoSpace(err)
}

// CannotLink reports whether err, of Link, says that there is no way to link these two names, so that only a copy will do:
// they are on different volumes, or on one without hard links, or the file has as many names as it can have.
func CannotLink(err error) bool {
	for _, e := range []error{windows.ERROR_NOT_SAME_DEVICE, windows.ERROR_NOT_SUPPORTED, windows.ERROR_INVALID_FUNCTION,
		windows.ERROR_TOO_MANY_LINKS, syscall.EXDEV} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// openFile is os.OpenFile, but lets a file be renamed and removed while it is open, as other systems do: a log renames the
// segment that it has prepared, and a table goes when the last reader is done.
func openFile(name string, flag int) (*os.File, error) {
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	access, disposition := uint32(windows.GENERIC_READ), uint32(windows.OPEN_EXISTING)
	if flag&os.O_RDWR != 0 {
		access |= windows.GENERIC_WRITE
	}
	if flag&os.O_CREATE != 0 {
		disposition = windows.CREATE_NEW // the only caller that creates wants O_EXCL
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(path, access, share, nil, disposition, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(h), name), nil
}

// rename is os.Rename, but tries for a second if that is refused: Windows does not replace an open file, and a process that
// reads a manifest beside its owner has it open for a moment.
func rename(oldname, newname string) error {
	const pause, tries = time.Millisecond, 1000
	for try := 1; ; try++ {
		err := os.Rename(oldname, newname)
		refused := errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_SHARING_VIOLATION)
		if !refused || try == tries {
			return err
		}
		time.Sleep(pause) //permit:time.Sleep nothing tells when the other closes the file
	}
}

// syncDir does nothing: Windows cannot flush a directory, NTFS journals its entries.
func syncDir(string) error { return nil }

// noFollow is nothing here: there is no such flag, and links are rare.
const noFollow = 0

// lockOffset is where the locked byte is. Windows refuses to read what another process has locked, so it is far behind
// the process id, which the loser wants to read.
const lockOffset = 1 << 30

// tryLock takes the exclusive lock on an open file and reports whether somebody else has it.
func tryLock(f *os.File) (busy bool, err error) {
	return tryLockAs(f, windows.LOCKFILE_EXCLUSIVE_LOCK)
}

// tryShare is tryLock for a lock that others may have beside it, if they are content with that too.
func tryShare(f *os.File) (busy bool, err error) { return tryLockAs(f, 0) }

func tryLockAs(f *os.File, exclusive uint32) (busy bool, err error) {
	flags := exclusive | windows.LOCKFILE_FAIL_IMMEDIATELY
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, &windows.Overlapped{Offset: lockOffset})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return true, nil
	}
	return false, err
}

func mmap(*os.File, int, bool) ([]byte, error) { return nil, ErrNotSupported }

func munmap([]byte) error { return nil }
