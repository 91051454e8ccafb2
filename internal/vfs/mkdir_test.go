package vfs_test

import (
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
		crashes := mem.Crashes(1, 4)
		for state := range crashes.At(crashes.OpCount()) {
			if _, err := state.FS.ReadDir("home/a/b"); err != nil {
				t.Errorf("died after %d levels, %s: %v", died, state.Name, err)
			}
		}
	}
}
