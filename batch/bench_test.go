package batch

import (
	"fmt"
	"testing"
)

const (
	benchRecords   = 100
	benchValueSize = 128
)

func benchKeys() [][]byte {
	keys := make([][]byte, benchRecords)
	for i := range keys {
		keys[i] = fmt.Appendf(nil, "user%012d", i)
	}
	return keys
}

// reportRecords adds the time of one record to what a benchmark of whole batches prints.
func reportRecords(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRecords, "ns/record")
}

func BenchmarkBuild(b *testing.B) {
	keys, value, prefix := benchKeys(), make([]byte, benchValueSize), []byte{0x81, 0x01}
	for _, bc := range []struct {
		name string
		put  func(builder *Builder, key []byte) error
	}{
		{"put", func(builder *Builder, key []byte) error { return builder.Put(key, value) }},
		{"put_parts", func(builder *Builder, key []byte) error { return builder.Put(key, prefix, value) }},
		{"delete", func(builder *Builder, key []byte) error { return builder.Delete(key) }},
	} {
		b.Run(bc.name, func(b *testing.B) {
			builder := mustBuilder(b, nil, 1, MaxSize)
			b.ReportAllocs()
			for b.Loop() {
				if err := builder.Reset(1); err != nil {
					b.Fatal(err)
				}
				for _, key := range keys {
					if err := bc.put(builder, key); err != nil {
						b.Fatal(err)
					}
				}
				b.SetBytes(int64(len(builder.Build())))
			}
			reportRecords(b)
		})
	}
}

func BenchmarkRead(b *testing.B) {
	builder := mustBuilder(b, nil, 1, MaxSize)
	value := make([]byte, benchValueSize)
	for _, key := range benchKeys() {
		if err := builder.Put(key, value); err != nil {
			b.Fatal(err)
		}
	}
	src := builder.Build()

	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(src)))
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := Parse(src); err != nil {
				b.Fatal(err)
			}
		}
		reportRecords(b)
	})
	b.Run("decode", func(b *testing.B) {
		b.SetBytes(int64(len(src)))
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := Decode(src); err != nil {
				b.Fatal(err)
			}
		}
		reportRecords(b)
	})
	decoded, _ := mustDecode(b, src)
	b.Run("iterate", func(b *testing.B) {
		b.SetBytes(int64(len(src)))
		b.ReportAllocs()
		total := 0
		for b.Loop() {
			it := decoded.Records()
			for it.Next() {
				total += len(it.Record.Value)
			}
		}
		reportRecords(b)
		if total != b.N*benchRecords*benchValueSize {
			b.Errorf("read %d value bytes in %d rounds", total, b.N)
		}
	})
	b.Run("all", func(b *testing.B) {
		b.SetBytes(int64(len(src)))
		b.ReportAllocs()
		total := 0
		for b.Loop() {
			for record, err := range decoded.All() {
				if err != nil {
					b.Fatal(err)
				}
				total += len(record.Value)
			}
		}
		reportRecords(b)
		if total != b.N*benchRecords*benchValueSize {
			b.Errorf("read %d value bytes in %d rounds", total, b.N)
		}
	})
}
