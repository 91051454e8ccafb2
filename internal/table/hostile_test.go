package table

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

// uvarints is a payload: a type that decoders skip, and numbers.
func uvarints(vs ...uint64) []byte {
	payload := []byte{0}
	for _, v := range vs {
		payload = binary.AppendUvarint(payload, v)
	}
	return payload
}

func TestDecodeBlockIndexRefuses(t *testing.T) {
	const end = headerSize + 100 // blocks of 60 and 40 bytes
	for _, test := range []struct {
		name    string
		payload []byte
		ok      bool
	}{
		{"good", append(uvarints(2, 0, 10<<1, 50, 10<<1, 30), 1, 'k'), true},
		{"nothing", uvarints(), false},
		{"a separator missing", uvarints(2, 0, 10<<1, 50, 10<<1, 30), false},
		{"a byte too many", append(uvarints(2, 0, 10<<1, 50, 10<<1, 30), 1, 'k', 0), false},
		{"a block too many", append(uvarints(3, 0, 10<<1, 50, 10<<1, 30), 1, 'k'), false},
		{"more blocks than bytes", uvarints(1<<20, 0, 10<<1, 50), false},
		{"more blocks than numbers", uvarints(math.MaxUint64, 0), false},
		{"a prefix too long", uvarints(1, 1000, 10<<1, 90), false},
		{"a gap before the end", uvarints(1, 0, 10<<1, 89), false},
		{"past the end", uvarints(1, 0, 10<<1, 91), false},
		{"far past the end", uvarints(1, 0, 10<<1, math.MaxUint64-9), false},
		{"past the end, then back", append(uvarints(2, 0, 10<<1, 100, 10<<1, math.MaxUint64-19), 1, 'k'), false},
		{"a head too long", uvarints(1, 0, (wordHead+1)<<1, 90), false},
		{"no room for a checksum", append(uvarints(2, 0, 10<<1, 3, 10<<1, 77), 1, 'k'), false},
		{"compressed where nothing is", uvarints(1, 0, 10<<1|1, 90), false},
	} {
		x, err := decodeBlockIndex(test.payload, end, wal.CompressionNone)
		if (err == nil) != test.ok || (x == nil) == test.ok {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	// A head that would run into the neighbouring bits must not even be stored in a file large enough for it.
	if _, err := decodeBlockIndex(uvarints(1, 0, (wordHead+1)<<1, 90), headerSize+wordHead+91, wal.CompressionNone); err == nil {
		t.Error("a head too long in a large file passes")
	}
}

func TestDecodeFooterRefuses(t *testing.T) {
	good := footer{
		index: section{100, 28}, hash: section{128, pageSize}, ranges: section{128 + pageSize, 10},
		properties: section{138 + pageSize, 20},
	}
	const size = 158 + pageSize + footerSize
	for _, test := range []struct {
		name   string
		change func(f *footer)
		ok     bool
	}{
		{"good", func(f *footer) {}, true},
		{"index in the header", func(f *footer) { f.index.off = headerSize - 1; f.index.size = 129 - headerSize }, false},
		{"a gap after the index", func(f *footer) { f.index.size-- }, false},
		{"half a page", func(f *footer) { f.hash.size -= 8; f.ranges.off -= 8; f.ranges.size += 8 }, false},
		{"a gap after the pages", func(f *footer) { f.ranges.off++; f.ranges.size-- }, false},
		{"a gap after the range deletes", func(f *footer) { f.ranges.size-- }, false},
		{"a gap before the footer", func(f *footer) { f.properties.size-- }, false},
		{"properties in the footer", func(f *footer) { f.properties.size++ }, false},
		{"past the end", func(f *footer) { f.properties.off = size + 1 }, false},
		{"negative", func(f *footer) { f.index.off = -1 }, false},
		{"backwards", func(f *footer) { f.hash, f.index = f.index, f.hash }, false},
		{"sum overflows", func(f *footer) { f.hash.size = math.MaxInt64 - 127 }, false},
	} {
		f := good
		test.change(&f)
		if got, err := decodeFooter(f.append(nil), size); (err == nil) != test.ok || test.ok && got != good {
			t.Errorf("%s: %+v, %v", test.name, got, err)
		}
	}
	payload := good.append(nil)
	for _, at := range []int{0, 1, footerMagic, footerPayload - 1} {
		payload[at] ^= 0x40
		if _, err := decodeFooter(payload, size); err == nil {
			t.Errorf("byte %d changed: no error", at)
		}
		payload[at] ^= 0x40
	}
	if _, err := decodeFooter(payload[:footerPayload-1], size); err == nil {
		t.Error("a footer too short: no error")
	}
}

func TestDecodeHeaderRefuses(t *testing.T) {
	h := header{id: testID, base: base{seq: 5, time: testTime}, compression: wal.CompressionZstd}
	good := h.append(nil)
	if got, err := decodeHeader(good); err != nil || got != h {
		t.Errorf("a good header: %+v, %v", got, err)
	}
	for _, c := range []struct {
		name string
		b    []byte
	}{
		{"nothing", nil},
		{"a type alone", good[:1]},
		{"too short", good[:headerPayload-1]},
		{"too long", append(good[:headerPayload:headerPayload], 0)},
		{"other type", append([]byte{typeFooter}, good[1:]...)},
		{"version 0", append([]byte{typeHeader, 0}, good[2:]...)},
		{"compression", append(good[:headerPayload-1:headerPayload-1], 3)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := decodeHeader(c.b); err == nil || errors.Is(err, format.ErrNewer) {
				t.Error(err)
			}
		})
	}
}

func TestDecodeRowRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		row  []byte
		ok   bool
	}{
		{"put", []byte{0, 0, 0, 6, 1, 'k', 3, 5, 0, 'v'}, true},
		{"tombstone", []byte{0, 0, 0, 2, 1, 'k', 0, 0, 0, 3, 0, 1, 5}, true},
		{"no length", []byte{0, 0, 0}, false},
		{"empty", []byte{0, 0, 0, 0}, false},
		{"past the end", []byte{0, 0, 0, 7, 1, 'k', 3, 5, 0, 'v'}, false},
		{"far past the end", []byte{0xff, 0xff, 0xff, 0xff, 1, 'k', 3, 5, 0, 'v'}, false},
		{"key too long", []byte{0, 0, 0, 6, 6, 'k', 3, 5, 0, 'v'}, false},
		{"key length cut", []byte{0, 0, 0, 1, 0x80, 'k', 3, 5, 0, 'v'}, false},
		{"no key", []byte{0, 0, 0, 5, 0, 3, 5, 0, 'v'}, false},
		{"value too long", []byte{0, 0, 0, 6, 1, 'k', 4, 5, 0, 'v'}, false},
		{"value too short", []byte{0, 0, 0, 6, 1, 'k', 2, 5, 0, 'v'}, false},
		{"value length cut", []byte{0, 0, 0, 3, 1, 'k', 0x80}, false},
		{"nothing in the value", []byte{0, 0, 0, 3, 1, 'k', 0}, false},
		{"no deadline", []byte{0, 0, 0, 4, 1, 'k', 1, 5}, false},
		{"sequence cut", []byte{0, 0, 0, 5, 1, 'k', 2, 0x80, 0x80}, false},
		{"deadline cut", []byte{0, 0, 0, 5, 1, 'k', 2, 5, 0x80}, false},
		{"tombstone alone", []byte{0, 0, 0, 2, 1, 'k'}, false},
		{"tombstone before a put", []byte{0, 0, 0, 2, 1, 'k', 0, 0, 0, 4, 1, 'l', 1, 5}, false},
		{"tombstone twice", []byte{0, 0, 0, 2, 1, 'k', 0, 0, 0, 1, 0}, false},
		{"tombstone's sequence cut", []byte{0, 0, 0, 2, 1, 'k', 0, 0, 0, 3, 0, 1, 0x80}, false},
		{"tombstone with more", []byte{0, 0, 0, 2, 1, 'k', 0, 0, 0, 4, 0, 2, 5, 0}, false},
	} {
		b := base{seq: 1}
		var r row
		for _, at := range []int{0, firstRow} { // as a point read and as a block has it
			block := append(make([]byte, at), test.row...)
			if next := b.decodeRow(&r, block, at); (next == len(block)) != test.ok || next != 0 && !test.ok {
				t.Errorf("%s, at %d: next row at %d of %d", test.name, at, next, len(block))
			}
		}
	}
}

