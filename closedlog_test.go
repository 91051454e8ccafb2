package ebb

import (
	"bytes"
	"errors"
	"fmt"
	fs2 "io/fs"
	"path"
	"strings"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

// closedDB returns a database of n keys that was closed, all of them in its log, and the options to open it.
func closedDB(t *testing.T, n int) (*vfstest.Mem, *Options) {
	t.Helper()
	mem := vfstest.NewMem()
	o := manualOptions(mem, newFakeClock(), SyncAlways)
	o.memtableSize, o.segmentSize = 64<<20, 64<<20
	db := openTest(t, o)
	for i := range n {
		must(t, db.Put(fmt.Appendf(nil, "key%04d", i), []byte(strings.Repeat("v", 100))))
	}
	must(t, db.Close())
	return mem, o
}

// segments returns the names of the log's segments.
func segments(t *testing.T, fs vfs.FS) (names []string) {
	t.Helper()
	for _, name := range files(t, fs, "db/wal") {
		if path.Ext(name) == ".wal" {
			names = append(names, name)
		}
	}
	return names
}

// damage changes the content of a file.
func damage(t *testing.T, mem *vfstest.Mem, name string, edit func([]byte) []byte) {
	t.Helper()
	data, err := mem.ReadFile(name)
	must(t, err)
	must(t, mem.WriteFile(name, edit(data)))
}

// refused holds that a database of n keys is damaged, for an owner and for who looks only, and that the refusal changes
// nothing.
func refused(t *testing.T, mem *vfstest.Mem, o *Options, n int) {
	t.Helper()
	before := mem.Clone()
	for _, readOnly := range []bool{true, false} {
		o := o
		if readOnly {
			o = readOnlyOptions(o)
		}
		db, err := Open("db", o)
		if err == nil {
			t.Errorf("read-only %v: opens with %d keys of %d", readOnly, keys(t, db), n)
			db.Close()
			return
		}
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("read-only %v: %v", readOnly, err)
		}
	}
	if changed := mem.Diff(before); len(changed) > 0 {
		t.Errorf("a refused Open has changed %v", changed)
	}
}

// keys counts what a database holds.
func keys(t *testing.T, db *DB) (n int) {
	t.Helper()
	for _, err := range db.Range(nil) {
		must(t, err)
		n++
	}
	return n
}

// What was synced, acknowledged and closed is there, or its loss is told: a log that is shorter than its owner left it is
// damage, and not a torn tail.
func TestDamagedLogOfAClosedDatabase(t *testing.T) {
	const n = 500
	half := func(b []byte) []byte { return b[:len(b)/2] }
	for _, c := range []struct {
		name string
		harm func(t *testing.T, mem *vfstest.Mem)
	}{
		{"the segment is gone", func(t *testing.T, mem *vfstest.Mem) { must(t, mem.Remove(segments(t, mem)[0])) }},
		{"the log is gone", func(t *testing.T, mem *vfstest.Mem) { must(t, vfs.RemoveAll(mem, "db/wal")) }},
		{"cut by half", func(t *testing.T, mem *vfstest.Mem) { damage(t, mem, segments(t, mem)[0], half) }},
		{"one byte lost", func(t *testing.T, mem *vfstest.Mem) {
			damage(t, mem, segments(t, mem)[0], func(b []byte) []byte { return b[:len(b)-1] })
		}},
		{"one byte lost in the middle", func(t *testing.T, mem *vfstest.Mem) {
			damage(t, mem, segments(t, mem)[0], func(b []byte) []byte { return append(b[:len(b)/3], b[len(b)/3+1:]...) })
		}},
		{"the last 8 KiB are zero", func(t *testing.T, mem *vfstest.Mem) {
			damage(t, mem, segments(t, mem)[0], func(b []byte) []byte { clear(b[len(b)-8<<10:]); return b })
		}},
		{"cut between two records", func(t *testing.T, mem *vfstest.Mem) {
			damage(t, mem, segments(t, mem)[0], func(b []byte) []byte {
				off := 0
				for off < len(b)/2 {
					_, size, err := wal.DecodeStored(b[off:])
					must(t, err)
					off += size
				}
				return b[:off]
			})
		}},
		{"empty", func(t *testing.T, mem *vfstest.Mem) {
			damage(t, mem, segments(t, mem)[0], func([]byte) []byte { return nil })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem, o := closedDB(t, n)
			c.harm(t, mem)
			refused(t, mem, o, n)
		})
	}
}

