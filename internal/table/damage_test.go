package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

// damaged opens a file with the given bytes and reads all of it. It returns the first error, nil if everything that came
// out was right, and errDiffers if something was not.
func damaged(tb testing.TB, data []byte, c content, fs func(vfs.FS) vfs.FS) (readErr, verifyErr error) {
	tb.Helper()
	mem := vfstest.NewMem()
	if err := mem.WriteFile(testName, data); err != nil {
		tb.Fatal(err)
	}
	r, err := Open(fs(mem), testName, testID, nil)
	if err != nil {
		return err, err
	}
	defer r.Close()
	readErr = compareScan(r, c)
	for i := range c.entries {
		if err := compareGet(r, &c.entries[i]); err != nil && (readErr == nil || errors.Is(err, errDiffers)) {
			readErr = err
		}
	}
	return readErr, r.Verify(context.Background())
}

// expectDamage fails unless damage was noticed by Verify and nothing wrong was returned by anything else.
func expectDamage(t *testing.T, what string, at int, readErr, verifyErr error) {
	t.Helper()
	if errors.Is(readErr, errDiffers) {
		t.Errorf("%s %d: %v", what, at, readErr)
	}
	for _, err := range []error{readErr, verifyErr} {
		var ce *corrupt.Error
		if err != nil && !errors.As(err, &ce) && !errors.Is(err, format.ErrNewer) && !errors.Is(err, errDiffers) {
			t.Errorf("%s %d: %v, which is not a *corrupt.Error", what, at, err)
		}
		if ce != nil && ce.File != testName {
			t.Errorf("%s %d: the error names the file %q", what, at, ce.File)
		}
	}
	if verifyErr == nil {
		t.Errorf("%s %d: Verify saw nothing", what, at)
	}
}

func TestEveryBitFlip(t *testing.T) {
	for _, c := range compressions {
		for _, mode := range []int{0, 2} {
			t.Run(c.String()+" "+modes[mode].name, func(t *testing.T) {
				t.Parallel()
				content := testContent(24)
				mem := vfstest.NewMem()
				build(t, mem, testName, content, Options{BlockSize: 400, Compression: c})
				data := mustReadFile(t, mem, testName)
				step := 1
				switch {
				case testing.Short() || raceEnabled:
					step = 61
				case c != wal.CompressionNone || mode != 0:
					step = 7
				}
				for bit := 0; bit < 8*len(data); bit += step {
					data[bit/8] ^= 1 << (bit % 8)
					readErr, verifyErr := damaged(t, data, content, modes[mode].fs)
					expectDamage(t, "flip of bit", bit, readErr, verifyErr)
					data[bit/8] ^= 1 << (bit % 8)
				}
				if readErr, verifyErr := damaged(t, data, content, modes[mode].fs); readErr != nil || verifyErr != nil {
					t.Errorf("without damage: %v, %v", readErr, verifyErr)
				}
			})
		}
	}
}

func TestEveryLength(t *testing.T) {
	content := testContent(24)
	mem := vfstest.NewMem()
	build(t, mem, testName, content, Options{BlockSize: 400})
	data := mustReadFile(t, mem, testName)
	for _, mode := range []int{0, 2} {
		t.Run(modes[mode].name, func(t *testing.T) {
			for n := range data {
				readErr, verifyErr := damaged(t, data[:n], content, modes[mode].fs)
				expectDamage(t, "cut at", n, readErr, verifyErr)
				if readErr == nil {
					t.Errorf("cut at %d: everything was there", n)
				}
			}
			for n := 1; n < 200; n++ {
				readErr, verifyErr := damaged(t, append(slices.Clip(data), make([]byte, n)...), content, modes[mode].fs)
				expectDamage(t, "longer by", n, readErr, verifyErr)
			}
		})
	}
}

