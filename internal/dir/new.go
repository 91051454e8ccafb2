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

// New is a database that is made apart, so that nobody ever sees a part of it where it is to be.
//
//  1. Make a directory for it, whose name has a random ending: beside the target or, where that is an empty directory, in
//     it, as it may be a mount point or the end of a symbolic link, which cannot be replaced. A crash from here on leaves
//     it; it is of no use and may be deleted.
//  2. Whoever makes it puts the tables there, each synced with its name.
//  3. So it does with a log, and with the manifest last: now it is a whole database.
//  4. Publish renames it to the target; or, inside, first moves everything but the manifest up, and syncs the target. A
//     crash leaves no target or all of it; or one without a manifest, which is no database and may be emptied.
//  5. Inside, the manifest is moved up last.
//  6. The directory that has the new name is synced: it is there to stay.
type New struct {
	Dir    // where it is until it is published; then empty
	fs     vfs.FS
	target Dir
	inside bool     // in the target
	moved  []string // what is in the target already
}

// Make takes step 1. The directory is named after its purpose, and with what random fills in.
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

// CheckTarget refuses, with ErrTargetExists, a name under which no database can be made: one that is there and no empty
// directory. What the system puts into a directory does not count.
func CheckTarget(fsys vfs.FS, name string) error {
	abs, err := fsys.Abs(name)
	if err != nil {
		return err
	}
	_, err = vacant(fsys, Dir(path.Clean(abs)), "")
	return err
}

// vacant refuses a target that is there and no empty directory, and reports whether there is one. Our own directory may be
// in it.
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
	return nil // whatever is wrong with the parent, making a directory there will tell
}

// Publish takes steps 4 to 6. When the last one fails the target is whole, but a power cut may take it.
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
	n.fs.Remove(string(n.Dir)) // empty; if it stays it is in nobody's way
	n.Dir = ""
	return n.fs.SyncDir(string(n.target))
}

// Remove removes what was made, unless that is published.
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