// smallClosed returns a database that was closed with a table, two segments in its log, and in them every kind of write.
func smallClosed(t *testing.T, policy SyncPolicy) (*vfstest.Mem, *Options, *model) {
	t.Helper()
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := manualOptions(mem, clock, policy)
	db, m := openTest(t, o), newModel(clock)
	steps := []step{putStep("a", "1", 0), flushStep, putStep("b", "1", clock.ms()+5000), deleteStep("a"), batchStep("batch", 0, "c", "d", "b"),
		otherStep("rotate", func(db *DB) error { return db.log.Rotate() }), putStep("a", "2", 0), deleteRangeStep("c", "d"), writerStep()}
	for _, s := range steps {
		must(t, s.run(db))
		if s.apply != nil {
			s.apply(m)
		}
	}
	must(t, db.Close())
	return mem, o, m
}

// Wherever the log of a closed database is cut, whichever of its bytes is damaged, it is complete or damaged, never an
// earlier state.
func TestEveryTruncationOfAClosedDatabase(t *testing.T) {
	for _, policy := range []SyncPolicy{SyncAlways, SyncNever} {
		mem, o, m := smallClosed(t, policy)
		complete := func(what string, c *vfstest.Mem) {
			t.Helper()
			for _, readOnly := range []bool{true, false} {
				o := *o
				if o.fs = c; readOnly {
					o = *readOnlyOptions(&o)
				}
				before := c.Clone()
				db, err := Open("db", &o)
				if err == nil {
					err = errors.Join(m.compare(db, m.clock.ms()), db.Close())
				} else if d := c.Diff(before); len(d) > 0 {
					t.Fatalf("policy %d, %s, read-only %v: the failed Open has changed %v", policy, what, readOnly, d)
				} else if errors.Is(err, ErrCorrupt) {
					continue
				}
				if err != nil {
					t.Fatalf("policy %d, %s, read-only %v: %v", policy, what, readOnly, err)
				}
			}
		}
		names := segments(t, mem)
		if len(names) != 2 {
			t.Fatalf("segments %v", names)
		}
		complete("undamaged", mem.Clone())
		for _, name := range names {
			size, err := mem.Size(name)
			must(t, err)
			for n := 0; n < int(size); n += vfstest.Step(7) {
				c := mem.Clone()
				damage(t, c, name, func(b []byte) []byte { return b[:n] })
				complete(fmt.Sprintf("%s cut to %d of %d", name, n, size), c)
				c = mem.Clone()
				damage(t, c, name, func(b []byte) []byte { clear(b[n:]); return b })
				complete(fmt.Sprintf("%s zero from %d of %d", name, n, size), c)
				c = mem.Clone()
				must(t, c.Corrupt(name, int64(n), 1<<(n%8)))
				complete(fmt.Sprintf("%s with byte %d of %d damaged", name, n, size), c)
			}
			c := mem.Clone()
			must(t, c.Remove(name))
			complete(name+" gone", c)
		}
	}
}

// endsAsPromised holds that the manifest in a directory says where the log ends.
func endsAsPromised(fs vfs.FS, dir string) error {
	state, err := manifest.Load(fs, dir)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s/wal/%06d.wal", dir, state.Log.Segment)
	if size, err := fs.Size(name); err != nil || size != int64(state.Log.Offset) {
		return fmt.Errorf("the manifest of %s says %+v, the segment has %d bytes: %v", dir, state.Log, size, err)
	}
	if _, err := fs.Size(fmt.Sprintf("%s/wal/%06d.wal", dir, state.Log.Segment+1)); !errors.Is(err, fs2.ErrNotExist) {
		return fmt.Errorf("the manifest of %s says %+v, but another segment follows: %v", dir, state.Log, err)
	}
	return nil
}

// Whatever has made the directory of a database, and whatever was done since, a database that is closed says where its log
// ends, in every state that a power cut after Close leaves.
func TestLogEndIsPromised(t *testing.T) {
	mem, clock := vfstest.NewMem(), newFakeClock()
	o := manualOptions(mem, clock, SyncNever)
	db := openTest(t, o)
	var file bytes.Buffer
	for _, s := range lifeScript(clock) {
		must(t, s.run(db))
	}
	must(t, second(db.Backup(t.Context(), &file, nil)))
	must(t, second(db.Checkpoint(t.Context(), "checkpoint", nil)))
	must(t, endsAsPromised(mem, "checkpoint"))
	must(t, second(db.Ingest(t.Context(), bytes.NewReader(file.Bytes()), nil)))
	must(t, Restore(t.Context(), "restored", &RestoreOptions{Options: o}, &file))
	must(t, endsAsPromised(mem, "restored"))
	must(t, db.Close())
	must(t, endsAsPromised(mem, "db"))
	for _, dir := range []string{"db", "checkpoint", "restored"} {
		for range 2 {
			db, err := Open(dir, o)
			must(t, err)
			must(t, db.Put([]byte("again"), nil))
			mem.Record()
			must(t, db.Close())
			vfstest.EachCrash(t, mem, vfstest.CrashPoints{From: mem.OpCount()}, func(c *vfstest.Crash) error {
				return endsAsPromised(c.FS, dir)
			})
		}
	}
}

