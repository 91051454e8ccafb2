package occ

import "sync/atomic"

// LastWrites holds the newest operations. Operations are noted while a transaction that has scanned may commit, so that the
// transaction need not walk over its ranges once more while all writes wait. The zero value is empty.
//
// Note and Reads.Check are for whoever keeps writes waiting; Want and Unwant for any goroutine.
type LastWrites struct {
	wanted      atomic.Int32 // transactions that have scanned
	first, next uint64       // the noted sequences: first is the oldest, next follows the newest
	ops         [256]lastWrite
}

// lastWrite is one operation: on the keys from start up to end, or on start if end is empty. An eviction has neither: see
// Reads.evicted.
type lastWrite struct{ start, end []byte }

// maxNoted is the greatest length of an operation's keys, together, at which the operation is noted: so the list takes no
// more than 512 KiB. A longer operation empties the list.
const maxNoted = 1 << 10

// Want says that one transaction more has scanned: from now on operations are noted, until Unwant.
func (l *LastWrites) Want() { l.wanted.Add(1) }

// Unwant says that one such transaction has ended.
func (l *LastWrites) Unwant() { l.wanted.Add(-1) }

// Note notes an operation while operations are wanted: on the key start, or on the keys from start up to end if end is not
// empty. Both are empty for an eviction. It copies both.
func (l *LastWrites) Note(seq uint64, start, end []byte) {
	if l.wanted.Load() > 0 {
		l.note(seq, start, end)
	}
}

func (l *LastWrites) note(seq uint64, start, end []byte) {
	if len(start)+len(end) > maxNoted {
		l.next = 0
		return
	}
	if seq != l.next {
		l.first = seq
	}
	l.next = seq + 1
	l.first = max(l.first, l.next-min(l.next, uint64(len(l.ops))))
	op := &l.ops[seq%uint64(len(l.ops))]
	op.start, op.end = append(op.start[:0], start...), append(op.end[:0], end...)
}

// has reports whether all operations after sequence since, up to upTo, are noted.
func (l *LastWrites) has(since, upTo uint64) bool { return l.first <= since+1 && upTo < l.next }

// touch reports whether a noted operation after sequence since, up to upTo, writes into the stretch.
func (l *LastWrites) touch(t *stretch, since, upTo uint64) bool {
	for seq := since + 1; seq <= upTo; seq++ {
		op := &l.ops[seq%uint64(len(l.ops))]
		if len(op.end) > 0 && t.overlaps(op.start, op.end) || len(op.end) == 0 && len(op.start) > 0 && t.contains(op.start) {
			return true
		}
	}
	return false
}
