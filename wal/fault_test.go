package wal

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// faultScript appends to a log on a file system that may fail, until it is done or an append fails for good. It returns
// the entries that were acknowledged, in order, and those that failed and may be there all the same.
func faultScript(fs vfs.FS) (acked []Entry, doubtful []Entry, errs []error) {
	l, _, err := tryOpen(testOptions(fs, SyncAlways))
	if err != nil {
		return nil, nil, []error{err}
	}
	for i := range 24 {
		e := put(i)
		switch err := l.Append(&e); {
		case err == nil:
			acked = append(acked, e)
			if len(doubtful) > 0 {
				errs = append(errs, errors.New("acknowledged after a failure that was not a full disk"))
			}
		case errors.Is(err, ErrNoSpace):
		default:
			doubtful = append(doubtful, e)
			errs = append(errs, err)
		}
	}
	if err := l.Close(); err != nil {
		errs = append(errs, err)
	}
	return acked, doubtful, errs
}

// An I/O error at every single operation of a log's life, and a short write: nothing is acknowledged after it, every later
// append gives the first cause, and after a restart what was acknowledged is there.
func TestErrorAtEveryOperation(t *testing.T) {
	counter := vfstest.NewFault(vfstest.NewMem())
	faultScript(counter)
	for name, cause := range map[string]error{"EIO": syscall.EIO, "short write": vfstest.Short(3, syscall.EIO)} {
		for n := 1; n <= counter.Count(vfstest.OpAny); n++ {
			mem := vfstest.NewMem()
			fault := vfstest.NewFault(mem)
			fault.Inject(vfstest.FailNth(vfstest.OpAny, "", n, cause))
			acked, doubtful, errs := faultScript(fault)
			for _, err := range errs {
				if !errors.Is(err, syscall.EIO) && !errors.Is(err, vfs.ErrLocked) {
					t.Fatalf("%s at operation %d: %v", name, n, err)
				}
			}
			l, got, err := tryOpen(testOptions(mem, SyncAlways))
			if err != nil {
				t.Fatalf("%s at operation %d: reopen: %v", name, n, err)
			}
			if err := isPrefix(got, append(acked, doubtful...)); err != nil || len(got) < len(acked) {
				t.Fatalf("%s at operation %d: %d entries of %d acknowledged: %v", name, n, len(got), len(acked), err)
			}
			closeLog(t, l)
		}
	}
}

// A full disk at every operation and for a while: the appends that fail never happened, the rest goes on.
func TestFullDiskHeals(t *testing.T) {
	counter, made := vfstest.NewFault(vfstest.NewMem()), vfstest.NewFault(vfstest.NewMem())
	faultScript(counter)
	l, _ := open(t, testOptions(made, SyncAlways))
	defer closeLog(t, l)
	for name, cause := range map[string]error{"ENOSPC": syscall.ENOSPC, "short write": vfstest.Short(3, syscall.ENOSPC)} {
		for _, kind := range []vfstest.OpKind{vfstest.OpCreate, vfstest.OpWrite, vfstest.OpRename} {
			for n := made.Count(kind) + 1; n <= counter.Count(kind); n += vfstest.Step(5) {
				for _, length := range []int{1, 5} {
					mem := vfstest.NewMem()
					mem.Record()
					fault := vfstest.NewFault(mem)
					first, last := vfstest.FailFrom(kind, "", n, cause), vfstest.FailFrom(kind, "", n+length, nil)
					fault.Inject(func(op vfstest.Op) error {
						err := first(op)
						if op.Kind == kind && op.N >= n+length {
							return last(op)
						}
						return err
					})
					acked, _, errs := faultScript(fault)
					if len(errs) != 0 {
						t.Fatalf("%s, %d x %v from %d: %v", name, length, kind, n, errs)
					}
					if len(acked) < 23-length {
						t.Fatalf("%s, %d x %v from %d: only %d acknowledged", name, length, kind, n, len(acked))
					}
					points := vfstest.CrashPoints{From: mem.OpCount(), Random: -1}
					if err := vfstest.TryCrashes(mem, points, holds(SyncAlways, acked)); err != nil {
						t.Fatalf("%s, %d x %v from %d: %v", name, length, kind, n, err)
					}
				}
			}
		}
	}
}

