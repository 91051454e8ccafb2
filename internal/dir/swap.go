package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"syscall"

	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/vfs"
)

// ErrNotBeside refuses to swap databases that are not in one directory.
var ErrNotBeside = errors.New("ebb: not in the same directory")

// away is where the first database is while it and the other one swap their names.
func (d Dir) away() Dir { return d + ".swap" }

// Swap gives two databases that nobody has open each the name of the other. Both are in the same directory, as a rename from
// one directory to another may be half done by a crash. Neither is a mount point or the end of a symbolic link.
//
//  1. Lock both, so that nobody opens them. Where a directory with an open file cannot be renamed the locks are given back
//     before step 2: who opens one of the databases then makes the rename fail.
//  2. Rename a to a.swap, durably. A crash leaves no a: the next open of it, by Recover, takes the name back.
//  3. Rename b to a, durably. A crash from here on leaves the one that was b under the name a, and the one that was a under
//     a.swap, until step 4.
//  4. Rename a.swap to b, durably.
//
// If step 3 fails, step 2 is taken back.
func Swap(fsys vfs.FS, a, b Dir) error {
	parent := path.Dir(string(a))
	if parent != path.Dir(string(b)) || a == b || b == a.away() {
		return fmt.Errorf("%w: %s and %s", ErrNotBeside, a, b)
	}
	if _, err := fsys.ReadDir(string(a.away())); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%w: %s, of a swap that a crash has ended", ErrTargetExists, a.away()), err)
	}
	unlock, err := lockBoth(fsys, a, b)
	if err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		if err := unlock(); err != nil {
			return err
		}
	}
	return errors.Join(swap(fsys, a, b, parent), unlock())
}

// swap takes steps 2 to 4.
func swap(fsys vfs.FS, a, b Dir, parent string) error {
	if err := rename(fsys, a, a.away(), parent); err != nil {
		return err
	}
	if err := rename(fsys, b, a, parent); err != nil {
		if _, rerr := fsys.ReadDir(string(a)); errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rename(fsys, a.away(), a, parent))
		}
		return err
	}
	return rename(fsys, a.away(), b, parent)
}

func rename(fsys vfs.FS, from, to Dir, parent string) error {
	if err := fsys.Rename(string(from), string(to)); err != nil {
		return err
	}
	return fsys.SyncDir(parent)
}

// lockBoth takes step 1, of databases that are there. A second call of unlock does nothing.
func lockBoth(fsys vfs.FS, a, b Dir) (unlock func() error, err error) {
	var locks []vfs.Lock
	unlock = func() (err error) {
		for _, l := range locks {
			err = errors.Join(err, l.Close())
		}
		return err
	}
	for _, d := range []Dir{a, b} {
		if _, err := manifest.Load(fsys, string(d)); errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(fmt.Errorf("%w: there is no %s", ErrNotDatabase, d.Manifest()), unlock())
		} else if err != nil {
			return nil, errors.Join(err, unlock())
		}
		l, err := fsys.Lock(d.Lock())
		if err != nil {
			return nil, errors.Join(err, unlock())
		}
		locks = append(locks, l)
	}
	return unlock, nil
}

// Recover gives a database its name back that a crash has taken between steps 2 and 3 of a Swap.
func (d Dir) Recover(fsys vfs.FS) error {
	if _, err := fsys.ReadDir(string(d)); !errors.Is(err, fs.ErrNotExist) {
		return nil // whatever it is, opening it tells
	}
	switch _, err := fsys.Size(d.away().Manifest()); {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return nil
	case err != nil: // a new database must not take the place of one that is there
		return err
	}
	return rename(fsys, d.away(), d, path.Dir(string(d)))
}
