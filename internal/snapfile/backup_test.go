package snapfile

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/wal"
)

func put(key, value string, seq uint64, deadline int64) Item {
	return Item{Entry: kv.Entry{Key: []byte(key), Value: []byte(value), Seq: seq, Deadline: deadline}}
}

func del(key string, seq uint64) Item {
	return Item{Entry: kv.Entry{Key: []byte(key), Value: []byte{}, Seq: seq, Kind: kv.Delete}}
}

func rangeDelete(start, end string, seq uint64) Item {
	return Item{Kind: KindRangeDelete, Range: kv.RangeDelete{Start: []byte(start), End: []byte(end), Seq: seq}}
}

func evict(horizon int64, seq uint64) Item {
	return Item{Kind: KindEviction, Evict: kv.Eviction{Seq: seq, Horizon: horizon}}
}

func writerState(id int64, sequence int32, version uint64, used int64) Item {
	return Item{Kind: KindWriter, Writer: WriterState{id, sequence, version, used}}
}

var (
	fullHeader = Header{ID: [16]byte{1}, Database: [16]byte{9}, Through: 100, Clock: 1_700_000_000_000}
	incrHeader = Header{ID: [16]byte{2}, Database: [16]byte{9}, Since: 100, Through: 200, Clock: 1_700_000_000_001}
)

func fullItems() []Item {
	return []Item{put("a", "1", 7, 0), put("b", "", 3, 1_800_000_000_000), put("c", "33", 100, 0),
		writerState(5, 1<<31-1, 3, 1), writerState(6, 0, 100, 1<<62)}
}

func incrItems() []Item {
	return []Item{put("z", "1", 101, 0), del("a", 102), put("a", "2", 103, 5), rangeDelete("", "b", 104), rangeDelete("b", "c", 110),
		evict(1<<41, 111),
		put("b", "3", 200, 0), writerState(6, 1, 200, 9)}
}

// encode writes a file, with a flush after each item if asked to.
func encode(t testing.TB, h Header, c wal.Compression, flush bool, items ...Item) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, h, c)
	for _, it := range items {
		switch it.Kind {
		case KindEntry:
			err = errors.Join(err, w.Add(&it.Entry))
		case KindRangeDelete:
			err = errors.Join(err, w.AddRangeDelete(it.Range))
		case KindEviction:
			err = errors.Join(err, w.AddEviction(it.Evict))
		case KindWriter:
			err = errors.Join(err, w.AddWriters([]WriterState{it.Writer}))
		}
		if flush {
			err = errors.Join(err, w.Flush())
		}
	}
	if err = errors.Join(err, w.Finish()); err != nil {
		t.Fatal(err)
	}
	if w.Written() != int64(out.Len()) {
		t.Fatalf("written %d, of %d bytes", w.Written(), out.Len())
	}
	return out.Bytes()
}

// decode reads a file to its end.
func decode(r io.Reader) (Header, []Item, error) {
	f, err := NewReader(r, "file")
	if err != nil {
		return Header{}, nil, err
	}
	var items []Item
	for {
		var it Item
		if err := f.Next(&it); err == io.EOF {
			return f.Header(), items, nil
		} else if err != nil {
			if again := f.Next(&it); again != err {
				return Header{}, nil, fmt.Errorf("%w, and then %v", err, again)
			}
			return Header{}, nil, err
		}
		it.Entry.Key, it.Entry.Value = bytes.Clone(it.Entry.Key), bytes.Clone(it.Entry.Value)
		it.Range.Start, it.Range.End = bytes.Clone(it.Range.Start), bytes.Clone(it.Range.End)
		items = append(items, it)
	}
}

// wantCorrupt holds that reading is an error that says where.
func wantCorrupt(t *testing.T, what string, data []byte, cause error) {
	t.Helper()
	_, _, err := decode(bytes.NewReader(data))
	var ce *corrupt.Error
	if !errors.As(err, &ce) || ce.File != "file" || ce.Offset < 0 || ce.Offset > int64(len(data)) ||
		cause != nil && !errors.Is(err, cause) {
		t.Fatalf("%s: %v", what, err)
	}
}