// A disk that really fills up, byte by byte, and empties again.
func TestRunningOutOfRoom(t *testing.T) {
	for room := int64(1); room < 2400; room += 61 {
		mem := vfstest.NewMem()
		fault := vfstest.NewFault(mem)
		o := testOptions(fault, SyncAlways)
		var full []error
		o.OnEvent = func(e Event) {
			if f, ok := e.(DiskFull); ok {
				full = append(full, f.Err)
			}
		}
		l, _ := open(t, o)
		fault.SetRoom(room)
		var acked []Entry
		for i := range 60 {
			e := put(i)
			if err := l.Append(&e); err == nil {
				acked = append(acked, e)
			} else if !errors.Is(err, ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("room %d: %v", room, err)
			}
			if i == 40 {
				fault.SetRoom(-1)
			}
		}
		if len(full) == 0 || len(acked) < 19 {
			t.Fatalf("room %d: %d acknowledged, %d times full", room, len(acked), len(full))
		}
		killed := mem.Clone()
		closeLog(t, l)
		for _, fs := range []*vfstest.Mem{killed, mem} {
			l, got := open(t, testOptions(fs, SyncAlways))
			if err := sameEntries(got, acked); err != nil {
				t.Fatalf("room %d: %v", room, err)
			}
			closeLog(t, l)
		}
	}
}

// A killed log opens on a disk without a byte of room, unless there is a torn tail to keep.
func TestOpenOnAFullDisk(t *testing.T) {
	want := puts(0, 20)
	_, killed := smallLog(t, SyncAlways, want)
	fault := vfstest.NewFault(killed)
	fault.SetRoom(0)
	l, got, err := tryOpen(testOptions(fault, SyncAlways))
	if err != nil {
		t.Fatal(err)
	}
	if err := sameEntries(got, want); err != nil {
		t.Error(err)
	}
	e := Entry{Key: []byte("k"), Value: make([]byte, 1000)}
	if err := l.Append(&e); !errors.Is(err, ErrNoSpace) {
		t.Errorf("append: %v", err)
	}
	fault.SetRoom(-1)
	if err := l.Append(&e); err != nil {
		t.Errorf("append with room: %v", err)
	}
	closeLog(t, l)
}

// A failed fsync is never retried: the log says the first cause from then on, and reads go on.
func TestFailedSyncIsFinal(t *testing.T) {
	mem := vfstest.NewMem()
	fault := vfstest.NewFault(mem)
	o := testOptions(fault, SyncNever)
	o.SegmentSize = math.MaxInt64
	var failed []error
	o.OnEvent = func(e Event) {
		if f, ok := e.(Failed); ok {
			failed = append(failed, f.Err)
		}
	}
	l, _ := open(t, o)
	want := puts(0, 5)
	if err := l.AppendAll(want); err != nil {
		t.Fatal(err)
	}
	syncs := fault.Count(vfstest.OpSync)
	fault.Inject(vfstest.FailNth(vfstest.OpSync, "", 1, syscall.EIO))
	if err := l.Sync(); !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Errorf("sync: %v", err)
	}
	e := put(5)
	for name, err := range map[string]error{"append": l.Append(&e), "sync": l.Sync(), "rotate": l.Rotate(), "err": l.Err()} {
		if !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) || !strings.Contains(fmt.Sprint(err), "input/output") {
			t.Errorf("%s after the failure: %v", name, err)
		}
	}
	r, err := l.NewReader(l.First())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := range want {
		if err := r.Next(&e); err != nil || string(e.Key) != string(want[i].Key) && want[i].Kind <= KindDelete {
			t.Errorf("entry %d after the failure: %s, %v", i, e.Key, err)
		}
	}
	if err := l.Close(); !errors.Is(err, syscall.EIO) {
		t.Errorf("close: %v", err)
	}
	if n := fault.Count(vfstest.OpSync); n != syncs+1 {
		t.Errorf("%d syncs after the one that failed", n-syncs-1)
	}
	if len(failed) != 1 {
		t.Errorf("%d events of the failure", len(failed))
	}
}
