package wal

import (
	"bytes"
	"errors"
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
	crashes := torn.Crashes(*crashSeed, *crashRandom)
	for k := range crashes.OpCount() + 1 {
		for state := range crashes.At(k) {
			data, err := state.FS.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if kept, _ := state.FS.ReadFile(quarantine); !bytes.Contains(data, tail) && !bytes.Equal(kept, tail) {
				t.Errorf("after operation %d, %s: the tail is neither in the log nor kept", k, state.Name)
			}
		}
	}
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
	crashes := mem.Crashes(*crashSeed, *crashRandom)
	for k := range crashes.OpCount() + 1 {
		for state := range crashes.At(k) {
			l, es, err := tryOpen(testOptions(state.FS, SyncAlways))
			if err != nil {
				t.Fatalf("after operation %d, %s: %v", k, state.Name, err)
			}
			if len(es) == 0 || es[len(es)-1].Seq != want[len(want)-1].Seq {
				t.Errorf("after operation %d, %s: %d entries", k, state.Name, len(es))
			}
			closeLog(t, l)
		}
	}
	closeLog(t, l)
	powerCuts(mem, func(name string, fs *vfstest.Mem) {
		l, es, err := tryOpen(testOptions(fs, SyncAlways))
		if err != nil || !l.Recovery().Clean || es[0].Pos.Segment != 5 {
			t.Errorf("%s, after a clean close: %v", name, err)
		}
		if err == nil {
			closeLog(t, l)
		}
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
	crashes := mem.Crashes(*crashSeed, *crashRandom)
	for k := before; k <= crashes.OpCount(); k++ {
		for state := range crashes.At(k) {
			l, es, err := tryOpen(testOptions(state.FS, SyncNever))
			if err != nil {
				t.Fatalf("after operation %d, %s: %v", k, state.Name, err)
			}
			from := want
			if l.First().Segment > 1 {
				from = want[3:]
			}
			for i := range es {
				if i >= len(from) || es[i].Seq != from[i].Seq || !bytes.Equal(es[i].Key, from[i].Key) {
					t.Errorf("after operation %d, %s: entry %d is %+v", k, state.Name, i, es[i])
				}
			}
			closeLog(t, l)
		}
	}
	if err := l.Rotate(); err != nil {
		t.Fatal(err)
	}
	fault.Inject(vfstest.FailNth(vfstest.OpSync, segmentSuffix, 1, syscall.EIO))
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
	crashes, torn := mem.Crashes(*crashSeed, *crashRandom), 0
	for k := before; k <= crashes.OpCount(); k++ {
		for state := range crashes.At(k) {
			data, err := state.FS.ReadFile(first)
			if err != nil {
				t.Fatal(err)
			}
			l, es, err := tryOpen(testOptions(state.FS, SyncNever))
			if err == nil {
				err = errors.Join(isPrefix(es, want), l.Close())
			}
			if err != nil {
				t.Fatalf("after operation %d, %s: %v", k, state.Name, err)
			}
			if len(es) > 0 && len(bytes.TrimRight(data, "\x00")) > zeroChunk {
				torn++
			}
		}
	}
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
	fault.Inject(vfstest.FailNth(vfstest.OpSync, segmentSuffix, 1, syscall.EIO))
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
	powerCuts(mem, func(name string, fs *vfstest.Mem) {
		l, again, err := tryOpen(testOptions(fs, SyncAlways))
		if err == nil {
			err = errors.Join(sameEntries(again, es), l.Close())
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
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
				powerCuts(mem, func(name string, fs *vfstest.Mem) {
					l, again, err := tryOpen(testOptions(fs, SyncAlways))
					if err == nil {
						err = errors.Join(sameEntries(again, got), l.Close())
					}
					if err != nil {
						t.Fatalf("%v %d of %d, %s: %v", kind, n, counter.Count(kind), name, err)
					}
				})
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
	powerCuts(torn, func(name string, fs *vfstest.Mem) {
		if _, err := fs.ReadFile(kept); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
}

// To replace TestKilledThenPowerCut: the power also goes at each operation of the last append. A process dies at any operation; the next finds the page cache as it was, goes on, and dies at any operation; one more
// appends, and then the power goes. Nothing that was acknowledged under SyncAlways is lost.
func TestKilledThenPowerCutAtEveryOperation(t *testing.T) {
	step := 1
	if testing.Short() {
		step = 6
	}
	states := 0
	for first, firstDied := 1, true; firstDied; first++ {
		for second, secondDied := 1, true; secondDied; second += step {
			mem := vfstest.NewMem()
			mem.Record()
			_, firstDied = liveUntil(t, mem, SyncAlways, first)
			_, secondDied = liveUntil(t, mem, SyncAlways, second)
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
			crashes := mem.Crashes(*crashSeed, 1)
			for k := before; k <= crashes.OpCount(); k++ {
				for state := range crashes.At(k) {
					states++
					l, es, err := tryOpen(testOptions(state.FS, SyncAlways))
					if err == nil {
						err = errors.Join(isPrefix(es, all), l.Close())
					}
					if err != nil || len(es) < len(got) || k == crashes.OpCount() && len(es) < len(all) {
						t.Fatalf("killed at %d and %d, after operation %d, %s: %d of %d entries: %v",
							first, second, k, state.Name, len(es), len(all), err)
					}
				}
			}
		}
	}
	t.Logf("%d states", states)
}
