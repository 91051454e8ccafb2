package vfstest

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ebbdb/ebb/internal/vfs"
)

// Op is an operation that Fault is about to do.
type Op struct {
	Kind OpKind
	Name string // the file or directory, as the caller called it; of a rename or link the old name
	To   string // of a rename or link the new name
	Off  int64  // of a read or write; of a truncate the new length
	Len  int    // of a read or write
	N    int    // it is the N-th operation of its kind, from 1
}

// Injector decides about an operation before it is done: the error it returns is the operation's, which is then not done.
// It may be called from many goroutines at a time, and may block, which holds up that operation alone. It must not use
// the Fault.
type Injector func(op Op) error

// FailNth returns an Injector that fails the n-th operation, from 1, of a kind on names with a suffix, and no other. It
// counts from its own creation; OpAny is any kind and the empty suffix any name.
func FailNth(kind OpKind, suffix string, n int, err error) Injector {
	return failFrom(kind, suffix, n, n, err)
}

// FailFrom returns an Injector that fails the n-th operation like FailNth, and all those after it.
func FailFrom(kind OpKind, suffix string, n int, err error) Injector {
	return failFrom(kind, suffix, n, int(^uint(0)>>1), err)
}

func failFrom(kind OpKind, suffix string, first, last int, err error) Injector {
	var count atomic.Int64
	return func(op Op) error {
		if kind != OpAny && kind != op.Kind || !strings.HasSuffix(op.Name, suffix) {
			return nil
		}
		if n := int(count.Add(1)); n < first || n > last {
			return nil
		}
		return err
	}
}

// Short returns an error for an Injector that lets the first n bytes of a write through and then fails it with err. For
// any other operation it is err.
func Short(n int, err error) error { return &shortWrite{n: n, err: err} }

type shortWrite struct {
	n   int
	err error
}

func (e *shortWrite) Error() string { return e.err.Error() }
func (e *shortWrite) Unwrap() error { return e.err }

// Fault is a file system on another that counts operations and makes some of them fail. A sync that it fails on a Mem is
// recorded as such: no later sync makes durable the writes that this one should have. WriteBack is passed on and not counted,
// closing a lock and Abs likewise. Methods may be called from any goroutine.
type Fault struct {
	fs     vfs.FS
	inject atomic.Pointer[Injector]
	space  space

	mu struct {
		sync.Mutex
		// +checklocks:Mutex
		counts [opKinds]int // OpAny counts all
	}
}

// NewFault returns a Fault on fsys that fails nothing yet.
func NewFault(fsys vfs.FS) *Fault {
	f := &Fault{fs: fsys}
	f.space.init()
	return f
}

// Inject makes fn decide about every operation from now on, instead of the Injector before; nil ends all faults.
func (f *Fault) Inject(fn Injector) {
	if fn == nil {
		f.inject.Store(nil)
		return
	}
	f.inject.Store(&fn)
}

// Count returns how many operations of a kind there have been, failed ones included; of OpAny, how many in all.
func (f *Fault) Count(kind OpKind) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.counts[kind]
}

// check counts an operation and asks the Injector about it. Outside of a write a short write is a plain error.
func (f *Fault) check(op Op) error {
	err := f.decide(op)
	var short *shortWrite
	if op.Kind != OpWrite && errors.As(err, &short) {
		return short.err
	}
	return err
}

func (f *Fault) decide(op Op) error {
	f.mu.Lock()
	f.mu.counts[op.Kind]++
	f.mu.counts[OpAny]++
	op.N = f.mu.counts[op.Kind]
	f.mu.Unlock()
	if fn := f.inject.Load(); fn != nil {
		return (*fn)(op)
	}
	return nil
}

func (f *Fault) Create(name string) (vfs.File, error) {
	return f.open(Op{Kind: OpCreate, Name: name}, f.fs.Create)
}

func (f *Fault) Open(name string) (vfs.File, error) {
	return f.open(Op{Kind: OpOpen, Name: name}, f.fs.Open)
}

func (f *Fault) OpenWrite(name string) (vfs.File, error) {
	return f.open(Op{Kind: OpOpen, Name: name}, f.fs.OpenWrite)
}

func (f *Fault) open(op Op, do func(string) (vfs.File, error)) (vfs.File, error) {
	if err := f.check(op); err != nil {
		return nil, err
	}
	file, err := do(op.Name)
	if err != nil {
		return nil, err
	}
	use, err := f.space.open(op, file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &faultFile{f: f, file: file, name: op.Name, use: use}, nil
}

func (f *Fault) Remove(name string) error {
	if err := f.check(Op{Kind: OpRemove, Name: name}); err != nil {
		return err
	}
	return f.space.remove(f.fs, name)
}

func (f *Fault) Rename(oldname, newname string) error {
	if err := f.check(Op{Kind: OpRename, Name: oldname, To: newname}); err != nil {
		return err
	}
	return f.space.rename(f.fs, oldname, newname)
}

func (f *Fault) Link(oldname, newname string) error {
	if err := f.check(Op{Kind: OpLink, Name: oldname, To: newname}); err != nil {
		return err
	}
	return f.space.link(f.fs, oldname, newname)
}

func (f *Fault) MkdirAll(name string) error {
	if err := f.check(Op{Kind: OpMkdir, Name: name}); err != nil {
		return err
	}
	return f.fs.MkdirAll(name)
}

func (f *Fault) ReadDir(name string) ([]string, error) {
	if err := f.check(Op{Kind: OpReadDir, Name: name}); err != nil {
		return nil, err
	}
	return f.fs.ReadDir(name)
}

func (f *Fault) Size(name string) (int64, error) {
	if err := f.check(Op{Kind: OpSize, Name: name}); err != nil {
		return 0, err
	}
	return f.fs.Size(name)
}

func (f *Fault) SyncDir(name string) error {
	if err := f.check(Op{Kind: OpSyncDir, Name: name}); err != nil {
		if m, ok := f.fs.(*Mem); ok {
			_ = m.syncDir(opSyncFailed, name) // a name that is not there has nothing to lose
		}
		return err
	}
	return f.fs.SyncDir(name)
}

func (f *Fault) Abs(name string) (string, error) { return f.fs.Abs(name) }

func (f *Fault) Lock(name string) (vfs.Lock, error) {
	if err := f.check(Op{Kind: OpLock, Name: name}); err != nil {
		return nil, err
	}
	l, err := f.fs.Lock(name)
	if err != nil {
		return nil, err
	}
	return &faultLock{l, f, name}, nil
}

// faultLock is a lock of a Fault.
type faultLock struct {
	vfs.Lock
	f    *Fault
	name string
}

func (l *faultLock) Check() error {
	if err := l.f.check(Op{Kind: OpCheck, Name: l.name}); err != nil {
		return err
	}
	return l.Lock.Check()
}
