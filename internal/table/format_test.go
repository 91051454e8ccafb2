package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/ebbdb/ebb/batch"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
	"github.com/ebbdb/ebb/wal"
	"pgregory.net/rapid"
)

// dump walks a file by its records alone and prints each, with the zeros of hash pages and padding left out.
func dump(data []byte) (string, error) {
	var s strings.Builder
	for off := 0; off < len(data); {
		r, n, err := wal.DecodeStored(data[off:])
		if err != nil {
			return "", fmt.Errorf("offset %d: %w", off, err)
		}
		fmt.Fprintf(&s, "%d+%d", off, n)
		if len(r.Key) > 0 {
			fmt.Fprintf(&s, " %q %v", r.Key, r.Compression)
		}
		zeros := 0
		for i, c := range r.Value {
			if c == 0 {
				zeros++
				continue
			}
			if zeros > 8 {
				fmt.Fprintf(&s, " [%d zeros]", zeros)
			} else {
				s.WriteString(strings.Repeat(" 00", zeros))
			}
			zeros = 0
			fmt.Fprintf(&s, " %02x", r.Value[i])
		}
		fmt.Fprintf(&s, " [%d zeros]\n", zeros)
		off += n
	}
	return s.String(), nil
}

// TestGolden holds the format still: these bytes exist on disks.
func TestGolden(t *testing.T) {
	c := content{
		entries: []kv.Entry{
			{Key: []byte("a"), Value: []byte("one"), Seq: 1000},
			{Key: []byte("b"), Kind: kv.Delete, Seq: 1300},
			{Key: []byte("cat"), Value: nil, Seq: 1001, Deadline: testTime + 100},
			{Key: []byte("dog"), Value: []byte("two"), Seq: 1002, Deadline: testTime - 1},
		},
		ranges: []kv.RangeDelete{{Start: []byte("p"), End: []byte("q"), Seq: 1400}},
	}
	mem := vfstest.NewMem()
	build(t, mem, testName, c, Options{BaseSeq: 1000, BlockSize: 64})
	got, err := dump(mustReadFile(t, mem, testName))
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/golden.txt"
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the table is now\n%s\nand %s has\n%s", got, golden, want)
	}
}

// TestRecordsFillFile walks tables as a dump command does, and looks at the order of what it finds.
func TestRecordsFillFile(t *testing.T) {
	for _, c := range compressions {
		t.Run(c.String(), func(t *testing.T) {
			mem := vfstest.NewMem()
			build(t, mem, testName, testContent(1000), Options{Compression: c})
			data := mustReadFile(t, mem, testName)
			var order []byte
			compressed := 0
			for len(data) > 0 {
				r, n, err := wal.DecodeRecord(data)
				if err != nil {
					t.Fatal(err)
				}
				kind := byte(0)
				if len(r.Key) == 0 {
					kind = r.Value[0]
				} else {
					rows, _, err := batch.Decode(r.Value)
					if err != nil || rows.SchemaID != schemaRows {
						t.Fatalf("block %q: schema %d, %v", r.Key, rows.SchemaID, err)
					}
				}
				if r.Compression == c {
					compressed++
				}
				if len(order) == 0 || order[len(order)-1] != kind {
					order = append(order, kind)
				}
				data = data[n:]
			}
			want := []byte{typeHeader, 0, typeBlockIndex, typePadding, typeHashPage, typeRangeDeletes, typeProperties, typeFooter}
			if !bytes.Equal(order, want) {
				t.Errorf("kinds of records %v, want %v", order, want)
			}
			if compressed == 0 {
				t.Errorf("no block is stored as %v", c)
			}
		})
	}
}

func TestDeadlineCode(t *testing.T) {
	for _, b := range []base{{}, {time: testTime}, {time: math.MaxInt64}} {
		seen := map[uint64]int64{}
		for _, d := range []int64{0, 1, 2, testTime - 1, testTime, testTime + 1, math.MaxInt64 - 1, math.MaxInt64} {
			code := b.deadlineCode(d)
			if got := b.deadline(code); got != d {
				t.Errorf("base %d: deadline %d has code %d, which is %d", b.time, d, code, got)
			}
			if other, ok := seen[code]; ok {
				t.Errorf("base %d: deadlines %d and %d have the code %d", b.time, d, other, code)
			}
			seen[code] = d
		}
	}
}

func TestPaddingSize(t *testing.T) {
	for off := range int64(1000) {
		n := paddingSize(off)
		if (off+n)%pageAlign != 0 || n > 0 && n <= controlOverhead || n > 127+controlOverhead {
			t.Errorf("paddingSize(%d) = %d", off, n)
		}
	}
}

