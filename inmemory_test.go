package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// openMemoryTest opens a database in memory, whose checkpoints go to the file system that is returned.
func openMemoryTest(t *testing.T, o *Options) (*DB, *vfstest.Mem) {
	t.Helper()
	disk := vfstest.NewMem()
	o.fs = disk
	db, err := OpenMemory(o)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db, disk
}

func TestOpenMemoryRefuses(t *testing.T) {
	for _, o := range []*Options{{ReadOnly: true}, {Memory: 1}, {SyncEvery: -1}} {
		if db, err := OpenMemory(o); db != nil || !errors.Is(err, ErrInvalidOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestInMemory goes through what a database in a directory does with the disk, under each policy.
func TestInMemory(t *testing.T) {
	for _, policy := range []SyncPolicy{SyncAlways, SyncInterval, SyncNever} {
		t.Run(fmt.Sprint(policy), func(t *testing.T) {
			clock := newFakeClock()
			o := tinyOptions(nil, clock)
			o.Sync, o.RetainLog = policy, 1<<30
			db, disk := openMemoryTest(t, o)
			if db.Dir() != "" {
				t.Errorf("it is in %s", db.Dir())
			}
			other, _ := openMemoryTest(t, tinyOptions(nil, clock))
			for i := range 500 {
				must(t, db.Put(fmt.Appendf(nil, "key%03d", i), bytes.Repeat([]byte{'v'}, 100), ExpireAt(clock.Now().Add(time.Hour))))
			}
			must(t, errors.Join(db.Put([]byte("synced"), nil, Sync), db.Sync(), db.Flush()))
			if names, err := disk.ReadDir("."); err != nil || len(names) != 0 {
				t.Errorf("%q is on the disk, %v", names, err)
			}
			content{other}.lacks(t, "synced")

			var full, increment bytes.Buffer
			info, err := db.Backup(t.Context(), &full, nil)
			must(t, err)
			must(t, errors.Join(db.Delete([]byte("key007")), db.Put([]byte("late"), []byte("1"))))
			_, err = db.Backup(t.Context(), &increment, &BackupOptions{Since: info.Through})
			must(t, err)
			_, err = db.Checkpoint(t.Context(), "checkpoint", nil)
			must(t, err)
			must(t, Restore(t.Context(), "restored", &RestoreOptions{Options: o}, &full, &increment))
			for _, dir := range []string{"checkpoint", "restored"} {
				copied, err := Open(dir, readOnlyOptions(o))
				must(t, err)
				content{copied}.has(t, "late", "1")
				content{copied}.lacks(t, "key007")
				content{copied}.has(t, "key008", string(bytes.Repeat([]byte{'v'}, 100)))
				must(t, copied.Close())
			}
			if changes, err := allChanges(db, 1); err != nil || len(changes) != 503 {
				t.Errorf("%d changes are watched, %v", len(changes), err)
			}
			must(t, db.Compact(context.Background()))
			must(t, db.Verify(context.Background()))
		})
	}
}

// TestMemoryIsGivenBack: what a database in memory has deleted is no longer there, and after Close nothing is.
func TestMemoryIsGivenBack(t *testing.T) {
	clock := newFakeClock()
	db, _ := openMemoryTest(t, tinyOptions(nil, clock))
	for i := range 500 {
		must(t, db.Put(fmt.Appendf(nil, "key%03d", i), make([]byte, 100), TTL(time.Second)))
	}
	must(t, db.Flush())
	full := db.Stats().DiskBytes
	clock.add(time.Minute)
	must(t, db.Compact(context.Background()))
	for db.Stats().ReplacedTables > 0 { // until the background has closed them
		runtime.Gosched()
	}
	held := int64(0)
	for _, dir := range []string{"tables", "wal"} {
		names, err := db.fs.ReadDir(memoryDir + "/" + dir)
		must(t, err)
		for _, name := range names {
			size, err := db.fs.Size(memoryDir + "/" + dir + "/" + name)
			must(t, err)
			held += size
		}
	}
	if s := db.Stats(); s.DiskBytes != held || held > full/4 {
		t.Errorf("%d bytes of %d are held, Stats says %d", held, full, s.DiskBytes)
	}
	must(t, db.Close())
	if names, err := db.opts.fs.ReadDir("/"); err != nil || len(names) != 0 {
		t.Errorf("%q is left, %v", names, err)
	}
	if err := db.Put([]byte("a"), nil); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}
