package raftlog

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/wal"
)

// FirstIndex returns the index of the first entry, 0 if there is none.
func (s *Store) FirstIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.mu.closed:
		return 0, ErrClosed
	case s.mu.state.index.empty():
		return 0, nil
	}
	return s.mu.state.index.first, nil
}

// LastIndex returns the index of the last entry, 0 if there is none.
func (s *Store) LastIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.mu.closed:
		return 0, ErrClosed
	case s.mu.state.index.empty():
		return 0, nil
	}
	return s.mu.state.index.next() - 1, nil
}

// GetLog fills l with the entry of an index, whose slices are the caller's. It is raft.ErrLogNotFound if there is none.
func (s *Store) GetLog(i uint64, l *raft.Log) error {
	for again := false; ; again = true {
		p, err := s.place(i)
		if err != nil {
			return err
		}
		err = s.read(p, i, l)
		if err == nil || again && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		switch now, gone := s.place(i); {
		case gone != nil:
			return gone // it was deleted meanwhile
		case now == p && errors.Is(err, fs.ErrNotExist):
			return corrupt.New(s.segment(p), 0, "segment", wal.ErrGap)
		case now == p:
			return err
		}
	}
}

// place returns where an entry is.
func (s *Store) place(i uint64) (place, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mu.closed {
		return place{}, ErrClosed
	}
	p, ok := s.mu.state.index.at(i)
	if !ok {
		return place{}, raft.ErrLogNotFound
	}
	return p, nil
}

// segment returns the name of the file that a place is in.
func (s *Store) segment(p place) string { return path.Join(s.dir, wal.SegmentName(p.Segment)) }

// read reads the entry of an index from its place.
func (s *Store) read(p place, i uint64, l *raft.Log) error {
	f, err := s.files.acquire(p.Segment)
	if err != nil {
		return fmt.Errorf("raftlog: %w", err)
	}
	buf := make([]byte, p.size)
	_, err = f.ReadAt(buf, int64(p.Offset))
	if err = errors.Join(err, s.files.release(f)); err != nil {
		return fmt.Errorf("raftlog: read entry %d: %w", i, err)
	}
	if err := decodeRecord(buf, i, l); err != nil {
		return corrupt.New(s.segment(p), int64(p.Offset), "raft log record", err)
	}
	return nil
}

// decodeRecord fills l with the entry of an index from its record, which it keeps.
func decodeRecord(buf []byte, i uint64, l *raft.Log) error {
	rec, _, err := wal.DecodeStored(buf)
	if err != nil {
		return err
	}
	found, err := decodeIndexKey(rec.Key)
	if err != nil {
		return err
	}
	switch kind := rec.Key[0]; {
	case kind != kindEntry && kind != kindBegin && kind != kindEntryMore && kind != kindBeginMore, found != i:
		return fmt.Errorf("not that of entry %d", i)
	}
	l.Index = i
	_, err = decodeEntry(rec.Value, l)
	return err
}
