package wal

import (
	"bytes"
	"fmt"
	"testing"
)

// benchRecord is a record that takes size bytes uncompressed: a key of 24 bytes and log lines.
func benchRecord(size int, c Compression) *Record {
	r := &Record{Key: []byte("user:0000000000000012345"), Compression: c}
	r.Value = logLines(size - EncodedSize(r) - uvarintSize(uint64(size)) + 1)
	return r
}

// logLines returns text that compresses like the log of a service.
func logLines(size int) []byte {
	var buf bytes.Buffer
	for i := 0; buf.Len() < size; i++ {
		fmt.Fprintf(&buf, "2026-01-02T%02d:%02d:%02dZ INFO  user=%03d action=%s status=%d\n", i/3600%24, i/60%60, i%60,
			i*7919%1000, [...]string{"login", "logout", "view", "update"}[i%4], [...]int{200, 404, 500}[i%3])
	}
	return buf.Bytes()[:size]
}

func BenchmarkRecord(b *testing.B) {
	for _, c := range []Compression{CompressionNone, CompressionLZ4, CompressionZstd} {
		for _, size := range []int{128, 256, 1 << 10, 16 << 10} {
			r := benchRecord(size, c)
			encoded, err := AppendRecord(nil, r)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("op=encode/compression=%v/size=%d", c, size), func(b *testing.B) {
				dst := make([]byte, 0, EncodedSize(r))
				b.SetBytes(int64(EncodedSize(r)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := AppendRecord(dst, r); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(fmt.Sprintf("op=decode/compression=%v/size=%d", c, size), func(b *testing.B) {
				buf := make([]byte, 0, size)
				b.SetBytes(int64(EncodedSize(r)))
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := DecodeRecordInto(encoded, buf, MaxValueSize); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(fmt.Sprintf("op=stored/compression=%v/size=%d", c, size), func(b *testing.B) {
				b.SetBytes(int64(len(encoded)))
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := DecodeStored(encoded); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkRecordCRC(b *testing.B) {
	for _, size := range []int{128, 256, 1 << 10} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			data := logLines(size)
			b.SetBytes(int64(size))
			for b.Loop() {
				recordCRC(data)
			}
		})
	}
}
