package batch

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

func TestBuilderSchemaRange(t *testing.T) {
	for _, tc := range []struct {
		schemaID int
		want     error
	}{
		{0, nil},
		{MaxSchemaID, nil},
		{-1, ErrSchemaRange},
		{math.MinInt16, ErrSchemaRange},
		{MaxSchemaID + 1, ErrSchemaRange},
		{math.MaxUint16, ErrSchemaRange}, // would wrap to -1
		{math.MaxInt32, ErrSchemaRange},
	} {
		b, err := NewBuilder(nil, tc.schemaID, MaxSize)
		if !errors.Is(err, tc.want) || (b == nil) != (tc.want != nil) {
			t.Errorf("NewBuilder(%d): error %v, want %v", tc.schemaID, err, tc.want)
		}
	}
}

func TestBuilderSealed(t *testing.T) {
	b := mustBuilder(t, nil, 1, MaxSize)
	mustPut(t, b, put("a", "1"))
	first := bytes.Clone(b.Build())

	if err := b.Put([]byte("b"), []byte("2")); !errors.Is(err, ErrSealed) {
		t.Errorf("Put after Build: %v, want ErrSealed", err)
	}
	if err := b.Delete([]byte("a")); !errors.Is(err, ErrSealed) {
		t.Errorf("Delete after Build: %v, want ErrSealed", err)
	}
	if err := b.SetWriter(7, 8); !errors.Is(err, ErrSealed) {
		t.Errorf("SetWriter after Build: %v, want ErrSealed", err)
	}
	if b.HasRoomFor(1, 1) {
		t.Error("HasRoomFor after Build is true")
	}
	if err := b.Reset(-1); !errors.Is(err, ErrSchemaRange) {
		t.Errorf("Reset(-1): %v, want ErrSchemaRange", err)
	}
	if b.Count() != 1 || b.Size() != len(first) {
		t.Errorf("Count %d, Size %d, want 1 and %d", b.Count(), b.Size(), len(first))
	}
	if again := b.Build(); !bytes.Equal(again, first) {
		t.Errorf("second Build\n got %x\nwant %x", again, first)
	}
}

func TestBuilderReset(t *testing.T) {
	b := mustBuilder(t, nil, 1, MaxSize)
	if err := b.SetWriter(7, 8); err != nil {
		t.Fatal(err)
	}
	mustPut(t, b, put("first", "batch"), del("gone"))
	old := b.Build()

	if err := b.Reset(2); err != nil {
		t.Fatal(err)
	}
	if b.Count() != 0 || b.Size() != HeaderSize {
		t.Errorf("Count %d, Size %d, want 0 and %d", b.Count(), b.Size(), HeaderSize)
	}
	mustPut(t, b, put("k", "v"))
	got := b.Build()
	if &got[0] != &old[0] {
		t.Error("Reset did not keep the buffer")
	}

	// A builder that was reset must write what a new one writes.
	fresh := mustBuilder(t, nil, 2, MaxSize)
	mustPut(t, fresh, put("k", "v"))
	if want := fresh.Build(); !bytes.Equal(got, want) {
		t.Errorf("after Reset\n got %x\nwant %x", got, want)
	}
}

