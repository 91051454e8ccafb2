package vfstest

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/ebbdb/ebb/internal/vfs"
)

// TestCounted holds what is counted against the account of a disk of a certain size, over files that are open without a name,
// have two, or come from outside.
func TestCounted(t *testing.T) {
	const size = 1 << 30
	rapid.Check(t, func(t *rapid.T) {
		disk := NewFault(NewMem())
		disk.SetRoom(size)
		for _, dir := range []string{"db/sub", "other"} {
			if err := disk.MkdirAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		shrunk := false
		c := vfs.NewCounted(disk, "db", func() { shrunk = true })
		var open []vfs.File
		defer func() {
			for _, f := range open {
				f.Close()
			}
		}()
		outside := map[string]bool{}
		name := func() string {
			dir := rapid.SampledFrom([]string{"db", "db/sub", "./db/sub/.."}).Draw(t, "dir")
			return fmt.Sprint(dir, "/", rapid.IntRange(0, 4).Draw(t, "name"))
		}
		keep := func(f vfs.File, err error) {
			if err == nil {
				open = append(open, f)
			}
		}
		pick := func() vfs.File {
			if len(open) == 0 {
				t.Skip("nothing is open")
			}
			return open[rapid.IntRange(0, len(open)-1).Draw(t, "file")]
		}
		before := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"create": func(*rapid.T) { keep(c.Create(name())) },
			"open":   func(*rapid.T) { keep(c.Open(name())) },
			"write":  func(*rapid.T) { keep(c.OpenWrite(name())) },
			"grow": func(*rapid.T) {
				p := make([]byte, rapid.IntRange(1, 100).Draw(t, "bytes"))
				_, _ = pick().WriteAt(p, int64(rapid.IntRange(0, 200).Draw(t, "at"))) // one opened to read fails
			},
			"truncate": func(*rapid.T) { _ = pick().Truncate(int64(rapid.IntRange(0, 200).Draw(t, "size"))) },
			"close": func(*rapid.T) {
				f := pick()
				if err := f.Close(); err != nil && !errors.Is(err, vfs.ErrNotSupported) {
					t.Log(err) // a second time
				}
			},
			"remove": func(*rapid.T) { _ = c.Remove(name()) },
			"rename": func(*rapid.T) { _ = c.Rename(name(), name()) },
			"link":   func(*rapid.T) { _ = c.Link(name(), name()) },
			"come": func(*rapid.T) {
				from := fmt.Sprint("other/", len(outside))
				f, err := disk.Create(from)
				if err != nil {
					t.Fatal(err)
				}
				_, err = f.WriteAt([]byte("from outside"), 0)
				outside[from] = true
				if err = errors.Join(err, f.Close(), c.Rename(from, name())); err != nil {
					t.Fatal(err)
				}
			},
			"": func(*rapid.T) {
				all, held := c.Bytes()
				if want := size - disk.Room(); all != want || held < 0 || held > all {
					t.Fatalf("%d bytes are counted, %d of them held, want %d", all, held, want)
				}
				if all < before && !shrunk {
					t.Fatalf("nobody was told that %d bytes have become %d", before, all)
				}
				before, shrunk = all, false
				fresh := vfs.NewCounted(disk, "db", func() {})
				if err := fresh.Scan(); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}
