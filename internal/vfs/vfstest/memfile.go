package vfstest

import (
	"io"
	"io/fs"
	"math"
	"syscall"
)

// memFile is an open file of a Mem. Its closed and maps are guarded by the Mem's mutex.
type memFile struct {
	m        *Mem
	n        *inode
	name     string // as it was opened
	readOnly bool
	closed   bool
	maps     [][]byte
}

// checkLocked refuses an operation on a file that is closed, and one that writes on a file that is read-only.
//
// +checklocksread:f.m.mu.RWMutex
func (f *memFile) checkLocked(kind OpKind) error {
	if f.closed {
		return pathError(kind, f.name, fs.ErrClosed)
	}
	if f.readOnly && (kind == OpWrite || kind == OpTruncate || kind == OpSync || kind == OpMapWrites) {
		return pathError(kind, f.name, fs.ErrPermission)
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.m.mu.RLock()
	defer f.m.mu.RUnlock()
	if err := f.checkLocked(OpRead); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError(OpRead, f.name, fs.ErrInvalid)
	}
	if len(p) == 0 {
		return 0, nil
	}
	n := copy(p, f.n.data[min(off, int64(len(f.n.data))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked(OpWrite); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError(OpWrite, f.name, fs.ErrInvalid)
	}
	if off > math.MaxInt-int64(len(p)) {
		return 0, pathError(OpWrite, f.name, syscall.EFBIG)
	}
	if len(p) == 0 {
		return 0, nil
	}
	f.n.write(p, off)
	f.m.recordWriteLocked(f, p, off)
	return len(p), nil
}

func (f *memFile) Size() (int64, error) {
	f.m.mu.RLock()
	defer f.m.mu.RUnlock()
	if err := f.checkLocked(OpSize); err != nil {
		return 0, err
	}
	return int64(len(f.n.data)), nil
}

func (f *memFile) Truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked(OpTruncate); err != nil {
		return err
	}
	if size < 0 || size > math.MaxInt {
		return pathError(OpTruncate, f.name, fs.ErrInvalid)
	}
	f.n.truncate(size)
	f.m.recordLocked(op{kind: OpTruncate, ino: f.n.id, off: size, path: f.name})
	return nil
}

func (f *memFile) Sync() error     { return f.sync(OpSync) }
func (f *memFile) SyncData() error { return f.sync(OpSync) }

// sync records a sync, or one that failed; see failSync.
func (f *memFile) sync(kind OpKind) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked(OpSync); err != nil {
		return err
	}
	f.m.recordLocked(op{kind: kind, ino: f.n.id, path: f.name})
	return nil
}

// WriteBack does nothing: the recording already lets every write reach the disk at any time.
func (f *memFile) WriteBack(off, n int64) {}

// MapWrites agrees and changes nothing: a mapped write is a write.
func (f *memFile) MapWrites(limit int64) error {
	f.m.mu.RLock()
	defer f.m.mu.RUnlock()
	if err := f.checkLocked(OpMapWrites); err != nil {
		return err
	}
	if limit <= 0 {
		return pathError(OpMapWrites, f.name, fs.ErrInvalid)
	}
	return nil
}

// Map returns a copy, which Close overwrites so that a reader that comes too late finds other bytes.
func (f *memFile) Map() ([]byte, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked(OpMap); err != nil {
		return nil, err
	}
	if len(f.n.data) == 0 {
		return nil, nil
	}
	mem := append([]byte(nil), f.n.data...)
	f.maps = append(f.maps, mem)
	return mem, nil
}

func (f *memFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.checkLocked(OpClose); err != nil {
		return err
	}
	f.closed = true
	for _, mem := range f.maps {
		for i := range mem {
			mem[i] = unmappedByte
		}
	}
	f.maps = nil
	return nil
}

// unmappedByte fills a mapping that was closed.
const unmappedByte = 0xDB
