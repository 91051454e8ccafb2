package vfs

import (
	"os"
	"path/filepath"
	"strings"
)

// OS is the file system of the operating system.
var OS FS = osFS{}

const (
	fileMode = 0o600
	dirMode  = 0o700
)

type osFS struct{}

func (osFS) Create(name string) (File, error) { return openOS(name, os.O_RDWR|os.O_CREATE|os.O_EXCL) }
func (osFS) Open(name string) (File, error)   { return openOS(name, os.O_RDONLY) }

func (osFS) OpenWrite(name string) (File, error) { return openOS(name, os.O_RDWR) }

func openOS(name string, flag int) (File, error) {
	f, err := openFile(name, flag)
	if err != nil {
		return nil, err
	}
	return &osFile{f: f, readOnly: flag == os.O_RDONLY}, nil
}

func (osFS) Remove(name string) error             { return os.Remove(name) }
func (osFS) Rename(oldname, newname string) error { return rename(oldname, newname) }
func (osFS) Link(oldname, newname string) error   { return os.Link(oldname, newname) }
func (osFS) MkdirAll(name string) error           { return os.MkdirAll(name, dirMode) }
func (osFS) SyncDir(name string) error            { return syncDir(name) }
func (osFS) Lock(name string) (Lock, error)       { return lockOS(name) }

// Abs returns a rooted name with slashes. A Windows share keeps its backslashes, of which package path would drop one.
func (osFS) Abs(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err == nil && !strings.HasPrefix(abs, `\\`) {
		abs = filepath.ToSlash(abs)
	}
	return abs, err
}

func (osFS) ReadDir(name string) ([]string, error) {
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (osFS) Size(name string) (int64, error) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
