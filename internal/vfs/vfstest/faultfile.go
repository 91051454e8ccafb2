package vfstest

import (
	"errors"
	"sync"

	"github.com/ebbdb/ebb/internal/vfs"
)

// faultFile is an open file of a Fault.
type faultFile struct {
	f    *Fault
	file vfs.File
	name string
	use  *usage
	once sync.Once // gives back the space that a removed file held
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.f.check(Op{Kind: OpRead, Name: f.name, Off: off, Len: len(p)}); err != nil {
		return 0, err
	}
	return f.file.ReadAt(p, off)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.f.check(Op{Kind: OpWrite, Name: f.name, Off: off, Len: len(p)})
	var short *shortWrite
	switch {
	case errors.As(err, &short):
		n, werr := f.f.space.write(f, p[:min(short.n, len(p))], off)
		if werr != nil {
			return n, werr
		}
		return n, short.err
	case err != nil:
		return 0, err
	}
	return f.f.space.write(f, p, off)
}

func (f *faultFile) Size() (int64, error) {
	if err := f.f.check(Op{Kind: OpSize, Name: f.name}); err != nil {
		return 0, err
	}
	return f.file.Size()
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.f.check(Op{Kind: OpTruncate, Name: f.name, Off: size}); err != nil {
		return err
	}
	return f.f.space.truncate(f, size)
}

func (f *faultFile) Sync() error     { return f.sync(f.file.Sync) }
func (f *faultFile) SyncData() error { return f.sync(f.file.SyncData) }

func (f *faultFile) sync(do func() error) error {
	if err := f.f.check(Op{Kind: OpSync, Name: f.name}); err != nil {
		if mf, ok := f.file.(*memFile); ok {
			_ = mf.sync(opSyncFailed) // of a closed file there is nothing to record
		}
		return err
	}
	return do()
}

func (f *faultFile) WriteBack(off, n int64) { f.file.WriteBack(off, n) }

func (f *faultFile) MapWrites(limit int64) error {
	if err := f.f.check(Op{Kind: OpMapWrites, Name: f.name, Off: limit}); err != nil {
		return err
	}
	return f.file.MapWrites(limit)
}

// Map returns memory that no Injector sees being read: to fail reads, fail Map with ErrNotSupported.
func (f *faultFile) Map() ([]byte, error) {
	if err := f.f.check(Op{Kind: OpMap, Name: f.name}); err != nil {
		return nil, err
	}
	return f.file.Map()
}

// Close closes the file underneath even if it is to fail, as the system does.
func (f *faultFile) Close() error {
	injected := f.f.check(Op{Kind: OpClose, Name: f.name})
	err := f.file.Close()
	f.once.Do(func() { f.f.space.close(f.use) })
	if injected != nil {
		return injected
	}
	return err
}
