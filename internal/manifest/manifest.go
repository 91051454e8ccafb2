package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/format"
	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/vfs"
	"github.com/ebbdb/ebb/wal"
)

// Names of the files in the database's directory.
const (
	Name    = "MANIFEST"
	tmpName = Name + ".tmp"
)

// maxSize bounds the file that Load reads: a million tables and a million writers.
const maxSize = 128 << 20

// ErrUncertain says that Store has failed after it may have replaced the manifest: which of the two is there, only Load
// after a restart can tell.
var ErrUncertain = errors.New("manifest: unknown whether it was replaced")

// State is the contents of a manifest.
type State struct {
	Database     [16]byte   // which every file of the database carries
	NextFile     uint64     // every table has a number below it; numbers are not used again
	FirstSegment uint32     // of the log; those before it are obsolete
	LastSeq      uint64     // every operation up to it is in the tables
	Clock        int64      // how far the database's clock had come, Unix ms
	Created      int64      // Unix ms
	Log          wal.Anchor // which the log has reached, on the disk; none in a new database, whose log is not there yet
	Tables       []Table    // level by level, in the order of each
	Writers      []Writer   // by ascending id
	Evictions    kv.Evictions
	Features     format.Features // which the database has
}

// Reached returns the newest sequence of which the manifest proves that the log had it on the disk: the newest in the tables,
// or that of an eviction.
func (s *State) Reached() uint64 {
	seq := s.LastSeq
	if n := len(s.Evictions); n > 0 {
		seq = max(seq, s.Evictions[n-1].Seq)
	}
	return seq
}

// Writer is the last batch of an idempotent writer among those in the tables.
type Writer struct {
	ID       int64 // not negative, as is Sequence
	Sequence int32
	Version  uint64 // the sequence of the batch's last operation
	Used     int64  // when it was applied, Unix ms
}

// Table names a live table.
type Table struct {
	Level   int
	File    uint64
	Size    int64 // of the file, in bytes
	Entries uint64
}

// New returns the state of a new database, whose id random fills in.
func New(random func([]byte), now int64) *State {
	s := &State{NextFile: 1, FirstSegment: 1, Clock: now, Created: now}
	random(s.Database[:])
	return s
}

// Load reads the manifest in a directory. It is fs.ErrNotExist if there is none, a *corrupt.Error if it is not whole, and
// format.ErrNewer if a newer release has written it, or it has a feature without which it cannot be read.
func Load(fsys vfs.FS, dir string) (*State, error) {
	name := path.Join(dir, Name)
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := readAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	s, off, err := decode(data)
	if errors.Is(err, format.ErrNewer) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err != nil {
		return nil, corrupt.New(name, int64(off), "manifest", err)
	}
	return s, nil
}

func readAll(f vfs.File) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxSize {
		return nil, fmt.Errorf("%d bytes, the limit is %d", size, maxSize)
	}
	data := make([]byte, size)
	if n, err := f.ReadAt(data, 0); n < len(data) {
		return nil, err
	} else if err != nil && err != io.EOF {
		return nil, err
	}
	return data, nil
}

// Store replaces the manifest in a directory. An error that does not match ErrUncertain leaves the old one in force.
//
//  1. Write the new one beside the old one.
//  2. Sync it. A crash before 3 leaves the old one, and a file that the next Store removes.
//  3. Rename it over the old one. A crash leaves either.
//  4. Sync the directory. From here on the new one is in force, and files that only the old one named may be deleted.
func Store(fsys vfs.FS, dir string, s *State) error {
	tmp := path.Join(dir, tmpName)
	if err := write(fsys, tmp, s.encode()); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, path.Join(dir, Name)); err != nil {
		if vfs.NoSpace(err) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrUncertain, err)
	}
	if err := fsys.SyncDir(dir); err != nil {
		return fmt.Errorf("%w: %w", ErrUncertain, err)
	}
	return nil
}

// write takes steps 1 and 2 of Store.
func write(fsys vfs.FS, name string, data []byte) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
