package memtable

import "errors"

var (
	// ErrFull says that the memtable has no addresses left for the entry, which belongs into the next one.
	ErrFull = errors.New("memtable: full")
	// ErrSize says that a key is empty or over MaxKeySize, or a value over MaxValueSize.
	ErrSize = errors.New("memtable: key or value size out of range")
)
