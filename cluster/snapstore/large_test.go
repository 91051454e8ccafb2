package snapstore

import (
	"errors"
	"slices"
	"syscall"
	"testing"

	"github.com/ebbdb/ebb/internal/vfs/vfstest"
)

// A large snapshot is synced while it is written. A sync that fails is not tried again: there is no snapshot.
func TestLargeSnapshot(t *testing.T) {
	file := snapshotFile(t, 60_000, 0)
	mem := vfstest.NewMem()
	fault := vfstest.NewFault(mem)
	s := open(t, fault)
	before := fault.Count(vfstest.OpSync)
	_, err := take(s, 5, 1, file)
	must(t, err)
	if n := fault.Count(vfstest.OpSync) - before; n < len(file)/syncEach || n > 3+len(file)/syncEach {
		t.Errorf("%d syncs of %d bytes", n, len(file))
	}
	fault.Inject(vfstest.FailNth(vfstest.OpSync, "", 2, syscall.EIO))
	if _, err := take(s, 6, 1, file); !errors.Is(err, syscall.EIO) {
		t.Errorf("a failed sync: %v", err)
	}
	if got, err := indexes(s, file); err != nil || !slices.Equal(got, []uint64{5}) {
		t.Errorf("%v, %v", got, err)
	}
	must(t, s.Close())
}
