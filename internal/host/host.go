// Package host is what a database shows to a package of this repository that has it as its state machine, and to nobody else:
// package cluster. Such a host says what time it is, keeps keys of its own out of sight, and takes write options and
// transactions apart, to write them into a log of its own.
//
// The package has types, the digest of a range, and the functions of package ebb that only a host calls: see Root. It does no
// I/O and takes no lock.
package host

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/ebbdb/ebb/internal/vfs"
)

// Root has what package ebb does for hosts alone, and does not export. It sets all of them when it is initialised. What is any
// has the type of package ebb that is named.
var Root struct {
	// Serve makes a database that is opened with some options, an *ebb.Options, serve a host.
	Serve func(options any, h *Host)
	// Options checks the options of a call, a []ebb.WriteOption, as the call does, and takes them apart.
	Options func(call Call, opts any) (Options, error)
	// State takes apart what a transaction, an *ebb.Txn, has read and written so far. The slices are the transaction's, and valid
	// until it ends.
	State func(tx any) (*Txn, error)
	// Due returns the next time, Unix ms, by which something in an *ebb.DB will have expired that has not by now, as exactly as
	// the histograms of memtables and tables know; 0 if nothing will. It looks at every table, and reads no file.
	Due func(db any) (int64, error)
	// ReportFrom begins to report what expires after a time in an *ebb.DB, or ends it: see Options.ExpiryEvents. What has expired by
	// then is not reported: of it some may have left the disk.
	ReportFrom func(db any, after int64, on bool)
	// Unreported returns a time before which nothing expires that is to be reported, and was not; math.MaxInt64 if nothing will.
	Unreported func(db any) int64
	// Report reports what has expired by a time, in the order of deadlines and, of one deadline, of keys, and returns the sequence
	// of the newest write then. Each report takes a sequence. Nothing else writes meanwhile. If it fails, the first of them may have
	// been made, and called once more it goes on with the next.
	//
	// So the host decides which sequences reports take. What it reports, and in which order, depends on the content alone: not on
	// memtables and tables, nor on what was called before, as long as DropBefore is before what is to be reported, and as long as
	// nothing that has expired is replaced or deleted before it was reported, which the database does not do by itself.
	Report func(db any, to int64) (seq uint64, err error)
	// Swap is ebb.Swap on a file system.
	Swap func(fs vfs.FS, name, other string) error
}

// Host says how a database is to serve its host. All fields are set, but for FS.
type Host struct {
	// Now returns the time by which keys are absent, Unix ms, above 0 and never less than before. It replaces every other
	// clock: time does not run on between two calls, and no mark of the log or of the manifest counts.
	Now func() int64
	// DropBefore returns the time by which something must have expired for its bytes to leave the disk: at most Now. What has
	// expired after that may be asked for again, if a crash takes the newest writes and the host makes them once more; or it is to
	// be reported yet: see Root.Report.
	DropBefore func() int64
	// Hidden is the first key of the host's own. Walks without an end, and without a prefix that begins with it, end there.
	Hidden []byte
	// FS is the file system. Nil: the operating system's.
	FS vfs.FS
}

// Call is what write options are for.
type Call uint8

const (
	Put Call = iota
	Delete
	DeleteRange
	Expire
	Persist
	GetTouch
	Take
	Add
	CompareAndSwap
	Apply     // and Update
	Condition // of an operation of a batch
)

// Life says which deadline a write asks for.
type Life uint8

const (
	NoLife  Life = iota // none
	TTL                 // LifeValue is a time.Duration from the write
	At                  // LifeValue is a deadline, Unix ms; 0 is none
	KeepTTL             // that of the value that the write replaces
)

// Cond is what a write depends on.
type Cond uint8

const (
	NoCond Cond = iota
	IfAbsent
	IfPresent
	IfVersion // CondValue is the version
	IfNoDeadline
	IfDeadline
	IfLater
	IfEarlier
)

// Options are the options of a write, checked. A nil pointer is an option that was not given.
type Options struct {
	Life       Life
	LifeValue  int64
	Cond       Cond
	CondValue  uint64
	VersionTo  *uint64
	FoundTo    *bool
	DeadlineTo *int64
}

// Txn is a transaction, taken apart.
type Txn struct {
	Seq    uint64 // it has read the database as of this sequence,
	Now    int64  // and as of this time, Unix ms
	Keys   []KeyRead
	Ranges []RangeRead
	Gone   []Range // ranges that it deletes, before Writes
	Writes []Write // in the order of their keys
}

// KeyRead is a key that was read, and the version that it had; 0: it was absent.
type KeyRead struct {
	Key     []byte
	Version uint64
}

// Range is the keys from Start up to but not including End; a nil End is no bound.
type Range struct{ Start, End []byte }

// RangeRead is a range that was read, and the digest of what it held.
type RangeRead struct {
	Range
	Sum Sum
}

// Write is a put or a delete.
type Write struct {
	Key, Value []byte
	Delete     bool
	Life       Life
	LifeValue  int64
}

// Sum is a digest of the keys of a range and their versions.
type Sum [16]byte

// Summer makes a Sum: of the entries of a range, in their order.
type Summer struct {
	h       hash.Hash
	scratch [2 * binary.MaxVarintLen64]byte
}

// NewSummer returns a Summer that was given nothing yet.
func NewSummer() *Summer { return &Summer{h: sha256.New()} }

// Add adds an entry.
func (s *Summer) Add(key []byte, version uint64) {
	n := binary.PutUvarint(s.scratch[:], uint64(len(key)))
	n += binary.PutUvarint(s.scratch[n:], version)
	s.h.Write(s.scratch[:n])
	s.h.Write(key)
}

// Sum returns the digest of what was added.
func (s *Summer) Sum() (sum Sum) {
	copy(sum[:], s.h.Sum(nil))
	return sum
}
