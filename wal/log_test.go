package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testOptions are small segments on a file system in memory, with every operation in one order.
func testOptions(fs vfs.FS, policy SyncPolicy) Options {
	const directFrom = 8 // of the batches some are copied, some are not
	return Options{FS: fs, Sync: policy, SegmentSize: minSegmentSize, inline: true, directFrom: directFrom, ID: ID{1, 2, 3},
		Now: func() int64 { return 1_000_000 }}
}

// open opens a log and returns it with what it replayed.
func open(t testing.TB, o Options) (*Log, []Entry) {
	t.Helper()
	l, es, err := tryOpen(o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return l, es
}

// tryOpen opens a log and holds what Open finds against what Replay has found before.
func tryOpen(o Options) (*Log, []Entry, error) {
	o.Replay = nil
	replayed := replayBefore(o)
	var es []Entry
	o.Replay = func(e *Entry) error {
		es = append(es, clone(e))
		return nil
	}
	l, err := Open("db/wal", &o)
	if derr := replayed.differs(l, es, err); derr != nil {
		if err == nil {
			derr = errors.Join(derr, l.Close())
		}
		return nil, nil, derr
	}
	return l, es, err
}

func clone(e *Entry) Entry {
	c := *e
	c.Key, c.Value = bytes.Clone(e.Key), bytes.Clone(e.Value)
	return c
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// put is the i-th of a series of entries of every kind.
func put(i int) Entry {
	key := fmt.Appendf(nil, "key%04d", i)
	switch i % 8 {
	case 2:
		return Entry{Kind: KindDelete, Key: key}
	case 3:
		return Entry{Key: key, Value: bytes.Repeat([]byte{byte(i)}, 40), Deadline: int64(1_000_500 + i)}
	case 4:
		return Entry{Kind: KindBatch, Value: fmt.Appendf(nil, "batch %d", i), Ops: i%5 + 1}
	case 5:
		return Entry{Kind: KindRangeDelete, Key: key, Value: []byte("z")}
	case 6:
		return Entry{Key: key, Value: []byte{}}
	case 7:
		if i%16 == 15 {
			return Entry{Kind: KindEvict, Deadline: int64(i)}
		}
		return Entry{Kind: KindClock, Time: int64(-i)}
	}
	return Entry{Key: key, Value: fmt.Appendf(nil, "value of %d", i)}
}

func puts(from, to int) []Entry {
	var es []Entry
	for i := from; i < to; i++ {
		es = append(es, put(i))
	}
	return es
}

// sameEntries compares what entries say, and that got's sequences have no gap.
func sameEntries(got, want []Entry) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d entries, want %d", len(got), len(want))
	}
	seq := uint64(1)
	for i := range got {
		g, w := &got[i], &want[i]
		if g.Kind != w.Kind || !bytes.Equal(g.Key, w.Key) || !bytes.Equal(g.Value, w.Value) || g.Deadline != w.Deadline ||
			g.Ops != w.Ops || g.Time != w.Time {
			return fmt.Errorf("entry %d: %+v, want %+v", i, g, w)
		}
		if g.Seq != seq {
			return fmt.Errorf("entry %d: sequence %d, want %d", i, g.Seq, seq)
		}
		seq += w.sequences()
	}
	return nil
}

