package batch

import (
	"bytes"
	"testing"
)

// FuzzDecodeBatch decodes arbitrary bytes, once as they are and once with length, magic, attributes and checksum put
// right, because random changes rarely pass a checksum.
func FuzzDecodeBatch(f *testing.F) {
	for _, v := range readVectors(f, "testdata") {
		for _, b := range []*blob{v.Encoded, v.Base} {
			if b != nil && b.given() {
				f.Add(b.bytes(f))
			}
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		checkDecode(t, src)
		if len(src) >= HeaderSize {
			checkDecode(t, reseal(src))
		}
	})
}

func checkDecode(t *testing.T, src []byte) {
	t.Helper()
	b, n, err := Decode(src)
	checkDepths(t, src, err)
	if err != nil {
		if n != 0 {
			t.Errorf("n %d with error %v", n, err)
		}
		return
	}

	// What follows the batch must not matter: neither bytes that are there, nor there being none.
	alone, m := mustDecode(t, bytes.Clone(src[:n]))
	followed, k := mustDecode(t, append(bytes.Clone(src[:n]), 0xFF, 0xFF, 0xFF, 0xFF, 0xFF))
	if m != n || k != n {
		t.Errorf("sizes %d alone and %d followed, want %d", m, k, n)
	}
	var records []Record
	for r, err := range b.All() {
		if err != nil {
			t.Fatalf("All after Decode: %v", err)
		}
		records = append(records, r)
	}
	if len(records) != b.Count {
		t.Errorf("%d records, Count %d", len(records), b.Count)
	}
	checkRecords(t, alone, records)
	checkRecords(t, followed, records)
	checkReencoded(t, src[:n], b, records)
}

// checkDepths compares Parse followed by iteration with Decode, whose error is decodeErr.
func checkDepths(t *testing.T, src []byte, decodeErr error) {
	t.Helper()
	b, _, err := Parse(src)
	if err == nil {
		it := b.Records()
		for it.Next() {
		}
		err = it.Err()
	}
	if (err == nil) != (decodeErr == nil) || err != nil && err.Error() != decodeErr.Error() {
		t.Errorf("Parse and iteration: %v, Decode: %v", err, decodeErr)
	}
}

// checkReencoded builds b again, which must give src unless src has longer varints than needed.
func checkReencoded(t *testing.T, src []byte, b Batch, records []Record) {
	t.Helper()
	schemaID := b.SchemaID
	if schemaID < 0 {
		if _, err := NewBuilder(nil, schemaID, MaxSize); err == nil {
			t.Errorf("a builder for schema %d", schemaID)
		}
		schemaID = 0
	}
	builder := mustBuilder(t, nil, schemaID, len(src))
	if err := builder.SetWriter(b.WriterID, b.BatchSequence); err != nil {
		t.Fatal(err)
	}
	mustPut(t, builder, records...)
	got := builder.Build()
	if minimal := len(got) == len(src); minimal && b.SchemaID >= 0 && !bytes.Equal(got, src) {
		t.Errorf("built again\n got %x\nwant %x", got, src)
	}
	again, _ := mustDecode(t, got)
	if again.WriterID != b.WriterID || again.BatchSequence != b.BatchSequence || again.SchemaID != schemaID {
		t.Errorf("header %+v, want that of %+v", again, b)
	}
	checkRecords(t, again, records)
}
