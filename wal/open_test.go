package wal

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// A log that was appended to after a clean opening is clean again only after another close.
func TestCleanMeansClosed(t *testing.T) {
	mem := vfstest.NewMem()
	o := testOptions(mem, SyncAlways)
	for i := range 3 {
		l, _ := open(t, o)
		if !l.Recovery().Clean {
			t.Errorf("opening %d: not clean", i)
		}
		e := put(i)
		if err := l.Append(&e); err != nil {
			t.Fatal(err)
		}
		end, killed := l.End(), mem.Clone()
		closeLog(t, l)
		killed = cut(t, killed, segmentNames(t, killed)[0], int(end.Offset)) // no zeros behind the last record
		l, _ = open(t, testOptions(killed, SyncAlways))
		if l.Recovery().Clean {
			t.Errorf("opening %d: clean, but nobody closed it", i)
		}
		closeLog(t, l)
	}
}

// What a rotation that did not come to its end has left is removed, however the log was closed.
func TestOpenRemovesThePreparedSegment(t *testing.T) {
	closed, killed := smallLog(t, SyncAlways, puts(0, 8))
	for _, c := range []struct {
		state string
		mem   *vfstest.Mem
	}{{"closed", closed}, {"killed", killed}} {
		t.Run(c.state, func(t *testing.T) {
			if err := c.mem.WriteFile("db/wal/"+nextName, []byte("half a header")); err != nil {
				t.Fatal(err)
			}
			l, _ := open(t, testOptions(c.mem, SyncAlways))
			if _, err := c.mem.Size("db/wal/" + nextName); err == nil {
				t.Errorf("%s is still there", nextName)
			}
			closeLog(t, l)
		})
	}
}

// A deadline that comes out at the epoch is not mistaken for none.
func TestDeadlineAtTheEpoch(t *testing.T) {
	o := testOptions(vfstest.NewMem(), SyncAlways)
	o.Now = func() int64 { return 0 }
	l, _ := open(t, o)
	if err := l.Append(&Entry{Key: []byte("k"), Deadline: -5}); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	l, es := open(t, o)
	if len(es) != 1 || es[0].Deadline != 1 {
		t.Errorf("replayed %+v, want deadline 1", es)
	}
	closeLog(t, l)
}

// A rotation that fails for lack of room behind the seal leaves a log that can be closed and opened.
func TestCloseBehindASeal(t *testing.T) {
	mem := vfstest.NewMem()
	fault := vfstest.NewFault(mem)
	l, _ := open(t, testOptions(fault, SyncAlways))
	want := []Entry{put(0), put(1)}
	if err := l.Append(&want[0]); err != nil {
		t.Fatal(err)
	}
	fault.Inject(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpWrite && op.Len == headerSize {
			return syscall.ENOSPC
		}
		return nil
	})
	if err := l.Rotate(); !errors.Is(err, ErrNoSpace) {
		t.Fatal(err)
	}
	closeLog(t, l)
	l, _ = open(t, testOptions(mem, SyncAlways))
	if err := l.Append(&want[1]); err != nil {
		t.Fatal(err)
	}
	if want[1].Pos.Segment != 2 {
		t.Errorf("appended to the sealed segment, at %v", want[1].Pos)
	}
	closeLog(t, l)
	l, es := open(t, testOptions(mem, SyncAlways))
	if err := sameEntries(es, want); err != nil {
		t.Error(err)
	}
	closeLog(t, l)
}

