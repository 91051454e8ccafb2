package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// An eviction takes what was written before with a deadline up to the horizon, wherever that is, for every way to look at it,
// and nothing else. What is beneath stays hidden. A snapshot and a transaction from before see what they did.
func TestEvict(t *testing.T) {
	clock := newFakeClock()
	db, r := openRecorded(t, vfstest.NewMem(), clock)
	start := clock.Now()
	horizon := start.Add(time.Minute)
	put := func(key string, deadline time.Time) { must(t, db.Put([]byte(key), []byte(key), ExpireAt(deadline))) }
	for _, where := range []string{"table", "memtable"} {
		must(t, db.Put([]byte("over "+where), []byte("old")))
	}
	must(t, db.Flush())
	for _, where := range []string{"table", "memtable"} {
		put("at "+where, horizon)
		put("before "+where, horizon.Add(-time.Second))
		put("behind "+where, horizon.Add(time.Millisecond))
		put("never "+where, time.Time{})
		put("over "+where, horizon)
		if where == "table" {
			must(t, db.Flush())
		}
	}
	r.take(t, db)
	snap, err := db.Snapshot()
	must(t, err)
	defer snap.Close()
	must(t, db.evicter.evict(horizon.UnixMilli()))
	version := lastSeq(db)
	r.expect(t, db, Evicted{Version: version, UpTo: time.UnixMilli(horizon.UnixMilli()), Entries: 3, Bytes: 8 + 8 + 12 + 12 + 10 + 10})
	check := func(when string, db *DB) {
		t.Helper()
		for _, where := range []string{"table", "memtable"} {
			for _, gone := range []string{"at ", "before ", "over "} {
				content{db}.lacks(t, gone+where)
				for name, err := range map[string]error{
					"put if present": db.Put([]byte(gone+where), nil, IfPresent),
					"add":            func() error { _, err := db.GetTouch([]byte(gone+where), time.Second); return err }(),
					"expire":         db.Expire([]byte(gone+where), time.Second),
				} {
					if !errors.Is(err, ErrConditionFailed) && !errors.Is(err, ErrNotFound) {
						t.Errorf("%s: %s %s: %v", when, name, gone+where, err)
					}
				}
			}
			content{db}.has(t, "behind "+where, "behind "+where)
			content{db}.has(t, "never "+where, "never "+where)
			for _, key := range []string{"at ", "before ", "behind ", "never ", "over "} {
				if got, err := snap.Get([]byte(key + where)); err != nil || string(got) != key+where {
					t.Errorf("%s: the snapshot has %s as %q, %v", when, key+where, got, err)
				}
			}
		}
	}
	check("evicted", db)
	put("at later", horizon)
	content{db}.has(t, "at later", "at later")
	must(t, db.Flush())
	check("flushed", db)
	must(t, db.Compact(context.Background()))
	check("compacted", db)
	content{db}.has(t, "at later", "at later")
	if s := db.Stats(); s.Evictions != 1 || s.EvictedEntries != 6 || s.EvictedBytes != 0 {
		t.Errorf("%d evictions of %d entries, %d bytes are left", s.Evictions, s.EvictedEntries, s.EvictedBytes)
	}
	if left := db.live.View().Version.Evictions; len(left) != 0 {
		t.Errorf("the manifest keeps %v, and no table needs it", left)
	}
}

