package lsm

import (
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb/compaction"
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// A flush: the manifest on the disk, the one in memory and the view say the same, and readers see no gap.
func TestCommitFlush(t *testing.T) {
	b := newBench(t)
	b.View().Mem.SetWriter(manifest.Writer{ID: 7, Sequence: 3, Version: 1, Used: 1000})
	table := b.flush("a", "b")
	b.put("c")
	v := b.View()
	equal(t, "level 0", v.Version.Levels[0], []*compaction.Table{table})
	equal(t, "files", b.files(), fileNames(table))
	if len(v.Frozen) != 0 || b.changed != 1 {
		t.Errorf("%d memtables wait, %d changes", len(v.Frozen), b.changed)
	}
	for _, s := range []*manifest.State{b.stored(), new(b.Manifest())} {
		if s.FirstSegment != v.Mem.Segment || s.LastSeq != 2 || s.NextFile <= table.File || len(s.Writers) != 1 || s.Log.Segment != 2 {
			t.Errorf("%+v", s)
		}
		equal(t, "tables", s.Tables, []manifest.Table{{Level: 0, File: table.File, Size: table.Size, Entries: 2}})
	}
	b.reads(v, b.seq, "a", "a@1")
	b.reads(v, b.seq, "c", "c@3")
	b.reads(v, 2, "c", "")
}

// unlocked reports whether nobody holds mu.
//
// +checklocksignore: checklocks does not know TryLock.
func (b *bench) unlocked() bool {
	ok := b.Set.mu.TryLock()
	if ok {
		b.Set.mu.Unlock()
	}
	return ok
}

// Nobody waits for the disk who asks for a number of a file, the manifest or a pin: no file is touched under mu.
func TestNoFileIsTouchedUnderTheLock(t *testing.T) {
	b := newBench(t)
	var touched atomic.Int64
	watch := func(op vfstest.Op) error {
		touched.Add(1)
		for range 1_000_000 { // another goroutine may have the lock for a moment
			if b.unlocked() {
				return nil
			}
			runtime.Gosched()
		}
		t.Errorf("%v %s under the lock", op.Kind, op.Name)
		return nil
	}
	b.fault.Inject(watch)
	must(t, b.RemoveOrphans())
	first := b.flush("a")
	files, _ := b.PinFiles()
	second := b.flush("b")
	must(t, b.Commit(&Edit{Remove: []*compaction.Table{first}}))
	files.Unpin()
	view, _, _ := b.Pin()
	must(t, b.Commit(&Edit{Remove: []*compaction.Table{second}}))
	b.Unpin(view)
	b.segment++
	must(t, b.StoreAnchor())
	b.put("c")
	e := b.flushEdit()
	b.fault.Inject(func(op vfstest.Op) error {
		if err := watch(op); err != nil || op.Kind != vfstest.OpRename {
			return err
		}
		return syscall.EIO
	})
	if err := b.Commit(e); err == nil {
		t.Error("a commit whose outcome is unknown succeeds")
	}
	b.fault.Inject(watch)
	b.close()
	if touched.Load() < 50 {
		t.Errorf("%d operations on files", touched.Load())
	}
}

// A number that is given out while a manifest is stored is not given out again; files pinned meanwhile are there.
func TestNumbersWhileStoring(t *testing.T) {
	b := newBench(t)
	for _, when := range []vfstest.OpKind{vfstest.OpRename, vfstest.OpRemove} {
		b.flush("a")
		first := b.View().Version.Levels[0][0]
		var n uint64
		b.fault.Inject(func(op vfstest.Op) error {
			if n == 0 && op.Kind == when && (when == vfstest.OpRename || strings.HasSuffix(op.Name, ".tbl")) {
				n = b.nextFile()
				p, _ := b.PinFiles()
				defer p.Unpin()
				for _, f := range p.Tables {
					if _, err := b.fault.Size(b.config.Dir.Table(f.File)); err != nil {
						t.Error(err)
					}
				}
			}
			return nil
		})
		must(t, b.Commit(&Edit{Remove: []*compaction.Table{first}}))
		b.fault.Inject(nil)
		if got := b.nextFile(); n == 0 || got <= n {
			t.Errorf("%v: number %d after %d", when, got, n)
		}
	}
}

// Close waits for a table that an Unpin closes.
func TestCloseWaitsForClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		first := b.flush("a")
		files, _ := b.PinFiles() // so that the name stays until the close
		view, _, _ := b.Pin()
		must(t, b.Commit(&Edit{Remove: []*compaction.Table{first}}))
		files.Unpin()
		synctest.Wait()
		gate := make(chan struct{})
		b.fault.Inject(func(op vfstest.Op) error {
			if op.Kind == vfstest.OpRemove {
				<-gate
			}
			return nil
		})
		go b.Unpin(view)
		synctest.Wait()
		done := false
		go func() { b.close(); done = true }()
		synctest.Wait()
		if done {
			t.Error("Close has not waited")
		}
		close(gate)
		synctest.Wait()
		if !done || len(b.files()) != 0 {
			t.Error(done, b.files())
		}
	})
}

