package occ

import "sync/atomic"

// LastWrites are the newest operations. They are noted while a transaction that has scanned may commit, so that it need not
// walk over what it has scanned once more while all writes wait. The zero value is empty.
//
// Note and Check are for whoever keeps writes waiting; Want and Unwant for any goroutine.
type LastWrites struct {
	wanted      atomic.Int32 // transactions that have scanned
	first, next uint64       // sequences: of the oldest that is noted, and after the newest
	ops         [256]lastWrite
}

// lastWrite is one operation: on the keys from start up to end, or on start if end is empty.
type lastWrite struct{ start, end []byte }

// maxNoted is the length of the keys of an operation, together, up to which it is noted: so the list takes no more than
// 512 KiB. With a longer one it begins anew.
const maxNoted = 1 << 10

// Want says that one transaction more has scanned: from now on operations are noted, until Unwant.
func (l *LastWrites) Want() { l.wanted.Add(1) }

// Unwant says that one such transaction has ended.
func (l *LastWrites) Unwant() { l.wanted.Add(-1) }

// Note notes an operation on start, or on the keys from start up to end if that is not empty, if it is wanted. It copies them.
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

// has reports whether all operations after one sequence, up to another, are noted.
func (l *LastWrites) has(since, upTo uint64) bool { return l.first <= since+1 && upTo < l.next }

// touch reports whether any of them touches the stretch.
func (l *LastWrites) touch(t *stretch, since, upTo uint64) bool {
	for seq := since + 1; seq <= upTo; seq++ {
		op := &l.ops[seq%uint64(len(l.ops))]
		if len(op.end) > 0 && t.overlaps(op.start, op.end) || len(op.end) == 0 && t.contains(op.start) {
			return true
		}
	}
	return false
}