// A transaction that has read an entry which is evicted before it commits is run again; one that has read others is not.
func TestEvictConflicts(t *testing.T) {
	clock := newFakeClock()
	o := roomyOptions(vfstest.NewMem(), clock)
	db := openTest(t, o)
	for _, c := range []struct {
		name string
		read func(*Txn) error
		runs int
	}{
		{"get of what goes", func(tx *Txn) error { return ignore(tx.Get([]byte("b"))) }, 2},
		{"get of what lives longer", func(tx *Txn) error { return ignore(tx.Get([]byte("c"))) }, 1},
		{"get of what has no deadline", func(tx *Txn) error { return ignore(tx.Get([]byte("a"))) }, 1},
		{"get of nothing", func(tx *Txn) error { return ignore(tx.Get([]byte("x"))) }, 1},
		{"scan of what goes", func(tx *Txn) error { return scanOver(tx, "a", "c") }, 2},
		{"scan of what stays", func(tx *Txn) error { return scanOver(tx, "", "b") }, 1},
	} {
		for _, flush := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, ", in a table: ", flush), func(t *testing.T) {
				must(t, db.Put([]byte("a"), nil))
				must(t, db.Put([]byte("b"), nil, TTL(time.Minute)))
				must(t, db.Put([]byte("c"), nil, TTL(time.Hour)))
				if flush {
					must(t, db.Flush())
				}
				runs := 0
				must(t, db.Update(func(tx *Txn) error {
					runs++
					if err := c.read(tx); err != nil {
						return err
					}
					if runs == 1 {
						must(t, db.evicter.evict(clock.ms()+time.Minute.Milliseconds()))
					}
					return tx.Put([]byte("written"), nil)
				}))
				if runs != c.runs {
					t.Errorf("it ran %d times, want %d", runs, c.runs)
				}
			})
		}
	}
}

// ignore takes an absent key for no error.
func ignore(_ []byte, err error) error {
	if err == ErrNotFound {
		return nil
	}
	return err
}

func scanOver(tx *Txn, start, end string) error {
	for _, err := range tx.Range(&IterOptions{Start: []byte(start), End: []byte(end)}) {
		if err != nil {
			return err
		}
	}
	return nil
}

// Tables in which everything was evicted go unread, across a restart too.
func TestEvictedTablesAreDroppedUnread(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	fault, r := vfstest.NewFault(mem), new(recorder)
	o := roomyOptions(fault, clock)
	o.OnEvent = r.onEvent
	db := openTest(t, o)
	for i := range 200 {
		must(t, db.Put(fmt.Appendf(nil, "user%06d", i), []byte(strings.Repeat("v", 100)), TTL(time.Hour+time.Duration(i)*time.Second)))
		if i%20 == 19 {
			must(t, db.Flush())
		}
	}
	must(t, db.evicter.evict(clock.Now().Add(2*time.Hour).UnixMilli()))
	must(t, db.Close())
	db = openTest(t, o)
	r.take(t, db)
	fault.Inject(func(op vfstest.Op) error {
		if (op.Kind == vfstest.OpRead || op.Kind == vfstest.OpMap) && strings.HasSuffix(op.Name, dir.TableSuffix) {
			t.Errorf("%v of %s", op.Kind, op.Name)
		}
		return nil
	})
	settle(t, db)
	fault.Inject(nil)
	if s := db.Stats(); s.TableBytes != 0 || s.DroppedTables != 10 || s.EvictedEntries != 200 {
		t.Errorf("%d bytes of tables are left, %d were dropped, with %d entries", s.TableBytes, s.DroppedTables, s.EvictedEntries)
	}
	for _, e := range r.take(t, db) {
		if _, ok := e.(TableEvicted); !ok && !reflect.DeepEqual(e, Flushed{}) { // of a memtable with nothing but the eviction
			t.Errorf("%T %+v", e, e)
		}
	}
}

