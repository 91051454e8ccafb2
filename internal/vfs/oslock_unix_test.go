//go:build unix

package vfs

import (
	"os"
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

// What is no file of its own is not locked, and its target neither cut nor made: a lock file holds what Lock has written.
func TestLockOfALink(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	must(t, os.WriteFile(target, []byte("of somebody else"), 0o600))
	for _, c := range []struct {
		name string
		make func(name string) error
	}{
		{"link", func(name string) error { return os.Symlink(target, name) }},
		{"dangling", func(name string) error { return os.Symlink(filepath.Join(dir, "none"), name) }},
		{"directory", func(name string) error { return os.Mkdir(name, 0o700) }},
		{"pipe", func(name string) error { return unix.Mkfifo(name, 0o600) }},
	} {
		name := filepath.Join(dir, c.name)
		must(t, c.make(name))
		if l, err := OS.Lock(name); err == nil {
			t.Errorf("%s: locked", c.name)
			must(t, l.Close())
		}
	}
	if b, err := os.ReadFile(target); err != nil || string(b) != "of somebody else" {
		t.Errorf("the target is %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); err == nil {
		t.Error("the target of a dangling link was made")
	}
}

// A look at who has the lock holds it for a moment: Lock waits that out, but not for an owner.
func TestLockWaitsForALook(t *testing.T) {
	name := filepath.Join(t.TempDir(), "LOCK")
	look, err := os.Create(name)
	must(t, err)
	defer look.Close()
	pause := pauseForLook
	defer func() { pauseForLook = pause }()
	for _, c := range []struct {
		pauses int // that the look lasts
		err    error
	}{{1, nil}, {looks, nil}, {looks + 1, ErrLocked}} {
		must(t, unix.Flock(int(look.Fd()), unix.LOCK_SH))
		n := 0
		pauseForLook = func() {
			if n++; n == c.pauses {
				must(t, unix.Flock(int(look.Fd()), unix.LOCK_UN))
			}
		}
		l, err := OS.Lock(name)
		if c.err != nil {
			wantErr(t, "an owner", err, c.err)
			continue
		}
		must(t, err)
		must(t, l.Close())
	}
}
