package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"
)

// reseal makes src a batch whose header is right in all that can be computed, so that a test reaches the records.
func reseal(src []byte) []byte {
	src = bytes.Clone(src)
	binary.BigEndian.PutUint32(src, uint32(len(src)-lengthSize))
	src[magicOffset] = magic
	src[attributesOffset] = 0
	binary.BigEndian.PutUint32(src[crcOffset:], checksum(src))
	return src
}

// batchOf returns a batch with a right checksum around records, which need not be right.
func batchOf(count int32, records string) []byte {
	src := append(make([]byte, HeaderSize), records...)
	binary.BigEndian.PutUint32(src[recordCountOffset:], uint32(count))
	return reseal(src)
}

// Parse must leave to the iterator what Decode refuses, and the two must say the same.
func TestBadRecords(t *testing.T) {
	const good = "\x00\x00\x00\x04\x01k\x01v"
	for _, tc := range []struct {
		name        string
		count       int32
		records     string
		goodRecords int
		want        error
	}{
		{"no_records_left", 2, good, 1, ErrCountTooHigh},
		{"one_record_unannounced", 1, good + good, 1, ErrTrailingBytes},
		{"byte_left", 1, good + "\x00", 1, ErrTrailingBytes},
		{"length_cut_at_1", 2, good + "\x00", 1, ErrRecordExceedsBatch},
		{"length_cut_at_3", 1, "\x00\x00\x00", 0, ErrRecordExceedsBatch},
		{"length_past_end", 1, "\x00\x00\x00\x05\x01k\x01v", 0, ErrRecordExceedsBatch},
		{"length_max", 1, "\x7F\xFF\xFF\xFF\x01k\x01v", 0, ErrRecordExceedsBatch},
		{"length_min", 1, "\x80\x00\x00\x00\x01k\x01v", 0, ErrBadRecordLength},
		{"length_zero", 1, "\x00\x00\x00\x00", 0, ErrTruncatedVarint},
		{"key_length_cut", 1, "\x00\x00\x00\x04\x80\x80\x80\x80", 0, ErrTruncatedVarint},
		{"key_length_continues_at_5", 1, "\x00\x00\x00\x05\x80\x80\x80\x80\x80", 0, ErrVarintOverflow},
		{"key_length_33_bits", 1, "\x00\x00\x00\x05\x80\x80\x80\x80\x10", 0, ErrVarintOverflow},
		{"key_length_32_bits", 1, "\x00\x00\x00\x05\xFF\xFF\xFF\xFF\x0F", 0, ErrKeyExceedsRecord},
		{"key_one_short", 2, good + "\x00\x00\x00\x02\x02k", 1, ErrKeyExceedsRecord},
		{"value_length_cut", 1, "\x00\x00\x00\x03\x01k\x80", 0, ErrTruncatedVarint},
		{"value_length_33_bits", 1, "\x00\x00\x00\x07\x01k\x80\x80\x80\x80\x10", 0, ErrVarintOverflow},
		{"value_length_32_bits", 1, "\x00\x00\x00\x07\x01k\xFF\xFF\xFF\xFF\x0F", 0, ErrValueExceedsRecord},
		{"value_one_short", 1, "\x00\x00\x00\x04\x01k\x02v", 0, ErrValueExceedsRecord},
		{"value_one_long", 1, "\x00\x00\x00\x05\x01k\x01vv", 0, ErrTrailingRecordBytes},
		// The put's Length ends behind its key: it would read as a delete.
		{"put_cut_to_delete", 1, "\x00\x00\x00\x02\x01k\x01v", 1, ErrTrailingBytes},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src := batchOf(tc.count, tc.records)
			_, n, err := Decode(src)
			if !errors.Is(err, tc.want) || n != 0 {
				t.Errorf("Decode: n %d, error %v, want 0 and %v", n, err, tc.want)
			}
			b, n, err := Parse(src)
			if err != nil || n != len(src) {
				t.Fatalf("Parse: n %d, error %v, want %d and nil", n, err, len(src))
			}
			it := b.Records()
			read := 0
			for it.Next() {
				read++
			}
			if !errors.Is(it.Err(), tc.want) || it.Next() || read != tc.goodRecords {
				t.Errorf("iterator: %d records, error %v, want %d and %v", read, it.Err(), tc.goodRecords, tc.want)
			}
			var last error
			for _, err := range b.All() {
				last = err
			}
			if !errors.Is(last, tc.want) {
				t.Errorf("All ends with error %v, want %v", last, tc.want)
			}
		})
	}
}