// Increments carry evictions, and what is restored, linked or opened to read only has them.
func TestCopiesKeepEvictions(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := keepLog(mem, clock)
	db := openTest(t, o)
	must(t, db.Put([]byte("under"), []byte("old")))
	full, info := takeBackup(t, db, nil)
	must(t, db.Put([]byte("under"), []byte("new"), TTL(time.Hour)))
	must(t, db.Put([]byte("gone"), nil, TTL(time.Hour)))
	must(t, db.evicter.evict(clock.Now().Add(time.Hour).UnixMilli()))
	must(t, db.Put([]byte("later"), []byte("1"), TTL(time.Hour)))
	increment, _ := takeBackup(t, db, &BackupOptions{Since: info.Through})
	fresh, _ := takeBackup(t, db, nil)
	_, err := db.Checkpoint(context.Background(), "checkpoint", nil)
	must(t, err)
	must(t, restoreTo(mem, clock, "full", fresh))
	must(t, restoreTo(mem, clock, "both", full, increment))
	aside, err := Open("db", readOnlyOptions(o))
	must(t, err)
	defer aside.Close()
	for _, name := range []string{"checkpoint", "full", "both", "aside"} {
		copied := aside
		if name != "aside" {
			copied = openTestIn(t, name, manualOptions(mem, clock, SyncAlways))
		}
		content{copied}.lacks(t, "under")
		content{copied}.lacks(t, "gone")
		content{copied}.has(t, "later", "1")
		if name == "aside" {
			continue
		}
		must(t, copied.Compact(context.Background()))
		content{copied}.lacks(t, "under")
		content{copied}.has(t, "later", "1")
		if s := copied.Stats(); s.DeadlineEntries != 1 {
			t.Errorf("%s: %d entries with a deadline are left", name, s.DeadlineEntries)
		}
	}
	var out bytes.Buffer
	_, err = db.Backup(context.Background(), &out, nil)
	must(t, err)
	other := openTestIn(t, "other", manualOptions(mem, clock, SyncAlways))
	_, err = other.Ingest(context.Background(), &out, nil)
	must(t, err)
	content{other}.lacks(t, "gone")
	content{other}.has(t, "later", "1")
	must(t, other.evicter.evict(clock.Now().Add(time.Hour).UnixMilli()))
	content{other}.lacks(t, "later")
}

// openTestIn is openTest for another directory.
func openTestIn(t *testing.T, dir string, o *Options) *DB {
	t.Helper()
	db, err := Open(dir, o)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// A checkpoint has an eviction with all writes before it, or not at all: it gives its own next writes the sequences from its
// last one on.
func TestCheckpointBesideEviction(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := manualOptions(mem, clock, SyncAlways)
	var db *DB
	flushed := false
	o.sys.now = func() time.Time {
		if db != nil && !flushed && db.live.View().Version.HasDeadlines() {
			flushed = true // by the checkpoint, which has not pinned the tables yet
			must(t, db.Put([]byte("always there"), []byte("new")))
			must(t, db.evicter.evict(clock.Now().Add(time.Hour).UnixMilli()))
		}
		return time.Now()
	}
	db = openTest(t, o)
	must(t, db.Put([]byte("always there"), []byte("old"), TTL(time.Hour)))
	info, err := db.Checkpoint(context.Background(), "checkpoint", nil)
	must(t, err)
	copied := openTestIn(t, "checkpoint", manualOptions(mem, clock, SyncAlways))
	if !flushed || info.Through != lastSeq(db) || lastSeq(copied) != lastSeq(db) {
		t.Errorf("the checkpoint goes to %d, as of %d, the database to %d", lastSeq(copied), info.Through, lastSeq(db))
	}
	content{copied}.has(t, "always there", "new")
	must(t, copied.Put([]byte("later"), []byte("1"), TTL(time.Minute)))
	content{copied}.has(t, "later", "1")
}

// A log that ends before an eviction of the manifest has lost what was on the disk: its next sequences would be before the
// eviction, which would take what is written under them.
func TestLogEndsBeforeEviction(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	db := openTest(t, manualOptions(mem, clock, SyncAlways))
	must(t, db.Put([]byte("a"), []byte("1")))
	end := db.log.End()
	must(t, db.Put([]byte("b"), []byte("1")))
	must(t, db.evicter.evict(clock.Now().Add(time.Hour).UnixMilli()))
	lost := mem.Clone()
	f, err := lost.OpenWrite(logSegment(end))
	must(t, err)
	size, err := f.Size()
	must(t, err)
	_, err = f.WriteAt(make([]byte, size-int64(end.Offset)), int64(end.Offset)) // as if it had never been written
	must(t, errors.Join(err, f.Close()))
	for _, readOnly := range []bool{false, true} {
		o := manualOptions(lost.Clone(), clock, SyncAlways)
		o.ReadOnly = readOnly
		found, err := Open("db", o)
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("read-only: %v: %v", readOnly, err)
		}
		if err == nil {
			found.Close()
		}
	}
}
