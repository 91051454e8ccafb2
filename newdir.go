package ebb

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/manifest"
	"github.com/ebbdb/ebb/wal"
)

// newDir is a database that is made beside where it is to be, so that nobody ever sees a part of it there.
//
//  1. Make a directory beside the target, whose name is the target's with a random ending. A crash from here on leaves it;
//     it is of no use and may be deleted.
//  2. The owner puts the tables there, each synced with its name.
//  3. finish begins the log, synced, and stores the manifest last, synced: now it is a whole database.
//  4. publish removes the target if that is an empty directory, and renames. A crash leaves no target, or all of it.
//  5. It syncs the directory that the target is in: the name is there to stay.
type newDir struct {
	fs     vfs.FS
	target string
	dir    string // where it is until it is published
}

// makeDir takes step 1.
func makeDir(fsys vfs.FS, target, purpose string) (*newDir, error) {
	abs, err := fsys.Abs(target)
	if err != nil {
		return nil, err
	}
	d := &newDir{fs: fsys, target: path.Clean(abs)}
	switch path.Base(d.target) {
	case ".", "..", "/":
		return nil, fmt.Errorf("%w: %q is no name for a new directory", ErrTargetExists, target)
	}
	if err := d.checkTarget(); err != nil {
		return nil, err
	}
	var random [4]byte
	rand.Read(random[:]) // never fails
	d.dir = d.target + "." + purpose + "-" + hex.EncodeToString(random[:])
	if err := vfs.MkdirAllSync(fsys, d.tablesDir()); err != nil {
		return nil, errors.Join(err, d.remove())
	}
	return d, nil
}

// checkTarget refuses a target that is there and no empty directory.
func (d *newDir) checkTarget() error {
	names, err := d.fs.ReadDir(d.target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		if _, serr := d.fs.Size(d.target); serr == nil { // a file
			err = fmt.Errorf("%w: %w", ErrTargetExists, err)
		}
		return err
	}
	if len(names) > 0 {
		return fmt.Errorf("%w: %s holds %q", ErrTargetExists, d.target, names[0])
	}
	return nil
}

func (d *newDir) tablesDir() string { return path.Join(d.dir, tablesName) }

// tableName returns the name of a table's file.
func (d *newDir) tableName(file uint64) string {
	return path.Join(d.tablesDir(), fmt.Sprintf("%06d%s", file, tableSuffix))
}

// finish takes step 3: an empty log that goes on behind state, and the manifest.
func (d *newDir) finish(state *manifest.State) error {
	state.FirstSegment = 1
	log, err := wal.Open(path.Join(d.dir, logName), &wal.Options{
		ID: state.Database, BaseSeq: state.LastSeq + 1, FS: d.fs, Now: func() int64 { return state.Clock },
	})
	if err != nil {
		return err
	}
	if err := log.Close(); err != nil {
		return err
	}
	state.Log = log.Anchor()
	return manifest.Store(d.fs, d.dir, state)
}

// publish takes steps 4 and 5. When the last one fails the target is whole, but a power cut may take it.
func (d *newDir) publish() error {
	if err := d.checkTarget(); err != nil {
		return err
	}
	if err := d.fs.Remove(d.target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.fs.Rename(d.dir, d.target); err != nil {
		return err
	}
	d.dir = ""
	return d.fs.SyncDir(path.Dir(d.target))
}

// remove removes what was made, unless that is published.
func (d *newDir) remove() error {
	if d.dir == "" {
		return nil
	}
	return vfs.RemoveAll(d.fs, d.dir)
}
