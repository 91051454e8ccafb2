package ebb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

func TestPrefixEnd(t *testing.T) {
	for _, row := range []struct{ prefix, end string }{
		{"a", "b"}, {"a/", "a0"}, {"a\xff", "b"}, {"a\xff\xff", "b"}, {"\x00", "\x01"}, {"\xfe\xff", "\xff"},
		{"", "none"}, {"\xff", "none"}, {"\xff\xff", "none"},
	} {
		end := PrefixEnd([]byte(row.prefix))
		if end == nil && row.end != "none" || end != nil && string(end) != row.end {
			t.Errorf("of %q: %q, want %q", row.prefix, end, row.end)
		}
	}
}

// places puts keys in turn into a table of the last level, one of level 0, a frozen memtable and the active one.
func places(t *testing.T, db *DB, keys ...string) {
	t.Helper()
	for i, k := range keys {
		must(t, db.Put([]byte(k), []byte("v")))
		switch i {
		case 0:
			must(t, db.Compact(t.Context()))
		case 1:
			must(t, db.Flush())
		case 2:
			turn := db.pipeline.lock()
			must(t, turn.freeze())
			turn.end()
		}
	}
}

// logged returns the last range delete that the log has.
func logged(t *testing.T, db *DB) (start, end []byte) {
	t.Helper()
	changes, err := allChanges(db, 1)
	must(t, err)
	for _, c := range changes {
		if c.Kind == ChangeDeleteRange {
			start, end = c.Key, c.End
		}
	}
	return start, end
}

// A delete to the end reaches behind the last key, wherever that is, and covers what was there and nothing that is written
// later.
func TestDeleteRangeToTheEnd(t *testing.T) {
	keys := []string{"b", "c", "d", "e"}
	for last := range keys {
		t.Run(fmt.Sprint("the last key in place ", last), func(t *testing.T) {
			mem, clock := vfstest.NewMem(), newFakeClock()
			o := manualOptions(mem, clock, SyncAlways)
			o.RetainLog = 1 << 30
			db := openTest(t, o)
			shown := slices.Clone(keys)
			shown[last] = "z"
			places(t, db, shown...)
			s, err := db.Snapshot()
			must(t, err)
			defer s.Close()
			must(t, db.DeleteRange([]byte("c"), nil))
			if start, end := logged(t, db); string(start) != "c" || string(end) != "z\x00" {
				t.Errorf("the log has %q to %q", start, end)
			}
			must(t, db.Put([]byte("zz"), []byte("new")))
			must(t, db.Put([]byte("d"), []byte("new")))
			want := map[bool]string{true: "[d=new zz=new]", false: "[b=v d=new zz=new]"}[last == 0]
			for range 2 {
				if got := entriesShown(t, db); got != want {
					t.Errorf("left: %s, want %s", got, want)
				}
				must(t, db.Compact(t.Context()))
			}
			if got := keysShown(t, s, nil); len(got) != len("[bcde]") {
				t.Errorf("the snapshot shows %s", got)
			}
		})
	}
}

func entriesShown(t *testing.T, db *DB) string {
	t.Helper()
	var list []string
	for e, err := range db.Range(nil) {
		must(t, err)
		list = append(list, fmt.Sprintf("%.20s=%.20s", e.Key, e.Value))
	}
	return fmt.Sprint(list)
}

// Where there is nothing to delete nothing is written: no sequence is taken, and no version told.
func TestDeleteRangeOfNothing(t *testing.T) {
	o := manualOptions(vfstest.NewMem(), newFakeClock(), SyncAlways)
	db := openTest(t, o)
	version := uint64(7)
	told := VersionTo(&version)
	must(t, db.DeleteRange(nil, nil, told)) // there is no key at all
	must(t, db.DeletePrefix(nil, told))
	must(t, db.Put([]byte("k"), nil))
	seq := db.pipeline.mu.lastSeq
	for name, err := range map[string]error{
		"behind the last key":   db.DeleteRange([]byte("k\x00"), nil, told),
		"prefix behind it":      db.DeletePrefix([]byte("\xff"), told),
		"to its start":          db.DeleteRange([]byte("a"), []byte("a"), told),
		"upside down":           db.DeleteRange([]byte("z"), []byte("a"), told),
		"before all keys":       db.DeleteRange(nil, []byte{}, told),
		"with Sync":             db.DeleteRange([]byte("l"), nil, told, Sync),
		"upside down with Sync": db.DeleteRange([]byte("z"), []byte("a"), told, Sync),
	} {
		if err != nil || db.pipeline.mu.lastSeq != seq || version != 7 {
			t.Errorf("%s: %v, sequence %d after %d, version %d", name, err, db.pipeline.mu.lastSeq, seq, version)
		}
	}
	content{db}.has(t, "k", "")
	must(t, db.Close())
	for _, end := range [][]byte{nil, {}} {
		if err := db.DeleteRange(nil, end); !errors.Is(err, ErrClosed) {
			t.Errorf("to %q, closed: %v", end, err)
		}
	}
	ro := openTest(t, readOnlyOptions(o))
	for _, end := range [][]byte{nil, {}, []byte("z")} {
		if err := ro.DeleteRange([]byte("a"), end); !errors.Is(err, ErrReadOnly) {
			t.Errorf("to %q, read-only: %v", end, err)
		}
	}
}

