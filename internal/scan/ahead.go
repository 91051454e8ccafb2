package scan

import (
	"slices"

	"github.com/ebbdb/ebb/internal/kv"
	"github.com/ebbdb/ebb/internal/lsm"
)

// Ahead holds live entries that a walk has read. It reads several at a time: to enter the epoch, to guard mapped memory and to
// find the source that leads is paid once for all of them. It is reused, with the memory it has.
type Ahead struct {
	Entries  []kv.Entry // in the direction of travel; their slices are in buf, or kept by the sources
	Held     bool       // the sources keep slices of an entry
	Reverse  bool       // the direction of travel
	Want     int        // how many entries to read
	KeysOnly bool       // leaves the values out

	buf   []byte
	bytes int // of the keys and values of Entries
	most  int // the longest that Entries was before Begin, since Release
}

// MaxBytes is the size of keys and values at which reading ahead ends: a short walk should not pay for entries that it never
// comes to.
const MaxBytes = 32 << 10

// Begin forgets the entries.
func (a *Ahead) Begin(reverse bool) {
	a.most = max(a.most, len(a.Entries))
	a.Entries, a.buf, a.bytes, a.Held, a.Reverse = a.Entries[:0], a.buf[:0], 0, false, reverse
}

// Release forgets the entries, and what they refer to.
func (a *Ahead) Release() {
	clear(a.Entries[:max(a.most, len(a.Entries))])
	a.Entries, a.most = a.Entries[:0], 0
	const keep = 1 << 20 // a rare huge value should not pin its size for good
	if cap(a.buf) > keep {
		a.buf = nil
	}
}

// Stop says why Take has taken no more entries.
type Stop uint8

const (
	StopNone   Stop = iota // the run has come to its end
	StopFull               // enough were taken
	StopAbsent             // the entry that follows is absent: see Absent
	StopBound              // it lies past the bound
)

// Absent says which entries of the sources are absent, beside tombstones.
type Absent struct {
	Deletes *lsm.Deletes // those that range deletes cover
	Evicted kv.Evictions // those that were evicted
	Hidden  *kv.RangeSet // those in ranges that a transaction has deleted, but for its own writes,
	Own     uint64       // which have this sequence
	Seq     uint64       // the sequence that the walk sees
	Now     int64        // the time, Unix ms, by which entries have expired
}

// hides reports whether an entry lies in a range that the transaction has deleted, and is not its own.
func (a *Absent) hides(e *kv.Entry) bool {
	if e.Seq == a.Own {
		return false
	}
	_, hidden := a.Hidden.Find(e.Key)
	return hidden
}

// Take takes up to n entries of a run into Entries, in the direction of travel, and returns how many, and why no more. It copies
// their slices unless those are kept. covering is the source with a range delete that covers the entry that follows.
func (a *Ahead) Take(run []kv.Entry, n int, kept bool, absent *Absent) (
	taken int, why Stop, covering *lsm.DeleteSource) {
	if n < len(run) {
		why = StopBound
	}
	if room := a.Want - len(a.Entries); n >= room {
		n, why = room, StopFull
	}
	at, step := 0, 1
	if a.Reverse {
		at, step = len(run)-1, -1
	}
	a.Entries = slices.Grow(a.Entries, n)
	deletes, hidden := absent.Deletes.Any(), len(absent.Hidden.All()) > 0
	if !deletes && !hidden {
		if taken = a.takePlain(run, n, kept); a.bytes >= MaxBytes {
			return taken, StopFull, nil
		}
	}
	at += taken * step
	for i := taken; i < n; i++ {
		e := &run[at]
		at += step
		if deletes {
			if covering = absent.Deletes.Cover(e); covering != nil {
				return i, StopAbsent, covering
			}
		}
		if !e.Live(absent.Now) || absent.Evicted.Cover(e, absent.Seq) || hidden && absent.hides(e) {
			return i, StopAbsent, nil
		}
		a.Entries = append(a.Entries, *e)
		entry := &a.Entries[len(a.Entries)-1]
		if kept {
			a.Held = true
		} else {
			a.copy(entry)
		}
		if a.bytes += len(entry.Key) + len(entry.Value); a.bytes >= MaxBytes {
			return i + 1, StopFull, nil
		}
	}
	return n, why, nil
}

// takePlain takes, all at once, the first entries of a run, up to most, before one that is not simply there, as a put without a
// deadline is. It takes them up to MaxBytes, into memory that Entries has.
func (a *Ahead) takePlain(run []kv.Entry, most int, kept bool) int {
	at, step, n := 0, 1, 0
	if a.Reverse {
		at, step = len(run)-1, -1
	}
	for n < most && a.bytes < MaxBytes {
		e := &run[at]
		if e.Kind != kv.Put || e.Deadline != 0 {
			break
		}
		if a.bytes += len(e.Key); kept || !a.KeysOnly {
			a.bytes += len(e.Value)
		}
		at, n = at+step, n+1
	}
	first := len(a.Entries)
	a.Entries = a.Entries[:first+n]
	taken := a.Entries[first:]
	if a.Reverse {
		for i := range taken {
			taken[i] = run[len(run)-1-i]
		}
	} else {
		copy(taken, run)
	}
	if kept {
		a.Held = a.Held || n > 0
		return n
	}
	for i := range taken {
		a.copy(&taken[i])
	}
	return n
}

// copy gives an entry slices of its own.
func (a *Ahead) copy(e *kv.Entry) {
	start := len(a.buf)
	a.buf = append(a.buf, e.Key...)
	n := len(a.buf)
	e.Key = a.buf[start:n:n]
	if a.KeysOnly {
		e.Unread, e.Value = uint32(len(e.Value)), nil
		return
	}
	a.buf = append(a.buf, e.Value...)
	e.Value = a.buf[n:len(a.buf):len(a.buf)]
}
