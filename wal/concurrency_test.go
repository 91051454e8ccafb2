package wal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// Whoever needs the file to itself, or more room than there is, waits for an extension that is under way. A rotation does not:
// who syncs what it has sealed does.
func TestExtensionsAreAwaited(t *testing.T) {
	large := Entry{Key: []byte("large"), Value: bytes.Repeat([]byte{1}, zeroChunk+zeroChunk/2)}
	for _, c := range []struct {
		name, at string
		do       func(l *Log) error
		want     []Entry
	}{
		{"append", "awaitZerosLocked", func(l *Log) error { return l.Append(&large) }, []Entry{put(0), large}},
		{"sync of a sealed segment", "syncSealed", (*Log).Sync, []Entry{put(0)}},
		{"close", "awaitZerosLocked", (*Log).Close, []Entry{put(0)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			l, goOn := slowZeros(t, mem)
			if strings.HasPrefix(c.name, "sync") {
				if err := l.Rotate(); err != nil {
					t.Fatal(err)
				}
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if err := c.do(l); err != nil {
					t.Error(err)
				}
			}()
			untilStuck(c.at, done)
			select {
			case <-done:
				t.Error("did not wait")
			default:
			}
			goOn()
			<-done
			e := put(1)
			if err := l.Append(&e); err == nil {
				c.want = append(c.want, e)
			} else if !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
			closeLog(t, l)
			l, es := open(t, testOptions(mem, SyncNever))
			if err := sameEntries(es, c.want); err != nil {
				t.Error(err)
			}
			closeLog(t, l)
		})
	}
}

// What is appended while zeros are written ahead is not written over.
func TestAppendBesideAnExtension(t *testing.T) {
	mem := vfstest.NewMem()
	l, goOn := slowZeros(t, mem)
	want := []Entry{put(0), put(1)}
	if err := l.Append(&want[1]); err != nil {
		t.Fatal(err)
	}
	goOn()
	closeLog(t, l)
	l, es := open(t, testOptions(mem, SyncNever))
	if err := sameEntries(es, want); err != nil {
		t.Error(err)
	}
	closeLog(t, l)
}

// While the active file is being synced nobody else syncs, cuts or closes it: the kernel reports a failure once.
func TestOneSyncAtATime(t *testing.T) {
	for _, c := range []struct {
		name string
		full bool
		do   func(l *Log) error
		want error
	}{
		{"sync behind a rotation", false, func(l *Log) error { return errors.Join(l.Rotate(), l.Sync()) }, nil},
		{"close", false, (*Log).Close, nil},
		{"a full disk", true, func(l *Log) error { e := put(1); return l.Append(&e) }, ErrNoSpace},
	} {
		t.Run(c.name, func(t *testing.T) {
			fault := vfstest.NewFault(vfstest.NewMem())
			l := openTwice(t, testOptions(fault, SyncNever))
			end, err := l.Write(puts(0, 1))
			if err != nil {
				t.Fatal(err)
			}
			reached, gate := make(chan struct{}), make(chan struct{})
			var syncs, syncing atomic.Int32
			fault.Inject(func(op vfstest.Op) error {
				active := strings.HasSuffix(op.Name, "000001"+SegmentSuffix)
				switch {
				case active && op.Kind == vfstest.OpSync && syncs.Add(1) == 1:
					syncing.Store(1)
					close(reached)
					<-gate
					syncing.Store(0)
				case active && op.Kind == vfstest.OpWrite && c.full:
					return syscall.ENOSPC
				case active && op.Kind != vfstest.OpWrite && syncing.Load() != 0:
					t.Errorf("%v of %s during a sync", op.Kind, op.Name)
				}
				return nil
			})
			synced, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(synced)
				if err := l.SyncTo(end); err != nil {
					t.Error(err)
				}
			}()
			<-reached
			go func() {
				defer close(done)
				if err := c.do(l); !errors.Is(err, c.want) {
					t.Error(err)
				}
			}()
			untilStuck("(*turn).take", done)
			close(gate)
			<-synced
			<-done
			fault.Inject(nil)
			closeLog(t, l)
		})
	}
}