func TestBuilderLimit(t *testing.T) {
	key, value := []byte("key"), bytes.Repeat([]byte{'v'}, 200) // a ValueLength of two bytes
	putSize := 4 + 1 + len(key) + 2 + len(value)
	deleteSize := 4 + 1 + len(key)
	full := HeaderSize + putSize + deleteSize
	for _, tc := range []struct {
		name                string
		limit               int
		wantPut, wantDelete error
	}{
		{"negative", math.MinInt, ErrTooLarge, ErrTooLarge},
		{"zero", 0, ErrTooLarge, ErrTooLarge},
		{"header_only", HeaderSize, ErrTooLarge, ErrTooLarge},
		{"delete_short_by_one", HeaderSize + deleteSize - 1, ErrTooLarge, ErrTooLarge},
		{"delete_only", HeaderSize + deleteSize, ErrTooLarge, nil},
		{"put_short_by_one", HeaderSize + putSize - 1, ErrTooLarge, nil},
		{"put_only", HeaderSize + putSize, nil, ErrFull},
		{"both_short_by_one", full - 1, nil, ErrFull},
		{"both", full, nil, nil},
		{"above_max", math.MaxInt, nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := mustBuilder(t, nil, 1, tc.limit)
			var want []Record
			if room := b.HasRoomFor(len(key), len(value)); room != (tc.wantPut == nil) {
				t.Errorf("HasRoomFor before Put: %t", room)
			}
			if err := b.Put(key, value); !errors.Is(err, tc.wantPut) {
				t.Errorf("Put: %v, want %v", err, tc.wantPut)
			} else if err == nil {
				want = append(want, Record{Key: key, Value: value})
			}
			if room := b.HasRoomFor(len(key), noValue); room != (tc.wantDelete == nil) {
				t.Errorf("HasRoomFor before Delete: %t", room)
			}
			if err := b.Delete(key); !errors.Is(err, tc.wantDelete) {
				t.Errorf("Delete: %v, want %v", err, tc.wantDelete)
			} else if err == nil {
				want = append(want, Record{Key: key, Delete: true})
			}
			got, _ := mustDecode(t, b.Build())
			checkRecords(t, got, want)
		})
	}
}

// A refused record must leave no trace, or the next one would follow garbage.
func TestBuilderRefusalChangesNothing(t *testing.T) {
	b := mustBuilder(t, nil, 1, HeaderSize+30)
	mustPut(t, b, put("a", "1"))
	size := b.Size()
	if err := b.Put([]byte("b"), make([]byte, 15), make([]byte, 5)); !errors.Is(err, ErrFull) {
		t.Errorf("Put: %v, want ErrFull", err)
	}
	if err := b.Put([]byte("b"), make([]byte, 1000)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Put: %v, want ErrTooLarge", err)
	}
	if b.Size() != size || b.Count() != 1 {
		t.Errorf("Size %d, Count %d, want %d and 1", b.Size(), b.Count(), size)
	}
	mustPut(t, b, put("c", "3"))
	got, _ := mustDecode(t, b.Build())
	checkRecords(t, got, []Record{put("a", "1"), put("c", "3")})
}

func TestRecordSize(t *testing.T) {
	const tooLarge = MaxSize + 1
	for _, tc := range []struct {
		keyLen, valueLen, want int64
	}{
		{0, noValue, 5},
		{0, 0, 6},
		{127, noValue, 4 + 1 + 127},
		{128, noValue, 4 + 2 + 128},
		{1, 1<<14 - 1, 4 + 1 + 1 + 2 + 1<<14 - 1},
		{1, 1 << 14, 4 + 1 + 1 + 3 + 1<<14},
		{1, 1 << 21, 4 + 1 + 1 + 4 + 1<<21},
		{1, 1 << 28, 4 + 1 + 1 + 5 + 1<<28},
		{MaxSize, MaxSize, 4 + 5 + MaxSize + 5 + MaxSize},
		{MaxSize + 1, 0, tooLarge},
		{0, MaxSize + 1, tooLarge},
		{math.MaxInt64, math.MaxInt64, tooLarge},
		{1 << 32, 1 << 32, tooLarge}, // both would be 0 in 32 bits
	} {
		if got := recordSize(tc.keyLen, tc.valueLen); got != tc.want {
			t.Errorf("recordSize(%d, %d) = %d, want %d", tc.keyLen, tc.valueLen, got, tc.want)
		}
	}
}

