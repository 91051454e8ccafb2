package vfs

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// heldLocks are the locks of this process. The kernel's lock keeps other processes out; where it belongs to the process
// and not to the open file, it would let a second Lock of this process in. Being about the process, it is the one piece of
// state that the package keeps.
var heldLocks struct {
	mu struct {
		sync.Mutex
		// +checklocks:Mutex
		held map[*osLock]struct{}
	}
}

// osLock is a lock held on a file, known by device and inode so that the spelling of the path does not matter.
type osLock struct {
	f    *os.File
	info os.FileInfo
}

var errNotRegular = errors.New("not a regular file")

func lockOS(name string) (Lock, error) {
	heldLocks.mu.Lock()
	defer heldLocks.mu.Unlock()
	// Before opening: where the lock belongs to the process, closing a second descriptor of the file would release it.
	if info, err := os.Lstat(name); err == nil {
		if !info.Mode().IsRegular() { // its target would be cut, or opening it wait for ever
			return nil, &os.PathError{Op: "lock", Path: name, Err: errNotRegular}
		}
		for l := range heldLocks.mu.held {
			if os.SameFile(l.info, info) {
				return nil, &LockedError{Name: name, PID: os.Getpid()}
			}
		}
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|noFollow, fileMode)
	if err != nil {
		return nil, err
	}
	l, err := lockFile(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	if err := l.Check(); err != nil { // replaced before the lock was ours
		return nil, errors.Join(err, f.Close())
	}
	if heldLocks.mu.held == nil {
		heldLocks.mu.held = make(map[*osLock]struct{})
	}
	heldLocks.mu.held[l] = struct{}{}
	return l, nil
}

// A lock that is busy may be held for a moment only, by a LockOwner elsewhere: it is tried again looks times.
const looks = 3

var pauseForLook = func() { time.Sleep(2 * time.Millisecond) } //permit:time.Sleep other processes go on meanwhile

func lockFile(f *os.File) (*osLock, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	busy, err := tryLock(f)
	for try := 0; busy && err == nil && try < looks; try++ {
		pauseForLook()
		busy, err = tryLock(f)
	}
	if err != nil {
		return nil, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	if busy {
		return nil, &LockedError{Name: f.Name(), PID: readPID(f)}
	}
	// The lock is held whether or not the owner's name can be written; a full disk must not keep a database from opening.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt(strconv.AppendInt(nil, int64(os.Getpid()), 10), 0)
	}
	return &osLock{f: f, info: info}, nil
}

// readPID returns the process id in a lock file, 0 if there is none. It may be that of an owner before the present one,
// which has not written its own yet.
func readPID(f *os.File) int {
	var buf [32]byte
	n, _ := f.ReadAt(buf[:], 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

// Check compares the locked file with the one that has its name.
func (l *osLock) Check() error {
	info, err := os.Stat(l.f.Name())
	if err == nil && os.SameFile(info, l.info) {
		return nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return moved(l.f.Name())
	}
	return err
}

// moved is the error of a lock whose name leads elsewhere.
func moved(name string) error { return &fs.PathError{Op: "check", Path: name, Err: ErrMoved} }

// Close releases the lock; a second Close does nothing.
func (l *osLock) Close() error {
	heldLocks.mu.Lock()
	defer heldLocks.mu.Unlock()
	if _, ok := heldLocks.mu.held[l]; !ok {
		return nil
	}
	delete(heldLocks.mu.held, l)
	return l.f.Close()
}

// LockOwner returns the process that a lock file of the operating system names, 0 if it names none, and whether somebody
// holds the lock. The file may name one that is gone.
//
// To find out it takes the lock itself, for a moment and shared, in which a Lock by somebody else has to wait. So it asks
// only if the process that the file names is there.
func LockOwner(name string) (pid int, held bool, err error) {
	heldLocks.mu.Lock()
	defer heldLocks.mu.Unlock()
	info, err := os.Lstat(name)
	if err != nil {
		return 0, false, err
	}
	if !info.Mode().IsRegular() {
		return 0, false, &os.PathError{Op: "lock", Path: name, Err: errNotRegular}
	}
	for l := range heldLocks.mu.held {
		if os.SameFile(l.info, info) { // and nothing may be opened: see lockOS
			return os.Getpid(), true, nil
		}
	}
	f, err := os.OpenFile(name, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	if pid = readPID(f); !running(pid) {
		return pid, false, nil
	}
	held, err = tryShare(f)
	return pid, held, err
}

// running reports whether there may be a process with an id.
func running(pid int) bool {
	if pid <= 0 {
		return false
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer p.Release()
	if runtime.GOOS == "windows" {
		return true // FindProcess has looked
	}
	err = p.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission)
}
