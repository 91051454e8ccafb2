package wal

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// A failure that leaves nothing to rely on is final, even when a full disk led to it.
func TestFailuresThatAreFinal(t *testing.T) {
	large := Entry{Key: []byte("k"), Value: make([]byte, 10*minSegmentSize)}
	for _, c := range []struct {
		name string
		kind vfstest.OpKind
		full bool
		do   func(l *Log) error
	}{
		{"cutting a failed append", vfstest.OpTruncate, true, func(l *Log) error { return l.Append(&large) }},
		{"syncing the cut", vfstest.OpSync, true, func(l *Log) error { e := put(0); return l.Append(&e) }},
		{"an append for another reason", vfstest.OpWrite, false, func(l *Log) error { e := put(0); return l.Append(&e) }},
		{"closing the sealed segment", vfstest.OpClose, false, func(l *Log) error { return errors.Join(l.Rotate(), l.Sync()) }},
		{"syncing the sealed segment", vfstest.OpSync, false,
			func(l *Log) error { return errors.Join(l.Prepare(), l.Rotate(), l.Sync()) }},
		{"syncing the directory of the next segment", vfstest.OpSyncDir, false, (*Log).Rotate},
		{"syncing the directory after a removal", vfstest.OpSyncDir, false, func(l *Log) error { return l.DeleteBefore(9) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			fault := vfstest.NewFault(vfstest.NewMem())
			l, _ := open(t, testOptions(fault, SyncNever))
			if err := l.AppendAll(puts(0, 30)); err != nil {
				t.Fatal(err)
			}
			closeLog(t, l)
			l = openTwice(t, testOptions(fault, SyncNever))
			fail := vfstest.FailNth(c.kind, "", 1, syscall.EIO)
			fault.Inject(func(op vfstest.Op) error {
				// The segment's own writes only: a rotation that finds no room for the next one changes nothing.
				if c.full && op.Kind == vfstest.OpWrite && op.Off > 0 {
					return vfstest.Short(3, syscall.ENOSPC)
				}
				if c.full && op.Kind == c.kind && !strings.HasSuffix(op.Name, SegmentSuffix) {
					return nil
				}
				return fail(op)
			})
			if err := c.do(l); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
				t.Errorf("the failure: %v", err)
			}
			fault.Inject(nil)
			e := put(0)
			if err := l.Append(&e); !errors.Is(err, ErrFailed) || e.Seq != 0 {
				t.Errorf("append after it: sequence %d, %v", e.Seq, err)
			}
			if err := l.Close(); !errors.Is(err, ErrFailed) {
				t.Errorf("close: %v", err)
			}
		})
	}
}

// The records of an append that failed for lack of room do not come back behind a later one that is shorter.
func TestFailedAppendsStayAway(t *testing.T) {
	eachPolicy(t, func(t *testing.T, policy SyncPolicy) {
		mem := vfstest.NewMem()
		mem.Record()
		fault := vfstest.NewFault(mem)
		o := testOptions(fault, policy)
		o.SegmentSize = 4096
		l, _ := open(t, o)
		first := put(1)
		if err := l.Append(&first); err != nil {
			t.Fatal(err)
		}
		group := []Entry{put(8), put(8), put(8), put(8)}
		fault.Inject(func(op vfstest.Op) error {
			if op.Kind == vfstest.OpWrite {
				return vfstest.Short(op.Len-1, syscall.ENOSPC)
			}
			return nil
		})
		end := l.End()
		if err := l.AppendAll(group); !errors.Is(err, ErrNoSpace) {
			t.Fatal(err)
		}
		one := put(8)
		if err := l.Append(&one); !errors.Is(err, ErrNoSpace) {
			t.Fatal(err)
		}
		fault.Inject(nil)
		for _, e := range append(group, one) {
			if e.Seq != 0 || e.Pos != (Position{}) {
				t.Errorf("a failed entry is %d at %v", e.Seq, e.Pos)
			}
		}
		if l.End() != end {
			t.Errorf("the log ends at %v, want %v", l.End(), end)
		}
		if l.Synced() != end {
			t.Errorf("synced to %v of %v by the cut", l.Synced(), end)
		}
		crashNow(t, mem, holds(policy, []Entry{first}))
		later := put(8) // as long as each of those that failed
		if err := l.Append(&later); err != nil {
			t.Fatal(err)
		}
		crashNow(t, mem, begins(policy, []Entry{first, later}, 1))
		closeLog(t, l)
	})
}

