package vfs

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// canMapWrites: Linux has one page cache for mappings and system calls, learns of a page dirtied through a mapping by a
// fault, and so writes it at fdatasync without an msync.
const canMapWrites = true

func syncData(f *os.File) error {
	if err := control(f, unix.Fdatasync); err != nil {
		return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
	}
	return nil
}

// unload takes pages of a shared mapping out of the process's memory. They stay in the page cache, dirty if they were.
func unload(mem []byte) { _ = unix.Madvise(mem, unix.MADV_DONTNEED) }

func writeBack(f *os.File, off, n int64) {
	_ = control(f, func(fd int) error { return unix.SyncFileRange(fd, off, n, unix.SYNC_FILE_RANGE_WRITE) })
}
