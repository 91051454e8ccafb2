package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
)

var vectorsDir = flag.String("vectors", "testdata", "`directory` whose *.json files TestVectors runs")

var vectorKinds = map[string]func(*testing.T, *vector){
	"encode_decode":   runEncodeDecode,
	"decode":          runDecode,
	"decode_error":    runDecodeError,
	"batch_stream":    runBatchStream,
	"record_bytes":    runRecordBytes,
	"uvarint32":       runUvarint32,
	"all_truncations": runAllTruncations,
	"all_bit_flips":   runAllBitFlips,
	"builder_limit":   runBuilderLimit,
	"builder_error":   runBuilderError,
}

// TestVectors runs testdata, or with -args -vectors DIR the vectors of another directory.
func TestVectors(t *testing.T) {
	vectors := readVectors(t, *vectorsDir)
	if len(vectors) == 0 {
		t.Fatalf("no vectors of format %q in %s", vectorsFormat, *vectorsDir)
	}
	ran := map[string]int{}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			run, ok := vectorKinds[v.Kind]
			if !ok {
				t.Fatalf("unknown kind %q", v.Kind)
			}
			run(t, v)
		})
		ran[v.Kind]++
	}
	t.Logf("%d vectors from %s: %v", len(vectors), *vectorsDir, ran)
}

func runEncodeDecode(t *testing.T, v *vector) {
	records := v.records(t)
	schemaID := number(t, v.SchemaID)
	if schemaID < 0 {
		// A writer refuses what a reader accepts.
		if _, err := NewBuilder(nil, int(schemaID), MaxSize); !errors.Is(err, ErrSchemaRange) {
			t.Errorf("NewBuilder(%d): %v, want ErrSchemaRange", schemaID, err)
		}
		v.checkDecoded(t, v.Encoded.bytes(t), records)
		return
	}
	b := mustBuilder(t, nil, int(schemaID), MaxSize)
	if err := b.SetWriter(number(t, v.WriterID), int32(number(t, v.BatchSequence))); err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		if err := putRecord(b, r); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	size := b.Size()
	got := b.Build()
	v.Encoded.check(t, got)
	if size != len(got) || b.Count() != v.RecordCount {
		t.Errorf("Size %d, Count %d, want %d and %d", size, b.Count(), len(got), v.RecordCount)
	}
	if crc := fmt.Sprintf("%x", got[crcOffset:crcOffset+4]); v.CRC != "" && crc != v.CRC {
		t.Errorf("crc %s, want %s", crc, v.CRC)
	}
	v.checkDecoded(t, got, records)
}

func runDecode(t *testing.T, v *vector) {
	v.checkDecoded(t, v.Encoded.bytes(t), v.records(t))
}

// checkDecoded decodes src and compares all of it with the vector.
func (v *vector) checkDecoded(t *testing.T, src []byte, records []Record) {
	t.Helper()
	b, n := mustDecode(t, src)
	if n != len(src) {
		t.Errorf("consumed %d bytes of %d", n, len(src))
	}
	want := Batch{
		SchemaID:      int(number(t, v.SchemaID)),
		WriterID:      number(t, v.WriterID),
		BatchSequence: int32(number(t, v.BatchSequence)),
		Count:         v.RecordCount,
	}
	if b.SchemaID != want.SchemaID || b.WriterID != want.WriterID || b.BatchSequence != want.BatchSequence ||
		b.Count != want.Count {
		t.Errorf("schema %d, writer %d, sequence %d, count %d, want %d, %d, %d, %d", b.SchemaID, b.WriterID,
			b.BatchSequence, b.Count, want.SchemaID, want.WriterID, want.BatchSequence, want.Count)
	}
	checkRecords(t, b, records)
}

func runDecodeError(t *testing.T, v *vector) {
	src := v.Encoded.bytes(t)
	_, n, err := Decode(src)
	if err == nil || n != 0 {
		t.Fatalf("Decode: n %d, error %v, want 0 and one of %v", n, err, v.errorAny())
	}
	if class := errorClass(err); !slices.Contains(v.errorAny(), class) {
		t.Errorf("class %s (%v), want one of %v", class, err, v.errorAny())
	}
}

