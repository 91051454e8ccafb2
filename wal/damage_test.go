package wal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// smallLog appends entries under a policy and returns the file system as it is after a clean close, and as the death of
// the process before it would have left it.
func smallLog(t testing.TB, policy SyncPolicy, want []Entry) (closed, killed *vfstest.Mem) {
	t.Helper()
	mem := vfstest.NewMem()
	l, _ := open(t, testOptions(mem, policy))
	for i := range want {
		if err := l.Append(&want[i]); err != nil {
			t.Fatal(err)
		}
	}
	killed = mem.Clone()
	closeLog(t, l)
	return mem, killed
}

// isPrefix says whether got is the beginning of want.
func isPrefix(got, want []Entry) error {
	if len(got) > len(want) {
		return fmt.Errorf("%d entries, only %d were appended", len(got), len(want))
	}
	return sameEntries(got, want[:len(got)])
}

// segmentNames returns the log's segments in order.
func segmentNames(t testing.TB, mem *vfstest.Mem) []string {
	t.Helper()
	names, err := mem.ReadDir("db/wal")
	if err != nil {
		t.Fatal(err)
	}
	var segments []string
	for _, n := range names {
		if strings.HasSuffix(n, SegmentSuffix) {
			segments = append(segments, "db/wal/"+n)
		}
	}
	return segments
}

// openDamaged opens a log that was changed. If that fails, it must be for corruption in a file of the log, and no file may
// have changed; otherwise what it replays must be a prefix of want, and appending must go on.
func openDamaged(mem *vfstest.Mem, policy SyncPolicy, want []Entry) (got []Entry, err error) {
	before := mem.Clone()
	l, got, err := tryOpen(testOptions(mem, policy))
	if err != nil {
		var ce *CorruptError
		if !errors.Is(err, ErrCorrupt) || !errors.As(err, &ce) || !strings.HasPrefix(ce.File, "db/wal/") {
			return nil, fmt.Errorf("a failure that is no corruption: %w", err)
		}
		if d := before.Diff(mem); len(d) != 0 {
			return nil, fmt.Errorf("the failed open changed %v", d)
		}
		return nil, nil
	}
	if err := isPrefix(got, want); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	e := put(1)
	if err := errors.Join(l.Append(&e), l.Close()); err != nil {
		return nil, err
	}
	l, again, err := tryOpen(testOptions(mem, policy))
	if err != nil {
		return nil, fmt.Errorf("reopen: %w", err)
	}
	return got, errors.Join(sameEntries(again, append(got[:len(got):len(got)], e)), l.Close())
}

// flipped returns a copy of mem with one bit of a file changed.
func flipped(t testing.TB, mem *vfstest.Mem, name string, bit int) *vfstest.Mem {
	t.Helper()
	c := mem.Clone()
	if err := c.Corrupt(name, int64(bit/8), 1<<(bit%8)); err != nil {
		t.Fatal(err)
	}
	return c
}

