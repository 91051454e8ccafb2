package memtable

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// TestArena gives out stretches of all lengths and checks that they are aligned, zero, apart and found again.
func TestArena(t *testing.T) {
	type stretch struct {
		offset uint32
		data   []byte
	}
	for _, c := range []struct {
		name    string
		lengths []int
	}{
		{"large first", []int{maxShared + 1, 8}},
		{"pages", []int{8, pageSize, pageSize + 1, 3 * pageSize, 8}},
		{"longer than the first chunk", []int{firstChunk + 1, 8, 4*firstChunk + 1}},
		{"exactly the first chunk", []int{firstChunk, 1}},
		{"unaligned", []int{1, 7, 8, 9, 15, 16, 17, maxShared - 1, maxShared, maxShared + 1, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a arena
			var all []stretch
			var sum int
			for round := range 20 {
				for _, n := range c.lengths {
					offset, data, err := a.alloc(n)
					if err != nil {
						t.Fatal(err)
					}
					if offset == 0 || len(data) < n {
						t.Fatalf("alloc(%d) = offset %d, %d bytes", n, offset, len(data))
					}
					if bytes.Count(data, []byte{0}) != len(data) {
						t.Fatal("a new stretch is not zero")
					}
					for i := range data[:n] {
						data[i] = byte(round + len(all))
					}
					all = append(all, stretch{offset, data[:n]})
					sum += n
				}
			}
			for i, s := range all {
				if got := a.bytes(s.offset)[:len(s.data)]; &got[0] != &s.data[0] || !bytes.Equal(got, s.data) {
					t.Fatalf("stretch %d of %d bytes is not found", i, len(s.data))
				}
				if want := byte(i/len(c.lengths) + i); s.data[0] != want || s.data[len(s.data)-1] != want {
					t.Fatalf("stretch %d of %d bytes was overwritten", i, len(s.data))
				}
			}
			held := -len(a.free)
			for _, c := range *a.pages.Load() {
				held += len(c.data)
			}
			if used := int(a.used.Load()); used != held || used < sum {
				t.Errorf("used = %d, want %d, given out %d", used, held, sum)
			}
		})
	}
}

// TestArenaWords stores a word at every unit and checks that each is its own, and that the bytes behind it are not
// touched: what the package relies on, whether chunk_unsafe.go or chunk_safe.go (build tag purego) is compiled in.
func TestArenaWords(t *testing.T) {
	var a arena
	var offsets []uint32
	for range 3 * pageUnits {
		offset, data, err := a.alloc(unit)
		if err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint32(data[4:], ^offset)
		a.word(offset).Store(offset)
		offsets = append(offsets, offset)
	}
	for _, offset := range offsets {
		word, behind := a.word(offset).Load(), binary.LittleEndian.Uint32(a.bytes(offset)[4:])
		if word != offset || behind != ^offset {
			t.Fatalf("at %#x: word %#x, bytes behind it %#x", offset, word, behind)
		}
	}
}
