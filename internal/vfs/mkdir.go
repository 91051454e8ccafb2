package vfs

import (
	"errors"
	"io/fs"
	"path"
)

// MkdirAllSync makes a directory with its parents, so that all of them survive a power cut. An existing directory's own
// name is synced too, as the process that made it may have died before that.
//
// Each level is durable before the next is made. So where a level exists, at most its own name is in doubt.
func MkdirAllSync(fsys FS, name string) error {
	var missing []string
	existing := path.Clean(name)
	for {
		_, err := fsys.ReadDir(existing)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || existing == path.Dir(existing) {
			return err
		}
		missing = append(missing, existing)
		existing = path.Dir(existing)
	}
	// A parent that we may not open is one in which we cannot have made anything.
	if err := fsys.SyncDir(path.Dir(existing)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	for i := len(missing) - 1; i >= 0; i-- {
		if err := fsys.MkdirAll(missing[i]); err != nil {
			return err
		}
		if err := fsys.SyncDir(path.Dir(missing[i])); err != nil {
			return err
		}
	}
	return nil
}