// TestMovedParts puts a part of a table, its checksum intact, in the place of another of the same size.
func TestMovedParts(t *testing.T) {
	var c content
	for i := range 2000 { // rows of one size, so blocks of one size
		e := testContent(5).entries[0]
		e.Key, e.Value, e.Seq = key(i), []byte{byte(i), byte(i >> 8)}, 1000
		c.entries = append(c.entries, e)
	}
	mem := vfstest.NewMem()
	build(t, mem, testName, c, Options{BaseSeq: 1000})
	r := mustOpen(t, mem, testName, nil)
	_, first, _, second := r.index.place(0)
	_, _, _, third := r.index.place(1)
	if second-first != third-second || r.pageCount < 2 {
		t.Fatalf("blocks at %d, %d, %d, and %d pages", first, second, third, r.pageCount)
	}
	for _, part := range []struct {
		name    string
		at, len int64
	}{
		{"blocks", first, second - first},
		{"hash pages", r.foot.hash.off, pageSize},
	} {
		t.Run(part.name, func(t *testing.T) {
			data := mustReadFile(t, mem, testName)
			a, b := data[part.at:part.at+part.len], data[part.at+part.len:part.at+2*part.len]
			for i := range a {
				a[i], b[i] = b[i], a[i]
			}
			for _, mode := range []int{0, 2} {
				readErr, verifyErr := damaged(t, data, c, modes[mode].fs)
				expectDamage(t, "swap at", int(part.at), readErr, verifyErr)
				if !errors.Is(readErr, ErrMisplaced) {
					t.Errorf("%s: reading says %v", modes[mode].name, readErr)
				}
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	mem := vfstest.NewMem()
	other := Identity{Database: testID.Database, File: 8}
	foreign := Identity{Database: [16]byte{9}, File: 7}
	build(t, mem, "a", testContent(10), Options{})
	build(t, mem, "b", testContent(10), Options{ID: other})
	for _, test := range []struct {
		name string
		file string
		id   Identity
		want error
	}{
		{"itself", "a", testID, nil},
		{"swapped", "b", testID, ErrMisplaced},
		{"swapped back", "a", other, ErrMisplaced},
		{"foreign", "a", foreign, ErrForeign},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := Open(mem, test.file, test.id, nil)
			if !errors.Is(err, test.want) {
				t.Errorf("Open: %v, want %v", err, test.want)
			}
			if err == nil {
				if r.ID() != test.id {
					t.Errorf("ID %v, want %v", r.ID(), test.id)
				}
				r.Close()
				return
			}
			if !errors.Is(err, corrupt.ErrCorrupt) {
				t.Errorf("%v is not corruption", err)
			}
		})
	}
}

func TestNewerVersion(t *testing.T) {
	mem := vfstest.NewMem()
	build(t, mem, testName, testContent(10), Options{})
	h := header{id: testID, base: base{time: testTime}}
	for name, more := range map[string]int{"as long": 0, "longer": 50, "shorter": -40} {
		payload := append(h.append(nil), make([]byte, max(0, more))...)[:headerPayload+more]
		payload[1]++
		record, err := wal.AppendRecord(nil, &wal.Record{Value: payload})
		if err != nil {
			t.Fatal(err)
		}
		data := append(record, mustReadFile(t, mem, testName)[headerSize:]...)
		newer := vfstest.NewMem()
		if err := newer.WriteFile(testName, data); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(newer, testName, testID, nil); !errors.Is(err, format.ErrNewer) || errors.Is(err, corrupt.ErrCorrupt) {
			t.Errorf("a header that is %s: %v", name, err)
		}
	}
}

// resealRecord gives a record the checksum of its bytes.
func resealRecord(b []byte) {
	body := b[:len(b)-recordCRCSize]
	binary.LittleEndian.PutUint32(b[len(body):], crc32.Checksum(body, castagnoli))
}

// TestVerifyFindsLies changes what a table says, with good checksums, where only Verify can know better.
func TestVerifyFindsLies(t *testing.T) {
	c := testContent(600)
	mem := vfstest.NewMem()
	build(t, mem, testName, c, Options{})
	r := mustOpen(t, mem, testName, nil)
	page := int(r.foot.hash.off)
	slots := func(data []byte) []byte { return data[page+pageHeader+pageSlotsStart : page+pageHeader+pageNumber] }
	freeSlot := func(slots []byte) []byte {
		for ; binary.LittleEndian.Uint64(slots) != 0; slots = slots[slotSize:] {
		}
		return slots[:slotSize]
	}
	properties := func(data []byte, change func(p *Properties)) []byte {
		p, err := decodeProperties(controlPayload(t, data, r.foot.properties), r.base)
		if err != nil {
			t.Fatal(err)
		}
		change(p)
		payload := p.append(nil, r.base)
		if int64(len(payload)) != int64(len(controlPayload(t, data, r.foot.properties))) {
			t.Fatal("the properties' size changed")
		}
		record, err := wal.AppendRecord(nil, &wal.Record{Value: payload})
		if err != nil {
			t.Fatal(err)
		}
		copy(data[r.foot.properties.off:], record)
		return data
	}
	for _, test := range []struct {
		name string
		lie  func(data []byte) []byte
	}{
		{"a slot too many", func(data []byte) []byte {
			binary.LittleEndian.PutUint64(freeSlot(slots(data)), 1)
			resealRecord(data[page : page+pageSize])
			return data
		}},
		{"a slot to another row", func(data []byte) []byte {
			for s := slots(data); ; s = s[slotSize:] {
				if v := binary.LittleEndian.Uint64(s); v != 0 {
					binary.LittleEndian.PutUint64(s, v+1)
					break
				}
			}
			resealRecord(data[page : page+pageSize])
			return data
		}},
		{"one tombstone less", func(data []byte) []byte {
			return properties(data, func(p *Properties) { p.Tombstones-- })
		}},
		{"a later largest deadline", func(data []byte) []byte {
			return properties(data, func(p *Properties) { p.MaxDeadline++ })
		}},
		{"another largest key", func(data []byte) []byte {
			return properties(data, func(p *Properties) { p.Largest = key(9999) })
		}},
		{"bytes in a bucket", func(data []byte) []byte {
			return properties(data, func(p *Properties) { p.Deadlines[0].Bytes++ })
		}},
		{"no padding", func(data []byte) []byte {
			gap := section{r.foot.index.end(), r.foot.hash.off - r.foot.index.end()}
			data[gap.end()-recordCRCSize-1] = 1
			resealRecord(data[gap.off:gap.end()])
			return data
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := test.lie(mustReadFile(t, mem, testName))
			if bytes.Equal(data, mustReadFile(t, mem, testName)) {
				t.Fatal("nothing was changed")
			}
			if _, err := damaged(t, data, c, modes[0].fs); !errors.Is(err, corrupt.ErrCorrupt) {
				t.Errorf("Verify: %v", err)
			}
		})
	}
}

func controlPayload(tb testing.TB, data []byte, s section) []byte {
	tb.Helper()
	r, _, err := wal.DecodeStored(data[s.off:s.end()])
	if err != nil {
		tb.Fatal(err)
	}
	return r.Value
}
