package memfs

import (
	"bytes"
	"io"
	"testing"

	"pgregory.net/rapid"
)

// TestContent holds the bytes of a file against a slice, over chunks, holes and mappings.
func TestContent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c content
		var want []byte
		resize := func(n int) {
			if n <= len(want) {
				want = want[:n:n]
				return
			}
			want = append(want, make([]byte, n-len(want))...)
		}
		offset := func(what string) int { // near the edge of a chunk, or anywhere
			at := rapid.IntRange(0, 3).Draw(t, what)*chunkSize + rapid.IntRange(-3, 3).Draw(t, "beside")
			return max(at, 0)
		}
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				off := offset("at")
				n := rapid.SampledFrom([]int{1, 5, chunkSize, 2*chunkSize + 2}).Draw(t, "length")
				p := bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, n)
				c.writeAt(p, int64(off))
				resize(max(len(want), off+n))
				copy(want[off:], p)
			},
			"truncate": func(t *rapid.T) {
				n := offset("to")
				c.truncate(int64(n))
				resize(n)
			},
			"map": func(t *rapid.T) {
				if got := c.flatten(); !bytes.Equal(got, want) || cap(got) != len(got) {
					t.Fatalf("a mapping of %d bytes differs from the %d", len(got), len(want))
				}
			},
			"read": func(t *rapid.T) {
				off := offset("at")
				p := make([]byte, rapid.SampledFrom([]int{1, 5, chunkSize, 3 * chunkSize}).Draw(t, "length"))
				p[0] = 0xDB
				n, err := c.readAt(p, int64(off))
				rest := want[min(off, len(want)):]
				rest = rest[:min(len(p), len(rest))]
				if !bytes.Equal(p[:n], rest) || (err == io.EOF) != (n < len(p)) {
					t.Fatalf("read of %d at %d: %d, %v, want %d", len(p), off, n, err, len(rest))
				}
			},
			"": func(t *rapid.T) {
				if got := c.length(); got != int64(len(want)) {
					t.Fatalf("%d bytes, want %d", got, len(want))
				}
				got := make([]byte, len(want))
				if n, err := c.readAt(got, 0); n != len(want) || !bytes.Equal(got, want) {
					t.Fatalf("read %d of %d bytes, %v; or others", n, len(want), err)
				}
			},
		})
	})
}

// TestMappingStays: what was mapped is not what is written behind it.
func TestMappingStays(t *testing.T) {
	m := New()
	f, err := m.Create("a")
	if err != nil {
		t.Fatal(err)
	}
	write := func(p []byte, off int64) {
		t.Helper()
		if n, err := f.WriteAt(p, off); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	write([]byte("hello"), 0)
	mem, err := f.Map()
	if err != nil {
		t.Fatal(err)
	}
	write([]byte(" there"), 5)
	if err := f.Truncate(2); err != nil {
		t.Fatal(err)
	}
	write([]byte("LLO"), 2)
	if err := m.Remove("a"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil || string(mem) != "hello" {
		t.Errorf("%q, %v", mem, err)
	}
}
