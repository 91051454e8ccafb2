package vfs_test

import (
	"fmt"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// The process dies in the middle, but not the system: what the next one finds may never have reached the disk.
func TestMkdirAllSyncAfterAProcessDied(t *testing.T) {
	levels := []string{"home/a", "home/a/b"}
	for died := range len(levels) + 1 {
		mem := vfstest.NewMem()
		if err := mem.MkdirAll("home"); err != nil {
			t.Fatal(err)
		}
		mem.Record()
		for i, level := range levels[:died] { // as far as the one that died came; its last sync did not happen
			if err := mem.MkdirAll(level); err != nil {
				t.Fatal(err)
			}
			if i < died-1 {
				if err := mem.SyncDir([]string{"home", "home/a"}[i]); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := vfs.MkdirAllSync(mem, "home/a/b"); err != nil {
			t.Fatal(err)
		}
		vfstest.EachCrash(t, mem, vfstest.CrashPoints{From: mem.OpCount(), Random: 4}, func(c *vfstest.Crash) error {
			if _, err := c.FS.ReadDir("home/a/b"); err != nil {
				return fmt.Errorf("died after %d levels: %w", died, err)
			}
			return nil
		})
	}
}
