package wal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var vectorDir = flag.String("vectors", "", "directory with further record vectors (*.json) for TestVectors")

const (
	vectorFormat = "nori-wal record" // prefix of meta.format
	vectorFile   = "testdata/nori_records.json"
)

// vectorSet is one file of vectors. Its meta also describes, for readers, the kinds and the generators.
type vectorSet struct {
	Meta struct {
		DecodeLimit int `json:"decode_limit_bytes"`
	} `json:"meta"`
	Vectors []json.RawMessage `json:"vectors"`
}

type vector struct {
	Kind string `json:"kind"`

	// A record and its encoding.
	Key             *vectorBytes `json:"key"`
	Value           *vectorBytes `json:"value"`
	Tombstone       bool         `json:"tombstone"`
	TTL             *json.Number `json:"ttl_ms"`
	Compression     string       `json:"compression"`
	StoredValueSize *int         `json:"stored_value_len"`
	Encoded         *vectorBytes `json:"encoded"`
	Policy          string       `json:"policy"`

	// Errors.
	Error    string         `json:"error"`
	ErrorAny []string       `json:"error_any"`
	Base     *vectorBytes   `json:"base"`
	Count    int            `json:"count"`
	Strict   map[string]int `json:"strict_decoder"`

	// Scans.
	ValidRecords int    `json:"valid_records"`
	ValidBytes   int    `json:"valid_bytes"`
	Stop         string `json:"stop"`

	// Tables.
	N     json.Number  `json:"n"`
	Input *vectorBytes `json:"input"`
	CRC   string       `json:"crc32c_hex"`

	limit int // decode_limit_bytes of the set
}

// vectorBytes is a string of bytes: written out, generated, or known by length and digest only.
type vectorBytes struct {
	Hex    *string `json:"hex"`
	Len    *int    `json:"len"`
	SHA256 string  `json:"sha256"`
	Prefix string  `json:"prefix_hex"`
	CRC    string  `json:"crc32c_le_hex"`

	Gen   string      `json:"gen"`
	Unit  string      `json:"unit_hex"` // repeat
	Count int         `json:"count"`    // repeat
	Mul   int         `json:"mul"`      // affine
	Add   int         `json:"add"`      // affine
	Seed  json.Number `json:"seed"`     // xorshift64
}

// bytes returns the bytes, or nil and false if only their digest is known.
func (v *vectorBytes) bytes(t testing.TB) ([]byte, bool) {
	t.Helper()
	var b []byte
	switch {
	case v.Hex != nil:
		b = unhex(t, *v.Hex)
	case v.Gen != "" && v.Gen != "none":
		b = v.generate(t)
	default:
		return nil, false
	}
	v.check(t, "vector", b)
	return b, true
}

// mustBytes is for vectors that make no sense without the bytes.
func (v *vectorBytes) mustBytes(t testing.TB) []byte {
	t.Helper()
	if v == nil {
		t.Fatal("the vector lacks bytes of its kind")
	}
	b, ok := v.bytes(t)
	if !ok {
		t.Fatal("the vector has neither hex nor a known generator")
	}
	return b
}

func (v *vectorBytes) generate(t testing.TB) []byte {
	t.Helper()
	if v.Gen == "repeat" {
		return bytes.Repeat(unhex(t, v.Unit), v.Count)
	}
	if v.Len == nil {
		t.Fatalf("generator %q needs a len", v.Gen)
	}
	b := make([]byte, *v.Len)
	switch v.Gen {
	case "affine":
		for i := range b {
			b[i] = byte(i*v.Mul + v.Add)
		}
	case "xorshift64":
		s := parseUint(t, v.Seed)
		for i := range b {
			s ^= s << 13
			s ^= s >> 7
			s ^= s << 17
			b[i] = byte(s >> 32)
		}
	case "loglines":
		b = logLines(*v.Len)
	default:
		t.Fatalf("unknown generator %q", v.Gen)
	}
	return b
}