// A manifest that says nothing of the log, as an earlier version wrote it, gets to say it when it is opened.
func TestManifestWithoutAnchor(t *testing.T) {
	mem, o := closedDB(t, 10)
	state, err := manifest.Load(mem, "db")
	must(t, err)
	state.Log = wal.Anchor{}
	must(t, manifest.Store(mem, "db", state))
	for _, o := range []*Options{readOnlyOptions(o), o} {
		db, err := Open("db", o)
		must(t, err)
		if n := keys(t, db); n != 10 {
			t.Errorf("%d keys", n)
		}
		if state, err := manifest.Load(mem, "db"); err != nil || (state.Log == wal.Anchor{}) != o.ReadOnly {
			t.Errorf("read-only %v: the manifest says %+v, %v", o.ReadOnly, state.Log, err)
		}
		must(t, db.Close())
	}
	damage(t, mem, segments(t, mem)[0], func(b []byte) []byte { return b[:len(b)-1] })
	refused(t, mem, o, 10)
}

// A second life of a database, after a clean end of the first: whatever a crash leaves of it, what the manifest says of the
// log is true, and nothing of the first life is missing, nor what was synced in the second.
func TestCrashStatesAfterAClose(t *testing.T) {
	eachPolicy(t, func(t *testing.T, policy SyncPolicy) {
		mem, clock := vfstest.NewMem(), newFakeClock()
		o := manualOptions(mem, clock, policy)
		db := openTest(t, o)
		n := 0
		put := func() {
			must(t, db.Put(fmt.Appendf(nil, "key%04d", n), []byte(strings.Repeat("v", 500))))
			n++
		}
		for range 5 {
			put()
		}
		must(t, db.Close())
		first := n
		mem.Record()
		promises := vfstest.NewPromises(mem)
		promised := func() {
			promises.Begin()
			put()
			promises.Done()
		}
		var err error
		db, err = Open("db", o)
		must(t, err)
		for i := range 40 {
			promised()
			if i%13 == 5 {
				must(t, db.Flush())
			}
			if policy == SyncAlways || i%13 == 5 {
				promises.Synced()
			}
		}
		must(t, db.Compact(t.Context()))
		promised()
		must(t, db.Close())
		promises.Synced()
		var tried vfstest.Tried
		vfstest.EachCrash(t, mem, vfstest.CrashPoints{}, func(c *vfstest.Crash) error {
			least, most := promises.At(c)
			if tried.Before(c, [2]int{least, most}) {
				return nil
			}
			db, err := Open("db", manualOptions(c.FS, clock, policy))
			if err != nil {
				return err
			}
			if got := keys(t, db) - first; got < least || got > most {
				return fmt.Errorf("%d keys, want %d to %d", got, least, most)
			}
			return errors.Join(db.Close(), endsAsPromised(c.FS, "db"))
		})
	})
}

// A Close that cannot say where the log ends says so, and the database is whole.
func TestCloseWithoutManifest(t *testing.T) {
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC, vfstest.Short(7, syscall.EIO)} {
		for n := 1; ; n++ {
			mem, clock := vfstest.NewMem(), newFakeClock()
			fault := vfstest.NewFault(mem)
			db := openTest(t, manualOptions(fault, clock, SyncAlways))
			must(t, db.Put([]byte("a"), []byte("1")))
			inject := vfstest.FailNth(vfstest.OpAny, "", n, cause)
			reached := false
			fault.Inject(func(op vfstest.Op) error {
				if !strings.Contains(op.Name, manifest.Name) && (op.Kind != vfstest.OpSyncDir || op.Name != "db") {
					return nil
				}
				err := inject(op)
				reached = reached || err != nil
				return err
			})
			err := db.Close()
			if !reached {
				if n < 6 || err != nil {
					t.Errorf("%d operations, %v", n, err)
				}
				break
			}
			if err == nil || errors.Is(cause, syscall.ENOSPC) != errors.Is(err, ErrNoSpace) {
				t.Errorf("%v at operation %d: %v", cause, n, err)
			}
			again, err := Open("db", manualOptions(mem, clock, SyncAlways))
			must(t, err)
			content{again}.has(t, "a", "1")
			must(t, again.Close())
		}
	}
}
