package batch

import (
	"bytes"
	"testing"
)

func mustBuilder(t testing.TB, dst []byte, schemaID, limit int) *Builder {
	t.Helper()
	b, err := NewBuilder(dst, schemaID, limit)
	if err != nil {
		t.Fatalf("NewBuilder(%d, %d): %v", schemaID, limit, err)
	}
	return b
}

// putRecord appends r as the put or the delete it is.
func putRecord(b *Builder, r Record) error {
	if r.Delete {
		return b.Delete(r.Key)
	}
	return b.Put(r.Key, r.Value)
}

func mustPut(t testing.TB, b *Builder, records ...Record) {
	t.Helper()
	for i, r := range records {
		if err := putRecord(b, r); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
}

func mustDecode(t testing.TB, src []byte) (Batch, int) {
	t.Helper()
	b, n, err := Decode(src)
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	return b, n
}

func put(key, value string) Record { return Record{Key: []byte(key), Value: []byte(value)} }

func del(key string) Record { return Record{Key: []byte(key), Delete: true} }

func equalRecords(a, b Record) bool {
	return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) && a.Delete == b.Delete
}

// checkRecords compares both ways of iterating over b with want, and what Record promises about nil.
func checkRecords(t testing.TB, b Batch, want []Record) {
	t.Helper()
	it := b.Records()
	for i := range want {
		if !it.Next() {
			t.Fatalf("%d records, want %d: %v", i, len(want), it.Err())
		}
		if got := it.Record; !equalRecords(got, want[i]) || (got.Value == nil) != got.Delete || got.Key == nil {
			t.Errorf("record %d: %+v, want %+v", i, got, want[i])
		}
	}
	if it.Next() || it.Err() != nil {
		t.Errorf("after %d records: %+v, error %v, want the end", len(want), it.Record, it.Err())
	}
	i := 0
	for got, err := range b.All() {
		if err != nil || i == len(want) || !equalRecords(got, want[i]) {
			t.Fatalf("All, record %d of %d: %+v, error %v", i, len(want), got, err)
		}
		i++
	}
	if i != len(want) {
		t.Errorf("All: %d records, want %d", i, len(want))
	}
}