// check compares b with everything that is known about it.
func (v *vectorBytes) check(t testing.TB, what string, b []byte) {
	t.Helper()
	known := false
	if v.Hex != nil {
		known = true
		if want := unhex(t, *v.Hex); !bytes.Equal(b, want) {
			t.Errorf("%s: got %s, want %s", what, abridged(b), abridged(want))
		}
	}
	if v.Len != nil && len(b) != *v.Len {
		t.Errorf("%s: got %d bytes, want %d", what, len(b), *v.Len)
	}
	if v.SHA256 != "" {
		known = true
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != v.SHA256 {
			t.Errorf("%s: got SHA-256 %x, want %s", what, sum, v.SHA256)
		}
	}
	if !bytes.HasPrefix(b, unhex(t, v.Prefix)) {
		t.Errorf("%s: got %s, want prefix %s", what, abridged(b), v.Prefix)
	}
	if !bytes.HasSuffix(b, unhex(t, v.CRC)) {
		t.Errorf("%s: got CRC %x, want %s", what, b[max(0, len(b)-recordCRCSize):], v.CRC)
	}
	if !known && v.Gen == "" {
		t.Errorf("%s: the vector has neither hex nor sha256 to check against", what)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parseUint(t testing.TB, s json.Number) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s.String(), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func abridged(b []byte) string {
	if len(b) <= 64 {
		return hex.EncodeToString(b)
	}
	return fmt.Sprintf("%x... (%d bytes)", b[:64], len(b))
}

// loadVectors returns nil if the file holds vectors of another format.
func loadVectors(t testing.TB, path string) *vectorSet {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var head struct {
		Meta struct {
			Format string `json:"format"`
		} `json:"meta"`
	}
	if err := json.Unmarshal(data, &head); err != nil || !strings.HasPrefix(head.Meta.Format, vectorFormat) {
		return nil
	}
	set := new(vectorSet)
	if err := json.Unmarshal(data, set); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if set.Meta.DecodeLimit <= 0 {
		t.Fatalf("%s: no decode_limit_bytes", path)
	}
	return set
}

func TestVectors(t *testing.T) {
	t.Run("testdata", func(t *testing.T) { runVectors(t, "testdata") })
	if *vectorDir != "" {
		t.Run("dir", func(t *testing.T) { runVectors(t, *vectorDir) })
	}
}

func runVectors(t *testing.T, dir string) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, path := range paths {
		set := loadVectors(t, path)
		if set == nil {
			continue
		}
		for i, raw := range set.Vectors {
			ran++
			runVector(t, i, raw, set.Meta.DecodeLimit)
		}
	}
	if ran == 0 {
		t.Fatalf("no vectors with format %q in %v", vectorFormat, paths)
	}
	t.Logf("%d vectors", ran)
}

func runVector(t *testing.T, i int, raw json.RawMessage, limit int) {
	var head struct {
		Name string `json:"name"`
		Kind string `json:"kind"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		t.Fatalf("vector %d: %v", i, err)
	}
	if head.Kind == "note" {
		return // for information; its fields follow no scheme
	}
	t.Run(head.Name, func(t *testing.T) {
		v := &vector{limit: limit}
		if err := json.Unmarshal(raw, v); err != nil {
			t.Fatal(err)
		}
		v.run(t)
	})
}

func (v *vector) run(t *testing.T) {
	run, ok := map[string]func(*testing.T){
		"encode_decode":   v.testEncodeDecode,
		"decode":          v.testDecode,
		"decode_error":    v.testDecodeError,
		"all_truncations": v.testTruncations,
		"all_bit_flips":   v.testBitFlips,
		"segment_scan":    v.testScan,
		"uvarint64":       v.testUvarint,
		"crc32c":          v.testCRC,
	}[v.Kind]
	if !ok {
		t.Fatalf("unknown kind %q", v.Kind)
	}
	run(t)
}

// record returns the vector's record. Its value is nil if the vector has only the digest of it.
func (v *vector) record(t *testing.T) *Record {
	t.Helper()
	compressions := map[string]Compression{"none": CompressionNone, "lz4": CompressionLZ4, "zstd": CompressionZstd}
	c, ok := compressions[v.Compression]
	if !ok {
		t.Fatalf("unknown compression %q", v.Compression)
	}
	r := &Record{Key: v.Key.mustBytes(t), Tombstone: v.Tombstone, Compression: c}
	r.Value, _ = v.Value.bytes(t)
	if v.TTL != nil {
		r.HasTTL, r.TTL = true, parseUint(t, *v.TTL)
	}
	return r
}

func (v *vector) testEncodeDecode(t *testing.T) {
	r := v.record(t)
	got, err := AppendRecord([]byte("before"), r)
	if err != nil {
		t.Fatal(err)
	}
	encoded, ok := bytes.CutPrefix(got, []byte("before"))
	if !ok {
		t.Fatal("AppendRecord changed what it should append to")
	}
	v.Encoded.check(t, "encoding", encoded)
	if n := EncodedSize(r); n < len(encoded) || r.Compression == CompressionNone && n != len(encoded) {
		t.Errorf("EncodedSize is %d for %d bytes", n, len(encoded))
	}
	v.checkDecode(t, encoded, r)
}

func (v *vector) testDecode(t *testing.T) {
	encoded, r := v.Encoded.mustBytes(t), v.record(t)
	v.checkDecode(t, encoded, r)
	stored, _, err := DecodeStored(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if v.StoredValueSize != nil && len(stored.Value) != *v.StoredValueSize {
		t.Errorf("stored value has %d bytes, want %d", len(stored.Value), *v.StoredValueSize)
	}
	if strings.Contains(v.Policy, "never write") {
		v.checkNeverWritten(t, encoded)
	}
}

// checkNeverWritten checks that what encoded says is written otherwise: with every number as short as it can be. A value that
// is too short to be compressed is lengthened, so that the size before an LZ4 block is looked at, too.
func (v *vector) checkNeverWritten(t *testing.T, encoded []byte) {
	t.Helper()
	r, _, err := DecodeRecord(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(v.Policy, "never write it") && len(longNumbers(t, encoded)) == 0 {
		t.Errorf("policy %q, but no number of %x is longer than needed", v.Policy, encoded)
	}
	lengthened := r
	lengthened.Value = append(bytes.Clone(r.Value), make([]byte, 1<<10)...)
	for _, r := range []*Record{&r, &lengthened} {
		written := mustAppendRecord(t, nil, r)
		if long := longNumbers(t, written); len(long) > 0 || bytes.Equal(written, encoded) {
			t.Errorf("policy %q: read %x, wrote %s with a longer %v than needed", v.Policy, encoded, abridged(written), long)
		}
	}
	got, _, err := DecodeStored(mustAppendRecord(t, nil, &lengthened))
	if err != nil || got.Compression != r.Compression && !r.Tombstone { // the value of a tombstone is never compressed
		t.Errorf("a longer value is stored with compression %v, error %v", got.Compression, err)
	}
}

// longNumbers tells which of a record's numbers take more bytes than they need.
func longNumbers(t *testing.T, encoded []byte) (long []string) {
	t.Helper()
	pos := 0
	take := func(name string, b []byte) {
		t.Helper()
		n, size, err := decodeUvarint(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if size > uvarintSize(n) {
			long = append(long, name)
		}
		pos += size
	}
	take("klen", encoded)
	take("vlen", encoded[pos:])
	r, _, err := DecodeStored(encoded)
	if err != nil {
		t.Fatal(err)
	}
	if pos++; r.HasTTL {
		take("ttl_ms", encoded[pos:])
	}
	if r.Compression == CompressionLZ4 {
		take("size of the value", r.Value)
	}
	return long
}

// The check of what is never written sees each number that a record has.
func TestLongNumbers(t *testing.T) {
	record := func(klen, vlen, ttl, size []byte) []byte {
		block := []byte{0x1f, 'a', 1, 0, 0x15, 0x50, '1', '2', '3', '4', '5'}
		flags := []byte{recordFlagTTL | byte(CompressionLZ4)<<recordCompressionBit}
		b := slices.Concat(klen, vlen, flags, ttl, []byte("key"), size, block)
		return binary.LittleEndian.AppendUint32(b, recordCRC(b))
	}
	for _, c := range []struct {
		klen, vlen, ttl, size []byte
		want                  string
	}{
		{[]byte{3}, []byte{12}, []byte{1}, []byte{46}, "[]"},
		{[]byte{0x83, 0}, []byte{12}, []byte{1}, []byte{46}, "[klen]"},
		{[]byte{3}, []byte{0x8c, 0x80, 0}, []byte{1}, []byte{46}, "[vlen]"},
		{[]byte{3}, []byte{12}, []byte{0x81, 0}, []byte{46}, "[ttl_ms]"},
		{[]byte{3}, []byte{13}, []byte{1}, []byte{46 | 0x80, 0}, "[size of the value]"},
		{[]byte{0x83, 0}, []byte{0x8d, 0}, []byte{0x81, 0}, []byte{46 | 0x80, 0}, "[klen vlen ttl_ms size of the value]"},
	} {
		if got := fmt.Sprint(longNumbers(t, record(c.klen, c.vlen, c.ttl, c.size))); got != c.want {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
}

// checkDecode decodes encoded, alone and followed by other bytes, and compares the result with want.
func (v *vector) checkDecode(t *testing.T, encoded []byte, want *Record) {
	t.Helper()
	for _, after := range []string{"", "more"} {
		src := append(slices.Clone(encoded), after...)
		got, n, err := DecodeRecordInto(src, nil, v.limit)
		if err != nil || n != len(encoded) {
			t.Fatalf("decoding gives n = %d, error %v, want n = %d", n, err, len(encoded))
		}
		v.Value.check(t, "decoded value", got.Value)
		if want.Value != nil {
			requireSameRecord(t, &got, want)
		}
	}
}

func (v *vector) testDecodeError(t *testing.T) {
	r, n, err := DecodeRecordInto(v.Encoded.mustBytes(t), nil, v.limit)
	if err == nil {
		t.Fatalf("decoded %d bytes to %+v, want error %v", n, r, v.ErrorAny)
	}
	if class := recordErrorClass(err); !slices.Contains(v.ErrorAny, class) {
		t.Errorf("got error %q (%v), want any of %q", class, err, v.ErrorAny)
	}
	requireErrorContract(t, &r, n, err)
}

func (v *vector) testTruncations(t *testing.T) {
	base := v.Base.mustBytes(t)
	if _, n, err := DecodeRecordInto(base, nil, v.limit); err != nil || n != len(base) {
		t.Fatalf("base: n = %d, error %v", n, err)
	}
	if v.Count != len(base) {
		t.Errorf("vector counts %d truncations, base has %d bytes", v.Count, len(base))
	}
	for i := range base {
		r, n, err := DecodeRecordInto(base[:i:i], nil, v.limit)
		if recordErrorClass(err) != v.Error {
			t.Errorf("first %d bytes: got error %v, want %q", i, err, v.Error)
		}
		requireErrorContract(t, &r, n, err)
	}
}

func (v *vector) testBitFlips(t *testing.T) {
	base := v.Base.mustBytes(t)
	if _, n, err := DecodeRecordInto(base, nil, v.limit); err != nil || n != len(base) {
		t.Fatalf("base: n = %d, error %v", n, err)
	}
	if v.Count != 8*len(base) {
		t.Errorf("vector counts %d flips, base has %d bytes", v.Count, len(base))
	}
	got := map[string]int{}
	for i := range 8 * len(base) {
		flipped := slices.Clone(base)
		flipped[i/8] ^= 1 << (i % 8)
		r, n, err := DecodeRecordInto(flipped, nil, v.limit)
		class := recordErrorClass(err)
		if !slices.Contains(v.ErrorAny, class) {
			t.Errorf("bit %d of byte %d: got error %v, want any of %q", i%8, i/8, err, v.ErrorAny)
		}
		requireErrorContract(t, &r, n, err)
		got[class]++
	}
	if v.Strict == nil {
		return
	}
	if fmt.Sprint(got) != fmt.Sprint(v.Strict) { // fmt sorts maps
		t.Errorf("got errors %v, want %v", got, v.Strict)
	}
}

func (v *vector) testScan(t *testing.T) {
	src := v.Encoded.mustBytes(t)
	records, offset, stop := 0, 0, "end"
	var lastN int
	for offset < len(src) {
		_, n, err := DecodeRecordInto(src[offset:], nil, v.limit)
		if err != nil {
			stop, lastN = recordErrorClass(err), n
			break
		}
		records++
		offset += n
	}
	if records != v.ValidRecords || offset != v.ValidBytes || !slices.Contains(strings.Split(v.Stop, "|"), stop) {
		t.Errorf("got %d records, %d bytes, stop at %q; want %d, %d, %q", records, offset, stop, v.ValidRecords,
			v.ValidBytes, v.Stop)
	}
	// What a log must not cut off it has to be able to tell from what it may.
	if strings.Contains(v.Policy, "never truncate") && lastN == 0 {
		t.Errorf("policy %q: the error looks like a torn tail", v.Policy)
	}
}

func (v *vector) testUvarint(t *testing.T) {
	n, want := parseUint(t, v.N), v.Encoded.mustBytes(t)
	if got, size, err := decodeUvarint(want); got != n || size != len(want) || err != nil {
		t.Errorf("decoding %x gives %d, %d bytes, error %v", want, got, size, err)
	}
	if size := uvarintSize(n); size != len(want) {
		t.Errorf("uvarintSize(%d) is %d, want %d", n, size, len(want))
	}
	encoded, err := AppendRecord(nil, &Record{HasTTL: true, TTL: n})
	if err != nil {
		t.Fatal(err)
	}
	const before = 3 // klen, vlen and flags
	if got := encoded[before : len(encoded)-recordCRCSize]; !bytes.Equal(got, want) {
		t.Errorf("%d is encoded as %x, want %x", n, got, want)
	}
}

func (v *vector) testCRC(t *testing.T) {
	want := binary.BigEndian.Uint32(unhex(t, v.CRC))
	if got := recordCRC(v.Input.mustBytes(t)); got != want {
		t.Errorf("got %08x, want %08x", got, want)
	}
}

// recordErrorClass returns the vectors' name for err.
func recordErrorClass(err error) string {
	for _, c := range []struct {
		err  error
		name string
	}{
		{ErrIncomplete, "incomplete"},
		{ErrCRC, "crc_mismatch"},
		{ErrVarintOverflow, "varint_overflow"},
		{ErrReservedBits, "reserved_bits"},
		{ErrUnknownCompression, "invalid_compression"},
		{ErrDecompression, "decompression_failed"},
		{ErrTooLarge, "too_large"},
	} {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	return fmt.Sprint(err)
}