// TestRowsAgainstBatch holds the two readers of batch records together on rows of every shape.
func TestRowsAgainstBatch(t *testing.T) {
	b := base{seq: 5, time: testTime}
	c := testContent(500)
	c.entries = append(c.entries,
		kv.Entry{Key: bytes.Repeat([]byte("k"), 127), Value: make([]byte, 126), Seq: 5},
		kv.Entry{Key: bytes.Repeat([]byte("k"), 128), Value: make([]byte, 128), Seq: 1 << 40, Deadline: 1},
		kv.Entry{Key: bytes.Repeat([]byte("k"), MaxKeySize), Value: make([]byte, 1<<21), Seq: math.MaxUint64, Deadline: math.MaxInt64})
	for _, e := range c.entries {
		builder, err := batch.NewBuilder(nil, schemaRows, batch.MaxSize)
		if err != nil {
			t.Fatal(err)
		}
		w := Writer{batch: builder, prefix: b.appendRowPrefix(nil, &e)}
		if err := w.appendRow(&e); err != nil {
			t.Fatal(err)
		}
		block := builder.Build()
		rows, _, err := batch.Decode(block)
		if err != nil {
			t.Fatal(err)
		}
		it := rows.Records()
		it.Next()
		var r row
		next := b.decodeRow(&r, block, firstRow)
		var got kv.Entry
		r.entry(&got, block)
		if next != len(block) || !sameEntry(&got, &e) || !bytes.Equal(got.Key, it.Record.Key) ||
			(got.Kind == kv.Delete) != it.Record.Delete {
			t.Errorf("%s was read as %s, next row at %d of %d", describe(&e), describe(&got), next, len(block))
		}
		sameDecoding(t, &b, block)
	}
}

// sameDecoding holds decodeEntry and decodeRow together on the first row of a block.
func sameDecoding(t *testing.T, b *base, block []byte) {
	t.Helper()
	var r row
	var want kv.Entry
	got := kv.Entry{Key: []byte("left"), Value: []byte("over"), Seq: 1, Deadline: 1, Kind: kv.Delete}
	next := b.decodeRow(&r, block, firstRow)
	if next != 0 {
		r.entry(&want, block)
	}
	if n := b.decodeEntry(&got, block, firstRow); n != next || n != 0 && !sameEntry(&got, &want) {
		t.Errorf("decodeEntry: %s, next %d; decodeRow: %s, next %d", describe(&got), n, describe(&want), next)
	}
}

// sameRows holds decodeRows and decodeRow together on all rows of a block. like is what decodeRows knows of rows before.
func sameRows(t rapid.TB, b *base, like *likely, block []byte, step int) {
	t.Helper()
	var got []kv.Entry
	at := firstRow
	for {
		n := len(got)
		if got, at = b.decodeRows(got, like, block, at, step); len(got) == n {
			break
		}
		if len(got) > n+step {
			t.Fatalf("%d rows were asked for, %d came", step, len(got)-n)
		}
	}
	end := firstRow
	for i := range got {
		var r row
		var want kv.Entry
		if end = b.decodeRow(&r, block, end); end == 0 {
			t.Fatalf("row %d: decodeRows: %s, decodeRow: none", i, describe(&got[i]))
		}
		if r.entry(&want, block); !sameEntry(&got[i], &want) {
			t.Fatalf("row %d: decodeRows: %s, decodeRow: %s", i, describe(&got[i]), describe(&want))
		}
	}
	if end != at {
		t.Fatalf("%d rows end at %d, decodeRows goes on at %d", len(got), end, at)
	}
	if at < len(block) && b.decodeRow(new(row), block, at) != 0 {
		t.Fatalf("decodeRows ends at %d of %d, where there is a row", at, len(block))
	}
}