// cut returns a copy of mem with a file cut to n bytes.
func cut(t testing.TB, mem *vfstest.Mem, name string, n int) *vfstest.Mem {
	t.Helper()
	c := mem.Clone()
	data, err := c.ReadFile(name)
	if err == nil {
		err = c.WriteFile(name, data[:n])
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every bit of a log that was closed lies before the close mark, which proves that it was on the disk; but for the bits of
// the mark itself.
func TestEveryBitFlipOfAClosedLog(t *testing.T) {
	want := puts(0, 25)
	closed, _ := smallLog(t, SyncAlways, want)
	names := segmentNames(t, closed)
	if len(names) < 3 {
		t.Fatalf("only %d segments", len(names))
	}
	for i, name := range names {
		data, _ := closed.ReadFile(name)
		mark := len(data) - markSize
		for bit := 0; bit < len(data)*8; bit += vfstest.Step(11) {
			got, err := openDamaged(flipped(t, closed, name, bit), SyncAlways, want)
			if err != nil {
				t.Fatalf("%s, bit %d: %v", name, bit, err)
			}
			inMark := i == len(names)-1 && bit/8 >= mark
			if inMark != (got != nil) {
				t.Fatalf("%s, bit %d: %d entries, in the close mark: %v", name, bit, len(got), inMark)
			}
			if inMark && len(got) != len(want) {
				t.Fatalf("%s, bit %d: %d of %d entries", name, bit, len(got), len(want))
			}
		}
	}
}

// In a log whose process died, the watermark that opened the last group proves everything before it. What follows is a
// torn tail if it is damaged.
func TestEveryBitFlipOfAKilledLog(t *testing.T) {
	want := puts(0, 31)
	_, killed := smallLog(t, SyncAlways, want)
	names := segmentNames(t, killed)
	last := names[len(names)-1]
	if want[len(want)-3].Pos.Segment != want[len(want)-1].Pos.Segment {
		t.Fatal("the last segment holds fewer than three groups")
	}
	group := want[len(want)-1].Pos.Offset - markSize // the last group begins with a watermark
	for bit := 0; bit < int(want[len(want)-1].Pos.Offset+40)*8; bit += vfstest.Step(11) {
		got, err := openDamaged(flipped(t, killed, last, bit), SyncAlways, want)
		if err != nil {
			t.Fatalf("bit %d: %v", bit, err)
		}
		if proven := bit/8 < int(group); proven && got != nil {
			t.Fatalf("bit %d lies below the watermark at %d: opened with %d entries", bit, group, len(got))
		} else if !proven && len(got) < len(want)-1 {
			t.Fatalf("bit %d lies behind the last watermark at %d: opened with %d entries", bit, group, len(got))
		}
	}
}

func TestEveryBitFlipOfAnUnsyncedLog(t *testing.T) {
	want := puts(0, 8)
	_, killed := smallLog(t, SyncNever, want)
	names := segmentNames(t, killed)
	if len(names) != 1 {
		t.Fatalf("%d segments", len(names))
	}
	for bit := 0; bit < int(want[len(want)-1].Pos.Offset+40)*8; bit += vfstest.Step(11) {
		got, err := openDamaged(flipped(t, killed, names[0], bit), SyncNever, want)
		if err != nil {
			t.Fatalf("bit %d: %v", bit, err)
		}
		if inHeader := bit/8 < headerSize; inHeader != (got == nil && bit/8 < headerSize) {
			t.Fatalf("bit %d in the header: opened", bit)
		}
		for i := range want {
			if ok := i < len(got); int(want[i].Pos.Offset) > bit/8 && bit/8 >= headerSize && ok {
				t.Fatalf("bit %d: entry %d behind the damage came back", bit, i)
			} else if i+1 < len(want) && int(want[i+1].Pos.Offset) <= bit/8 && !ok {
				t.Fatalf("bit %d: entry %d before the damage is lost", bit, i)
			}
		}
	}
}

// A segment that another follows must be whole, if there is proof that the other was on the disk. The newest may end anywhere,
// even before its header: a cut takes the proof with it.
func TestEveryTruncation(t *testing.T) {
	for _, policy := range []SyncPolicy{SyncAlways, SyncNever} {
		want := puts(0, 25)
		closed, killed := smallLog(t, policy, want)
		for _, c := range []struct {
			state string
			mem   *vfstest.Mem
		}{{"closed", closed}, {"killed", killed}} {
			names := segmentNames(t, c.mem)
			for i, name := range names {
				data, _ := c.mem.ReadFile(name)
				for n := 0; n < len(data); n += vfstest.Step(7) {
					got, err := openDamaged(cut(t, c.mem, name, n), policy, want)
					if err != nil {
						t.Fatalf("policy %d, %s, %s cut to %d: %v", policy, c.state, name, n, err)
					}
					newest := i == len(names)-1
					unproven := policy == SyncNever && c.state == "killed" || n >= len(data)-markSize
					if opened := got != nil; opened && !(newest || unproven) || opened && n < headerSize && i == 0 {
						t.Fatalf("policy %d, %s, %s cut to %d of %d: opened %v", policy, c.state, name, n, len(data), opened)
					}
					for j := range want {
						end := int64(len(data))
						if j+1 < len(want) && want[j+1].Pos.Segment == want[j].Pos.Segment {
							end = int64(want[j+1].Pos.Offset)
						}
						whole := newest && got != nil && (segmentName("db/wal", want[j].Pos.Segment) != name || end <= int64(n))
						if whole && n >= headerSize && j >= len(got) {
							t.Fatalf("policy %d, %s, %s cut to %d: entry %d is lost", policy, c.state, name, n, j)
						}
					}
				}
			}
		}
	}
}

// The tail is replaced by what a disk may leave there: zeros, old bytes, garbage, from each sector on or in it alone.
func TestTornTails(t *testing.T) {
	want := puts(0, 60)
	mem := vfstest.NewMem()
	o := testOptions(mem, SyncNever)
	o.SegmentSize = 16 << 10
	l, _ := open(t, o)
	if err := l.AppendAll(want[:20]); err != nil {
		t.Fatal(err)
	}
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	synced := int(l.End().Offset)
	old, _ := mem.ReadFile(segmentNames(t, mem)[0])
	old = bytes.Clone(old)
	if err := l.AppendAll(want[20:]); err != nil {
		t.Fatal(err)
	}
	end := int(l.End().Offset)
	killed := mem.Clone()
	closeLog(t, l)

	garbage := bytes.Repeat([]byte{0xa5, 0x00, 0x13}, 6000)
	const sector = 512
	for from := synced; from < end; from = (from/sector + 1) * sector {
		for to := (from/sector + 1) * sector; to <= end+sector; to += sector {
			for _, row := range []struct {
				kind string
				bad  []byte
			}{{"old", old}, {"zeros", make([]byte, len(old))}, {"garbage", garbage}} {
				c := killed.Clone()
				name := segmentNames(t, c)[0]
				data, _ := c.ReadFile(name)
				data = bytes.Clone(data)
				hi := min(to, len(data))
				copy(data[from:hi], row.bad[from:hi])
				if err := c.WriteFile(name, data); err != nil {
					t.Fatal(err)
				}
				got, err := openDamaged(c, SyncNever, want)
				if err != nil {
					t.Fatalf("%s from %d to %d: %v", row.kind, from, hi, err)
				}
				if len(got) < 20 {
					t.Fatalf("%s from %d to %d: %d entries, 20 were synced", row.kind, from, hi, len(got))
				}
			}
		}
	}
}

func TestTornTailIsKept(t *testing.T) {
	want := puts(0, 8)
	_, killed := smallLog(t, SyncNever, want)
	name := segmentNames(t, killed)[0]
	at := want[5].Pos.Offset
	torn := flipped(t, killed, name, int(at+3)*8)
	data, _ := torn.ReadFile(name)
	tail := bytes.TrimRight(data[at:], "\x00")

	var events []Event
	o := testOptions(torn, SyncNever)
	o.OnEvent = func(e Event) { events = append(events, e) }
	l, es := open(t, o)
	defer closeLog(t, l)
	if err := sameEntries(es, want[:5]); err != nil {
		t.Fatal(err)
	}
	c := l.Recovery().Cut
	if c == nil || c.File != name || c.Offset != int64(at) || c.Bytes != int64(len(tail)) {
		t.Fatalf("recovery reports %+v", c)
	}
	if len(events) != 1 || events[0] != Event(*c) {
		t.Errorf("events: %+v", events)
	}
	kept, err := torn.ReadFile(c.Quarantine)
	if err != nil || !bytes.Equal(kept, tail) {
		t.Errorf("quarantine holds %d bytes, want %d: %v", len(kept), len(tail), err)
	}
}

// A value that holds the bytes of a log, watermarks and all, proves nothing about the log around it.
func TestEmbeddedLogIsNoProof(t *testing.T) {
	inner, _ := smallLog(t, SyncAlways, puts(0, 5))
	image, _ := inner.ReadFile(segmentNames(t, inner)[0])
	want := []Entry{put(0), {Key: []byte("torn"), Value: []byte("x")}, {Key: []byte("a log"), Value: image}}
	mem := vfstest.NewMem()
	o := testOptions(mem, SyncNever) // of the same id, in a segment of the same number
	o.SegmentSize = 1 << 20
	l, _ := open(t, o)
	if err := l.AppendAll(want); err != nil {
		t.Fatal(err)
	}
	killed := mem.Clone()
	closeLog(t, l)
	got, err := openDamaged(flipped(t, killed, segmentNames(t, killed)[0], int(want[1].Pos.Offset+4)*8), SyncNever, want)
	if err != nil || len(got) != 1 {
		t.Errorf("%d entries: %v", len(got), err)
	}
}

// Segments that are whole but not where they belong.
func TestMisplacedSegments(t *testing.T) {
	build := func(id ID) *vfstest.Mem {
		mem := vfstest.NewMem()
		o := testOptions(mem, SyncAlways)
		o.ID = id
		l, _ := open(t, o)
		es := puts(0, 60)
		if err := l.AppendAll(es); err != nil {
			t.Fatal(err)
		}
		closeLog(t, l)
		return mem
	}
	ours, theirs := build(ID{1, 2, 3}), build(ID{9})
	name := func(i uint32) string { return segmentName("db/wal", i) }
	read := func(mem *vfstest.Mem, i uint32) []byte {
		data, err := mem.ReadFile(name(i))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	newest := uint32(len(segmentNames(t, ours)))
	for _, c := range []struct {
		name   string
		change func(m *vfstest.Mem) error
		want   error
		file   uint32
	}{
		{"another database's segment", func(m *vfstest.Mem) error { return m.WriteFile(name(3), read(theirs, 3)) }, ErrForeign, 3},
		{"another database's first segment",
			func(m *vfstest.Mem) error { return m.WriteFile(name(1), read(theirs, 1)) }, ErrForeign, 1},
		{"a middle segment is missing", func(m *vfstest.Mem) error { return m.Remove(name(3)) }, ErrGap, 3},
		{"a duplicate", func(m *vfstest.Mem) error { return m.WriteFile(name(newest+1), read(ours, 2)) }, ErrMisplaced, newest + 1},
		{"two swapped", func(m *vfstest.Mem) error {
			return errors.Join(m.WriteFile(name(2), read(ours, 3)), m.WriteFile(name(3), read(ours, 2)))
		}, ErrMisplaced, 2},
		{"the segment of another history", func(m *vfstest.Mem) error {
			other := vfstest.NewMem()
			l, _ := open(t, testOptions(other, SyncAlways))
			es := puts(1, 61)
			if err := l.AppendAll(es); err != nil {
				return err
			}
			closeLog(t, l)
			return m.WriteFile(name(2), read(other, 2))
		}, ErrChain, 2},
		{"a short middle segment", func(m *vfstest.Mem) error {
			data := read(ours, 2)
			return m.WriteFile(name(2), data[:len(data)-markSize])
		}, ErrCorrupt, 2},
		{"a record doubled", func(m *vfstest.Mem) error {
			data := read(ours, 1)
			_, n, err := DecodeStored(data[headerSize:])
			rec := data[headerSize : headerSize+n]
			return errors.Join(err, m.WriteFile(name(1), bytes.Join([][]byte{data[:headerSize], rec, data[headerSize:]}, nil)))
		}, ErrMisplaced, 1},
		{"two records of one length swapped", func(m *vfstest.Mem) error {
			data := bytes.Clone(read(ours, 1))
			_, a, err := DecodeStored(data[headerSize:])
			_, b, err2 := DecodeStored(data[headerSize+a:])
			if a != b {
				t.Fatal("the records differ in length")
			}
			first, second := bytes.Clone(data[headerSize:headerSize+a]), bytes.Clone(data[headerSize+a:headerSize+2*a])
			copy(data[headerSize:], second)
			copy(data[headerSize+a:], first)
			return errors.Join(err, err2, m.WriteFile(name(1), data))
		}, ErrChain, 1},
		{"a newer version", func(m *vfstest.Mem) error {
			data := bytes.Clone(read(ours, 1))
			h := bytes.Clone(data[3 : 3+headerPayload])
			h[1] = formatVersion + 1
			return m.WriteFile(name(1), append(appendControl(nil, h), data[headerSize:]...))
		}, ErrVersion, 1},
		{"a newer version of the newest", func(m *vfstest.Mem) error {
			data := bytes.Clone(read(ours, newest))
			h := append(bytes.Clone(data[3:3+headerPayload]), make([]byte, 40)...)
			h[1] = formatVersion + 1
			return m.WriteFile(name(newest), append(appendControl(nil, h), data[headerSize:]...))
		}, ErrVersion, newest},
		{"a newer version with a longer header", func(m *vfstest.Mem) error {
			data := bytes.Clone(read(ours, 1))
			h := append(bytes.Clone(data[3:3+headerPayload]), make([]byte, 40)...)
			h[1] = formatVersion + 1
			return m.WriteFile(name(1), append(appendControl(nil, h), data[headerSize:]...))
		}, ErrVersion, 1},
		{"no header", func(m *vfstest.Mem) error { return m.WriteFile(name(1), read(ours, 1)[headerSize:]) }, ErrCorrupt, 1},
		{"empty", func(m *vfstest.Mem) error { return m.WriteFile(name(newest-1), nil) }, ErrCorrupt, newest - 1},
		{"renamed", func(m *vfstest.Mem) error { return m.Rename(name(1), "db/wal/1.wal") }, ErrMisplaced, 0},
		{"unknown control record", func(m *vfstest.Mem) error {
			data := read(ours, newest)
			return m.WriteFile(name(newest), appendControl(bytes.Clone(data), []byte{99}))
		}, ErrCorrupt, newest},
		{"a record of a newer nori", func(m *vfstest.Mem) error {
			newer, _ := AppendRecord(nil, &Record{Key: []byte("k")})
			newer[2] |= 0x80
			newer = reseal(newer[:len(newer)-recordCRCSize])
			return m.WriteFile(name(newest), append(bytes.Clone(read(ours, newest)), newer...))
		}, ErrReservedBits, newest},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := ours.Clone()
			if err := c.change(m); err != nil {
				t.Fatal(err)
			}
			before := m.Clone()
			_, _, err := tryOpen(testOptions(m, SyncAlways))
			if !errors.Is(err, c.want) {
				t.Errorf("open: %v, want %v", err, c.want)
			}
			var ce *CorruptError
			if errors.As(err, &ce) && c.file != 0 && ce.File != name(c.file) {
				t.Errorf("the error names %s, want %s", ce.File, name(c.file))
			}
			if d := before.Diff(m); len(d) != 0 {
				t.Errorf("the failed open changed %v", d)
			}
		})
	}
	o := testOptions(ours.Clone(), SyncAlways)
	o.MinNextSeq = 10_000
	if _, _, err := tryOpen(o); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a log that ends before what the owner knows: %v", err)
	}
	o = testOptions(vfstest.NewMem(), SyncAlways)
	o.MinNextSeq = 2
	if _, _, err := tryOpen(o); !errors.Is(err, ErrGap) {
		t.Errorf("no log where the owner knows of one: %v", err)
	}
}

