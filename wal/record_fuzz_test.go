package wal

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

// fuzzSeeds adds the bytes of every vector that has them.
func fuzzSeeds(f *testing.F) {
	set := loadVectors(f, vectorFile)
	if set == nil {
		f.Fatalf("%s is not a file of vectors", vectorFile)
	}
	for _, raw := range set.Vectors {
		var v struct{ Encoded, Base *vectorBytes }
		if err := json.Unmarshal(raw, &v); err != nil {
			f.Fatal(err)
		}
		for _, b := range []*vectorBytes{v.Encoded, v.Base} {
			if b != nil && b.Hex != nil {
				f.Add(unhex(f, *b.Hex))
			}
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		checkDecodeRecord(t, src)
		// Hardly any change keeps the checksum valid, so give it the one that makes the rest be looked at.
		if sealed := sealFirstRecord(src); sealed != nil {
			checkDecodeRecord(t, sealed)
		}
	})
}

// sealFirstRecord returns the record at the start of src, if its lengths fit, with the checksum it should have.
func sealFirstRecord(src []byte) []byte {
	if len(src) < recordMinSize {
		return nil
	}
	klen, vlen, pos, err := decodeLengths(src)
	if err != nil || pos == len(src) {
		return nil
	}
	hasTTL := src[pos]&recordFlagTTL != 0
	pos++
	if hasTTL {
		_, size, err := decodeUvarint(src[pos:])
		if err != nil {
			return nil
		}
		pos += size
	}
	end, ok := recordBodyEnd(src, pos, klen, vlen)
	if !ok {
		return nil
	}
	return reseal(slices.Clone(src[:end]))
}

func checkDecodeRecord(t *testing.T, src []byte) {
	const limit = 1 << 20
	before := slices.Clone(src)
	r, n, err := DecodeRecordInto(src, nil, limit)
	if !bytes.Equal(src, before) {
		t.Fatal("decoding changed the source")
	}
	if n < 0 || n > len(src) {
		t.Fatalf("n = %d of %d", n, len(src))
	}
	if err != nil {
		requireErrorContract(t, &r, n, err)
		return
	}
	if len(r.Value) > limit || cap(r.Value) > max(2*limit, len(src)) {
		t.Fatalf("value of %d bytes with capacity %d, limit %d", len(r.Value), cap(r.Value), limit)
	}
	stored, storedN, err := DecodeStored(src)
	if err != nil || storedN != n {
		t.Fatalf("DecodeStored gives n = %d, error %v, want n = %d", storedN, err, n)
	}
	// Written again, the stored bytes are the same record in its shortest form.
	shortest := appendStored(nil, &r, stored.Value, r.Compression)
	if len(shortest) > n || len(shortest) == n && !bytes.Equal(shortest, src[:n]) {
		t.Fatalf("read %s, wrote %s", abridged(src[:n]), abridged(shortest))
	}
	checkRoundTrip(t, &r)
}

// checkRoundTrip encodes r and decodes it again.
func checkRoundTrip(t *testing.T, r *Record) {
	encoded, err := AppendRecord([]byte("before"), r)
	if err != nil {
		t.Fatal(err)
	}
	encoded = encoded[len("before"):]
	if len(encoded) > EncodedSize(r) {
		t.Fatalf("%d bytes, EncodedSize %d", len(encoded), EncodedSize(r))
	}
	got, n, err := DecodeRecord(encoded)
	if err != nil || n != len(encoded) {
		t.Fatalf("n = %d, error %v, want n = %d", n, err, len(encoded))
	}
	want := *r
	want.Compression = got.Compression // it may have fallen back
	requireSameRecord(t, &got, &want)
	if got.Compression != r.Compression && got.Compression != CompressionNone {
		t.Errorf("asked for %v, stored with %v", r.Compression, got.Compression)
	}
}

func FuzzRecordRoundTrip(f *testing.F) {
	for _, r := range sampleRecords() {
		f.Add(r.Key, r.Value, r.TTL, r.HasTTL, r.Tombstone, uint8(r.Compression), uint16(1))
	}
	f.Add([]byte("k"), []byte("compressible"), uint64(0), false, false, uint8(CompressionZstd), uint16(20000))
	f.Fuzz(func(t *testing.T, key, value []byte, ttl uint64, hasTTL, tombstone bool, c uint8, repeat uint16) {
		checkRoundTrip(t, &Record{
			Key:         key,
			Value:       bytes.Repeat(value, min(int(repeat), (1<<20)/max(1, len(value)))),
			TTL:         ttl,
			HasTTL:      hasTTL,
			Tombstone:   tombstone,
			Compression: Compression(c % 3),
		})
	})
}

// FuzzDecompressValue goes straight to the decompressors, which see what a checksum has let through.
func FuzzDecompressValue(f *testing.F) {
	set := loadVectors(f, vectorFile)
	for _, raw := range set.Vectors {
		var v struct{ Encoded *vectorBytes }
		if err := json.Unmarshal(raw, &v); err != nil {
			f.Fatal(err)
		}
		if v.Encoded == nil || v.Encoded.Hex == nil {
			continue
		}
		if r, _, err := DecodeStored(unhex(f, *v.Encoded.Hex)); err == nil && r.Compression != CompressionNone {
			f.Add(r.Value, uint8(r.Compression))
		}
	}
	f.Fuzz(func(t *testing.T, stored []byte, c uint8) {
		const limit, guard = 1 << 18, 64
		compression := Compression(c % 3)
		fresh, err := DecompressValue(nil, stored, compression, limit)
		if err != nil && fresh != nil || len(fresh) > limit {
			t.Fatalf("%d bytes, error %v", len(fresh), err)
		}
		// A buffer with old content and no room to spare must give the same, and nothing may be written beyond it.
		backing := bytes.Repeat([]byte{0xa5}, len(fresh)+guard)
		reused, again := DecompressValue(backing[:0:len(fresh)], stored, compression, limit)
		if (err == nil) != (again == nil) || !bytes.Equal(reused, fresh) {
			t.Fatalf("into a buffer: %d bytes, error %v; without: %d bytes, error %v", len(reused), again, len(fresh), err)
		}
		if !bytes.Equal(backing[len(fresh):], bytes.Repeat([]byte{0xa5}, guard)) {
			t.Fatal("the buffer was overrun")
		}
	})
}
