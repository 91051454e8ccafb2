package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/ebbdb/ebb/internal/vfs"
)

// writeFileWhole writes a file that has its name only once it is whole, and on the disk.
func writeFileWhole(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".ebb-*")
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return vfs.OS.SyncDir(filepath.Dir(name))
}
