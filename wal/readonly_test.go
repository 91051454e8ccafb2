package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// replayTwin is what Replay finds in a log that is then opened.
type replayTwin struct {
	ran bool // not on a file system that counts its operations or makes them fail
	got Replayed
	es  []Entry
	err error
}

// replayBefore replays a log on a file system in memory. That must change nothing.
func replayBefore(o Options) (r replayTwin) {
	mem, ok := o.FS.(*vfstest.Mem)
	if !ok {
		return r
	}
	r.ran = true
	o.Replay = func(e *Entry) error {
		r.es = append(r.es, clone(e))
		return nil
	}
	before := mem.Clone()
	r.got, r.err = Replay("db/wal", &o)
	if d := before.Diff(mem); len(d) != 0 {
		r.err = fmt.Errorf("replaying changed %v", d)
	}
	return r
}

// differs says where Open, which has returned this, has found anything else.
func (r *replayTwin) differs(l *Log, es []Entry, err error) error {
	if !r.ran || errors.Is(err, ErrLocked) {
		return nil
	}
	if err != nil || r.err != nil {
		if err == nil || r.err == nil || err.Error() != r.err.Error() {
			return fmt.Errorf("open: %v, but replay: %v", err, r.err)
		}
		return nil
	}
	found, seen := l.Recovery(), r.got.Recovery
	var cut, torn TailCut
	if found.Cut != nil {
		cut, found.Cut = *found.Cut, nil
		cut.Quarantine = "" // nobody cuts
	}
	if seen.Cut != nil {
		torn, seen.Cut = *seen.Cut, nil
	}
	if r.got.NextSeq != l.NextSeq() || seen != found || torn != cut ||
		found.Segments > 0 && r.got.End != l.End() {
		return fmt.Errorf("replay found %+v, open %+v up to %v, sequence %d", r.got, found, l.End(), l.NextSeq())
	}
	if !reflect.DeepEqual(r.es, es) {
		return fmt.Errorf("replay shows %+v, open %+v", r.es, es)
	}
	return nil
}

// replay is Replay with what it has handed out.
func replay(o Options) ([]Entry, Replayed, error) {
	var es []Entry
	o.Replay = func(e *Entry) error {
		es = append(es, clone(e))
		return nil
	}
	r, err := Replay("db/wal", &o)
	return es, r, err
}

// hazy is a file system on which the first read of one byte sees it flipped, as if its record were half copied.
type hazy struct {
	vfs.FS
	name string
	off  int64
	seen bool
}

type hazyFile struct {
	vfs.File
	fs   *hazy
	here bool
}

func (h *hazy) Open(name string) (vfs.File, error) {
	f, err := h.FS.Open(name)
	return &hazyFile{f, h, name == h.name}, err
}

func (f *hazyFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	if i := f.fs.off - off; f.here && !f.fs.seen && i >= 0 && i < int64(n) {
		f.fs.seen = true
		p[i] ^= 0xff
	}
	return n, err
}

// cutFS is a file system on which one file was longer when its size was read, the first few times.
type cutFS struct {
	vfs.FS
	name   string
	wrong  int   // how often
	longer int64 // by how much
}

type cutFile struct {
	vfs.File
	fs   *cutFS
	here bool
}

func (c *cutFS) Open(name string) (vfs.File, error) {
	f, err := c.FS.Open(name)
	return &cutFile{f, c, name == c.name}, err
}

func (f *cutFile) Size() (int64, error) {
	n, err := f.File.Size()
	if f.here && f.fs.wrong > 0 {
		f.fs.wrong--
		n += f.fs.longer
	}
	return n, err
}

// A record that is half copied when it is read ends the log, but not if what follows tells that it is whole by now.
func TestReplayReadsHalfCopiedRecordsAgain(t *testing.T) {
	want := puts(0, 5)
	_, killed := smallLog(t, SyncAlways, want)
	name := segmentNames(t, killed)[0]
	if n := len(segmentNames(t, killed)); n != 1 {
		t.Fatalf("%d segments", n)
	}
	size, err := killed.Size(name)
	if err != nil {
		t.Fatal(err)
	}
	again, ended := 0, 0
	for off := int64(headerSize); off < size; off++ {
		got, found, err := replay(testOptions(&hazy{FS: killed, name: name, off: off}, SyncAlways))
		if err != nil {
			t.Fatalf("byte %d: %v", off, err)
		}
		if found.Cut != nil { // it is whole by now, or nobody has begun to write there
			t.Errorf("byte %d: an append under way is told as a torn tail, %+v", off, found.Cut)
		}
		if err := isPrefix(got, want); err != nil {
			t.Fatalf("byte %d: %v", off, err)
		}
		twin := killed.Clone()
		if err := twin.Corrupt(name, off, 0xff); err != nil {
			t.Fatal(err)
		}
		kept, _, err := replay(testOptions(twin, SyncAlways))
		if errors.Is(err, ErrCorrupt) { // there is proof
			again++
			if len(got) != len(want) {
				t.Errorf("byte %d: %d entries after a second look, want %d", off, len(got), len(want))
			}
		} else if ended++; err != nil || len(got) != len(kept) {
			t.Errorf("byte %d: %d entries, then %d, %v", off, len(got), len(kept), err)
		}
	}
	if again == 0 || ended == 0 {
		t.Errorf("%d records read again, %d ends", again, ended)
	}
}

