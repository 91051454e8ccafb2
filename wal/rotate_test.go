package wal

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// A rotation whose next segment was made ahead waits for no disk: under the lock that appends take there are copies into
// memory, and nothing else, whatever the policy.
func TestRotationHoldsNoLock(t *testing.T) {
	for _, policy := range []SyncPolicy{SyncAlways, SyncNever} {
		fault := vfstest.NewFault(vfstest.NewMem())
		l, _ := open(t, testOptions(fault, policy))
		locked, free := map[vfstest.OpKind]int{}, map[vfstest.OpKind]int{}
		fault.Inject(func(op vfstest.Op) error {
			if l.locked() {
				locked[op.Kind]++
			} else {
				free[op.Kind]++
			}
			return nil
		})
		for i := range 120 {
			if err := l.Prepare(); err != nil {
				t.Fatal(err)
			}
			e := put(i)
			if err := l.Append(&e); err != nil {
				t.Fatal(err)
			}
			if i%10 == 9 {
				if err := errors.Join(l.Sync(), l.DeleteBefore(l.End().Segment)); err != nil {
					t.Fatal(err)
				}
			}
		}
		rotations := int(l.Stats().Rotations)
		for kind, n := range locked {
			if kind != vfstest.OpWrite {
				t.Errorf("policy %d: %d x %v under the lock, in %d rotations", policy, n, kind, rotations)
			}
		}
		if rotations < 8 || free[vfstest.OpSync] < 2*rotations || free[vfstest.OpSyncDir] < rotations ||
			free[vfstest.OpCreate] < rotations {
			t.Errorf("policy %d: %d rotations, without the lock %v", policy, rotations, free)
		}
		fault.Inject(nil)
		closeLog(t, l)
	}
}

// Appends that outrun the disk wait for it, so that what is on none is bounded.
func TestUnsyncedSegmentsAreFew(t *testing.T) {
	mem := vfstest.NewMem()
	l, _ := open(t, testOptions(mem, SyncNever))
	want := puts(0, 200)
	for i := range want {
		if err := l.Append(&want[i]); err != nil {
			t.Fatal(err)
		}
		if n := l.unsynced.count(); n > maxUnsynced {
			t.Fatalf("%d sealed segments are on no disk", n)
		}
	}
	if n := l.Stats().Rotations; n < 3*maxUnsynced {
		t.Fatalf("%d rotations", n)
	}
	closeLog(t, l)
	l, es := open(t, testOptions(mem, SyncNever))
	if err := sameEntries(es, want); err != nil {
		t.Error(err)
	}
	closeLog(t, l)
}

// What the system has too little of when the next segment is made is no failure: nothing has been touched, and the next
// append tries again.
func TestRotationTriesAgain(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EINTR} {
		for _, kind := range []vfstest.OpKind{vfstest.OpCreate, vfstest.OpMapWrites, vfstest.OpWrite, vfstest.OpSync} {
			mem := vfstest.NewMem()
			fault := vfstest.NewFault(mem)
			l, _ := open(t, testOptions(fault, SyncAlways))
			want := []Entry{put(0), put(1)}
			if err := l.Append(&want[0]); err != nil {
				t.Fatal(err)
			}
			fault.Inject(func(op vfstest.Op) error {
				if op.Kind == kind && strings.HasSuffix(op.Name, "000002"+SegmentSuffix) {
					return cause
				}
				return nil
			})
			for range 2 {
				err := l.Rotate()
				if !errors.Is(err, cause) || errors.Is(err, ErrFailed) || errors.Is(err, ErrNoSpace) != (cause == syscall.ENOSPC) {
					t.Errorf("%v in %v: %v", cause, kind, err)
				}
			}
			fault.Inject(nil)
			if err := errors.Join(l.Rotate(), l.Append(&want[1])); err != nil || want[1].Pos.Segment != 2 {
				t.Errorf("%v in %v: then %v, at %v", cause, kind, err, want[1].Pos)
			}
			closeLog(t, l)
			l, es := open(t, testOptions(mem, SyncAlways))
			if err := sameEntries(es, want); err != nil {
				t.Errorf("%v in %v: %v", cause, kind, err)
			}
			closeLog(t, l)
		}
	}
}

// A segment that was made ahead and not taken is nothing, wherever the process dies, and whoever looks.
func TestUnusedSegment(t *testing.T) {
	mem := vfstest.NewMem()
	l, _ := open(t, testOptions(mem, SyncAlways))
	want := puts(0, 3)
	for i := range want {
		if err := l.Append(&want[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Prepare(); err != nil {
		t.Fatal(err)
	}
	name := segmentName("db/wal", 2)
	if s := l.Stats(); s.Segments != 1 || s.DiskBytes != 2*minSegmentSize {
		t.Errorf("%+v", s)
	}
	killed := mem.Clone()
	if _, err := Salvage(killed, name, nil); !errors.Is(err, ErrUnused) || errors.Is(err, ErrCorrupt) {
		t.Errorf("salvage: %v", err)
	}
	closeLog(t, l)
	if _, err := mem.Size(name); err == nil {
		t.Error("the unused segment is still there after a close")
	}
	again := mem.Clone() // its removal was not durable
	if err := again.WriteFile(name, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		state string
		fs    *vfstest.Mem
	}{{"killed", killed}, {"closed", again}} {
		t.Run(c.state, func(t *testing.T) {
			l, es := open(t, testOptions(c.fs, SyncAlways))
			if err := sameEntries(es, want); err != nil || l.Recovery().Cut != nil || l.Recovery().Clean != (c.state == "closed") {
				t.Errorf("%v, %+v", err, l.Recovery())
			}
			if _, err := c.fs.Size(name); err == nil {
				t.Error("the unused segment is still there")
			}
			closeLog(t, l)
		})
	}
}
