package raftlog

import (
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/wal"
)

// batch collects records for one append, in memory that the next batch uses again.
type batch struct {
	entries []wal.Entry
	buf     []byte // keys and values
}

// keepBatch is how many bytes of memory a batch keeps for the next: a rare huge one should not pin its size for good.
const keepBatch = 1 << 20

// reset empties the batch and makes room for n bytes of keys and values, which must not move.
func (b *batch) reset(n int) {
	clear(b.entries)
	b.entries = b.entries[:0]
	if cap(b.buf) < n || cap(b.buf) > keepBatch {
		b.buf = make([]byte, 0, max(n, 4<<10))
	}
	b.buf = b.buf[:0]
}

// add adds a record.
func (b *batch) add(key, value []byte) {
	b.entries = append(b.entries, wal.Entry{Key: key, Value: value})
}

// from returns the bytes of the buffer from an offset on.
func (b *batch) from(start int) []byte { return b.buf[start:len(b.buf):len(b.buf)] }

// cut adds a record that deletes the entries from i on.
func (b *batch) cut(i uint64) {
	start := len(b.buf)
	b.buf = appendIndexKey(b.buf, kindCut, i)
	b.add(b.from(start), nil)
}

// entry adds an entry.
func (b *batch) entry(kind byte, l *raft.Log, commit uint64) {
	start := len(b.buf)
	b.buf = appendIndexKey(b.buf, kind, l.Index)
	key := b.from(start)
	start = len(b.buf)
	b.buf = appendEntry(b.buf, l, commit)
	b.add(key, b.from(start))
}

// StoreLog stores one entry: see StoreLogs.
func (s *Store) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs stores entries, which must continue the log without a gap, or begin it anywhere if there are none. When it
// returns nil they are on the disk. After a crash all of them are there or none. It keeps nothing of them.
//
// On ErrNoSpace, and on ErrOrder, none of them is in the log, and the next StoreLogs may store them. After any other error
// nothing more is stored.
func (s *Store) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.writing.closed {
		return ErrClosed
	}
	begins, commit, err := s.accept(logs)
	if err != nil {
		return err
	}
	size := 0
	for _, l := range logs {
		size += indexKeySize + maxEntryOverhead + len(l.Extensions) + len(l.Data)
	}
	b := &s.writing.batch
	b.reset(size)
	for i, l := range logs[:len(logs)-1] {
		b.entry(kindOf(begins && i == 0, true), l, 0)
	}
	b.entry(kindOf(begins && len(logs) == 1, false), logs[len(logs)-1], commit)
	entries, err := s.appendLocked(b)
	if err != nil {
		return fmt.Errorf("raftlog: store entries %d to %d: %w", logs[0].Index, logs[len(logs)-1].Index, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range entries {
		if err := s.mu.state.entry(entries[i].Key[0], logs[i].Index, placeOf(&entries[i]), commit); err != nil {
			return err // cannot be: they were accepted
		}
	}
	return nil
}

// kindOf returns the kind of an entry: whether it begins the log, and whether its batch goes on.
func kindOf(begins, more bool) byte {
	switch {
	case begins && more:
		return kindBeginMore
	case begins:
		return kindBegin
	case more:
		return kindEntryMore
	}
	return kindEntry
}

// accept checks that entries continue the log, and returns whether they begin it, and the commit index to persist.
func (s *Store) accept(logs []*raft.Log) (begins bool, commit uint64, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	x := &s.mu.state.index
	want := logs[0].Index
	if begins = x.empty(); !begins {
		want = x.next()
	}
	for i, l := range logs {
		if l.Index != want+uint64(i) {
			return false, 0, fmt.Errorf("%w: entry %d where %d is next", ErrOrder, l.Index, want+uint64(i))
		}
	}
	if s.mu.staged > s.mu.state.commit {
		commit = min(s.mu.staged, logs[len(logs)-1].Index)
	}
	return begins, commit, nil
}

// appendLocked appends the records of a batch and returns them.
//
// +checklocks:s.writing.Mutex
func (s *Store) appendLocked(b *batch) ([]wal.Entry, error) {
	return b.entries, s.log.AppendAll(b.entries)
}

// StageCommitIndex lets the next StoreLogs persist a commit index with its entries.
func (s *Store) StageCommitIndex(i uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.staged = i
	return nil
}

// GetCommitIndex returns the newest commit index that was persisted, 0 if there is none. It is never above the last index.
func (s *Store) GetCommitIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.state.commit, nil
}