// Of a group that is larger than a segment and finds the disk full on its way, those with a sequence are in the log.
func TestGroupThatFailsHalfWay(t *testing.T) {
	probe := vfstest.NewFault(vfstest.NewMem())
	l, _ := open(t, testOptions(probe, SyncAlways))
	if err := l.AppendAll(puts(0, 60)); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	for n := 2; n <= probe.Count(vfstest.OpWrite); n++ {
		mem := vfstest.NewMem()
		fault := vfstest.NewFault(mem)
		l, _ := open(t, testOptions(fault, SyncAlways))
		fault.Inject(vfstest.FailNth(vfstest.OpWrite, "", n, syscall.ENOSPC))
		group := puts(0, 60)
		if err := l.AppendAll(group); err == nil {
			closeLog(t, l)
			continue
		} else if !errors.Is(err, ErrNoSpace) {
			t.Fatal(err)
		}
		in := 0
		for in < len(group) && group[in].Seq != 0 {
			in++
		}
		for i := range group[in:] {
			if group[in+i].Seq != 0 {
				t.Errorf("write %d: entry %d has a sequence, entry %d has none", n, in+i, in)
			}
		}
		closeLog(t, l)
		l, es := open(t, testOptions(mem, SyncAlways))
		if err := sameEntries(es, group[:in]); err != nil {
			t.Errorf("write %d: %v", n, err)
		}
		closeLog(t, l)
	}
}

// The group after a healed full disk, and the first of a process that recovered the log, say again what was synced.
func TestWatermarkIsWrittenAgain(t *testing.T) {
	for _, healed := range []bool{true, false} {
		mem := vfstest.NewMem()
		fault := vfstest.NewFault(mem)
		l, _ := open(t, testOptions(fault, SyncAlways))
		want := []Entry{put(0), put(1)}
		for i := range want {
			if err := l.Append(&want[i]); err != nil {
				t.Fatal(err)
			}
		}
		e := put(8)
		if healed {
			fault.Inject(vfstest.FailNth(vfstest.OpWrite, "", 1, syscall.ENOSPC))
			if err := l.Append(&e); !errors.Is(err, ErrNoSpace) {
				t.Fatal(err)
			}
		} else {
			killed := mem.Clone()
			closeLog(t, l)
			mem = killed
			l, _ = open(t, testOptions(mem, SyncAlways))
		}
		if err := l.Append(&e); err != nil {
			t.Fatal(err)
		}
		killed := mem.Clone()
		closeLog(t, l)
		bit := int(want[1].Pos.Offset+5) * 8 // of what was synced last before
		damaged := flipped(t, killed, segmentNames(t, killed)[0], bit)
		if _, _, err := tryOpen(testOptions(damaged, SyncAlways)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("healed %v: damage to what was synced: %v", healed, err)
		}
	}
}

// counted counts the files that are open.
type counted struct {
	vfs.FS
	open int
}

type countedFile struct {
	vfs.File
	fs *counted
}

func (c *counted) count(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	c.open++
	return &countedFile{f, c}, nil
}

func (c *counted) Create(name string) (vfs.File, error) { return c.count(c.FS.Create(name)) }

func (c *counted) Open(name string) (vfs.File, error) { return c.count(c.FS.Open(name)) }

func (c *counted) OpenWrite(name string) (vfs.File, error) { return c.count(c.FS.OpenWrite(name)) }

