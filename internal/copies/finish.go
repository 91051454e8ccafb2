package copies

import (
	"github.com/ebbdb/ebb/internal/dir"
	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// finish makes a directory with tables a complete database: it adds an empty log whose sequences follow state.LastSeq, and
// then the manifest.
func finish(fs vfs.FS, d *dir.New, state *manifest.State) error {
	state.FirstSegment = 1
	log, err := wal.Open(d.Log(), &wal.Options{
		ID: state.Database, BaseSeq: state.LastSeq + 1, FS: fs, Now: func() int64 { return state.Clock },
	})
	if err != nil {
		return err
	}
	if err := log.Close(); err != nil {
		return err
	}
	state.Log = log.Anchor()
	return manifest.Store(fs, string(d.Dir), state)
}
