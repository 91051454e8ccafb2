package ttl

import (
	"math"

	"github.com/google/btree"

	"github.com/ebbdb/ebb/internal/kv"
)

// Version is a version of a key that expires at its deadline, which is above 0.
type Version struct {
	Deadline int64
	Seq      uint64
	Key      string
}

// Before reports whether a version comes before another in the order in which they expire: by deadline, and by key where that is
// the same. So the order of the newest versions of some keys does not depend on when they were written.
func (v Version) Before(w Version) bool {
	return v.Deadline < w.Deadline || v.Deadline == w.Deadline && v.Key < w.Key
}

// Upcoming is what expires next of a database that is too large to be kept in mind as a whole: the versions with the first
// deadlines, as many as fit a limit.
//
// It is complete up to a bound: of every key whose newest version comes before Bound, that version is in it. To keep
// that true the owner tells every write, by Set or by Remove, and extends it by scanning what there is: see Fill. It has one
// version of a key at most, so that a key which is given new deadlines again and again takes no more room than another. It
// may have versions that are not the newest: of keys that were deleted by range, or that a scan has read too late.
//
// It belongs to one goroutine at a time.
type Upcoming struct {
	limit   int64 // of bytes
	bytes   int64
	first   *btree.BTreeG[Version] // in the order of Before
	byKey   map[string]Version     // the same versions
	upTo    Version                // complete up to but not including this one
	filling Version                // versions before it are taken in: upTo, or how far a scan will have made it complete
}

// endless is behind all versions.
var endless = Version{Deadline: math.MaxInt64}

func earlier(v, w Version) Version {
	if w.Before(v) {
		return w
	}
	return v
}

// versionSize is about the memory that a version takes beside its key, in the tree and in the map: measured at 100,000 versions.
const versionSize = 120

// NewUpcoming returns an Upcoming that takes up to limit bytes and knows of nothing yet: Complete is 0.
func NewUpcoming(limit int64) *Upcoming {
	return &Upcoming{limit: limit, byKey: make(map[string]Version), first: btree.NewG(32, Version.Before)}
}

// Set takes note of a version, which expires at deadline, or never if that is 0. It takes the place of an older one of the
// key; where there is a newer one it is ignored. The key is copied if it is kept.
func (u *Upcoming) Set(key []byte, seq uint64, deadline int64) {
	old, known := u.byKey[string(key)]
	if known && old.Seq > seq {
		return
	}
	if known && old.Seq == seq && old.Deadline == deadline {
		return
	}
	if known {
		u.take(old)
	}
	if deadline == 0 || deadline > u.filling.Deadline {
		return
	}
	v := Version{deadline, seq, old.Key}
	if !known {
		v.Key = string(key)
	}
	if !v.Before(u.filling) {
		return
	}
	u.first.ReplaceOrInsert(v)
	u.byKey[v.Key] = v
	u.bytes += versionSize + int64(len(key))
	for u.bytes > u.limit {
		last, _ := u.first.Max()
		u.take(last)
		u.filling, u.upTo = last, earlier(u.upTo, last)
	}
}

// Remove forgets a version, unless another of its key has taken its place.
func (u *Upcoming) Remove(v Version) {
	if u.byKey[v.Key] == v {
		u.take(v)
	}
}

func (u *Upcoming) take(v Version) {
	u.first.Delete(v)
	delete(u.byKey, v.Key)
	u.bytes -= versionSize + int64(len(v.Key))
}

// Due appends to dst the versions that have expired at now, in order, from after on, but no more than most. The zero Version
// is before all.
func (u *Upcoming) Due(dst []Version, now int64, after Version, most int) []Version {
	u.first.AscendGreaterOrEqual(after, func(v Version) bool {
		if len(dst) >= most || !kv.Expired(v.Deadline, now) {
			return false
		}
		dst = append(dst, v)
		return true
	})
	return dst
}

// Next returns a time before which nothing expires that it was told of or that is still to be scanned.
func (u *Upcoming) Next() int64 {
	if v, ok := u.first.Min(); ok {
		return min(u.upTo.Deadline, v.Deadline)
	}
	return u.upTo.Deadline
}

// Complete returns the deadline up to which it is complete; math.MaxInt64: it has all.
func (u *Upcoming) Complete() int64 { return u.upTo.Deadline }

// Bound returns the version up to which it is complete: its deadline is Complete, and of that deadline it has the keys before.
func (u *Upcoming) Bound() Version { return u.upTo }

// Low reports whether it is no longer complete for all and has room for twice what it holds, so that a scan would extend it.
func (u *Upcoming) Low() bool { return u.upTo.Deadline < math.MaxInt64 && u.bytes < u.limit/2 }

// Len returns the number of versions.
func (u *Upcoming) Len() int { return u.first.Len() }

// Bytes returns about how much memory it takes.
func (u *Upcoming) Bytes() int64 { return u.bytes }

// Fill begins a scan: from now on whatever is Set is taken in, as far as there is room. The owner then Sets what there is
// that does not come before Bound, and ends the scan by Filled.
func (u *Upcoming) Fill() { u.filling = endless }

// Filled ends a scan. If that has seen everything, Upcoming is complete as far as there was room.
func (u *Upcoming) Filled(everything bool) {
	if everything {
		u.upTo = u.filling
	} else {
		u.filling = u.upTo
	}
}

// Forget says that there are versions from a deadline on that were not Set. No scan is under way.
func (u *Upcoming) Forget(from int64) {
	u.upTo = earlier(u.upTo, Version{Deadline: from})
	u.filling = u.upTo
}
