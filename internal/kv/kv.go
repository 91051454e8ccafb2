// Package kv says what an entry is, how keys are ordered, and when an entry has expired.
//
// Everything that stores entries (memtable, table, merge, compaction) speaks in these types, so that there is one key
// order and one expiry test in the whole database. The package does no I/O, keeps no state and knows no clock.
package kv

import "bytes"

// Kind says whether an entry sets its key or deletes it.
type Kind uint8

const (
	// Put gives the key a value.
	Put Kind = iota
	// Delete says that the key has none: a tombstone.
	Delete
)

// Entry is the newest version of a key in one source. A function that returns one says how long Key and Value stay valid.
type Entry struct {
	Key      []byte
	Value    []byte // empty for Delete
	Seq      uint64 // the operation's place in the order of all operations
	Deadline int64  // Unix milliseconds from which the entry is expired; 0: never
	Kind     Kind
	Unread   uint32 // bytes of a value that the function has left out of Value; 0 where it leaves none out
}

// ValueSize returns the size of the value in bytes, whether Value has it or not.
func (e *Entry) ValueSize() int { return len(e.Value) + int(e.Unread) }

// Compare orders keys: bytewise, a prefix first.
func Compare(a, b []byte) int { return bytes.Compare(a, b) }

// Expired reports whether an entry with this deadline is absent at now (Unix milliseconds). It is the only expiry test.
func Expired(deadline, now int64) bool { return deadline != 0 && deadline <= now }

// Live reports whether the entry is visible at now: a put that has not expired.
func (e *Entry) Live(now int64) bool { return e.Kind == Put && !Expired(e.Deadline, now) }

// Iterator walks one sorted source that holds at most one entry a key. Before the first positioning call it stands
// nowhere. The positioning calls report whether it stands on an entry; false means the end, or an error that Err tells.
// Entry's slices are valid until the next positioning call. An Iterator is for one goroutine.
type Iterator interface {
	First() bool
	Last() bool
	SeekGE(key []byte) bool // the first entry with a key >= key
	SeekLT(key []byte) bool // the last entry with a key < key
	Next() bool
	Prev() bool
	Entry() *Entry
	Err() error
	Close() error
}

// Runner is an Iterator that has entries at hand beside the one it stands on, so that a walk over many of them takes no call
// for each.
type Runner interface {
	Iterator
	// Run returns entries at hand in the order of their keys, about want of them or fewer, without a gap: the one that the
	// iterator stands on and those after it; in reverse, those before it and, at last, the one that it stands on. The slice is
	// valid until the next positioning call or Run, and the entries' slices for as long as Entry's; if kept is true, for as
	// long as the iterator has told whoever reset it. An iterator that stands nowhere has none.
	Run(want int, reverse bool) (run []Entry, kept bool)
	// Pass moves to the entry of the last run that lies n entries behind the one the iterator stands on, in reverse before it.
	Pass(n int, reverse bool)
}

// Aimer is an Iterator of which a seek waits for memory. Where several are sought at once, to aim them all before the first seek
// lets the processor wait for all of them together.
type Aimer interface {
	Iterator
	// Aim readies the seek to a key that follows, SeekLT if before is true and otherwise SeekGE. Until then the key stays as it is,
	// and the iterator is not moved. Instead of the seek there may follow another Aim, First, Last or Close.
	Aim(key []byte, before bool)
	// Fetch, after Aim, asks the processor for what the seek will read first.
	Fetch()
}
