package ebb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ebbdb/ebb/internal/draft"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// what returns the operations of a batch as text.
func what(b *Batch) string {
	var list []string
	for o := range b.All() {
		end := string(o.End)
		if o.Kind == BatchDeleteRange && o.End == nil {
			end = "no end"
		}
		text := fmt.Sprintf("%v %s-%s=%s %v %d", o.Kind, o.Key, end, o.Value, o.TTL, o.Deadline)
		if o.KeepTTL {
			text += " keep"
		}
		if o.Condition != (WriteOption{}) {
			text += fmt.Sprint(" ", o.Condition)
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

// A batch tells what is in it, and can be added to another, or to itself.
func TestBatchAll(t *testing.T) {
	var a, b Batch
	must(t, a.Put([]byte("k"), []byte("v")))
	must(t, a.Put([]byte("t"), nil, TTL(time.Minute)))
	must(t, a.Put([]byte("u"), nil, ExpireAt(time.UnixMilli(77))))
	must(t, a.SetWriter(1, 0))
	var c Batch
	must(t, c.Put([]byte("k"), []byte("v"), KeepTTL, IfVersion(7)))
	must(t, c.Put([]byte("k"), []byte("v"), TTL(1), IfAbsent))
	must(t, c.Delete([]byte("k"), IfPresent))
	must(t, c.Expire([]byte("k"), time.Second, IfVersion(8)))
	must(t, c.Persist([]byte("k")))
	if got := what(&c); got != "put k-=v 0s 0 keep IfVersion(7), put k-=v 1ns 0 IfAbsent, delete k-= 0s 0 IfPresent, "+
		"expire k-= 1s 0 IfVersion(8), expire k-= 0s 0" {
		t.Error(got)
	}
	must(t, b.Delete([]byte("d")))
	must(t, b.DeleteRange([]byte("e"), []byte("f")))
	must(t, b.DeleteRange(nil, []byte("f")))
	must(t, b.DeleteRange([]byte("g"), nil))
	must(t, b.DeletePrefix([]byte("p/")))
	must(t, b.DeletePrefix([]byte("\xff")))
	for name, err := range map[string]error{"to its start": b.DeleteRange([]byte("a"), []byte("a")),
		"upside down": b.DeleteRange([]byte("z"), []byte("a")), "before all keys": b.DeleteRange(nil, []byte{})} {
		must(t, err)
		if b.Len() != 6 {
			t.Errorf("%s: %d operations", name, b.Len())
		}
	}
	const wantA = "put k-=v 0s 0, put t-= 1m0s 0, put u-= 0s 77"
	const wantB = "delete d-= 0s 0, delete range e-f= 0s 0, delete range -f= 0s 0, delete range g-no end= 0s 0, " +
		"delete range p/-p0= 0s 0, delete range \xff-no end= 0s 0"
	if what(&a) != wantA || what(&b) != wantB {
		t.Errorf("%s\n%s", what(&a), what(&b))
	}
	if a.Size() != 4+3*draft.Overhead || b.Size() != 1+2+1+1+4+1+6*draft.Overhead {
		t.Errorf("sizes %d, %d", a.Size(), b.Size())
	}
	size := a.Size() + b.Size()
	must(t, b.Append(&a))
	if what(&b) != wantB+", "+wantA || b.Len() != 9 || b.Size() != size || b.writer.set || a.Len() != 3 {
		t.Errorf("appended: %s, %d bytes, %v", what(&b), b.Size(), b.writer)
	}
	must(t, b.Append(&b))
	if what(&b) != wantB+", "+wantA+", "+wantB+", "+wantA || b.Len() != 18 || b.Size() != 2*size {
		t.Errorf("appended to itself: %s, %d bytes", what(&b), b.Size())
	}
	for range b.All() {
		break
	}
	b.Reset()
	if what(&b) != "" || b.Len() != 0 || b.Size() != 0 {
		t.Errorf("reset: %s, %d bytes", what(&b), b.Size())
	}
	huge := Batch{size: MaxBatchSize - a.size + 1}
	if err := huge.Append(&a); !errors.Is(err, ErrBatchTooLarge) || huge.Len() != 0 {
		t.Errorf("beyond the limit: %v", err)
	}
}

// Ranges of a batch cover what was there and what the batch has put before them, and nothing after; with no end too, in an
// empty database, behind the last key, and behind the longest. Logs, tables, watchers and copies agree.
func TestBatchRanges(t *testing.T) {
	longest := strings.Repeat("\xff", MaxKeySize)
	for _, row := range []struct {
		name  string
		there []string
		add   func(*Batch) error
		want  string
		ops   uint64
	}{
		{"between", []string{"a", "b", "c"}, func(b *Batch) error {
			return errors.Join(b.Put([]byte("bb"), nil), b.DeleteRange([]byte("b"), []byte("c")), b.Put([]byte("bbb"), []byte("new")))
		}, "[a=v bbb=new c=v]", 3},
		{"to the end", []string{"a", "b", "y"}, func(b *Batch) error {
			return errors.Join(b.Put([]byte("z"), nil), b.DeleteRange([]byte("b"), nil), b.Put([]byte("c"), []byte("new")))
		}, "[a=v c=new]", 3},
		{"in an empty database", nil, func(b *Batch) error { return b.DeleteRange(nil, nil) }, "[]", 1},
		{"of what the batch puts", nil, func(b *Batch) error {
			return errors.Join(b.Put([]byte("z"), nil), b.DeletePrefix(nil), b.Put([]byte("z"), []byte("new")))
		}, "[z=new]", 3},
		{"behind the last key", []string{"a"}, func(b *Batch) error { return b.DeleteRange([]byte("b"), nil) }, "[a=v]", 1},
		{"behind the longest key", []string{"a", "b", longest}, func(b *Batch) error {
			return errors.Join(b.DeleteRange([]byte("b"), nil), b.Put([]byte("c"), []byte("new")))
		}, "[a=v c=new]", 3},
		{"behind the longest key of the batch", []string{"a", "b"}, func(b *Batch) error {
			return errors.Join(b.Put([]byte(longest), nil), b.DeleteRange([]byte("b"), nil), b.DeleteRange([]byte(longest), nil))
		}, "[a=v]", 4},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx, mem := t.Context(), vfstest.NewMem()
			o := manualOptions(mem, newFakeClock(), SyncAlways)
			o.RetainLog = 1 << 30
			db := openTest(t, o)
			for _, k := range row.there {
				must(t, db.Put([]byte(k), []byte("v")))
			}
			must(t, db.Flush())
			full, info := takeBackup(t, db, nil)
			before := lastSeq(db)
			var b Batch
			must(t, errors.Join(row.add(&b), b.SetWriter(5, 0)))
			var version uint64
			for range 2 { // a repetition changes nothing
				must(t, db.Apply(&b, VersionTo(&version)))
			}
			if n := lastSeq(db) - before; n != row.ops || version != lastSeq(db) {
				t.Errorf("%d operations, version %d", n, version)
			}
			watched, err := allChanges(db, 1)
			must(t, err)
			m := newModel(newFakeClock())
			m.change(watched...)
			must(t, m.compare(db, 0))
			increment, _ := takeBackup(t, db, &BackupOptions{Since: info.Through})
			files := []io.Reader{bytes.NewReader(full), bytes.NewReader(increment)}
			if info.Through == 0 {
				files = files[1:] // since 0: a full one
			}
			must(t, Restore(ctx, "restored", &RestoreOptions{Options: tinyOptions(mem, newFakeClock())}, files...))
			killed := mem.Clone()
			must(t, db.Compact(ctx))
			must(t, db.Verify(ctx))
			must(t, db.Close())
			for _, at := range []struct {
				name string
				fs   *vfstest.Mem
				dir  string
			}{{"after a crash", killed, "db"}, {"after Close", mem, "db"}, {"restored", mem, "restored"}} {
				o := *o
				o.fs = at.fs
				db, err := Open(at.dir, &o)
				must(t, err)
				if got := entriesShown(t, db); got != row.want {
					t.Errorf("%s: %s, want %s", at.name, got, row.want)
				}
				must(t, db.Apply(&b)) // the writer is known everywhere
				if got := entriesShown(t, db); got != row.want {
					t.Errorf("%s, repeated: %s", at.name, got)
				}
				must(t, db.Close())
			}
		})
	}
}

// A version that has expired is reported once, whichever operations of a batch delete it.
func TestBatchReportsOnce(t *testing.T) {
	clock := newFakeClock()
	o := manualOptions(vfstest.NewMem(), clock, SyncAlways)
	o.ExpiryEvents, o.RetainLog = true, 1<<30
	db := openTest(t, o)
	must(t, db.reporter.catchUp())
	for _, k := range []string{"a", "b", "c", "d"} {
		must(t, db.Put([]byte(k), nil, TTL(time.Second)))
	}
	must(t, db.Flush())
	clock.add(time.Second)
	var b Batch
	must(t, b.Delete([]byte("a")))
	must(t, b.DeleteRange([]byte("a"), []byte("c")))
	must(t, b.DeleteRange([]byte("b"), nil))
	must(t, b.Put([]byte("b"), nil))
	turn := db.pipeline.lock() // as where they have expired since the batch has begun: nobody else has reported them
	_, err := b.prepare(db.clock)
	must(t, err)
	e, err := b.encodeIn(turn)
	must(t, err)
	due, err := db.reporter.overwrittenBy(&e, clock.ms())
	turn.end()
	if err != nil || len(due) != 4 {
		t.Errorf("to report: %v, %v", due, err)
	}
	must(t, db.Apply(&b))
	changes, err := allChanges(db, 1)
	must(t, err)
	expired := 0
	for _, c := range changes {
		if c.Kind == ChangeExpire {
			expired++
		}
	}
	if n := db.Stats().ExpiryEvents; n != 4 || expired != 4 {
		t.Errorf("%d expiries are reported, %d are in the log", n, expired)
	}
}

// A batch takes memory for its operations twice, as they are added and as they are encoded, however many there are: beside
// what the memtable takes, which Options.Memory bounds.
func TestLargeBatchMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's slices.Grow allocates twice")
	}
	const n, size = 60_000, 16 + 270
	for _, ttl := range [][]WriteOption{nil, {TTL(time.Hour)}} {
		o := manualOptions(vfs.OS, newFakeClock(), SyncNever)
		o.memtableSize, o.segmentSize = 64<<20, 64<<20
		db, err := Open(t.TempDir(), o)
		must(t, err)
		must(t, db.Put([]byte("first"), nil)) // makes what is made once
		key, value := make([]byte, 16), make([]byte, 270)
		start := allocated()
		var b Batch
		for i := range n {
			must(t, b.Put(fmt.Appendf(key[:0], "key%013d", i), value, ttl...))
		}
		e, err := b.prepare(db.clock)
		must(t, err)
		encoded := slices.Clip(e.Value)
		total := allocated() - start
		if limit := uint64(2*n*(size+16) + 2*1<<20); total > limit {
			t.Errorf("a batch of %d bytes, %d encoded, has allocated %d, want at most %d", n*size, len(encoded), total, limit)
		}
		start = allocated()
		must(t, db.Apply(&b))
		total = allocated() - start
		if limit := uint64(db.pipeline.mu.mem.Size()) * 3 / 2; total > limit {
			t.Errorf("Apply of %d bytes has allocated %d, the memtable has %d", n*size, total, db.pipeline.mu.mem.Size())
		}
		t.Logf("Apply has allocated %d for a memtable of %d", total, db.pipeline.mu.mem.Size())
		must(t, db.Close())
	}
}

// allocated returns how many bytes have been allocated so far.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
