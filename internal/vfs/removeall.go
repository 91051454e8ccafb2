package vfs

import (
	"errors"
	"io/fs"
	"path"
)

// RemoveAll removes a file, or a directory with everything in it. It is no error if there is none.
func RemoveAll(fsys FS, name string) error {
	names, err := fsys.ReadDir(name)
	if err == nil {
		for _, base := range names {
			if err := RemoveAll(fsys, path.Join(name, base)); err != nil {
				return err
			}
		}
	}
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
