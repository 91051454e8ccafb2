//go:build unix

package memfs

import "golang.org/x/sys/unix"

// worthPages is from where on a file's memory is the system's: less is not worth a mapping.
const worthPages = 1 << 20

// allocate returns n bytes of zeros, which free gives back. They lie outside of Go's heap, which may grow to twice of what is
// in it, and where the system has them on huge pages: a look-up in a table is a fifth slower without.
func allocate(n int) []byte {
	if n < worthPages {
		return make([]byte, n)
	}
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil { // of mappings there is a limit, and of locked memory
		return make([]byte, n)
	}
	preferHuge(mem)
	return mem
}

// free gives back what allocate has returned, all of it.
func free(mem []byte) {
	if len(mem) >= worthPages {
		_ = unix.Munmap(mem) // EINVAL: it came from the heap
	}
}
