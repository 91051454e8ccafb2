package vfs

import (
	"path"
	"strings"
	"sync"
	"sync/atomic"
)

// Counted is a file system that counts the bytes of the files in a directory and below: those that have a name there, and
// those that are still open without one. It counts lengths, holes included.
//
// A file counts from when it is met: all that are there when Scan is called, and those that are made, opened or renamed
// into the directory afterwards. What others change in the directory meanwhile is not noticed.
type Counted struct {
	FS
	dir    string // with a slash at the end
	shrunk func()

	bytes atomic.Int64
	held  atomic.Int64

	mu struct { // held over no I/O
		sync.Mutex
		// +checklocks:Mutex
		files map[string]*counted // by name
	}
}

// counted is one file. Its counts are guarded by Counted.mu.
type counted struct {
	size         atomic.Int64
	names, opens int
	held         int64 // its bytes in Counted.held
	gone         bool  // neither named nor open: it counts no more
}

// NewCounted returns a file system that counts what is in dir, an absolute path of fsys. After each operation that has made
// the directory smaller it calls shrunk, which must return at once and may be called under any lock.
func NewCounted(fsys FS, dir string, shrunk func()) *Counted {
	c := &Counted{FS: fsys, dir: path.Clean(dir) + "/", shrunk: shrunk}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.files = make(map[string]*counted)
	return c
}

// Bytes returns how many bytes the files have, and how many of these belong to files that have no name any more.
func (c *Counted) Bytes() (all, held int64) { return c.bytes.Load(), c.held.Load() }

// Scan counts the files that are there.
func (c *Counted) Scan() error { return c.scan(strings.TrimSuffix(c.dir, "/")) }

func (c *Counted) scan(dir string) error {
	names, err := c.FS.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		name = path.Join(dir, name)
		if _, err := c.FS.ReadDir(name); err == nil {
			if err := c.scan(name); err != nil {
				return err
			}
			continue
		}
		size, err := c.FS.Size(name)
		if err != nil {
			return err
		}
		c.meet(name, size, 0)
	}
	return nil
}

// in reports whether a file of a clean name counts.
func (c *Counted) in(name string) bool { return strings.HasPrefix(name, c.dir) }

// meet makes a file known that has a name, unless it is, and notes that it is open more often.
func (c *Counted) meet(name string, size int64, opens int) *counted {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.meetLocked(name, size)
	f.opens += opens
	return f
}

// +checklocks:c.mu.Mutex
func (c *Counted) meetLocked(name string, size int64) *counted {
	f := c.mu.files[name]
	if f == nil {
		f = &counted{names: 1}
		c.mu.files[name] = f
		f.size.Store(size)
		c.bytes.Add(size)
	}
	return f
}

// reopen notes that a file is open once more, if it is known.
func (c *Counted) reopen(name string) *counted {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.mu.files[name]
	if f != nil {
		f.opens++
	}
	return f
}

// open opens a file with do, and makes it count.
func (c *Counted) open(name string, do func(string) (File, error)) (File, error) {
	clean := path.Clean(name)
	if !c.in(clean) {
		return do(name)
	}
	f := c.reopen(clean) // before it is open: it may lose its name meanwhile
	file, err := do(name)
	size := int64(0)
	if err == nil && f == nil {
		if size, err = file.Size(); err != nil {
			_ = file.Close()
		}
	}
	if err != nil {
		c.closeFile(f)
		return nil, err
	}
	if f == nil {
		f = c.meet(clean, size, 1)
	}
	return &countedFile{File: file, fs: c, f: f}, nil
}

func (c *Counted) Create(name string) (File, error)    { return c.open(name, c.FS.Create) }
func (c *Counted) Open(name string) (File, error)      { return c.open(name, c.FS.Open) }
func (c *Counted) OpenWrite(name string) (File, error) { return c.open(name, c.FS.OpenWrite) }

func (c *Counted) Remove(name string) error {
	if err := c.FS.Remove(name); err != nil {
		return err
	}
	c.unname(path.Clean(name))
	c.shrunk()
	return nil
}

func (c *Counted) Rename(oldname, newname string) error {
	size := c.sizeOf(oldname)
	if err := c.FS.Rename(oldname, newname); err != nil {
		return err
	}
	c.renamed(path.Clean(oldname), path.Clean(newname), size)
	c.shrunk()
	return nil
}