// Where Commit fails before the manifest is renamed, nothing has changed, and what was built is gone. Another commit succeeds.
func TestCommitFailsBeforeTheRename(t *testing.T) {
	for _, c := range []struct {
		name   string
		kind   vfstest.OpKind
		suffix string
	}{
		{"create", vfstest.OpCreate, ".tmp"}, {"write", vfstest.OpWrite, ".tmp"}, {"sync", vfstest.OpSync, ".tmp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			old := b.flush("a")
			b.put("b")
			e := b.flushEdit()
			before, view, changed := b.stored(), b.View(), b.changed
			b.fault.Inject(vfstest.FailNth(c.kind, c.suffix, 1, syscall.ENOSPC))
			if err := b.Commit(e); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("%v", err)
			}
			b.fault.Inject(nil)
			if b.failed != nil {
				t.Errorf("failed for good: %v", b.failed)
			}
			if b.View() != view || b.changed != changed {
				t.Error("the view has changed")
			}
			equal(t, "the manifest", b.stored().Tables, before.Tables)
			equal(t, "files", b.files(), fileNames(old))
			again := *e
			again.Add = b.build(e.Flushed)
			must(t, b.Commit(&again))
			b.reads(b.View(), b.seq, "b", "b@2")
			equal(t, "files", b.files(), fileNames(old, again.Add[0]))
		})
	}
}

// Where it is unknown whether the manifest was replaced, the view stays, the files of both manifests stay, and nothing is
// committed any more.
func TestCommitUncertain(t *testing.T) {
	for _, kind := range []vfstest.OpKind{vfstest.OpRename, vfstest.OpSyncDir} {
		b := newBench(t)
		old := b.flush("a")
		e := &Edit{Remove: []*compaction.Table{old}, Add: b.flushEdit2("b"), Level: 0}
		view := b.View()
		b.fault.Inject(func(op vfstest.Op) error {
			if op.Kind == kind {
				return syscall.EIO
			}
			return nil
		})
		err := b.Commit(e)
		b.fault.Inject(nil)
		if !errors.Is(err, errFailed) || !errors.Is(err, manifest.ErrUncertain) {
			t.Fatalf("%v: %v", kind, err)
		}
		if b.View() != view {
			t.Error("the view has changed")
		}
		equal(t, "files", b.files(), fileNames(old, e.Add[0]))
		another := b.flushEdit2("c")
		if err := b.Commit(&Edit{Add: another}); !errors.Is(err, errFailed) {
			t.Errorf("after a failure for good: %v", err)
		}
		equal(t, "files", b.files(), fileNames(old, e.Add[0]))
	}
}

// flushEdit2 builds tables of some puts that are in no memtable of the set.
func (b *bench) flushEdit2(keys ...string) []*compaction.Table {
	b.put(keys...)
	return b.build(b.View().Mem)
}

