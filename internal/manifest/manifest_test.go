package manifest

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
)

func sample() *State {
	return &State{
		Database: [16]byte{1, 2, 3}, NextFile: 9, FirstSegment: 4, LastSeq: 1000, Clock: 1_700_000_000_000, Created: 5,
		Log:    wal.Anchor{Position: wal.Position{Segment: 5, Offset: 99}, CRC: 0x01020304},
		Tables: []Table{{0, 8, 4096, 10}, {0, 7, 1 << 40, 20}, {6, 3, 123, 30}},
	}
}

// goldenHeader is that of the sample, behind its version.
const goldenHeader = "01020300000000000000000000000000" + "0900000000000000" + "04000000" + "e803000000000000" +
	"0068e5cf8b010000" + "0500000000000000"

func TestGolden(t *testing.T) {
	const want = "004a000104" + goldenHeader + "05000000" + "63000000" + "04030201" + "00000000" + "00000000" + "328ad40a" +
		"000900" + "0300000000" + "e352212b" + "ddd13468" // the end
	s := sample()
	s.Tables = nil
	if got := hex.EncodeToString(s.encode()); got != want {
		t.Errorf("encoded as\n%s, want\n%s", got, want)
	}
}

// Evictions stand before the end, ascend by sequence, and descend by horizon.
func TestEvictions(t *testing.T) {
	s := sample()
	s.Tables, s.Evictions = nil, kv.Evictions{{Seq: 5, Horizon: 0x0a0b}, {Seq: 0x0102, Horizon: 3}}
	data := s.encode()
	const want = "001100" + "05" + "0500000000000000" + "0b0a000000000000" + "85a5daa1" +
		"001100" + "05" + "0201000000000000" + "0300000000000000" + "8534b8cf" + "000900" + "0300000000"
	if got := hex.EncodeToString(data[3+headerSize+4:]); !strings.HasPrefix(got, want) {
		t.Errorf("encoded as\n%s, want\n%s", got, want)
	}
	for _, bad := range []kv.Evictions{{{Seq: 1}}, {{Seq: 1, Horizon: -1}}, {{Seq: 1, Horizon: 5}, {Seq: 1, Horizon: 4}},
		{{Seq: 2, Horizon: 5}, {Seq: 1, Horizon: 4}}, {{Seq: 1, Horizon: 5}, {Seq: 2, Horizon: 5}}} {
		s.Evictions = bad
		if got, err := load(t, s.encode()); !errors.Is(err, corrupt.ErrCorrupt) {
			t.Errorf("%v is loaded as %+v, %v", bad, got, err)
		}
	}
}

// The versions before the first release load, and are stored as what is current: 1 has no anchor of the log, and none has
// features.
func TestOlderVersions(t *testing.T) {
	for version, golden := range []string{
		1: "0036000101" + goldenHeader + "ea7eb3ee" + "000900" + "0300000000" + "b8102650" + "7f31e6a4",
		2: "0042000102" + goldenHeader + "05000000" + "63000000" + "04030201" + "b4d0eac7" + "000900" + "0300000000" + "2bf20db5" + "e2aad09f",
		3: "0042000103" + goldenHeader + "05000000" + "63000000" + "04030201" + "acaea526" +
			"001100" + "05" + "0500000000000000" + "0b0a000000000000" + "85a5daa1" + "000900" + "0300000000" + "d9e25c1e" + "e876e07f",
	} {
		if golden == "" {
			continue
		}
		data, err := hex.DecodeString(golden)
		if err != nil {
			t.Fatal(err)
		}
		want := sample()
		if want.Tables = nil; version == 1 {
			want.Log = wal.Anchor{}
		}
		if version == 3 {
			want.Evictions = kv.Evictions{{Seq: 5, Horizon: 0x0a0b}}
		}
		if got, err := load(t, data); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("version %d is loaded as %+v, %v, want %+v", version, got, err, want)
		}
		data[4] = formatVersion // with a checksum that is wrong, and one that is right
		if _, err := load(t, data); !errors.Is(err, corrupt.ErrCorrupt) {
			t.Error(err)
		}
		d := decoder{}
		if err := d.header(data[3 : 3+data[1]]); err == nil {
			t.Errorf("a header of the current version with %d bytes is taken", data[1])
		}
	}
}

