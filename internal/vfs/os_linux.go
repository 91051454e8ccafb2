package vfs

import (
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// canMapWrites reports whether writes to f may go through a mapping. Linux has one page cache for mappings and system calls,
// learns of a page dirtied through a mapping by a fault, and so writes it at fdatasync without an msync. But a file system
// that never writes in place wants new blocks for a page that has some, so that on a full disk the fault is fatal where a
// system call is told ENOSPC; and zeros written ahead save it nothing.
func canMapWrites(f *os.File) bool {
	var st unix.Statfs_t
	if err := control(f, func(fd int) error { return unix.Fstatfs(fd, &st) }); err != nil {
		return true // whatever it is, a fault is noticed: see osFile.faulted
	}
	return !slices.Contains(copyOnWrite, uint32(st.Type))
}

// copyOnWrite are file systems that never write in place, as statfs calls them: bcachefs, btrfs, F2FS, NILFS2 and ZFS.
var copyOnWrite = []uint32{0xca451a4e, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.NILFS_SUPER_MAGIC, 0x2fc12fc1}

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
