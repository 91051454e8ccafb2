package ebb

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// newDir is a database that is made apart, so that nobody ever sees a part of it where it is to be.
//
//  1. Make a directory for it, whose name has a random ending: beside the target or, where that is an empty directory, in
//     it, as it may be a mount point or the end of a symbolic link, which cannot be replaced. A crash from here on leaves
//     it; it is of no use and may be deleted.
//  2. The owner puts the tables there, each synced with its name.
//  3. finish begins the log, synced, and stores the manifest last, synced: now it is a whole database.
//  4. publish renames it to the target; or, inside, first moves everything but the manifest up, and syncs the target. A
//     crash leaves no target or all of it; or one without a manifest, which is no database and may be emptied.
//  5. Inside, the manifest is moved up last.
//  6. The directory that has the new name is synced: it is there to stay.
type newDir struct {
	fs     vfs.FS
	target string
	dir    string   // where it is until it is published
	inside bool     // in the target
	moved  []string // what is in the target already
}

// makeDir takes step 1.
func makeDir(fsys vfs.FS, target, purpose string) (*newDir, error) {
	if target == "" {
		return nil, fmt.Errorf("%w: no name for a new directory", ErrTargetExists)
	}
	abs, err := fsys.Abs(target)
	if err != nil {
		return nil, err
	}
	d := &newDir{fs: fsys, target: path.Clean(abs)}
	if d.inside, err = d.checkTarget(); err != nil {
		return nil, err
	}
	var random [4]byte
	rand.Read(random[:]) // never fails
	ending := purpose + "-" + hex.EncodeToString(random[:])
	d.dir = d.target + "." + ending
	if d.inside {
		d.dir = path.Join(d.target, ending)
	}
	if err := vfs.MkdirAllSync(fsys, d.tablesDir()); err != nil {
		return nil, errors.Join(err, d.remove())
	}
	return d, nil
}

// checkTarget refuses a target that is there and no empty directory, and reports whether there is one.
func (d *newDir) checkTarget() (exists bool, err error) {
	names, err := d.fs.ReadDir(d.target)
	if errors.Is(err, fs.ErrNotExist) {
		return false, d.checkName()
	}
	if err != nil {
		if _, serr := d.fs.Size(d.target); serr == nil { // a file
			err = fmt.Errorf("%w: %w", ErrTargetExists, err)
		}
		return false, err
	}
	for _, name := range names {
		if !vfs.SystemFile(name) && path.Join(d.target, name) != d.dir {
			return true, fmt.Errorf("%w: %s holds %q", ErrTargetExists, d.target, name)
		}
	}
	return true, nil
}

// checkName refuses a target that leads nowhere and has a name all the same: a symbolic link, onto which no directory can
// be renamed.
func (d *newDir) checkName() error {
	names, err := d.fs.ReadDir(path.Dir(d.target))
	if err == nil && slices.Contains(names, path.Base(d.target)) {
		return fmt.Errorf("%w: %s is a link that leads nowhere", ErrTargetExists, d.target)
	}
	return nil // whatever is wrong with the parent, making a directory there will tell
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

// publish takes steps 4 to 6. When the last one fails the target is whole, but a power cut may take it.
func (d *newDir) publish() error {
	if _, err := d.checkTarget(); err != nil {
		return err
	}
	if d.inside {
		return d.moveUp()
	}
	if err := d.fs.Rename(d.dir, d.target); err != nil {
		return err
	}
	d.dir = ""
	return d.fs.SyncDir(path.Dir(d.target))
}

// moveUp takes steps 4 to 6 inside the target.
func (d *newDir) moveUp() error {
	for _, name := range []string{tablesName, logName} {
		if err := d.fs.Rename(path.Join(d.dir, name), path.Join(d.target, name)); err != nil {
			return err
		}
		d.moved = append(d.moved, path.Join(d.target, name))
	}
	if err := d.fs.SyncDir(d.target); err != nil {
		return err
	}
	if err := d.fs.Rename(path.Join(d.dir, manifest.Name), path.Join(d.target, manifest.Name)); err != nil {
		return err
	}
	d.fs.Remove(d.dir) // empty; if it stays it is in nobody's way
	d.dir = ""
	return d.fs.SyncDir(d.target)
}

// remove removes what was made, unless that is published.
func (d *newDir) remove() error {
	if d.dir == "" {
		return nil
	}
	err := vfs.RemoveAll(d.fs, d.dir)
	for _, name := range d.moved {
		err = errors.Join(err, vfs.RemoveAll(d.fs, name))
	}
	return err
}