func TestPutJoinsParts(t *testing.T) {
	whole := mustBuilder(t, nil, 1, MaxSize)
	mustPut(t, whole, put("k", "prefixvalue"), put("k", "prefixvalue"), put("k", ""), put("k", ""))
	parts := mustBuilder(t, nil, 1, MaxSize)
	for _, value := range [][][]byte{
		{[]byte("prefix"), []byte("value")},
		{nil, []byte("pre"), []byte("fixval"), {}, []byte("ue")},
		{nil, nil},
		{},
	} {
		if err := parts.Put([]byte("k"), value...); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := parts.Build(), whole.Build(); !bytes.Equal(got, want) {
		t.Errorf("in parts\n got %x\nwant %x", got, want)
	}
}

func TestBuilderCopiesItsArguments(t *testing.T) {
	b := mustBuilder(t, nil, 1, MaxSize)
	key, value := []byte("key"), []byte("value")
	if err := b.Put(key, value); err != nil {
		t.Fatal(err)
	}
	key[0], value[0] = 'x', 'x'
	got, _ := mustDecode(t, b.Build())
	checkRecords(t, got, []Record{put("key", "value")})
}

// The bytes in front of the batch are the caller's, whether the buffer is large enough or has to grow.
func TestBuilderAppendsToDst(t *testing.T) {
	plain := mustBuilder(t, nil, 1, MaxSize)
	mustPut(t, plain, put("k", "v"))
	want := plain.Build()
	for _, spare := range []int{0, 10, 1000} {
		dst := append(bytes.Repeat([]byte{0xFF}, 5+spare)[:0], "frame"...) // every header byte must be written
		b := mustBuilder(t, dst, 9, len(want))                             // dst does not count towards the limit
		for range 2 {
			if err := b.Reset(1); err != nil {
				t.Fatal(err)
			}
			mustPut(t, b, put("k", "v"))
			if b.Size() != len(want) {
				t.Errorf("spare %d: Size %d, want %d", spare, b.Size(), len(want))
			}
			if got := b.Build(); !bytes.Equal(got, append([]byte("frame"), want...)) {
				t.Errorf("spare %d: got %q, want frame and %q", spare, got, want)
			}
		}
	}
}

func TestBuildAllocates(t *testing.T) {
	b := mustBuilder(t, nil, 1, MaxSize)
	key, prefix, value := []byte("key"), []byte{1, 2}, make([]byte, 500)
	var failed error
	build := func() {
		failed = errors.Join(failed, b.Reset(1), b.SetWriter(1, 2))
		for range 100 {
			if err := b.Put(key, value); err != nil {
				failed = err
			}
			if err := b.Put(key, prefix, value); err != nil {
				failed = err
			}
			if err := b.Delete(key); err != nil {
				failed = err
			}
		}
		b.Build()
	}
	// AllocsPerRun calls build once before it counts, which grows the buffer.
	if allocs := testing.AllocsPerRun(20, build); allocs != 0 {
		t.Errorf("%g allocations a batch of 300 records, want 0", allocs)
	}
	if failed != nil {
		t.Error(failed)
	}
}

// PutLast builds the batch that Put and Build would, but for the end of the last value.
func TestPutLast(t *testing.T) {
	last := []byte("the last part of the value, which is large")
	for _, c := range []struct {
		name  string
		parts [][]byte
	}{
		{"none", nil}, {"empty", [][]byte{nil}}, {"one", [][]byte{last}},
		{"two", [][]byte{[]byte("prefix"), last}}, {"three", [][]byte{nil, []byte("p"), last}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, framed := range []string{"", "frame"} {
				want := mustBuilder(t, []byte(framed), 7, MaxSize)
				got := mustBuilder(t, []byte(framed), 7, MaxSize)
				for _, b := range []*Builder{want, got} {
					if err := errors.Join(b.Put([]byte("first"), []byte("1")), b.Delete([]byte("second"))); err != nil {
						t.Fatal(err)
					}
				}
				if err := want.Put([]byte("third"), c.parts...); err != nil {
					t.Fatal(err)
				}
				batch, err := got.PutLast([]byte("third"), c.parts...)
				if err != nil {
					t.Fatal(err)
				}
				batch = bytes.Clone(batch)
				if len(c.parts) > 0 {
					batch = append(batch, c.parts[len(c.parts)-1]...)
				}
				if !bytes.Equal(batch, want.Build()) {
					t.Errorf("%s %q: %x, want %x", c.name, framed, batch, want.Build())
				}
				if _, err := got.PutLast([]byte("k")); !errors.Is(err, ErrSealed) {
					t.Errorf("once more: %v", err)
				}
				if err := got.Reset(7); err != nil || got.Count() != 0 {
					t.Errorf("%d records, %v", got.Count(), err)
				}
			}
		})
	}
}
