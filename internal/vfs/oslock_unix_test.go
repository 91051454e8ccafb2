//go:build unix

package vfs

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// The registry keeps this process out without the kernel's help, which is taken away here.
func TestLockRegistryAlone(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "LOCK")
	l, err := OS.Lock(name)
	must(t, err)
	must(t, unix.Flock(int(l.(*osLock).f.Fd()), unix.LOCK_UN))
	must(t, OS.Link(name, filepath.Join(dir, "SECOND")))
	for _, base := range []string{"LOCK", "SECOND"} {
		_, err := OS.Lock(filepath.Join(dir, base))
		wantErr(t, base, err, ErrLocked)
	}
	must(t, l.Close())
	l, err = OS.Lock(name)
	must(t, err)
	must(t, l.Close())
}
