package vfs

import (
	"fmt"
	"path/filepath"
	"testing"
)

// benchSize is the length that a benchmark's file is zeroed to, or mapped to; writes start over when they reach it.
const benchSize = 16 << 20

// benchFile returns a file, full of zeros on the disk if zeroed, with mapped writes if mapped.
func benchFile(b *testing.B, zeroed, mapped bool) File {
	b.Helper()
	f, err := OS.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	if zeroed {
		page := make([]byte, 4096) // at a time, for the sake of mapped writes: see mapping
		for off := int64(0); off < benchSize; off += int64(len(page)) {
			if _, err := f.WriteAt(page, off); err != nil {
				b.Fatal(err)
			}
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	if mapped {
		if err := f.MapWrites(benchSize); err == ErrNotSupported {
			b.Skip("no mapped writes here")
		} else if err != nil {
			b.Fatal(err)
		}
	}
	return f
}

var benchFiles = []struct {
	name           string
	zeroed, mapped bool
}{{"growing", false, false}, {"zeroed", true, false}, {"mapped", true, true}}

func BenchmarkWriteAt(b *testing.B) {
	for _, size := range []int64{128, 1024} {
		for _, tc := range benchFiles {
			b.Run(fmt.Sprintf("%s/%d", tc.name, size), func(b *testing.B) {
				f := benchFile(b, tc.zeroed, tc.mapped)
				p := make([]byte, size)
				b.SetBytes(size)
				b.ReportAllocs()
				var off int64
				for b.Loop() {
					if _, err := f.WriteAt(p, off); err != nil {
						b.Fatal(err)
					}
					if off += size; tc.zeroed && off > benchSize-size {
						off = 0
					}
				}
			})
		}
	}
}

func BenchmarkSyncData(b *testing.B) {
	const size = 1024
	for _, tc := range benchFiles {
		b.Run(tc.name, func(b *testing.B) {
			f := benchFile(b, tc.zeroed, tc.mapped)
			p := make([]byte, size)
			b.ReportAllocs()
			var off int64
			for b.Loop() {
				if _, err := f.WriteAt(p, off); err != nil {
					b.Fatal(err)
				}
				if err := f.SyncData(); err != nil {
					b.Fatal(err)
				}
				if off += size; tc.zeroed && off > benchSize-size {
					off = 0
				}
			}
		})
	}
}

func BenchmarkGuard(b *testing.B) {
	mem, sum := make([]byte, 4096), 0
	b.ReportAllocs()
	for b.Loop() {
		if err := Guard(func() { sum += int(mem[100]) }); err != nil {
			b.Fatal(err)
		}
	}
}
