package wal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// A torn tail is cut in no state that a power cut may leave unless its bytes are in the quarantine of that state, whatever
// became of Opens before.
func TestQuarantineIsDurableFirst(t *testing.T) {
	want := puts(0, 8)
	_, killed := smallLog(t, SyncNever, want)
	name := segmentNames(t, killed)[0]
	at := want[5].Pos.Offset
	torn := flipped(t, killed, name, int(at+3)*8)
	data, _ := torn.ReadFile(name)
	tail := bytes.TrimRight(data[at:], "\x00")
	torn.Record()
	l, _ := open(t, testOptions(torn, SyncNever))
	quarantine := l.Recovery().Cut.Quarantine
	vfstest.EachCrash(t, torn, allStates, func(c *vfstest.Crash) error {
		data, err := c.FS.ReadFile(name)
		if err != nil {
			return err
		}
		if kept, _ := c.FS.ReadFile(quarantine); !bytes.Contains(data, tail) && !bytes.Equal(kept, tail) {
			return errors.New("the tail is neither in the log nor kept")
		}
		return nil
	})
	closeLog(t, l)
}

// Segments disappear oldest first: no power cut during DeleteBefore leaves a gap.
func TestDeleteBeforeLeavesNoGap(t *testing.T) {
	mem := vfstest.NewMem()
	l, _ := open(t, testOptions(mem, SyncAlways))
	want := puts(0, 60)
	if err := l.AppendAll(want); err != nil {
		t.Fatal(err)
	}
	mem.Record()
	if err := l.DeleteBefore(5); err != nil {
		t.Fatal(err)
	}
	vfstest.EachCrash(t, mem, allStates, func(c *vfstest.Crash) error {
		l, es, err := tryOpen(testOptions(c.FS, SyncAlways))
		if err != nil {
			return err
		}
		if len(es) == 0 || es[len(es)-1].Seq != want[len(want)-1].Seq {
			return fmt.Errorf("%d entries", len(es))
		}
		return l.Close()
	})
	closeLog(t, l)
	crashNow(t, mem, func(c *vfstest.Crash) error { // after a clean close
		l, es, err := tryOpen(testOptions(c.FS, SyncAlways))
		if err != nil {
			return err
		}
		if !l.Recovery().Clean || es[0].Pos.Segment != 5 {
			return fmt.Errorf("%+v, from segment %d on", l.Recovery(), es[0].Pos.Segment)
		}
		return l.Close()
	})
}

// A segment is deleted when the one to begin with is on the disk, and not before: no power cut leaves a log without a
// beginning, whoever rotates and deletes without a sync.
func TestDeleteBeforeLeavesABeginning(t *testing.T) {
	mem := vfstest.NewMem()
	mem.Record()
	fault := vfstest.NewFault(mem)
	l, _ := open(t, testOptions(fault, SyncNever))
	want := puts(0, 6)
	if _, err := l.Write(want[:3]); err != nil {
		t.Fatal(err)
	}
	before := mem.OpCount()
	if err := errors.Join(l.Rotate(), l.DeleteBefore(l.End().Segment)); err != nil {
		t.Fatal(err)
	}
	if n := l.Stats().Segments; n != 1 {
		t.Errorf("%d segments", n)
	}
	if _, err := l.Write(want[3:]); err != nil {
		t.Fatal(err)
	}
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{From: before, Random: 8}, func(c *vfstest.Crash) error {
		l, es, err := tryOpen(testOptions(c.FS, SyncNever))
		if err != nil {
			return err
		}
		from := want
		if l.First().Segment > 1 {
			from = want[3:]
		}
		for i := range es {
			if i >= len(from) || es[i].Seq != from[i].Seq || !bytes.Equal(es[i].Key, from[i].Key) {
				return fmt.Errorf("entry %d is %+v", i, es[i])
			}
		}
		return l.Close()
	})
	if err := l.Rotate(); err != nil {
		t.Fatal(err)
	}
	fault.Inject(vfstest.FailNth(vfstest.OpSync, SegmentSuffix, 1, syscall.EIO))
	if err := l.DeleteBefore(l.End().Segment); !errors.Is(err, ErrFailed) {
		t.Errorf("what follows cannot be synced: %v", err)
	}
	if n := len(segmentNames(t, mem)); n != 2 {
		t.Errorf("%d segments", n)
	}
	if err := l.Close(); !errors.Is(err, ErrFailed) {
		t.Error(err)
	}
}

// Zeros that were written ahead and never synced are no part of a log: what a power cut leaves of them behind a seal, which was
// not synced either, is none of its damage. Behind one that was, it is.
func TestTornZerosBehindASeal(t *testing.T) {
	mem := vfstest.NewMem()
	mem.Record()
	l, goOn := slowZeros(t, mem)
	want := puts(0, 3)
	if err := l.Rotate(); err != nil { // beside the extension
		t.Fatal(err)
	}
	if err := l.Append(&want[1]); err != nil {
		t.Fatal(err)
	}
	before := mem.OpCount()
	goOn()
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	first := segmentName("db/wal", 1)
	torn := 0
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{From: before, Random: 8}, func(c *vfstest.Crash) error {
		data, err := c.FS.ReadFile(first)
		if err != nil {
			return err
		}
		l, es, err := tryOpen(testOptions(c.FS, SyncNever))
		if err != nil {
			return err
		}
		if len(es) > 0 && len(bytes.TrimRight(data, "\x00")) > zeroChunk {
			torn++
		}
		return errors.Join(isPrefix(es, want), l.Close())
	})
	if torn == 0 {
		t.Error("no power cut has torn the zeros")
	}
	if err := l.Append(&want[2]); err != nil { // with a watermark
		t.Fatal(err)
	}
	synced := mem.Clone()
	data, err := synced.ReadFile(first)
	if err == nil {
		err = synced.WriteFile(first, append(data, "rest"...))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := tryOpen(testOptions(synced, SyncNever)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("bytes behind a seal that was synced: %v", err)
	}
	closeLog(t, l)
}

