package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// zstdFrame is a hand-made frame without a checksum.
type zstdFrame struct {
	declared int64 // content size, or undeclared
	blocks   []zstdBlock
}

const undeclared int64 = -1

// zstdBlock is raw if it has one byte for each of its size, and a run of its only byte otherwise.
type zstdBlock struct {
	size int
	data string
}

func (f zstdFrame) bytes() []byte {
	// A frame header of a window of 2 MiB, with a content size of 8 bytes or none.
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58}
	if f.declared != undeclared {
		b[4] = 0xc0
		b = binary.LittleEndian.AppendUint64(b, uint64(f.declared))
	}
	for i, block := range f.blocks {
		header := uint32(block.size) << 3
		if len(block.data) != block.size {
			header |= 1 << 1
		}
		if i == len(f.blocks)-1 {
			header |= 1
		}
		b = append(b, byte(header), byte(header>>8), byte(header>>16))
		b = append(b, block.data...)
	}
	return b
}

// zstdRun is a frame of n full blocks of zeros.
func zstdRun(declared int64, n int) []byte {
	return zstdFrame{declared, slices.Repeat([]zstdBlock{{zstdMaxBlock, "\x00"}}, n)}.bytes()
}

// zstdStream compresses as a streaming writer does, which cannot declare the content size.
func zstdStream(t testing.TB, value []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for chunk := range slices.Chunk(value, 64<<10) {
		if _, err := w.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// storedBy is what a record stores for value under c, whether that saves anything or not.
func storedBy(t testing.TB, c Compression, value []byte) []byte {
	t.Helper()
	stored, _, err := DecodeStored(mustAppendRecord(t, nil, &Record{Value: value, Compression: c}))
	if err != nil || stored.Compression != c {
		t.Fatalf("stored with %v, error %v", stored.Compression, err)
	}
	return stored.Value
}

func lz4Stored(size uint64, block string) []byte {
	return append(binary.AppendUvarint(nil, size), block...)
}

func TestDecompressValue(t *testing.T) {
	text := logLines(3000)
	abc := zstdFrame{3, []zstdBlock{{3, "abc"}}}.bytes()
	openABC := zstdFrame{undeclared, []zstdBlock{{3, "abc"}}}.bytes()
	stream := zstdStream(t, text)
	skippable := []byte("\x5f\x2a\x4d\x18\x04\x00\x00\x00skip")
	tests := []struct {
		name   string
		c      Compression
		stored []byte
		want   string
		bad    bool
	}{
		{name: "none", c: CompressionNone, stored: text, want: string(text)},
		{name: "none empty", c: CompressionNone},

		{name: "lz4", c: CompressionLZ4, stored: storedBy(t, CompressionLZ4, text), want: string(text)},
		{name: "lz4 literals", c: CompressionLZ4, stored: lz4Stored(3, "\x30abc"), want: "abc"},
		{name: "lz4 empty value", c: CompressionLZ4, stored: lz4Stored(0, "\x00")},
		{name: "lz4 long size", c: CompressionLZ4, stored: []byte("\x83\x80\x00\x30abc"), want: "abc"},
		{name: "lz4 nothing", c: CompressionLZ4, bad: true},
		{name: "lz4 no block", c: CompressionLZ4, stored: lz4Stored(0, ""), bad: true},
		{name: "lz4 size 0 for a literal", c: CompressionLZ4, stored: lz4Stored(0, "\x10"), bad: true},
		{name: "lz4 no block of 3", c: CompressionLZ4, stored: lz4Stored(3, ""), bad: true},
		{name: "lz4 size 0 for 3", c: CompressionLZ4, stored: lz4Stored(0, "\x30abc"), bad: true},
		{name: "lz4 size 0 for many", c: CompressionLZ4, stored: lz4Stored(0, "\xe0"+string(text[:40])), bad: true},
		{name: "lz4 size 2 for 3", c: CompressionLZ4, stored: lz4Stored(2, "\x30abc"), bad: true},
		{name: "lz4 size 4 for 3", c: CompressionLZ4, stored: lz4Stored(4, "\x30abc"), bad: true},
		{name: "lz4 trailing byte", c: CompressionLZ4, stored: lz4Stored(3, "\x30abc\x00"+"x"), bad: true},
		{name: "lz4 missing byte", c: CompressionLZ4, stored: lz4Stored(3, "\x30ab"), bad: true},
		{name: "lz4 offset 0", c: CompressionLZ4, stored: lz4Stored(13, "\x14a\x00\x00\x40wxyz"), bad: true},
		{name: "lz4 offset before start", c: CompressionLZ4, stored: lz4Stored(13, "\x14a\x02\x00\x40wxyz"), bad: true},
		{name: "lz4 endless length", c: CompressionLZ4, stored: lz4Stored(900, "\xf0\xff\xff\xff\xff"), bad: true},
		{name: "lz4 raw value", c: CompressionLZ4, stored: text, bad: true},
		{name: "lz4 zstd", c: CompressionLZ4, stored: abc, bad: true},

		{name: "zstd", c: CompressionZstd, stored: storedBy(t, CompressionZstd, text), want: string(text)},
		{name: "zstd stream", c: CompressionZstd, stored: stream, want: string(text)},
		{name: "zstd declared", c: CompressionZstd, stored: abc, want: "abc"},
		{name: "zstd undeclared", c: CompressionZstd, stored: openABC, want: "abc"},
		{name: "zstd empty value", c: CompressionZstd, stored: zstdFrame{0, []zstdBlock{{}}}.bytes()},
		{name: "zstd undeclared empty", c: CompressionZstd, stored: zstdFrame{undeclared, []zstdBlock{{}}}.bytes()},
		{name: "zstd two frames", c: CompressionZstd, stored: slices.Concat(abc, abc), want: "abcabc"},
		{name: "zstd mixed frames", c: CompressionZstd, stored: slices.Concat(abc, openABC, abc), want: "abcabcabc"},
		{name: "zstd skippable", c: CompressionZstd, stored: slices.Concat(skippable, abc, skippable), want: "abc"},
		{name: "zstd only skippable", c: CompressionZstd, stored: skippable},
		{name: "zstd blocks", c: CompressionZstd, want: "abccccd",
			stored: zstdFrame{7, []zstdBlock{{2, "ab"}, {4, "c"}, {1, "d"}}}.bytes()},
		{name: "zstd nothing", c: CompressionZstd, bad: true},
		{name: "zstd no block", c: CompressionZstd, stored: zstdFrame{declared: 0}.bytes(), bad: true},
		{name: "zstd trailing byte", c: CompressionZstd, stored: slices.Concat(abc, []byte("x")), bad: true},
		{name: "zstd trailing magic", c: CompressionZstd, stored: slices.Concat(abc, abc[:4]), bad: true},
		{name: "zstd cut", c: CompressionZstd, stored: abc[:len(abc)-1], bad: true},
		{name: "zstd cut skippable", c: CompressionZstd, stored: slices.Concat(abc, skippable[:11]), bad: true},
		{name: "zstd declares more", c: CompressionZstd, stored: zstdFrame{4, []zstdBlock{{3, "abc"}}}.bytes(), bad: true},
		{name: "zstd declares less", c: CompressionZstd, stored: zstdFrame{2, []zstdBlock{{3, "abc"}}}.bytes(), bad: true},
		{name: "zstd declares none", c: CompressionZstd, stored: zstdFrame{0, []zstdBlock{{3, "abc"}}}.bytes(), bad: true},
		{name: "zstd oversize run", c: CompressionZstd, bad: true,
			stored: zstdFrame{undeclared, []zstdBlock{{zstdMaxBlock + 1, "x"}}}.bytes()},
		{name: "zstd cut checksum", c: CompressionZstd, stored: stream[:len(stream)-1], bad: true},
		{name: "zstd no checksum", c: CompressionZstd, stored: stream[:len(stream)-4], bad: true},
		{name: "zstd wrong checksum", c: CompressionZstd, stored: slices.Concat(stream[:len(stream)-4], text[:4]), bad: true},
		{name: "zstd raw value", c: CompressionZstd, stored: text, bad: true},
		{name: "zstd one byte", c: CompressionZstd, stored: []byte("x"), bad: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecompressValue(nil, tt.stored, tt.c, 1<<20)
			if tt.bad {
				if !errors.Is(err, ErrDecompression) || errors.Is(err, ErrTooLarge) || got != nil {
					t.Errorf("got %s, error %v, want error %v", abridged(got), err, ErrDecompression)
				}
				return
			}
			if err != nil || string(got) != tt.want {
				t.Fatalf("got %s, error %v, want %s", abridged(got), err, abridged([]byte(tt.want)))
			}
			checkValueLimit(t, tt.stored, tt.c, len(tt.want))
			checkValueBuffers(t, tt.stored, tt.c, tt.want)
		})
	}
}

func TestDecompressUnknown(t *testing.T) {
	if v, err := DecompressValue(nil, []byte("v"), 3, 100); !errors.Is(err, ErrUnknownCompression) || v != nil {
		t.Errorf("got %q, error %v", v, err)
	}
}

// checkValueLimit decompresses a value of size bytes with limits around it.
func checkValueLimit(t *testing.T, stored []byte, c Compression, size int) {
	t.Helper()
	if got, err := DecompressValue(nil, stored, c, size); err != nil || len(got) != size {
		t.Errorf("limit %d: got %d bytes, error %v", size, len(got), err)
	}
	for _, limit := range []int{size - 1, size / 2, -1} {
		if limit >= size || limit < 0 && size == 0 {
			continue
		}
		_, err := DecompressValue(nil, stored, c, limit)
		if !errors.Is(err, ErrTooLarge) || errors.Is(err, ErrDecompression) != (c != CompressionNone) {
			t.Errorf("limit %d of %d: error %v", limit, size, err)
		}
	}
}

// checkValueBuffers decompresses into buffers that are just large enough and one byte too small.
func checkValueBuffers(t *testing.T, stored []byte, c Compression, want string) {
	t.Helper()
	before := slices.Clone(stored)
	for _, spare := range []int{0, 1, 100} {
		backing := bytes.Repeat([]byte{0xa5}, len(want)+spare+8)
		buf := backing[: 0 : len(want)+spare]
		got, err := DecompressValue(buf, stored, c, 1<<20)
		if err != nil || string(got) != want {
			t.Fatalf("buffer with %d bytes to spare: error %v", spare, err)
		}
		if c != CompressionNone && len(got) > 0 && &got[0] != &backing[0] {
			t.Errorf("buffer with %d bytes to spare was not used", spare)
		}
		if tail := backing[len(want):]; c != CompressionNone && !bytes.Equal(tail, bytes.Repeat([]byte{0xa5}, len(tail))) {
			t.Errorf("buffer with %d bytes to spare was written beyond the value", spare)
		}
	}
	if len(want) > 0 {
		got, err := DecompressValue(make([]byte, 0, len(want)-1), stored, c, 1<<20)
		if err != nil || string(got) != want {
			t.Errorf("small buffer: error %v", err)
		}
	}
	if !bytes.Equal(stored, before) {
		t.Error("decompression changed the stored value")
	}
}

// Every length of value through every way of storing it: where blocks and buffers end is where decoders go wrong.
func TestDecompressSizes(t *testing.T) {
	value := append(logLines(600), randomValue(3, 600)...)
	for size := 1; size <= len(value); size++ {
		for _, c := range []Compression{CompressionLZ4, CompressionZstd} {
			encoded := mustAppendRecord(t, nil, &Record{Value: value[:size], Compression: c})
			if got, _, err := DecodeRecord(encoded); err != nil || !bytes.Equal(got.Value, value[:size]) {
				t.Fatalf("%v: %d bytes: error %v", c, size, err)
			}
		}
	}
	large := bytes.Repeat(value, 500)
	for _, size := range []int{1 << 16, zstdMaxBlock - 1, zstdMaxBlock, zstdMaxBlock + 1, 3*zstdMaxBlock + 7} {
		for _, row := range []struct {
			name   string
			stored []byte
		}{
			{"block", storedBy(t, CompressionZstd, large[:size])},
			{"stream", zstdStream(t, large[:size])},
		} {
			got, err := DecompressValue(nil, row.stored, CompressionZstd, size)
			if err != nil || !bytes.Equal(got, large[:size]) {
				t.Errorf("zstd %s of %d bytes: error %v", row.name, size, err)
			}
			if _, err := DecompressValue(nil, row.stored, CompressionZstd, size-1); !errors.Is(err, ErrTooLarge) {
				t.Errorf("zstd %s of %d bytes over the limit: error %v", row.name, size, err)
			}
		}
	}
}

// A short value must not make a reader allocate more than it may, whatever it claims or really holds.
func TestDecompressionBombs(t *testing.T) {
	const (
		mib   = 1 << 20
		limit = 16 * mib
		size  = 64 * mib
		// What a decoder fresh from its pool needs to work, which does not depend on the value.
		fixed = 4 * mib
	)
	zeros := make([]byte, size)
	tests := []struct {
		name   string
		c      Compression
		stored []byte
		limit  int
		most   uint64 // bytes allocated
		large  bool   // known to be over the limit, not only damaged
	}{
		{"lz4", CompressionLZ4, storedBy(t, CompressionLZ4, zeros), limit, fixed, true},
		{"lz4 claim over limit", CompressionLZ4, lz4Stored(1<<30, "\x1fa\x01\x00\x0050wxyz"), limit, fixed, true},
		{"lz4 claim", CompressionLZ4, lz4Stored(1<<30, "\x1fa\x01\x00\x0050wxyz"), MaxValueSize, fixed, false},
		{"lz4 huge claim", CompressionLZ4, lz4Stored(1<<63, "\x1fa\x01\x00\x0050wxyz"), MaxValueSize, fixed, true},
		{"zstd", CompressionZstd, storedBy(t, CompressionZstd, zeros), limit, fixed, true},
		{"zstd stream", CompressionZstd, zstdStream(t, zeros), limit, 3*limit + fixed, true},
		{"zstd runs", CompressionZstd, zstdRun(size, size/zstdMaxBlock), limit, fixed, true},
		{"zstd undeclared runs", CompressionZstd, zstdRun(undeclared, size/zstdMaxBlock), limit, 3*limit + fixed, true},
		{"zstd frames", CompressionZstd, bytes.Repeat(zstdRun(mib, 8), 64), limit, fixed, true},
		{"zstd claim", CompressionZstd, zstdRun(1<<62, 1), MaxValueSize, fixed, false},
		{"zstd small claim", CompressionZstd, zstdRun(zstdMaxBlock+1, 1), limit, fixed, false},
		{"zstd claim of oversize runs", CompressionZstd,
			zstdFrame{32 * (2*mib - 1), slices.Repeat([]zstdBlock{{2*mib - 1, "\x00"}}, 32)}.bytes(), MaxValueSize, fixed,
			false},
		{"zstd bomb after claim", CompressionZstd,
			slices.Concat(zstdRun(zstdMaxBlock, 1), zstdRun(undeclared, size/zstdMaxBlock)), limit, 3*limit + fixed, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			got := allocatedBytes(func() { _, err = DecompressValue(nil, tt.stored, tt.c, tt.limit) })
			if !errors.Is(err, ErrDecompression) || errors.Is(err, ErrTooLarge) != tt.large {
				t.Errorf("error %v, want too large = %t", err, tt.large)
			}
			if got > tt.most {
				t.Errorf("%d bytes allocated for %d, want at most %d", got, len(tt.stored), tt.most)
			}
		})
	}
}

