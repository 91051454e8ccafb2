package table

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

// FuzzOpenTable changes bytes of small tables and reads all of what is left of them, mapped and not. The changes are
// triples: an offset of two bytes and what to flip there. With reseal, every checksum is then made right again, as a
// hostile hand would: nothing is promised of what comes out, but it must come out without a panic, end, and cost memory in
// proportion to the file. Without, what comes out must be right, or an error.
func FuzzOpenTable(f *testing.F) {
	c := testContent(30)
	var tables [][]byte
	for _, compression := range compressions {
		mem := vfstest.NewMem()
		build(f, mem, testName, c, Options{BlockSize: 300, Compression: compression})
		tables = append(tables, mustReadFile(f, mem, testName))
	}
	for i := range tables {
		f.Add(uint8(i), []byte{}, uint16(0), false)
		f.Add(uint8(i), []byte{0, 60, 0xff, 1, 0, 1}, uint16(0), true)
		f.Add(uint8(i), []byte{}, uint16(100), true)
		size := uint16(len(tables[i]))
		for back := uint16(1); back < 300; back += 13 { // footer, properties, range deletes
			f.Add(uint8(i), []byte{byte((size - back) >> 8), byte(size - back), 0x81}, uint16(0), true)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, changes []byte, cut uint16, reseal bool) {
		original := tables[int(which)%len(tables)]
		data := slices.Clone(original[:len(original)-min(int(cut), len(original))])
		for ; len(changes) >= 3 && len(data) > 0; changes = changes[3:] {
			data[int(binary.BigEndian.Uint16(changes))%len(data)] ^= changes[2]
		}
		for _, mode := range []int{0, 2} {
			if reseal {
				resealTable(data, original)
				readHostile(t, data, c, modes[mode].fs)
				continue
			}
			readErr, _ := damaged(t, data, c, modes[mode].fs)
			if errors.Is(readErr, errDiffers) {
				t.Errorf("%s: %v", modes[mode].name, readErr)
			}
		}
	})
}

// resealTable gives every record that was in the original, and every batch in it that is not compressed, a good checksum.
func resealTable(data, original []byte) {
	for off := 0; off < len(original); {
		r, n, err := wal.DecodeStored(original[off:])
		if err != nil || off+n > len(data) {
			return
		}
		if len(r.Key) > 0 && r.Compression == wal.CompressionNone {
			b := data[off+n-recordCRCSize-len(r.Value) : off+n-recordCRCSize]
			sealBatch(b, int(binary.BigEndian.Uint32(b[batch.HeaderSize-4:])))
		}
		resealRecord(data[off : off+n])
		off += n
	}
}

// readHostile reads all it can of a file that may say anything.
func readHostile(t *testing.T, data []byte, c content, fs func(vfs.FS) vfs.FS) {
	mem := vfstest.NewMem()
	if err := mem.WriteFile(testName, data); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	defer func() {
		runtime.ReadMemStats(&after)
		// LZ4 can make 255 bytes out of one; the blocks are read several times over, each time anew after an error.
		if n, most := after.TotalAlloc-before.TotalAlloc, uint64(len(data))*2000+8<<20; n > most {
			t.Errorf("%d bytes were allocated for a file of %d", n, len(data))
		}
	}()
	r, err := Open(fs(mem), testName, testID, nil)
	if err != nil {
		return
	}
	defer r.Close()
	it := r.NewIterator()
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if n++; n > len(data) {
			t.Fatalf("%d entries in %d bytes", n, len(data))
		}
		if e := it.Entry(); len(e.Key) == 0 || e.Kind == kv.Delete && len(e.Value) > 0 {
			t.Errorf("entry %s", describe(e))
		}
	}
	for ok := it.Last(); ok; ok = it.Prev() {
		n--
	}
	if it.Err() == nil && n != 0 {
		t.Errorf("%d entries more forwards than backwards", n)
	}
	var e kv.Entry
	for i := range c.entries {
		_, _, _ = r.AppendGet(nil, c.entries[i].Key, &e)
		it.SeekGE(c.entries[i].Key)
		it.SeekLT(c.entries[i].Key)
	}
	readHostileSorted(t, r, c, len(data))
	_ = r.Verify(context.Background())
	_ = r.Properties().AllExpired(testTime)
	_ = r.Properties().ExpiredBytes(testTime)
}

// readHostileSorted reads a sorted view of a table that may say anything, twice.
func readHostileSorted(t *testing.T, r *Reader, c content, size int) {
	if !r.Sortable() {
		return
	}
	s, err := Sort([][]*Reader{{r}, {r}}, never)
	if err != nil {
		return
	}
	var it SortedIterator
	for _, copies := range []*Copies{nil, new(Copies)} {
		it.Reset(s, copies)
		n := 0
		for ok := it.First(); ok; ok = it.Next() {
			run, _ := it.Run(20, false)
			it.Pass(len(run)-1, false)
			if n += len(run); n > 2*size {
				t.Fatalf("%d entries in %d bytes, twice", n, size)
			}
		}
		for ok := it.Last(); ok; ok = it.Prev() {
			run, _ := it.Run(20, true)
			it.Pass(len(run)-1, true)
			n -= len(run)
		}
		if it.Err() != nil || n != 0 {
			t.Errorf("%d entries more forwards than backwards, %v", n, it.Err())
		}
		for i := range c.entries {
			it.SeekGE(c.entries[i].Key)
			it.SeekLT(c.entries[i].Key)
		}
		it.Close()
	}
}
