package memfs

import (
	"errors"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
)

// TestRelease: the memory of a file is there until neither a name nor an open file leads to it.
func TestRelease(t *testing.T) {
	const size = 2 << 20
	for _, row := range []struct {
		name string
		do   func(*FS, vfs.File) error // ends all but the open file
	}{
		{"removed", func(m *FS, _ vfs.File) error { return m.Remove("a") }},
		{"replaced", func(m *FS, _ vfs.File) error {
			f, err := m.Create("b")
			return errors.Join(err, f.Close(), m.Rename("b", "a"))
		}},
		{"removed by both names", func(m *FS, _ vfs.File) error {
			return errors.Join(m.Link("a", "b"), m.Remove("a"), m.Rename("b", "c"), m.Remove("c"))
		}},
		{"opened a second time", func(m *FS, _ vfs.File) error {
			f, err := m.Open("a")
			return errors.Join(err, m.Remove("a"), f.Close())
		}},
		{"mapped as it grew", func(m *FS, f vfs.File) error {
			_, err := f.WriteAt([]byte{1}, size)
			_, merr := f.Map()
			return errors.Join(err, merr, m.Remove("a"))
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			m := New()
			f, err := m.Create("a")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte{7}, size-1); err != nil {
				t.Fatal(err)
			}
			mem, err := f.Map()
			if err != nil || len(mem) != size {
				t.Fatal(len(mem), err)
			}
			if err := row.do(m, f); err != nil {
				t.Fatal(err)
			}
			if mem[size-1] != 7 {
				t.Error("a mapping of an open file has lost its bytes")
			}
			c := f.(*file).content
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			c.mu.RLock()
			defer c.mu.RUnlock()
			if c.mu.mapped != nil || c.mu.size != 0 {
				t.Errorf("%d mappings are left, %d bytes", len(c.mu.mapped), c.mu.size)
			}
		})
	}
}