func TestGolden(t *testing.T) {
	got := hex.EncodeToString(encode(t, Header{ID: [16]byte{1, 2}, Database: [16]byte{3}, Through: 5, Clock: 6}, 0, false,
		put("k", "v", 4, 7)))
	id := "0102" + strings.Repeat("00", 14)
	want := "004200" + "01" + "02" + hex.EncodeToString([]byte("ebb snap")) + id + "03" + strings.Repeat("00", 15) +
		"0000000000000000" + "0500000000000000" + "0600000000000000" + got[2*69:2*73] + // the header
		"003f00" + "02" + id + "0100000000000000" +
		"00000022" + "00" + got[2*106:2*110] + "0004" + "00" + "ffffffffffffffff" + "ffffffff" + "00000001" + // the batch
		"00000006" + "01" + "6b" + "03" + "0407" + "76" + got[2*139:2*143]
	if len(got) < len(want) || got[:len(want)] != want {
		t.Errorf("encoded as\n%s, want\n%s", got, want)
	}
	end := "003900" + "05" + id + "0200000000000000" + "0100000000000000" + "0000000000000000" + "0000000000000000"
	if rest := got[len(want):]; !strings.HasPrefix(rest, end) || len(rest) != len(end)+2*(8+4) {
		t.Errorf("the end is %s, want %s, a digest and a CRC", rest, end)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, c := range []struct {
		name   string
		header Header
		items  []Item
	}{
		{"full", fullHeader, fullItems()},
		{"increment", incrHeader, incrItems()},
		{"empty", fullHeader, nil},
		{"empty increment", incrHeader, nil},
		{"increment of nothing", Header{Since: 7, Through: 7}, nil},
		{"large", fullHeader, []Item{put("a", "1", 1, 0), put("b", strings.Repeat("large", 1<<20), 2, 0), put("c", "3", 3, 0)}},
	} {
		for _, compression := range []wal.Compression{wal.CompressionNone, wal.CompressionLZ4, wal.CompressionZstd} {
			for _, flush := range []bool{false, true} {
				data := encode(t, c.header, compression, flush, c.items...)
				for _, row := range []struct {
					name string
					r    io.Reader
				}{{"at once", bytes.NewReader(data)},
					{"with the end", iotest.DataErrReader(bytes.NewReader(data))}, {"in halves", iotest.HalfReader(bytes.NewReader(data))}} {
					h, items, err := decode(row.r)
					if err != nil || h != c.header || !reflect.DeepEqual(normal(items), normal(c.items)) {
						t.Fatalf("%s, %v, flush %t, %s: %+v, %d items, %v", c.name, compression, flush, row.name, h, len(items), err)
					}
				}
			}
		}
	}
}

// normal makes empty slices alike.
func normal(items []Item) []Item {
	out := slices.Clone(items)
	for i := range out {
		for _, b := range []*[]byte{&out[i].Entry.Key, &out[i].Entry.Value, &out[i].Range.Start, &out[i].Range.End} {
			if len(*b) == 0 {
				*b = nil
			}
		}
	}
	return out
}

func TestRoundTripRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var items []Item
		h := Header{Since: rapid.Uint64Range(1, 1<<40).Draw(t, "since")}
		seq := h.Since
		for range rapid.IntRange(0, 50).Draw(t, "items") {
			seq += uint64(rapid.IntRange(1, 1000).Draw(t, "step"))
			key := string(rapid.SliceOfN(rapid.Byte(), 1, 30).Draw(t, "key"))
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				items = append(items, del(key, seq))
			case 1:
				items = append(items, rangeDelete(key, key+"x", seq))
			default:
				value := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value")
				items = append(items, put(key, string(value), seq, rapid.Int64Range(0, 1<<62).Draw(t, "deadline")))
			}
		}
		h.Through = seq
		var out bytes.Buffer
		w, err := NewWriter(&out, h, rapid.SampledFrom([]wal.Compression{0, 1, 2}).Draw(t, "compression"))
		for i := range items {
			it := &items[i]
			if it.Kind == KindRangeDelete {
				err = errors.Join(err, w.AddRangeDelete(it.Range))
			} else {
				err = errors.Join(err, w.Add(&it.Entry))
			}
			if rapid.Bool().Draw(t, "flush") {
				err = errors.Join(err, w.Flush())
			}
		}
		if err = errors.Join(err, w.Finish()); err != nil {
			t.Fatal(err)
		}
		_, got, err := decode(&out)
		if err != nil || !reflect.DeepEqual(normal(got), normal(items)) {
			t.Fatalf("%d items came back as %d: %v", len(items), len(got), err)
		}
	})
}