// A move: tables that were live stay open, and one that could not be moved is not removed.
func TestCommitMove(t *testing.T) {
	b := newBench(t)
	table := b.flush("a")
	tables := []*compaction.Table{table}
	b.fault.Inject(vfstest.FailNth(vfstest.OpCreate, ".tmp", 1, syscall.ENOSPC))
	if err := b.Commit(&Edit{Remove: tables, Add: tables, Level: 6}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	b.fault.Inject(nil)
	equal(t, "files", b.files(), fileNames(table))
	must(t, b.Commit(&Edit{Remove: tables, Add: tables, Level: 6}))
	b.workers.Wait()
	equal(t, "the last level", b.View().Version.Levels[6], tables)
	equal(t, "files", b.files(), fileNames(table))
	if !b.isOpen(table) {
		t.Error("the table is closed")
	}
	b.reads(b.View(), b.seq, "a", "a@1")
}

// Tables that are replaced lose their names at once, and are closed when the last reader is done: one that entered before, one
// that has pinned the view, and one that has pinned it again.
func TestTablesAreClosedAfterTheLastReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		old := b.flush("a")
		b.workers.Wait() // two that wait for the epoch are too many for a bubble: a mutex stops its clock
		ticket, entered, _, ok := b.EnterNewest(3)
		pinned, seq, ok2 := b.Pin()
		if !ok || !ok2 || seq != 1 || entered != pinned {
			t.Fatal("not entered")
		}
		pinned.Pin()
		must(t, b.Commit(&Edit{Remove: []*compaction.Table{old}, Level: 0}))
		equal(t, "files", b.files(), nil)
		left := func(what string, want bool, pins int) {
			t.Helper()
			time.Sleep(time.Second) // of the bubble's time
			synctest.Wait()
			r := b.Replaced()
			if b.isOpen(old) != want || r.Pins != pins || (r.Tables == 1) != want || (r.Bytes == old.Size) != want {
				t.Errorf("%s: open %v, %+v", what, b.isOpen(old), r)
			}
		}
		left("three readers", true, 3) // that of the set itself waits for the one that has entered
		b.reads(entered, 1, "a", "a@1")
		b.Exit(ticket)
		left("two pins", true, 2)
		b.Unpin(pinned)
		left("one pin", true, 1)
		b.reads(pinned, 1, "a", "a@1")
		b.Unpin(pinned)
		left("no reader", false, 0)
		b.close()
	})
}

// Unpin of a reference by which others read waits for them if the tables may go with it, and only then.
func TestUnpinShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		old := b.flush("a")
		b.workers.Wait()
		live, _, _ := b.Pin()
		gone, _, _ := b.Pin()
		ticket, _ := b.Enter(4) // as a Get on a snapshot
		b.UnpinShared(live)     // does not wait
		b.Exit(ticket)
		must(t, b.Commit(&Edit{Remove: []*compaction.Table{old}, Level: 0}))
		b.workers.Wait()
		ticket, _ = b.Enter(5)
		done := false
		go func() {
			b.UnpinShared(gone)
			done = true
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		if done || !b.isOpen(old) {
			t.Error("the table is closed under a reader")
		}
		b.Exit(ticket)
		time.Sleep(time.Second)
		synctest.Wait()
		if !done || b.isOpen(old) {
			t.Error("the table is open though nobody reads it")
		}
		b.close()
	})
}

// While files are pinned, tables that are replaced keep their names; they go with the last reference.
func TestPinFiles(t *testing.T) {
	b := newBench(t)
	old := b.flush("a")
	first, ok := b.PinFiles()
	second, ok2 := b.PinFiles()
	if !ok || !ok2 || len(first.Tables) != 1 || first.Tables[0].File != old.File || first.LastSeq != 1 {
		t.Fatalf("%+v", first.State)
	}
	must(t, b.Commit(&Edit{Remove: []*compaction.Table{old}, Level: 0}))
	equal(t, "files", b.files(), fileNames(old))
	must(t, b.fault.Link(dir.Dir("db").Table(old.File), "db/linked"))
	first.Unpin()
	equal(t, "with one pin", b.files(), fileNames(old))
	second.Unpin()
	b.workers.Wait()
	equal(t, "without a pin", b.files(), nil)
	next := b.flush("b")
	must(t, b.Commit(&Edit{Remove: []*compaction.Table{next}, Level: 0}))
	equal(t, "afterwards names go at once", b.files(), nil)
	b.close()
	if _, ok := b.PinFiles(); ok {
		t.Error("pinned files of a closed set")
	}
}

