//go:build unix

package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// NoSpace reports whether err says that the disk, or the user's share of it, is full.
func NoSpace(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}

// Exhausted reports whether err says that there is not enough of something now, where there may be again: room, descriptors
// or memory. Nothing is wrong with the file.
func Exhausted(err error) bool {
	for _, e := range []error{unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return NoSpace(err)
}

// CannotLink reports whether err, of Link, says that there is no way to link these two names, so that only a copy will do:
// they are on different file systems, or on one without hard links, or the file has as many names as it can have.
func CannotLink(err error) bool {
	for _, e := range []error{unix.EXDEV, unix.EPERM, unix.ENOTSUP, unix.EOPNOTSUPP, unix.ENOSYS, unix.EMLINK} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// noFollow makes an open fail on a symbolic link.
const noFollow = unix.O_NOFOLLOW

// tryLock takes the exclusive lock on an open file and reports whether somebody else has it.
func tryLock(f *os.File) (busy bool, err error) { return tryLockAs(f, unix.LOCK_EX) }

// tryShare is tryLock for a lock that others may have beside it, if they are content with that too.
func tryShare(f *os.File) (busy bool, err error) { return tryLockAs(f, unix.LOCK_SH) }

func tryLockAs(f *os.File, how int) (busy bool, err error) {
	err = ignoringEINTR(func() error { return unix.Flock(int(f.Fd()), how|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

func mmap(f *os.File, n int, write bool) ([]byte, error) {
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	var mem []byte
	err := control(f, func(fd int) (err error) {
		mem, err = unix.Mmap(fd, 0, n, prot, unix.MAP_SHARED)
		return err
	})
	if cannotMap(err) {
		return nil, ErrNotSupported
	}
	return mem, err
}

// cannotMap reports whether err, of mmap, says that this file cannot be mapped, or not so much of it, or not now: what is
// wanted can be had by system calls. Which error it is depends on the file system: ENODEV of most that cannot map, EINVAL of
// 9p, jffs2 and vboxsf for a mapping that is shared and written; and ENOMEM, EAGAIN and EPERM of what the process may have.
func cannotMap(err error) bool {
	for _, e := range []error{unix.ENODEV, unix.EINVAL, unix.ENOTSUP, unix.EOPNOTSUPP, unix.ENOSYS, unix.EACCES, unix.EPERM,
		unix.ENOMEM, unix.EAGAIN, unix.ENFILE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func munmap(mem []byte) error { return unix.Munmap(mem) }

// control runs a system call on f's descriptor, which stays open meanwhile whatever Close does.
func control(f *os.File, call func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var callErr error
	if raw.Control(func(fd uintptr) { callErr = ignoringEINTR(func() error { return call(int(fd)) }) }) != nil {
		return os.ErrClosed // the one reason for which the call is not made
	}
	return callErr
}

func ignoringEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func openFile(name string, flag int) (*os.File, error) { return os.OpenFile(name, flag, fileMode) }

func rename(oldname, newname string) error { return os.Rename(oldname, newname) }
