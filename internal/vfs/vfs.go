package vfs

import (
	"errors"
	"fmt"
	"io"
)

// FS is the part of a file system that a database needs. Names are slash-separated paths; relative ones are relative to
// whatever the implementation stands on, which for OS is the process's directory. Methods may be called from any goroutine.
// Errors match fs.ErrNotExist, fs.ErrExist and the like with errors.Is.
type FS interface {
	// Create makes a new file, mode 0600, open for reading and writing. It fails with fs.ErrExist if the name is taken.
	// The name survives a power cut only after SyncDir of its directory.
	Create(name string) (File, error)
	// Open opens an existing file for reading.
	Open(name string) (File, error)
	// OpenWrite opens an existing file for reading and writing.
	OpenWrite(name string) (File, error)
	// Remove unlinks a file or an empty directory.
	Remove(name string) error
	// Rename moves a file, atomically replacing the file that had the new name.
	Rename(oldname, newname string) error
	// Link gives a file a second name. It fails with fs.ErrExist if the name is taken.
	Link(oldname, newname string) error
	// MkdirAll makes a directory, mode 0700, with its parents.
	MkdirAll(name string) error
	// ReadDir returns the names in a directory, sorted.
	ReadDir(name string) ([]string, error)
	// Size returns the length of the named file in bytes.
	Size(name string) (int64, error)
	// SyncDir makes the entries of a directory survive a power cut.
	SyncDir(name string) error
	// Lock takes the exclusive lock on the named file, which it creates if it must and never unlinks. While it is held, by
	// this process or any other and by whatever spelling of the path, Lock fails at once with a *LockedError.
	//
	// It does not follow a symbolic link: its target is not a lock file.
	Lock(name string) (Lock, error)
	// Abs returns another name for the same file, which means the same whatever becomes of the process's directory.
	Abs(name string) (string, error)
}

// Lock is a lock that is held, until Close. A second Close does nothing.
type Lock interface {
	io.Closer
	// Check returns nil while the name leads to the file that is locked. Otherwise its error matches ErrMoved: the
	// directory was renamed, removed or replaced, and whatever has its name now is somebody else's.
	Check() error
}

// File is an open file. WriteAt, Truncate and the sync methods fail on a file opened for reading. ReadAt may be called
// from any goroutine and beside writers; writers of one range must agree among themselves.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer

	// Size returns the file's length in bytes.
	Size() (int64, error)
	// Truncate sets the file's length in bytes.
	Truncate(size int64) error
	// Sync makes the content and the metadata survive a power cut.
	Sync() error
	// SyncData makes the content and the length survive a power cut; other metadata may lag.
	SyncData() error
	// WriteBack asks that the range, to which nothing more will be written, start its way to the disk and leave the
	// process's memory, and promises nothing. A hint: it never fails.
	WriteBack(off, n int64)

	// MapWrites asks that WriteAt below limit be served by copying into a shared mapping of the file, which is how a write
	// of a hundred bytes costs tens of nanoseconds instead of hundreds and still survives the death of the process. It
	// returns ErrNotSupported, and changes nothing, where that is not to be had. A mapped write must lie within the file's
	// length; the rest goes through the ordinary path, and so does a write that faults in the mapping, unless the file was cut.
	// Map ranges that were written before, with zeros, and in small writes: in a hole a full disk is a fault, and the system
	// may write back as much at once as was written at once.
	MapWrites(limit int64) error
	// Map returns the whole content as it is at the call, read-only and valid until Close. It returns ErrNotSupported where
	// the system has no mappings. Reading a mapping whose medium fails faults: see Guard.
	Map() ([]byte, error)
}

// ErrNotSupported is returned by the mapping methods where the file system cannot map.
var ErrNotSupported = errors.New("vfs: not supported")

// ErrMoved says that a directory is not any more where it was when it was locked.
var ErrMoved = errors.New("vfs: the directory was moved or replaced while it was in use")

// ErrLocked matches every *LockedError with errors.Is.
var ErrLocked = errors.New("vfs: locked")

// LockedError says that another owner holds a lock.
type LockedError struct {
	Name string // the lock file
	PID  int    // the owner's process, 0 if it did not say
}

// Error names the lock file and, where it is known, the process that holds it.
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("vfs: %s is locked", e.Name)
	}
	return fmt.Sprintf("vfs: %s is locked by process %d", e.Name, e.PID)
}

// Is reports whether target is ErrLocked.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }
