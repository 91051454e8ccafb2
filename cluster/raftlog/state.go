package raftlog

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/hashicorp/raft"

	"github.com/ebbdb/ebb/internal/corrupt"
	"github.com/ebbdb/ebb/wal"
)

// state is what the records of a log say, one after another. A replay and the writes of a store make the same of them.
type state struct {
	index  index
	stable map[string][]byte
	commit uint64 // the newest that was persisted; not above the last index

	batch   index  // entries of a batch that has not come to its end
	seen    uint64 // records
	whole   bool   // a checkpoint was seen, so that all stable values are known
	begun   bool   // the log's first entry began it: nothing was before it
	needed  uint64 // unless it has begun, its first entry must not be after this one
	segment uint32 // that the newest checkpoint is in
}

func newState() state { return state{stable: make(map[string][]byte)} }

// replay takes a record of the log in dir into account.
func (s *state) replay(dir string, e *wal.Entry) error {
	if err := s.apply(e); err != nil {
		return corrupt.New(path.Join(dir, wal.SegmentName(e.Pos.Segment)), int64(e.Pos.Offset), "raft log record", err)
	}
	return nil
}

func (s *state) apply(e *wal.Entry) error {
	s.seen++
	if e.Kind != wal.KindPut || len(e.Key) == 0 || e.Deadline != 0 {
		return fmt.Errorf("%w: not of a raft log", errMalformed)
	}
	switch e.Key[0] {
	case kindEntry, kindBegin, kindEntryMore, kindBeginMore:
		i, err := decodeIndexKey(e.Key)
		if err != nil {
			return err
		}
		var l raft.Log
		commit, err := decodeEntry(e.Value, &l)
		if err != nil {
			return err
		}
		return s.entry(e.Key[0], i, placeOf(e), commit)
	case kindCut:
		i, err := decodeIndexKey(e.Key)
		if err == nil && len(e.Value) != 0 {
			err = errMalformed
		}
		if err == nil {
			s.cutFrom(i)
		}
		return err
	case kindStable:
		s.stable[string(e.Key[1:])] = slices.Clone(e.Value)
		return nil
	case kindCheckpoint:
		c, err := decodeCheckpoint(e.Value)
		if err != nil {
			return err
		}
		if len(e.Key) != 1 {
			return errMalformed
		}
		s.checkpoint(c, e.Pos.Segment)
		return nil
	}
	return fmt.Errorf("%w: unknown kind %q", errMalformed, e.Key[0])
}

// placeOf returns the place of a record that was appended or read.
func placeOf(e *wal.Entry) place {
	return place{e.Pos, uint32(wal.EncodedSize(&wal.Record{Key: e.Key, Value: e.Value}))}
}

// entry adds an entry to its batch, and if it is the last of it the batch to the log.
func (s *state) entry(kind byte, i uint64, p place, commit uint64) error {
	begins := kind == kindBegin || kind == kindBeginMore
	switch {
	case begins && !s.index.empty():
		return fmt.Errorf("entry %d begins a log that has entries up to %d", i, s.index.next()-1)
	case begins:
		s.batch.begin(i, p)
		s.begun = true
	case !s.batch.empty() && i == s.batch.next():
		s.batch.add(p)
	case !s.index.empty() && i == s.index.next():
		s.batch.begin(i, p)
	case !s.index.empty():
		return fmt.Errorf("entry %d does not continue the log, whose next is %d", i, s.index.next())
	default: // what was before it went with the segments that were deleted, or check will say so
		s.batch.begin(i, p)
		s.begun = false
	}
	if kind == kindEntryMore || kind == kindBeginMore {
		return nil
	}
	s.index.extend(&s.batch)
	s.commit = max(s.commit, commit)
	return nil
}

// cutFrom deletes the entries from i on.
func (s *state) cutFrom(i uint64) {
	s.batch.clear()
	s.index.cutFrom(i)
	if i > 0 {
		s.commit = min(s.commit, i-1)
	}
}

// checkpoint takes over what a checkpoint in a segment says, and deletes the entries before its first.
func (s *state) checkpoint(c checkpoint, segment uint32) {
	s.batch.clear()
	s.index.cutBefore(c.first)
	s.stable, s.commit, s.whole, s.segment = c.stable, c.commit, true, segment
	s.needed = c.first
	if s.index.empty() {
		s.commit = 0
	}
}

// keep returns the first segment that holds something that is needed: the first entry, or what was written since the newest
// checkpoint.
func (s *state) keep() uint32 {
	if p, ok := s.index.at(s.index.first); ok {
		return min(p.Segment, s.segment)
	}
	return s.segment
}

// check says whether the records of the log in dir are all that it must have.
func (s *state) check(dir string) error {
	if s.seen > 0 && !s.whole {
		return corrupt.New(path.Join(dir, wal.SegmentName(1)), 0, "raft log", errors.New("its beginning is missing"))
	}
	if p, ok := s.index.at(s.index.first); ok && !s.begun && s.index.first > s.needed {
		return corrupt.New(path.Join(dir, wal.SegmentName(p.Segment)), int64(p.Offset), "raft log",
			fmt.Errorf("the entries from %d up to %d are missing", s.needed, s.index.first-1))
	}
	return nil
}