// A table whose file cannot be removed at once is removed when it is closed; one that cannot be removed then is reported.
func TestTablesThatCannotBeRemoved(t *testing.T) {
	b := newBench(t)
	one, two := b.flush("a"), b.flush("b")
	b.fault.Inject(vfstest.FailNth(vfstest.OpRemove, dir.TableSuffix, 1, syscall.EBUSY))
	must(t, b.Commit(&Edit{Remove: []*compaction.Table{one}, Level: 0}))
	b.workers.Wait()
	equal(t, "files", b.files(), fileNames(two))
	b.fault.Inject(vfstest.FailFrom(vfstest.OpRemove, dir.TableSuffix, 1, syscall.EBUSY))
	must(t, b.Commit(&Edit{Remove: []*compaction.Table{two}, Level: 0}))
	b.workers.Wait()
	b.fault.Inject(nil)
	if len(b.reports) != 1 || !errors.Is(b.reports[0], syscall.EBUSY) {
		t.Errorf("reported: %v", b.reports)
	}
	b.reports = nil
	equal(t, "files", b.files(), fileNames(two))
	must(t, b.RemoveOrphans())
	equal(t, "files", b.files(), nil)
}

// Orphans go, other files stay, and no later table gets the number of one.
func TestRemoveOrphans(t *testing.T) {
	b := newBench(t)
	table := b.flush("a")
	for _, name := range []string{"000099.tbl", "notes.txt", "x.tbl"} {
		f, err := b.fault.Create("db/tables/" + name)
		must(t, err)
		must(t, f.Close())
	}
	must(t, b.RemoveOrphans())
	equal(t, "files", b.files(), append(fileNames(table), "notes.txt", "x.tbl"))
	if next := b.flush("b"); next.File != 100 {
		t.Errorf("the next table is %d", next.File)
	}
}

// A read-only set takes what is open over from one view to the next, closes what it has not taken over, and removes nothing.
func TestLoader(t *testing.T) {
	b := newBench(t)
	kept, gone := b.flush("a"), b.flush("b")
	first := b.stored()
	must(t, b.Commit(&Edit{Remove: []*compaction.Table{gone}, Level: 0}))
	added := b.flush("c")
	second := b.stored()
	b.close()
	b.closed.Store(false)
	t.Cleanup(b.close)
	if _, err := b.fault.Open(dir.Dir("db").Table(gone.File)); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}

	b.open(second, true)
	v := b.View()
	b.reads(v, b.seq, "a", "a@1")
	b.reads(v, b.seq, "c", "c@3")
	if _, seq, ok := b.Pin(); !ok || seq != b.seq {
		t.Errorf("pinned as of %d, %v", seq, ok)
	}
	opens := 0
	b.fault.Inject(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpOpen {
			opens++
		}
		return nil
	})
	l := b.NewLoader()
	if err := l.Load(first); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a table that is missing: %v", err)
	}
	must(t, l.Load(second))
	l.Publish(NewMem(v.Mem.Hint(), b.segment, 0), nil, 9, v.Log)
	l.Close()
	if opens != 1 {
		t.Errorf("%d files were opened", opens)
	}
	if b.View() == v || b.View().Version.Levels[0][0] != v.Version.Levels[0][0] {
		t.Error("tables that are open have been opened again")
	}
	b.fault.Inject(nil)
	equal(t, "files", b.files(), fileNames(kept, added))
	b.Unpin(v)
}

// A table that is not what the manifest says is damage.
func TestLoaderRefusesOtherTables(t *testing.T) {
	b := newBench(t)
	b.flush("a")
	state := b.Manifest()
	for name, change := range map[string]func(*manifest.State){
		"entries":  func(s *manifest.State) { s.Tables[0].Entries++ },
		"size":     func(s *manifest.State) { s.Tables[0].Size++ },
		"identity": func(s *manifest.State) { s.Database[0]++ },
		"missing":  func(s *manifest.State) { s.Tables[0].File = 50 },
	} {
		other := state
		other.Tables = slices.Clone(state.Tables)
		change(&other)
		l := &Loader{set: b.Set, tables: make(map[uint64]*compaction.Table), opened: make(map[*compaction.Table]bool)}
		err := l.Load(&other)
		isCorrupt(t, name, err)
		if len(l.opened) != 0 {
			t.Errorf("%s: the table is open", name)
		}
		l.Close()
	}
}