// The longest key there can be is deleted by a range to the end, and every copy of the database is without it: there is no
// end behind it that is as short as a key.
func TestDeleteRangeToTheEndBehindTheLongestKey(t *testing.T) {
	ones := strings.Repeat("\xff", MaxKeySize)
	for _, last := range []string{ones, ones[1:] + "a", ones[1:]} {
		t.Run(fmt.Sprintf("%d bytes, the last %q", len(last), last[len(last)-1:]), func(t *testing.T) {
			ctx, mem, clock := context.Background(), vfstest.NewMem(), newFakeClock()
			o := manualOptions(mem, clock, SyncAlways)
			o.RetainLog = 1 << 30
			db := openTest(t, o)
			must(t, db.Put([]byte("a"), []byte("v")))
			must(t, db.Put([]byte(last), []byte("v")))
			full, info := takeBackup(t, db, nil)
			must(t, db.Flush())
			must(t, db.DeleteRange([]byte("b"), nil))
			must(t, db.Put([]byte("c"), []byte("v")))
			if start, end := logged(t, db); string(start) != "b" || string(end) < last || len(end) > MaxKeySize {
				t.Errorf("the log has %.8q to an end of %d bytes", start, len(end))
			}
			increment, _ := takeBackup(t, db, &BackupOptions{Since: info.Through})
			into := &RestoreOptions{Options: tinyOptions(mem, clock)}
			must(t, Restore(ctx, "restored", into, bytes.NewReader(full), bytes.NewReader(increment)))
			killed := mem.Clone()
			must(t, db.Flush())
			_, err := db.Checkpoint(ctx, "copy", nil)
			must(t, err)
			must(t, db.Verify(ctx))
			must(t, db.Close())
			for _, at := range []struct {
				name string
				fs   *vfstest.Mem
				dir  string
			}{{"after a crash", killed, "db"}, {"after Close", mem, "db"}, {"restored", mem, "restored"}, {"copied", mem, "copy"}} {
				t.Run(at.name, func(t *testing.T) {
					o := *o
					o.fs = at.fs
					db, err := Open(at.dir, &o)
					must(t, err)
					defer db.Close()
					for range 2 {
						if got := entriesShown(t, db); got != "[a=v c=v]" {
							t.Errorf("shows %s", got)
						}
						must(t, db.Compact(ctx))
						must(t, db.Verify(ctx))
					}
				})
			}
		})
	}
}

// DeletePrefix deletes the keys with a prefix and no other, and with ExpiryEvents reports those before that have expired.
func TestDeletePrefix(t *testing.T) {
	for _, events := range []bool{false, true} {
		clock := newFakeClock()
		o := manualOptions(vfstest.NewMem(), clock, SyncAlways)
		o.ExpiryEvents = events
		db := openTest(t, o)
		for _, k := range []string{"a", "a/", "a/1", "a/2", "a0", "\xff", "\xff\xff", "\xffz"} {
			must(t, db.Put([]byte(k), []byte("v")))
		}
		must(t, db.Put([]byte("a/ttl"), nil, TTL(time.Second)))
		must(t, db.Put([]byte("\xff\xffttl"), nil, TTL(time.Second)))
		clock.add(time.Second)
		must(t, db.DeletePrefix([]byte("a/")))
		if got := entriesShown(t, db); got != "[a=v a0=v \xff=v \xffz=v \xff\xff=v]" {
			t.Errorf("left: %q", got)
		}
		must(t, db.DeletePrefix([]byte("\xff\xff")))
		if got := entriesShown(t, db); got != "[a=v a0=v \xff=v \xffz=v]" {
			t.Errorf("left: %q", got)
		}
		must(t, db.DeletePrefix(nil))
		if got := entriesShown(t, db); got != "[]" {
			t.Errorf("left: %q", got)
		}
		if n := db.Stats().ExpiryEvents; events && n != 2 || !events && n != 0 {
			t.Errorf("%d expiries were reported", n)
		}
	}
}

// A crash at any moment leaves a range delete to the end done or not done.
func TestDeleteRangeToTheEndCrashes(t *testing.T) {
	eachPolicy(t, func(t *testing.T, policy SyncPolicy) {
		mem, clock := vfstest.NewMem(), newFakeClock()
		h := record(t, mem, manualOptions(mem, clock, policy), clock, []step{
			putStep("a", "1", 0), putStep("x", "1", 0), flushStep, putStep("y", "1", 0), deleteRangeStep("b", ""), putStep("yy", "2", 0),
			putStep("x", "2", 0), compactStep, deleteRangeStep("x\x00", ""), flushStep, putStep("z", "3", 0), deleteRangeStep("", ""),
			putStep("b", "4", 0),
		}, func(*DB) {})
		eachCrashOfLife(t, mem, h)
	})
}

// Range deletes, of ranges with an end and without, alone, in batches and in transactions, do not have the memtable sorted while
// they hold the commit lock, and take what they must.
func TestDeleteRangeAsksForNoOrder(t *testing.T) {
	db := openTest(t, manualOptions(vfstest.NewMem(), newFakeClock(), SyncNever))
	for i := range 1000 {
		must(t, db.Put(fmt.Appendf(nil, "%03d", i*7%1000), nil))
	}
	must(t, db.DeleteRange([]byte("100"), []byte("200")))
	must(t, db.DeleteRange([]byte("900"), nil))
	var b Batch
	must(t, b.Put([]byte("950"), nil))
	must(t, b.DeleteRange([]byte("800"), []byte("850")))
	must(t, b.DeleteRange([]byte("990"), nil))
	must(t, db.Apply(&b))
	must(t, db.Update(func(tx *Txn) error { return tx.DeleteRange([]byte("860"), nil) }))
	if db.live.View().Mem.InOrder() {
		t.Error("the memtable was put in order")
	}
	n, err := db.Count(nil)
	if must(t, err); n != 100+600+10 {
		t.Errorf("%d keys are left", n)
	}
	if !db.live.View().Mem.InOrder() {
		t.Error("the memtable was not put in order for a scan")
	}
}