// afterSync is a file system that does something when a segment's data has been synced and nobody knows yet.
type afterSync struct {
	vfs.FS
	do func()
}

type afterSyncFile struct {
	vfs.File
	fs *afterSync
}

func (a *afterSync) Create(name string) (vfs.File, error) {
	f, err := a.FS.Create(name)
	return &afterSyncFile{f, a}, err
}

func (f *afterSyncFile) SyncData() error {
	err := f.File.SyncData()
	if do := f.fs.do; do != nil {
		f.fs.do = nil
		do()
	}
	return err
}

// What is appended during a sync is not covered by it: neither Synced nor a watermark says so.
func TestAppendedDuringASync(t *testing.T) {
	mem := vfstest.NewMem()
	mem.Record()
	fs := &afterSync{FS: mem}
	l, _ := open(t, testOptions(fs, SyncNever))
	want := []Entry{put(0), put(1), put(3)}
	if err := l.Append(&want[0]); err != nil {
		t.Fatal(err)
	}
	before := l.End()
	fs.do = func() {
		if _, err := l.Write(want[1:2]); err != nil {
			t.Error(err)
		}
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if l.Synced() != before {
		t.Errorf("synced to %v, want %v", l.Synced(), before)
	}
	if err := l.Append(&want[2]); err != nil { // behind a watermark
		t.Fatal(err)
	}
	crashNow(t, mem, begins(SyncNever, want, 1))
	closeLog(t, l)
}

// A failed fsync ends all who wait for it, with one event and the first cause.
func TestFailedSyncEndsAllWhoWait(t *testing.T) {
	fault := vfstest.NewFault(vfstest.NewMem())
	o := testOptions(fault, SyncNever)
	var mu sync.Mutex
	failures := 0
	o.OnEvent = func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if _, ok := e.(Failed); ok {
			failures++
		}
	}
	l, _ := open(t, o)
	if err := l.AppendAll(puts(0, 30)); err != nil {
		t.Fatal(err)
	}
	end, err := l.Write(puts(0, 1))
	if err != nil {
		t.Fatal(err)
	}
	reached, gate := make(chan struct{}), make(chan struct{})
	syncs := fault.Count(vfstest.OpSync)
	fault.Inject(func(op vfstest.Op) error {
		if op.Kind != vfstest.OpSync || op.N != syncs+1 {
			return nil
		}
		close(reached)
		<-gate
		return syscall.EIO
	})
	errs := make(chan error)
	go func() { errs <- l.SyncTo(end) }()
	<-reached
	for range 3 {
		go func() { errs <- l.SyncTo(end) }()
	}
	for {
		l.turn.mu.Lock()
		n := len(l.turn.mu.waiting)
		l.turn.mu.Unlock()
		if n == 3 {
			break
		}
		runtime.Gosched()
	}
	close(gate)
	for range 4 {
		if err := <-errs; !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EIO) {
			t.Error(err)
		}
	}
	if n := fault.Count(vfstest.OpSync); n != syncs+1 {
		t.Errorf("%d syncs after the failure", n-syncs-1)
	}
	mu.Lock()
	if failures != 1 {
		t.Errorf("%d events of the failure", failures)
	}
	mu.Unlock()
	fault.Inject(vfstest.FailNth(vfstest.OpSyncDir, "", 1, syscall.ENXIO))
	if err := l.DeleteBefore(9); !errors.Is(err, syscall.EIO) {
		t.Errorf("another failure: %v, want the first cause", err)
	}
	if err := l.Close(); !errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENXIO) {
		t.Errorf("close: %v", err)
	}
}

// What Write returned is on the disk once the log is closed; a position that nobody wrote never is.
func TestSyncToAtTheEnd(t *testing.T) {
	l, _ := open(t, testOptions(vfstest.NewMem(), SyncNever))
	end, err := l.Write(puts(0, 3))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.SyncTo(Position{end.Segment, end.Offset + 1}); err == nil {
		t.Error("synced to behind the end")
	}
	closeLog(t, l)
	if err := l.SyncTo(end); err != nil {
		t.Errorf("after a clean close: %v", err)
	}
}