// FuzzOpenSegment opens a log whose newest segment is anything at all.
func FuzzOpenSegment(f *testing.F) {
	want := puts(0, 8)
	closed, killed := smallLog(f, SyncAlways, want)
	for _, mem := range []*vfstest.Mem{closed, killed} {
		names := segmentNames(f, mem)
		data, err := mem.ReadFile(names[0])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
		f.Add(bytes.TrimRight(data, "\x00"))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		mem := vfstest.NewMem()
		if err := errors.Join(mem.MkdirAll("db/wal"), mem.WriteFile("db/wal/000001.wal", data)); err != nil {
			t.Fatal(err)
		}
		before := mem.Clone()
		o := testOptions(mem, SyncAlways)
		o.ID = ID{}
		l, es, err := tryOpen(o)
		if err != nil {
			d := before.Diff(mem)
			if len(d) > 0 && !(len(d) == 1 && d[0] == "db/wal/LOCK") {
				t.Fatalf("the failed open (%v) changed %v", err, d)
			}
			return
		}
		e := put(1)
		if err := errors.Join(l.Append(&e), l.Close()); err != nil {
			t.Fatal(err)
		}
		l, again, err := tryOpen(o)
		if err != nil {
			t.Fatal(err)
		}
		if len(again) != len(es)+1 {
			t.Errorf("%d entries, then one more: %d", len(es), len(again))
		}
		closeLog(t, l)
	})
}

// The headers of older versions are read as what they say.
func TestHeaderVersions(t *testing.T) {
	want := header{ID{1, 2, 3}, 7, 100, 1_700_000_000_000, link{6, 500, 0xabcd}, 400}
	r, _, err := DecodeRecord(want.append(nil))
	if err != nil {
		t.Fatal(err)
	}
	for version := byte(1); version <= formatVersion; version++ {
		b := bytes.Clone(r.Value)
		b[1] = version
		if version == 1 {
			b, want.synced = b[:headerPayload-4], want.prev.length
		} else {
			want.synced = 400
		}
		if got, err := decodeHeader(b); err != nil || got != want {
			t.Errorf("version %d: %+v, %v", version, got, err)
		}
	}
}