// files are one of each kind, with all there is.
func files(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"full":      encode(t, fullHeader, 0, true, fullItems()...),
		"increment": encode(t, incrHeader, 0, true, incrItems()...),
		"compressed": encode(t, fullHeader, wal.CompressionZstd, false, put("a", strings.Repeat("a", 500), 1, 0),
			put("b", strings.Repeat("b", 500), 2, 0)),
	}
}

func TestEveryTruncationAndBitFlip(t *testing.T) {
	for name, data := range files(t) {
		for n := range data {
			wantCorrupt(t, fmt.Sprintf("%s cut at %d", name, n), data[:n], nil)
		}
		for bit := range len(data) * 8 {
			flipped := bytes.Clone(data)
			flipped[bit/8] ^= 1 << (bit % 8)
			wantCorrupt(t, fmt.Sprintf("%s, bit %d flipped", name, bit), flipped, nil)
		}
	}
}

// records cuts a file into its records.
func records(t testing.TB, data []byte) [][]byte {
	var list [][]byte
	for len(data) > 0 {
		_, n, err := wal.DecodeStored(data)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, data[:n])
		data = data[n:]
	}
	return list
}

// Whole records in the wrong places: every one of them is intact.
func TestSpliced(t *testing.T) {
	a := records(t, encode(t, fullHeader, 0, true, fullItems()...))
	otherHeader := fullHeader
	otherHeader.ID = [16]byte{7}
	b := records(t, encode(t, otherHeader, 0, true, fullItems()...))
	join := func(parts ...[][]byte) []byte { return bytes.Join(slices.Concat(parts...), nil) }
	for i := range a {
		if i > 0 {
			wantCorrupt(t, "head of one file, rest of another", join(a[:i], b[i:]), ErrForeign)
			wantCorrupt(t, "record of another file", join(a[:i], b[i:i+1], a[i+1:]), ErrForeign)
			wantCorrupt(t, "record missing", join(a[:i], a[i+1:]), nil)
		}
		wantCorrupt(t, "record doubled", join(a[:i+1], a[i:]), nil)
		for j := 1; j < i; j++ {
			wantCorrupt(t, "records swapped", join(a[:j], a[i:i+1], a[j+1:i], a[j:j+1], a[i+1:]), ErrMisplaced)
		}
	}
	wantCorrupt(t, "no header", join(a[1:]), ErrNotSnapshot)
	wantCorrupt(t, "two files", join(a, b), errTrailing)
	wantCorrupt(t, "zeros at the end", append(join(a), 0, 0, 0, 0), errTrailing)
	wantCorrupt(t, "no end", join(a[:len(a)-1]), wal.ErrIncomplete)
	wantCorrupt(t, "empty", nil, ErrNotSnapshot)
	wantCorrupt(t, "text", []byte("this is no snapshot file at all"), ErrNotSnapshot)
	wantCorrupt(t, "zeros", make([]byte, 1000), ErrNotSnapshot)
}