// TestHostileSlots points slots, with good checksums, to where no row is.
func TestHostileSlots(t *testing.T) {
	c := testContent(30)
	for _, compression := range []wal.Compression{wal.CompressionNone, wal.CompressionLZ4} {
		for _, mode := range modes {
			t.Run(compression.String()+" "+mode.name, func(t *testing.T) {
				mem := vfstest.NewMem()
				build(t, mem, testName, c, Options{Compression: compression, BlockSize: 400})
				foot := mustOpen(t, mem, testName, nil).foot
				for _, place := range []uint64{
					0, 1, headerSize - 1, headerSize, headerSize + 1, uint64(foot.index.off) - 1, uint64(foot.index.off),
					placeMask, batch.HeaderSize - 1, 1<<placeOffsetBits | 5, 1 << placeOffsetBits, 3<<placeOffsetBits | 65535,
					1000<<placeOffsetBits | batch.HeaderSize,
				} {
					data := mustReadFile(t, mem, testName)
					page := data[foot.hash.off:][:pageSize]
					for s := page[pageHeader+pageSlotsStart : pageHeader+pageNumber]; len(s) > 0; s = s[slotSize:] {
						if v := binary.LittleEndian.Uint64(s); v != 0 {
							binary.LittleEndian.PutUint64(s, v&^placeMask|place)
						}
					}
					resealRecord(page)
					lied := vfstest.NewMem()
					if err := lied.WriteFile(testName, data); err != nil {
						t.Fatal(err)
					}
					r := mustOpen(t, mode.fs(lied), testName, mustCache(t, mode.cache))
					for i := range c.entries {
						var e kv.Entry
						if _, found, err := r.AppendGet(nil, c.entries[i].Key, &e); found || err != nil && !errors.Is(err, corrupt.ErrCorrupt) {
							t.Errorf("place %d: found %v, %v", place, found, err)
						}
					}
					if err := r.Verify(context.Background()); !errors.Is(err, corrupt.ErrCorrupt) {
						t.Errorf("place %d: Verify: %v", place, err)
					}
				}
			})
		}
	}
}