func TestReopen(t *testing.T) {
	for _, policy := range []SyncPolicy{SyncAlways, SyncInterval, SyncNever} {
		for _, clean := range []bool{true, false} {
			for _, compression := range []Compression{CompressionNone, CompressionLZ4, CompressionZstd} {
				t.Run(fmt.Sprintf("policy=%d,clean=%v,%v", policy, clean, compression), func(t *testing.T) {
					mem := vfstest.NewMem()
					o := testOptions(mem, policy)
					o.Compression, o.CompressAbove = compression, 1
					want := puts(0, 100)
					l, es := open(t, o)
					if len(es) != 0 || !l.Recovery().Clean {
						t.Fatalf("a new log replays %d entries, clean %v", len(es), l.Recovery().Clean)
					}
					for i := range want[:50] {
						if err := l.Append(&want[i]); err != nil {
							t.Fatal(err)
						}
					}
					if clean {
						closeLog(t, l)
						l, es = open(t, o)
					} else {
						killed := mem.Clone() // what the death of the process leaves
						closeLog(t, l)
						o.FS = killed
						l, es = open(t, o)
					}
					if err := sameEntries(es, want[:50]); err != nil {
						t.Fatal(err)
					}
					if l.Recovery().Clean != clean {
						t.Errorf("clean is %v", l.Recovery().Clean)
					}
					if err := l.AppendAll(want[50:]); err != nil {
						t.Fatal(err)
					}
					closeLog(t, l)
					l, es = open(t, o)
					if err := sameEntries(es, want); err != nil {
						t.Fatal(err)
					}
					for i := range es {
						if es[i].Pos != want[i].Pos || es[i].Seq != want[i].Seq {
							t.Fatalf("entry %d: read at %v as %d, appended at %v as %d", i, es[i].Pos, es[i].Seq, want[i].Pos, want[i].Seq)
						}
					}
					closeLog(t, l)
				})
			}
		}
	}
}

func TestReopenDoesNotGrow(t *testing.T) {
	mem := vfstest.NewMem()
	o := testOptions(mem, SyncAlways)
	l, _ := open(t, o)
	e := put(0)
	if err := l.Append(&e); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	before := mem.Clone()
	for range 3 {
		l, _ = open(t, o)
		closeLog(t, l)
	}
	if d := before.Diff(mem); len(d) != 0 {
		t.Errorf("opening and closing changed %v", d)
	}
}

