package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"strings"
	"syscall"

	"github.com/ebbdb/ebb/internal/manifest"
	"github.com/ebbdb/ebb/internal/vfs"
)

// ErrNotBeside refuses to swap databases that are not in one directory.
var ErrNotBeside = errors.New("ebb: not in the same directory")

// awayMark is between the names of the two databases in the name that the first one has while they swap.
const awayMark = ".swap."

// away is where the first database is while it and the other one swap their names. It names the other one, by which an open
// after a crash knows how far the swap has come.
func (d Dir) away(other Dir) Dir { return d + awayMark + Dir(path.Base(string(other))) }

// Swap gives two databases that nobody has open each the name of the other. Both are in the same directory, as a rename from
// one directory to another may be half done by a crash. Neither is a mount point or the end of a symbolic link.
//
//  1. Lock both, so that nobody opens them. Where a directory with an open file cannot be renamed the locks are given back
//     before step 2: who opens one of the databases then makes the rename fail.
//  2. Rename a to a.swap.b, durably. A crash leaves no a: the next open of it, by Recover, takes the name back.
//  3. Rename b to a, durably. A crash from here on leaves the one that was b under the name a, and the one that was a under
//     a.swap.b, until step 4.
//  4. Rename a.swap.b to b, durably.
//
// If step 3 fails, step 2 is taken back.
func Swap(fsys vfs.FS, a, b Dir) error {
	parent := path.Dir(string(a))
	if parent != path.Dir(string(b)) || a == b {
		return fmt.Errorf("%w: %s and %s", ErrNotBeside, a, b)
	}
	if _, err := fsys.ReadDir(string(a.away(b))); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%w: %s, of a swap that a crash has ended", ErrTargetExists, a.away(b)), err)
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
	away := a.away(b)
	if err := rename(fsys, a, away, parent); err != nil {
		return err
	}
	if err := rename(fsys, b, a, parent); err != nil {
		if _, rerr := fsys.ReadDir(string(a)); errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rename(fsys, away, a, parent))
		}
		return err
	}
	return rename(fsys, away, b, parent)
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

// Recover ends a Swap of d that a crash has cut short, if there is no d. Where the other database still has its name, d had
// been renamed and nothing else: it gets its name back. Where the other has none, it had become d, and was removed since: then
// what is away is the other by now, and gets that name. So a database that was removed does not come back.
//
// A Swap that still runs has what is away locked, and Recover is ErrLocked.
func (d Dir) Recover(fsys vfs.FS) error {
	if _, err := fsys.ReadDir(string(d)); !errors.Is(err, fs.ErrNotExist) {
		return nil // whatever it is, opening it tells
	}
	parent := path.Dir(string(d))
	names, err := fsys.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	for _, name := range names {
		other, ok := strings.CutPrefix(name, path.Base(string(d))+awayMark)
		if !ok {
			continue
		}
		err = errors.Join(err, d.recover(fsys, Dir(path.Join(parent, other)), parent))
	}
	return err // a new database must not take the place of one that could not be looked for
}

// recover is Recover of a swap with one other database.
func (d Dir) recover(fsys vfs.FS, other Dir, parent string) error {
	away := d.away(other)
	if _, err := fsys.Size(away.Manifest()); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil // no database
	} else if err != nil {
		return err
	}
	lock, err := fsys.Lock(away.Lock())
	if err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		err = lock.Close()
	} else {
		defer lock.Close()
	}
	to := d
	if _, oerr := fsys.ReadDir(string(other)); errors.Is(oerr, fs.ErrNotExist) {
		to = other
	} else if oerr != nil {
		err = errors.Join(err, oerr)
	}
	if err != nil {
		return err
	}
	return rename(fsys, away, to, parent)
}