// A feature that is not known is refused by its bit: one for reading always, one for writing by who writes. It is no damage.
func TestFeatures(t *testing.T) {
	s := sample()
	s.Features.Write = 1 << 3
	got, err := load(t, s.encode())
	if err != nil || !reflect.DeepEqual(got, s) {
		t.Fatalf("loaded %+v, %v", got, err)
	}
	if err := got.Features.Writable(); !errors.Is(err, format.ErrNewer) || !strings.Contains(err.Error(), "0x8") {
		t.Error(err)
	}
	s.Features.Read = 1 << 31
	_, err = load(t, s.encode())
	if !errors.Is(err, format.ErrNewer) || errors.Is(err, corrupt.ErrCorrupt) || !strings.Contains(err.Error(), "0x80000000") {
		t.Error(err)
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &State{
			NextFile: rapid.Uint64Range(1, 1<<60).Draw(t, "next"), FirstSegment: rapid.Uint32().Draw(t, "segment"),
			LastSeq: rapid.Uint64().Draw(t, "seq"), Clock: rapid.Int64().Draw(t, "clock"), Created: rapid.Int64().Draw(t, "created"),
		}
		s.Log = wal.Anchor{CRC: rapid.Uint32().Draw(t, "crc"),
			Position: wal.Position{Segment: rapid.Uint32().Draw(t, "log segment"), Offset: rapid.Uint32().Draw(t, "log offset")}}
		copy(s.Database[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		for range rapid.IntRange(0, 20).Draw(t, "tables") {
			s.Tables = append(s.Tables, Table{rapid.IntRange(0, NumLevels-1).Draw(t, "level"),
				rapid.Uint64Range(0, s.NextFile-1).Draw(t, "file"), rapid.Int64Range(0, 1<<62).Draw(t, "size"),
				rapid.Uint64().Draw(t, "entries")})
		}
		id := int64(-1)
		for range rapid.IntRange(0, 5).Draw(t, "writers") {
			id += rapid.Int64Range(1, 1<<40).Draw(t, "id")
			s.Writers = append(s.Writers, Writer{id, rapid.Int32Range(0, math.MaxInt32).Draw(t, "sequence"),
				rapid.Uint64().Draw(t, "version"), rapid.Int64().Draw(t, "used")})
		}
		at := kv.Eviction{Horizon: math.MaxInt64}
		for range rapid.IntRange(0, 3).Draw(t, "evictions") {
			at.Seq += rapid.Uint64Range(1, 1<<40).Draw(t, "seq")
			at.Horizon -= rapid.Int64Range(1, 1<<60).Draw(t, "horizon")
			s.Evictions = append(s.Evictions, at)
		}
		s.Features.Write = rapid.Uint32().Draw(t, "features")
		mem := vfstest.NewMem()
		if err := errors.Join(mem.MkdirAll("db"), Store(mem, "db", s)); err != nil {
			t.Fatal(err)
		}
		got, err := Load(mem, "db")
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Fatalf("stored %+v, loaded %+v: %v", s, got, err)
		}
	})
}

func TestLoadNone(t *testing.T) {
	mem := vfstest.NewMem()
	if err := mem.MkdirAll("db"); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(mem, "db"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func load(t testing.TB, data []byte) (*State, error) {
	t.Helper()
	mem := vfstest.NewMem()
	if err := errors.Join(mem.MkdirAll("db"), mem.WriteFile("db/"+Name, data)); err != nil {
		t.Fatal(err)
	}
	return Load(mem, "db")
}

func wantCorrupt(t *testing.T, what string, at int, err error) {
	t.Helper()
	var ce *corrupt.Error
	if !errors.As(err, &ce) || ce.File != "db/"+Name {
		t.Fatalf("%s at %d: %v", what, at, err)
	}
}

func TestEveryTruncationAndBitFlip(t *testing.T) {
	data := sample().encode()
	for n := range data {
		_, err := load(t, data[:n])
		wantCorrupt(t, "cut", n, err)
	}
	for bit := range len(data) * 8 {
		flipped := bytes.Clone(data)
		flipped[bit/8] ^= 1 << (bit % 8)
		_, err := load(t, flipped)
		wantCorrupt(t, "flip of bit", bit, err)
	}
}

func TestSpliced(t *testing.T) {
	a, other := sample(), sample()
	other.Tables[1].File = 6
	x, y := a.encode(), other.encode()
	table := tableSize + 7
	first := headerSize + 7
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"a table of another manifest", bytes.Join([][]byte{x[:first+table], y[first+table : first+2*table], x[first+2*table:]}, nil)},
		{"two tables swapped",
			bytes.Join([][]byte{x[:first], x[first+table : first+2*table], x[first : first+table], x[first+2*table:]}, nil)},
		{"a table missing", bytes.Join([][]byte{x[:first], x[first+table:]}, nil)},
		{"a table doubled", bytes.Join([][]byte{x[:first+table], x[first:]}, nil)},
		{"two manifests", append(bytes.Clone(x), y...)},
		{"zeros at the end", append(bytes.Clone(x), 0, 0, 0, 0, 0, 0, 0, 0)},
		{"no header", x[first:]},
		{"empty", []byte{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := load(t, c.data)
			wantCorrupt(t, c.name, 0, err)
		})
	}
}

