package snapstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/cespare/xxhash/v2"
	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/internal/snapfile"
	"github.com/ebbdb/ebb/internal/vfs"
)

var errDigest = errors.New("other bytes than were written")

// Open returns a snapshot to read. Unless the store has written it itself, or read it before, it is read to its end first: of one
// that is damaged nothing is given out, the error matches ErrCorrupt, and List does not list it any more. The reader checks
// once more what it reads, and ends in an error that matches ErrCorrupt instead of io.EOF if it has become something else.
func (s *Store) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if err := s.usable(); err != nil {
		return nil, nil, err
	}
	if name, suffix, ok := kindOf(id + metaSuffix); !ok || name != id || suffix != metaSuffix {
		return nil, nil, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	m, err := s.readMeta(id)
	if err != nil {
		s.note(id, err)
		return nil, nil, err
	}
	name := s.snapFile(id)
	f, err := s.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = corrupt.New(name, 0, "raft snapshot", err)
		s.note(id, err)
		return nil, nil, err
	}
	if err != nil {
		return nil, nil, fmt.Errorf("snapstore: %w", err)
	}
	checked, err := s.known(id)
	if !checked {
		err = verify(f, name, &m)
		s.note(id, err)
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return &m.SnapshotMeta, newReader(f, name, &m), nil
}

// Verify reads a snapshot to its end. A damaged one is an error that matches ErrCorrupt and tells file and offset.
func (s *Store) Verify(id string) error {
	m, err := s.readMeta(id)
	if err != nil {
		return err
	}
	f, err := s.fs.Open(s.snapFile(id))
	if err != nil {
		return fmt.Errorf("snapstore: %w", err)
	}
	return errors.Join(verify(f, s.snapFile(id), &m), f.Close())
}

// verify reads the snapshot file that f is to its end: it must be whole, full and what its meta says.
func verify(f vfs.File, name string, m *meta) error {
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("snapstore: %w", err)
	}
	if size != m.Size {
		return corrupt.New(name, min(size, m.Size), "raft snapshot", fmt.Errorf("%d bytes, its meta says %d", size, m.Size))
	}
	r := newReader(f, name, m)
	file, err := snapfile.NewReader(r, name)
	if err != nil {
		return err
	}
	if h := file.Header(); !h.Full() {
		return corrupt.New(name, 0, "raft snapshot", errors.New("an increment, not a whole database"))
	}
	var it snapfile.Item
	for err == nil {
		err = file.Next(&it)
	}
	if err != io.EOF {
		return err
	}
	return nil
}

// reader reads a snapshot file and checks that it is what its meta says.
type reader struct {
	file vfs.File
	name string
	off  int64
	size int64
	want uint64
	sum  *xxhash.Digest
}

func newReader(f vfs.File, name string, m *meta) *reader {
	return &reader{file: f, name: name, size: m.Size, want: m.digest, sum: xxhash.New()}
}

// Read is that of io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if r.off == r.size {
		if r.sum.Sum64() != r.want {
			return 0, corrupt.New(r.name, 0, "raft snapshot", errDigest)
		}
		return 0, io.EOF
	}
	n, err := r.file.ReadAt(p[:min(int64(len(p)), r.size-r.off)], r.off)
	r.sum.Write(p[:n]) // never fails
	r.off += int64(n)
	switch {
	case err == io.EOF && r.off < r.size:
		return n, corrupt.New(r.name, r.off, "raft snapshot", io.ErrUnexpectedEOF)
	case err != nil && err != io.EOF:
		return n, fmt.Errorf("snapstore: %w", err)
	}
	return n, nil
}

// Close is that of io.Closer.
func (r *reader) Close() error { return r.file.Close() }