// A segment that its owner cuts while it is read ends where it then does.
func TestReplayOfASegmentThatIsCut(t *testing.T) {
	for _, size := range []int{10, scanChunk / 4} { // read at once, and in pieces
		t.Run(fmt.Sprintf("values of %d bytes", size), func(t *testing.T) { replayCut(t, size) })
	}
}

func replayCut(t *testing.T, size int) {
	o := testOptions(vfstest.NewMem(), SyncNever)
	o.SegmentSize = 4 * scanChunk
	l, _ := open(t, o)
	var want []Entry
	for i := range 12 {
		want = append(want, Entry{Key: []byte("key"), Value: bytes.Repeat([]byte{byte(i)}, size)})
		if err := l.Append(&want[i]); err != nil {
			t.Fatal(err)
		}
	}
	killed := o.FS.(*vfstest.Mem).Clone()
	closeLog(t, l)
	for _, c := range []struct {
		state string
		mem   vfs.FS
	}{{"closed", o.FS}, {"killed", killed}} {
		t.Run(c.state, func(t *testing.T) {
			for wrong := range 3 { // when the header is read, and then when the rest is
				for longer := range int64(3) {
					o.FS = &cutFS{FS: c.mem, name: segmentName("db/wal", 1), wrong: wrong, longer: longer * scanChunk / 2}
					got, _, err := replay(o)
					if err == nil {
						err = sameEntries(got, want)
					}
					if err != nil {
						t.Errorf("%s, the size %d times wrong by %d: %v", c.state, wrong, longer*scanChunk/2, err)
					}
				}
			}
		})
	}
}

// A segment that loses its name after all are open is read to its end; one that has lost it before is ErrDeleted.
func TestReplayOfDeletedSegments(t *testing.T) {
	want := puts(0, 60)
	mem, _ := smallLog(t, SyncAlways, want)
	names := segmentNames(t, mem)
	if len(names) < 3 {
		t.Fatalf("%d segments", len(names))
	}
	for i := range names {
		fault := vfstest.NewFault(mem.Clone())
		opened := 0
		fault.Inject(func(op vfstest.Op) error {
			if op.Kind == vfstest.OpOpen {
				if opened++; opened == i+1 {
					return fmt.Errorf("gone: %w", fs.ErrNotExist)
				}
			}
			return nil
		})
		if _, _, err := replay(testOptions(fault, SyncAlways)); !errors.Is(err, ErrDeleted) {
			t.Errorf("segment %d is gone: %v", i, err)
		}
	}
	o := testOptions(mem, SyncAlways)
	var got []Entry
	o.Replay = func(e *Entry) error {
		if got = append(got, clone(e)); len(got) > 1 {
			return nil
		}
		for _, name := range names {
			if err := mem.Remove(name); err != nil {
				return err
			}
		}
		return nil
	}
	if _, err := Replay("db/wal", &o); err != nil {
		t.Fatal(err)
	}
	if err := sameEntries(got, want); err != nil {
		t.Error(err)
	}
}

// meanwhile is a file system on which something happens before one of its reads, and on which one file reads as zeros up to
// that.
type meanwhile struct {
	vfs.FS
	left   int
	happen func()
	unseen string
}

type meanwhileFile struct {
	vfs.File
	fs     *meanwhile
	unseen bool
}

func (m *meanwhile) Open(name string) (vfs.File, error) {
	f, err := m.FS.Open(name)
	return &meanwhileFile{f, m, name == m.unseen}, err
}

func (f *meanwhileFile) ReadAt(p []byte, off int64) (int, error) {
	if f.fs.left--; f.fs.left == 0 {
		f.fs.happen()
	}
	n, err := f.File.ReadAt(p, off)
	if f.unseen && f.fs.left > 0 {
		clear(p[:n])
	}
	return n, err
}

// An owner that begins a segment while the log is read leaves nothing torn behind the place where the reader was.
func TestReplayBesideARotation(t *testing.T) {
	want := puts(0, 4)
	for _, begun := range []bool{false, true} { // the segment is there, and only its pages are seen late
		for at, read := 1, true; read; at++ {
			mem := vfstest.NewMem()
			l, _ := open(t, testOptions(mem, SyncNever))
			begin := func() {
				if _, err := l.Write(want[2:3]); err != nil {
					t.Fatal(err)
				}
				if err := l.Rotate(); err != nil {
					t.Fatal(err)
				}
				if _, err := l.Write(want[3:]); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := l.Write(want[:2]); err != nil {
				t.Fatal(err)
			}
			if err := l.Prepare(); err != nil {
				t.Fatal(err)
			}
			fs := &meanwhile{FS: mem, left: at, happen: begin}
			if begun {
				begin()
				fs.happen, fs.unseen = func() {}, segmentName("db/wal", 2)
			}
			es, r, err := replay(testOptions(fs, SyncNever))
			read = fs.left <= 0
			if err == nil {
				err = isPrefix(es, want)
			}
			if err != nil || len(es) < 2 || read && r.Cut != nil {
				t.Errorf("begun %t, read %d: %d entries, %+v, %v", begun, at, len(es), r.Cut, err)
			}
			closeLog(t, l)
		}
	}
}
