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
//
// A stateRecord is index, term and time of an entry, 8 bytes each, big-endian as keys are. Each entry writes one record in the
// batch of its operations: so the newest of all records says what is in the database.
var reserved = bytes.Repeat([]byte{0xff}, 17)

// ErrReservedKey refuses keys from the first on that begins with 17 bytes of 0xff: the cluster's own lie there.
var ErrReservedKey = errors.New("cluster: reserved key")

const (
	metaKey    = 'm'
	sessionKey = 'h'
	slotKey    = 's'

	stateSize = 24
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
}

func (s stateRecord) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, s.index)
	b = binary.BigEndian.AppendUint64(b, s.term)
	return binary.BigEndian.AppendUint64(b, uint64(s.time))
}

// decodeState reads a stateRecord, and returns what follows.
func decodeState(b []byte) (s stateRecord, rest []byte, ok bool) {
	if len(b) < stateSize {
		return stateRecord{}, nil, false
	}
	return stateRecord{
		index: binary.BigEndian.Uint64(b),
		term:  binary.BigEndian.Uint64(b[8:]),
		time:  int64(binary.BigEndian.Uint64(b[16:])),
	}, b[stateSize:], true
}
