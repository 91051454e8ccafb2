package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ebbdb/ebb/internal/vfs"
)

// target is where a command writes a file that a user has named.
type target struct {
	name  string
	write func(w io.Writer) error
	fresh bool // refuse a file that is there
}

// put writes it. A file, also one behind symbolic links, is replaced by one that is whole and on the disk before it has the
// name. What is no file, such as a pipe or a device, is written into and stays what it is.
func (t target) put() error {
	name, err := followLinks(t.name)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s is a directory", t.name)
	case !info.Mode().IsRegular():
		return writeInto(name, t.write)
	case t.fresh:
		return fmt.Errorf("%s: %w; -f replaces it", t.name, fs.ErrExist)
	}
	return writeFileWhole(name, t.write)
}

// followLinks returns what a name stands for in the end, which need not be there.
func followLinks(name string) (string, error) {
	const most = 40 // as Linux has it
	for range most {
		to, err := os.Readlink(name)
		if err != nil { // no link, or nothing at all: what comes next tells
			return name, nil
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(name), to)
		}
		name = to
	}
	return "", fmt.Errorf("%s: too many symbolic links", name)
}

// writeInto writes into what is there.
func writeInto(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// writeFileWhole writes a file that has its name only once it is whole, and on the disk.
func writeFileWhole(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".ebb-*")
	if err != nil {
		var failed *fs.PathError
		if errors.As(err, &failed) { // whose name is not the one that was asked for
			err = &fs.PathError{Op: "create", Path: name, Err: failed.Err}
		}
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
