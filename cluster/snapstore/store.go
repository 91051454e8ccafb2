package snapstore

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/vfs"
)

// Options configure a Store. The zero value works.
type Options struct {
	// Retain is how many snapshots are kept, the newest. Default: 2.
	Retain int
	// FS is the file system. Nil: the operating system's.
	FS vfs.FS
}

// Store is a directory of snapshots. Make one with Open. Its methods may be called from any goroutine.
type Store struct {
	dir    string
	fs     vfs.FS
	lock   vfs.Lock // +checklocksignore: Close lets go of it last
	retain int

	mu struct { // held over no I/O
		sync.Mutex
		// +checklocks:Mutex
		closed bool
		// +checklocks:Mutex
		checked map[string]error // by id: snapshots that were read to their end, and what was wrong with them
	}
}

var _ raft.SnapshotStore = (*Store)(nil)

const lockName = "OWNER"

// Open opens a directory of snapshots, which it makes if it must, and removes what a crash has left of snapshots that were not
// whole.
func Open(dir string, o *Options) (*Store, error) {
	s := &Store{retain: 2, fs: vfs.OS}
	if o != nil && o.FS != nil {
		s.fs = o.FS
	}
	if o != nil && o.Retain > 0 {
		s.retain = o.Retain
	}
	s.mu.checked = make(map[string]error)
	dir, err := s.fs.Abs(dir)
	if err == nil {
		err = vfs.MkdirAllSync(s.fs, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("snapstore: %w", err)
	}
	s.dir = dir
	if s.lock, err = s.fs.Lock(path.Join(dir, lockName)); err != nil {
		return nil, fmt.Errorf("snapstore: %w", err)
	}
	s.fs = vfs.Owned(s.fs, s.lock, func(err error) error { return err })
	if err := s.clean(); err != nil {
		return nil, errors.Join(fmt.Errorf("snapstore: %w", err), s.lock.Close())
	}
	return s, nil
}

// clean removes files that belong to no snapshot, and snapshots that are too many.
func (s *Store) clean() error {
	files, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		name, suffix, ok := kindOf(file)
		if !ok || suffix == metaSuffix || suffix == snapSuffix && slices.Contains(files, name+metaSuffix) {
			continue
		}
		if err := s.fs.Remove(path.Join(s.dir, file)); err != nil {
			return err
		}
	}
	return s.reap()
}

// Close lets go of the directory. Sinks and readers must be done. A second Close does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.mu.closed
	s.mu.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	if err := s.lock.Close(); err != nil {
		return fmt.Errorf("snapstore: %w", err)
	}
	return nil
}

// usable returns ErrClosed once the store is closed.
func (s *Store) usable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return ErrClosed
	}
	return nil
}

// ids returns the ids of the snapshots that have a meta, the newest first.
func (s *Store) ids() (ids []string, err error) {
	files, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if name, suffix, ok := kindOf(file); ok && suffix == metaSuffix {
			ids = append(ids, name)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { // the numbers but the last have leading zeros
		return cmp.Or(cmp.Compare(b[:41], a[:41]), cmp.Compare(len(b), len(a)), cmp.Compare(b, a))
	})
	return ids, nil
}

// List returns the snapshots, the newest first, as many as are retained: those whose meta can be read and that have not turned
// out to be damaged.
func (s *Store) List() ([]*raft.SnapshotMeta, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	ids, err := s.ids()
	if err != nil {
		return nil, fmt.Errorf("snapstore: %w", err)
	}
	var list []*raft.SnapshotMeta
	for _, id := range ids {
		if checked, err := s.known(id); checked && err != nil {
			continue
		}
		m, err := s.readMeta(id)
		if err != nil {
			s.note(id, err)
			continue
		}
		if list = append(list, &m.SnapshotMeta); len(list) == s.retain {
			break
		}
	}
	return list, nil
}

// known reports whether a snapshot was read to its end, and what was wrong with it.
func (s *Store) known(id string) (checked bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err, checked = s.mu.checked[id]
	return checked, err
}

// note remembers what was found out about a snapshot, if that will not change.
func (s *Store) note(id string, err error) {
	if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.checked[id] = err
}

func (s *Store) snapFile(id string) string { return path.Join(s.dir, id+snapSuffix) }
func (s *Store) metaFile(id string) string { return path.Join(s.dir, id+metaSuffix) }

// maxMeta bounds what is read of a meta: a configuration of a thousand nodes is a tenth of it.
const maxMeta = 1 << 20

// readMeta reads the meta of a snapshot.
func (s *Store) readMeta(id string) (m meta, err error) {
	name := s.metaFile(id)
	f, err := s.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return meta{}, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return meta{}, fmt.Errorf("snapstore: %w", err)
	}
	size, err := f.Size()
	var buf []byte
	if err == nil {
		buf = make([]byte, min(size, maxMeta))
		if _, err = f.ReadAt(buf, 0); err == io.EOF {
			err = nil
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return meta{}, fmt.Errorf("snapstore: %w", err)
	}
	m, err = decodeMeta(buf)
	switch {
	case errors.Is(err, ErrVersion):
		return meta{}, fmt.Errorf("%s: %w", name, err)
	case err == nil && id[:41] != nameOf(m.Index, m.Term, 0)[:41]:
		err = errors.New("of another snapshot")
		fallthrough
	case err != nil:
		return meta{}, corrupt.New(name, 0, "meta of a raft snapshot", err)
	}
	m.ID = id
	return m, nil
}

// reap removes the snapshots that are older than those that are retained, the oldest first. Those that are known to be damaged
// do not count.
//
//  1. Remove the meta of one. A crash leaves it, or a file that belongs to no snapshot, which Open removes.
//  2. Sync the directory, so that no crash leaves a meta without its file.
//  3. Remove the file.
func (s *Store) reap() error {
	ids, err := s.ids()
	if err != nil {
		return err
	}
	good := 0
	var old []string
	for _, id := range ids {
		if good >= s.retain {
			old = append(old, id)
		} else if checked, err := s.known(id); !checked || err == nil {
			good++
		}
	}
	for _, id := range slices.Backward(old) {
		if err := s.remove(id); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) remove(id string) error {
	if err := s.fs.Remove(s.metaFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.fs.SyncDir(s.dir); err != nil {
		return err
	}
	if err := s.fs.Remove(s.snapFile(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.checked, id)
	return nil
}