// Damage under the eyes of a reader is corruption, and stays so.
func TestReaderMeetsDamage(t *testing.T) {
	name := func(i uint32) string { return segmentName("db/wal", i) }
	other := vfstest.NewMem()
	l, _ := open(t, testOptions(other, SyncAlways))
	if err := l.AppendAll(puts(1, 61)); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	foreign := vfstest.NewMem()
	o := testOptions(foreign, SyncAlways)
	o.ID = ID{9}
	l, _ = open(t, o)
	if err := l.AppendAll(puts(0, 60)); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	take := func(from *vfstest.Mem, i uint32) func(*vfstest.Mem) error {
		return func(m *vfstest.Mem) error {
			data, err := from.ReadFile(name(i))
			return errors.Join(err, m.WriteFile(name(i), data))
		}
	}
	for _, c := range []struct {
		name   string
		change func(m *vfstest.Mem) error
		want   error
	}{
		{"a flipped bit", func(m *vfstest.Mem) error { return m.Corrupt(name(2), headerSize+5, 4) }, ErrCRC},
		{"the segment of another history", take(other, 2), ErrChain},
		{"the first of another database", take(foreign, 1), ErrForeign},
		{"no seal", func(m *vfstest.Mem) error {
			data, err := m.ReadFile(name(1))
			return errors.Join(err, m.WriteFile(name(1), data[:len(data)-markSize]))
		}, ErrCorrupt},
		{"a missing segment", func(m *vfstest.Mem) error { return m.Remove(name(2)) }, ErrGap},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			l, _ := open(t, testOptions(mem, SyncAlways))
			defer closeLog(t, l)
			if err := l.AppendAll(puts(0, 60)); err != nil {
				t.Fatal(err)
			}
			if err := c.change(mem); err != nil {
				t.Fatal(err)
			}
			r, err := l.NewReader(l.First())
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var e Entry
			for err == nil {
				err = r.Next(&e)
			}
			if !errors.Is(err, c.want) || !errors.Is(err, ErrCorrupt) {
				t.Errorf("%v, want %v", err, c.want)
			}
			if again := r.Next(&e); again != err {
				t.Errorf("then %v", again)
			}
		})
	}
}