func TestLargeRecordHasItsOwnSegment(t *testing.T) {
	o := testOptions(vfstest.NewMem(), SyncAlways)
	l, _ := open(t, o)
	want := []Entry{put(0), {Key: []byte("large"), Value: bytes.Repeat([]byte("x"), 10*minSegmentSize)}, put(1)}
	for i := range want {
		if err := l.Append(&want[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i, e := range want {
		if e.Pos.Segment != uint32(i+1) {
			t.Errorf("entry %d is in segment %d", i, e.Pos.Segment)
		}
	}
	closeLog(t, l)
	l, es := open(t, o)
	if err := sameEntries(es, want); err != nil {
		t.Error(err)
	}
	closeLog(t, l)
}

func TestGroupLargerThanASegment(t *testing.T) {
	o := testOptions(vfstest.NewMem(), SyncAlways)
	l, _ := open(t, o)
	want := puts(0, 300)
	if err := l.AppendAll(want); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	l, es := open(t, o)
	if err := sameEntries(es, want); err != nil {
		t.Error(err)
	}
	closeLog(t, l)
}

func TestDeadlines(t *testing.T) {
	for _, c := range []struct {
		name           string
		base           int64
		deadline, want int64
	}{
		{"none", 1000, 0, 0},
		{"later", 1000, 1500, 1500},
		{"at the base", 1000, 1000, 1000},
		{"before the base", 1000, 1, 1000},
		{"negative", 1000, -5, 1000},
		{"the last", 1000, math.MaxInt64, math.MaxInt64},
		{"clock before 1970", -1000, -500, -500},
		{"clock before 1970, the last", -1000, math.MaxInt64, math.MaxInt64},
		{"base and deadline at 1970", -1000, 0, 0},
		{"the first clock, the last deadline", math.MinInt64, math.MaxInt64, math.MaxInt64},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := testOptions(vfstest.NewMem(), SyncAlways)
			o.Now = func() int64 { return c.base }
			l, _ := open(t, o)
			e := Entry{Key: []byte("k"), Deadline: c.deadline}
			if err := l.Append(&e); err != nil {
				t.Fatal(err)
			}
			if e.Deadline != c.want {
				t.Errorf("appended with deadline %d, want %d", e.Deadline, c.want)
			}
			closeLog(t, l)
			o.Now = func() int64 { return c.base + 1_000_000 } // a deadline must not slide
			for range 2 {
				l, es := open(t, o)
				if len(es) != 1 || es[0].Deadline != c.want {
					t.Errorf("replayed %+v, want deadline %d", es, c.want)
				}
				closeLog(t, l)
			}
		})
	}
}

func TestInvalidEntries(t *testing.T) {
	o := testOptions(vfstest.NewMem(), SyncAlways)
	l, _ := open(t, o)
	defer closeLog(t, l)
	for _, c := range []struct {
		name string
		e    Entry
		want error
	}{
		{"put without a key", Entry{Value: []byte("v")}, ErrInvalidEntry},
		{"delete without a key", Entry{Kind: KindDelete}, ErrInvalidEntry},
		{"batch of none", Entry{Kind: KindBatch, Value: []byte("b")}, ErrInvalidEntry},
		{"unknown kind", Entry{Kind: 9, Key: []byte("k")}, ErrInvalidEntry},
		{"key too large", Entry{Key: make([]byte, MaxKeySize+1)}, ErrTooLarge},
	} {
		if err := l.Append(&c.e); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := l.AppendAll([]Entry{put(0), c.e}); !errors.Is(err, c.want) {
			t.Errorf("%s in a group: %v", c.name, err)
		}
	}
	if l.NextSeq() != 1 {
		t.Errorf("invalid entries took sequences: next is %d", l.NextSeq())
	}
}

func TestDeleteBefore(t *testing.T) {
	mem := vfstest.NewMem()
	o := testOptions(mem, SyncAlways)
	var events []Event
	o.OnEvent = func(e Event) { events = append(events, e) }
	l, _ := open(t, o)
	want := puts(0, 60)
	if err := l.AppendAll(want); err != nil {
		t.Fatal(err)
	}
	r, err := l.NewReader(l.First())
	if err != nil {
		t.Fatal(err)
	}
	var e Entry
	if err := r.Next(&e); err != nil {
		t.Fatal(err)
	}
	keep := want[30].Pos.Segment
	if err := l.DeleteBefore(keep); err != nil {
		t.Fatal(err)
	}
	if got := l.First(); got != (Position{keep, 0}) {
		t.Errorf("the log begins at %v", got)
	}
	if last, ok := events[len(events)-1].(Deleted); !ok || last != (Deleted{1, keep}) {
		t.Errorf("last event %+v", events[len(events)-1])
	}
	for err == nil {
		err = r.Next(&e)
	}
	if !errors.Is(err, ErrDeleted) || e.Pos.Segment != 1 {
		t.Errorf("a reader inside a deleted segment stopped in segment %d: %v", e.Pos.Segment, err)
	}
	r.Close()
	if _, err := l.NewReader(want[0].Pos); !errors.Is(err, ErrDeleted) {
		t.Errorf("reading from a deleted position: %v", err)
	}
	if err := l.DeleteBefore(math.MaxUint32); err != nil {
		t.Fatal(err)
	}
	if n := l.Stats().Segments; n != 1 {
		t.Errorf("%d segments remain after deleting all", n)
	}
	active := l.First().Segment
	closeLog(t, l)

	o.FirstSegment = active
	l, es := open(t, o)
	if first := want[len(want)-len(es)]; len(es) == 0 || es[0].Seq != first.Seq {
		t.Errorf("%d entries are replayed, want those from sequence %d on", len(es), first.Seq)
	}
	closeLog(t, l)
}

func TestObsoleteSegmentsAreDeletedByOpen(t *testing.T) {
	mem := vfstest.NewMem()
	o := testOptions(mem, SyncAlways)
	l, _ := open(t, o)
	want := puts(0, 60)
	if err := l.AppendAll(want); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	// The owner had deleted some of those that it no longer needs when it died, in any order.
	if err := mem.Remove(segmentName("db/wal", 2)); err != nil {
		t.Fatal(err)
	}
	o.FirstSegment = 4
	l, es := open(t, o)
	if len(es) == 0 || es[0].Pos.Segment != 4 {
		t.Errorf("replay begins at %v", es[0].Pos)
	}
	closeLog(t, l)
	names, _ := mem.ReadDir("db/wal")
	if strings.Contains(strings.Join(names, " "), "000003.wal") {
		t.Errorf("obsolete segments are still there: %v", names)
	}
}

func TestReaderFollowsTheLiveEnd(t *testing.T) {
	for _, policy := range []SyncPolicy{SyncAlways, SyncNever} {
		o := testOptions(vfstest.NewMem(), policy)
		o.inline = false
		l, _ := open(t, o)
		want := puts(0, 200)
		r, err := l.NewReader(l.First())
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range want {
				if err := l.Append(&want[i]); err != nil {
					t.Error(err)
				}
			}
		})
		var got []Entry
		for len(got) < len(want) {
			var e Entry
			err := r.Next(&e)
			if err == io.EOF {
				if err := r.Wait(context.Background()); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, clone(&e))
		}
		wg.Wait()
		if err := sameEntries(got, want); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := r.Wait(ctx); err != context.Canceled {
			t.Errorf("wait at the end with a cancelled context: %v", err)
		}
		closeLog(t, l)
		if err := r.Wait(context.Background()); err != ErrClosed {
			t.Errorf("wait on a closed log: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestReaderFromAPosition(t *testing.T) {
	o := testOptions(vfstest.NewMem(), SyncAlways)
	l, _ := open(t, o)
	defer closeLog(t, l)
	want := puts(0, 60)
	if err := l.AppendAll(want); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		r, err := l.NewReader(want[i].Pos)
		if err != nil {
			t.Fatal(err)
		}
		var e Entry
		for j := i; j < len(want); j++ {
			if err := r.Next(&e); err != nil || e.Pos != want[j].Pos || e.Seq != want[j].Seq {
				t.Fatalf("from %d: entry %d at %v as %d: %v", i, j, e.Pos, e.Seq, err)
			}
			if j+1 < len(want) && r.Position().Compare(want[j+1].Pos) > 0 {
				t.Fatalf("position %v is after the next entry %v", r.Position(), want[j+1].Pos)
			}
		}
		if err := r.Next(&e); err != io.EOF {
			t.Fatalf("at the end: %v", err)
		}
		r.Close()
	}
	if _, err := l.NewReader(Position{99, 0}); err == nil {
		t.Error("a position behind the end is accepted")
	}
}

func TestConcurrentAppends(t *testing.T) {
	o := testOptions(vfstest.NewMem(), SyncAlways)
	o.inline, o.SegmentSize = false, 4096
	l, _ := open(t, o)
	const writers, each = 8, 100
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				e := Entry{Key: fmt.Appendf(nil, "%d", w), Value: fmt.Appendf(nil, "%d", i)}
				if err := l.Append(&e); err != nil {
					t.Error(err)
				}
				if s := l.Synced(); s.Compare(e.Pos) <= 0 {
					t.Errorf("acknowledged at %v, synced to %v", e.Pos, s)
				}
				if i%10 == 0 {
					if err := l.Rotate(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	l, es := open(t, o)
	defer closeLog(t, l)
	next := map[string]int{}
	for i, e := range es {
		if string(e.Value) != fmt.Sprint(next[string(e.Key)]) {
			t.Fatalf("entry %d: writer %s wrote %s, want %d", i, e.Key, e.Value, next[string(e.Key)])
		}
		next[string(e.Key)]++
	}
	if len(es) != writers*each {
		t.Errorf("%d entries", len(es))
	}
}

func TestCloseAgainstEverything(t *testing.T) {
	for range 20 {
		o := testOptions(vfstest.NewMem(), SyncAlways)
		o.inline = false
		l, _ := open(t, o)
		var wg sync.WaitGroup
		for _, do := range []func() error{
			func() error { e := put(0); return l.Append(&e) },
			func() error { return l.AppendAll(puts(0, 20)) },
			l.Sync, l.Rotate, l.Close,
			func() error { return l.DeleteBefore(l.End().Segment) },
		} {
			wg.Go(func() {
				for range 10 {
					if err := do(); err != nil && !errors.Is(err, ErrClosed) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if err := l.Close(); err != nil {
			t.Errorf("second close: %v", err)
		}
		e := put(0)
		for name, err := range map[string]error{
			"append": l.Append(&e), "sync": l.Sync(), "rotate": l.Rotate(), "delete": l.DeleteBefore(1),
		} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("%s on a closed log: %v", name, err)
			}
		}
	}
}

func TestIntervalSyncsAnIdleTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := testOptions(vfstest.NewMem(), SyncInterval)
		o.inline, o.Interval = false, time.Second
		l, _ := open(t, o)
		e := put(0)
		if err := l.Append(&e); err != nil {
			t.Fatal(err)
		}
		if l.Synced() == l.End() {
			t.Fatal("synced at once")
		}
		time.Sleep(time.Second + time.Millisecond) // of the bubble's clock
		synctest.Wait()
		if l.Synced() != l.End() {
			t.Errorf("synced to %v of %v after the interval", l.Synced(), l.End())
		}
		closeLog(t, l)
	})
}

func TestLocked(t *testing.T) {
	o := testOptions(vfstest.NewMem(), SyncAlways)
	l, _ := open(t, o)
	if _, _, err := tryOpen(o); !errors.Is(err, ErrLocked) {
		t.Errorf("second open: %v", err)
	}
	closeLog(t, l)
	l, _ = open(t, o)
	closeLog(t, l)
}

func TestReplayError(t *testing.T) {
	o := testOptions(vfstest.NewMem(), SyncAlways)
	l, _ := open(t, o)
	e := put(0)
	if err := l.Append(&e); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	stop := errors.New("stop")
	o.Replay = func(*Entry) error { return stop }
	if _, err := Open("db/wal", &o); !errors.Is(err, stop) {
		t.Errorf("open: %v", err)
	}
	l, _ = open(t, o)
	closeLog(t, l)
}

func TestAppendDoesNotAllocate(t *testing.T) {
	o := testOptions(vfs.OS, SyncNever)
	o.SegmentSize = 64 << 20
	l, err := Open(t.TempDir()+"/log", &o)
	if err != nil {
		t.Fatal(err)
	}
	defer closeLog(t, l)
	e := Entry{Key: []byte("user0123456789abcdef0000"), Value: make([]byte, 104), Deadline: 2_000_000}
	group := []Entry{e, e, e}
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"append", func() error { return l.Append(&e) }},
		{"group", func() error { return l.AppendAll(group) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n := testing.AllocsPerRun(1000, func() {
				if err := c.do(); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s allocates %v times", c.name, n)
			}
		})
	}
}

// What Stats says of the disk is what is there, through rotation, deletion and Open.
func TestStatsAreThoseOfTheFiles(t *testing.T) {
	mem := vfstest.NewMem()
	o := testOptions(mem, SyncNever)
	check := func(step string, l *Log) {
		t.Helper()
		if err := l.Sync(); err != nil { // which cuts the zeros behind a seal
			t.Fatal(err)
		}
		var files, newest int64
		for _, name := range segmentNames(t, mem) {
			var err error
			if newest, err = mem.Size(name); err != nil {
				t.Fatal(err)
			}
			files += newest
		}
		s := l.Stats()
		if s.DiskBytes != files || s.ZeroBytes != newest-int64(l.End().Offset) {
			t.Errorf("%s: %d bytes with %d zeros, want %d with %d", step, s.DiskBytes, s.ZeroBytes, files,
				newest-int64(l.End().Offset))
		}
		if got := l.BytesBefore(math.MaxUint32); got != files-newest {
			t.Errorf("%s: %d bytes before the end, want %d", step, got, files-newest)
		}
	}
	l, _ := open(t, o)
	check("new", l)
	if err := l.AppendAll(puts(0, 60)); err != nil {
		t.Fatal(err)
	}
	check("rotated", l)
	if l.Stats().Segments < 4 {
		t.Fatalf("%d segments", l.Stats().Segments)
	}
	freed, before := l.BytesBefore(3), l.Stats().DiskBytes
	if err := l.DeleteBefore(3); err != nil {
		t.Fatal(err)
	}
	check("deleted", l)
	if got := before - l.Stats().DiskBytes; got != freed || l.BytesBefore(3) != 0 {
		t.Errorf("%d bytes were freed, want %d", got, freed)
	}
	closeLog(t, l)
	o.FirstSegment = 3
	l, _ = open(t, o)
	check("opened", l)
	if err := l.AppendAll(puts(60, 90)); err != nil {
		t.Fatal(err)
	}
	check("appended", l)
	closeLog(t, l)
}