func TestNewerVersion(t *testing.T) {
	h := make([]byte, headerSize+10)
	h[0], h[1] = typeHeader, formatVersion+1
	var e encoder
	e.record(h)
	_, err := load(t, e.buf)
	if !errors.Is(err, format.ErrNewer) || errors.Is(err, corrupt.ErrCorrupt) || !strings.Contains(err.Error(), fmt.Sprint(formatVersion+1)) {
		t.Error(err)
	}
}

// replace stores one state over another on a file system.
func replace(mem vfs.FS, first, second *State) error {
	return errors.Join(mem.MkdirAll("db"), mem.SyncDir("."), Store(mem, "db", first), Store(mem, "db", second))
}

func TestCrashStates(t *testing.T) {
	old, next := sample(), sample()
	next.LastSeq, next.Tables = 2000, next.Tables[:1]
	mem := vfstest.NewMem()
	if err := errors.Join(mem.MkdirAll("db"), Store(mem, "db", old)); err != nil {
		t.Fatal(err)
	}
	mem.Record()
	if err := Store(mem, "db", next); err != nil {
		t.Fatal(err)
	}
	vfstest.EachCrash(t, mem, vfstest.CrashPoints{Random: 16}, func(c *vfstest.Crash) error {
		got, err := Load(c.FS, "db")
		if err != nil {
			return err
		}
		isOld, isNew := reflect.DeepEqual(got, old), reflect.DeepEqual(got, next)
		if !isOld && !isNew || c.Op == 0 && !isOld || c.Last && !isNew {
			return fmt.Errorf("%+v", got)
		}
		return Store(c.FS, "db", next) // again
	})
}

// A failed Store says whether the old manifest is still in force, and is right.
func TestErrorAtEveryOperation(t *testing.T) {
	old, next := sample(), sample()
	next.LastSeq = 2000
	counter := vfstest.NewFault(vfstest.NewMem())
	if err := replace(counter, old, next); err != nil {
		t.Fatal(err)
	}
	for _, cause := range []error{syscall.EIO, syscall.ENOSPC, vfstest.Short(7, syscall.EIO)} {
		for n := 1; n <= counter.Count(vfstest.OpAny); n++ {
			mem := vfstest.NewMem()
			if err := errors.Join(mem.MkdirAll("db"), Store(mem, "db", old)); err != nil {
				t.Fatal(err)
			}
			fault := vfstest.NewFault(mem)
			fault.Inject(vfstest.FailNth(vfstest.OpAny, "", n, cause))
			err := Store(fault, "db", next)
			got, lerr := Load(mem, "db")
			if lerr != nil {
				t.Fatalf("%v at operation %d: %v", cause, n, lerr)
			}
			switch {
			case err == nil && got.LastSeq != next.LastSeq:
				t.Errorf("%v at operation %d: stored without an error, but the old one is there", cause, n)
			case err != nil && !errors.Is(err, ErrUncertain) && got.LastSeq != old.LastSeq:
				t.Errorf("%v at operation %d: %v, but the new one is there", cause, n, err)
			}
			if err := Store(mem, "db", next); err != nil {
				t.Errorf("%v at operation %d: store again: %v", cause, n, err)
			}
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(sample().encode())
	f.Add((&State{NextFile: 1}).encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := load(t, data)
		if err == nil && len(data) == len(s.encode()) && !bytes.Equal(s.encode(), data) {
			t.Error("loads, but stores as other bytes of the same length")
		}
	})
}

// TestNew: a new database has the id that it is given, and comes back as it was stored.
func TestNew(t *testing.T) {
	mem := vfstest.NewMem()
	s := New(func(id []byte) { copy(id, "sixteen of chance") }, 7)
	if string(s.Database[:]) != "sixteen of chanc" || s.Created != 7 || s.Clock != 7 {
		t.Errorf("%+v", s)
	}
	if err := Store(mem, "/", s); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(mem, "/"); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("%+v, %v, want %+v", got, err, s)
	}
}
