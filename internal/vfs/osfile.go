package vfs

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// osFile is a file of OS. Without a mapping it is an *os.File and little else.
//
// Mapped writes take no lock, by this argument:
//   - mapped is set once the mapping and length are good, and cleared by Close before the memory goes.
//   - length is never above the file's true length, as far as this File knows it. It is raised after the file has grown
//     and lowered before the file shrinks; lengthMu makes each pair of steps one. So a write that finds its end at or below
//     length touches pages that the file has.
//   - A page may be missing all the same: another process cut the file; Close or Truncate ran during the copy, which is the
//     caller's mistake; the system finds no block for the page. That is a fault, and a fault becomes an error: see faulted.
//   - After a fault mapped is cleared while the memory stays. A write that copies beside that is in the page cache all the same.
type osFile struct {
	f        *os.File
	readOnly bool

	mapped atomic.Pointer[mapping]

	lengthMu sync.Mutex // held while the length of the file changes, and length with it
	// +checkatomic
	// +checklocks:lengthMu
	length atomic.Int64 // meaningful only while mapped is set

	mu struct {
		sync.Mutex
		// +checklocks:Mutex
		closed bool
		// +checklocks:Mutex
		maps [][]byte // Close unmaps them
	}
}

// mapping is a shared, writable mapping of the first len(mem) bytes of a file, whether the file has them yet or not.
//
// A system call dirties the bytes it writes; a mapping dirties whole folios of the page cache, and a sync writes those. A
// folio is as large as the write that brought the bytes in: on ext4 of Linux 6.18 one mapped write of 1 KiB and a SyncData
// put 4 KiB on the disk where the file was zeroed 4 KiB at a time, 64 KiB where it was zeroed by 64 KiB, and 2 MiB (0.75 ms
// instead of 0.15) where it was zeroed in one go. So a file that is synced often is to be zeroed ahead in small writes.
type mapping struct {
	mem []byte
}

// ReadAt reads len(p) bytes at off. It sees mapped writes: both go through one page cache.
func (f *osFile) ReadAt(p []byte, off int64) (int, error) { return f.f.ReadAt(p, off) }

func (f *osFile) WriteAt(p []byte, off int64) (int, error) {
	m := f.mapped.Load()
	if m == nil {
		return f.f.WriteAt(p, off)
	}
	length := f.length.Load()
	if off >= 0 && off <= min(length, int64(len(m.mem)))-int64(len(p)) {
		if err := m.write(p, off); err != nil {
			return f.faulted(p, off, err)
		}
		return len(p), nil
	}
	if off <= length-int64(len(p)) {
		return f.f.WriteAt(p, off)
	}
	f.lengthMu.Lock()
	defer f.lengthMu.Unlock()
	n, err := f.f.WriteAt(p, off)
	if end := off + int64(n); n > 0 && end > f.length.Load() {
		f.length.Store(end)
	}
	return n, err
}

// write copies p into the mapping. It is Guard written out, because a closure here costs as much as the copy.
func (m *mapping) write(p []byte, off int64) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			err = asFault(r)
		}
	}()
	copy(m.mem[off:], p)
	return nil
}

// faulted repeats as a system call a write whose copy into the mapping faulted, so that the system names the cause: on a full
// disk, where a file system needs a new block for a page that is shared with a copy of the file, that is ENOSPC. If the call
// succeeds, later writes are not copied either. If the file was cut behind our back the fault is the error: a write would hide
// that bytes are gone.
func (f *osFile) faulted(p []byte, off int64, fault error) (int, error) {
	f.lengthMu.Lock()
	defer f.lengthMu.Unlock()
	size, err := f.Size()
	if err == nil && size >= f.length.Load() {
		n, err := f.f.WriteAt(p, off)
		if err == nil {
			f.mapped.Store(nil)
		}
		return n, err
	}
	return 0, &fs.PathError{Op: "write", Path: f.f.Name(), Err: fault}
}

func (f *osFile) Size() (int64, error) {
	info, err := f.f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) Truncate(size int64) error {
	f.lengthMu.Lock()
	defer f.lengthMu.Unlock()
	if size < f.length.Load() {
		f.length.Store(size)
	}
	if err := f.f.Truncate(size); err != nil {
		return err
	}
	f.length.Store(size)
	return nil
}

// errReadOnly is the error of the sync methods for a file opened for reading. The system would return none, and a caller that
// syncs the wrong handle would believe that something became durable.
func (f *osFile) errReadOnly() error {
	return &fs.PathError{Op: "sync", Path: f.f.Name(), Err: fs.ErrPermission}
}

func (f *osFile) Sync() error {
	if f.readOnly {
		return f.errReadOnly()
	}
	return f.f.Sync()
}

func (f *osFile) SyncData() error {
	if f.readOnly {
		return f.errReadOnly()
	}
	return syncData(f.f)
}

func (f *osFile) WriteBack(off, n int64) {
	if n <= 0 {
		return
	}
	if m := f.mapped.Load(); m != nil && off+n <= int64(len(m.mem)) {
		// Nothing will be written there again. This comes first: before the system writes a page back that is still mapped, it takes
		// the page out of the tables of each processor, one by one, with an interrupt for each. Of a put of 1000 bytes that was a
		// fifth of all processor time.
		unload(m.mem[off : off+n])
	}
	writeBack(f.f, off, n)
}

func (f *osFile) MapWrites(limit int64) error {
	if limit <= 0 {
		return &fs.PathError{Op: "mmap", Path: f.f.Name(), Err: fs.ErrInvalid}
	}
	if limit > math.MaxInt {
		return ErrNotSupported
	}
	f.lengthMu.Lock()
	defer f.lengthMu.Unlock()
	size, err := f.Size()
	if err != nil {
		return err
	}
	if f.readOnly {
		return &fs.PathError{Op: "mmap", Path: f.f.Name(), Err: fs.ErrPermission}
	}
	if !canMapWrites(f.f) {
		return ErrNotSupported
	}
	mem, err := f.addMap(int(limit), true)
	if err != nil {
		return err
	}
	f.length.Store(size)
	f.mapped.Store(&mapping{mem: mem})
	return nil
}

func (f *osFile) Map() ([]byte, error) {
	size, err := f.Size()
	if err != nil || size == 0 {
		return nil, err
	}
	if size > math.MaxInt {
		return nil, ErrNotSupported
	}
	return f.addMap(int(size), false)
}

// addMap maps the first n bytes. Close unmaps them.
func (f *osFile) addMap(n int, write bool) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.closed {
		return nil, &fs.PathError{Op: "mmap", Path: f.f.Name(), Err: fs.ErrClosed}
	}
	mem, err := mmap(f.f, n, write)
	if errors.Is(err, ErrNotSupported) {
		return nil, ErrNotSupported
	}
	if err != nil {
		return nil, &fs.PathError{Op: "mmap", Path: f.f.Name(), Err: err}
	}
	f.mu.maps = append(f.mu.maps, mem)
	return mem, nil
}

// Close closes the file and unmaps it, without waiting for anybody. A later call of any method returns os.ErrClosed. A
// WriteAt below the mapping limit, or a reader of a Map, must not run beside it: at best that faults, at worst another
// mapping has taken the addresses.
func (f *osFile) Close() error {
	f.mapped.Store(nil)
	err := f.f.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.closed = true
	for _, mem := range f.mu.maps {
		err = errors.Join(err, munmap(mem))
	}
	f.mu.maps = nil
	return err
}