// Segments whose every record is intact, written by hand, that no log writes.
func TestOpenRefusesWhatNoLogWrites(t *testing.T) {
	id := ID{1, 2, 3}
	first := header{id: id, segment: 1, baseSeq: 1, baseTime: 1_000_000}
	record := func(r Record) []byte {
		b, err := AppendRecord(nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	head := first.append(nil)
	user := record(Record{Key: []byte("k"), Value: []byte("v")})
	good := mark{controlWatermark, id, 1, headerSize, headerSize, 1, chainCRC(0, head)}
	seal := mark{controlSeal, id, 1, headerSize, headerSize, 1, chainCRC(0, head)}
	changed := func(m mark, change func(*mark)) []byte {
		change(&m)
		return m.append(nil)
	}
	sealed := slices.Concat(head, seal.append(nil))
	next := func(baseSeq uint64) []byte {
		h := header{id: id, segment: 2, baseSeq: baseSeq, baseTime: 1_000_000,
			prev: link{1, uint32(len(sealed)), chainCRC(seal.crc, sealed)}}
		return h.append(nil)
	}
	noFirst := first
	noFirst.prev.segment = 7
	for _, c := range []struct {
		name     string
		segments [][]byte
		want     error // nil: it opens
	}{
		{"a watermark", [][]byte{slices.Concat(head, good.append(nil), user)}, nil},
		{"a mark that counts other records", [][]byte{slices.Concat(head, changed(good, func(m *mark) { m.records++ }))}, ErrChain},
		{"a mark of other records", [][]byte{slices.Concat(head, changed(good, func(m *mark) { m.crc++ }))}, ErrChain},
		{"a mark of what follows", [][]byte{slices.Concat(head, changed(good, func(m *mark) { m.synced++ }))}, ErrChain},
		{"a mark of another segment", [][]byte{slices.Concat(head, changed(good, func(m *mark) { m.segment++ }))}, ErrMisplaced},
		{"a mark of another database", [][]byte{slices.Concat(head, changed(good, func(m *mark) { m.id[0]++ }))}, ErrForeign},
		{"a sealed segment", [][]byte{sealed}, nil},
		{"a record behind the seal", [][]byte{slices.Concat(sealed, user)}, ErrCorrupt},
		{"two segments", [][]byte{sealed, next(1)}, nil},
		{"sequences skipped", [][]byte{sealed, next(1000)}, nil},
		{"a sequence taken twice", [][]byte{sealed, next(0)}, ErrChain},
		{"a first segment with a predecessor", [][]byte{noFirst.append(nil)}, ErrChain},
		{"a deleted control record",
			[][]byte{slices.Concat(head, record(Record{Tombstone: true, Value: appendTime(nil, controlClock, 1)}))}, ErrCorrupt},
		{"an empty control record", [][]byte{slices.Concat(head, record(Record{}))}, ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			if err := mem.MkdirAll("db/wal"); err != nil {
				t.Fatal(err)
			}
			for i, data := range c.segments {
				if err := mem.WriteFile(segmentName("db/wal", uint32(i+1)), data); err != nil {
					t.Fatal(err)
				}
			}
			l, _, err := tryOpen(testOptions(mem, SyncAlways))
			if err == nil {
				closeLog(t, l)
			}
			if !errors.Is(err, c.want) || errors.Is(err, ErrCorrupt) != (c.want != nil) {
				t.Errorf("open: %v, want %v", err, c.want)
			}
		})
	}
}

// A mark behind damage proves that it is damage only if it stands where it says, in its own segment.
func TestMarkOfAnotherSegmentIsNoProof(t *testing.T) {
	for _, segment := range []uint32{1, 2} {
		mem := vfstest.NewMem()
		o := testOptions(mem, SyncNever)
		o.SegmentSize = 4096
		l, _ := open(t, o)
		torn := put(0)
		if err := l.Append(&torn); err != nil {
			t.Fatal(err)
		}
		const recordHead = 3 + 1 // of a put with a key of one byte
		at := l.End().Offset + recordHead
		m := mark{kind: controlWatermark, id: o.ID, segment: segment, offset: at, synced: at}
		if err := l.Append(&Entry{Key: []byte("k"), Value: m.append(nil)}); err != nil {
			t.Fatal(err)
		}
		killed := mem.Clone()
		closeLog(t, l)
		damaged := flipped(t, killed, segmentNames(t, killed)[0], int(torn.Pos.Offset+5)*8)
		l, _, err := tryOpen(testOptions(damaged, SyncNever))
		if proof := segment == 1; proof != errors.Is(err, ErrCorrupt) {
			t.Errorf("a mark of segment %d: %v", segment, err)
		}
		if err == nil {
			closeLog(t, l)
		}
	}
}

// An Open that fails deletes nothing, not even what it would have.
func TestFailedOpenDeletesNothing(t *testing.T) {
	closed, _ := smallLog(t, SyncAlways, puts(0, 60))
	names := segmentNames(t, closed)
	damaged := flipped(t, closed, names[len(names)-2], (headerSize+5)*8)
	before := damaged.Clone()
	o := testOptions(damaged, SyncAlways)
	o.FirstSegment = 3
	if _, _, err := tryOpen(o); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	if d := before.Diff(damaged); len(d) != 0 {
		t.Errorf("the failed open changed %v", d)
	}
}

// A deadline is what it was, however long after its segment's start it is appended.
func TestDeadlineOfALateAppend(t *testing.T) {
	mem := vfstest.NewMem()
	now := int64(1_000_000)
	o := testOptions(mem, SyncAlways)
	o.Now = func() int64 { now += 1000; return now }
	l, _ := open(t, o)
	want := puts(0, 60)
	for i := range want {
		if want[i].Kind != KindEvict {
			want[i].Deadline = 0
		}
		if want[i].Kind == KindPut {
			want[i].Deadline = 9_000_000 + int64(i)
		}
		now += 1000
		if err := l.Append(&want[i]); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	l, es := open(t, o)
	if err := sameEntries(es, want); err != nil {
		t.Error(err)
	}
	closeLog(t, l)
}

func TestClocksFillSegments(t *testing.T) {
	mem := vfstest.NewMem()
	l, _ := open(t, testOptions(mem, SyncAlways))
	for i := range 100 {
		if err := l.Append(&Entry{Kind: KindClock, Time: int64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	for _, name := range segmentNames(t, mem) {
		if size, _ := mem.Size(name); size > minSegmentSize {
			t.Errorf("%s has %d bytes of %d", name, size, minSegmentSize)
		}
	}
}

// huge is a file system whose segments claim to be of a terabyte, all zeros behind what they hold.
type huge struct{ vfs.FS }

type hugeFile struct{ vfs.File }

func (h huge) Open(name string) (vfs.File, error) {
	f, err := h.FS.Open(name)
	return hugeFile{f}, err
}

func (hugeFile) Size() (int64, error) { return 1 << 40, nil }

func (f hugeFile) ReadAt(p []byte, off int64) (int, error) {
	if off > 64<<20 {
		return 0, fmt.Errorf("reads %d bytes at %d into memory", len(p), off)
	}
	n, err := f.File.ReadAt(p, off)
	if err == io.EOF {
		clear(p[n:])
		return len(p), nil
	}
	return n, err
}

func TestSegmentLongerThanAnyIsCorrupt(t *testing.T) {
	_, killed := smallLog(t, SyncNever, puts(0, 5))
	if _, _, err := tryOpen(testOptions(huge{killed}, SyncNever)); !errors.Is(err, ErrCorrupt) {
		t.Error(err)
	}
}