func TestCheckOrder(t *testing.T) {
	good := batchOf(0, "")
	for _, tc := range []struct {
		name   string
		change func(src []byte)
		want   error
	}{
		{"length_before_magic", func(src []byte) { src[3], src[magicOffset] = 25, 1 }, ErrIncomplete},
		{"magic_before_crc", func(src []byte) { src[magicOffset], src[crcOffset] = 1, src[crcOffset]+1 }, ErrBadMagic},
		{"crc_before_attributes", func(src []byte) { src[attributesOffset] = 1 }, ErrCRCMismatch},
		{"crc_before_count", func(src []byte) { src[recordCountOffset] = 0x80 }, ErrCRCMismatch},
		{"crc_zero", func(src []byte) { clear(src[crcOffset : crcOffset+4]) }, ErrCRCMismatch},
	} {
		src := bytes.Clone(good)
		tc.change(src)
		if _, _, err := Decode(src); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

// A count that no batch of this size can have is refused before anyone sizes a slice by it.
func TestParseBoundsCount(t *testing.T) {
	for _, count := range []int32{9, math.MaxInt32} {
		if _, _, err := Parse(batchOf(count, "\x00\x00\x00\x04\x01k\x01v")); !errors.Is(err, ErrCountTooHigh) {
			t.Errorf("count %d in 8 bytes: %v, want ErrCountTooHigh", count, err)
		}
	}
}

func TestErrorsNameThePlaceAndNoData(t *testing.T) {
	_, _, err := Decode(batchOf(2, "\x00\x00\x00\x04\x01k\x01v"+"\x00\x00\x00\x08\x06secret\xFF"))
	const want = "batch: truncated varint: record 1 of 2, at offset 36 of the batch"
	if err == nil || err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	_, _, err = Decode(batchOf(0, "")[:27])
	if err == nil || !strings.Contains(err.Error(), "27 bytes") {
		t.Errorf("error %q does not say how many bytes there are", err)
	}
}

// Records alias the source, and appending to one must not reach the bytes behind it.
func TestRecordsAlias(t *testing.T) {
	b := mustBuilder(t, nil, 1, MaxSize)
	mustPut(t, b, put("key", "value"), put("k", ""), del("gone"))
	src := b.Build()
	before := bytes.Clone(src)
	decoded, _ := mustDecode(t, src)

	var first Record
	for r, err := range decoded.All() {
		if err != nil {
			t.Fatal(err)
		}
		_ = append(r.Key, 'x')
		_ = append(r.Value, 'x')
		if first.Key == nil {
			first = r
		}
	}
	if !bytes.Equal(src, before) {
		t.Error("appending to a key or value changed the batch")
	}
	copy(src[bytes.Index(src, []byte("value")):], "VALUE")
	if string(first.Value) != "VALUE" {
		t.Errorf("value %q is a copy", first.Value)
	}
}

func TestAllStops(t *testing.T) {
	b := mustBuilder(t, nil, 1, MaxSize)
	mustPut(t, b, put("a", "1"), put("b", "2"), put("c", "3"))
	decoded, _ := mustDecode(t, b.Build())
	seen := 0
	for range decoded.All() {
		if seen++; seen == 2 {
			break
		}
	}
	if seen != 2 {
		t.Errorf("saw %d records, want 2", seen)
	}
}

func TestReadAllocates(t *testing.T) {
	builder := mustBuilder(t, nil, 1, MaxSize)
	for range 100 {
		mustPut(t, builder, put("key", strings.Repeat("v", 300)), del("key"))
	}
	src := builder.Build()
	iterated, ranged := 0, 0
	read := func() {
		b, _, err := Decode(src)
		if err != nil {
			return
		}
		it := b.Records()
		for it.Next() {
			iterated++
		}
		for _, err := range b.All() {
			if err == nil {
				ranged++
			}
		}
	}
	const runs = 20
	if allocs := testing.AllocsPerRun(runs, read); allocs != 0 {
		t.Errorf("%g allocations to decode and iterate over 200 records, want 0", allocs)
	}
	if want := (runs + 1) * 200; iterated != want || ranged != want {
		t.Errorf("read %d and %d records, want %d each", iterated, ranged, want)
	}
}