// TestVerifyKeys has a block that is not what a Writer makes of its keys: Verify knows.
func TestVerifyKeys(t *testing.T) {
	for _, test := range []struct {
		name   string
		keys   []string
		before func(w *Writer) // the next Add or Finish
		want   error
	}{
		{"rows out of order", []string{"b", "a"}, func(w *Writer) { w.lastKey = w.lastKey[:0] }, ErrOrder},
		{"a record with another key", []string{"a"}, func(w *Writer) {
			w.lastKey = []byte("b")
			if err := w.finishBlock(); err != nil {
				t.Fatal(err)
			}
			w.lastKey = []byte("a")
		}, errMismatch},
		{"a row twice", []string{"a", "a"}, func(w *Writer) { w.lastKey = w.lastKey[:0] }, ErrOrder},
	} {
		t.Run(test.name, func(t *testing.T) {
			mem := vfstest.NewMem()
			w := mustWriter(t, mem, testName, defaults(Options{}))
			for _, k := range test.keys {
				if err := w.Add(&kv.Entry{Key: []byte(k)}); err != nil {
					t.Fatal(err)
				}
				test.before(w)
			}
			mustFinish(t, w)
			if err := mustOpen(t, mem, testName, nil).Verify(context.Background()); !errors.Is(err, test.want) {
				t.Errorf("Verify: %v, want %v", err, test.want)
			}
		})
	}
}

// TestCollidingTag looks up a key that is not in the table but whose slot, by its hash, belongs to one that is.
func TestCollidingTag(t *testing.T) {
	mem := vfstest.NewMem()
	w := mustWriter(t, mem, testName, defaults(Options{}))
	if err := w.Add(&kv.Entry{Key: []byte("a")}); err != nil {
		t.Fatal(err)
	}
	w.rows[0].hash = xxhash.Sum64String("b")
	mustFinish(t, w)
	for _, mode := range modes {
		r := mustOpen(t, mode.fs(mem), testName, mustCache(t, mode.cache))
		var e kv.Entry
		if found, err := r.Stat([]byte("b"), &e); found || err != nil {
			t.Errorf("%s: found %v, %v", mode.name, found, err)
		}
	}
}

// misjudged is a file system that is wrong about the length of files.
type misjudged struct{ vfs.FS }

type misjudgedFile struct{ vfs.File }

func (m misjudged) Open(name string) (vfs.File, error) {
	f, err := m.FS.Open(name)
	return misjudgedFile{f}, err
}

func (f misjudgedFile) Size() (int64, error) {
	n, err := f.File.Size()
	return n + 1000, err
}

// TestOpenOfChangingFile: the file is shorter when it is mapped or read than when its length was asked for.
func TestOpenOfChangingFile(t *testing.T) {
	mem := vfstest.NewMem()
	build(t, mem, testName, testContent(10), Options{})
	for _, mode := range []int{0, 2} {
		if _, err := Open(modes[mode].fs(misjudged{mem}), testName, testID, nil); !errors.Is(err, errTruncated) {
			t.Errorf("%s: %v", modes[mode].name, err)
		}
	}
}

// TestFailedOpenCloses: an Open that fails leaves no file open.
func TestFailedOpenCloses(t *testing.T) {
	mem := vfstest.NewMem()
	if err := mem.WriteFile(testName, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	fault := vfstest.NewFault(mem)
	if _, err := Open(fault, testName, testID, nil); !errors.Is(err, corrupt.ErrCorrupt) {
		t.Errorf("Open: %v", err)
	}
	if n := fault.Count(vfstest.OpClose); n != 1 {
		t.Errorf("closed %d times", n)
	}
}