// The digest covers what nothing else does: a record that was made anew, with the right id and number.
func TestDigest(t *testing.T) {
	a := records(t, encode(t, fullHeader, 0, true, fullItems()...))
	changed := fullItems()
	changed[1].Entry.Value = []byte("other")
	b := records(t, encode(t, fullHeader, 0, true, changed...))
	wantCorrupt(t, "altered", bytes.Join(slices.Concat(a[:2], b[2:3], a[3:]), nil), errTotals)
}

func TestNewerVersion(t *testing.T) {
	value := append(fullHeader.append(nil), "more"...)
	value[1]++
	data, err := wal.AppendRecord(nil, &wal.Record{Value: value})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewReader(bytes.NewReader(data), "file"); !errors.Is(err, format.ErrNewer) || errors.Is(err, corrupt.ErrCorrupt) {
		t.Error(err)
	}
}

// Files that no Writer's user should make, but whose every sum is right.
func TestOrder(t *testing.T) {
	for _, c := range []struct {
		name   string
		header Header
		items  []Item
	}{
		{"keys descend", fullHeader, []Item{put("b", "", 1, 0), put("a", "", 2, 0)}},
		{"a key twice", fullHeader, []Item{put("a", "", 1, 0), put("a", "", 2, 0)}},
		{"a full file with a delete", fullHeader, []Item{del("a", 1)}},
		{"a full file with a range delete", fullHeader, []Item{rangeDelete("a", "b", 1)}},
		{"a full file with an eviction", fullHeader, []Item{evict(1, 1)}},
		{"an eviction twice", incrHeader, []Item{evict(2, 101), evict(1, 101)}},
		{"an eviction up to no deadline", incrHeader, []Item{evict(0, 101)}},
		{"an eviction up to a negative deadline", incrHeader, []Item{evict(-1, 101)}},
		{"sequence 0", fullHeader, []Item{put("a", "", 0, 0)}},
		{"a sequence after the last", fullHeader, []Item{put("a", "", 101, 0)}},
		{"sequences descend", incrHeader, []Item{put("a", "", 102, 0), put("b", "", 101, 0)}},
		{"a sequence twice", incrHeader, []Item{put("a", "", 101, 0), rangeDelete("b", "c", 101)}},
		{"a sequence before the first", incrHeader, []Item{put("a", "", 100, 0)}},
		{"an increment's sequence after the last", incrHeader, []Item{del("a", 201)}},
		{"a sequence that nothing can follow", Header{Through: 1<<64 - 1}, nil},
		{"an increment that ends before it begins", Header{Since: 2, Through: 1}, nil},
		{"a negative clock", Header{Through: 1, Clock: -1}, nil},
		{"writers descend", fullHeader, []Item{writerState(2, 0, 1, 0), writerState(1, 0, 1, 0)}},
		{"a writer twice", fullHeader, []Item{writerState(2, 0, 1, 0), writerState(2, 1, 2, 0)}},
		{"a negative writer", fullHeader, []Item{writerState(-2, 0, 1, 0)}},
		{"a negative sequence of a writer", fullHeader, []Item{writerState(2, -1, 1, 0)}},
		{"a writer's version after the last", fullHeader, []Item{writerState(2, 0, 101, 0)}},
		{"an empty range", incrHeader, []Item{rangeDelete("b", "b", 101)}},
	} {
		for _, flush := range []bool{false, true} {
			wantCorrupt(t, c.name, encode(t, c.header, 0, flush, c.items...), nil)
		}
	}
}

// What a file claims about a size takes no memory.
func TestHostileSizes(t *testing.T) {
	head := records(t, encode(t, fullHeader, 0, false))[0]
	for _, size := range []uint64{1 << 20, 1 << 28, 1 << 30, 1 << 31, 1 << 62, 1<<64 - 1} {
		data := append(bytes.Clone(head), 0)
		data = append(binary.AppendUvarint(data, size), 0)
		data = append(data, make([]byte, 1000)...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		wantCorrupt(t, "claim", data, nil)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
			t.Errorf("a claim of %d bytes took %d", size, got)
		}
	}
}