// Rows that are like the ones before are decoded as any others, in whatever order shapes follow each other, and so are bytes that
// are no rows.
func TestRowsAlike(t *testing.T) {
	var like likely // one for all
	rapid.Check(t, func(t *rapid.T) {
		b := base{seq: rapid.Uint64Range(0, 9).Draw(t, "base"), time: testTime}
		block := make([]byte, firstRow)
		var heads []int // where numbers begin
		for range rapid.IntRange(0, 8).Draw(t, "runs") {
			size := rapid.SampledFrom([]int{0, 1, 3, 100, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128, 300}).Draw(t, "value")
			key := rapid.SampledFrom([]int{1, 2, 24, 126, 127, 128}).Draw(t, "key")
			most := rapid.SampledFrom([]uint64{1, 100, 1 << 14, 1 << 21, 1 << 28, 1 << 35, 1 << 62}).Draw(t, "seq")
			deadline := rapid.SampledFrom([]int64{0, 0, 0, testTime, testTime + 1000}).Draw(t, "deadline")
			deletes := rapid.IntRange(0, 5).Draw(t, "deletes") == 0
			for range rapid.IntRange(1, 12).Draw(t, "rows") {
				e := kv.Entry{Key: make([]byte, key), Value: make([]byte, size), Deadline: deadline,
					Seq: b.seq + rapid.Uint64Range(0, most).Draw(t, "s")}
				if deletes && rapid.Bool().Draw(t, "delete") {
					e = kv.Entry{Key: e.Key, Seq: e.Seq, Kind: kv.Delete}
				}
				heads = append(heads, len(block), len(block)+5+len(e.Key))
				block = appendTestRow(block, &b, &e)
			}
		}
		for range rapid.IntRange(0, 2).Draw(t, "damage") {
			if len(heads) > 0 {
				at := rapid.SampledFrom(heads).Draw(t, "at") + rapid.IntRange(0, 7).Draw(t, "byte")
				block[min(at, len(block)-1)] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			}
		}
		sameRows(t, &b, &like, block, rapid.IntRange(1, 40).Draw(t, "step"))
	})
}

// appendTestRow appends the record or the records of an entry, as batch has them.
func appendTestRow(block []byte, b *base, e *kv.Entry) []byte {
	record := func(key, value []byte, put bool) {
		body := append(binary.AppendUvarint(nil, uint64(len(key))), key...)
		if put {
			body = append(binary.AppendUvarint(body, uint64(len(value))), value...)
		}
		block = append(binary.BigEndian.AppendUint32(block, uint32(len(body))), body...)
	}
	prefix := b.appendRowPrefix(nil, e)
	if e.Kind == kv.Delete {
		record(e.Key, nil, false)
		record(nil, prefix, true)
		return block
	}
	record(e.Key, append(prefix, e.Value...), true)
	return block
}

// FuzzRow gives arbitrary bytes to both readers of batch records.
func FuzzRow(f *testing.F) {
	f.Add([]byte{0, 0, 0, 7, 1, 'k', 4, 9, 0, 'v', 'w'})
	f.Add([]byte{0, 0, 0, 2, 1, 'k', 0, 0, 0, 3, 0, 1, 9})
	f.Add([]byte{0, 0, 0, 3, 1, 'k', 0})
	f.Add([]byte{0, 0, 0, 8, 1, 'k', 5, 0x80, 1, 0x82, 1, 'v'})
	f.Add([]byte{0, 0, 0, 9, 0x81, 0, 'k', 0x84, 0x80, 0, 9, 0x80, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		block := append(make([]byte, batch.HeaderSize), data...)
		sameDecoding(t, &base{seq: 1, time: testTime}, block)
		sameRows(t, &base{seq: 1, time: testTime}, new(likely), append(append(block[:len(block):len(block)], data...), data...), 4)
		var r row
		value, end := r.split(block, firstRow)
		rows, _, err := batch.Parse(sealBatch(block, 1))
		if err != nil {
			if end != 0 {
				t.Fatalf("ours ends at %d, theirs says %v", end, err)
			}
			return
		}
		it := rows.Records()
		if !it.Next() {
			// Longer forms of a number are all that we are laxer about.
			if end != 0 && !errors.Is(it.Err(), batch.ErrVarintOverflow) {
				t.Fatalf("ours ends at %d, theirs says %v", end, it.Err())
			}
			return
		}
		if end == 0 || (value == 0) != it.Record.Delete || !bytes.Equal(r.keyIn(block), it.Record.Key) ||
			value != 0 && !bytes.Equal(block[value:end], it.Record.Value) {
			t.Fatalf("ours is %q and ends at %d, theirs is %q", r.keyIn(block), end, it.Record.Key)
		}
		base := base{seq: 1}
		if next := base.decodeRow(&r, block, firstRow); next != 0 {
			var e kv.Entry
			r.entry(&e, block)
			if next < end || next > len(block) || len(e.Key) == 0 {
				t.Fatalf("row %+v, next %d of %d", r, next, len(block))
			}
		}
	})
}

// sealBatch makes a batch of bytes whose first 28 are for the header, or what a hostile hand would make of one.
func sealBatch(b []byte, count int) []byte {
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	binary.BigEndian.PutUint16(b[9:], schemaRows)
	binary.BigEndian.PutUint32(b[24:], uint32(count))
	binary.BigEndian.PutUint32(b[5:], crc32.Checksum(b[9:], castagnoli))
	return b
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
