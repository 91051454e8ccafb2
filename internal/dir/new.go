package dir

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/ebbdb/ebb/internal/vfs"
)

// New is a database that is made in a temporary directory, so that the target never shows a part of it.
//
//  1. Make the temporary directory, whose name has a random ending: beside the target or, if the target is an empty
//     directory, inside it, as the target may be a mount point or the end of a symbolic link, which cannot be replaced. A
//     crash from here on leaves the temporary directory, which is of no use and may be deleted.
//  2. The caller puts the tables there, each synced with its name.
//  3. The caller puts a log there, and the manifest last: now the database is complete.
//  4. Publish renames the temporary directory to the target; or, inside, first moves everything but the manifest up, and
//     syncs the target. A crash leaves no target or a complete one; or a target without a manifest, which is no database and
//     may be emptied.
//  5. Inside, the manifest is moved up last.
//  6. The directory that has the new name is synced: the target is durable.
type New struct {
	Dir    // the temporary directory; empty once published
	fs     vfs.FS
	target Dir
	inside bool     // the temporary directory is in the target
	moved  []string // paths in the target that have been moved up
}

// Make takes step 1. The name of the temporary directory has the purpose in it, and bytes that random fills in.
func Make(fsys vfs.FS, target, purpose string, random func([]byte)) (*New, error) {
	if target == "" {
		return nil, fmt.Errorf("%w: no name for a new directory", ErrTargetExists)
	}
	abs, err := fsys.Abs(target)
	if err != nil {
		return nil, err
	}
	n := &New{fs: fsys, target: Dir(path.Clean(abs))}
	if n.inside, err = vacant(fsys, n.target, ""); err != nil {
		return nil, err
	}
	var chance [4]byte
	random(chance[:])
	ending := purpose + "-" + hex.EncodeToString(chance[:])
	n.Dir = n.target + "." + Dir(ending)
	if n.inside {
		n.Dir = Dir(n.target.join(ending))
	}
	if err := vfs.MkdirAllSync(fsys, n.Tables()); err != nil {
		return nil, errors.Join(err, n.Remove())
	}
	return n, nil
}

// CheckTarget refuses, with ErrTargetExists, a name under which no database can be made: one that exists and is no empty
// directory. Files that the system puts into a directory do not count.
func CheckTarget(fsys vfs.FS, name string) error {
	abs, err := fsys.Abs(name)
	if err != nil {
		return err
	}
	_, err = vacant(fsys, Dir(path.Clean(abs)), "")
	return err
}

// vacant refuses a target that exists and is no empty directory, and reports whether the target exists. The directory own
// may be in the target.
func vacant(fsys vfs.FS, target, own Dir) (exists bool, err error) {
	names, err := fsys.ReadDir(string(target))
	if errors.Is(err, fs.ErrNotExist) {
		return false, checkName(fsys, string(target))
	}
	if err != nil {
		if _, serr := fsys.Size(string(target)); serr == nil { // a file
			err = fmt.Errorf("%w: %w", ErrTargetExists, err)
		}
		return false, err
	}
	for _, name := range names {
		if !vfs.SystemFile(name) && target.join(name) != string(own) {
			return true, fmt.Errorf("%w: %s holds %q", ErrTargetExists, target, name)
		}
	}
	return true, nil
}

// checkName refuses a target that leads nowhere and has a name all the same: a symbolic link, onto which no directory can
// be renamed.
func checkName(fsys vfs.FS, target string) error {
	names, err := fsys.ReadDir(path.Dir(target))
	if err == nil && slices.Contains(names, path.Base(target)) {
		return fmt.Errorf("%w: %s is a link that leads nowhere", ErrTargetExists, target)
	}
	return nil // if the parent cannot be read, making a directory there fails too
}

// Publish takes steps 4 to 6. If step 6 fails the target is complete, but not durable: a power cut may take it.
func (n *New) Publish() error {
	if _, err := vacant(n.fs, n.target, n.Dir); err != nil {
		return err
	}
	if n.inside {
		return n.moveUp()
	}
	if err := n.fs.Rename(string(n.Dir), string(n.target)); err != nil {
		return err
	}
	n.Dir = ""
	return n.fs.SyncDir(path.Dir(string(n.target)))
}

// moveUp takes steps 4 to 6 inside the target.
func (n *New) moveUp() error {
	for _, part := range [][2]string{{n.Tables(), n.target.Tables()}, {n.Log(), n.target.Log()}} {
		if err := n.fs.Rename(part[0], part[1]); err != nil {
			return err
		}
		n.moved = append(n.moved, part[1])
	}
	if err := n.fs.SyncDir(string(n.target)); err != nil {
		return err
	}
	if err := n.fs.Rename(n.Manifest(), n.target.Manifest()); err != nil {
		return err
	}
	n.fs.Remove(string(n.Dir)) // the directory is empty; one that stays does no harm
	n.Dir = ""
	return n.fs.SyncDir(string(n.target))
}

// Remove removes the temporary directory and the parts that were moved up, unless the database is published.
func (n *New) Remove() error {
	if n.Dir == "" {
		return nil
	}
	err := vfs.RemoveAll(n.fs, string(n.Dir))
	for _, name := range n.moved {
		err = errors.Join(err, vfs.RemoveAll(n.fs, name))
	}
	return err
}
