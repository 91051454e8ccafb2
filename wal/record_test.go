package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

// requireSameRecord compares records field by field. Nil and empty are the same to the codec.
func requireSameRecord(t testing.TB, got, want *Record) {
	t.Helper()
	if !bytes.Equal(got.Key, want.Key) {
		t.Errorf("key is %s, want %s", abridged(got.Key), abridged(want.Key))
	}
	if !bytes.Equal(got.Value, want.Value) {
		t.Errorf("value is %s, want %s", abridged(got.Value), abridged(want.Value))
	}
	if got.HasTTL != want.HasTTL || want.HasTTL && got.TTL != want.TTL {
		t.Errorf("TTL is %d (%t), want %d (%t)", got.TTL, got.HasTTL, want.TTL, want.HasTTL)
	}
	if got.Tombstone != want.Tombstone || got.Compression != want.Compression {
		t.Errorf("tombstone %t, compression %v, want %t, %v", got.Tombstone, got.Compression, want.Tombstone,
			want.Compression)
	}
}

// requireErrorContract checks what the decoders promise with an error: an empty record, and a length exactly when the
// checksum holds.
func requireErrorContract(t testing.TB, r *Record, n int, err error) {
	t.Helper()
	noRecord := errors.Is(err, ErrIncomplete) || errors.Is(err, ErrCRC) || errors.Is(err, ErrVarintOverflow)
	if r.Key != nil || r.Value != nil || r.HasTTL || r.Tombstone || r.Compression != CompressionNone {
		t.Errorf("error %v comes with record %+v", err, r)
	}
	if noRecord != (n == 0) {
		t.Errorf("error %v comes with n = %d", err, n)
	}
}

// sampleRecords covers every field of the format; all of them are stored with the compression they ask for.
func sampleRecords() map[string]*Record {
	text := logLines(300)
	return map[string]*Record{
		"empty":              {},
		"put":                {Key: []byte("user:1"), Value: []byte("alice")},
		"delete":             {Key: []byte("user:1"), Tombstone: true},
		"tombstone value":    {Key: []byte("k"), Value: []byte("ghost"), Tombstone: true},
		"ttl":                {Key: []byte("session:abc"), Value: []byte("data"), HasTTL: true, TTL: 3600000},
		"largest ttl":        {Key: []byte("k"), HasTTL: true, TTL: math.MaxUint64, Tombstone: true},
		"two-byte lengths":   {Key: text[:130], Value: text[:200]},
		"three-byte lengths": {Key: []byte("k"), Value: bytes.Repeat([]byte("0123456789abcdef"), 1025)},
		"lz4":                {Key: []byte("log"), Value: text, Compression: CompressionLZ4},
		"lz4 ttl":            {Key: []byte("log"), Value: text, Compression: CompressionLZ4, HasTTL: true, TTL: 300},
		"zstd":               {Key: []byte("log"), Value: text, Compression: CompressionZstd},
		"zstd ttl":           {Key: []byte("log"), Value: text, Compression: CompressionZstd, HasTTL: true},
	}
}

func TestRecordRoundTrip(t *testing.T) {
	for name, r := range sampleRecords() {
		t.Run(name, func(t *testing.T) {
			encoded := mustAppendRecord(t, nil, r)
			size := EncodedSize(r)
			if r.Compression == CompressionNone && len(encoded) != size || len(encoded) > size {
				t.Errorf("EncodedSize is %d for %d bytes", size, len(encoded))
			}
			got, n, err := DecodeRecord(append(encoded, "next"...))
			if err != nil || n != len(encoded) {
				t.Fatalf("n = %d, error %v, want n = %d", n, err, len(encoded))
			}
			requireSameRecord(t, &got, r)
			if again := mustAppendRecord(t, nil, &got); !bytes.Equal(again, encoded) {
				t.Errorf("re-encoded as %s, was %s", abridged(again), abridged(encoded))
			}
		})
	}
}