// allocatedBytes returns how much f allocates in total, freed or not.
func allocatedBytes(f func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection would empty the pools
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestCompressorAllocations(t *testing.T) {
	buf := make([]byte, 0, 1<<20)
	for _, size := range []int{100, 1000, 10000, 100000} {
		value := logLines(size)
		for c, compressor := range map[Compression]valueCompressor{
			CompressionLZ4: new(lz4Compressor), CompressionZstd: newZstdCompressor(),
		} {
			requireRecordAllocs(t, fmt.Sprintf("%v of %d bytes", c, size), 0, func() { compressor.compress(value) })
			random := randomValue(4, size)
			requireRecordAllocs(t, fmt.Sprintf("%v of %d random bytes", c, size), 0, func() { compressor.compress(random) })
		}
	}
	if poolsDrop() {
		return
	}
	for _, size := range []int{100, 1000, 10000, 100000} {
		for _, c := range []Compression{CompressionLZ4, CompressionZstd} {
			r := &Record{Key: []byte("k"), Value: logLines(size), Compression: c}
			encoded := mustAppendRecord(t, nil, r)
			what := fmt.Sprintf("%v of %d bytes", c, size)
			requireRecordAllocs(t, what+": AppendRecord", 0, func() { _, _ = AppendRecord(buf, r) })
			requireRecordAllocs(t, what+": DecodeRecordInto", 0, func() { _, _, _ = DecodeRecordInto(encoded, buf, size) })
			requireRecordAllocs(t, what+": DecodeRecord", 1, func() { _, _, _ = DecodeRecord(encoded) })
		}
	}
}

// poolsDrop reports whether sync.Pool drops entries at random, as it does under the race detector.
func poolsDrop() bool {
	const uses = 1000
	misses := 0
	pool := sync.Pool{New: func() any { misses++; return new(int) }}
	for range uses {
		pool.Put(pool.Get())
	}
	return misses > uses/10
}

func TestScratchKeepsNoLargeBuffer(t *testing.T) {
	var s scratch
	if n := len(s.take(pooledScratchMax)); n != pooledScratchMax || cap(s.buf) != n {
		t.Errorf("took %d bytes, kept %d, want both %d", n, cap(s.buf), pooledScratchMax)
	}
	if n := len(s.take(pooledScratchMax + 1)); n != pooledScratchMax+1 || cap(s.buf) > pooledScratchMax {
		t.Errorf("took %d bytes, kept %d", n, cap(s.buf))
	}
}