func (f *countedFile) Close() error {
	f.fs.open--
	return f.File.Close()
}

// Whatever fails, a log that did not open or was closed has no file open.
func TestErrorsLeaveNoFileOpen(t *testing.T) {
	want := puts(0, 29)
	_, killed := smallLog(t, SyncNever, want)
	names := segmentNames(t, killed)
	torn := flipped(t, killed, names[len(names)-1], int(want[len(want)-1].Pos.Offset+5)*8)
	for _, c := range []struct {
		start string
		mem   *vfstest.Mem
	}{{"new", vfstest.NewMem()}, {"torn", torn}} {
		t.Run(c.start, func(t *testing.T) {
			for cause, err := range map[string]error{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC} {
				for n, more := 1, true; more; n++ {
					fault := vfstest.NewFault(c.mem.Clone())
					fault.Inject(vfstest.FailNth(vfstest.OpAny, "", n, err))
					files := &counted{FS: fault}
					if l, _, err := tryOpen(testOptions(files, SyncNever)); err == nil {
						for _, e := range puts(0, 30) {
							_ = l.Append(&e)
						}
						_ = l.Close()
					}
					if files.open != 0 {
						t.Fatalf("%s, %s at operation %d: %d files stay open", c.start, cause, n, files.open)
					}
					more = fault.Count(vfstest.OpAny) >= n
				}
			}
		})
	}
}

// to be merged into TestErrorsLeaveNoFileOpen: {"torn", torn, FirstSegment: 2}
func TestErrorAfterRecoveryLeavesNoFileOpen(t *testing.T) {
	_, killed := smallLog(t, SyncNever, puts(0, 29))
	for n, more := 1, true; more; n++ {
		fault := vfstest.NewFault(killed.Clone())
		fault.Inject(vfstest.FailNth(vfstest.OpAny, "", n, syscall.EIO))
		files := &counted{FS: fault}
		o := testOptions(files, SyncNever)
		o.FirstSegment = 2
		if l, _, err := tryOpen(o); err == nil {
			_ = l.Close()
		}
		if files.open != 0 {
			t.Errorf("EIO at operation %d: %d files stay open", n, files.open)
		}
		more = fault.Count(vfstest.OpAny) >= n
	}
}

func TestCloseOnAFullDiskLeavesNoTornTail(t *testing.T) {
	mem := vfstest.NewMem()
	fault := vfstest.NewFault(mem)
	l, _ := open(t, testOptions(fault, SyncAlways))
	e := put(0)
	if err := l.Append(&e); err != nil {
		t.Fatal(err)
	}
	fault.Inject(vfstest.FailFrom(vfstest.OpWrite, "", 1, vfstest.Short(9, syscall.ENOSPC)))
	closeLog(t, l)
	l, _ = open(t, testOptions(mem, SyncAlways))
	if c := l.Recovery().Cut; c != nil {
		t.Errorf("a torn tail after a close: %+v", c)
	}
	closeLog(t, l)
}

func TestDeleteBeforeGoesOnAfterAFailure(t *testing.T) {
	mem := vfstest.NewMem()
	fault := vfstest.NewFault(mem)
	o := testOptions(fault, SyncAlways)
	var events []Event
	o.OnEvent = func(e Event) { events = append(events, e) }
	l, _ := open(t, o)
	if err := l.AppendAll(puts(0, 60)); err != nil {
		t.Fatal(err)
	}
	fault.Inject(vfstest.FailNth(vfstest.OpRemove, "", 3, syscall.EIO))
	if err := l.DeleteBefore(5); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if last := events[len(events)-1]; last != Event(Deleted{1, 3}) {
		t.Errorf("last event: %+v", last)
	}
	if err := mem.Remove(segmentName("db/wal", 3)); err != nil { // it had happened all the same
		t.Fatal(err)
	}
	if err := l.DeleteBefore(5); err != nil {
		t.Error(err)
	}
	closeLog(t, l)
}
