package ebb

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// btrfs mounts a small btrfs in a file and returns where, or skips the test where that is not to be had.
func btrfs(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 || testing.Short() {
		t.Skip("mounts a file system: needs root, and no -short")
	}
	image, dir := filepath.Join(t.TempDir(), "image"), filepath.Join(t.TempDir(), "mnt")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 128<<20))
	must(t, os.Mkdir(dir, 0o700))
	for _, command := range []string{"mkfs.btrfs -q -m single " + image, "mount -o loop " + image + " " + dir} {
		args := strings.Fields(command)
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%s: %v: %s", command, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

// fillDisk writes a file until there is room for nothing more.
func fillDisk(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	must(t, err)
	buf := make([]byte, 1<<20)
	for n := len(buf); n >= 4096; {
		if _, err := f.Write(buf[:n]); err != nil {
			n /= 2
		}
	}
	_ = f.Sync()
	must(t, f.Close())
}

// On a file system that never writes in place a full disk is a full disk, no fault and no failure for good: writes go on
// when there is room, and what was acknowledged is there.
func TestFullCopyOnWriteDisk(t *testing.T) {
	dir := btrfs(t)
	for _, policy := range []SyncPolicy{SyncAlways, SyncNever} {
		opts := &Options{Sync: policy, Memory: 8 << 20}
		db, err := Open(filepath.Join(dir, "db"), opts)
		must(t, err)
		acked, tried := []uint64{}, uint64(0)
		value := make([]byte, 1000)
		put := func() error {
			tried++
			key := binary.BigEndian.AppendUint64(nil, tried)
			copy(value, key)
			err := db.Put(key, value)
			if err == nil {
				acked = append(acked, tried)
			}
			return err
		}
		for range 1000 {
			must(t, put())
		}
		fillDisk(t, filepath.Join(dir, "filler"))
		full := 0
		for tries := 0; full < 10 && tries < 20000; tries++ {
			if err := put(); errors.Is(err, ErrNoSpace) {
				full++
			} else if err != nil {
				t.Fatalf("policy %d: %v", policy, err)
			}
		}
		if full == 0 {
			t.Fatalf("policy %d: the disk was never full", policy)
		}
		if err := db.Close(); err != nil && !errors.Is(err, ErrNoSpace) { // there may be no room for a manifest
			t.Errorf("policy %d: close on a full disk: %v", policy, err)
		}
		if db, err = Open(filepath.Join(dir, "db"), opts); err == nil {
			must(t, db.Close())
		} else if !errors.Is(err, ErrNoSpace) {
			t.Errorf("policy %d: open on a full disk: %v", policy, err)
		}
		must(t, os.Remove(filepath.Join(dir, "filler")))
		must(t, exec.Command("sync", "-f", dir).Run()) // btrfs frees what was removed when it commits
		db, err = Open(filepath.Join(dir, "db"), opts)
		must(t, err)
		must(t, put())
		for _, n := range acked {
			if _, err := db.Get(binary.BigEndian.AppendUint64(nil, n)); err != nil {
				t.Fatalf("policy %d: key %d of %d: %v", policy, n, tried, err)
			}
		}
		must(t, db.Close())
		must(t, os.RemoveAll(filepath.Join(dir, "db")))
	}
}
