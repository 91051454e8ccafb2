package raftlog

import (
	"fmt"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// Report says what Verify has read.
type Report struct {
	First, Last uint64 // indexes of the entries; 0 if there are none
	Entries     int
	Commit      uint64 // the newest commit index that was persisted
	Stable      int    // stable values
	Log         wal.Replayed
}

// Verify reads the log in a directory and checks all of it, as Open does and by the same rules, but takes no lock and changes
// nothing: a torn end stays, and Report.Log.Cut tells of it. It may run beside the owner. An error that matches ErrCorrupt
// names file and offset. Of the options it uses FS.
func Verify(dir string, o *Options) (Report, error) {
	fsys := vfs.FS(vfs.OS)
	if o != nil && o.FS != nil {
		fsys = o.FS
	}
	e, err := readEnd(fsys, dir)
	if err != nil {
		return Report{}, err
	}
	st := newState()
	r, err := wal.Replay(dir, &wal.Options{
		ID: e.id, Anchor: e.anchor, FS: fsys,
		Replay:    func(e *wal.Entry) error { return st.replay(dir, e) },
		ReplayEnd: func() error { return st.check(dir) },
	})
	if err != nil {
		return Report{}, fmt.Errorf("raftlog: %w", err)
	}
	report := Report{Entries: len(st.index.places), Commit: st.commit, Stable: len(st.stable), Log: r}
	if report.Entries > 0 {
		report.First, report.Last = st.index.first, st.index.next()-1
	}
	return report, nil
}