// A cut record is incomplete and a record with one wrong bit is no record at all, whatever the bit.
func TestRecordDamage(t *testing.T) {
	for name, r := range sampleRecords() {
		t.Run(name, func(t *testing.T) {
			encoded := mustAppendRecord(t, nil, r)
			for i := range encoded {
				got, n, err := DecodeRecord(encoded[:i:i])
				if !errors.Is(err, ErrIncomplete) {
					t.Errorf("first %d of %d bytes: error %v", i, len(encoded), err)
				}
				requireErrorContract(t, &got, n, err)
			}
			damaged := slices.Clone(encoded)
			for i := range 8 * len(encoded) {
				damaged[i/8] ^= 1 << (i % 8)
				got, n, err := DecodeRecord(damaged)
				if err == nil || n != 0 {
					t.Errorf("bit %d of byte %d: n = %d, error %v", i%8, i/8, n, err)
				}
				requireErrorContract(t, &got, n, err)
				damaged[i/8] ^= 1 << (i % 8)
			}
		})
	}
}

func TestRecordAliasing(t *testing.T) {
	src := mustAppendRecord(t, nil, &Record{Key: []byte("key"), Value: []byte("value")})
	src = append(src, "next"...)
	want := slices.Clone(src)
	r, _, err := DecodeRecord(src)
	if err != nil {
		t.Fatal(err)
	}
	if &r.Key[0] != &src[3] || &r.Value[0] != &src[6] {
		t.Error("key and value do not alias the source")
	}
	_ = append(r.Key, "overwrite"...)
	_ = append(r.Value, "overwrite"...)
	if !bytes.Equal(src, want) {
		t.Error("appending to a decoded field changes the source")
	}
}

func TestAppendRecordCompression(t *testing.T) {
	random := randomValue(1, 4096)
	tests := []struct {
		name  string
		value []byte
		dead  bool
		saves bool
	}{
		{name: "text", value: logLines(4096), saves: true},
		{name: "zeros", value: make([]byte, 1<<20), saves: true},
		{name: "small zeros", value: make([]byte, 64), saves: true},
		{name: "random", value: random},
		{name: "a tenth zeros", value: append(slices.Clone(random), make([]byte, 409)...)},
		{name: "a fifth zeros", value: append(slices.Clone(random), make([]byte, 1024)...), saves: true},
		{name: "one byte", value: []byte("x")},
		{name: "ten bytes", value: []byte("xxxxxxxxxx")},
		{name: "empty"},
		{name: "tombstone", value: logLines(4096), dead: true},
	}
	for _, tt := range tests {
		for _, c := range []Compression{CompressionLZ4, CompressionZstd} {
			t.Run(fmt.Sprintf("%s/%v", tt.name, c), func(t *testing.T) {
				r := &Record{Key: []byte("k"), Value: tt.value, Compression: c, Tombstone: tt.dead}
				encoded := mustAppendRecord(t, nil, r)
				want := CompressionNone
				if tt.saves {
					want = c
				}
				stored, _, err := DecodeStored(encoded)
				if err != nil || stored.Compression != want {
					t.Fatalf("stored with %v, error %v, want %v", stored.Compression, err, want)
				}
				if limit := maxStored(len(tt.value)); tt.saves && len(stored.Value) > limit {
					t.Errorf("stored %d bytes of %d, want no more than %d", len(stored.Value), len(tt.value), limit)
				}
				got, _, err := DecodeRecord(encoded)
				if err != nil || !bytes.Equal(got.Value, tt.value) {
					t.Errorf("decoded %s, error %v", abridged(got.Value), err)
				}
			})
		}
	}
}

func TestMaxStored(t *testing.T) {
	for value, want := range map[int]int{0: 0, 1: 0, 2: 1, 7: 6, 8: 7, 9: 7, 16: 14, 17: 14, 4096: 3584} {
		if got := maxStored(value); got != want {
			t.Errorf("maxStored(%d) is %d, want %d", value, got, want)
		}
	}
}

