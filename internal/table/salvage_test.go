package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

// salvaged reads what can be read of a file and fails the test if any of it was never written. It returns the number of
// entries, and of complaints.
func salvaged(t *testing.T, data []byte, c content, fs func(vfs.FS) vfs.FS) (entries, complaints int) {
	t.Helper()
	mem := vfstest.NewMem()
	if err := mem.WriteFile(testName, data); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSalvage(fs(mem), testName)
	if err != nil {
		var ce *corrupt.Error
		if !errors.As(err, &ce) && !errors.Is(err, format.ErrNewer) {
			t.Fatalf("%v, which is not a *corrupt.Error", err)
		}
		return 0, 1
	}
	defer s.Close()
	rest := c.entries
	for e, err := range s.Entries() {
		if err != nil {
			var lost *Lost
			if !errors.As(err, &lost) || !errors.Is(err, corrupt.ErrCorrupt) || lost.From >= lost.To || lost.To > int64(len(data)) {
				t.Fatalf("a complaint of %v", err)
			}
			complaints++
			continue
		}
		for len(rest) > 0 && !bytes.Equal(rest[0].Key, e.Key) {
			rest = rest[1:]
		}
		if len(rest) == 0 || !sameEntry(&rest[0], e) {
			t.Fatalf("%s was not written, or not in this order", describe(e))
		}
		entries++
	}
	for _, d := range s.RangeDeletes {
		if !hasDelete(c.ranges, d) {
			t.Fatalf("range delete %v was not written", d)
		}
	}
	if len(s.RangeDeletes) != len(c.ranges) && len(s.Problems) == 0 {
		t.Fatalf("%d of %d range deletes, and no problem", len(s.RangeDeletes), len(c.ranges))
	}
	return entries, complaints + len(s.Problems)
}

func hasDelete(list []kv.RangeDelete, d kv.RangeDelete) bool {
	for _, w := range list {
		if w.Seq == d.Seq && bytes.Equal(w.Start, d.Start) && bytes.Equal(w.End, d.End) {
			return true
		}
	}
	return false
}

func TestSalvage(t *testing.T) {
	for _, c := range compressions {
		for _, mode := range modes[:3] {
			content := testContent(300)
			mem := vfstest.NewMem()
			build(t, mem, testName, content, Options{Compression: c, BlockSize: 1024})
			data := mustReadFile(t, mem, testName)
			if n, bad := salvaged(t, data, content, mode.fs); n != len(content.entries) || bad != 0 {
				t.Errorf("%v, %s: %d of %d entries, %d complaints", c, mode.name, n, len(content.entries), bad)
			}
		}
	}
}

// What comes out of a damaged file was in it, and what does not is complained about. Hash pages are not needed for it.
func TestSalvageDamaged(t *testing.T) {
	for _, c := range compressions {
		content := testContent(120)
		mem := vfstest.NewMem()
		build(t, mem, testName, content, Options{Compression: c, BlockSize: 512})
		data := mustReadFile(t, mem, testName)
		same := func(fs vfs.FS) vfs.FS { return fs }
		step := 1
		if raceEnabled {
			step = 37
		}
		for at := 0; at < len(data); at += step {
			data[at] ^= 1 << (at % 8)
			n, bad := salvaged(t, data, content, same)
			data[at] ^= 1 << (at % 8)
			if n < len(content.entries) && bad == 0 {
				t.Errorf("%v, byte %d: %d of %d entries, and no complaint", c, at, n, len(content.entries))
			}
			if at >= headerSize && n < len(content.entries)/2 {
				t.Errorf("%v, byte %d: %d of %d entries", c, at, n, len(content.entries))
			}
		}
		for n := 0; n < len(data); n += step {
			if _, bad := salvaged(t, data[:n], content, same); bad == 0 {
				t.Errorf("%v, cut at %d: no complaint", c, n)
			}
		}
	}
}

// FuzzSalvage changes bytes of a table, and makes the checksums of the changed records right if told to.
func FuzzSalvage(f *testing.F) {
	content := testContent(30)
	mem := vfstest.NewMem()
	build(f, mem, testName, content, Options{BlockSize: 256})
	original := mustReadFile(f, mem, testName)
	f.Add([]byte{0, 60, 1}, uint16(0), false)
	f.Add([]byte{1, 2, 255, 0, 100, 3}, uint16(9), true)
	f.Fuzz(func(t *testing.T, changes []byte, cut uint16, reseal bool) {
		data := bytes.Clone(original[:len(original)-min(int(cut), len(original))])
		for ; len(changes) >= 3 && len(data) > 0; changes = changes[3:] {
			data[int(binary.BigEndian.Uint16(changes))%len(data)] ^= changes[2]
		}
		if !reseal {
			salvaged(t, data, content, func(fs vfs.FS) vfs.FS { return fs })
			return
		}
		resealTable(data, original)
		mem := vfstest.NewMem()
		if err := mem.WriteFile(testName, data); err != nil {
			t.Fatal(err)
		}
		if s, err := OpenSalvage(mem, testName); err == nil {
			for range s.Entries() { // whatever they are
			}
			s.Close()
		}
		describeAll(data)
	})
}

// describeAll describes as many records as there are.
func describeAll(data []byte) {
	var d Describer
	for {
		r, n, err := wal.DecodeRecord(data)
		if n == 0 {
			return
		}
		if err == nil {
			d.Describe(&r)
		}
		data = data[n:]
	}
}

func TestDescribe(t *testing.T) {
	content := testContent(50)
	mem := vfstest.NewMem()
	build(t, mem, testName, content, Options{Compression: wal.CompressionLZ4})
	data := mustReadFile(t, mem, testName)
	var d Describer
	seen := make(map[string]int)
	for len(data) > 0 {
		r, n, err := wal.DecodeRecord(data)
		if err != nil {
			t.Fatal(err)
		}
		what, err := d.Describe(&r)
		if err != nil || len(what.Fields) == 0 {
			t.Errorf("%+v, %v", what, err)
		}
		seen[what.What]++
		for _, row := range what.Rows {
			seen[row.What]++
		}
		data = data[n:]
	}
	for what, least := range map[string]int{"table header": 1, "data block": 1, "put": 40, "tombstone": 10,
		"hash page": 1, "block index": 1,
		"range deletes": 1, "range delete": 3, "properties": 1, "deadlines": 1, "footer": 1} {
		if seen[what] < least {
			t.Errorf("%d times %q, want at least %d", seen[what], what, least)
		}
	}
	for _, bad := range []wal.Record{{}, {Value: []byte{99}}, {Value: []byte{typeFooter}}, {Value: []byte{typeHashPage}},
		{Value: []byte{typeHeader}}, {Value: []byte{typeProperties}}, {Value: []byte{typeRangeDeletes}},
		{Value: []byte{typeBlockIndex}},
		{Key: []byte("k"), Value: make([]byte, firstRow+3)}} {
		if what, err := d.Describe(&bad); err == nil {
			t.Errorf("%+v is described as %+v", bad, what)
		}
	}
}
