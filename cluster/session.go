package cluster

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/ebbdb/ebb"
)

// sessions is what the state machine remembers of the calls of each session, as the records in the database have it: nothing
// is in it that a restart would not find there.
type sessions map[uint64]*session

// session is the session of one open DB.
type session struct {
	used  int64 // the time of its last call, Unix ms
	slots []slotState
}

// slotState is the last call of a slot.
type slotState struct {
	sequence uint64 // 0: there was none
}

// slot returns the state of a slot.
func (s *session) slot(n uint16) *slotState {
	for int(n) >= len(s.slots) {
		s.slots = append(s.slots, slotState{})
	}
	return &s.slots[n]
}

// note notes a record.
func (s *session) note(t int64) { s.used = max(s.used, t) }

// idle returns the sessions that have been idle for longer than a time in ms, the least id first, at most limit.
func (ss sessions) idle(now, idle int64, limit int) []uint64 {
	var ids []uint64
	for _, id := range slices.Sorted(maps.Keys(ss)) {
		if now-ss[id].used > idle {
			if ids = append(ids, id); len(ids) == limit {
				break
			}
		}
	}
	return ids
}

// records are what the records of a database say.
type records struct {
	newest   stateRecord // the newest entry that is in it
	sessions sessions
	reports  bool // expiries are reported
}

// loadRecords reads the records of a database.
func loadRecords(db *ebb.DB) (r records, err error) {
	r.sessions = make(sessions)
	for e, err := range db.Range(&ebb.IterOptions{Prefix: reserved}) {
		if err != nil {
			return records{}, err
		}
		if err := r.load(&e); err != nil {
			return records{}, err
		}
	}
	return r, nil
}

func (r *records) load(e *ebb.Entry) error {
	ss := r.sessions
	key := e.Key[len(reserved):]
	s, rest, ok := decodeState(e.Value)
	if !ok || len(key) == 0 {
		return fmt.Errorf("cluster: the record %x is damaged", e.Key)
	}
	if r.newest.before(&s) {
		r.newest = s
	}
	switch {
	case key[0] == metaKey && len(key) == 1:
	case key[0] == sessionKey && len(key) == 1+8:
		// 'h' comes before 's': the session is there before its slots.
		ss[binary.BigEndian.Uint64(key[1:])] = &session{used: s.time}
	case key[0] == slotKey && len(key) == 1+8+2 && len(rest) >= 8:
		id := binary.BigEndian.Uint64(key[1:])
		owner := ss[id]
		if owner == nil {
			return fmt.Errorf("cluster: the record %x is of no session", e.Key)
		}
		owner.slot(binary.BigEndian.Uint16(key[9:])).sequence = binary.BigEndian.Uint64(rest)
		owner.note(s.time)
	case key[0] == reportKey && len(key) == 1 && len(rest) == 1 && rest[0] <= 1:
		r.reports = rest[0] == 1
	default:
		return fmt.Errorf("cluster: the record %x is unknown", e.Key)
	}
	return nil
}