func runBatchStream(t *testing.T, v *vector) {
	src := v.Encoded.bytes(t)
	var counts []int
	consumed, stop := 0, "end"
	for consumed < len(src) {
		b, n, err := Decode(src[consumed:])
		if err != nil {
			stop = errorClass(err)
			break
		}
		counts = append(counts, b.Count)
		consumed += n
	}
	if len(counts) != v.Batches || consumed != v.Consumed || stop != v.Stop {
		t.Errorf("%d batches, %d bytes, stopped by %s, want %d, %d, %s",
			len(counts), consumed, stop, v.Batches, v.Consumed, v.Stop)
	}
	if v.RecordCounts != nil && !slices.Equal(counts, v.RecordCounts) {
		t.Errorf("record counts %v, want %v", counts, v.RecordCounts)
	}
}

func runRecordBytes(t *testing.T, v *vector) {
	want := v.Encoded.bytes(t)
	record := (&vectorRecord{v.Key, v.Value}).record(t)
	b := mustBuilder(t, nil, 0, MaxSize)
	if err := putRecord(b, record); err != nil {
		t.Fatal(err)
	}
	if got := b.Build()[HeaderSize:]; !bytes.Equal(got, want) {
		t.Errorf("record\n got %x\nwant %x", got, want)
	}
	var got Record
	n, err := got.parse(want)
	if err != nil || n != len(want) || !equalRecords(got, record) {
		t.Errorf("parse: %v, n %d, error %v, want %v, %d", got, n, err, record, len(want))
	}
}

func runUvarint32(t *testing.T, v *vector) {
	want := v.Encoded.bytes(t)
	n := uint32(number(t, v.N))
	if got := binary.AppendUvarint(nil, uint64(n)); !bytes.Equal(got, want) {
		t.Errorf("append: %x, want %x", got, want)
	}
	if size := uvarint32Size(n); size != int64(len(want)) {
		t.Errorf("size %d, want %d", size, len(want))
	}
	if got, size, err := uvarint32(want); got != n || size != len(want) || err != nil {
		t.Errorf("read: %d, size %d, error %v, want %d, %d", got, size, err, n, len(want))
	}
}

func runAllTruncations(t *testing.T, v *vector) {
	base := v.Base.bytes(t)
	mustDecode(t, base)
	for n := range base {
		_, _, err := Decode(base[:n])
		if class := errorClass(err); !slices.Contains(v.errorAny(), class) {
			t.Errorf("first %d bytes: class %s, want %v", n, class, v.errorAny())
		}
	}
	if len(base) != v.Count {
		t.Errorf("%d prefixes, want %d", len(base), v.Count)
	}
}

func runAllBitFlips(t *testing.T, v *vector) {
	base := v.Base.bytes(t)
	mustDecode(t, base)
	counts, flips := map[string]int{}, 0
	for i := range 8 * len(base) {
		src := bytes.Clone(base)
		src[i/8] ^= 1 << (i % 8)
		_, _, err := Decode(src)
		class := errorClass(err)
		if !slices.Contains(v.errorAny(), class) {
			t.Errorf("bit %d: class %s, want one of %v", i, class, v.errorAny())
		}
		counts[class]++
		flips++
	}
	if flips != v.Count {
		t.Errorf("%d flips, want %d", flips, v.Count)
	}
	for class, want := range v.StrictDecoder {
		if counts[class] != want {
			t.Errorf("%d flips found as %s, want %d (all: %v)", counts[class], class, want, counts)
		}
		delete(counts, class)
	}
	if v.StrictDecoder != nil && len(counts) > 0 {
		t.Errorf("flips found as %v besides %v", counts, v.StrictDecoder)
	}
}

