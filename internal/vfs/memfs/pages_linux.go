package memfs

import "golang.org/x/sys/unix"

// preferHuge asks for huge pages. A system may have none to give.
func preferHuge(mem []byte) { _ = unix.Madvise(mem, unix.MADV_HUGEPAGE) }