func TestAppendRecordErrors(t *testing.T) {
	tests := []struct {
		name string
		r    Record
		want error
	}{
		{"key too large", Record{Key: make([]byte, MaxKeySize+1)}, ErrTooLarge},
		{"compression 3", Record{Key: []byte("k"), Compression: 3}, ErrUnknownCompression},
		{"tombstone with compression 4", Record{Tombstone: true, Compression: 4}, ErrUnknownCompression},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			backing := []byte("before..........")
			got, err := AppendRecord(backing[:6], &tt.r)
			if !errors.Is(err, tt.want) || string(got) != "before" || string(backing) != "before.........." {
				t.Errorf("got %q (of %q), error %v, want error %v", got, backing, err, tt.want)
			}
		})
	}
	largest := &Record{Key: make([]byte, MaxKeySize)}
	if _, n, err := DecodeRecord(mustAppendRecord(t, nil, largest)); err != nil || n != EncodedSize(largest) {
		t.Errorf("largest key: n = %d, error %v", n, err)
	}
}

// The header of a record can end in too many places for the vectors to name them all.
func TestDecodeRecordCutHeader(t *testing.T) {
	header := unhex(t, "80808080808080808000"+"80808080808080808000"+"02"+"80808080808080808000")
	for i := range header {
		r, n, err := DecodeRecord(header[:i:i])
		if !errors.Is(err, ErrIncomplete) {
			t.Errorf("first %d bytes of the header: error %v", i, err)
		}
		requireErrorContract(t, &r, n, err)
	}
	r, n, err := DecodeRecord(reseal(header))
	if err != nil || n != len(header)+recordCRCSize {
		t.Errorf("n = %d, error %v", n, err)
	}
	requireSameRecord(t, &r, &Record{HasTTL: true})
}

func TestCompressionString(t *testing.T) {
	for c, want := range map[Compression]string{
		CompressionNone: "none", CompressionLZ4: "lz4", CompressionZstd: "zstd", 3: "compression(3)",
	} {
		if got := c.String(); got != want {
			t.Errorf("compression %d is %q, want %q", uint8(c), got, want)
		}
	}
}

// The limits of the decoder hold for an intact record that another program wrote.
func TestDecodeRecordOverCodecLimit(t *testing.T) {
	encoded := appendStored(nil, &Record{Key: make([]byte, MaxKeySize+1)}, nil, CompressionNone)
	r, n, err := DecodeRecord(encoded)
	if !errors.Is(err, ErrTooLarge) || n != len(encoded) {
		t.Errorf("n = %d, error %v", n, err)
	}
	requireErrorContract(t, &r, n, err)
}

func TestAppendRecordDeterministic(t *testing.T) {
	values := [][]byte{logLines(100), logLines(5000), logLines(300000), randomValue(2, 5000), make([]byte, 70000)}
	for _, c := range []Compression{CompressionLZ4, CompressionZstd} {
		first := make([][]byte, len(values))
		for round := range 5 {
			for i, value := range values {
				got := mustAppendRecord(t, nil, &Record{Key: []byte("k"), Value: value, Compression: c})
				if round == 0 {
					first[i] = got
				} else if !bytes.Equal(got, first[i]) {
					t.Errorf("%v: round %d of value %d differs", c, round, i)
				}
			}
		}
	}
}

func TestRecordConcurrency(t *testing.T) {
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				for name, r := range sampleRecords() {
					encoded, err := AppendRecord(nil, r)
					if err != nil {
						t.Errorf("goroutine %d, round %d, %s: %v", g, i, name, err)
						continue
					}
					if got, _, err := DecodeRecord(encoded); err != nil || !bytes.Equal(got.Value, r.Value) {
						t.Errorf("goroutine %d, round %d, %s: error %v", g, i, name, err)
					}
				}
			}
		})
	}
	wg.Wait()
	// The compressors and decompressors must not leave goroutines behind. wg.Wait may return before the last of the
	// goroutines above is gone, so give them time.
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}