// runBuilderLimit puts records until one is refused, which must be where the reference says it is.
func runBuilderLimit(t *testing.T, v *vector) {
	if v.Limit == nil {
		t.Fatal("no limit")
	}
	records := v.records(t)
	b := mustBuilder(t, nil, 1, *v.Limit)
	var refused error
	accepted := 0
	for _, r := range records {
		valueLen := len(r.Value)
		if r.Delete {
			valueLen = noValue
		}
		room := b.HasRoomFor(len(r.Key), valueLen)
		refused = putRecord(b, r)
		if room != (refused == nil) {
			t.Errorf("record %d: HasRoomFor %t, then error %v", accepted, room, refused)
		}
		if refused != nil {
			break
		}
		accepted++
	}
	switch {
	case strings.HasPrefix(v.ReferenceText, "ok"):
		if refused != nil {
			t.Errorf("record %d: %v, want none refused", accepted, refused)
		}
	case strings.HasPrefix(v.ReferenceText, "err"):
		if !errors.Is(refused, ErrFull) && !errors.Is(refused, ErrTooLarge) {
			t.Errorf("after %d records: error %v, want one refused: %s", accepted, refused, v.ReferenceText)
			break
		}
		v.checkRefusal(t, b.Size(), records[accepted])
	default:
		t.Fatalf("unknown reference_text %q", v.ReferenceText)
	}
	got, _ := mustDecode(t, b.Build())
	checkRecords(t, got, records[:accepted])
}

// checkRefusal compares the sizes at the refusal with those the reference printed.
func (v *vector) checkRefusal(t *testing.T, used int, r Record) {
	t.Helper()
	_, sum, ok := strings.Cut(v.ReferenceText, "limit: ")
	if !ok {
		return
	}
	var wantUsed, wantSize, wantLimit int
	if _, err := fmt.Sscanf(sum, "%d + %d > %d", &wantUsed, &wantSize, &wantLimit); err != nil {
		t.Fatalf("reference_text %q: %v", v.ReferenceText, err)
	}
	valueLen := len(r.Value)
	if r.Delete {
		valueLen = noValue
	}
	size := recordSize(int64(len(r.Key)), int64(valueLen))
	if used != wantUsed || size != int64(wantSize) || *v.Limit != wantLimit {
		t.Errorf("refused at %d + %d > %d, want %s", used, size, *v.Limit, sum)
	}
}

func runBuilderError(t *testing.T, v *vector) {
	limit := MaxSize
	if v.Limit != nil {
		limit = *v.Limit
	}
	schemaID := number(t, v.SchemaID)
	if int64(int(schemaID)) != schemaID {
		t.Skipf("schema id %d is no int on this platform", schemaID)
	}
	if b, err := NewBuilder(nil, int(schemaID), limit); b != nil || !errors.Is(err, ErrSchemaRange) {
		t.Errorf("NewBuilder(%d, %d): error %v, want ErrSchemaRange", schemaID, limit, err)
	}
}

// Every form of a rule for generated records, and what is none.
func TestRecordsRule(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{"delete", "[- - - -]"},
		{"delete if i%2==1, else delete", "[- - - -]"},
		{"delete if i%2==1, else affine mul=1 add=i len=2", `["\x00\x01" - "\x02\x03" -]`},
		{"delete if i==0, else delete if i==1, else ascii 'v%02d' % i", `[- - "v02" "v03"]`},
		{"affine mul=0 add=97+i%2 len=i//2", `["" "" "a" "b"]`},
		{"affine mul=0 add=(i+65)&255 len=1", `["A" "B" "C" "D"]`},
		{"ascii '%d' % (3-i)", `["3" "2" "1" "0"]`},
		{"delete if i<=1, else affine mul=1 add=0 len=i-1", `[- - "\x00" "\x00\x01"]`},
		{"delete if i>=j, else delete", "error"},
		{"affine mul=0 add=i+65&255 len=1", "error"}, // (i+65)&255 in Python
		{"affine mul=0 add=i&3*2 len=1", "error"},
		{"affine mul=0 add=0 len=0-1", "error"},
		{"affine mul=1 add=0", "error"},
		{"ascii '%d %d' % i", "error"},
		{"put", "error"},
		{"", "error"},
	} {
		var got []string
		var failed error
		for i := range 4 {
			value, deletes, err := valueOf(c.rule, i)
			failed = errors.Join(failed, err)
			if deletes {
				got = append(got, "-")
			} else {
				got = append(got, fmt.Sprintf("%q", value))
			}
		}
		if text := fmt.Sprint(got); failed == nil && text != c.want || (failed != nil) != (c.want == "error") {
			t.Errorf("rule %q: %s, error %v, want %s", c.rule, text, failed, c.want)
		}
	}
}
