package raftlog

import (
	"fmt"
	"maps"
)

// DeleteRange deletes the entries from min up to and including max: those at the beginning of the log, those at its end, or
// all. When it returns nil they do not come back. A range with entries before it and after it is ErrRange.
//
// At the end:
//
//  1. Append a record that deletes the entries from min on, and sync it. A crash before leaves them, after it they are gone.
//  2. Forget their places.
//
// Their bytes leave the disk with their segments. At the beginning, or all:
//
//  1. Append a checkpoint, and sync it. A crash before leaves the entries, after it they are gone.
//  2. Forget their places.
//  3. Delete the segments before that of the first entry that is left or, if there is none, of the checkpoint, oldest first,
//     each durably before the next. A crash leaves the newest of them, and Open goes on.
//
// If step 3 fails, that is the error, the entries are deleted all the same, and the next DeleteRange goes on.
func (s *Store) DeleteRange(min, max uint64) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.writing.closed {
		return ErrClosed
	}
	s.mu.RLock()
	x := &s.mu.state.index
	empty, first := x.empty(), x.first
	last := x.next() - 1
	s.mu.RUnlock()
	var err error
	switch {
	case empty || min > max || max < first || min > last:
		return nil
	case min > first && max < last:
		return fmt.Errorf("%w: %d to %d of %d to %d", ErrRange, min, max, first, last)
	case min > first:
		err = s.cutLocked(min)
	default:
		if max > last {
			max = last
		}
		if err = s.appendCheckpointLocked(s.checkpoint(max + 1)); err == nil {
			err = s.trimLocked()
		}
	}
	if err != nil {
		return fmt.Errorf("raftlog: delete entries %d to %d: %w", min, max, err)
	}
	return nil
}

// cutLocked deletes the entries from i on.
//
// +checklocks:s.writing.Mutex
func (s *Store) cutLocked(i uint64) error {
	b := &s.writing.batch
	b.reset(indexKeySize)
	b.cut(i)
	if _, err := s.appendLocked(b); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.state.cutFrom(i)
	return nil
}

// checkpoint returns the checkpoint that deletes the entries before first.
func (s *Store) checkpoint(first uint64) checkpoint {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return checkpoint{first, s.mu.state.commit, maps.Clone(s.mu.state.stable)}
}

// appendCheckpointLocked appends a checkpoint and takes it into account.
//
// +checklocks:s.writing.Mutex
func (s *Store) appendCheckpointLocked(c checkpoint) error {
	if c.stable == nil {
		c.stable = make(map[string][]byte)
	}
	b := &s.writing.batch
	b.reset(0)
	b.add([]byte{kindCheckpoint}, c.append(nil))
	entries, err := s.appendLocked(b)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.state.checkpoint(c, entries[0].Pos.Segment)
	return nil
}

// trimLocked deletes the segments that hold nothing that is needed.
//
// +checklocks:s.writing.Mutex
func (s *Store) trimLocked() error {
	s.mu.RLock()
	keep := s.mu.state.keep()
	s.mu.RUnlock()
	if err := s.files.closeBefore(uint64(keep)); err != nil {
		return err
	}
	return s.log.DeleteBefore(keep)
}