// Under SyncAlways a reader does not see what a power cut may still take.
func TestReaderSeesWhatIsSynced(t *testing.T) {
	l, _ := open(t, testOptions(vfstest.NewMem(), SyncAlways))
	defer closeLog(t, l)
	r, err := l.NewReader(l.First())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	end, err := l.Write(puts(0, 1))
	if err != nil {
		t.Fatal(err)
	}
	var e Entry
	if err := r.Next(&e); err != io.EOF {
		t.Errorf("before the sync: %v", err)
	}
	if err := l.SyncTo(end); err != nil {
		t.Fatal(err)
	}
	if err := r.Next(&e); err != nil {
		t.Errorf("after the sync: %v", err)
	}
}

// A reader that begins in a segment which is on no disk yet waits for that, and finds nothing wrong with it.
func TestReaderBeginsInAnUnsyncedSegment(t *testing.T) {
	want := puts(0, 6)
	for _, after := range []int{0, 1} { // unsynced entries that the segment has
		l, _ := open(t, testOptions(vfstest.NewMem(), SyncAlways))
		if err := l.AppendAll(want[:3]); err != nil {
			t.Fatal(err)
		}
		if err := l.Rotate(); err != nil {
			t.Fatal(err)
		}
		at, err := l.NewReader(l.End())
		if err != nil {
			t.Fatal(err)
		}
		atSeq, err := l.NewReaderAt(l.NextSeq())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Write(want[3 : 3+after]); err != nil {
			t.Fatal(err)
		}
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		for _, r := range []*Reader{at, atSeq} {
			var e Entry
			if err := r.Next(&e); err != io.EOF {
				t.Errorf("%d entries, none synced: %v", after, err)
			}
			if err := r.Wait(canceled); !errors.Is(err, context.Canceled) {
				t.Errorf("there is something to read: %v", err)
			}
		}
		if err := l.AppendAll(want[3+after:]); err != nil {
			t.Fatal(err)
		}
		for _, r := range []*Reader{at, atSeq} {
			if err := r.Wait(canceled); err != nil {
				t.Error(err)
			}
			var got []Entry
			var e Entry
			for err = r.Next(&e); err == nil; err = r.Next(&e) {
				got = append(got, clone(&e))
			}
			if err != io.EOF {
				t.Error(err)
			}
			for i := range got {
				if i >= 3 || got[i].Seq != want[3+i].Seq || !bytes.Equal(got[i].Key, want[3+i].Key) {
					t.Errorf("entry %d is %+v", i, got[i])
				}
			}
			if len(got) != 3 {
				t.Errorf("%d entries", len(got))
			}
			if err := r.Wait(canceled); !errors.Is(err, context.Canceled) {
				t.Errorf("there is more to read: %v", err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
		closeLog(t, l)
	}
}

// While one waits for zeros, nobody else appends, rotates or closes.
func TestWaitingForZerosKeepsTheLogToItself(t *testing.T) {
	large := Entry{Key: []byte("large"), Value: bytes.Repeat([]byte{1}, zeroChunk+zeroChunk/2)}
	appendLarge := func(l *Log) error { e := large; return l.Append(&e) }
	appendSmall := func(l *Log) error { e := put(1); return l.Append(&e) }
	for _, c := range []struct {
		name          string
		first, second func(l *Log) error
		want          []Entry
	}{
		{"append, append", appendLarge, appendSmall, []Entry{put(0), large, put(1)}},
		{"append, rotate", appendLarge, (*Log).Rotate, []Entry{put(0), large}},
		{"append, close", appendLarge, (*Log).Close, []Entry{put(0), large}},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			l, goOn := slowZeros(t, mem)
			var wg sync.WaitGroup
			run := func(do func(l *Log) error) <-chan struct{} {
				done := make(chan struct{})
				wg.Go(func() {
					defer close(done)
					if err := do(l); err != nil {
						t.Error(err)
					}
				})
				return done
			}
			untilStuck("awaitZerosLocked", run(c.first))
			second := run(c.second)
			buf := make([]byte, 1<<20)
			for stuck := false; !stuck; runtime.Gosched() { // behind the mutex, where it belongs, or beside the first
				stack := buf[:runtime.Stack(buf, true)]
				stuck = bytes.Contains(stack, []byte("sync.Mutex.Lock]")) || bytes.Count(stack, []byte("awaitZerosLocked(")) == 2
				select {
				case <-second:
					stuck = true
				default:
				}
			}
			goOn()
			wg.Wait()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			l, es, err := tryOpen(testOptions(mem, SyncNever))
			if err != nil {
				t.Fatal(err)
			}
			if err := sameEntries(es, c.want); err != nil {
				t.Error(err)
			}
			closeLog(t, l)
		})
	}
}

// Who waits for the turn behind a sync that fails does not sync again.
func TestFailedSyncIsNotRetriedByWhoWaits(t *testing.T) {
	for _, c := range []struct {
		name string
		full bool
		do   func(l *Log) error
	}{
		{"sync behind a rotation", false, func(l *Log) error { return errors.Join(l.Rotate(), l.Sync()) }},
		{"a full disk", true, func(l *Log) error { e := put(1); return l.Append(&e) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			fault := vfstest.NewFault(vfstest.NewMem())
			l := openTwice(t, testOptions(fault, SyncNever))
			end, err := l.Write(puts(0, 1))
			if err != nil {
				t.Fatal(err)
			}
			reached, gate, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
			syncs := fault.Count(vfstest.OpSync)
			fault.Inject(func(op vfstest.Op) error {
				switch {
				case op.Kind == vfstest.OpSync && op.N == syncs+1:
					close(reached)
					<-gate
					return syscall.EIO
				case op.Kind == vfstest.OpSync && strings.HasSuffix(op.Name, "000002"+SegmentSuffix): // a new one, of zeros
					syncs++
				case op.Kind == vfstest.OpWrite && c.full:
					return syscall.ENOSPC
				}
				return nil
			})
			synced := make(chan error)
			go func() { synced <- l.SyncTo(end) }()
			<-reached
			go func() {
				defer close(done)
				if err := c.do(l); !errors.Is(err, ErrFailed) {
					t.Errorf("behind the failed sync: %v", err)
				}
			}()
			untilStuck("(*turn).take", done)
			close(gate)
			if err := <-synced; !errors.Is(err, ErrFailed) {
				t.Errorf("the failed sync: %v", err)
			}
			<-done
			if err := l.SyncTo(end); !errors.Is(err, ErrFailed) {
				t.Errorf("acknowledged after the failure: %v, synced to %v", err, l.Synced())
			}
			_ = l.Close()
		})
	}
}

// Whatever makes entries visible wakes who tails.
func TestWhateverGrowsTheLogWakesReaders(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy SyncPolicy
		do     func(l *Log) error
	}{
		{"write", SyncNever, func(l *Log) error { _, err := l.Write(puts(0, 1)); return err }},
		{"sync behind a rotation", SyncAlways, func(l *Log) error {
			_, err := l.Write(puts(0, 1))
			return errors.Join(err, l.Rotate(), l.Sync())
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, _ := open(t, testOptions(vfstest.NewMem(), c.policy))
				r, err := l.NewReader(l.First())
				if err != nil {
					t.Fatal(err)
				}
				var e Entry
				if err := r.Next(&e); err != io.EOF {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // of the bubble's clock
				defer cancel()
				woken := make(chan error)
				go func() { woken <- r.Wait(ctx) }()
				synctest.Wait()
				if err := c.do(l); err != nil {
					t.Fatal(err)
				}
				if err := <-woken; err != nil {
					t.Errorf("wait: %v", err)
				}
				if err := r.Next(&e); err != nil {
					t.Errorf("next: %v", err)
				}
				r.Close()
				closeLog(t, l)
			})
		})
	}
}