func TestDecodeUvarint(t *testing.T) {
	tests := []struct {
		hex  string
		want uint64
		size int
		err  error
	}{
		{hex: "", err: ErrIncomplete},
		{hex: "80", err: ErrIncomplete},
		{hex: "ffffffffffffffffff", err: ErrIncomplete},
		{hex: "00ff", want: 0, size: 1},
		{hex: "7f", want: 127, size: 1},
		{hex: "8000", want: 0, size: 2},
		{hex: "80808080808080808001", want: 1 << 63, size: 10},
		{hex: "ffffffffffffffffff01", want: math.MaxUint64, size: 10},
		{hex: "80808080808080808000", want: 0, size: 10},
		{hex: "80808080808080808002", err: ErrVarintOverflow},
		{hex: "ffffffffffffffffff7f", err: ErrVarintOverflow},
		{hex: "80808080808080808080", err: ErrVarintOverflow},
		{hex: "8080808080808080808001", err: ErrVarintOverflow},
	}
	for _, tt := range tests {
		got, size, err := decodeUvarint(unhex(t, tt.hex))
		if got != tt.want || size != tt.size || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %d, %d bytes, error %v, want %d, %d bytes, error %v", tt.hex, got, size, err, tt.want,
				tt.size, tt.err)
		}
	}
}

// A record of a later nori-wal must not pass for damage, and damage must not pass for such a record.
func TestDecodeNewerRecord(t *testing.T) {
	var encoded []byte
	encoded = append(encoded, 3, 5, recordFlagVersion|recordFlagTTL, 0x80, 0x01) // TTL 128
	encoded = binary.AppendUvarint(encoded, 7)                                   // term
	encoded = binary.AppendUvarint(encoded, math.MaxUint64)                      // index
	encoded = append(encoded, "keyvalue"...)
	encoded = reseal(encoded)

	r, n, err := DecodeRecord(append(slices.Clone(encoded), "next"...))
	if !errors.Is(err, ErrReservedBits) || n != len(encoded) {
		t.Errorf("n = %d, error %v, want n = %d, error %v", n, err, len(encoded), ErrReservedBits)
	}
	requireErrorContract(t, &r, n, err)
	for i := range encoded {
		if _, n, err := DecodeRecord(encoded[:i]); err == nil || n != 0 {
			t.Errorf("first %d bytes: n = %d, error %v", i, n, err)
		}
		damaged := slices.Clone(encoded)
		damaged[i] ^= 0x04
		if _, n, err := DecodeRecord(damaged); err == nil || n != 0 {
			t.Errorf("damaged byte %d: n = %d, error %v", i, n, err)
		}
	}
}

func TestRecordAllocations(t *testing.T) {
	dst := make([]byte, 0, 1<<20)
	for name, r := range sampleRecords() {
		encoded := mustAppendRecord(t, nil, r)
		requireRecordAllocs(t, name+": DecodeStored", 0, func() { _, _, _ = DecodeStored(encoded) })
		if r.Compression != CompressionNone {
			continue // their pools drop entries at will under the race detector; see TestCompressorAllocations
		}
		exact := dst[:0:EncodedSize(r)]
		requireRecordAllocs(t, name+": AppendRecord", 0, func() { _, _ = AppendRecord(exact, r) })
		// One, and under the race detector one more, as slices.Grow then allocates its argument to append.
		requireRecordAllocs(t, name+": AppendRecord to nil", 2, func() { _, _ = AppendRecord(nil, r) })
		requireRecordAllocs(t, name+": DecodeRecord", 0, func() { _, _, _ = DecodeRecord(encoded) })
	}
	torn := mustAppendRecord(t, nil, sampleRecords()["put"])
	requireRecordAllocs(t, "incomplete", 0, func() { _, _, _ = DecodeRecord(torn[:10]) })
	torn[4] ^= 1
	requireRecordAllocs(t, "damaged", 0, func() { _, _, _ = DecodeRecord(torn) })
}

func requireRecordAllocs(t *testing.T, what string, most float64, f func()) {
	t.Helper()
	if got := testing.AllocsPerRun(100, f); got > most {
		t.Errorf("%s: %v allocations, want at most %v", what, got, most)
	}
}

func mustAppendRecord(t testing.TB, dst []byte, r *Record) []byte {
	t.Helper()
	dst, err := AppendRecord(dst, r)
	if err != nil {
		t.Fatal(err)
	}
	return dst
}

// reseal appends the checksum of b.
func reseal(b []byte) []byte {
	return binary.LittleEndian.AppendUint32(b, recordCRC(b))
}

func randomValue(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	_, _ = rand.NewChaCha8(key).Read(b)
	return b
}