// A process dies of a failed fsync; the next finds a full disk and, in the page cache, what the kernel holds for clean.
// It writes that again before it relies on it.
func TestFailedSyncThenAFullDisk(t *testing.T) {
	mem := vfstest.NewMem()
	mem.Record()
	fault := vfstest.NewFault(unlocked{mem})
	l := openTwice(t, testOptions(fault, SyncAlways))
	want := puts(0, 4)
	for i := range want[:3] {
		if err := l.Append(&want[i]); err != nil {
			t.Fatal(err)
		}
	}
	fault.Inject(vfstest.FailNth(vfstest.OpSync, SegmentSuffix, 1, syscall.EIO))
	if err := l.Append(&want[3]); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	if err := l.Close(); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	full := vfstest.NewFault(unlocked{mem})
	full.SetRoom(0)
	l, es, err := tryOpen(testOptions(full, SyncAlways))
	if err != nil {
		t.Fatal(err)
	}
	if err := isPrefix(es, want); err != nil || len(es) < 3 {
		t.Fatalf("%d entries: %v", len(es), err)
	}
	crashNow(t, mem, holds(SyncAlways, es))
	closeLog(t, l)
}

// An fsync or a directory sync fails, the process restarts on the warm page cache and goes on, then the power goes.
func TestFailedSyncThenRestartThenPowerCut(t *testing.T) {
	counter := vfstest.NewFault(vfstest.NewMem())
	faultScript(counter)
	for _, kind := range []vfstest.OpKind{vfstest.OpSync, vfstest.OpSyncDir} {
		for n := 1; n <= counter.Count(kind); n++ {
			mem := vfstest.NewMem()
			mem.Record()
			fault := vfstest.NewFault(mem)
			fault.Inject(vfstest.FailNth(kind, "", n, syscall.EIO))
			acked, _, _ := faultScript(fault)
			if len(acked) == 0 {
				continue
			}
			l, got, err := tryOpen(testOptions(mem, SyncAlways))
			if err != nil {
				t.Fatalf("%v %d: %v", kind, n, err)
			}
			for range 3 {
				e := put(len(got))
				if err := l.Append(&e); err != nil {
					t.Fatal(err)
				}
				got = append(got, e)
				points := vfstest.CrashPoints{From: mem.OpCount(), Random: 8}
				if err := vfstest.TryCrashes(mem, points, holds(SyncAlways, got)); err != nil {
					t.Fatalf("%v %d of %d: %v", kind, n, counter.Count(kind), err)
				}
			}
			closeLog(t, l)
		}
	}
}

func (d dying) SyncDir(name string) error {
	if strings.HasSuffix(name, quarantineName) {
		panic("dead")
	}
	return d.unlocked.SyncDir(name)
}

func TestQuarantineOfADeadOpenIsMadeDurable(t *testing.T) {
	want := puts(0, 8)
	_, killed := smallLog(t, SyncNever, want)
	torn := flipped(t, killed, segmentNames(t, killed)[0], int(want[5].Pos.Offset+3)*8)
	torn.Record()
	func() {
		defer func() { _ = recover() }()
		_, _, _ = tryOpen(testOptions(dying{unlocked{torn}}, SyncNever))
	}()
	l, _, err := tryOpen(testOptions(unlocked{torn}, SyncNever))
	if err != nil {
		t.Fatal(err)
	}
	kept := l.Recovery().Cut.Quarantine
	closeLog(t, l)
	crashNow(t, torn, func(c *vfstest.Crash) error {
		_, err := c.FS.ReadFile(kept)
		return err
	})
}

// A process dies at any operation; the next finds the page cache as it was, goes on, and dies at any operation; one more
// appends, and the power goes at any operation of that. Nothing that was acknowledged under SyncAlways is lost.
func TestKilledThenPowerCutAtEveryOperation(t *testing.T) {
	var tried vfstest.Tried
	states, different := 0, 0
	firstOps := -1
	for first, firstDied := 1, true; firstDied; first++ {
		mem := vfstest.NewMem()
		mem.Record()
		if _, firstDied = liveUntil(t, mem, SyncAlways, first); mem.OpCount() == firstOps {
			continue // the operation that it died before would have changed nothing
		}
		firstOps = mem.OpCount()
		secondOps := -1
		for second, secondDied := 1, true; secondDied; second += vfstest.Step(17) {
			mem := vfstest.NewMem()
			mem.Record()
			liveUntil(t, mem, SyncAlways, first)
			if _, secondDied = liveUntil(t, mem, SyncAlways, second); mem.OpCount() == secondOps {
				continue
			}
			secondOps = mem.OpCount()
			l, got, err := tryOpen(testOptions(unlocked{mem}, SyncAlways))
			if err != nil {
				t.Fatalf("killed at %d and %d: %v", first, second, err)
			}
			before := mem.OpCount()
			e := put(len(got))
			if err := l.Append(&e); err != nil {
				t.Fatal(err)
			}
			all := append(got, e)
			err = vfstest.TryCrashes(mem, vfstest.CrashPoints{From: before, Random: 1}, func(c *vfstest.Crash) error {
				states++
				least := len(got)
				if c.Last {
					least = len(all)
				}
				if tried.Before(c, bounds{least, len(all)}) {
					return nil
				}
				different++
				return begins(SyncAlways, all, least)(c)
			})
			if err != nil {
				t.Fatalf("killed at %d and %d: %v", first, second, err)
			}
		}
	}
	t.Logf("%d states, %d of them different", states, different)
}