// renamed notes that a file of a size has another name.
func (c *Counted) renamed(from, to string, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.in(from) && from != to {
		c.meetLocked(from, size)
	}
	f := c.mu.files[from]
	if f != nil && f == c.mu.files[to] {
		return // two names of one file: both stay
	}
	c.unnameLocked(to)
	delete(c.mu.files, from)
	switch {
	case f != nil && c.in(to):
		c.mu.files[to] = f
	case f != nil:
		f.names--
		c.settleLocked(f)
	case c.in(to):
		c.meetLocked(to, size)
	}
}

func (c *Counted) Link(oldname, newname string) error {
	size := c.sizeOf(oldname)
	if err := c.FS.Link(oldname, newname); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	from, to := path.Clean(oldname), path.Clean(newname)
	switch {
	case !c.in(to):
	case !c.in(from):
		c.meetLocked(to, size)
	default:
		f := c.meetLocked(from, size)
		f.names++
		c.mu.files[to] = f
	}
	return nil
}

// sizeOf returns the length of a file, 0 if that cannot be told: then what is to be done with it fails, too.
func (c *Counted) sizeOf(name string) int64 {
	size, _ := c.FS.Size(name)
	return size
}

func (c *Counted) unname(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unnameLocked(name)
}

// unnameLocked takes a name from the file that has it.
//
// +checklocks:c.mu.Mutex
func (c *Counted) unnameLocked(name string) {
	f := c.mu.files[name]
	if f == nil {
		return
	}
	delete(c.mu.files, name)
	f.names--
	if f.names == 0 && f.opens > 0 {
		f.held = f.size.Load()
		c.held.Add(f.held)
	}
	c.settleLocked(f)
}

// settleLocked takes a file out of the count if it has no name and is not open.
//
// +checklocks:c.mu.Mutex
func (c *Counted) settleLocked(f *counted) {
	if f.names == 0 && f.opens == 0 && !f.gone {
		f.gone = true
		c.bytes.Add(-f.size.Load())
		c.held.Add(-f.held)
	}
}

// countedFile is an open file. It implements File.
type countedFile struct {
	File
	fs     *Counted
	f      *counted
	closed atomic.Bool
}

func (o *countedFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := o.File.WriteAt(p, off)
	if end := off + int64(n); n > 0 && end > o.f.size.Load() {
		o.grow(end)
	}
	return n, err
}

// grow notes that the file reaches up to end.
func (o *countedFile) grow(end int64) {
	for {
		size := o.f.size.Load()
		if size >= end {
			return
		}
		if o.f.size.CompareAndSwap(size, end) {
			o.fs.bytes.Add(end - size)
			return
		}
	}
}

func (o *countedFile) Truncate(size int64) error {
	if err := o.File.Truncate(size); err != nil {
		return err
	}
	was := o.f.size.Swap(size)
	o.fs.bytes.Add(size - was)
	if size < was {
		o.fs.cut(o.f, size)
		o.fs.shrunk()
	}
	return nil
}

// cut notes that a file has become shorter, which may have lost its name.
func (c *Counted) cut(f *counted, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.held > size {
		c.held.Add(size - f.held)
		f.held = size
	}
}

func (o *countedFile) Close() error {
	err := o.File.Close()
	if o.closed.Swap(true) {
		return err
	}
	o.fs.closeFile(o.f)
	return err
}

// closeFile notes that a file is open once less. f may be nil.
func (c *Counted) closeFile(f *counted) {
	if f == nil {
		return
	}
	if c.close(f) {
		c.shrunk()
	}
}

// close notes that a file is open once less, and reports whether it counts no more.
func (c *Counted) close(f *counted) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.opens--
	c.settleLocked(f)
	return f.gone
}

// Metered returns a file system that asks before each write to a file which it has created: grow is told how many bytes the
// file will be longer by, and its error is that of the write, which is then not made.
func Metered(fsys FS, grow func(n int64) error) FS { return &metered{fsys, grow} }

type metered struct {
	FS
	grow func(n int64) error
}

func (m *metered) Create(name string) (File, error) {
	file, err := m.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return &meteredFile{File: file, grow: m.grow}, nil
}

// meteredFile is written by one goroutine.
type meteredFile struct {
	File
	grow func(n int64) error
	size int64
}

func (f *meteredFile) WriteAt(p []byte, off int64) (int, error) {
	if end := off + int64(len(p)); end > f.size {
		if err := f.grow(end - f.size); err != nil {
			return 0, err
		}
		f.size = end
	}
	return f.File.WriteAt(p, off)
}
