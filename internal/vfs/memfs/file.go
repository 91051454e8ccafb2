package memfs

import (
	"io/fs"
	"sync/atomic"
	"syscall"

	"github.com/ebbdb/ebb/internal/vfs"
)

// open returns an open file, which the FS has looked up.
func (c *content) open(name string, readOnly bool) *file {
	c.refs.Add(1)
	return &file{content: c, name: name, readOnly: readOnly}
}

// file is an open file. It implements vfs.File.
type file struct {
	content  *content
	name     string // as it was opened
	readOnly bool
	closed   atomic.Bool
}

func (f *file) error(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

// check refuses an operation on a file that is closed.
func (f *file) check(op string) error {
	if f.closed.Load() {
		return f.error(op, fs.ErrClosed)
	}
	return nil
}

// checkWrite refuses an operation that writes, also on a file that is read-only.
func (f *file) checkWrite(op string) error {
	if err := f.check(op); err != nil || !f.readOnly {
		return err
	}
	return f.error(op, fs.ErrPermission)
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.check("read"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, f.error("read", fs.ErrInvalid)
	}
	if len(p) == 0 {
		return 0, nil
	}
	return f.content.readAt(p, off)
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	if err := f.checkWrite("write"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, f.error("write", fs.ErrInvalid)
	}
	if off > maxSize-int64(len(p)) {
		return 0, f.error("write", syscall.EFBIG)
	}
	if len(p) > 0 {
		f.content.writeAt(p, off)
	}
	return len(p), nil
}

func (f *file) Size() (int64, error) {
	if err := f.check("stat"); err != nil {
		return 0, err
	}
	return f.content.length(), nil
}

func (f *file) Truncate(size int64) error {
	if err := f.checkWrite("truncate"); err != nil {
		return err
	}
	if size < 0 || size > maxSize {
		return f.error("truncate", fs.ErrInvalid)
	}
	f.content.truncate(size)
	return nil
}

func (f *file) Sync() error           { return f.checkWrite("sync") }
func (f *file) SyncData() error       { return f.checkWrite("sync") }
func (f *file) WriteBack(_, _ int64)  {}
func (f *file) MapWrites(int64) error { return vfs.ErrNotSupported } // WriteAt copies into memory as it is

// Map returns the memory of the file itself.
func (f *file) Map() ([]byte, error) {
	if err := f.check("map"); err != nil {
		return nil, err
	}
	return f.content.flatten(), nil
}

func (f *file) Close() error {
	if f.closed.Swap(true) {
		return f.error("close", fs.ErrClosed)
	}
	f.content.release()
	return nil
}
