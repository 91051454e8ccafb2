package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// The state machine's own keys lie behind all others: they begin with 17 bytes of 0xff. A user's key is refused from there on.
// So the keys of users are what they are in a database alone, a range without an end has one, and the same one on every node,
// and a backup is a database like any other.
//
//	reserved 'm'                  the newest entry that wrote no other record
//	reserved 'h' id (8)           a session: when it was opened, as a stateRecord
//	reserved 's' id (8) slot (2)  the last call of a slot: a stateRecord and the call's sequence (8) and result
//	reserved 'x'                  whether expiries are reported: the stateRecord of the entry that said so, and 1 or 0 (1)
//
// A stateRecord says which entry has written a record, numbers big-endian as in keys:
//
//	offset  size  field
//	     0     1  Form   0, or 1: calls of the entry follow that are not made yet
//	     1     7  Index
//	     8     8  Term
//	    16     8  Time   of the entry, Unix ms
//	    24     4  Calls  of form 1: how many of the entry's calls are made
//
// Each entry, and each call of an entry of several, writes one record in the batch of its operations: so the newest of all
// records says what is in the database.
var reserved = bytes.Repeat([]byte{0xff}, 17)

// ErrReservedKey refuses keys from the first on that begins with 17 bytes of 0xff: the cluster's own lie there.
var ErrReservedKey = errors.New("cluster: reserved key")

const (
	metaKey    = 'm'
	sessionKey = 'h'
	slotKey    = 's'
	reportKey  = 'x'

	formWhole = 0
	formPart  = 1

	stateSize = 24
	callsSize = 4
)

// isReserved reports whether a key is not a user's.
func isReserved(key []byte) bool { return bytes.Compare(key, reserved) >= 0 }

func ownKey(b []byte, kind byte) []byte { return append(append(b, reserved...), kind) }

func appendSessionKey(b []byte, id uint64) []byte {
	return binary.BigEndian.AppendUint64(ownKey(b, sessionKey), id)
}

func appendSlotKey(b []byte, id uint64, slot uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(ownKey(b, slotKey), id), slot)
}

// stateRecord is the entry that wrote a record.
type stateRecord struct {
	index, term uint64
	time        int64
	calls       uint32 // of an entry of several: how many are made; 0: all
}

// before reports whether a record was written before another.
func (s *stateRecord) before(t *stateRecord) bool {
	// All, 0, is more than any part.
	return s.index < t.index || s.index == t.index && s.calls-1 < t.calls-1
}

// whole returns the last entry all of which is in the database, as far as the record tells it: the index is right, and of a part
// the term is that of the entry after it.
func (s stateRecord) whole() stateRecord {
	if s.calls > 0 {
		s.index, s.calls = s.index-1, 0
	}
	return s
}

func (s stateRecord) append(b []byte) []byte {
	form := uint64(formWhole)
	if s.calls > 0 {
		form = formPart
	}
	b = binary.BigEndian.AppendUint64(b, form<<56|s.index)
	b = binary.BigEndian.AppendUint64(b, s.term)
	b = binary.BigEndian.AppendUint64(b, uint64(s.time))
	if s.calls > 0 {
		b = binary.BigEndian.AppendUint32(b, s.calls)
	}
	return b
}

// decodeState reads a stateRecord, and returns what follows.
func decodeState(b []byte) (s stateRecord, rest []byte, ok bool) {
	if len(b) < stateSize || b[0] > formPart {
		return stateRecord{}, nil, false
	}
	s = stateRecord{
		index: binary.BigEndian.Uint64(b) & (1<<56 - 1),
		term:  binary.BigEndian.Uint64(b[8:]),
		time:  int64(binary.BigEndian.Uint64(b[16:])),
	}
	rest = b[stateSize:]
	if b[0] == formPart {
		if len(rest) < callsSize {
			return stateRecord{}, nil, false
		}
		s.calls, rest = binary.BigEndian.Uint32(rest), rest[callsSize:]
		if s.calls == 0 {
			return stateRecord{}, nil, false
		}
	}
	return s, rest, true
}
