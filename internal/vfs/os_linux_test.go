package vfs

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A mapping that faults although the file is whole, as that of a copy-on-write file system whose disk is full, leaves the
// system call to say what is wrong; if nothing is, nothing is copied into the mapping any more.
func TestMappedWriteFaultOfAWholeFile(t *testing.T) {
	const size = 1 << 16
	f, name := mappedFile(t, size, size)
	write(t, f, "before", 0)
	file := f.(*osFile)
	must(t, unix.Mprotect(file.mapped.Load().mem, unix.PROT_READ))

	good := file.f
	readOnly, err := OS.Open(name)
	must(t, err)
	defer readOnly.Close()
	file.f = readOnly.(*osFile).f // of which a write is an error of the system's
	_, err = f.WriteAt([]byte("x"), 100)
	file.f = good
	if !errors.Is(err, unix.EBADF) || errors.Is(err, ErrFault) {
		t.Errorf("a system call that fails: %v", err)
	}
	if file.mapped.Load() == nil {
		t.Error("the mapping is given up although the write was not made")
	}

	write(t, f, "after", 100)
	wantFaultsFatal(t)
	if file.mapped.Load() != nil {
		t.Error("a mapping that has faulted is still in use")
	}
	write(t, f, "more", 200)
	want := []byte(strings.Repeat("\x00", size))
	copy(want, "before")
	copy(want[100:], "after")
	copy(want[200:], "more")
	wantContent(t, name, string(want))
}

func TestCannotMap(t *testing.T) {
	for err, want := range map[error]bool{
		unix.ENODEV: true, unix.EINVAL: true, unix.ENOMEM: true, unix.EPERM: true, unix.EBADF: false, unix.EIO: false,
		ErrFault: false,
	} {
		if got := cannotMap(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}