// An error of the stream is passed on, and is no damage.
func TestReadError(t *testing.T) {
	data := encode(t, fullHeader, 0, true, fullItems()...)
	cause := errors.New("cable cut")
	for n := range len(data) + 1 {
		_, _, err := decode(io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(cause)))
		if !errors.Is(err, cause) || errors.Is(err, corrupt.ErrCorrupt) {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
}

// limitedWriter takes n bytes.
type limitedWriter struct{ n int }

var errFull = errors.New("full")

func (w *limitedWriter) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// The first failure of the stream is what everything returns from then on.
func TestWriteError(t *testing.T) {
	write := func(n int) (*Writer, error) {
		w, err := NewWriter(&limitedWriter{n}, fullHeader, 0)
		for _, it := range fullItems()[:3] {
			if err == nil {
				err = errors.Join(w.Add(&it.Entry), w.Flush())
			}
		}
		if err == nil {
			err = w.AddWriters([]WriterState{{}, {}})
		}
		if err == nil {
			err = w.Finish()
		}
		return w, err
	}
	whole, err := write(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	for n := range int(whole.Written()) {
		w, err := write(n)
		if !errors.Is(err, errFull) {
			t.Fatalf("with room for %d bytes: %v", n, err)
		}
		if err := w.Finish(); !errors.Is(err, errFull) {
			t.Fatalf("with room for %d bytes, finished: %v", n, err)
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	w, err := NewWriter(io.Discard, fullHeader, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		e    kv.Entry
	}{
		{"an empty key", kv.Entry{Seq: 1}},
		{"a large key", kv.Entry{Key: make([]byte, MaxKeySize+1), Seq: 1}},
		{"a negative deadline", kv.Entry{Key: []byte("k"), Deadline: -1, Seq: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := w.Add(&c.e); err == nil {
				t.Errorf("%s is taken", c.name)
			}
		})
	}
	if err := w.Finish(); err != nil || w.Totals() != (Totals{}) {
		t.Errorf("%v, %+v", err, w.Totals())
	}
	if err := w.Add(&kv.Entry{Key: []byte("k"), Seq: 1}); !errors.Is(err, errFinished) {
		t.Errorf("added after the end: %v", err)
	}
}

func FuzzReader(f *testing.F) {
	for _, data := range files(f) {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, items, err := decode(bytes.NewReader(data))
		if err == nil {
			again, got, err := decode(bytes.NewReader(encode(t, h, 0, false, items...)))
			if err != nil || again != h || !reflect.DeepEqual(normal(got), normal(items)) {
				t.Fatalf("reads, but does not come back: %v", err)
			}
			return
		}
		var ce *corrupt.Error
		if !errors.As(err, &ce) && !errors.Is(err, format.ErrNewer) {
			t.Fatal(err)
		}
	})
}

// FuzzRecords fuzzes what is behind the checksums: values are made into records with the right frames, and an end that fits.
func FuzzRecords(f *testing.F) {
	for _, data := range files(f) {
		for _, r := range records(f, data)[1:] {
			rec, _, err := wal.DecodeRecord(r)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(rec.Value[0], rec.Value[frameSize:], false)
			f.Add(rec.Value[0], rec.Value[frameSize:], true)
		}
	}
	f.Fuzz(func(t *testing.T, kind byte, rest []byte, increment bool) {
		h := fullHeader
		if increment {
			h = incrHeader
		}
		var out bytes.Buffer
		w, err := NewWriter(&out, h, 0)
		if err != nil {
			t.Fatal(err)
		}
		w.record(append(appendFrame(nil, kind, h.ID, 1), rest...), 0)
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		_, _, err = decode(&out)
		if err != nil && !errors.Is(err, corrupt.ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
