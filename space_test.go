package ebb

import (
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// diskBytes returns the length of all files below a directory.
func diskBytes(t testing.TB, fs *vfstest.Mem, dir string) int64 {
	t.Helper()
	names, err := fs.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, name := range names {
		name = path.Join(dir, name)
		if size, err := fs.Size(name); err == nil && !isDir(fs, name) {
			n += size
		} else {
			n += diskBytes(t, fs, name)
		}
	}
	return n
}

func isDir(fs *vfstest.Mem, name string) bool {
	_, err := fs.ReadDir(name)
	return err == nil
}

// settle does what the background does while a database is idle.
func settle(t testing.TB, db *DB) {
	t.Helper()
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	db.flusher.last.at.Store(nil)
	compact(t, db)
}

// keepUp does what the background does while it is written to.
func keepUp(t testing.TB, db *DB) {
	t.Helper()
	if len(db.live.View().Frozen) == 0 {
		return
	}
	if err := db.flusher.flushFrozen(); err != nil {
		t.Fatal(err)
	}
	compact(t, db)
}

// compact carries out what the picker picks.
func compact(t testing.TB, db *DB) {
	t.Helper()
	db.compacter.compacting.Lock()
	defer db.compacter.compacting.Unlock()
	if err := db.compacter.runPlans(db.health.work, compaction.Pick); err != nil {
		t.Fatal(err)
	}
}

// After everything has been overwritten, even several times, what is left takes little more than the data set.
func TestSpaceAfterOverwriting(t *testing.T) {
	fs := vfstest.NewMem()
	o := manualOptions(fs, newFakeClock(), SyncNever)
	o.memtableSize, o.tableSize = 64<<10, 64<<10
	db, err := Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const keys = 5000
	var once int64
	for round := range 4 {
		for i := range keys {
			k := fmt.Appendf(nil, "user%06d", i*7919%keys)
			if err := db.Put(k, []byte(strings.Repeat(fmt.Sprint(round), 100))); err != nil {
				t.Fatal(err)
			}
			keepUp(t, db)
		}
		settle(t, db)
		if round == 0 {
			once = db.Stats().TableBytes
			continue
		}
		if now := db.Stats().TableBytes; float64(now) > 1.5*float64(once) {
			t.Errorf("after %d times overwriting everything, tables take %d bytes, %d the first time", round, now, once)
		}
	}
}

// What has expired leaves the disk without any call of the user, the log included; what lives on is left.
func TestExpiredBytesLeaveTheDisk(t *testing.T) {
	fs, clock := vfstest.NewMem(), newFakeClock()
	o := manualOptions(fs, clock, SyncNever)
	o.memtableSize, o.tableSize, o.segmentSize = 64<<10, 64<<10, 64<<10
	db, err := Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const keys = 20_000
	for i := range keys {
		ttl := 10*time.Second + time.Duration(i*7919%20_000)*time.Millisecond
		if i%1000 == 0 {
			ttl = time.Hour
		}
		if err := db.Put(fmt.Appendf(nil, "user%06d", i), []byte(strings.Repeat("v", 100)), TTL(ttl)); err != nil {
			t.Fatal(err)
		}
		keepUp(t, db)
	}
	peak := diskBytes(t, fs, "db")
	for range 40 { // seconds
		clock.add(time.Second)
		db.sweep()
		if err := db.flusher.flushFrozen(); err != nil {
			t.Fatal(err)
		}
		compact(t, db)
	}
	// The active memtable, and with it the log, may keep what is not worth a flush: see sweepMin, and a segment's zeros.
	left := diskBytes(t, fs, "db")
	if limit := peak/20 + 2*o.segmentSize; left > limit {
		t.Errorf("%d bytes are left of %d, the limit is %d: %+v", left, peak, limit, db.Stats())
	}
	for i := 0; i < keys; i += 1000 {
		if ok, err := db.Has(fmt.Appendf(nil, "user%06d", i)); !ok || err != nil {
			t.Errorf("key %d, which lives for an hour, is gone: %v", i, err)
		}
	}
	if db.Stats().DroppedTables == 0 && db.Stats().Compactions == 0 {
		t.Error("nothing was dropped or compacted")
	}
}

// Tables in which everything has expired go without being read.
func TestExpiredTablesAreDroppedUnread(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	fault := vfstest.NewFault(mem)
	o := manualOptions(fault, clock, SyncNever)
	db, err := Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i := range 200 {
		if err := db.Put(fmt.Appendf(nil, "user%06d", i), []byte(strings.Repeat("v", 100)), TTL(time.Minute)); err != nil {
			t.Fatal(err)
		}
		keepUp(t, db)
	}
	if err := db.Flush(); err != nil {
		t.Fatal(err)
	}
	clock.add(time.Hour)
	fault.Inject(func(op vfstest.Op) error {
		if (op.Kind == vfstest.OpRead || op.Kind == vfstest.OpOpen || op.Kind == vfstest.OpMap) && strings.HasSuffix(op.Name, dir.TableSuffix) {
			t.Errorf("%v of %s", op.Kind, op.Name)
		}
		return nil
	})
	settle(t, db)
	fault.Inject(nil)
	if s := db.Stats(); s.TableBytes != 0 || s.DroppedTables == 0 {
		t.Errorf("%d bytes of tables are left, %d were dropped", s.TableBytes, s.DroppedTables)
	}
}
