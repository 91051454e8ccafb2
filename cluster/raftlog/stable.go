package raftlog

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Set stores a value under a name. When it returns nil the value is on the disk. It keeps nothing of its arguments.
func (s *Store) Set(name, value []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.writing.closed {
		return ErrClosed
	}
	b := &s.writing.batch
	b.reset(1 + len(name) + len(value))
	start := len(b.buf)
	b.buf = append(append(b.buf, kindStable), name...)
	key := b.from(start)
	b.add(key, value)
	if _, err := s.appendLocked(b); err != nil {
		return fmt.Errorf("raftlog: set %q: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.state.stable[string(name)] = slices.Clone(value)
	return nil
}

// Get returns the value of a name, which is the caller's. It is empty if there is none.
func (s *Store) Get(name []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mu.closed {
		return nil, ErrClosed
	}
	return slices.Clone(s.mu.state.stable[string(name)]), nil
}

// SetUint64 is Set with a number.
func (s *Store) SetUint64(name []byte, value uint64) error {
	return s.Set(name, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 returns the number that SetUint64 has stored, 0 if there is none.
func (s *Store) GetUint64(name []byte) (uint64, error) {
	value, err := s.Get(name)
	switch {
	case err != nil:
		return 0, err
	case len(value) == 0:
		return 0, nil
	case len(value) != 8:
		return 0, fmt.Errorf("raftlog: the value of %q is no number: it has %d bytes", name, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}
